"""Latency to a fraction of a sample, polarity and drift, through effects that turn phases themselves."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from scipy.interpolate import make_interp_spline
from scipy.signal import butter, lfilter, resample

from data.channel_strip import equalised, setting
from data.programme import programme
from diffapf import LFO, Phaser
from diffapf.identification.alignment import Alignment, align
from diffapf.identification.robust import theil_sen

RATE = 44_100
SECONDS = 12.0


@cache
def dry(seconds: float = SECONDS) -> np.ndarray:
    return programme(seconds)


def phaser(x: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return Phaser(RATE, lfo=LFO(0.7), feedback=0.5).double()(torch.from_numpy(x)).numpy()


def compressor(x: np.ndarray) -> np.ndarray:
    """4:1 above −30 dB, by a mean of 20 ms."""
    level = 10 * np.log10(lfilter([1 / 882], [1, -881 / 882], x * x) + 1e-9)
    return x * 10 ** (-0.75 * np.maximum(level + 30, 0) / 20)


def shelves_and_peaks(x: np.ndarray) -> np.ndarray:
    knobs = setting("EQ", 3)
    return equalised(
        x, replace(knobs, bands={name: band for name, band in knobs.bands.items() if "pass" not in name}), RATE
    )


EFFECTS = {"nothing": lambda x: x, "equaliser": shelves_and_peaks, "phaser": phaser, "compressor": compressor}


@cache
def wet(effect: str) -> np.ndarray:
    return EFFECTS[effect](dry())


def late(x: np.ndarray, delay: float) -> np.ndarray:
    """By any fraction of a sample, through the spectrum; what leaves the file is cut, not wrapped."""
    length = 2 ** math.ceil(math.log2(len(x) + 6000))
    omega = 2 * np.pi * np.arange(length // 2 + 1) / length
    y = np.fft.irfft(np.fft.rfft(x, length) * np.exp(-1j * omega * delay), length)[: len(x)]
    return y[: len(x) + math.floor(min(delay, 0.0))]


def found(x: np.ndarray, y: np.ndarray) -> Alignment:
    noise = 5e-5 * np.random.default_rng(0).standard_normal(len(y))
    return align(torch.from_numpy(x), torch.from_numpy(y + noise), RATE)


@pytest.mark.parametrize(("delay", "sign"), [(13.37, -1), (-500.0, 1), (4999.63, -1)])
@pytest.mark.parametrize("effect", EFFECTS)
def test_latency_and_polarity(effect, delay, sign):
    alignment = found(dry(), sign * 0.7 * late(wet(effect), delay))
    assert alignment.polarity == sign
    assert alignment.delay == pytest.approx(delay, abs=0.05 if effect == "compressor" else 0.02)
    assert abs(alignment.delay - delay) <= 2 * alignment.error + 1e-3
    assert alignment.error < 0.3 and not alignment.drifts


def test_a_strong_low_pass_is_uncertain():
    low = lfilter(*butter(4, 3000, fs=RATE), dry())
    alignment = found(dry(), late(low, 20.0))
    assert alignment.error > 0.3 and abs(alignment.delay - 20) < 2.5 * alignment.error


def drifting(x: np.ndarray, ppm: float) -> np.ndarray:
    """Recorded by a clock that is slow: 10 samples late at first, and by ppm more with each sample; a spline of order 5."""
    n = np.arange(len(x))
    spline = make_interp_spline(np.arange(2 * len(x)) / 2, resample(x, 2 * len(x)), k=5)
    return spline(np.clip(n - 10 - 1e-6 * ppm * n, 0, len(x) - 1))


@pytest.mark.parametrize(("effect", "ppm"), [("compressor", 2.0), ("phaser", 20.0), ("equaliser", -100.0)])
def test_drift(effect, ppm):
    x = dry(24.0)
    alignment = found(x, drifting(EFFECTS[effect](x), ppm))
    assert alignment.drifts
    assert alignment.drift_ppm == pytest.approx(ppm, abs=0.1)
    assert alignment.delay == pytest.approx(10 + 1e-6 * ppm * len(x) / 2, abs=0.1)


def test_recordings_that_are_too_short():
    with pytest.raises(ValueError, match="at least 16384 samples long to be aligned, got 9000"):
        align(torch.zeros(9000), torch.zeros(9000), RATE)


def test_a_line_through_points_of_which_a_quarter_is_wrong():
    t = torch.arange(40.0, dtype=torch.float64)
    y = (
        3
        - 0.5 * (t - t.mean())
        + 0.01 * torch.randn(40, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    )
    y[::4] += 50 * torch.rand(10, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    level, slope, error = theil_sen(t, y)
    assert level == pytest.approx(3, abs=0.02) and abs(slope + 0.5) < 4 * error < 0.01
