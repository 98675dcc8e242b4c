"""Changed copies of training images."""

import dataclasses

import pytest
import torch
from conftest import make_digits

from digitmlp.augment import Augment, _highest_around
from digitmlp.config import AugmentConfig
from digitmlp.errors import ConfigError

CPU = torch.device("cpu")
ALL = AugmentConfig(
    rotation=8, scale=0.1, shear=0.1, shift=1, elastic=0.9, elastic_grid=5,
    far=0.3, thickness=0.7, sharpness=4, light=0.5, noise=0.3, blur=1.0, erase=0.4,
)  # fmt: skip


def digits(count: int = 200) -> torch.Tensor:
    return torch.from_numpy(make_digits(count).images.reshape(count, -1))


def changed(config: AugmentConfig, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    return Augment(config, CPU)(digits(), torch.Generator().manual_seed(seed))


def test_without_any_range_images_stay_as_they_are():
    seen, clean = changed(AugmentConfig())
    torch.testing.assert_close(seen, digits().float(), rtol=0, atol=0.02)
    torch.testing.assert_close(clean, digits().float(), rtol=0, atol=0.02)


def test_changed_images_keep_form_scale_and_seed():
    seen, clean = changed(ALL)
    for images in (seen, clean):
        assert images.shape == (200, 784)
        assert images.dtype == torch.float32
        assert images.min() >= 0
        assert images.max() <= 255
    assert torch.equal(seen, changed(ALL)[0])
    assert not torch.equal(seen, changed(ALL, seed=1)[0])


def test_teacher_is_shown_neither_what_is_spoiled_nor_what_is_far():
    plain = dataclasses.replace(
        ALL, far=0, thickness=0, sharpness=1, light=0, noise=0, blur=0, erase=0
    )
    seen, clean = changed(plain)
    assert torch.equal(seen, clean)
    spoiled, still_clean = changed(ALL)
    assert torch.equal(still_clean, clean)
    assert not torch.equal(spoiled, clean)


@pytest.mark.parametrize("only", ["light", "noise", "blur", "erase"])
def test_share_of_the_images_is_spoiled(only):
    seen, clean = changed(AugmentConfig(spoiled=0.25, **{only: 1.0}))
    touched = (seen != clean).any(1).float().mean()
    assert 0.1 < touched < 0.35


def test_strokes_grow_and_shrink():
    seen, clean = changed(AugmentConfig(thickness=1.0))
    change = seen.sum(1) / clean.sum(1)
    assert change.min() < 0.7
    assert change.max() > 1.3
    assert 0.4 < (change > 1).float().mean() < 0.6


def test_far_images_move_farther():
    mass = lambda images: (images.view(-1, 28, 28).sum(1) * torch.arange(28)).sum(1) / images.sum(1)  # noqa: E731
    seen, clean = changed(AugmentConfig(shift=2, far=0.5))
    moved = (mass(seen) - mass(digits().float())).abs()
    assert moved.max() > 2.5
    assert (mass(clean) - mass(digits().float())).abs().max() < 2.2


@pytest.mark.parametrize(
    "name", ["far", "thickness", "redrawn", "spoiled", "light", "blur", "erase"]
)
def test_shares_are_at_most_one(name):
    with pytest.raises(ConfigError, match=f"{name} must be at most 1, got 1.5"):
        AugmentConfig(**{name: 1.5})


def test_light_may_fall_off_to_one_side():
    blank = torch.zeros(400, 784)
    config = AugmentConfig(light=0.6, spoiled=1)
    lit = Augment(config, CPU)(blank, torch.Generator().manual_seed(0))[0].view(-1, 28, 28)
    assert lit.max() <= 0.6 * 255
    halves = [lit[:, :, :14], lit[:, :, 14:], lit[:, :14], lit[:, 14:]]
    left, right, above, below = (half.mean((1, 2)) for half in halves)
    for one, other in ((left, right), (above, below)):
        assert (one > 1.2 * other).float().mean() > 0.05
        assert (other > 1.2 * one).float().mean() > 0.05


def test_highest_around_is_that_of_max_pooling():
    pictures = digits(20).float().view(20, 1, 28, 28)
    expected = torch.nn.functional.max_pool2d(pictures, 3, stride=1, padding=1)
    assert torch.equal(_highest_around(pictures), expected)


def test_half_of_the_images_get_steeper_edges():
    seen, clean = changed(AugmentConfig(sharpness=6))
    share = ((clean > 20) & (clean < 235)).float().sum(1)  # neither ink nor ground
    sharper = ((seen > 20) & (seen < 235)).float().sum(1) < 0.9 * share
    assert 0.3 < sharper.float().mean() < 0.6


def test_displaced_strokes_stay_dark():
    stroke = torch.zeros(200, 28, 28)
    stroke[:, 6:22, 13:16] = torch.tensor([60.0, 255, 60])
    augment, random = Augment(AugmentConfig(shift=1), CPU), torch.Generator().manual_seed(0)
    seen, _ = augment(stroke.view(200, -1), random)
    assert seen.amax(1).min() > 170  # (255 + 60) / 2 where fetched from between two pixels alone
