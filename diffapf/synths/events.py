"""Notes as a sequencer has them."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields


@dataclass(frozen=True)
class NoteEvent:
    """One note.

    Args:
        start_s, duration_s: in seconds.
        pitch: MIDI number, 69 for 440 Hz; also between the keys.
        velocity: 0 to 1, a factor on the sound.
        slide: the next note follows without a new start, however long this one was: its pitch is glided to.

    Raises:
        ValueError: a note without length, a start before 0, a velocity outside 0 to 1, numbers that are not finite.

    >>> NoteEvent(0.0, 0.5, 57).f0_hz
    220.0
    """

    start_s: float
    duration_s: float
    pitch: float
    velocity: float = 1.0
    slide: bool = False

    def __post_init__(self) -> None:
        for field in fields(self)[:4]:
            value = getattr(self, field.name)
            if not isinstance(value, (int, float)) or not math.isfinite(value):
                raise ValueError(f"{field.name} of a note must be a finite number, got {value!r}")
        if not self.duration_s > 0:
            raise ValueError(f"a note must last longer than 0 s, got duration_s={self.duration_s}")
        if self.start_s < 0:
            raise ValueError(f"a note must start at 0 s or later, got start_s={self.start_s}")
        if not 0 <= self.velocity <= 1:
            raise ValueError(f"velocity must lie from 0 to 1, got {self.velocity}")

    @property
    def f0_hz(self) -> float:
        return 440.0 * 2 ** ((self.pitch - 69) / 12)
