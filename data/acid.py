"""The Roland TB-303 as it plays a pattern of sixteenths, simulated at four times the audio rate.

Signal flow, each line a part of the synthesiser::

    x  = high-pass(saw or square, 44.5 Hz)              square = tanh(10^(36.9/20) saw + 4.37)
    y0 = x − high-pass(k y4, 150 Hz)                    resonance r: k = 17 (1 − e^(−3r))/(1 − e^(−3))
    y1' = 2 ω (y0 − y1 + y2)                            diode ladder: the first capacitor is half of the others
    y2' = ω (y1 − 2 y2 + y3),  y3' = ω (y2 − 2 y3 + y4),  y4' = ω (y3 − 2 y4)
    y  = high-pass(3 y4 · amplitude, 24 Hz)             ω = 2π f_c/√2: rings at f_c; at k = 17 for ever, but for the 150 Hz

    e   = (1 − e^(−t/3 ms)) e^(−t/decay)                t since the note was struck; decay is 200 ms for an accented one
    f_c = 314 Hz (2394/314)^c 2^(S (e − O) + a e),  at most 20 kHz
    S   = (1 − c) (3.774 m + 0.737) + c (4.195 m + 0.864),  O = 0.294 + 0.048 c
    amplitude = (1 − e^(−t/3 ms)) e^(−t/1230 ms) (1 + 4 a e)

for the knobs cutoff c, envelope m and accent a (0 on a note without an accent), all from 0 to 1. A note that is slid into is
not struck: its pitch goes on from that of the note before, by e^(−t/20 ms), so that 60 ms bring all but 5 % of the way.

The constants are those of a published open emulation, measured on hardware; that an accent adds an octave and four times the
gain was chosen here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from scipy import signal

SAMPLE_RATE = 48000
STEP = 6000  # samples: a sixteenth at 120 BPM
OVERSAMPLING = 4
RATE = OVERSAMPLING * SAMPLE_RATE

INPUT_CORNER = 44.5  # Hz
FEEDBACK_CORNER = 150.0  # Hz
OUTPUT_CORNER = 24.0  # Hz
SELF_OSCILLATION = 17.0  # of the feedback k
OUTPUT_GAIN = 3.0
SQUARE_GAIN_DB, SQUARE_OFFSET = 36.9, 4.37

LOWEST_CUTOFF, HIGHEST_CUTOFF = 314.0, 2394.0  # Hz: the knob's ends
CLAMP = 20000.0  # Hz
ATTACK_SECONDS = 0.003
ACCENT_DECAY_SECONDS = 0.2
AMPLITUDE_DECAY_SECONDS = 1.23
ACCENT_GAIN = 4.0
SLIDE_SECONDS = 0.060 / 3  # to 5 %

DECIMATOR_PASS = 21500.0  # Hz
DECIMATOR_ATTENUATION = 100.0  # dB


@dataclass(frozen=True)
class Knobs:
    """The front panel, which stands still while a pattern plays."""

    square: bool
    """The other waveform is the saw."""
    cutoff: float
    """0 to 1: 314 to 2394 Hz, before the envelope moves it."""
    resonance: float
    """0 to 1: from no feedback to where the ladder alone would oscillate."""
    env_mod: float
    """0 to 1: how many octaves the envelope moves the cutoff by."""
    decay: float
    """Time constant of the filter's envelope, seconds: 0.2 to 2."""
    accent: float
    """0 to 1: how much accented notes stand out."""
    tuning: float = 0.0
    """Semitones."""


@dataclass(frozen=True, eq=False)
class Pattern:
    """Sixteenths: five arrays of shape `(steps,)`."""

    pitch: np.ndarray
    """MIDI."""
    late: np.ndarray
    """By how many samples the note sounds after its step begins."""
    length: np.ndarray
    """Samples from the step's beginning to where the note is cut off, at most 6000; 0 is a rest."""
    accent: np.ndarray
    """bool."""
    slide: np.ndarray
    """bool: from the note before, which has to last for its whole step."""

    @property
    def starts(self) -> np.ndarray:
        """Samples from the pattern's beginning at which the notes sound."""
        return np.arange(len(self.pitch)) * STEP + self.late

    @property
    def struck(self) -> np.ndarray:
        """Which steps start the envelopes: neither rests nor slides."""
        return (self.length > 0) & ~self.slide


def simulate(
    pattern: Pattern, knobs: Knobs, start_phase: float = 0.0, output_corner: float = OUTPUT_CORNER
) -> tuple[np.ndarray, np.ndarray]:
    """What the synthesiser plays, and the true fundamental frequency.

    The ladder is solved by the trapezoidal rule at 192 kHz, its delay-free loop exactly; the decimator is linear-phase and
    its delay compensated. Between a note's end and the next one's start there are exact zeros.

    Args:
        pattern: the notes.
        knobs: the front panel.
        start_phase: of the oscillator, in periods.
        output_corner: of the last high-pass, Hz.

    Returns:
        audio and f0 in Hz, both `(6000 steps,)` at 48 kHz, float64.

    >>> notes = Pattern(np.array([36.0]), np.array([0]), np.array([5000]), np.array([False]), np.array([False]))
    >>> audio, f0 = simulate(notes, Knobs(False, 0.5, 0.5, 0.5, 0.5, 0.0))
    >>> audio.shape, round(float(f0[0]), 1), bool(audio[5000:].any())
    ((6000,), 65.4, False)
    """
    f0 = 440.0 * 2 ** ((glide(pattern) + knobs.tuning - 69) / 12)
    e, amplitude = envelopes(pattern, knobs)
    x = high_pass(oscillator(f0, knobs.square, start_phase), INPUT_CORNER)
    y = OUTPUT_GAIN * ladder(x, cutoff_hz(e, knobs, _accent(pattern, knobs)), feedback(knobs.resonance))
    y = high_pass(y * amplitude, output_corner)
    audio = signal.resample_poly(y, 1, OVERSAMPLING, window=_decimator())
    return np.where(_sounding(pattern), audio, 0.0), f0[::OVERSAMPLING].copy()


def glide(pattern: Pattern) -> np.ndarray:
    """The pitch at 192 kHz, MIDI, without the tuning; a note that is struck has its own from its step's beginning."""
    pitch = np.empty(len(pattern.pitch) * STEP * OVERSAMPLING)
    begins = OVERSAMPLING * np.where(pattern.slide, pattern.starts, np.arange(len(pattern.pitch)) * STEP)
    now = pattern.pitch[0]
    for target, slide, begin, end in zip(pattern.pitch, pattern.slide, begins, [*begins[1:], len(pitch)], strict=True):
        now = now if slide else target
        pitch[begin:end] = target + (now - target) * np.exp(-np.arange(end - begin) / (SLIDE_SECONDS * RATE))
        now = pitch[end - 1]
    return pitch


def envelopes(pattern: Pattern, knobs: Knobs) -> tuple[np.ndarray, np.ndarray]:
    """The filter's envelope and the amplitude at 192 kHz, both 0 before the first note is struck."""
    last, time = _last_struck(pattern)
    decay = np.where(pattern.accent[last], ACCENT_DECAY_SECONDS, knobs.decay)
    attack = 1 - np.exp(-time / ATTACK_SECONDS)
    e = attack * np.exp(-time / decay)
    amplitude = attack * np.exp(-time / AMPLITUDE_DECAY_SECONDS)
    amplitude *= 1 + ACCENT_GAIN * _accent(pattern, knobs) * e
    return e, amplitude * np.repeat(_sounding(pattern), OVERSAMPLING)


def cutoff_hz(e: np.ndarray, knobs: Knobs, accent: np.ndarray | float = 0.0) -> np.ndarray:
    """The ladder's cutoff for an envelope and an accent's octaves, in Hz, at most 20 kHz.

    >>> np.round(cutoff_hz(np.array([0.0, 1.0]), Knobs(False, 0.5, 0.0, 1.0, 0.5, 0.0)))
    array([ 302., 8325.])
    """
    c, m = knobs.cutoff, knobs.env_mod
    octaves = (1 - c) * (3.774 * m + 0.737) + c * (4.195 * m + 0.864)
    offset = 0.294 + 0.048 * c
    middle = LOWEST_CUTOFF * (HIGHEST_CUTOFF / LOWEST_CUTOFF) ** c
    return np.minimum(middle * 2 ** (octaves * (e - offset) + accent * e), CLAMP)


def feedback(resonance: float) -> float:
    """k for the knob.

    >>> feedback(0.0), feedback(1.0)
    (0.0, 17.0)
    """
    return SELF_OSCILLATION * float(np.expm1(-3 * resonance) / np.expm1(-3))


def oscillator(f0: np.ndarray, square: bool, start_phase: float) -> np.ndarray:
    """A rising saw or a square wave at 192 kHz, amplitude 1: two samples round each jump are rounded (PolyBLEP)."""
    step = f0 / RATE
    phase = (np.cumsum(step) + start_phase) % 1.0
    wave = 2 * phase - 1
    if square:
        wave = np.tanh(10 ** (SQUARE_GAIN_DB / 20) * wave + SQUARE_OFFSET)
    after, before = phase / step, (1 - phase) / step  # samples from the jump, and to it
    return wave + np.where(after < 1, (after - 1) ** 2, 0.0) - np.where(before < 1, (before - 1) ** 2, 0.0)


def high_pass(x: np.ndarray, corner: float) -> np.ndarray:
    """First-order high-pass of a coupling capacitor at 192 kHz, by the trapezoidal rule."""
    return signal.lfilter(*signal.bilinear([1, 0], [1, 2 * np.pi * corner], RATE), x)


def ladder(x: np.ndarray, cutoff: np.ndarray, k: float, corner: float = FEEDBACK_CORNER) -> np.ndarray:
    """The diode ladder's y4 for the input `x` at 192 kHz; the cutoff is prewarped.

    Args:
        x: `(time,)`.
        cutoff: `(time,)`, Hz.
        k: feedback.
        corner: of the high-pass in the feedback, Hz; 0 is none.
    """
    y = np.empty_like(x)
    _solve(x, np.tan(np.pi * cutoff / RATE) / np.sqrt(2), k, np.tan(np.pi * corner / RATE), y)
    return y


@njit(cache=True, error_model="numpy")
def _solve(x, g, k, h, y):
    """Trapezoidal rule: each capacitor reads y = z + g (…), and after the step z ← 2 y − z.

    From the last capacitor to the first, y_i = a_i + b_i y_{i−1}; so the chain is affine in y0, and the loop a division.
    """
    z1, z2, z3, z4, low = 0.0, 0.0, 0.0, 0.0, 0.0
    for n in range(len(x)):
        r = g[n]
        b4 = r / (1 + 2 * r)
        a4 = z4 / (1 + 2 * r)
        d3 = 1 + 2 * r - r * b4
        b3, a3 = r / d3, (z3 + r * a4) / d3
        d2 = 1 + 2 * r - r * b3
        b2, a2 = r / d2, (z2 + r * a3) / d2
        d1 = 1 + 2 * r - 2 * r * b2
        b1, a1 = 2 * r / d1, (z1 + 2 * r * a2) / d1
        from_state = a4 + b4 * (a3 + b3 * (a2 + b2 * a1))
        kappa = k / (1 + h)
        y0 = (x[n] - kappa * from_state + low / (1 + h)) / (1 + kappa * b4 * b3 * b2 * b1)
        y1 = a1 + b1 * y0
        y2 = a2 + b2 * y1
        y3 = a3 + b3 * y2
        y4 = a4 + b4 * y3
        z1, z2, z3, z4 = 2 * y1 - z1, 2 * y2 - z2, 2 * y3 - z3, 2 * y4 - z4
        low = 2 * (low + h * k * y4) / (1 + h) - low
        y[n] = y4


def _last_struck(pattern: Pattern) -> tuple[np.ndarray, np.ndarray]:
    """At 192 kHz: the step that was struck last, and the seconds since; 0 of both before the first."""
    time = np.arange(len(pattern.pitch) * STEP * OVERSAMPLING)
    steps = np.flatnonzero(pattern.struck)
    if not len(steps):
        return np.zeros(len(time), dtype=int), np.zeros(len(time))
    last = steps[np.maximum(np.searchsorted(OVERSAMPLING * pattern.starts[steps], time, side="right") - 1, 0)]
    return last, np.maximum(time - OVERSAMPLING * pattern.starts[last], 0) / RATE


def _accent(pattern: Pattern, knobs: Knobs) -> np.ndarray:
    return knobs.accent * pattern.accent[_last_struck(pattern)[0]]


def _sounding(pattern: Pattern) -> np.ndarray:
    """At 48 kHz: where a note sounds; a slide leaves no gap."""
    sounds = np.zeros((len(pattern.pitch), STEP), dtype=bool)
    for row, late, length, slide in zip(sounds, pattern.late, pattern.length, pattern.slide, strict=True):
        row[0 if slide else late : length] = True
    return sounds.reshape(-1)


def _decimator() -> np.ndarray:
    """Linear-phase low-pass at the audio Nyquist; its odd length makes its delay a whole number of steps."""
    nyquist = SAMPLE_RATE / 2
    transition = 2 * (nyquist - DECIMATOR_PASS) / (OVERSAMPLING * nyquist)
    taps, beta = signal.kaiserord(DECIMATOR_ATTENUATION, transition)
    return signal.firwin(taps | 1, 1 / OVERSAMPLING, window=("kaiser", beta))
