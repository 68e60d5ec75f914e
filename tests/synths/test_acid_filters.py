"""The acid synth's filters: what they are, and stable for any numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from diffapf.filters.control_rate import ControlRate
from diffapf.filters.stability import is_stable
from diffapf.synths.acid_filters import Coefficients, Ladder, LowPass
from tests.filters.oracles import normal, quick

RATE = 48_000
FILTERS = {
    "coefficients": Coefficients(),
    "coefficients as published": Coefficients(normalised=False),
    "lowpass": LowPass(8000.0),
    "lowpass to 20 kHz": LowPass(),
    "ladder": Ladder(),
}
each_filter = pytest.mark.parametrize("filter", FILTERS.values(), ids=FILTERS)
any_numbers = st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=6, max_size=6)


def from_numbers(filter, numbers: list[float], dtype: torch.dtype) -> dict[str, Tensor]:
    raw, values = torch.tensor(numbers, dtype=dtype), {}
    for control in filter.controls:
        own = raw[None, :5] if control.channels > 1 else raw[:1] if control.moves else raw[5]
        values[control.name] = control.value(own)
    return values


@each_filter
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("rate", [RATE, 44_100, 96_000])
@quick
@given(numbers=any_numbers)
def test_any_numbers_are_a_stable_filter(filter, dtype, rate, numbers):
    for _, a in filter.sections(from_numbers(filter, numbers, dtype), rate):
        assert a.dtype == dtype
        assert bool(is_stable(a.double()).all()), a


@each_filter
@quick
@given(
    numbers=st.lists(st.floats(-1e4, 1e4), min_size=6, max_size=6), others=st.lists(st.floats(-1e4, 1e4), min_size=6)
)
def test_it_stays_finite_however_it_moves(filter, numbers, others):
    """A frame of these numbers, a frame of those, by turns, every 32 samples."""
    one, two = (from_numbers(filter, each, torch.float64) for each in (numbers, others[:6]))
    values = {
        control.name: torch.cat([one[control.name], two[control.name]] * 10) if control.moves else one[control.name]
        for control in filter.controls
    }
    y, _ = filter.moving(values, RATE, 32, ControlRate.hop(32)).run(normal(640))
    assert bool(y.isfinite().all())


def gain(filter, values: dict[str, Tensor], hz: float) -> float:
    omega = torch.tensor([2 * np.pi * hz / RATE]).double()
    return float(filter.moving(values, RATE, 32, ControlRate.hop(32)).response(omega).abs())


def test_the_ladder_is_four_equal_poles_in_a_loop():
    """Its analogue prototype, 1/((s + 1)⁴ + k), but for its gain at 0 Hz, far below half the sample rate and far above ε."""
    for k in (0.5, 2.0, 3.9):
        values = {"cutoff_hz": torch.tensor([3000.0]).double(), "resonance": torch.tensor(k).double()}
        for hz in (1500.0, 3000.0, 4500.0):
            s = 1j * np.tan(np.pi * hz / RATE) / np.tan(np.pi * 3000 / RATE)
            assert gain(Ladder(), values, hz) == pytest.approx(abs((1 + k) / ((1 + s) ** 4 + k)), rel=0.15)


@pytest.mark.parametrize(("cutoff_hz", "q"), [(100.0, 2.0), (1000.0, 2.0), (6000.0, 0.8)])
def test_the_margin_moves_a_low_cutoff_as_it_says(cutoff_hz, q):
    values = {"cutoff_hz": torch.tensor([cutoff_hz]).double(), "q": torch.tensor(q).double()}
    poles_at = np.hypot(cutoff_hz, np.sqrt(1e-3) * 48_000 / (2 * np.pi))
    assert gain(LowPass(), values, 0.0) == pytest.approx((cutoff_hz / poles_at) ** 2, rel=0.01)


def test_normalised_coefficients_start_from_a_low_pass_of_a_kilohertz():
    values = {"logits": torch.zeros(1, 5).double()}
    assert gain(Coefficients(), values, 0.0) == pytest.approx(1.0)
    assert gain(Coefficients(), values, 24_000.0) < 1e-9
    at_3_db = [hz for hz in range(200, 5000, 10) if gain(Coefficients(), values, hz) > np.sqrt(0.5)][-1]
    assert 500 < at_3_db < 2000
