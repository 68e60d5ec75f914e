"""The simulated plate is its differential equations, and is kept."""

import numpy as np
import pytest
from scipy import signal

from data import cache
from data.plate import SETTINGS, simulate
from data.signals import SAMPLE_RATE


@pytest.fixture(scope="module")
def response():
    return simulate(SETTINGS["PL-A"], 0.2)


def test_it_is_the_sum_of_damped_oscillators(response):
    """Of each q'' + 2σ q' + ω² q = impulse the step is exact: sines from zero, which SciPy plays by its resonators."""
    omega, decay, drive = SETTINGS["PL-A"].modes()
    impulse, expected = signal.unit_impulse(len(response)), np.zeros(len(response))
    for turn, loss, b in zip(omega / SAMPLE_RATE, decay / SAMPLE_RATE, drive, strict=True):
        expected += signal.lfilter([0, b], [1, -2 * np.exp(-loss) * np.cos(turn), np.exp(-2 * loss)], impulse)
    np.testing.assert_allclose(response, expected / np.abs(expected).max(), rtol=0, atol=1e-9)
    assert response[0] == 0 and np.abs(response).max() == 1


def test_modes_reach_10_khz_and_ring_as_they_should():
    omega, decay, _ = SETTINGS["PL-B"].modes()
    assert 1500 < len(omega) < 3000 and 9900 < omega.max() / (2 * np.pi) < 10_000
    np.testing.assert_allclose(
        np.interp(2 * np.pi * 500, np.sort(omega), np.sort(decay)), 3 * np.log(10) / 2, rtol=1e-3
    )


def test_it_is_kept_and_other_settings_are_told(tmp_path, monkeypatch):
    monkeypatch.setenv("DIFFAPF_CACHE", str(tmp_path))
    first = cache.plate_response("PL-A", progress=False, seconds=0.05)
    monkeypatch.setattr(cache, "_make", None)
    np.testing.assert_array_equal(cache.plate_response("PL-A", progress=False, seconds=0.05), first)
    with pytest.raises(ValueError, match="PL-A, PL-B, PL-C"):
        cache.plate_response("PL-Z")
