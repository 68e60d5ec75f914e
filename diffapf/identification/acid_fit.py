"""Fitting the acid synth to recorded notes: the controls of each, and the phase of its oscillator, by Adam.

    loss  MSS, the multi-resolution STFT loss over the whole batch: spectral convergence + L1 of log-magnitudes

All notes are one batch. Controls that move have a number a control frame, or a few knots. With a number a frame, a filter
can follow every period of the oscillator: a wave shaper that is right for one phase alone. A few knots can hardly, and a
patch of them plays from any phase; what freedom they have left to lock to a period goes where, in a share of the steps, the
controls run up to half a period ahead of the oscillator or behind it.

What another phase costs is measured twice. *Replayed*: from a random phase, against the recording as it is. The loss hears
where pulses lie (its windows are shorter than a period), so that a perfect model pays, too. *Moved*: the same note moved
until its periods lie on the recording's, so that only what is locked to the phase pays.

Source: Yu et al., DAFx 2024, section 5.2 (the loss); Steinmetz, Reiss, "auraloss: Audio focused loss functions in PyTorch",
DMRN+15, 2020.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from diffapf.identification.adam import Adam
from diffapf.identification.pitch import oscillator_phase
from diffapf.losses.multi_resolution import MultiResolutionLoss
from diffapf.notes import Notes
from diffapf.synths.acid import AcidSynth, Note
from diffapf.synths.controls import Control
from diffapf.synths.noise import LENGTH as NOISE_LENGTH
from diffapf.synths.patch import AcidPatch
from diffapf.synths.trajectories import knob, sampled, value_at

Raw = Mapping[str, Tensor]
Values = Mapping[str, Tensor]
Knots = int | Mapping[str, int] | None
Progress = Callable[[int, float], None]

KNOT_S = 0.125 / 6
LEVELS_A_KNOT = 8
"""The level has an attack and a decay: a knot every 2.6 ms takes 0.1 from the loss."""
LEARNING_RATE, LEARNING_RATE_FROM_A_START, BETAS = 0.06, 0.03, (0.9, 0.99)
PHASE_OFFSET = -2.25
"""Radians from the phase of a note's fundamental to that of the oscillator: its pulses go down, as the recorded ones do."""
SMOOTH_MOVED = 0.5
PHASES, PHASES_TRIED_AT = 8, (0.1, 0.3, 0.5)
"""A descent does not find its way out of a wrong phase: at these shares of it, phases all round are compared."""
QUIETEST = 1e-4  # of peaks: −80 dBFS is silence


@dataclass(frozen=True)
class AcidFit:
    """What was found, of each note.

    Args:
        synth: that plays them.
        values: of each control by its name, `(notes,)`, or at knots `(notes, knots[, channels])`.
        spacing_s: of the knots of each control that moves, in seconds.
        phase: of the oscillator before the first sample, radians, `(notes,)`.
        level: of the output, `(notes,)`.
        before, after: MSS of the whole batch at the start and at the end, from the fitted phase.
        of_notes: MSS of each note alone at the end.
        replayed, moved: MSS of the whole batch from random phases; see the module.
        moved_of_notes: MSS of each note alone, moved.
        interrupted: by Ctrl-C; what is here is the best until then.
    """

    notes: Notes
    synth: AcidSynth
    values: dict[str, Tensor]
    spacing_s: dict[str, float]
    phase: Tensor
    level: Tensor
    before: float
    after: float
    of_notes: Tensor
    replayed: float
    moved: float
    moved_of_notes: Tensor
    seconds: float
    history: list[tuple[int, float]] = field(default_factory=list)
    interrupted: bool = False

    def patch(self, index: int) -> AcidPatch:
        """A note's patch, which plays it as fitted."""
        values = {name: value[index] for name, value in self.values.items()}
        return AcidPatch.of(self.synth, values, self.spacing_s, float(self.phase[index]), float(self.level[index]))

    def render(self, phase: Tensor | None = None) -> Tensor:
        """The notes as fitted, or from other phases `(notes,)`: `(notes, time)`."""
        with torch.no_grad():
            return _Batch(self.notes, self.synth, self.spacing_s, self.level).play(
                self.values, self.phase if phase is None else phase
            )


def fit_acid(
    notes: Notes,
    synth: AcidSynth,
    steps: int = 200,
    knots: Knots = None,
    start: Raw | None = None,
    moved: float | None = None,
    progress: Progress | None = None,
    seed: int = 0,
) -> AcidFit:
    """Fits the controls of every note at once.

    Args:
        notes: at the synth's sample rate.
        synth: what plays them; its networks stay as they are.
        steps: of Adam, at 0.06, or 0.03 from a start, with a cosine down to 0.
        knots: of every control that moves, over a note's length; or of each by its name; None: a number a control frame.
        start: raw numbers of controls by name, `(notes,)`, or `(notes, frames[, channels])` at control frames, as an
            extractor gives them, or at its knots; `phase` in radians and `level`, `(notes,)`; what is missing sets out from
            its usual value, the level from a note's peak. Without a start, other phases are tried on the way.
        moved: the share of notes whose controls run ahead or behind in a step, from 0 to 1; by default half of them where
            `knots` are given, and none where there is a number a frame.
        progress: called with the number of steps done and the loss.
        seed: of the phases and the noise.

    Raises:
        ValueError: another sample rate, a silent note, knots below 2, an unknown control, steps below 1.
    """
    if moved is None:
        moved = 0.0 if knots is None else SMOOTH_MOVED
    _check(notes, synth, steps, knots, start or {}, moved)
    began = time.perf_counter()
    batch = _Batch(notes, synth, _spacing(notes, synth, knots), (start or {}).get("level"))
    search = _Search(batch, start or {}, steps, moved, seed)
    before = batch.loss(search.values(), search.phase)
    interrupted = False
    history = []
    tried = set() if start else {round(share * steps) for share in PHASES_TRIED_AT}
    try:
        for step in range(steps):
            if step in tried:
                search.turn()
            loss = search.step()
            history.append((step + 1, loss))
            if progress is not None:
                progress(step + 1, loss)
    except KeyboardInterrupt:
        interrupted = True
    values, phase = search.found(interrupted)
    replayed, late_s = batch.loss(values, search.random_phase()), search.random_delay_s()
    return AcidFit(
        notes=notes,
        synth=synth,
        values=values,
        spacing_s=batch.spacing_s,
        phase=phase,
        level=batch.level,
        before=before,
        after=batch.loss(values, phase),
        of_notes=batch.losses_of_notes(values, phase),
        replayed=replayed,
        moved=batch.loss(values, phase, 0, late_s),
        moved_of_notes=batch.losses_of_notes(values, phase, 0, late_s),
        seconds=time.perf_counter() - began,
        history=history,
        interrupted=interrupted,
    )


def smooth_knots(synth: AcidSynth, notes: Notes, knots: int | None = None) -> dict[str, int]:
    """Knots of a smooth patch for every control that moves: one in 21 ms, of the level one in 2.6 ms.

    knots: of all but the level, over the longest note, which has eight times as many less one; from 2 up.
    """
    count = max(2, 1 + round(notes.audio.shape[-1] / notes.sample_rate / KNOT_S)) if knots is None else knots
    moving = [control.name for control in synth.controls if control.moves]
    return {name: LEVELS_A_KNOT * (count - 1) if name == "gain_db" else count for name in moving}


class _Batch:
    """Notes, and the synth playing them from values at knots."""

    def __init__(self, notes: Notes, synth: AcidSynth, spacing_s: dict[str, float], level: Tensor | None = None):
        self.synth, self.spacing_s = synth, spacing_s
        self.target, self.f0_hz, self.note_on = notes.audio, notes.f0_hz, notes.note_on
        self.level = notes.audio.abs().amax(-1) if level is None else level
        self.mss = MultiResolutionLoss()
        self.heard = self.mss.heard(self.target)

    def play(
        self,
        values: Values,
        phase: Tensor,
        noise_start: Tensor | int = 0,
        late_s: Tensor | None = None,
    ) -> Tensor:
        """late_s: how far the controls run behind the oscillator, `(notes,)`."""
        start = 0.0 if late_s is None else -late_s
        frames = {
            control.name: self._at_frames(control, values[control.name], start) for control in self.synth.controls
        }
        return self.synth(Note(self.f0_hz, self.note_on, phase, self.level, noise_start), frames)

    def error(self, *played: Any) -> Tensor:
        """MSS of what `play` gives."""
        return self.mss(self.play(*played), self.heard)

    @torch.no_grad()
    def loss(self, *played: Any) -> float:
        return float(self.error(*played))

    @torch.no_grad()
    def losses_of_notes(self, *played: Any) -> Tensor:
        return torch.stack([self.mss(y, x) for y, x in zip(self.play(*played), self.target, strict=True)])

    @property
    def length_s(self) -> float:
        return self.target.shape[-1] / self.synth.sample_rate

    def _at_frames(self, control: Control, values: Tensor, start: Tensor | float) -> Tensor:
        if not control.moves:
            return values
        frame_s = self.synth.hop / self.synth.sample_rate
        count = math.ceil(self.length_s / frame_s) + 1
        knots, spacing_s = knob(control, values), self.spacing_s[control.name]
        if control.channels == 1:
            return value_at(control, sampled(knots, spacing_s, frame_s, count, start))
        start = start[:, None] if isinstance(start, Tensor) else start
        return value_at(control, sampled(knots.mT, spacing_s, frame_s, count, start).mT)


class _Search:
    """Adam on raw numbers of all controls, and on the phase of each note."""

    def __init__(self, batch: _Batch, start: Raw, steps: int, moved: float, seed: int):
        self.batch, self.moved = batch, moved
        self.random = torch.Generator().manual_seed(seed)
        self.raw = {c.name: self._start(c, start.get(c.name)).requires_grad_() for c in batch.synth.controls}
        self.phase = self._start_phase(start.get("phase")).requires_grad_()
        self.learned = [*self.raw.values(), self.phase]
        self.optimizer = Adam(self.learned, BETAS)
        rate = LEARNING_RATE_FROM_A_START if start else LEARNING_RATE
        self.rates = iter([rate * (1 + math.cos(math.pi * step / steps)) / 2 for step in range(steps)])
        self.best: tuple[float, dict[str, Tensor], Tensor] | None = None

    def values(self) -> dict[str, Tensor]:
        return {control.name: control.value(self.raw[control.name]) for control in self.batch.synth.controls}

    def random_phase(self) -> Tensor:
        return 2 * math.pi * torch.rand(len(self.phase), generator=self.random, dtype=torch.float64)

    def random_delay_s(self) -> Tensor:
        """As a note has that starts from a random phase and is moved until its periods lie on the recording's."""
        turns = torch.rand(len(self.phase), generator=self.random, dtype=torch.float64) - 0.5
        return turns / self.batch.f0_hz[:, 0].double()

    def step(self) -> float:
        noise_start = torch.randint(NOISE_LENGTH, self.phase.shape, generator=self.random)
        late_s = None
        if self.moved:
            late_s = self.random_delay_s() * (torch.rand(len(self.phase), generator=self.random) < self.moved)
        loss = self.batch.error(self.values(), self.phase, noise_start, late_s)
        loss.backward(inputs=self.learned)
        self._keep(loss.item())
        self.optimizer.step(next(self.rates))
        return loss.item()

    @torch.no_grad()
    def turn(self) -> None:
        """Moves each note to the phase, of some all round, at which it alone has the least loss."""
        values = self.values()
        turns = 2 * math.pi / PHASES * torch.arange(PHASES, dtype=torch.float64)
        losses = torch.stack([self.batch.losses_of_notes(values, self.phase + turn) for turn in turns])
        self.phase += turns[losses.argmin(0)]

    def found(self, interrupted: bool) -> tuple[dict[str, Tensor], Tensor]:
        """Where the descent ended, or the best place it passed if it never came to its end."""
        if interrupted and self.best is not None:
            return self.best[1], self.best[2]
        return {name: value.detach() for name, value in self.values().items()}, self.phase.detach().clone()

    def _keep(self, loss: float) -> None:
        if self.best is None or loss < self.best[0]:
            values = {name: value.detach().clone() for name, value in self.values().items()}
            self.best = loss, values, self.phase.detach().clone()

    def _start_phase(self, given: Tensor | None) -> Tensor:
        batch = self.batch
        if given is None:
            fundamental = oscillator_phase(batch.target, batch.f0_hz, batch.note_on, batch.synth.sample_rate)
            return fundamental + PHASE_OFFSET
        if given.shape != batch.level.shape:
            raise ValueError(f"start: phase must be (notes,), of {len(batch.level)} notes, got {tuple(given.shape)}")
        return given.detach().double().clone()

    def _start(self, control: Control, given: Tensor | None) -> Tensor:
        """Raw numbers of a control: `(notes,)`, or at its knots `(notes, knots[, channels])`."""
        shape = [len(self.batch.target)]
        if control.moves:
            shape.append(1 + round(self.batch.length_s / self.batch.spacing_s[control.name]))
        if control.channels > 1:
            shape.append(control.channels)
        if given is None:
            return torch.zeros(shape)
        if control.moves and given.dim() == len(shape) and given.shape[1] != shape[1]:
            frame_s = self.batch.synth.hop / self.batch.synth.sample_rate
            given = _at_knots(given, frame_s, self.batch.spacing_s[control.name], shape[1])
        if list(given.shape) != shape:
            layout = "(notes,)" if not control.moves else "(notes, frames)" if len(shape) == 2 else "(notes, frames, 5)"
            raise ValueError(f"start: {control.name} must be {layout}, of {shape[0]} notes, got {tuple(given.shape)}")
        return given.detach().clone()


def _at_knots(frames: Tensor, frame_s: float, spacing_s: float, count: int) -> Tensor:
    """`(notes, frames[, channels])` at control frames, read at knots: `(notes, count[, channels])`."""
    moving = frames.detach() if frames.dim() == 2 else frames.detach().mT
    read = sampled(moving, frame_s, spacing_s, count)
    return read if frames.dim() == 2 else read.mT


def _spacing(notes: Notes, synth: AcidSynth, knots: Knots) -> dict[str, float]:
    """Seconds between the knots of each control that moves."""
    length_s = notes.audio.shape[-1] / notes.sample_rate
    found = {}
    for control in synth.controls:
        if control.moves:
            count = knots.get(control.name) if isinstance(knots, Mapping) else knots
            found[control.name] = synth.hop / synth.sample_rate if count is None else length_s / (count - 1)
    return found


def _check(notes: Notes, synth: AcidSynth, steps: int, knots: Knots, start: Raw, moved: float) -> None:
    if notes.sample_rate != synth.sample_rate:
        raise ValueError(
            f"the notes have {notes.sample_rate} Hz, the synth {synth.sample_rate:g} Hz; they must be equal"
        )
    if not isinstance(steps, int) or steps < 1:
        raise ValueError(f"steps must be a whole number, at least 1, got {steps!r}")
    if not 0 <= moved <= 1:
        raise ValueError(f"moved must be a share from 0 to 1, got {moved!r}")
    names = [control.name for control in synth.controls]
    if unknown := sorted(start.keys() - {*names, "phase", "level"}):
        raise ValueError(f"start has {unknown}, which are no controls of this synth; it has {names}")
    moving = {control.name for control in synth.controls if control.moves}
    given = knots if isinstance(knots, Mapping) else dict.fromkeys(moving, knots)
    for name, count in given.items():
        if name not in moving:
            raise ValueError(f"knots: no control {name!r} moves; those that do are {', '.join(sorted(moving))}")
        if count is not None and (not isinstance(count, int) or isinstance(count, bool) or count < 2):
            raise ValueError(f"knots must be whole numbers, at least 2, got {count!r} for {name}")
    silent = [name for name, sound in zip(notes.names, notes.audio, strict=True) if sound.abs().max() < QUIETEST]
    if silent:
        raise ValueError(f"{', '.join(silent)}: silent, so there is nothing to fit; leave them out")
