# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Digit recognition with an MLP in PyTorch
#
# This follows, section by section, *Digit Recognition using MLP in PyTorch* (Pratik Kumar, 2021),
# a tutorial for Kaggle's competition
# [Digit Recognizer](https://www.kaggle.com/c/digit-recognizer). Each step is done with the parts
# that `digitmlp train` is made of, so what you learn here is what the command does.
#
# Download the competition's `digit-recognizer.zip` and set the environment variable
# `DIGITMLP_KAGGLE` to its path. Without it, the page runs on the 1,797 small digits that come with
# scikit-learn: everything works the same way, with other numbers.

# %% [markdown]
# ## Importing libraries
# PyTorch trains, ONNX Runtime predicts, and numpy carries the digits in between.

# %%
# %matplotlib inline
import contextlib
import io
import os
import tempfile
from pathlib import Path

import numpy as np
import torch

from digitmlp import checkpoint, config, export, figures, load, metrics, presets, run, sources
from digitmlp import train as loop
from digitmlp.card import Card
from digitmlp.device import choose_device
from digitmlp.model import MLP
from digitmlp.results import predict
from digitmlp.split import stratified_split, tensors

folder = Path(tempfile.mkdtemp())
device = choose_device("auto")
print(f"training on {device}, {torch.get_num_threads()} threads")

# %% [markdown]
# ## Importing dataset
# A *source* knows which digits are for training and which are to be predicted, whatever files they
# come in. Pixels are bytes from 0 (paper) to 255 (ink); they stay bytes until the network reads
# them, which takes a quarter of the memory of floats.

# %%
data = os.environ.get("DIGITMLP_KAGGLE", "uci")
source = sources.open_source(data)
digits = source.read_train()
print(digits.images.shape, digits.images.dtype)
print("digits of each class:", np.bincount(digits.labels))

# %% [markdown]
# ## Train and validation datasets
# A fifth of the labelled digits is set aside. The network never learns from them, so they tell how
# well it reads digits it has not seen. *Stratified* means that every class is split alike; these
# are the very rows that scikit-learn's `train_test_split(…, random_state=302)` chooses.

# %%
rows, validation_rows = stratified_split(digits.labels, share=0.2, seed=302)
print(f"{len(rows):,} to train on, {len(validation_rows):,} to validate")

# %% [markdown]
# ## Reshaping the data to make tensors
# An MLP sees no picture, only 784 numbers in a row. Both sets become one tensor each and move to
# the device once, not batch by batch.

# %%
train_set = tensors(digits.images[rows], digits.labels[rows], device)
validation = tensors(digits.images[validation_rows], digits.labels[validation_rows], device)
print(tuple(train_set.images.shape), tuple(train_set.labels.shape))

# %% [markdown]
# ## Viewing the images
# Always look at the data first: ten digits among the first 5,000 to train on, with their labels.

# %%
figures.samples(digits.select(rows[:5000]))

# %% [markdown]
# ## Feeding tensors to data loader
# The tutorial hands the tensors to a `DataLoader`, which collects 64 digits one by one for each
# batch. That takes longer than the arithmetic of this small network. Here a batch is one indexing
# operation: a random order of the rows, cut into pieces of at most 64.

# %%
preset = presets.preset("tutorial")
bounds = loop.batch_bounds(len(rows), preset.training.batch_size)
print(f"{len(bounds)} batches of at most {preset.training.batch_size}")

# %% [markdown]
# ## Defining model architecture
# 784 pixels, two hidden layers of 512 and 256 units with LeakyReLU, batch normalization before the
# second one, ten outputs. The tutorial ends with `LogSoftmax`; the loss function applies it anyway,
# and doing it twice changes nothing, so here the network gives plain logits. Dividing by 255 is the
# network's own first step: whoever uses the weights later cannot forget it.

# %%
network = MLP(preset.model, torch.Generator().manual_seed(302))
print(network)
print(f"{network.parameter_count():,} weights")

# %% [markdown]
# ## Functions for training and evaluation
# `train_step` knows one batch, `fit` repeats it and yields a record for each epoch, `evaluate`
# measures. Losses and hits are added up on the device and divided once at the end of the epoch;
# asking for them after every step would make the device wait.
#
# An untrained network guesses: its loss is about ln 10 = 2.30, its accuracy about a tenth.

# %%
loop.evaluate(network.to(device), validation)

# %% [markdown]
# ## Training the model over train dataset
# Adam with a learning rate of 1e-5, 20 times over all digits. (That rate suits Kaggle's 525 batches
# an epoch; the small set has only a few and gets a higher one.) The tutorial does not show how it
# chooses the weights it saves; we keep those of the epoch with the lowest validation loss.

# %%
settings = preset.training
if len(rows) < 10_000:
    settings = config.override(settings, learning_rate=1e-3)
training = loop.start(preset.model, settings, device)
for epoch in loop.fit(training, train_set, validation, settings):
    print(
        f"epoch {epoch.epoch:2}  loss {epoch.train_loss:.3f}  accuracy {epoch.train_accuracy:.2%}"
        f"  validation {epoch.validation_loss:.3f} {epoch.validation_accuracy:.2%}"
    )

# %% [markdown]
# The curves say more than the last number: while both losses fall, there is more to learn; once
# the validation loss rises, the network only learns its training digits by heart.

# %%
figures.curves(training.history, training.best_epoch)

# %% [markdown]
# ## Loading the saved model
# The best weights go into a safetensors file, with the settings that rebuild the network and a
# checksum: a damaged file is refused, not used.

# %%
card = Card(model=preset.model, training=settings, data=digits.digest())
checkpoint.save(folder / "model.safetensors", training.best, card)
network, card = checkpoint.load_network(folder / "model.safetensors")
loss, accuracy = loop.evaluate(network.to(device), validation)
print(f"epoch {training.best_epoch}: validation loss {loss:.3f}, accuracy {accuracy:.2%}")

# %% [markdown]
# For predictions the network becomes an ONNX file, with the scaling and the batch normalization
# folded into its matrices. It runs without PyTorch.

# %%
export.save(folder / "model.onnx", network, card, validation.images[:1000])
recognizer = load(folder / "model.onnx")
chances = recognizer.predict_proba(digits.images[validation_rows])
evaluation = metrics.evaluate(chances, digits.labels[validation_rows])
low, high = evaluation.confidence_interval
print(f"accuracy {evaluation.accuracy:.2%}, with 95 % confidence {low:.2%} to {high:.2%}")

# %% [markdown]
# Which digits does it confuse, and which mistakes was it most sure of?

# %%
figures.confusion(evaluation.confusion)

# %%
figures.most_wrong(
    digits.images[validation_rows], digits.labels[validation_rows], chances, validation_rows + 1
)

# %% [markdown]
# ## Prediction
# The digits to predict are read and predicted in batches, so there may be any number of them.

# %%
submission = folder / "submission.csv"
tested = predict(source, source.stream_test(), recognizer, submission)
if tested:
    print(f"these digits have labels: accuracy {tested['accuracy']:.2%}")

# %% [markdown]
# ## Submission
# The file that Kaggle takes: an `ImageId` and a `Label` for each digit.

# %%
print("\n".join(submission.read_text().splitlines()[:6]))

# %% [markdown]
# ## Better than the beginning
# The same loop with other settings, the preset `fast`: a wider network, whose first units begin
# each at a place of its own on the image; batches of 512 and one cycle of a rate that rises, then
# falls to zero, so that a few epochs do; and in every epoch each digit is slightly turned,
# stretched and bent anew, so that the network never sees the same picture twice. This single call
# does all of the above and writes a report.

# %%
with contextlib.redirect_stderr(io.StringIO()):  # one line for each epoch
    out, result = run.train(data, preset="fast", out=folder / "fast")
before, after = accuracy, result["validation"]["accuracy"]
print(f"errors of the tutorial: {1 - before:.2%}, of the preset fast: {1 - after:.2%}")

# %% [markdown]
# Here are its most confident mistakes; judge for yourself how many you would get right.

# %%
fast = load(out)
held_out = digits.select(validation_rows)
figures.most_wrong(
    held_out.images, held_out.labels, fast.predict_proba(held_out.images), validation_rows + 1
)
