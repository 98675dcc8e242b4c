"""The tutorial from files to submission: `python tutorial_script.py FOLDER OUT EPOCHS`.

Its pictures and plots are left out, in its favour. OUT gets model.pt, submission.csv and
result.json with the final validation accuracy.
"""

import json
import sys
from pathlib import Path

import numpy as np
import pandas
import torch
import tutorial
from sklearn.model_selection import train_test_split
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def main(folder: Path, out: Path, epochs: int) -> None:
    out.mkdir()
    table = pandas.read_csv(folder / "train.csv")
    test = pandas.read_csv(folder / "test.csv")
    labels = table["label"].to_numpy()
    images = table.drop(columns="label").to_numpy().astype(np.float32)
    images, held_out, labels, answers = train_test_split(
        images, labels, stratify=labels, random_state=302, test_size=0.2
    )
    torch.manual_seed(302)
    batches = tutorial.loader(images / 255.0, labels)
    validation = tutorial.loader(held_out / 255.0, answers)
    model = tutorial.network()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-5)
    criterion = nn.CrossEntropyLoss()
    lowest = float("inf")
    for _ in range(epochs):
        tutorial.train_epoch(model, batches, optimizer, criterion)
        loss, accuracy = tutorial.validate(model, validation, criterion)
        if loss < lowest:
            lowest = loss
            torch.save(model.state_dict(), out / "model.pt")
    model.load_state_dict(torch.load(out / "model.pt"))
    model.eval()
    pixels = torch.from_numpy(test.to_numpy().astype(np.float32) / 255.0)
    predictions = []
    with torch.no_grad():
        for (rows,) in DataLoader(TensorDataset(pixels), batch_size=32):
            predictions += model(rows).argmax(1).tolist()
    submission = pandas.read_csv(folder / "sample_submission.csv")
    submission["Label"] = predictions
    submission.to_csv(out / "submission.csv", index=False)
    (out / "result.json").write_text(json.dumps({"accuracy": accuracy}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
