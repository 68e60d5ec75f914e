"""Oscillator, shape, and the way from control rate to audio rate."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.autograd import gradcheck

from diffapf import LFO, ControlRate, FourierLFO
from diffapf.modulation import WaveShaper, upsample
from diffapf.parameters import named_parameters
from tests.effects.phasers import curve_loop
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


# -------------------------------------------------------------------------------------------------------- any curve's LFO

CURVE = {"rate_hz": 1.3, "cosines": [0.9, 0.2, -0.1], "sines": [-0.3, 0.15, 0.05], "phase": 0.2}
DRIFT = {"drift": [0.01, -0.03, 0.02, 0.05], "drift_start": 0.4, "drift_spacing": 0.3}
CURVES = {
    "harmonics": CURVE,
    "even": {**CURVE, "even": True},
    "drift": {**CURVE, **DRIFT},
    "even, drift": {**CURVE, **DRIFT, "even": True},
    "origin": {**CURVE, **DRIFT, "origin": -7.3},
}
each_curve = pytest.mark.parametrize("arguments", CURVES.values(), ids=CURVES)


@each_curve
def test_it_is_a_sum_of_harmonics(arguments):
    t = times(-1.0, 4.0)
    np.testing.assert_allclose(
        FourierLFO(**arguments)(t).detach(), curve_loop(t.numpy(), **arguments), rtol=0, atol=1e-12
    )


@quick
@given(st.floats(0.01, 20), st.floats(-math.pi, math.pi), st.floats(0, 2))
def test_one_cosine_is_the_lfo(rate_hz, phase, amplitude):
    t = times()
    one = FourierLFO(rate_hz, [amplitude], [0.0], phase / (2 * math.pi))
    torch.testing.assert_close(one(t), LFO(rate_hz, phase, amplitude).double()(t), rtol=0, atol=1e-12)


def test_a_drift_goes_on_as_between_its_nearest_knots():
    lfo = FourierLFO(1.0, drift=[0.0, 0.1, 0.3, 0.2], drift_start=10.0, drift_spacing=2.0)
    t = torch.tensor([0.0, 8.0, 10.0, 11.0, 12.0, 13.0, 14.0, 16.0, 18.0, 26.0], dtype=torch.float64)
    expected = [-0.5, -0.1, 0.0, 0.05, 0.1, 0.2, 0.3, 0.2, 0.1, -0.3]
    torch.testing.assert_close(lfo.cycles(t) - t, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-12)


def test_the_first_and_the_last_knot_are_held():
    lfo = FourierLFO(**CURVE, **DRIFT).double()
    assert [name for name in named_parameters(lfo) if name.startswith("drift")] == ["drift.1", "drift.2"]
    with torch.no_grad():
        lfo.drift.step += 0.5
    assert lfo.configuration()["drift"] == [0.01, 0.47, 0.52, 0.05]


@pytest.mark.parametrize(("even", "learned"), [(False, {"sine"}), (True, {"phase"})])
def test_phase_or_sines_are_learned(even, learned):
    lfo = FourierLFO(**CURVE, **DRIFT, even=even)
    names = {name.removesuffix(".step") for name, value in lfo.named_parameters() if value.requires_grad}
    assert names == {"rate_hz", "cosine", "drift"} | learned


@each_curve
def test_its_configuration_builds_an_equal_one(arguments):
    lfo, t = FourierLFO(**arguments), times(-1.0, 4.0)
    with torch.no_grad():
        for parameter in lfo.parameters():
            if parameter.requires_grad:
                parameter += 0.1
    lfo.move_origin(3.7)
    other = FourierLFO(**lfo.configuration())
    assert other.configuration() == lfo.configuration()
    assert torch.equal(other(t), lfo(t))


def test_its_arguments_are_read_back_exactly():
    arguments = {**CURVE, **DRIFT, "even": True, "origin": 0.1}
    assert FourierLFO(**arguments).float().configuration() == arguments
    assert FourierLFO(**arguments).harmonics == 3


@each_curve
@quick
@given(st.floats(-2 * HOUR, 2 * HOUR))
def test_moving_its_origin_keeps_the_oscillation(arguments, seconds):
    lfo, t = FourierLFO(**arguments), torch.cat([times(-1.0, 4.0), times(HOUR)])
    before = lfo(t)
    lfo.move_origin(seconds)
    torch.testing.assert_close(lfo(t), before, rtol=0, atol=1e-8)
    assert lfo.origin.item() == seconds
    phase = lfo.phase().item()
    assert abs(phase) <= 0.5 if lfo.even else phase == CURVE["phase"]
    if lfo.even:
        assert (lfo.cosine().tolist(), lfo.sine().tolist()) == (CURVE["cosines"], CURVE["sines"])


def test_a_moved_origin_is_in_a_checkpoint():
    lfo, other = FourierLFO(**CURVE, **DRIFT), FourierLFO(**{**CURVE, **DRIFT, "drift": [0.0] * 4})
    lfo.move_origin(5.0)
    other.load_state_dict(lfo.state_dict())
    t = times()
    assert torch.equal(other(t), lfo(t))


def test_a_single_precision_curve_keeps_its_clock_in_double():
    """What is set keeps every digit; only the steps of an optimiser are single."""
    arguments = {**CURVE, **DRIFT, "origin": 0.1, "rate_hz": 9.7}
    single, t = FourierLFO(**arguments).float(), times(HOUR)
    assert {value.dtype for value in single.parameters()} == {torch.float32}
    assert {value.dtype for value in single.buffers()} == {torch.float64}
    assert torch.equal(single(t), FourierLFO(**arguments).double()(t))
    single.move_origin(HOUR)
    np.testing.assert_allclose(single(t).detach(), curve_loop(t.numpy(), **arguments), rtol=0, atol=1e-8)


@each_curve
def test_the_curve_is_differentiable(arguments):
    lfo, t = FourierLFO(**arguments).double(), times(0.0, 0.2)
    learned = {name: value for name, value in lfo.named_parameters() if value.requires_grad}

    def values(*steps):
        return torch.func.functional_call(lfo, dict(zip(learned, steps, strict=True)), (t,))

    steps = tuple((value.detach() + 0.01).requires_grad_() for value in learned.values())
    assert gradcheck(values, steps, check_forward_ad=True, check_batched_forward_grad=True)


WRONG_CURVES = {
    "not as many": ({"cosines": [1.0, 0.5], "sines": [0.0]}, ValueError, "cosines and sines.*got 2 and 1"),
    "none": ({"cosines": [], "sines": []}, ValueError, "at least one, got 0 and 0"),
    "one number": ({"cosines": 1.0}, TypeError, r"cosines must be a sequence of numbers, got 1\.0"),
    "letters": ({"sines": "0"}, TypeError, "sines must be a sequence of numbers, got '0'"),
    "words": ({"sines": ["0"]}, ValueError, r"sines must be finite numbers, got \['0'\]"),
    "no finite number": ({"cosines": [math.nan]}, ValueError, r"cosines must be finite numbers, got \[nan\]"),
    "one knot": ({"drift": [0.0]}, ValueError, "drift.*at least three.*got 1"),
    "two knots": ({"drift": [0.0, 0.1]}, ValueError, "drift.*at least three.*got 2"),
    "an infinite end": ({"drift": [0.0, 0.1, math.inf]}, ValueError, "drift must be finite numbers.*inf"),
    "no spacing": ({"drift_spacing": 0.0}, ValueError, r"drift_spacing must be positive.*got 0\.0"),
    "spacing backwards": ({"drift_spacing": -1}, ValueError, "drift_spacing must be positive.*got -1"),
    "spacing that is none": ({"drift_spacing": math.nan}, ValueError, "drift_spacing.*nan"),
    "start": ({"drift_start": math.inf}, ValueError, "drift_start must be a finite number, got inf"),
    "origin": ({"origin": math.nan}, ValueError, "origin must be a finite number, got nan"),
    "rate": ({"rate_hz": "fast"}, ValueError, "rate_hz must be a finite number, got 'fast'"),
    "phase": ({"phase": True}, ValueError, "phase must be a finite number, got True"),
    "even": ({"even": "yes"}, TypeError, "even must be True or False, got 'yes'"),
    "unknown": ({"colour": 1}, TypeError, "colour"),
}


@pytest.mark.parametrize(("arguments", "kind", "message"), WRONG_CURVES.values(), ids=WRONG_CURVES)
def test_a_wrong_curve_is_named_with_what_is_needed(arguments, kind, message):
    with pytest.raises(kind, match=message):
        FourierLFO(**arguments)


@pytest.mark.parametrize("seconds", [math.nan, "soon"])
def test_an_origin_is_a_time(seconds):
    lfo = FourierLFO(**CURVE)
    with pytest.raises(ValueError, match=f"origin must be a finite number of seconds, got .?{seconds}"):
        lfo.move_origin(seconds)
    assert lfo.configuration()["cosines"] == CURVE["cosines"]


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


@pytest.mark.parametrize("make", [lambda: LFO(2.0, 0.3), lambda: FourierLFO(2.0, [1.0, 0.2], [0.1, 0.0])])
def test_a_turned_lfo_comes_earlier(make):
    plain, turned = make(), make()
    turned.turn(0.25)
    seconds = torch.linspace(0, 1, 50, dtype=torch.float64)
    torch.testing.assert_close(turned(seconds), plain(seconds + 0.125))


@pytest.mark.parametrize("make", [lambda: LFO(2.0, 0.3), lambda: FourierLFO(2.0, [1.0, 0.2], [0.1, 0.0])])
def test_a_centred_lfo_is_the_same_and_its_rate_is_scaled(make):
    """A step of the rate by 1 turns the ends of the part by one radian."""
    plain, centred = make(), make()
    centred.centre(10.0, 14.0)
    seconds = torch.linspace(10, 14, 50, dtype=torch.float64)
    torch.testing.assert_close(centred(seconds), plain(seconds))
    before = centred.rate_hz().item()
    with torch.no_grad():
        centred.rate_hz.step += 1.0
    assert 2 * math.pi * (centred.rate_hz().item() - before) * 2.0 == pytest.approx(1.0)
