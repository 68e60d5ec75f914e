"""A ping-pong delay with settings nobody chose: each repeat filtered by SciPy once more, and moved by its spectrum's phase.

Source: the delay of Yu et al., "DiffVox", DAFx 2025; Bristow-Johnson, "Audio EQ Cookbook" (W3C note, 2021).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import fft, signal

TIMES_MS = (150.0, 900.0)
FEEDBACKS, GAINS = (0.2, 0.7), (0.2, 0.8)
LOWPASS_HZ, QS = (1500.0, 14_000.0), (0.5, 1.5)
FAINTEST = 1e-6  # of a repeat's gain


@dataclass(frozen=True)
class EchoSetting:
    """The knobs; pans from 0, left, to 1."""

    time_ms: float
    feedback: float
    gain: float
    lowpass_hz: float
    q: float
    odd_pan: float
    even_pan: float


def echo_setting(seed: int) -> EchoSetting:
    """One of any number of settings, drawn at random: evenly, the frequency in its logarithm."""
    rng = np.random.default_rng(seed)
    time, feedback, gain = (rng.uniform(*reached) for reached in (TIMES_MS, FEEDBACKS, GAINS))
    frequency, q = np.exp(rng.uniform(*np.log(LOWPASS_HZ))), rng.uniform(*QS)
    odd, even = rng.uniform(0.0, 0.4), rng.uniform(0.6, 1.0)
    return EchoSetting(*(float(value) for value in (time, feedback, gain, frequency, q, odd, even)))


def echoes(dry: np.ndarray, setting: EchoSetting, sample_rate: float) -> np.ndarray:
    """The repeats of `(time,)`, without the sound itself: `(2, time)`.

    >>> echoes(np.zeros(8), echo_setting(0), 44100).shape
    (2, 8)
    """
    delay = setting.time_ms * sample_rate / 1000
    length = fft.next_fast_len(
        2 * len(dry) + math.ceil(delay) + 4096, real=True
    )  # also of the last one nothing comes round
    omega = 2 * np.pi * np.arange(length // 2 + 1) / length
    section, repeat, gain = _lowpass(setting.lowpass_hz, setting.q, sample_rate), dry, setting.gain
    sides = np.zeros((2, len(omega)), dtype=complex)
    for k in range(1, int(len(dry) / delay) + 2):  # the last one is what rings before it begins
        if gain < FAINTEST:
            break
        repeat = signal.sosfilt(section, repeat)
        pan = np.pi / 2 * (setting.odd_pan if k % 2 else setting.even_pan)
        late = gain * fft.rfft(repeat, length) * np.exp(-1j * omega * k * delay)
        sides += np.sqrt(2) * np.array([[np.cos(pan)], [np.sin(pan)]]) * late
        gain *= setting.feedback
    return fft.irfft(sides, length)[:, : len(dry)]


def _lowpass(frequency: float, q: float, sample_rate: float) -> np.ndarray:
    omega = 2 * np.pi * frequency / sample_rate
    cosine, alpha = np.cos(omega), np.sin(omega) / (2 * q)
    section = np.array([(1 - cosine) / 2, 1 - cosine, (1 - cosine) / 2, 1 + alpha, -2 * cosine, 1 - alpha])
    return section[None] / (1 + alpha)
