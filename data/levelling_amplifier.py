"""A levelling amplifier like the Teletronix LA-2A: a lamp shines on a photocell, which turns down the gain before it.

Cadmium sulphide: light frees carriers n, and traps hold some of them, m, and give them back slowly. So the release is fast
after a short burst and slow after a long one, and there is no attack and no release time: nothing that a compressor of two
one-poles contains. In continuous time, at four times the audio rate::

    v  = D |x| (1 + g)/2                         side chain, half of it after the cell; D is the peak reduction's drive
    B' = (exp(−5/√v) − B)/τ                      lamp, τ = 0.5 ms
    n' = 3000 B + 7.2 m − n/0.1 − 6 n² − 25 n (1 − m)
    m' = (25/12) n (1 − m) − 0.6 m
    g  = 1/(1 + n);  u = g x;  y = u + 0.02 u² − 0.02 u³

There is no make-up gain.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numba import njit

from data.signals import SAMPLE_RATE

DARK = 1e-4  # of v, below which the lamp gives no light
LAMP_SECONDS = 0.5e-3
LAMP_EXPONENT = 5.0
LIGHT = 3000.0  # carriers a second at full light
LIFETIME = 0.1  # seconds, of a free carrier
PAIRING = 6.0
TRAPPING = 25.0
TRAPS = 12.0
RELEASE = 0.6  # of traps, a second
SATURATION = 0.02

DRIVE_AT_0_DB, DRIVE_OF_KNOB_DB = 16.0, 0.24


@dataclass(frozen=True)
class Setting:
    """A position of the knob "peak reduction", 0 to 100, and the gain that it gives the side chain."""

    name: str
    peak_reduction: float

    @property
    def drive_db(self) -> float:
        """16 dB + 0.24 dB a unit of the knob: 22, 28 and 34 dB for 25, 50 and 75.

        >>> SETTINGS["LA-E"].drive_db
        28.0
        """
        return DRIVE_AT_0_DB + DRIVE_OF_KNOB_DB * self.peak_reduction


SETTINGS = {setting.name: setting for setting in (Setting("LA-D", 25.0), Setting("LA-E", 50.0), Setting("LA-F", 75.0))}


def simulate(
    dry: np.ndarray,
    setting: Setting,
    oversampling: int = 4,
    report: Callable[[float], None] | None = None,
) -> np.ndarray:
    """The amplifier's output for `dry`, sample-aligned with it, from a cell that has rested in the dark.

    Args:
        dry: `(time,)` at 44.1 kHz, full scale 1.
        setting: one of :data:`SETTINGS`, or another.
        oversampling: steps per audio sample; the input is interpolated linearly between samples.
        report: called with the fraction done, after each second of audio.

    Returns:
        wet, `(time,)`, float64.

    >>> simulate(np.zeros(100), SETTINGS["LA-E"]).shape
    (100,)
    """
    gain = reduction(dry, setting, oversampling, report)
    u = gain * dry
    return u + SATURATION * u**2 - SATURATION * u**3


def reduction(
    dry: np.ndarray,
    setting: Setting,
    oversampling: int = 4,
    report: Callable[[float], None] | None = None,
) -> np.ndarray:
    """The cell's gain g at each sample of `dry`; see :func:`simulate`."""
    dry = np.ascontiguousarray(dry, dtype=np.float64)
    gain = np.empty_like(dry)
    state = np.zeros(4)  # n, m, B, x[n−1]
    drive = 10 ** (setting.drive_db / 20)
    for start in range(0, len(dry), SAMPLE_RATE):
        block = slice(start, min(start + SAMPLE_RATE, len(dry)))
        _integrate(dry[block], drive, oversampling, state, gain[block])
        if report is not None:
            report(block.stop / len(dry))
    return gain


@njit(cache=True, error_model="numpy")
def _integrate(x, drive, oversampling, state, gain):
    """Semi-implicit Euler: losses are taken at the step's end, gains at its beginning, so that n and m stay positive."""
    dt = 1 / (oversampling * SAMPLE_RATE)
    n, m, light, before = state
    for i in range(len(x)):
        for step in range(1, oversampling + 1):
            level = drive * abs(before + (x[i] - before) * step / oversampling) * (0.5 + 0.5 / (1 + n))
            target = np.exp(-LAMP_EXPONENT / np.sqrt(level)) if level > DARK else 0.0
            light += dt / LAMP_SECONDS * (target - light)
            freed = LIGHT * light + RELEASE * TRAPS * m
            lost = 1 / LIFETIME + PAIRING * n + TRAPPING * (1 - m)
            n = (n + dt * freed) / (1 + dt * lost)
            caught = TRAPPING / TRAPS * n
            m = (m + dt * caught) / (1 + dt * (caught + RELEASE))
        gain[i] = 1 / (1 + n)
        before = x[i]
    state[0], state[1], state[2], state[3] = n, m, light, before
