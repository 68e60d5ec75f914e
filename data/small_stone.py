"""The Electro-Harmonix Small Stone as a circuit in continuous time, simulated at four times the audio rate.

Signal flow, each line a part of the pedal (x: jack in, y: jack out)::

    u = high-pass(x, 10 Hz)                                  input capacitor
    e = u + g high-pass(w, 130 Hz)                           colour switch: AC-coupled feedback
    x_1 = e;  ds_k/dt = ω(t) V tanh((x_k − s_k) / V)         OTA and capacitor, k = 1 … 4
    x_{k+1} = 2 s_k − x_k;  w = x_5                          all-pass (1 − s/ω) / (1 + s/ω)
    y = high-pass((u + w) / 2, 15 Hz)                        mixer and output capacitor

ω(t) = 2π f_b(t) follows the LFO: a triangle in log frequency with rounded tops, whose fall takes longer than its rise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numba import njit
from scipy import signal

from data.signals import SAMPLE_RATE

STAGES = 4
INPUT_CORNER = 10.0  # Hz
OUTPUT_CORNER = 15.0  # Hz
FEEDBACK_CORNER = 130.0  # Hz
FEEDBACK_GAIN = 0.6
OTA_RANGE = 0.8  # V in the equations: the level, full scale 1, at which an OTA saturates

LFO_ROUNDING = 0.99  # 1 is a triangle with sharp tops, 0 a cosine
LFO_SKEW = 0.03  # radians by which the top comes early and the bottom late

NEWTON_STEPS = 2
RESAMPLER_PASS = 20000.0  # Hz: the dry track holds no energy above
RESAMPLER_ATTENUATION = 110.0  # dB


@dataclass(frozen=True)
class Setting:
    """One position of the pedal's switch and knob, and the LFO that it gives: the truth behind a recording."""

    name: str
    feedback: bool
    rate_knob: str
    rate: float
    """LFO rate, Hz."""
    lowest: float
    """Lowest break frequency, Hz."""
    highest: float
    """Highest break frequency, Hz."""
    start_phase: float
    """LFO phase at the first sample of the file, radians."""

    def lfo_phase(self, time: np.ndarray) -> np.ndarray:
        """Phase θ of the LFO in radians, `time` in seconds from the file's start: `θ = 2π f t + φ`."""
        return 2 * np.pi * self.rate * time + self.start_phase

    def break_frequency(self, time: np.ndarray) -> np.ndarray:
        """Break frequency of the four stages in Hz, `time` in seconds from the file's start.

        `log f_b = centre + half-width · asin(κ cos(θ + α cos θ)) / asin κ`: κ rounds the triangle, α skews it.

        >>> np.round(SETTINGS["SS-A"].break_frequency(np.array([0.0, 0.1])))
        array([ 845., 1389.])
        """
        theta = self.lfo_phase(time)
        skewed = np.cos(theta + LFO_SKEW * np.cos(theta))
        triangle = np.arcsin(LFO_ROUNDING * skewed) / np.arcsin(LFO_ROUNDING)
        centre = np.log(self.lowest * self.highest) / 2
        half_width = np.log(self.highest / self.lowest) / 2
        return np.exp(centre + half_width * triangle)


# Rates and sweeps: those that Yu et al. (DAFx 2024) learned from the real pedal.
SETTINGS = {
    setting.name: setting
    for setting in (
        Setting("SS-A", False, "3 o'clock", 2.330, 286.0, 1562.0, 5.10),
        Setting("SS-B", False, "12 o'clock", 0.613, 113.0, 1772.0, 1.37),
        Setting("SS-C", False, "9 o'clock", 0.0881, 33.0, 1996.0, 3.92),
        Setting("SS-D", True, "3 o'clock", 1.389, 191.0, 2707.0, 2.26),
        Setting("SS-E", True, "12 o'clock", 0.389, 62.0, 2834.0, 0.64),
        Setting("SS-F", True, "9 o'clock", 0.0559, 17.0, 3291.0, 4.45),
    )
}


def simulate(
    dry: np.ndarray,
    setting: Setting,
    oversampling: int = 4,
    report: Callable[[float], None] | None = None,
) -> np.ndarray:
    """The pedal's output for `dry`, sample-aligned with it.

    The trapezoidal rule at `oversampling` times the audio rate, the loop of four OTAs and feedback solved at every
    step by Newton's method; the resamplers are linear-phase and their delay is compensated exactly. Against
    eight times the audio rate, four times is accurate to an ESR of 2e-6.

    Args:
        dry: `(time,)` at 44.1 kHz, full scale 1, with no energy above 20 kHz.
        setting: one of :data:`SETTINGS`, or another.
        oversampling: steps per audio sample.
        report: called with the fraction done, after each second of audio.

    Returns:
        wet, `(time,)`, float64.

    >>> simulate(np.zeros(100), SETTINGS["SS-D"]).shape
    (100,)
    """
    rate = oversampling * SAMPLE_RATE
    antialias = _resampler(oversampling)
    u = _couple(signal.resample_poly(dry, oversampling, 1, window=antialias), INPUT_CORNER, rate)
    w = np.empty_like(u)
    state = np.zeros(2 * STAGES + 1)
    gain = FEEDBACK_GAIN if setting.feedback else 0.0
    corner = np.pi * FEEDBACK_CORNER / rate
    for start in range(0, len(u), rate):
        block = slice(start, min(start + rate, len(u)))
        steps = np.pi * setting.break_frequency(np.arange(block.start, block.stop) / rate) / rate
        _integrate(u[block], steps, gain, corner, OTA_RANGE, state, w[block])
        if report is not None:
            report(block.stop / len(u))
    y = _couple((u + w) / 2, OUTPUT_CORNER, rate)
    return signal.resample_poly(y, 1, oversampling, window=antialias)


@njit(cache=True, error_model="numpy")
def _integrate(u, steps, gain, corner, ota_range, state, w):
    """Trapezoidal rule on the four stages inside their feedback loop, `w` for the input `u`.

    With h the step and r = ω h / 2 (`steps`), every integrator reads `s = c + r V tanh((x − s)/V)`, and after the step
    `c ← 2 s − c`. A Newton step replaces tanh by its tangent at the last difference d = x − s; a stage is then affine
    in its input, `s = α + β x`, and so is the whole chain in e: `w = A + B e`. The feedback's high-pass is linear,
    `w − l = (w − c_l)/(1 + r_l)`, and the delay-free loop closes by a division::

        e = (u + κ (A − c_l)) / (1 − κ B),   κ = g / (1 + r_l)

    Args:
        u, steps: `(time,)`; `corner` is r_l.
        state: c_1 … c_4, d_1 … d_4, c_l; updated in place.
    """
    c, d = state[:STAGES], state[STAGES : 2 * STAGES]
    low = state[2 * STAGES]
    alpha = np.empty(STAGES)
    beta = np.empty(STAGES)
    kappa = gain / (1 + corner)
    for n in range(len(u)):
        r = steps[n]
        e = 0.0
        for _ in range(NEWTON_STEPS):
            A, B = 0.0, 1.0
            for k in range(STAGES):
                saturated = np.tanh(d[k] / ota_range)
                slope = 1 - saturated * saturated
                alpha[k] = (c[k] + r * (ota_range * saturated - slope * d[k])) / (1 + r * slope)
                beta[k] = r * slope / (1 + r * slope)
                A = 2 * alpha[k] + (2 * beta[k] - 1) * A
                B = (2 * beta[k] - 1) * B
            e = (u[n] + kappa * (A - low)) / (1 - kappa * B)
            x = e
            for k in range(STAGES):
                s = alpha[k] + beta[k] * x
                d[k] = x - s
                x = 2 * s - x
        x = e
        for k in range(STAGES):
            s = x - d[k]
            c[k] = 2 * s - c[k]
            x = 2 * s - x
        w[n] = x
        low = 2 * (low + corner * x) / (1 + corner) - low
    state[2 * STAGES] = low


def _couple(x: np.ndarray, corner: float, rate: float) -> np.ndarray:
    """First-order high-pass of a coupling capacitor, `s / (s + 2π corner)`, by the trapezoidal rule."""
    return signal.lfilter(*signal.bilinear([1, 0], [1, 2 * np.pi * corner], rate), x)


def _resampler(oversampling: int) -> np.ndarray:
    """Linear-phase low-pass at the audio Nyquist; its odd length makes its delay a whole number of steps."""
    nyquist = SAMPLE_RATE / 2
    transition = 2 * (nyquist - RESAMPLER_PASS) / (oversampling * nyquist)
    taps, beta = signal.kaiserord(RESAMPLER_ATTENUATION, transition)
    return signal.firwin(taps | 1, 1 / oversampling, window=("kaiser", beta))
