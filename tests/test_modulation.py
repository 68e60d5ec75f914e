"""Oscillator, shape, and the way from control rate to audio rate."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.autograd import gradcheck

from diffapf import LFO, ControlRate
from diffapf.modulation import WaveShaper, upsample
from tests.filters.oracles import normal, quick

HOUR = 3600.0


def times(start: float = 0.0, seconds: float = 2.0) -> torch.Tensor:
    return start + torch.arange(round(100 * seconds), dtype=torch.float64) / 100


def oscillator(rate_hz: float = 1.3, phase: float = 0.4, **arguments) -> LFO:
    return LFO(rate_hz, phase, amplitude=0.7, **arguments).double()


def test_it_is_a_cosine():
    t = times()
    expected = 0.7 * np.cos(2 * np.pi * 1.3 * t.numpy() + 0.4)
    np.testing.assert_allclose(oscillator()(t).detach(), expected, rtol=0, atol=1e-14)


def test_damping_is_for_training_only():
    lfo, t = oscillator(damping=0.3), times()
    bare = lfo.eval()(t)
    torch.testing.assert_close(bare, oscillator()(t), rtol=0, atol=0)
    decay = torch.exp(-(0.3**2) * torch.arange(len(t)))
    torch.testing.assert_close(lfo.train()(t), bare * decay)


@pytest.mark.parametrize(("damping", "learnable"), [(0.0, False), (0.6, True)])
def test_damping_is_learned_if_there_is_any(damping, learnable):
    assert LFO(damping=damping).damping.step.requires_grad is learnable


def test_a_frozen_lfo_sounds_as_before():
    """What is learned is not what is computed."""
    lfo, t = oscillator(damping=0.3).train(), times()
    before = lfo(t).detach()
    torch.testing.assert_close(lfo.requires_grad_(False)(t), before, rtol=0, atol=0)


@quick
@given(st.floats(-20, 20), st.floats(-10, 10), st.floats(-2 * HOUR, 2 * HOUR))
def test_moving_the_origin_keeps_the_oscillation(rate_hz, phase, seconds):
    lfo, t = oscillator(rate_hz, phase), torch.cat([times(), times(HOUR)])
    before = lfo(t)
    lfo.move_origin(seconds)
    torch.testing.assert_close(lfo(t), before, rtol=0, atol=1e-8)
    assert abs(lfo.phase().item()) <= math.pi
    assert lfo.origin.item() == seconds


@pytest.mark.parametrize(("start", "stop"), [(0.0, 5.0), (55.0, 60.0), (HOUR, HOUR + 0.1)])
def test_centring_keeps_the_oscillation_and_evens_the_slopes(start, stop):
    lfo, t = oscillator(), times(start, stop - start)
    before = lfo(t).detach()
    lfo.centre(start, stop)
    torch.testing.assert_close(lfo(t), before, rtol=0, atol=1e-9)
    assert lfo.origin.item() == (start + stop) / 2
    assert lfo.rate_hz.scale.item() == pytest.approx(1 / (math.pi * (stop - start)))
    with torch.no_grad():
        lfo.rate_hz.step += 1.0
    ends = 2 * math.pi * (lfo.rate_hz().item() - 1.3) * (stop - start) / 2
    assert ends == pytest.approx(1.0), "a step of 1 moves the phase at the ends by 1 rad, as a step of the phase does"


def test_origins_add_up():
    lfo, t = oscillator(), times()
    before = lfo(t)
    for seconds in (10.0, -300.0, 7.5, 0.0):
        lfo.move_origin(seconds)
    torch.testing.assert_close(lfo(t), before, rtol=0, atol=1e-10)


def test_phase_is_kept_in_double_precision():
    t = times(HOUR)
    single = LFO(9.7, 0.4, amplitude=0.7)(t)
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), oscillator(9.7)(t), rtol=0, atol=1e-7)


@pytest.mark.parametrize("training", [False, True])
def test_the_lfo_is_differentiable(training):
    lfo, t = oscillator(damping=0.3).train(training), times(seconds=0.2)
    names = [name for name, _ in lfo.named_parameters()]

    def values(*steps):
        return torch.func.functional_call(lfo, dict(zip(names, steps, strict=True)), (t,))

    steps = tuple(torch.full((), 0.1, dtype=torch.float64, requires_grad=True) for _ in names)
    assert gradcheck(values, steps, check_forward_ad=True)


# --------------------------------------------------------------------------------------------------------------- shaper


def test_a_residual_shaper_starts_as_the_identity():
    s = normal(3, 20)
    assert torch.equal(WaveShaper().double()(s), s)
    assert not torch.allclose(WaveShaper(residual=False).double()(s), s)


def test_a_residual_shaper_can_learn_at_once():
    """Zeros in the last layer alone: its gradient is not zero."""
    shaper = WaveShaper().double()
    shaper(normal(20)).square().sum().backward()
    assert (shaper.network[-1].weight.grad != 0).all()


def test_the_shaper_is_the_published_network():
    layers = [tuple(layer.weight.shape) for layer in WaveShaper(residual=False).network if hasattr(layer, "weight")]
    assert layers == [(8, 1), (8, 8), (8, 8), (1, 8)]
    assert sum(parameter.numel() for parameter in WaveShaper().parameters()) == 169


# ------------------------------------------------------------------------------------------------------------- upsample


@quick
@given(st.integers(1, 9), st.integers(1, 7), st.floats(0, 1), st.integers(1, 60))
def test_upsample_interpolates_and_holds_the_last_frame(frames, hop, offset, time):
    control = normal(2, frames, seed=frames)
    found = upsample(control, ControlRate.hop(hop, offset * hop), time)
    at = offset + np.arange(time) / hop
    for row, expected in zip(found, control.numpy(), strict=True):
        np.testing.assert_allclose(row, np.interp(at, np.arange(frames), expected), rtol=0, atol=1e-13)


def test_upsample_with_aligned_corners_is_torchs():
    control = normal(1, 1, 6)
    expected = torch.nn.functional.interpolate(control, 41, mode="linear", align_corners=True)
    torch.testing.assert_close(upsample(control, ControlRate.align_corners(6, 41), 41), expected)


def test_upsample_is_differentiable():
    control, rate = normal(2, 4).requires_grad_(), ControlRate.hop(5)
    assert gradcheck(lambda frames: upsample(frames, rate, 18), control, check_forward_ad=True)
