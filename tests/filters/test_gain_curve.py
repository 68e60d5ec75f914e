"""The static curve is its definition and torchcomp's, and its derivatives those of finite differences."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from diffapf.filters.gain_curve import UNITS, gain_curve
from tests.filters.checks import assert_derivatives, assert_transforms
from tests.filters.oracles import quick, within

SHAPES = {
    "hard": {},
    "soft": {"knee": 6.0},
    "expander": {"knee": 4.0, "expander_threshold": -50.0, "expander_ratio": 0.5},
}
each_shape = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
each_unit = pytest.mark.parametrize("unit", UNITS)


def levels(*shape: int, unit: str = "amplitude", seed: int = 0) -> Tensor:
    """From −70 to 10 dB."""
    loudness, k = within(40.0, *shape, seed=seed) - 30.0, UNITS[unit]
    return torch.exp(loudness / k) if k else loudness


def ramp(u: float, width: float) -> float:
    if 2 * abs(u) < width:
        return (u + width / 2) ** 2 / (2 * width)
    return max(u, 0.0)


def definition(loudness, threshold, ratio, knee=0.0, expander_threshold=None, expander_ratio=None):
    gain = -(1 - 1 / ratio) * ramp(loudness - threshold, knee)
    if expander_threshold is not None:
        gain -= (1 / expander_ratio - 1) * ramp(expander_threshold - loudness, knee)
    return gain


@pytest.mark.parametrize("decibels", [False, True])
@each_unit
@each_shape
def test_it_is_its_definition(shape, unit, decibels):
    level = levels(200, unit=unit)
    loudness = {"amplitude": lambda v: 20 * np.log10(v), "power": lambda v: 10 * np.log10(v), "dB": lambda v: v}[unit]
    expected = np.array([definition(value, -20.0, 4.0, **shape) for value in loudness(level.numpy())])
    found = gain_curve(level, -20.0, 4.0, **shape, unit=unit, decibels=decibels)
    np.testing.assert_allclose(found, expected if decibels else 10 ** (expected / 20), rtol=1e-12, atol=1e-12)


@quick
@given(st.floats(-60, 0), st.floats(1.0, 100.0), st.floats(0, 20))
def test_more_level_never_means_less_output_and_the_curve_is_continuous(threshold, ratio, knee):
    loudness = torch.linspace(-80, 20, 5001, dtype=torch.float64)
    gain = gain_curve(loudness, threshold, ratio, knee, unit="dB", decibels=True)
    rises = (loudness + gain).diff() / loudness.diff()
    assert bool((rises > 1 / ratio - 1e-9).all()) and bool((rises < 1 + 1e-9).all())
    assert bool((gain <= 0).all())
    assert float(gain[0]) == 0.0


def test_an_infinite_ratio_holds_the_threshold():
    gain = gain_curve(levels(100), -20.0, math.inf)
    torch.testing.assert_close((gain * levels(100)).clamp_min(0.1), torch.full((100,), 0.1).double())
    assert gain_curve(levels(100).requires_grad_(), -20.0, torch.tensor(math.inf).double()).sum().backward() is None


def test_it_is_torchcomps():
    core = pytest.importorskip("torchcomp", reason="torchcomp is not installed")
    level = levels(2, 300)
    instant = 1 - 1e-14
    wanted = core.compexp_gain(level, -20.0, 3.0, -45.0, 0.6, instant, instant)
    found = gain_curve(level, -20.0, 3.0, expander_threshold=-45.0, expander_ratio=0.6)
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-9)


def test_silence_is_no_disaster():
    level = torch.tensor([0.0, 1e-320, -1.0, 0.5]).double().requires_grad_()
    for unit in ("amplitude", "power"):
        gain = gain_curve(level, -20.0, 4.0, expander_threshold=-50.0, expander_ratio=0.5, unit=unit)
        assert bool(gain.isfinite().all()) and bool((gain >= 0).all())
        (slopes,) = torch.autograd.grad(gain.sum(), level)
        assert slopes[:3].tolist() == [0.0, 0.0, 0.0]
        assert bool((gain_curve(level, -20.0, 4.0, unit=unit)[:3] == 1).all())


def test_what_is_no_number_stays_none():
    gain = gain_curve(torch.tensor([0.01, torch.nan, 0.5]), -20.0, 2.0)
    assert gain.isnan().tolist() == [False, True, False]


def function_of(unit: str, decibels: bool, knee: bool, expander: bool):
    """Of numbers that may be anything: finite steps and other signs leave it a curve."""

    def function(loudness, threshold, ratio, *others):
        k = UNITS[unit]
        level = torch.exp(10 * loudness / k) if k else 10 * loudness
        values = [20 * threshold, 1 + torch.exp(ratio)]
        if knee:
            values.append(4 * torch.exp(others[0]))
        if expander:
            values += [20 * others[-2] - 40, torch.sigmoid(others[-1])]
        names = ["threshold", "ratio"] + ["knee"] * knee + ["expander_threshold", "expander_ratio"] * expander
        numbers = dict(zip(names, values, strict=True))
        return gain_curve(level, **numbers, unit=unit, decibels=decibels) / (20 if decibels else 1)

    return function


def inputs(knee: bool, expander: bool, time: int = 7) -> tuple[Tensor, ...]:
    loudness = within(5.0, 2, time) - 3.0
    return loudness, *(within(1.0, 2, seed=i + 1) - 0.5 * (i == 0) for i in range(2 + knee + 2 * expander))


@pytest.mark.parametrize(("knee", "expander"), [(False, False), (True, False), (True, True)])
@pytest.mark.parametrize(("unit", "decibels"), [("amplitude", True), ("power", False), ("dB", True)])
def test_derivatives_are_those_of_finite_differences(unit, decibels, knee, expander):
    assert_derivatives(function_of(unit, decibels, knee, expander), *inputs(knee, expander))


@pytest.mark.parametrize("expander", [False, True])
@pytest.mark.parametrize("unit", ["power", "dB"])
def test_transforms(unit, expander):
    assert_transforms(function_of(unit, unit == "dB", True, expander), *inputs(True, expander, 3))


@pytest.mark.parametrize("batch", [(), (2, 3), (0,)], ids=str)
def test_batches_of_any_shape(batch):
    level = levels(*batch, 8)
    assert gain_curve(level, -20.0, torch.tensor(2.0).double()).shape == level.shape


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_float32_is_float64_to_rounding(dtype):
    level = levels(1000)
    found = gain_curve(level.to(dtype), -30.0, 5.0, 3.0)
    assert found.dtype == dtype
    torch.testing.assert_close(found.double(), gain_curve(level, -30.0, 5.0, 3.0), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("error", "words", "call"),
    [
        (ValueError, ["unit", "amplitude", "'sones'"], lambda v: gain_curve(v, -20.0, 2.0, unit="sones")),
        (ValueError, ["expander_threshold", "both"], lambda v: gain_curve(v, -20.0, 2.0, expander_ratio=0.5)),
        (ValueError, ["threshold", "(2,)", "(3,)"], lambda v: gain_curve(v, torch.ones(3), 2.0)),
        (TypeError, ["ratio", "str"], lambda v: gain_curve(v, -20.0, "2")),
        (TypeError, ["decibels", "True or False"], lambda v: gain_curve(v, -20.0, 2.0, decibels=1)),
        (TypeError, ["level", "float32 or float64"], lambda v: gain_curve(v.long(), -20.0, 2.0)),
    ],
)
def test_errors_say_what_is_needed(error, words, call):
    with pytest.raises(error) as raised:
        call(torch.ones(2, 5))
    assert all(word in str(raised.value) for word in words)
