"""Programme material for a compressor: bars of drums, bass and plucked guitar, whose level steps by up to 30 dB.

A compressor shows its threshold and ratio in the levels, its attack at the hits and the steps up, its release after them.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy import signal

from data.signals import SAMPLE_RATE, pluck

BAR_SECONDS = 2.0
SEED = 1965
PEAK = 0.9  # of a bar at 0 dB
LEVELS_DB = (0.0, -18.0, -6.0, -30.0, -12.0, 0.0, -24.0, -3.0)  # of one bar after the other
BANDS = (("drums",), ("drums", "bass"), ("bass", "guitar"), ("drums", "bass", "guitar"), ("guitar",))

BASS_PITCHES = (33, 36, 38, 40, 43)  # MIDI
GUITAR_PITCHES = (52, 55, 57, 60, 62, 64, 67, 69)
BASS_CORNER = 600.0  # Hz
SIXTEENTH = BAR_SECONDS / 16


def programme(seconds: float) -> np.ndarray:
    """`seconds` of music, float64 of shape `(time,)` at 44.1 kHz: each bar is new, and the same every time.

    >>> round(float(abs(programme(2.0)).max()), 6)
    0.9
    """
    return _bars(seconds, BANDS, LEVELS_DB)


def drums(seconds: float) -> np.ndarray:
    """The same of drums alone, all bars at 0 dB.

    >>> round(float(abs(drums(2.0)).max()), 6)
    0.9
    """
    return _bars(seconds, (("drums",),), (0.0,))


def _bars(seconds: float, bands: tuple[tuple[str, ...], ...], levels_db: tuple[float, ...]) -> np.ndarray:
    """Bars in turns of each band, and of each level."""
    length = round(seconds * SAMPLE_RATE)
    bar = round(BAR_SECONDS * SAMPLE_RATE)
    track = np.zeros((-(-length // bar) + 1) * bar)  # a bar's notes ring into the next
    rng = np.random.default_rng(SEED)
    for number in range(-(-length // bar)):
        notes = _bar(bands[number % len(bands)], rng)
        notes *= PEAK / np.abs(notes).max() * 10 ** (levels_db[number % len(levels_db)] / 20)
        track[number * bar : (number + 2) * bar] += notes
    track = track[:length]
    return track if not length else track * min(1.0, PEAK / np.abs(track).max())  # where one bar rings into another


def _bar(band: tuple[str, ...], rng: np.random.Generator) -> np.ndarray:
    """A bar of some players, and as long again for what rings on; it ends in silence."""
    track = np.zeros(2 * round(BAR_SECONDS * SAMPLE_RATE))
    for player in band:
        for sixteenth, sound in PLAYERS[player](rng):
            onset = round((sixteenth * SIXTEENTH + rng.uniform(0, 0.004)) * SAMPLE_RATE)
            sound = sound[: len(track) - onset]
            track[onset : onset + len(sound)] += rng.uniform(0.5, 1.0) * sound
    track[-1000:] *= np.linspace(1, 0, 1000)
    return track


def _drums(rng: np.random.Generator) -> list[tuple[int, np.ndarray]]:
    kicks = [(n, kick()) for n in (0, 8, 10) if n < 10 or rng.random() < 0.5]
    snares = [(n, snare()) for n in (4, 12)]
    hats = [(n, 0.4 * hat()) for n in range(0, 16, 2) if rng.random() < 0.8]
    return kicks + snares + hats


def _bass(rng: np.random.Generator) -> list[tuple[int, np.ndarray]]:
    return [(n, 0.8 * _bass_note(rng.choice(BASS_PITCHES))) for n in (0, 3, 6, 10, 14) if rng.random() < 0.8] or [
        (0, 0.8 * _bass_note(BASS_PITCHES[0]))
    ]


def _guitar(rng: np.random.Generator) -> list[tuple[int, np.ndarray]]:
    chord = [(0, 0.3 * _guitar_note(pitch)) for pitch in rng.choice(GUITAR_PITCHES, 3, replace=False)]
    return chord + [(n, 0.5 * _guitar_note(rng.choice(GUITAR_PITCHES))) for n in range(4, 16, 2) if rng.random() < 0.7]


PLAYERS = {"drums": _drums, "bass": _bass, "guitar": _guitar}


@cache
def kick() -> np.ndarray:
    """A sine whose frequency falls from 200 to 50 Hz, and the beater's click."""
    time = np.arange(round(0.35 * SAMPLE_RATE)) / SAMPLE_RATE
    phase = 2 * np.pi * (50 * time + 150 * 0.03 * (1 - np.exp(-time / 0.03)))
    return np.sin(phase) * np.exp(-time / 0.09) * _fade_in(time, 5e-4)


@cache
def snare() -> np.ndarray:
    """Noise of the wires above two modes of the skin."""
    time = np.arange(round(0.3 * SAMPLE_RATE)) / SAMPLE_RATE
    wires = signal.sosfilt(signal.butter(2, (400, 8000), "band", fs=SAMPLE_RATE, output="sos"), _noise(1, len(time)))
    skin = np.sin(2 * np.pi * 185 * time) + 0.6 * np.sin(2 * np.pi * 330 * time)
    return (wires * np.exp(-time / 0.05) + 0.5 * skin * np.exp(-time / 0.04)) * _fade_in(time, 5e-4)


@cache
def hat() -> np.ndarray:
    """High noise that dies at once."""
    time = np.arange(round(0.1 * SAMPLE_RATE)) / SAMPLE_RATE
    noise = signal.sosfilt(signal.butter(4, 7000, "high", fs=SAMPLE_RATE, output="sos"), _noise(2, len(time)))
    return noise * np.exp(-time / 0.015) * _fade_in(time, 5e-4)


@cache
def _bass_note(pitch: int) -> np.ndarray:
    note = _string(pitch, 0.45, 0.9)
    return signal.sosfilt(signal.butter(1, BASS_CORNER, fs=SAMPLE_RATE, output="sos"), note)


@cache
def _guitar_note(pitch: int) -> np.ndarray:
    return _string(pitch, 0.9, 0.7)


def _string(pitch: int, seconds: float, velocity: float) -> np.ndarray:
    note = pluck(440.0 * 2 ** ((pitch - 69) / 12), seconds, velocity, np.random.default_rng(SEED + pitch))
    return note / np.abs(note).max()


def _noise(seed: int, length: int) -> np.ndarray:
    return np.random.default_rng(SEED + seed).uniform(-1, 1, length)


def _fade_in(time: np.ndarray, seconds: float) -> np.ndarray:
    return np.minimum(1.0, time / seconds)
