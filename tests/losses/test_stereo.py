"""The losses of stereo signals are auraloss's, and loops' averages; their gradients are finite differences."""

from __future__ import annotations

import math

import auraloss
import numpy as np
import pytest
import torch
from scipy import signal
from torch.autograd import gradcheck

from diffapf.losses import DynamicRangeLoss, SpectralLoss, StereoLoss, esr
from tests.filters.oracles import normal

RATE = 44_100
SIZES = (128, 512, 2048)


@pytest.mark.parametrize("shape", [(2, 5000), (3, 2, 4100)], ids=str)
@pytest.mark.parametrize("weighted", [True, False])
def test_mss_is_auralosss(shape, weighted):
    """For mid and side as DiffVox calls it: L + R and L − R, without a factor."""
    prediction, target = 0.1 * normal(*shape).float(), 0.1 * normal(*shape, seed=1).float()
    target[..., :1000] = 0  # below the floor
    arguments = (SIZES, [size // 4 for size in SIZES], SIZES)
    options = {"perceptual_weighting": weighted, "sample_rate": RATE}
    oracle = auraloss.freq.MultiResolutionSTFTLoss(*arguments, **options)
    expected = float(oracle(prediction.reshape(-1, *shape[-2:]), target.reshape(-1, *shape[-2:])))
    stereo, mid_side = SpectralLoss(RATE, weighted=weighted).terms(prediction, target)
    assert float(stereo) == pytest.approx(expected, rel=2e-5)
    both = [torch.stack([x[..., 0, :] + x[..., 1, :], x[..., 0, :] - x[..., 1, :]]) for x in (prediction, target)]
    halves = [
        float(oracle(x.reshape(-1, 1, shape[-1]), y.reshape(-1, 1, shape[-1]))) for x, y in zip(*both, strict=True)
    ]
    assert float(mid_side) == pytest.approx(np.mean(halves), rel=2e-5)


@pytest.mark.parametrize("flattened", [False, True])
def test_mldr_is_its_equation(flattened):
    rate, times = 2000, ((5.0, 40.0), (10.0, 80.0))
    prediction, target = normal(2, 600).numpy(), 0.3 * normal(2, 600, seed=1).numpy()

    def average(power, ms):
        keep = math.exp(-2200 / (ms * rate))
        return np.log(signal.lfilter([1 - keep], [1, -keep], power, axis=-1))

    def levels(y, short, long):
        power = np.maximum(y**2, 1e-8)
        late = average(power, long)
        shift = -int(rate * (long - short) * 0.0005)
        return average(power, short) - (np.roll(late, shift) if flattened else np.roll(late, shift, -1))

    def rotated(y):
        return np.stack([y[0] + y[1], y[0] - y[1]]) / np.sqrt(2)

    expected = [
        sum(np.abs(levels(y, *pair) - levels(t, *pair)).mean() for pair in times)
        for y, t in ((prediction, target), (rotated(prediction), rotated(target)))
    ]
    found = DynamicRangeLoss(rate, times, flattened=flattened).terms(*map(torch.from_numpy, (prediction, target)))
    np.testing.assert_allclose([float(term) for term in found], expected, rtol=1e-9)


def test_the_sum_is_of_its_weighed_terms_and_a_target_may_be_heard_before():
    loss, x, y = StereoLoss(RATE, weights=(1.0, 2.0, 3.0, 4.0)), normal(2, 4000), normal(2, 4000, seed=1)
    terms = torch.stack(list(loss.terms(x, y).values()))
    torch.testing.assert_close(loss(x, y), terms @ torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.float64))
    assert torch.equal(loss(x, loss.heard(y)), loss(x, y))
    near = StereoLoss(RATE, weights=(1.0, 2.0, 3.0, 4.0), waveform=0.5)
    torch.testing.assert_close(near(x, y) - loss(x, y), 0.5 * torch.log(1 + esr(x, y) / 1e-6))
    torch.testing.assert_close(
        loss.spectral(x, y) + loss.dynamic_range(x, y), terms @ torch.tensor([1, 0.5, 1, 0.5]).double()
    )


def test_gradients_are_finite_differences():
    loss = StereoLoss(RATE, sizes=(32, 64))
    y = normal(2, 150, seed=1)
    x = (y + 0.3 * normal(2, 150)).requires_grad_()
    assert gradcheck(lambda x: loss(x, y), x, eps=1e-7, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("x", [normal(2, 3000), torch.zeros(2, 3000, dtype=torch.float64)], ids=["alike", "silent"])
def test_at_the_minimum_loss_and_gradient_are_numbers(x):
    guess = x.clone().requires_grad_()
    loss = StereoLoss(RATE)(guess, x)
    loss.backward()
    assert loss.item() == 0.0 and bool(guess.grad.isfinite().all())


@pytest.mark.parametrize(
    ("words", "prediction", "target"),
    [
        (r"must be stereo.*\(3, 4000\)", normal(3, 4000), normal(3, 4000)),
        ("longer than 1024 samples, got 1000", normal(2, 1000), normal(2, 1000)),
        ("must have one shape", normal(2, 4000), normal(2, 3999)),
    ],
)
def test_wrong_signals_are_refused(words, prediction, target):
    with pytest.raises(ValueError, match=words):
        SpectralLoss(RATE)(prediction, target)
    if "1024" not in words:
        with pytest.raises(ValueError, match="one shape" if prediction.shape[0] == 2 else "stereo"):
            DynamicRangeLoss(RATE)(prediction, target)
