"""The all-pole vocal tract: stable from any numbers, also between frames, where direct forms are not."""

from __future__ import annotations

import pytest
import torch

from diffapf.filters.allpole import allpole
from diffapf.filters.stability import is_stable
from diffapf.synths.linear_prediction import predicted
from diffapf.synths.vocal_tract import SHAPES, VocalTract, between_frames, room

HOP, ORDER = 240, 22


def with_one(a):
    return torch.nn.functional.pad(a, (1, 0), value=1.0)


def random_frames(spread: float) -> torch.Tensor:
    """A thousand pairs of frames that have nothing to do with each other, each a stable filter."""
    random = torch.Generator().manual_seed(22)
    return spread * torch.randn(1000, 2, ORDER, generator=random, dtype=torch.float64)


def louder(tract: VocalTract, numbers: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """By what factor the output between two frames is above that of either frame's own filter, for each pair."""
    alone = torch.stack([tract(x, numbers[:, frame : frame + 1]).abs().amax(-1) for frame in (0, 1)]).amax(0)
    return tract(x, numbers).abs().amax(-1) / alone


@pytest.mark.parametrize("shape", SHAPES)
def test_any_numbers_are_a_stable_filter(shape):
    tract = VocalTract(HOP, ORDER, shape)
    numbers = torch.randn(200, tract.channels, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert bool(is_stable(with_one(tract.coefficients(numbers))).all())


def test_between_stable_frames_a_direct_form_is_not_stable_and_ours_stays_bounded():
    x = torch.randn(1000, 2 * HOP, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    ours, published = VocalTract(HOP, ORDER), VocalTract(HOP, ORDER, subframes=1)
    near, far = random_frames(0.3), random_frames(0.6)
    assert louder(ours, near, x).max() < 2 and louder(published, near, x).max() > 1e6
    assert louder(ours, far, x).max() < 1000 and louder(published, far, x).max() > 1e30
    assert bool(is_stable(with_one(ours.coefficients(between_frames(near, 8)))).all())


def test_float32_numbers_and_signals_are_enough():
    numbers = random_frames(0.3)
    x = torch.randn(1000, 2 * HOP, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    tract = VocalTract(HOP, ORDER)
    exact, rounded = tract(x, numbers), tract(x.float(), numbers.float()).double()
    assert 20 * torch.log10((rounded - exact).norm(dim=-1) / exact.norm(dim=-1)).max() < -90


def test_poles_next_to_the_circle_do_not_overflow_in_float32():
    """What an untrained network gave: in coefficients of float32 the filter is not stable."""
    numbers = torch.tensor(
        [1.9, 1.6, 1.1, 0.5, 0.4, 0.3, 0.9, 1.4, 2.0, 2.3, 2.6, 2.2, 2.7, 1.7, 0.9, 1.1, 0.5, 0.3, 0.3, 0.5, 0.2, 0.7]
    )
    x = torch.randn(24_000, generator=torch.Generator().manual_seed(5))
    for signs in (1, -1):
        y = VocalTract(HOP, ORDER)(x, (numbers * torch.tensor([1.0, signs] * 11)).expand(101, -1))
        assert bool(y.isfinite().all())


def test_sample_wise_is_the_filter_at_every_sample():
    tract = VocalTract(40, 4)
    numbers = 0.5 * torch.randn(2, 4, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    x = torch.randn(2, 120, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    finer = tract.coefficients(between_frames(numbers, 8))
    place = torch.arange(120) / 5
    first = place.long()
    a = torch.lerp(finer[:, first], finer[:, (first + 1).clamp(max=31)], (place - first)[:, None].double())
    assert torch.allclose(tract(x, numbers), allpole(x, a), atol=1e-10)


def test_prediction_is_the_inverse_of_a_response():
    numbers = 0.5 * torch.randn(5, 8, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    a = with_one(VocalTract(HOP, 8).coefficients(numbers))
    k, left = predicted(4 / torch.fft.rfft(a, 4096).abs().square(), 8)
    assert torch.allclose(k, 0.998 * torch.tanh(numbers), atol=1e-4) and torch.allclose(
        left, torch.full((5,), 4.0).double(), rtol=1e-3
    )


def test_a_room_is_its_taps():
    impulse = torch.zeros(6)
    impulse[0] = 1
    assert torch.allclose(
        room(impulse, torch.tensor([0.5, 0.0, -0.25])), torch.tensor([1.0, 0.5, 0.0, -0.25, 0.0, 0.0]), atol=1e-6
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"shape": "lattice"}, "shape must be one of reflection"),
        ({"order": 3, "shape": "biquads"}, "even for biquads"),
        ({"subframes": 7}, "subframes must divide the hop"),
    ],
)
def test_wrong_arguments_are_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        VocalTract(HOP, **arguments)
