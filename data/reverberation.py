"""A feedback delay network with settings nobody chose: its frequency response, a system of equations a bin, solved by NumPy.

    H(ω) = C (D(ω) − U Γ(ω))⁻¹ B,   D = diag e^{jωm},   γᵢ(ω) = 10^(−3 mᵢ/(fs T60(ω)))

Source: Jot and Chaigne, "Digital delay networks for designing artificial reverberators", AES 90th Convention, 1991; the
lines of Yu et al., "DiffVox", DAFx 2025.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import fft, linalg

LINES_S = np.array([997, 1153, 1327, 1559, 1801, 2099]) / 44_100
DECAYS_S = (0.4, 3.0)
DARKER, CORNERS_HZ = (0.2, 0.8), (1500.0, 8000.0)  # the share of the decay that is left at high frequencies
LEVELS = (0.05, 0.3)
BINS_AT_ONCE = 16_384


@dataclass(frozen=True, eq=False)
class RoomSetting:
    """decay_s at 0 Hz, which falls to decay_s · darker above corner_hz; entering (6, 2), leaving (2, 6), mixing (6, 6)."""

    decay_s: float
    darker: float
    corner_hz: float
    entering: np.ndarray
    leaving: np.ndarray
    mixing: np.ndarray

    def decays_s(self, frequencies_hz: np.ndarray) -> np.ndarray:
        """T60 at frequencies."""
        low = 1 / (1 + (frequencies_hz / self.corner_hz) ** 2)
        return self.decay_s * (self.darker + (1 - self.darker) * low)


def room_setting(seed: int) -> RoomSetting:
    """One of any number of settings, drawn at random: evenly, decay and corner in their logarithm."""
    rng = np.random.default_rng(seed)
    lines = len(LINES_S)
    decay, corner = (float(np.exp(rng.uniform(*np.log(reached)))) for reached in (DECAYS_S, CORNERS_HZ))
    leaving = np.exp(rng.uniform(*np.log(LEVELS))) * rng.standard_normal((2, lines))
    turned = rng.standard_normal((lines, lines))
    return RoomSetting(
        decay,
        float(rng.uniform(*DARKER)),
        corner,
        rng.uniform(0.1, 0.3, (lines, 2)),
        leaving,
        linalg.expm((turned - turned.T) / np.sqrt(lines)),
    )


def reverberated(dry: np.ndarray, setting: RoomSetting, sample_rate: float) -> np.ndarray:
    """The reverberation of `(2, time)`, without the sound itself: `(2, time)`.

    >>> reverberated(np.zeros((2, 8)), room_setting(0), 44100).shape
    (2, 8)
    """
    time = dry.shape[1]
    length = fft.next_fast_len(time + round(2 * setting.decay_s * sample_rate), real=True)  # comes round at −120 dB
    spectra, frequencies = fft.rfft(dry, length), fft.rfftfreq(length, 1 / sample_rate)
    wet = np.empty_like(spectra)
    for first in range(0, len(frequencies), BINS_AT_ONCE):
        some = slice(first, first + BINS_AT_ONCE)
        wet[:, some] = _response(setting, frequencies[some], sample_rate, spectra[:, some])
    return fft.irfft(wet, length)[:, :time]


def _response(setting: RoomSetting, f: np.ndarray, sample_rate: float, x: np.ndarray) -> np.ndarray:
    delays = np.round(LINES_S * sample_rate)
    gain = 10 ** (-3 * delays / (sample_rate * setting.decays_s(f)[:, None]))
    system = (-setting.mixing * gain[:, None, :]).astype(complex)
    line = np.arange(len(delays))
    system[:, line, line] += np.exp(2j * np.pi * f[:, None] * delays / sample_rate)
    entered = setting.entering @ x
    return setting.leaving @ np.linalg.solve(system, entered.T[..., None])[..., 0].T
