"""The cookbook's filters have the gains they promise, at the frequencies they promise, and are stable."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import signal
from torch import Tensor

from diffapf.filters import biquads
from diffapf.filters.iir import lfilter
from diffapf.filters.stability import is_stable
from tests.filters.checks import assert_derivatives
from tests.filters.oracles import SAMPLE_RATE, normal, quick

audible = st.floats(20.0, 20_000.0)
qs = st.floats(0.3, 20.0)
gains = st.floats(-24.0, 24.0)
NYQUIST = SAMPLE_RATE / 2

WITHOUT_GAIN = [biquads.lowpass, biquads.highpass, biquads.bandpass, biquads.notch, biquads.allpass]
WITH_GAIN = [biquads.peak, biquads.low_shelf, biquads.high_shelf]


def scalar(value: float) -> Tensor:
    return torch.tensor(value, dtype=torch.float64)


def response(filter_, frequency: float) -> complex:
    b, a = (value.numpy() for value in filter_)
    return signal.freqz(b, a, [frequency], fs=SAMPLE_RATE)[1][0]


def decibels(filter_, frequency: float) -> float:
    return 20 * np.log10(np.abs(response(filter_, frequency)))


@quick
@given(audible, qs)
def test_filters_without_gain(frequency, q):
    low, high, band, stop, around = (design(scalar(frequency), scalar(q), SAMPLE_RATE) for design in WITHOUT_GAIN)
    near = {"abs": 1e-5}
    assert abs(response(low, 0)) == pytest.approx(1, **near)
    assert abs(response(high, NYQUIST)) == pytest.approx(1, **near)
    assert abs(response(low, frequency)) == pytest.approx(q, rel=1e-5)
    assert abs(response(high, frequency)) == pytest.approx(q, rel=1e-5)
    assert response(band, frequency) == pytest.approx(1, **near)
    assert abs(response(band, 0)) == pytest.approx(0, **near)
    assert abs(response(stop, frequency)) == pytest.approx(0, **near)
    assert abs(response(stop, 0)) == pytest.approx(1, **near)
    assert response(around, frequency) == pytest.approx(-1, **near)
    assert abs(response(around, 0.6 * frequency)) == pytest.approx(1, **near)


@quick
@given(audible, qs, gains)
def test_filters_with_gain(frequency, q, gain):
    peak, low, high = (design(scalar(frequency), scalar(q), scalar(gain), SAMPLE_RATE) for design in WITH_GAIN)
    ends = {0: (0, gain, 0), NYQUIST: (0, 0, gain)}
    assert decibels(peak, frequency) == pytest.approx(gain, abs=1e-4)
    assert decibels(low, frequency) == pytest.approx(gain / 2, abs=1e-4)
    assert decibels(high, frequency) == pytest.approx(gain / 2, abs=1e-4)
    for end in (0, NYQUIST):
        for design, expected in zip((peak, low, high), ends[end], strict=True):
            assert decibels(design, end) == pytest.approx(expected, abs=1e-3)


@quick
@given(audible, qs, gains)
def test_all_are_stable_and_normalised(frequency, q, gain):
    arguments = scalar(frequency), scalar(q)
    designs = [design(*arguments, SAMPLE_RATE) for design in WITHOUT_GAIN]
    designs += [design(*arguments, scalar(gain), SAMPLE_RATE) for design in WITH_GAIN]
    assert all(is_stable(a) and a[0] == 1 for _, a in designs)


def test_narrow_filters_are_scipys():
    """`iirpeak` and `iirnotch` are the same bilinear transforms, by another formula for the bandwidth."""
    frequency, q = 3000.0, 30.0
    for design, scipys in ((biquads.bandpass, signal.iirpeak), (biquads.notch, signal.iirnotch)):
        b, a = design(scalar(frequency), scalar(q), SAMPLE_RATE)
        expected = scipys(frequency, q, SAMPLE_RATE)
        np.testing.assert_allclose(b, expected[0], atol=1e-3)
        np.testing.assert_allclose(a, expected[1], atol=1e-3)


def test_parameters_broadcast_and_a_gain_of_0_db_is_no_filter():
    frequencies = torch.tensor([[100.0], [1000.0]], dtype=torch.float64)
    b, a = biquads.peak(frequencies, torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64), 0.0, SAMPLE_RATE)
    assert b.shape == a.shape == (2, 3, 3)
    torch.testing.assert_close(b, a)


@pytest.mark.parametrize("design", WITH_GAIN, ids=lambda design: design.__name__)
def test_gradients_reach_the_parameters_through_the_filter(design):
    x = normal(1, 6)
    parameters = scalar(0.1), scalar(0.8), scalar(3.0)
    assert_derivatives(lambda *knobs: lfilter(*design(*knobs, 1.0), x), *parameters)
