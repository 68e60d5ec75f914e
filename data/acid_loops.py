"""Loops of the simulated TB-303, cut into notes as loops of a sample pack are: every 6000 samples, and hard at a note's end.

Each loop has its own knobs and its own melody of sixteen sixteenths. The statistics are those of 54 recorded notes: pitch,
slides, lengths, late starts, levels and noise; squares, low notes and open filters come oftener, because recordings have few
of them. The recordings' pulses are narrower than an output coupled at 24 Hz has them, hence the higher corners.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from data.acid import SAMPLE_RATE, STEP, Knobs, Pattern, simulate

SEED = 303
STEPS = 16
LOWEST, HIGHEST = 30, 59  # MIDI
ROOTS = (30, 46)
SCALE = (0, 0, 3, 5, 7, 10)
OCTAVE_UP = 0.4  # the probability of each; of slides and full notes, before the rules of `_pattern`
REST, SHORT, FULL = 0.04, 0.06, 0.52
SLIDE, ACCENT, SQUARE = 0.063, 0.35, 0.18
LATEST = 250  # samples
QUANTUM = 250  # samples: of the notes' lengths
SHORTEST = 4000  # samples: shorter notes are dropped
TUNING = 0.12  # semitones
OUTPUT_CORNERS = (60.0, 140.0)  # Hz

PEAKS = (0.4, 1.0)
NOISE_DBFS = -84.0
LOUD_NOISE, LOUD_NOISE_DBFS = 0.1, (-78.0, -66.0)


@dataclass(frozen=True, eq=False)
class AcidNotes:
    """Notes of the simulated synthesiser, and the truth about each; every array has a row a note."""

    audio: np.ndarray
    """`(notes, 6000)`, float32, full scale 1; exact zeros from `note_on` on."""
    f0_hz: np.ndarray
    """`(notes, 6000)`, float32: the oscillator's frequency at each sample, slides included."""
    note_on: np.ndarray
    """`(notes,)`, int64: samples until the note is cut off, 4000 to 6000."""
    loop: np.ndarray
    """The loop that a note is from, int64; a loop's notes share their knobs."""
    late: np.ndarray
    """Samples until the note is struck, int64."""
    slide: np.ndarray
    """Whether the note is slid into, bool."""
    accented: np.ndarray
    """bool."""
    square: np.ndarray
    """bool; the other waveform is the saw."""
    cutoff: np.ndarray
    """The knob, 0 to 1, as the next two; float64, as are all that follow."""
    resonance: np.ndarray
    env_mod: np.ndarray
    decay: np.ndarray
    """Seconds; 0.2 on accented notes, whatever the knob says."""
    accent: np.ndarray
    """The knob, 0 to 1."""
    sample_rate: int = SAMPLE_RATE
    """Hz."""

    def __len__(self) -> int:
        return len(self.audio)


def acid_notes(loops: int = 100, seed: int = SEED, report: Callable[[float], None] | None = None) -> AcidNotes:
    """The notes of `loops` loops, about 14 each; fewer loops are the first of more.

    Args:
        loops: at least 1.
        seed: of knobs, melodies, levels and noise.
        report: called with the fraction done, after each loop.

    Raises:
        ValueError: there are no loops.

    >>> notes = acid_notes(loops=1)
    >>> notes.audio.shape == notes.f0_hz.shape == (len(notes), 6000)
    True
    """
    if loops < 1:
        raise ValueError(f"loops: got {loops}, need at least 1")
    rows = []
    for number in range(loops):
        rows += _notes(number, np.random.default_rng((seed, number)))
        if report is not None:
            report((number + 1) / loops)
    return AcidNotes(**{name: np.stack([row[name] for row in rows]) for name in rows[0]})


def random_knobs(rng: np.random.Generator) -> Knobs:
    """A front panel: more open than closed, and more often of short decays than of long ones."""
    return Knobs(
        square=bool(rng.random() < SQUARE),
        cutoff=rng.uniform(0.1, 1.0),
        resonance=rng.uniform(),
        env_mod=rng.uniform(0.3, 1.0),
        decay=0.2 * 10 ** (rng.uniform() ** 2),
        accent=rng.uniform(),
        tuning=rng.uniform(-TUNING, TUNING),
    )


def random_pattern(rng: np.random.Generator) -> Pattern:
    """Sixteen sixteenths in a minor pentatonic over a root, in two octaves, none above MIDI 59."""
    pitch = rng.integers(*ROOTS) + rng.choice(SCALE, STEPS) + 12 * (rng.random(STEPS) < OCTAVE_UP)
    pitch = np.where(pitch > HIGHEST, pitch - 12, pitch).astype(float)
    kind = rng.random(STEPS)
    length = QUANTUM * rng.integers(SHORTEST // QUANTUM, STEP // QUANTUM, STEPS)
    length[kind < FULL] = STEP
    length[kind > 1 - REST - SHORT] //= 2
    length[kind > 1 - REST] = 0
    slide = (rng.random(STEPS) < SLIDE) & (length > 0)
    slide[1:] &= (length[:-1] > 0) & (pitch[1:] != pitch[:-1])
    slide[0] = False
    length[:-1][slide[1:]] = STEP
    return Pattern(pitch, rng.integers(0, LATEST + 1, STEPS), length, rng.random(STEPS) < ACCENT, slide)


def _notes(number: int, rng: np.random.Generator) -> list[dict[str, np.ndarray]]:
    """A loop's notes, as rows of :class:`AcidNotes`."""
    knobs, pattern = random_knobs(rng), random_pattern(rng)
    tracks = simulate(pattern, knobs, rng.uniform(), rng.uniform(*OUTPUT_CORNERS))
    audio, f0 = (track.reshape(STEPS, STEP) for track in tracks)
    accented = _accents_that_sound(pattern)
    return [
        {
            "audio": _record(audio[step], pattern.length[step], rng).astype(np.float32),
            "f0_hz": f0[step].astype(np.float32),
            "note_on": pattern.length[step],
            "loop": np.int64(number),
            "late": pattern.late[step],
            "slide": pattern.slide[step],
            "accented": accented[step],
            "square": np.bool_(knobs.square),
            **{
                name: np.float64(getattr(knobs, name)) for name in ("cutoff", "resonance", "env_mod", "decay", "accent")
            },
        }
        for step in range(STEPS)
        if pattern.length[step] >= SHORTEST
    ]


def _accents_that_sound(pattern: Pattern) -> np.ndarray:
    """A note that is slid into has the accent of the one that was struck."""
    accents = pattern.accent.copy()
    for step in np.flatnonzero(pattern.slide):
        accents[step] = accents[step - 1]
    return accents


def _record(note: np.ndarray, length: int, rng: np.random.Generator) -> np.ndarray:
    """The note at a level of its own, with the noise of a recording until it is cut off."""
    level = rng.uniform(*LOUD_NOISE_DBFS) if rng.random() < LOUD_NOISE else NOISE_DBFS
    noise = 10 ** (level / 20) * rng.standard_normal(len(note))
    recording = rng.uniform(*PEAKS) / np.abs(note).max() * note + noise
    return np.where(np.arange(len(note)) < length, recording, 0.0)
