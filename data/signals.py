"""The dry track: a chirp train that measures the pedal, then a phrase of plucked electric guitar that plays it.

Both pass the same pickup, cable and tone control: the chirps have the spectrum of the music that they stand for.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy import signal

SAMPLE_RATE = 44100

CHIRP_PERIOD = 1323  # samples: 30 ms
CHIRP_ALLPASS = -0.9
CHIRP_SECTIONS = 64
CHIRP_PEAK = 0.25

PICKUP_CORNER = 30.0  # Hz
PICKUP_RESONANCE = 4000.0  # Hz
PICKUP_Q = 0.9
TONE_CORNER = 800.0  # Hz

GUITAR_SEED = 2024
GUITAR_PEAK = 0.5
PHRASE_SECONDS = 10.0
BEAT_SECONDS = 0.575
STRUM_SECONDS = 0.011  # from one string to the next
PICK_POSITION = 0.13  # of the string's length
PICKUP_POSITION = 0.21
BODY_MODES = ((104.0, 4.0, 0.10), (212.0, 5.0, 0.06))  # Hz, Q, gain

# (beat, MIDI pitches, length in beats, velocity): a chord is strummed from the first string named to the last.
Note = tuple[float, tuple[int, ...], float, float]
PHRASE: tuple[Note, ...] = (
    (0.0, (45, 52, 55, 60, 64, 69), 2.4, 0.6),
    *((2.0 + 0.5 * i, (pitch,), 1.5, 0.7) for i, pitch in enumerate((57, 64, 67, 72))),
    *((4.0 + 0.5 * i, (pitch,), 2.0, 0.75) for i, pitch in enumerate((41, 48, 52, 57, 60, 64, 60, 57))),
    (8.0, (69,), 0.5, 0.90),
    (8.5, (72,), 0.5, 0.75),
    (9.0, (76,), 0.7, 0.95),
    (9.75, (74,), 0.25, 0.60),
    (10.0, (72,), 0.5, 0.80),
    (10.5, (69,), 0.5, 0.70),
    (11.0, (67,), 0.5, 0.80),
    (11.5, (64,), 0.6, 0.90),
    *((12.0 + 0.5 * i, (52, 56, 62, 67), length, 0.7) for i, length in enumerate((0.2, 0.15, 0.4, 0.2))),
    (14.0, (45, 52, 59, 60, 64, 71), 3.4, 0.7),
)


def dry_track(chirps: float = 60.0, guitar: float = 10.0) -> np.ndarray:
    """The dry recording: `chirps` seconds of :func:`chirp_train`, then `guitar` seconds of :func:`plucked_guitar`.

    Returns float64 of shape `(time,)` at 44.1 kHz, full scale 1.

    >>> dry_track(chirps=0.3, guitar=0.1).shape
    (17640,)
    """
    return np.concatenate([chirp_train(chirps), plucked_guitar(guitar)])


def chirp_train(seconds: float) -> np.ndarray:
    """Impulses every 30 ms, each spread into a chirp by 64 first-order all-passes, then through the pickup.

    `H(z) = ((a + z^-1) / (1 + a z^-1))^64`, a = −0.9: the group delay falls from 28 ms at 0 Hz to 0.1 ms at
    Nyquist, so that every period sweeps the whole band downwards once. The last 5 ms fade out.

    Source: Kiiski, Esqueda, Välimäki, "Time-variant gray-box modeling of a phaser pedal", DAFx-16.

    >>> round(float(abs(chirp_train(0.3)).max()), 6)
    0.25
    """
    a = CHIRP_ALLPASS
    pair = np.concatenate([np.convolve([a, 1], [a, 1]), np.convolve([1, a], [1, a])])
    sections = np.tile(pair, (CHIRP_SECTIONS // 2, 1))
    chirp = _pickup(signal.sosfilt(sections, signal.unit_impulse(4 * CHIRP_PERIOD)))
    chirp *= CHIRP_PEAK / np.abs(chirp.reshape(4, -1).sum(axis=0)).max()  # of the periods' overlap
    length = round(seconds * SAMPLE_RATE)
    periods = max(1, -(-length // CHIRP_PERIOD))
    return _fade_out(signal.upfirdn(chirp, np.ones(periods), up=CHIRP_PERIOD)[:length], 0.005)


def plucked_guitar(seconds: float) -> np.ndarray:
    """The first `seconds` of a 10 s phrase (chord, arpeggios, single notes, muted chords), which then repeats.

    >>> round(float(abs(plucked_guitar(10.0)).max()), 6)
    0.5
    """
    return np.resize(_phrase(), round(seconds * SAMPLE_RATE))


@cache
def _phrase() -> np.ndarray:
    rng = np.random.default_rng(GUITAR_SEED)
    strings = np.zeros(round(PHRASE_SECONDS * SAMPLE_RATE))
    for beat, pitches, beats, velocity in PHRASE:
        for string, pitch in enumerate(pitches):
            onset = round((beat * BEAT_SECONDS + string * STRUM_SECONDS) * SAMPLE_RATE)
            frequency = 440.0 * 2 ** ((pitch - 69) / 12)
            note = pluck(frequency, beats * BEAT_SECONDS, velocity * rng.uniform(0.9, 1.0), rng)[: len(strings) - onset]
            strings[onset : onset + len(note)] += note
    guitar = _fade_out(_pickup(_body(strings)), 0.25)
    return guitar * (GUITAR_PEAK / np.abs(guitar).max())


def pluck(frequency: float, seconds: float, velocity: float, rng: np.random.Generator) -> np.ndarray:
    """One note of the extended Karplus–Strong string.

    A burst of noise one period long, shaped by the pick, runs round a loop of delay `fs / frequency` samples:
    `y[n] = x[n] + Σ_k f[k] y[n − N − k]`, where f joins a three-tap loss filter and a fractional delay
    (Lagrange, third order).

    Source: Jaffe and Smith, "Extensions of the Karplus–Strong plucked-string algorithm", CMJ 7(2), 1983.

    Args:
        frequency: pitch, Hz.
        seconds: time until the finger damps the string.
        velocity: strength of the pick in (0, 1]; a stronger one is louder and brighter.
        rng: where the burst of noise comes from.
    """
    period = SAMPLE_RATE / frequency
    burst = _excitation(period, velocity, rng)
    excitation = np.zeros(round(seconds * SAMPLE_RATE) + round(0.02 * SAMPLE_RATE))
    excitation[: len(burst)] = burst[: len(excitation)]

    whole = int(period - 2)
    loop = np.convolve(_loss(period, velocity), _fractional_delay(period - 1 - whole))
    string = signal.lfilter([1.0], np.concatenate([[1.0], np.zeros(whole - 1), -loop]), excitation)
    return _fade_out(string, 0.02)


def _excitation(period: float, velocity: float, rng: np.random.Generator) -> np.ndarray:
    """Noise behind the pick's low-pass and the combs of pick and pickup position, without the offset that the
    string would hold for seconds."""
    noise = rng.uniform(-1.0, 1.0, round(period))
    softness = 0.92 - 0.4 * velocity
    burst = signal.lfilter([1 - softness], [1, -softness], noise - noise.mean())
    for position in (PICK_POSITION, PICKUP_POSITION):
        delay = max(1, round(position * period))
        burst = np.convolve(burst, np.concatenate([[1.0], np.zeros(delay - 1), [-1.0]]))
    return velocity * burst / np.abs(burst).max()


def _loss(period: float, velocity: float) -> np.ndarray:
    """Linear-phase loss of one period: a delay of one sample at every frequency, so that it detunes nothing."""
    decay_seconds = 7.0 * (period / 400) ** 0.5
    gain = 10 ** (-3 * period / (SAMPLE_RATE * decay_seconds))
    damping = 0.05 - 0.03 * velocity
    return gain * np.array([damping / 2, 1 - damping, damping / 2])


def _fractional_delay(delay: float) -> np.ndarray:
    """Lagrange interpolator of third order, for a delay between 1 and 2 samples."""
    taps = np.arange(4)
    return np.array([np.prod([(delay - j) / (k - j) for j in taps if j != k]) for k in taps])


def _body(strings: np.ndarray) -> np.ndarray:
    """The strings, and two modes of the wood at a low level."""
    modes = (gain * signal.lfilter(*signal.iirpeak(f, q, SAMPLE_RATE), strings) for f, q, gain in BODY_MODES)
    return strings + sum(modes)


def _pickup(x: np.ndarray) -> np.ndarray:
    """Pickup, cable and tone control by the bilinear transform, whose zeros at Nyquist spare the pedal's resamplers::

        s / (s + σ) · ω² / (s² + s ω/Q + ω²) · τ / (s + τ)

    The first factor: a coil senses motion, not position.
    """
    sigma, omega, tau = 2 * np.pi * np.array([PICKUP_CORNER, PICKUP_RESONANCE, TONE_CORNER])
    denominator = np.convolve(np.convolve([1, sigma], [1, tau]), [1, omega / PICKUP_Q, omega**2])
    return signal.lfilter(*signal.bilinear([omega**2 * tau, 0], denominator, SAMPLE_RATE), x)


def _fade_out(x: np.ndarray, seconds: float) -> np.ndarray:
    length = min(round(seconds * SAMPLE_RATE), len(x))
    fade = 0.5 + 0.5 * np.cos(np.pi * np.arange(length) / length)
    return np.concatenate([x[:-length], x[-length:] * fade])
