"""A phaser fitted to a dry and a wet recording: identified first, then descended to by Levenberg–Marquardt, in stages.

The model grows from the published one, a piece at a time, each beginning where the one before ended and changing nothing
at first: so no stage can be lost, and what each piece explains is a row of a table. How much is needed is chosen on a part
of the recording that the stages do not see, with the LFO's phase tracked there: a clock that drifts says nothing about
the audio path.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor

from diffapf.effects.free_filters import FreeFilter
from diffapf.effects.phaser import Phaser
from diffapf.effects.sweeps import OctaveSweep
from diffapf.filters.design import polynomial_product
from diffapf.identification.aligned_pair import AlignedPair, Stretch
from diffapf.identification.fit import INTERRUPTED, Fit
from diffapf.identification.modules import Estimate, estimates, fit_module
from diffapf.identification.phaser import LOOP_DELAYS, STAGES, PhaserStart, identify_phaser
from diffapf.modulation import FourierLFO
from diffapf.parameters import Named, exponential, named_parameters

HOP_S = 0.0025  # of the control frames: artanh p is interpolated, with an error that falls as the hop's fourth power
FIRST_HARMONICS, MORE_HARMONICS, MOST_HARMONICS = 6, 10, 16
# The input filter's poles at first, each on a zero: two taps, and one with a coupling capacitor.
FIRST_POLES = (0.0, 0.0), (0.985, 0.3)
THIRD_POLE = 0.95
HIGHPASS_HZ = 30.0
WITHOUT_FEEDBACK = 0.05  # |feedback| below which nothing in the loop is to be found
KNOT_S = 1.0
VALIDATION = 0.25  # of the training part
EXPLAINED = 1e-8  # an ESR below which there is nothing left to explain: −80 dB
BETTER = 0.97  # times the ESR: what a piece has to bring
TOLERANCE = 1e-3

SWEPT = ("lfo.", "sweep.", "feedback.", "feedback_highpass_hz.")  # what no input filter's derivative depends on

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
    loop_delay: int | Sequence[int] = LOOP_DELAYS,
    progress: Progress | None = None,
) -> PhaserFit:
    """Fits a phaser to what went in and what came out.

    Args:
        dry, wet: one channel each, `(time,)`, full scale 1, recorded together; computed in float64.
        sample_rate: in Hz.
        train: the part to fit to, from a time to another in seconds; all by default.
        stages, loop_delay: the numbers of all-passes and the loop's delays to choose from; see `identify_phaser`.
        progress: called with the name of a stage and the fraction of the whole that is done, 0 … 1.

    Raises:
        NotIdentifiedError: a ValueError that says in words why no phaser was found.
        ValueError, TypeError: as `identify_phaser`.
    """
    report = progress or (lambda stage, fraction: None)
    begin, end = max(0.0, train[0]), min(train[1], len(dry) / sample_rate)
    part = slice(round(begin * sample_rate), round(end * sample_rate))
    start = identify_phaser(
        dry[part], wet[part], sample_rate, stages, loop_delay, progress=lambda stage, done: report(stage, 0.25 * done)
    )
    if not start.identified:
        raise NotIdentifiedError(start)
    pair = AlignedPair(torch.as_tensor(dry).double(), torch.as_tensor(wet).double(), sample_rate, start.offset)
    whole = pair.stretch(begin, end)
    middle = whole.stop_s - VALIDATION * (whole.stop_s - whole.start_s)
    first, validation = pair.stretch(whole.start_s, middle), pair.stretch(middle, whole.stop_s)
    rows: list[Row] = []
    interrupted = False
    try:
        for share, name, phaser, fit in _grown(start, sample_rate, first):
            report(name, 0.25 + 0.5 * share)
            held_out = validation.esr(tracked(phaser, validation))
            rows.append(Row(name, phaser, fit, first.esr(phaser), held_out))
            if rows[-1].train_esr < EXPLAINED:
                break
    except KeyboardInterrupt:
        if not rows:
            raise
        interrupted = True
    best = _simplest(rows)
    phaser, fit = copy.deepcopy(best.phaser), best.fit
    drifting = with_drift(phaser, whole)
    try:
        if not interrupted:
            report(f"all of the training part: {best.name}", 0.8)
            fit = descend(phaser, whole)
            drifting = with_drift(phaser, whole)
            report("the clock's drift", 0.9)
            if whole.esr(phaser) > EXPLAINED:
                descend(drifting, whole)
    except KeyboardInterrupt:
        interrupted = True
    found = estimates(phaser, fit)
    for each in (phaser, drifting):
        each.lfo.move_origin(0.0)
    report("done", 1.0)
    return PhaserFit(phaser, drifting, start, pair, whole, rows, best.name, found, interrupted)


def _simplest(rows: list[Row]) -> Row:
    """The first row that none of the others beats by what counts."""
    best = rows[0]
    for row in rows[1:]:
        if row.validation_esr < BETTER * best.validation_esr:
            best = row
    return best


# ----------------------------------------------------------------------------------------------------------- the stages


def descend(phaser: Phaser, stretch: Stretch, frozen: Sequence[str] = (), iterations: int = 15) -> Fit:
    """Moves a phaser's parameters to where its error over a stretch is least; Ctrl-C leaves it at the best so far."""
    parameters = phaser.named_parameters()
    free = [name for name, tensor in parameters if tensor.requires_grad and not name.startswith(tuple(frozen))]
    fit = fit_module(
        phaser,
        stretch.residuals,
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


def _grown(start: PhaserStart, sample_rate: float, stretch: Stretch) -> Iterator[tuple[float, str, Phaser, Fit]]:
    """(share of the work, name, phaser, fit) of each model, from the published one on; a piece that is no gain is left."""
    phaser, fit = _published(start, sample_rate, stretch)
    yield 0.25, "as published, its LFO a Fourier series", phaser, fit
    for share, name, piece in PIECES:
        larger = piece(phaser)
        if larger is None:
            continue
        found = descend(larger, stretch)
        yield share, name, larger, found
        if found.cost < BETTER * fit.cost:
            phaser, fit = larger, found


def _published(start: PhaserStart, sample_rate: float, stretch: Stretch) -> tuple[Phaser, Fit]:
    """The published model from the better of two starts of its input filter, whose poles the descent does not bring far."""
    tried = []
    for poles in FIRST_POLES:
        phaser = _first(start, sample_rate, stretch.start_s, poles)
        phaser.lfo.move_origin((stretch.start_s + stretch.stop_s) / 2)
        descend(phaser, stretch, frozen=["lfo", "sweep", "feedback", "biquad.reflection"], iterations=4)
        tried.append((descend(phaser, stretch, iterations=6).cost, phaser))
    phaser = with_harmonics(min(tried, key=lambda each: each[0])[1], MORE_HARMONICS)
    return phaser, descend(phaser, stretch)


def _first(start: PhaserStart, sample_rate: float, begin: float, poles: Sequence[float]) -> Phaser:
    """The published phaser, as far as it is identified; its start's phases count from `begin` seconds."""
    found = start.log_coefficients
    harmonics = (len(found) - 1) // 2
    cosines, sines = (_padded((part / math.log(2)).tolist(), FIRST_HARMONICS) for part in found[1:].split(harmonics))
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
    a = _with_poles(torch.ones(1, dtype=torch.float64), poles)
    biquad.set(float(start.wet_taps.sum()) * a, a)
    return phaser


def _padded(values: list[float], count: int) -> list[float]:
    """The first values, and zeros where there are not so many."""
    return [*values, *[0.0] * count][:count]


def _with_poles(polynomial: Tensor, poles: Sequence[float]) -> Tensor:
    for pole in poles:
        polynomial = polynomial_product(polynomial, polynomial.new_tensor([1.0, -pole]))
    return polynomial


# ---------------------------------------------------------------------------------------------------- what a stage adds


def changed(phaser: Phaser, **configuration: Any) -> Phaser:
    """A phaser of another configuration, with all parameters that both have."""
    values = {spec.name: spec.value for spec in phaser.parameters_spec()}
    other = Phaser(phaser.sample_rate, **(phaser.configuration() | configuration)).double()
    names = {spec.name for spec in other.parameters_spec()}
    other.set_parameters({name: value for name, value in values.items() if name in names})
    return other


def with_harmonics(phaser: Phaser, count: int) -> Phaser:
    lfo = cast(FourierLFO, phaser.lfo).configuration()
    padded = {name: _padded(lfo[name], count) for name in ("cosines", "sines")}
    return changed(phaser, lfo=lfo | padded)


@torch.no_grad()
def with_filter_order(phaser: Phaser, order: int) -> Phaser:
    """The input filter with more poles, on as many zeros."""
    other = changed(phaser, filter_order=order)
    b, a = phaser.biquad()
    poles = [THIRD_POLE] * (order + 1 - len(a))
    cast(FreeFilter, other.biquad).set(_with_poles(b, poles), _with_poles(a, poles))
    return other


@torch.no_grad()
def with_dry_filter(phaser: Phaser) -> Phaser:
    """The through path with a filter of its own, which begins as the input filter."""
    other = changed(phaser, dry_filter=True)
    b, a = phaser.biquad()
    cast(FreeFilter, other.dry_filter).set(phaser.through() * b, a)
    other.through.set(1.0)
    return other


def with_drift(phaser: Phaser, stretch: Stretch) -> Phaser:
    """The LFO with a knot about every second of a stretch, the first and the last held."""
    intervals = max(2, round((stretch.stop_s - stretch.start_s) / KNOT_S))
    return _knotted(phaser, stretch.start_s, (stretch.stop_s - stretch.start_s) / intervals, intervals + 1)


def tracked(phaser: Phaser, stretch: Stretch) -> Phaser:
    """The phaser with its LFO's phase, and nothing else, fitted to a stretch."""
    intervals = max(1, round((stretch.stop_s - stretch.start_s) / KNOT_S))
    spacing = (stretch.stop_s - stretch.start_s) / intervals
    # the held knots lie outside: within, every one moves
    free = _knotted(phaser, stretch.start_s - spacing, spacing, intervals + 3)
    others = [name for name, _ in free.named_parameters() if not name.startswith("lfo.drift.")]
    descend(free, stretch, frozen=others, iterations=6)
    return free


def _knotted(phaser: Phaser, start_s: float, spacing: float, count: int) -> Phaser:
    drift = {"drift": [0.0] * count, "drift_start": start_s, "drift_spacing": spacing}
    return changed(phaser, lfo=cast(FourierLFO, phaser.lfo).configuration() | drift)


def with_highpass(phaser: Phaser) -> Phaser | None:
    """AC-coupled feedback; None where there is no feedback, or a loop that is none of an analogue circuit."""
    if abs(phaser.feedback().item()) < WITHOUT_FEEDBACK or phaser.loop_delay:
        return None
    return changed(phaser, feedback_highpass_hz=HIGHPASS_HZ)


def with_dry_filter_if_worthwhile(phaser: Phaser) -> Phaser | None:
    """None where a third pole was no gain: then two filters are not either."""
    return None if phaser.filter_order == 2 else with_dry_filter(phaser)


PIECES: tuple[tuple[float, str, Callable[[Phaser], Phaser | None]], ...] = (
    (0.4, "+ AC-coupled feedback", with_highpass),
    (0.6, "+ input filter of order 3", lambda phaser: with_filter_order(phaser, 3)),
    (0.8, "+ a filter of its own for the dry path", with_dry_filter_if_worthwhile),
    (1.0, f"+ {MOST_HARMONICS} harmonics of the LFO", lambda phaser: with_harmonics(phaser, MOST_HARMONICS)),
)
