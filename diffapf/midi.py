"""Standard MIDI Files as the events of a synth of one voice."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from diffapf.needs import needed
from diffapf.synths.events import NoteEvent

DRUMS = 9
"""MIDI's channel 10."""
DEFAULT_TEMPO_US = 500_000


def read_midi(path: str | os.PathLike, transpose: float = 0.0) -> list[NoteEvent]:
    """The notes of a Standard MIDI File for one voice: of several that are held, the one struck last sounds.

    Where it ends and another is still held, that one sounds again. Notes that overlap are played legato: the first slides
    into the second. All tracks and channels are merged, but for the drums of channel 10; of notes struck together, the
    highest is played.

    Args:
        path: of the file.
        transpose: semitones up.

    Returns:
        In the order of their starts, none over another.

    Raises:
        ValueError: there is no such file; it is no MIDI file, or damaged; it has no notes; mido is not installed.
    """
    path = Path(path)
    held = _held(_messages(path))
    if not held:
        raise ValueError(
            f"{path} has no notes to play: it may hold tempo or drums alone; export the track with the notes"
        )
    return [replace(event, pitch=event.pitch + transpose) for event in one_voice(held)]


@dataclass(frozen=True)
class Held:
    """A key from when it is pressed to when it is let go, in seconds."""

    start_s: float
    stop_s: float
    pitch: int
    velocity: float


def one_voice(held: list[Held]) -> list[NoteEvent]:
    """Events by last-note priority; a note that is sounding when another starts or comes back slides into it.

    >>> [(e.start_s, e.pitch, e.slide) for e in one_voice([Held(0, 3, 40, 1.0), Held(1, 2, 52, 1.0)])]
    [(0, 40, True), (1, 52, True), (2, 40, False)]
    """
    edges = sorted({time for note in held for time in (note.start_s, note.stop_s)})
    found: list[NoteEvent] = []
    sounding: Held | None = None
    for now, following in pairwise(edges):
        last = max(
            (note for note in held if note.start_s <= now < note.stop_s),
            key=lambda note: (note.start_s, note.pitch),
            default=None,
        )
        if last is None:
            sounding = None
        elif last is sounding:
            found[-1] = replace(found[-1], duration_s=following - found[-1].start_s)
        else:
            if (sounding is not None and now < sounding.stop_s) or last.start_s < now:
                found[-1] = replace(found[-1], slide=True)
            found.append(NoteEvent(now, following - now, last.pitch, last.velocity))
            sounding = last
    return found


def _held(messages: list[tuple[float, Any]]) -> list[Held]:
    """Keys pressed and let go; one pressed twice is let go by its second press, one never let go by the file's end."""
    pressed: dict[tuple[int, int], tuple[float, float]] = {}
    found: list[Held] = []

    def let_go(key: tuple[int, int], now: float) -> None:
        start, velocity = pressed.pop(key, (now, 0.0))
        if now > start:
            found.append(Held(start, now, key[1], velocity))

    for now, message in messages:
        if message.type not in ("note_on", "note_off") or message.channel == DRUMS:
            continue
        key = message.channel, message.note
        let_go(key, now)
        if message.type == "note_on" and message.velocity > 0:
            pressed[key] = now, message.velocity / 127
    for key in list(pressed):
        let_go(key, messages[-1][0])
    return sorted(found, key=lambda note: note.start_s)


def _messages(path: Path) -> list[tuple[float, Any]]:
    """(seconds, message) of all tracks, in order; seconds are counted from ticks, so that they do not drift."""
    mido = needed("mido")
    if not path.is_file():
        raise ValueError(f"there is no MIDI file {path}")
    try:
        file = mido.MidiFile(path)
    except Exception as error:  # a damaged file can raise anything
        raise ValueError(f"{path} is not a MIDI file ({error or type(error).__name__})") from None
    if file.type == 2:
        raise ValueError(f"{path} is a MIDI file of type 2, of independent patterns; export it as type 0 or 1")
    if file.ticks_per_beat <= 0:
        raise ValueError(f"{path} counts time in film frames; export it with ticks per beat")
    found, seconds, tempo = [], 0.0, DEFAULT_TEMPO_US
    for message in mido.merge_tracks(file.tracks):
        seconds += message.time * tempo * 1e-6 / file.ticks_per_beat
        found.append((seconds, message))
        if message.type == "set_tempo":
            tempo = message.tempo
    return found
