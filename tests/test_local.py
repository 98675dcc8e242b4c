"""First layers that begin local."""

import dataclasses

import numpy as np
import pytest
import torch

from digitmlp import train as loop
from digitmlp.config import ModelConfig, TrainConfig
from digitmlp.errors import ConfigError
from digitmlp.local import nearness

CPU = torch.device("cpu")
FORM = ModelConfig(hidden=(300, 16), members=2)
PLAIN = TrainConfig()
LOCAL = dataclasses.replace(PLAIN, local=3.0)


def tensors(config: TrainConfig, form: ModelConfig = FORM) -> dict[str, torch.Tensor]:
    return loop.start(form, config, CPU).network.state_dict()


def test_nearness_is_a_bell_around_the_place():
    near = nearness(torch.tensor([[[10.0, 4.0]]]), 2.0).view(28, 28)
    assert near[10, 4] == 1
    assert near[10, 6].item() == pytest.approx(0.6065, abs=1e-4)  # one standard deviation: e^-½
    assert near[14, 4].item() == pytest.approx(0.1353, abs=1e-4)  # two: e^-2
    assert near[12, 6].item() == pytest.approx(0.3679, abs=1e-4)  # √2: e^-1


def test_nearness_is_the_same_to_the_bit_every_time():
    # Of the whole, from NumPy's exp; PyTorch's own gives other last bits now and then.
    places = torch.rand(2, 300, 2, generator=torch.Generator().manual_seed(0)) * 27
    line, exact = np.arange(28)[:, None], places.double().numpy()
    expected = [
        np.exp((line - place[:, 0]) ** 2 / -18).astype(np.float32)[:, None]
        * np.exp((line - place[:, 1]) ** 2 / -18).astype(np.float32)
        for place in exact
    ]
    expected = torch.from_numpy(np.stack(expected)).view(2, 784, 300)
    assert torch.equal(nearness(places, 3.0), expected)


def bells(seed: int) -> torch.Tensor:
    """Return (members, 784, units): by how much a start is local, 1 where most."""
    before, after = (
        tensors(dataclasses.replace(config, seed=seed))["linears.0.weight"]
        for config in (PLAIN, LOCAL)
    )
    ratio = after / before
    return ratio / ratio.amax(1, keepdim=True)


def test_each_unit_begins_at_a_place_of_its_own():
    found = bells(seed=302)
    places = torch.stack(torch.meshgrid(*[torch.arange(28.0)] * 2, indexing="ij"), 2).view(784, 2)
    tops = places[found.argmax(1)]  # (members, units, 2), whole pixels
    torch.testing.assert_close(found, nearness(tops, 3.0), atol=0.2, rtol=0)
    assert len(tops[0].unique(dim=0)) > 200
    assert (tops[0] != tops[1]).any()
    assert 2 <= tops.min() <= 4  # hardly any at the rim, where no ink is
    assert 23 <= tops.max() <= 25
    for low, high in ((0, 7), (7, 14), (14, 21), (21, 28)):  # everywhere on the image
        assert 0.15 < ((tops >= low) & (tops < high)).float().mean() < 0.35


def test_size_of_the_weights_and_all_other_tensors_stay():
    before, after = tensors(PLAIN), tensors(LOCAL)
    sizes = [each.pop("linears.0.weight").square().mean(1) for each in (before, after)]
    torch.testing.assert_close(*sizes)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_places_come_from_the_seed():
    assert torch.equal(bells(seed=1), bells(seed=1))
    assert not torch.allclose(bells(seed=1), bells(seed=2))


def test_what_is_no_image_has_no_places():
    with pytest.raises(ConfigError, match=r"^local 3\.0 with 64 inputs: places are on images of "):
        tensors(LOCAL, ModelConfig(inputs=64))
