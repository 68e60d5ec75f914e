"""A phaser fitted to a dry and a wet recording: identified first, then descended to by Levenberg–Marquardt, in stages.

The model grows from the published one, a piece at a time, each beginning where the one before ended and changing nothing
at first: so no stage can be lost, and what each piece explains is a row of a table. How much is needed is chosen on a part
of the recording that the stages do not see, with the LFO's phase tracked there: a clock that drifts says nothing about
the audio path.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import cast

import torch
from torch import Tensor

from diffapf.effects.free_filters import FreeFilter
from diffapf.effects.phaser import Phaser
from diffapf.effects.sweeps import OctaveSweep
from diffapf.identification.aligned_pair import AlignedPair, Stretch
from diffapf.identification.finished_stages import FinishedStages
from diffapf.identification.fit import INTERRUPTED, Fit
from diffapf.identification.modules import Estimate, estimates, fit_module
from diffapf.identification.phaser import LOOP_DELAYS, STAGES, Compared, PhaserStart, identify_phaser
from diffapf.identification.phaser_pieces import (
    KNOT_S,
    LINEAR,
    PIECES,
    changed,
    knotted,
    padded,
    with_drift,
    with_harmonics,
    with_paper_core,
    with_poles,
)
from diffapf.identification.phaser_tangents import has_tangents, moving_error
from diffapf.identification.static_phasers import Structure
from diffapf.identification.step import bounded_step, promised_gain
from diffapf.modulation import FourierLFO
from diffapf.parameters import Named, exponential, named_parameters

HOP_S = 0.0025  # of the control frames: artanh p is interpolated, with an error that falls as the hop's fourth power
FIRST_HARMONICS, MORE_HARMONICS = 6, 10
# The input filter's poles at first, each on a zero: two taps, and one with a coupling capacitor.
FIRST_POLES = (0.0, 0.0), (0.985, 0.3)
VALIDATION = 0.25  # of the training part
EXPLAINED = 1e-8  # an ESR below which there is nothing left to explain: −80 dB
BETTER = 0.97  # times the ESR: what a piece has to bring
TOLERANCE = 1e-3
NO_DAMPING = 1e-9  # but for what is degenerate

PUBLISHED = "as published, its LFO a Fourier series"
# The input filter is before all of these: differentiated together, and apart from it, they cost no derivative of its output.
SWEPT = ("lfo.", "sweep.", "feedback.", "feedback_highpass_hz.")

Progress = Callable[[str, float], None]


class NotIdentifiedError(ValueError):
    """No phaser connects the files, or they do not show its rate; `start` has what was found, the message says why."""

    def __init__(self, start: PhaserStart):
        super().__init__(start.verdict)
        self.start = start


@dataclass(frozen=True)
class Row:
    """A model that was compared: ESRs over what it was fitted to, and over the validation part with its phase tracked."""

    name: str
    phaser: Phaser
    fit: Fit = field(repr=False)
    train_esr: float
    validation_esr: float

    @property
    def parameters(self) -> int:
        return len(self.fit.information)


@dataclass(frozen=True)
class PhaserFit:
    """The chosen phaser, fitted to all of the training part; `drifting` is the same with the clock's drift there.

    After Ctrl-C (`interrupted`) it is the best of the models that were there by then.
    """

    phaser: Phaser
    drifting: Phaser
    start: PhaserStart
    pair: AlignedPair
    train: Stretch
    rows: list[Row]
    chosen: str
    estimates: list[Estimate]
    interrupted: bool = False

    def tracked(self, stretch: Stretch) -> Phaser:
        """The phaser with its LFO's phase, and nothing else, fitted to a stretch: a knot a second."""
        return tracked(self.phaser, stretch)


def fit_phaser(
    dry: Tensor,
    wet: Tensor,
    sample_rate: float,
    train: tuple[float, float] = (0.0, math.inf),
    stages: int | Sequence[int] = STAGES,
    loop_delay: int | Sequence[int] | None = None,
    core: str = "cascade",
    progress: Progress | None = None,
    finished: FinishedStages | None = None,
) -> PhaserFit:
    """Fits a phaser to what went in and what came out.

    Args:
        dry, wet: one channel each, `(time,)`, full scale 1, recorded together; computed in float64.
        sample_rate: in Hz.
        train: the part to fit to, from a time to another in seconds; all by default.
        stages, loop_delay: the numbers of all-passes and the loop's delays to choose from; see `identify_phaser`. By
            default 4, 6 and 8; and 0 and 1, of which the paper's core has 0.
        core: "cascade", or "paper": the published order-6 filter, with its hop of 10 ms; see `Phaser`.
        progress: called with the name of a stage that begins, and the fraction of the whole that is done, 0 … 1.
        finished: where each stage is kept once it is finished, and taken from if it was.

    Raises:
        NotIdentifiedError: a ValueError that says in words why no phaser was found.
        ValueError, TypeError: as `identify_phaser`, and for a core that there is not.
    """
    report = progress or (lambda stage, fraction: None)
    if core not in ("cascade", "paper"):
        raise ValueError(f"core must be 'cascade' or 'paper', got {core!r}")
    structures = stages, loop_delay if loop_delay is not None else LOOP_DELAYS if core == "cascade" else 0
    finished = finished or FinishedStages()
    begin, end = max(0.0, train[0]), min(train[1], len(dry) / sample_rate)
    part = slice(round(begin * sample_rate), round(end * sample_rate))
    start = _identified(
        finished,
        lambda: identify_phaser(
            dry[part], wet[part], sample_rate, *structures, progress=lambda stage, done: report(stage, 0.25 * done)
        ),
    )
    pair = AlignedPair(torch.as_tensor(dry).double(), torch.as_tensor(wet).double(), sample_rate, start.offset)
    ladder = _Ladder(start, core, pair.stretch(begin, end), report, finished)
    try:
        ladder.climb()
    except KeyboardInterrupt:
        if not ladder.rows:
            raise
        return ladder.result(interrupted=True)
    return ladder.result()


def _identified(finished: FinishedStages, identify: Callable[[], PhaserStart]) -> PhaserStart:
    """The start of a fit, if it was found earlier: as it was then."""
    name = "identification"
    kept = finished.find(name)
    if kept is not None:
        with torch.serialization.safe_globals([PhaserStart, Compared, Structure]):
            return torch.load(kept, weights_only=True)
    start = identify()
    if not start.identified:
        raise NotIdentifiedError(start)
    finished.keep(name, lambda path: torch.save(start, path))
    return start


# ----------------------------------------------------------------------------------------------------------- the stages


class _Ladder:
    """A fit on its way up: what is there when Ctrl-C ends it is a fit too."""

    def __init__(self, start: PhaserStart, core: str, whole: Stretch, report: Progress, finished: FinishedStages):
        self.start, self.core, self.whole = start, core, whole
        self.report, self.finished = report, finished
        middle = whole.stop_s - VALIDATION * (whole.stop_s - whole.start_s)
        self.first = whole.pair.stretch(whole.start_s, middle)
        self.validation = whole.pair.stretch(middle, whole.stop_s)
        self.rows: list[Row] = []
        self.refined: tuple[Phaser, Fit] | None = None
        self.drifting: Phaser | None = None

    def climb(self) -> None:
        """From the published model on, with every piece that is a gain; then the best of them, on all of the part."""
        reached = self._row(PUBLISHED, 0.25, self._first_model)
        for done, (name, piece) in enumerate(PIECES.items()):
            if self.rows[-1].train_esr < EXPLAINED:
                break
            larger = piece(reached.phaser)
            if larger is None:
                continue
            if name in LINEAR and self._promises_nothing(larger):
                self.rows.append(replace(reached, name=f"{name} (promises no gain: not fitted)", phaser=larger))
                continue
            row = self._row(name, 0.4 + 0.4 * done / len(PIECES), partial(changed, larger))
            if row.fit.cost < BETTER * reached.fit.cost:
                reached = row
        best = simplest(self.rows)
        name = f"all of the training part: {best.name}"
        self.refined = self._stage(name, 0.8, lambda: changed(best.phaser), self.whole)
        if self.whole.esr(self.refined[0]) > EXPLAINED:
            drifting = with_drift(self.refined[0], self.whole)
            self.drifting, _ = self._stage("the clock's drift", 0.9, lambda: drifting, self.whole)

    def _promises_nothing(self, phaser: Phaser) -> bool:
        fit = descend(phaser, self.first, iterations=0)
        anywhere = torch.full_like(fit.gradient, torch.inf)
        step = bounded_step(fit.information, fit.gradient, NO_DAMPING, -anywhere, anywhere)
        return step is not None and promised_gain(fit.information, fit.gradient, step) < (1 - BETTER) * fit.cost

    def _row(self, name: str, share: float, model: Callable[[], Phaser]) -> Row:
        """A stage whose model is compared with the others."""
        phaser, fit = self._stage(name, share, model, self.first)
        held_out = self.validation.esr(tracked(phaser, self.validation))
        self.rows.append(Row(name, phaser, fit, self.first.esr(phaser), held_out))
        return self.rows[-1]

    def _stage(self, name: str, share: float, model: Callable[[], Phaser], stretch: Stretch) -> tuple[Phaser, Fit]:
        """What the descent from a model reaches; of a stage that was finished before, what it reached then."""
        self.report(name, share)
        return self.finished.descent(name, model, partial(descend, stretch=stretch))

    def _first_model(self) -> Phaser:
        """The published model, from the better of two starts of its input filter, whose poles no descent brings far."""
        tried = []
        for poles in FIRST_POLES:
            phaser = _first(self.start, self.whole.pair.sample_rate, self.first.start_s, poles)
            phaser.lfo.move_origin((self.first.start_s + self.first.stop_s) / 2)
            descend(phaser, self.first, frozen=["lfo", "sweep", "feedback", "biquad.reflection"], iterations=4)
            tried.append((descend(phaser, self.first, iterations=6).cost, phaser))
        phaser = with_harmonics(min(tried, key=lambda each: each[0])[1], MORE_HARMONICS)
        return with_paper_core(phaser) if self.core == "paper" else phaser

    def result(self, interrupted: bool = False) -> PhaserFit:
        best = simplest(self.rows)
        phaser, fit = self.refined or (changed(best.phaser), best.fit)
        drifting = self.drifting or with_drift(phaser, self.whole)
        found = estimates(phaser, fit)
        for each in (phaser, drifting):
            each.lfo.move_origin(0.0)
        self.report("done", 1.0)
        return PhaserFit(
            phaser, drifting, self.start, self.whole.pair, self.whole, self.rows, best.name, found, interrupted
        )


def simplest(rows: Sequence[Row]) -> Row:
    """The first row that none of the others beats by what counts."""
    best = rows[0]
    for row in rows[1:]:
        if row.validation_esr < BETTER * best.validation_esr:
            best = row
    return best


def descend(phaser: Phaser, stretch: Stretch, frozen: Sequence[str] = (), iterations: int = 15) -> Fit:
    """Moves a phaser's parameters to where its error over a stretch is least; Ctrl-C leaves it at the best so far."""
    parameters = phaser.named_parameters()
    free = [name for name, tensor in parameters if tensor.requires_grad and not name.startswith(tuple(frozen))]
    fit = fit_module(
        phaser,
        stretch.residuals,
        tangents=partial(moving_error, stretch) if has_tangents(phaser) else None,
        blocks=stretch.blocks,
        weights=stretch.weights,
        frozen=frozen,
        groups=[[name for name in free if name.startswith(SWEPT)]],
        bounds={name: ends for name, ends in _bounds(phaser).items() if name in free},
        iterations=iterations,
        tolerance=TOLERANCE,
    )
    if fit.why == INTERRUPTED:
        raise KeyboardInterrupt
    return fit


def _bounds(phaser: Phaser) -> dict[str, tuple[float, float]]:
    """The steps of what has a logarithmic knob stay on it: a corner that does nothing would run away for ever."""
    bounds = {}
    for name, part in named_parameters(phaser).items():
        if isinstance(part, Named) and part.mapping is exponential and part.minimum and part.maximum:
            reference, scale = part.reference.item(), part.scale.item()
            ends = sorted((part.minimum, part.maximum, reference))  # what begins beyond an end may stay there
            bounds[f"{name}.step"] = (math.log(ends[0] / reference) / scale, math.log(ends[-1] / reference) / scale)
    return bounds


def tracked(phaser: Phaser, stretch: Stretch) -> Phaser:
    """The phaser with its LFO's phase, and nothing else, fitted to a stretch."""
    intervals = max(1, round((stretch.stop_s - stretch.start_s) / KNOT_S))
    spacing = (stretch.stop_s - stretch.start_s) / intervals
    # the held knots lie outside: within, every one moves
    free = knotted(phaser, stretch.start_s - spacing, spacing, intervals + 3)
    others = [name for name, _ in free.named_parameters() if not name.startswith("lfo.drift.")]
    descend(free, stretch, frozen=others, iterations=6)
    return free


def _first(start: PhaserStart, sample_rate: float, begin: float, poles: Sequence[float]) -> Phaser:
    """The published phaser, as far as it is identified; its start's phases count from `begin` seconds."""
    found = start.log_coefficients
    harmonics = (len(found) - 1) // 2
    cosines, sines = (padded((part / math.log(2)).tolist(), FIRST_HARMONICS) for part in found[1:].split(harmonics))
    origin = begin - start.phase_cycles / start.rate_hz
    lfo = FourierLFO(start.rate_hz, cosines, sines, even=start.even, origin=origin)
    phaser = Phaser(
        sample_rate,
        stages=start.stages,
        loop_delay=start.loop_delay,
        lfo=lfo,
        filter_order=2,
        hop_seconds=HOP_S,
        through=start.through,
        feedback=start.feedback,
    ).double()
    sweep, biquad = cast(OctaveSweep, phaser.sweep), cast(FreeFilter, phaser.biquad)
    sweep.centre_hz.set(float(torch.exp(found[0])))
    a = with_poles(torch.ones(1, dtype=torch.float64), poles)
    biquad.set(float(start.wet_taps.sum()) * a, a)
    return phaser
