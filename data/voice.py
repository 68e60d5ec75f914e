"""A singing voice, dry as in a booth: syllables of glottal pulses and noise, through the resonances of five vowels.

It stands for what a vocal chain is fitted to: harmonics that glide, sibilants that reach 15 kHz, breaths, and pauses.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy import signal

from data.signals import SAMPLE_RATE

SEED = 1877
PEAK = 0.7
PHRASE_SECONDS = 12.0
SYLLABLES_A_BREATH = 7
PITCHES = (45, 47, 48, 50, 52, 53, 55, 57)  # MIDI
VIBRATO_HZ, VIBRATO_SEMITONES = 5.6, 0.35
OPEN = 0.6  # of a period: how long the glottis is
BREATHINESS = 0.03  # noise in the open phase, of the pulses' peak
ROOM_NOISE = 10 ** (-75 / 20)

VOWELS = {  # centre and bandwidth of the formants, in Hz
    "a": ((730, 80), (1090, 90), (2440, 120), (3400, 180), (4500, 250)),
    "e": ((530, 70), (1840, 100), (2480, 130), (3500, 180), (4500, 250)),
    "i": ((270, 60), (2290, 110), (3010, 150), (3600, 200), (4700, 280)),
    "o": ((570, 70), (840, 80), (2410, 120), (3300, 180), (4400, 250)),
    "u": ((300, 60), (870, 80), (2240, 120), (3200, 180), (4300, 250)),
}
CONSONANTS = {"s": (5500, 14_000, 0.12, 0.22), "sh": (2500, 7000, 0.11, 0.28), "t": (3000, 9000, 0.03, 0.45), "": None}
"""The band of the noise in Hz, its seconds, and its peak against the vowel's."""


def singing(seconds: float) -> np.ndarray:
    """The first `seconds` of a 12 s phrase, which then repeats: float64 of shape `(time,)` at 44.1 kHz.

    >>> round(float(abs(singing(12.0)).max()), 6)
    0.7
    """
    return np.resize(_phrase(), round(seconds * SAMPLE_RATE))


@cache
def _phrase() -> np.ndarray:
    rng = np.random.default_rng(SEED)
    length = round(PHRASE_SECONDS * SAMPLE_RATE)
    track, onset, number = np.zeros(length), 0.15, 0
    while onset < PHRASE_SECONDS - 0.8:
        if number % SYLLABLES_A_BREATH == SYLLABLES_A_BREATH - 1:
            _add(track, onset + 0.1, 0.05 * _noise_band(700, 6000, 0.3, rng))
            onset += 0.55
        onset += _syllable(track, onset, rng)
        number += 1
    track += ROOM_NOISE * rng.standard_normal(length)
    return track * (PEAK / np.abs(track).max())


def _syllable(track: np.ndarray, onset: float, rng: np.random.Generator) -> float:
    """Adds a consonant and a vowel, or a vowel alone; returns how long they take."""
    consonant = CONSONANTS[rng.choice(list(CONSONANTS))]
    loudness, before = rng.uniform(0.4, 1.0), 0.0
    if consonant is not None:
        lowest, highest, before, peak = consonant
        _add(track, onset, loudness * peak * _noise_band(lowest, highest, before, rng))
    seconds = rng.uniform(0.25, 0.6)
    vowel = _vowel(VOWELS[rng.choice(list(VOWELS))], rng.choice(PITCHES), seconds, rng)
    _add(track, onset + 0.8 * before, loudness * vowel)
    return 0.8 * before + seconds + rng.uniform(0.0, 0.08)


def _vowel(
    formants: tuple[tuple[float, float], ...], pitch: int, seconds: float, rng: np.random.Generator
) -> np.ndarray:
    """Pulses of the glottal flow's derivative, and breath while it is open, through resonators in series."""
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    glide = -1.5 * np.exp(-time / 0.04)
    vibrato = VIBRATO_SEMITONES * np.clip(time / 0.3, 0, 1) * np.sin(2 * np.pi * VIBRATO_HZ * time)
    frequency = 440.0 * 2 ** ((pitch - 69 + glide + vibrato) / 12)
    phase = np.cumsum(frequency / SAMPLE_RATE) % 1.0
    place = phase / OPEN
    source = np.where(place < 1, place * (2 - 3 * place), 0.0)  # Rosenberg's pulse, differentiated
    source += BREATHINESS * rng.standard_normal(len(time)) * (place < 1)
    for centre, bandwidth in formants:
        radius = np.exp(-np.pi * bandwidth / SAMPLE_RATE)
        a = np.array([1.0, -2 * radius * np.cos(2 * np.pi * centre / SAMPLE_RATE), radius**2])
        source = signal.lfilter([a.sum()], a, source)
    source *= np.minimum(1.0, time / 0.03) * np.minimum(1.0, (seconds - time) / 0.06)
    return source / np.abs(source).max()


def _noise_band(lowest: float, highest: float, seconds: float, rng: np.random.Generator) -> np.ndarray:
    sections = signal.butter(2, (lowest, highest), "band", fs=SAMPLE_RATE, output="sos")
    noise = signal.sosfilt(sections, rng.standard_normal(round(seconds * SAMPLE_RATE)))
    noise *= np.hanning(len(noise))
    return noise / np.abs(noise).max()


def _add(track: np.ndarray, onset: float, sound: np.ndarray) -> None:
    first = round(onset * SAMPLE_RATE)
    sound = sound[: max(0, len(track) - first)]
    track[first : first + len(sound)] += sound
