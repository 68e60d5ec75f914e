"""The equaliser of a channel strip: six bands by the Audio EQ Cookbook, run by SciPy, with settings nobody chose.

Source: Bristow-Johnson, "Audio EQ Cookbook" (W3C note, 2021); the bands of Yu et al., "DiffVox", DAFx 2025.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import signal

SHELF_Q = 0.707
LARGEST_GAIN_DB = 12.0


@dataclass(frozen=True)
class Ranges:
    """Where settings are drawn from, evenly in the logarithm: Hz, and Q."""

    lowpass_hz: tuple[float, float]
    highpass_hz: tuple[float, float]
    peak_q: tuple[float, float]
    pass_q: tuple[float, float]


SENSIBLE = Ranges((5000.0, 17_500.0), (20.0, 300.0), (0.3, 5.0), (0.55, 2.0))
FULL = Ranges((400.0, 18_000.0), (16.0, 2000.0), (0.2, 12.0), (0.5, 5.0))
PEAKS_HZ = ((33.0, 5400.0), (200.0, 17_500.0))
LOW_SHELF_HZ, HIGH_SHELF_HZ = (30.0, 200.0), (750.0, 8300.0)


@dataclass(frozen=True)
class Setting:
    """The knobs: each band's frequency in Hz, Q and gain in dB, as far as it has them, in the order of the signal."""

    name: str
    bands: dict[str, tuple[float, float, float]]

    def sections(self, sample_rate: float) -> np.ndarray:
        """`(6, 6)`: b₀, b₁, b₂, 1, a₁, a₂ of each band."""
        return np.stack([_section(band.rstrip("12"), *knobs, sample_rate) for band, knobs in self.bands.items()])

    def magnitude_db(self, frequencies_hz: np.ndarray, sample_rate: float) -> np.ndarray:
        _, response = signal.freqz_sos(self.sections(sample_rate), frequencies_hz, fs=sample_rate)
        return 20 * np.log10(np.abs(response))


def setting(name: str, seed: int, ranges: Ranges = SENSIBLE) -> Setting:
    """One of any number of settings, drawn at random."""
    rng = np.random.default_rng(seed)

    def between(reached: tuple[float, float]) -> float:
        return float(np.exp(rng.uniform(*np.log(reached))))

    def gain() -> float:
        return float(rng.uniform(-LARGEST_GAIN_DB, LARGEST_GAIN_DB))

    return Setting(
        name,
        {
            "peak1": (between(PEAKS_HZ[0]), between(ranges.peak_q), gain()),
            "peak2": (between(PEAKS_HZ[1]), between(ranges.peak_q), gain()),
            "low_shelf": (between(LOW_SHELF_HZ), SHELF_Q, gain()),
            "high_shelf": (between(HIGH_SHELF_HZ), SHELF_Q, gain()),
            "lowpass": (between(ranges.lowpass_hz), between(ranges.pass_q), 0.0),
            "highpass": (between(ranges.highpass_hz), between(ranges.pass_q), 0.0),
        },
    )


SETTINGS = {name: setting(name, seed) for seed, name in enumerate(("EQ-A", "EQ-B", "EQ-C"), start=1)}


def equalised(dry: np.ndarray, setting: Setting, sample_rate: float) -> np.ndarray:
    """`(time,)` through the six bands.

    >>> equalised(np.zeros(8), SETTINGS["EQ-A"], 44100).tolist()
    [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    """
    return signal.sosfilt(setting.sections(sample_rate), dry)


def _section(shape: str, frequency: float, q: float, gain_db: float, sample_rate: float) -> np.ndarray:
    omega = 2 * np.pi * frequency / sample_rate
    cosine, alpha, amplitude = np.cos(omega), np.sin(omega) / (2 * q), 10 ** (gain_db / 40)
    if shape == "peak":
        b = [1 + alpha * amplitude, -2 * cosine, 1 - alpha * amplitude]
        a = [1 + alpha / amplitude, -2 * cosine, 1 - alpha / amplitude]
    elif shape.endswith("shelf"):
        sign = 1.0 if shape.startswith("low") else -1.0
        root, more, less = 2 * np.sqrt(amplitude) * alpha, amplitude + 1, amplitude - 1
        b = [
            amplitude * (more - sign * less * cosine + root),
            sign * 2 * amplitude * (less - sign * more * cosine),
            amplitude * (more - sign * less * cosine - root),
        ]
        a = [
            more + sign * less * cosine + root,
            -sign * 2 * (less + sign * more * cosine),
            more + sign * less * cosine - root,
        ]
    else:
        sign = 1.0 if shape == "lowpass" else -1.0
        b = [(1 - sign * cosine) / 2, sign * (1 - sign * cosine), (1 - sign * cosine) / 2]
        a = [1 + alpha, -2 * cosine, 1 - alpha]
    return np.array([*b, *a]) / a[0]
