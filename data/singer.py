"""Singers who do not exist: a glottal source blows through a tube of many sections, whose areas glide from vowel to vowel.

A Kelly–Lochbaum waveguide at four times the audio rate. At each junction, of areas A and B, waves R (to the lips) and L (to
the glottis) scatter, and each moves on by a section a sample:

    w = (A − B)/(A + B) (R + L),   R' = R − w,   L' = L + w;   ends: R'₀ = 0.75 L₀ + source,  L'_N = −0.85 R_N,  out R_N

Areas are exp of a sum of bumps over the tube, three numbers a vowel. The source is Klatt's derivative of the glottal flow,
its closure smoothed, with vibrato, jitter, shimmer, and noise while the glottis is open:

    flow (t/T_o)² (1 − t/T_o) over the open phase T_o of a period

Nothing of it is a formula of `diffapf/synths/glottal.py`. Source: Kelly, Lochbaum, "Speech synthesis", 1962; Klatt, Klatt,
JASA 87, 1990.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numba import njit
from scipy import signal

SAMPLE_RATE = 24_000
OVERSAMPLING = 4
RATE = OVERSAMPLING * SAMPLE_RATE
SPEED = 350.0  # of sound, m/s
GLOTTIS, LIPS, LOSS = 0.75, -0.85, 0.9993
FRAME = 480  # samples at RATE between areas, 5 ms: linear in between
GLIDE_S, PORTAMENTO_S, ONSET_S, RELEASE_S = 0.09, 0.05, 0.04, 0.07
JITTER, SHIMMER = 0.004, 0.03
ROOM_NOISE = 10 ** (-72 / 20)
PEAK = 0.6
PHRASE_NOTES = 7

# Of ln area, relative to the neutral tube: back, middle and lips.
VOWELS = {
    "a": (-1.3, 0.8, 0.4),
    "e": (0.5, -0.8, 0.2),
    "i": (0.9, -1.9, 0.1),
    "o": (-0.5, 0.3, -1.2),
    "u": (0.6, -0.6, -2.0),
    "ə": (0.0, 0.0, 0.0),
}
BUMPS = ((0.30, 0.17), (0.66, 0.14), (0.99, 0.06))  # place and width, as shares of the tube
LARYNX = (0.0, 0.07, -1.1)


@dataclass(frozen=True)
class Singer:
    """Length of the tube in cm; the lowest and highest note, MIDI; how long the glottis is open, of a period; its breath."""

    name: str
    tract_cm: float
    lowest: int
    highest: int
    open_quotient: float
    breath: float
    vibrato_hz: float
    vibrato_semitones: float


SINGERS = {
    "soprano": Singer("soprano", 14.2, 60, 74, 0.68, 0.05, 5.9, 0.45),
    "baritone": Singer("baritone", 17.6, 43, 57, 0.55, 0.025, 5.3, 0.30),
}


@dataclass(frozen=True, eq=False)
class Song:
    """What was sung: float64 at 24 kHz, and its true pitch in Hz, 0 where there is none."""

    audio: np.ndarray
    f0_hz: np.ndarray
    sample_rate: int = SAMPLE_RATE


def sing(singer: Singer, seconds: float, seed: int = 1, report: Callable[[float], None] | None = None) -> Song:
    """A song of so many seconds, phrase after phrase.

    >>> song = sing(SINGERS["baritone"], 0.5)
    >>> song.audio.shape == song.f0_hz.shape == (12000,)
    True
    """
    rng = np.random.default_rng(seed)
    length = round(seconds * SAMPLE_RATE) * OVERSAMPLING
    pitch, level, areas = _score(singer, length, rng)
    source = _source(singer, pitch, level, rng)
    out, block = np.empty(length), RATE
    state = np.zeros((2, areas.shape[1]))
    for start in range(0, length, block):
        stop = min(start + block, length)
        _tube(source[start:stop], areas, start, state, out[start:stop])
        if report is not None:
            report(stop / length)
    radiated = np.diff(out, prepend=0.0)
    audio = signal.resample_poly(radiated, 1, OVERSAMPLING)
    audio = audio * (PEAK / np.abs(audio).max()) + ROOM_NOISE * rng.standard_normal(len(audio))
    voiced = level[::OVERSAMPLING] > 0.05
    return Song(audio, np.where(voiced, pitch[::OVERSAMPLING], 0.0))


def _score(singer: Singer, length: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pitch in Hz and level at each sample, and the tube's areas at each frame."""
    semitones, level = np.zeros(length), np.zeros(length)
    frames = length // FRAME + 2
    shape = np.zeros((frames, 3))
    at, number, note = round(0.1 * RATE), 0, rng.integers(singer.lowest, singer.highest + 1)
    semitones[:at], vowel = note, "ə"
    while at < length:
        seconds = rng.uniform(0.25, 0.9)
        stop = min(at + round(seconds * RATE), length)
        note = int(np.clip(note + rng.choice([-4, -3, -2, -1, 1, 2, 3, 5]), singer.lowest, singer.highest))
        vowel = rng.choice([each for each in VOWELS if each != vowel])
        semitones[at:], shape[at // FRAME :] = note, VOWELS[vowel]
        ends = number % PHRASE_NOTES == PHRASE_NOTES - 1
        level[at:stop] = rng.uniform(0.5, 1.0)
        if ends:
            level[max(at, stop - round(RELEASE_S * RATE)) : stop] = 0.0
            stop = min(stop + round(rng.uniform(0.2, 0.5) * RATE), length)
        at, number = stop, number + 1
    time = np.arange(length) / RATE
    semitones = _smooth(semitones, PORTAMENTO_S * RATE)
    depth = _smooth((level > 0).astype(float), 0.3 * RATE) * singer.vibrato_semitones
    semitones += depth * np.sin(2 * np.pi * singer.vibrato_hz * time)
    ways = np.stack([_smooth(part, GLIDE_S * RATE / FRAME) for part in shape.T], 1)
    return 440.0 * 2 ** ((semitones - 69) / 12), _smooth(level, ONSET_S * RATE), _areas(singer, ways)


def _smooth(values: np.ndarray, samples: float) -> np.ndarray:
    """By two one-poles, which together settle within so many samples."""
    pole = np.exp(-4 / max(samples, 1.0))
    b, a = [(1 - pole) ** 2], [1, -2 * pole, pole**2]
    rest = signal.lfiltic(b, a, [values[0], values[0]])
    return signal.lfilter(b, a, values, zi=rest)[0]


def _areas(singer: Singer, shape: np.ndarray) -> np.ndarray:
    """`(frames, sections)`, each section as long as sound goes in a sample."""
    sections = round(singer.tract_cm / 100 / (SPEED / RATE))
    x = (np.arange(sections) + 0.5) / sections
    bumps = np.stack([np.exp(-(((x - place) / width) ** 2)) for place, width in BUMPS])
    place, width, depth = LARYNX
    return np.exp(shape @ bumps + depth * np.exp(-(((x - place) / width) ** 2)))


def _source(singer: Singer, pitch: np.ndarray, level: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    periods = int(np.ceil((pitch / RATE).sum())) + 2
    jitter, shimmer = 1 + JITTER * rng.standard_normal(periods), 1 + SHIMMER * rng.standard_normal(periods)
    derivative, opened = _glottis(pitch / RATE, singer.open_quotient, jitter, shimmer)
    smoothing = np.exp(-2 * np.pi * 2800.0 / RATE)  # the closure takes time
    derivative = signal.lfilter([1 - smoothing], [1, -smoothing], derivative)
    breath = signal.lfilter([1, -1], [1, -0.7], rng.standard_normal(len(pitch)))
    return level * (derivative + singer.breath * breath * (0.3 + opened))


@njit(cache=True)
def _glottis(steps, quotient, jitter, shimmer):
    derivative, opened = np.empty_like(steps), np.empty_like(steps)
    phase, period = 0.0, 0
    for n in range(len(steps)):
        phase += steps[n] * jitter[period]
        if phase >= 1.0:
            phase -= 1.0
            period = min(period + 1, len(jitter) - 1)
        t = phase / quotient
        if t < 1.0:
            derivative[n], opened[n] = shimmer[period] * (2 * t - 3 * t * t), 6.75 * t * t * (1 - t)
        else:
            derivative[n], opened[n] = 0.0, 0.0
    return derivative, opened


@njit(cache=True)
def _tube(source, areas, start, state, out):
    sections = areas.shape[1]
    right, left = state[0].copy(), state[1].copy()
    new_right, new_left = np.empty(sections), np.empty(sections)
    for n in range(len(source)):
        frame = (start + n) // FRAME
        way = ((start + n) - frame * FRAME) / FRAME
        before = areas[frame, 0] + way * (areas[frame + 1, 0] - areas[frame, 0])
        new_right[0] = GLOTTIS * left[0] + source[n]
        for i in range(1, sections):
            area = areas[frame, i] + way * (areas[frame + 1, i] - areas[frame, i])
            scattered = (before - area) / (before + area) * (right[i - 1] + left[i])
            new_right[i] = LOSS * (right[i - 1] - scattered)
            new_left[i - 1] = LOSS * (left[i] + scattered)
            before = area
        new_left[sections - 1] = LIPS * right[sections - 1]
        out[n] = right[sections - 1]
        right, new_right = new_right, right
        left, new_left = new_left, left
    state[0, :] = right
    state[1, :] = left
