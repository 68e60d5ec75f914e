"""The impulse response of a metal plate, simply supported at its edges and under tension, from steps in time of its modes.

    ω²_mn = (T/μ) γ + (D/μ) γ²,   γ = (mπ/Lx)² + (nπ/Ly)²,   μ = ρh,   D = Eh³/(12 (1 − ν²))
    q[n+1] = 2 r cos(Ω) q[n] − r² q[n−1] + b δ[n],   r = exp(−σ/fs),   Ω = √(ω² − σ²)/fs

The response is the sum of all q, divided by its peak; σ = α + βω² makes T60 6 s at 0 Hz and 2 s at 500 Hz; modes go up to
10 kHz. Dimensions and material lie in the ranges of the 1st DAFx Parameter Estimation Challenge.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numba import njit

from data.signals import SAMPLE_RATE

WIDTH = 1.0  # m
POISSON = 0.25
DRIVEN_AT = (0.335, 0.467)  # shares of width and height
HIGHEST_HZ = 10_000.0
T60_AT_0, T60_AT_500_HZ = 6.0, 2.0  # s
MODES_AT_ONCE = 64  # between two reports


@dataclass(frozen=True)
class Setting:
    """A plate: height and thickness in m, tension in N/m, density in kg/m³, Young's modulus in Pa, and where it is heard."""

    name: str
    height: float
    thickness: float
    tension: float
    density: float
    young: float
    heard_at: tuple[float, float]

    def modes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(ω in rad/s, σ in 1/s, b) of every mode up to 10 kHz.

        >>> frequency, decay, _ = SETTINGS["PL-A"].modes()
        >>> bool(frequency.max() < 2 * np.pi * 10_000), round(float(decay.min()), 2)
        (True, 1.15)
        """
        mass = self.density * self.thickness
        stiffness = self.young * self.thickness**3 / (12 * (1 - POISSON**2))
        highest = 2 * np.pi * HIGHEST_HZ
        gamma = (np.hypot(self.tension, 2 * np.sqrt(mass * stiffness) * highest) - self.tension) / (2 * stiffness)
        along_x = np.arange(1, int(np.sqrt(gamma) * WIDTH / np.pi) + 1)
        along_y = np.arange(1, int(np.sqrt(gamma) * self.height / np.pi) + 1)
        m, n = (axis.ravel() for axis in np.meshgrid(along_x, along_y, indexing="ij"))
        wave = (m * np.pi / WIDTH) ** 2 + (n * np.pi / self.height) ** 2
        m, n, wave = (axis[wave <= gamma] for axis in (m, n, wave))
        omega = np.sqrt((self.tension * wave + stiffness * wave**2) / mass)
        alpha = 3 * np.log(10) / T60_AT_0
        beta = (3 * np.log(10) / T60_AT_500_HZ - alpha) / (2 * np.pi * 500) ** 2
        decay = alpha + beta * omega**2
        shape = np.ones_like(omega)
        for x, y in (DRIVEN_AT, self.heard_at):
            shape *= np.sin(m * np.pi * x) * np.sin(n * np.pi * y)
        drive = 16 * shape * np.exp(-decay / SAMPLE_RATE) / (SAMPLE_RATE**2 * mass * (WIDTH * self.height) ** 2)
        return np.sqrt(omega**2 - decay**2), decay, drive


SETTINGS = {
    setting.name: setting
    for setting in (
        Setting("PL-A", 1.37, 0.0034, 410.0, 7850.0, 200e9, (0.71, 0.62)),
        Setting("PL-B", 2.26, 0.0046, 120.0, 8960.0, 130e9, (0.58, 0.87)),
        Setting("PL-C", 1.82, 0.0012, 760.0, 2700.0, 70e9, (0.93, 0.55)),
    )
}


def simulate(setting: Setting, seconds: float = 5.0, report: Callable[[float], None] | None = None) -> np.ndarray:
    """The impulse response, `(time,)`, float64, peak 1; report: called with the share that is done."""
    omega, decay, drive = setting.modes()
    response = np.zeros(round(seconds * SAMPLE_RATE))
    for first in range(0, len(omega), MODES_AT_ONCE):
        some = slice(first, first + MODES_AT_ONCE)
        _add_modes(omega[some] / SAMPLE_RATE, np.exp(-decay[some] / SAMPLE_RATE), drive[some], response)
        if report is not None:
            report(min(1.0, (first + MODES_AT_ONCE) / len(omega)))
    return response / np.abs(response).max()


@njit(cache=True, error_model="numpy")
def _add_modes(turn, radius, drive, response):
    for k in range(len(turn)):
        first, second = 2 * radius[k] * np.cos(turn[k]), -(radius[k] ** 2)
        before, now = 0.0, 0.0  # q[n−1], q[n]
        for n in range(len(response)):
            response[n] += now
            before, now = now, first * now + second * before + (drive[k] if n == 0 else 0.0)
