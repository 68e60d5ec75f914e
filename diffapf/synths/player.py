"""A sequencer of one voice: note events played with a patch, as a whole or in blocks of any sizes.

A note cuts the one before it. Where one slides into the next, both are one *phrase*: the gate stays open, the patch's
trajectories go on, and the pitch glides in 60 ms, straight in semitones.

Sound is made in pieces that are counted from each phrase's start, and handed out as it is asked for: the same samples, bit
for bit, in whatever blocks.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from diffapf.synths._checks import LOWEST_HZ
from diffapf.synths.acid import AcidState, Note
from diffapf.synths.events import NoteEvent
from diffapf.synths.noise import LENGTH as NOISE_LENGTH
from diffapf.synths.patch import AcidPatch

GLIDE_S = 0.06
PIECE = 8192


@dataclass(frozen=True)
class Phrase:
    """Notes that slide into each other: samples from start to stop, and from where on which pitch is glided to."""

    start: int
    stop: int
    velocity: float
    pitches: tuple[tuple[int, float, float], ...]
    """(sample, MIDI pitch glided from, and to)"""

    def pitch(self, first: int, last: int, glide: float) -> Tensor:
        """MIDI pitch of samples first … last − 1 counted from the start; glide: samples."""
        n = torch.arange(first + self.start, last + self.start, dtype=torch.float64)
        found = torch.full_like(n, self.pitches[0][2])
        for sample, before, after in self.pitches[1:]:
            way = ((n - sample) / glide).clamp(max=1)
            found = torch.where(n >= sample, before + way * (after - before), found)
        return found


@dataclass(frozen=True)
class Voice:
    """The phrase that sounds, made until the sample `made`, of which the last ones are `piece`."""

    phrase: int
    synth: AcidState
    made: int
    piece: Tensor

    @property
    def first(self) -> int:
        """The first sample of the piece."""
        return self.made - len(self.piece)


@dataclass(frozen=True)
class PlayerState:
    """Where a stream is, in samples, and what sounds there."""

    sample: int = 0
    voice: Voice | None = None


class Player:
    """Plays events with a patch, at the patch's sample rate; see `AcidPatch.at_sample_rate`.

    Args:
        patch: the sound.
        events: in any order.
        free_running: the oscillator runs on through the rests, as in the instrument; by default every phrase starts with
            the patch's phase, so that a fitted note is played as it was fitted.

    Raises:
        ValueError: no events, one shorter than a sample, a pitch below 5 Hz or above half the sample rate.

    >>> player = Player(AcidPatch(48_000), [NoteEvent(0.0, 0.1, 45), NoteEvent(0.1, 0.1, 57)])
    >>> whole = player.render()
    >>> block, state = player.process(1000, player.initial_state())
    >>> len(whole), bool((block == whole[:1000]).all())
    (9600, True)
    """

    def __init__(self, patch: AcidPatch, events: Sequence[NoteEvent], free_running: bool = False):
        if not events:
            raise ValueError("there are no notes to play; a player needs at least one")
        self.patch, self.free_running = patch, free_running
        for event in events:
            _check_event(event, patch.sample_rate)
        self.glide = GLIDE_S * patch.sample_rate
        self.phrases = phrases(events, patch.sample_rate)
        self._stops = [phrase.stop for phrase in self.phrases]
        with torch.no_grad():
            self._values, self._phase, self._level = patch.values(), patch.phase(), patch.level().to(patch.dtype)

    @property
    def length(self) -> int:
        """Samples until the last note's end."""
        return self._stops[-1]

    def initial_state(self) -> PlayerState:
        return PlayerState()

    def render(self) -> Tensor:
        """All of it, `(length,)`."""
        return self.process(self.length, self.initial_state())[0]

    @torch.no_grad()
    def process(self, length: int, state: PlayerState) -> tuple[Tensor, PlayerState]:
        """The next samples, `(length,)`; after the last note, zeros.

        Raises:
            ValueError: a length below 0.
        """
        if not isinstance(length, int) or length < 0:
            raise ValueError(f"length must be a whole number of samples, 0 or more, got {length!r}")
        stop, voice = state.sample + length, state.voice
        if voice is not None and voice.first <= state.sample and stop <= voice.made:  # most of the small blocks
            return voice.piece[state.sample - voice.first : stop - voice.first].clone(), PlayerState(stop, voice)
        y = torch.zeros(length, dtype=self.patch.dtype)
        for index in range(bisect.bisect_right(self._stops, state.sample), len(self.phrases)):
            phrase = self.phrases[index]
            if phrase.start >= stop:
                break
            voice = self._play(y, state.sample, index, max(phrase.start, state.sample), min(phrase.stop, stop), voice)
        return y, PlayerState(stop, voice)

    def _play(self, y: Tensor, origin: int, index: int, sample: int, stop: int, voice: Voice | None) -> Voice:
        """Fills y, which begins at `origin`, from `sample` to `stop` with a phrase."""
        if voice is None or voice.phrase != index:
            voice = self._started(index, voice)
        while sample < stop:
            if sample >= voice.made:
                voice = self._continued(voice)
            until = min(stop, voice.made)
            y[sample - origin : until - origin] = voice.piece[sample - voice.first : until - voice.first]
            sample = until
        return voice

    def _started(self, index: int, before: Voice | None) -> Voice:
        phrase = self.phrases[index]
        phase = self._phase
        if self.free_running and before is not None and before.synth.phase is not None:
            last = self.phrases[before.phrase]
            hz = 440 * 2 ** ((last.pitch(last.stop - last.start - 1, last.stop - last.start, self.glide) - 69) / 12)
            rest = 2 * math.pi * hz[0] * ((phrase.start - last.stop) / self.patch.sample_rate)
            phase = (before.synth.phase + rest) % (2 * math.pi)
        return Voice(index, AcidState(phase=phase), phrase.start, torch.zeros(0, dtype=self.patch.dtype))

    def _continued(self, voice: Voice) -> Voice:
        phrase = self.phrases[voice.phrase]
        first = voice.made - phrase.start
        last = min(first + PIECE, phrase.stop - phrase.start)
        note = Note(
            f0_hz=440 * torch.exp2((phrase.pitch(first, last, self.glide) - 69) / 12),
            note_on=torch.tensor(phrase.stop - phrase.start),
            phase=self._phase,
            level=self._level * phrase.velocity,
            noise_start=phrase.start % NOISE_LENGTH,
        )
        piece, synth = self.patch.synth.process(note, self._values, voice.synth)
        return Voice(voice.phrase, synth, phrase.start + last, piece)


def phrases(events: Sequence[NoteEvent], sample_rate: float) -> list[Phrase]:
    """Events in their order as what sounds without a new start, each cut where the next begins."""
    groups: list[list[NoteEvent]] = []
    for event in sorted(events, key=lambda event: event.start_s):
        if groups and groups[-1][-1].slide:
            groups[-1].append(event)
        else:
            groups.append([event])
    starts = [round(group[0].start_s * sample_rate) for group in groups]
    found = []
    for group, start, following in zip(groups, starts, [*starts[1:], None], strict=True):
        stop = round((group[-1].start_s + group[-1].duration_s) * sample_rate)
        stop = stop if following is None else min(stop, following)
        if stop > start:  # else another note starts at the same sample, and is the one that is heard
            found.append(Phrase(start, stop, group[0].velocity, _glides(group, sample_rate)))
    return found


def _glides(group: Sequence[NoteEvent], sample_rate: float) -> tuple[tuple[int, float, float], ...]:
    """A glide sets out from where the one before had got to."""
    found = [(round(group[0].start_s * sample_rate), group[0].pitch, group[0].pitch)]
    for event in group[1:]:
        sample = round(event.start_s * sample_rate)
        since, before, after = found[-1]
        reached = before + min((sample - since) / (GLIDE_S * sample_rate), 1.0) * (after - before)
        found.append((sample, reached, event.pitch))
    return tuple(found)


def _check_event(event: NoteEvent, sample_rate: float) -> None:
    if round((event.start_s + event.duration_s) * sample_rate) <= round(event.start_s * sample_rate):
        raise ValueError(f"the note at {event.start_s:g} s is shorter than a sample: it lasts {event.duration_s:g} s")
    if not LOWEST_HZ <= event.f0_hz < sample_rate / 2:
        raise ValueError(
            f"the note at {event.start_s:g} s has MIDI pitch {event.pitch:g}, {event.f0_hz:g} Hz; the oscillator plays from "
            f"{LOWEST_HZ:g} Hz up to half the sample rate, {sample_rate / 2:g} Hz"
        )
