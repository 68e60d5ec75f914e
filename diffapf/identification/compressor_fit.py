"""A compressor fitted to a dry and a wet recording: every structure from several starts, by Levenberg–Marquardt.

A fit that begins with its threshold above every level has no gradient but make-up's, and never gets going: no start is
there, and make-up starts where the energies agree. Which structure it is, where attack and release act and on what, is
chosen on a part of the recording that the comparison is not fitted to.

Source: Yu, Fazekas, "Sound Matching an Analogue Levelling Amplifier Using the Newton–Raphson Method", AES AIMLA 2025, for
second-order fits of compressors; Marquardt 1963.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from diffapf.effects.compressor import Compressor
from diffapf.effects.time_constants import smoothing_rate
from diffapf.identification.compressor_structures import KNEE_DB, LINKS, PIECES, Options, Piece, links, structures
from diffapf.identification.finished_stages import FinishedStages
from diffapf.identification.fit import INTERRUPTED, Fit
from diffapf.identification.lateness import NOTICED, lateness, words_of
from diffapf.identification.layout import Parameters
from diffapf.identification.modules import Estimate, estimates, fit_module, of_parameters
from diffapf.identification.offset import offset_candidates
from diffapf.identification.prefiltered_pair import MonoPair, Part, prefiltered
from diffapf.identification.spans import channels_of
from diffapf.parameters import named_parameters

VALIDATION = 0.25  # of the training part
SHORTEST_S = 1.0  # of the training part
LONGEST_OFFSET_S = 0.1
SEARCHED_S = 6.0  # what starts are tried on
SEARCH_ITERATIONS, ITERATIONS = 10, 40
SEARCH_TOLERANCE, TOLERANCE = 1e-3, 1e-7
LONGEST_STEPS = {  # of levels; of the logarithms of times, widths and ratios
    "curve.threshold_db": 6.0,
    "curve.ratio": 1.0,
    "curve.knee_db": 1.2,
    "curve.expander_threshold_db": 6.0,
    "curve.expander_ratio": 1.0,
    "detector.average_ms": 1.2,
    "smoother.attack_ms": 1.2,
    "smoother.release_ms": 1.2,
    "look_ahead.look_ahead_ms": 1.2,
    "makeup_db": 3.0,
    "mix": 1.0,
}
# Beyond these a parameter does nothing any more, and would run away for ever. In the units of the parameters.
RANGES = {
    "curve.threshold_db": (-90.0, 12.0),
    "curve.ratio": (1.001, 1000.0),
    "curve.knee_db": (0.1, 60.0),
    "detector.average_ms": (0.005, 500.0),
    "smoother.attack_ms": (0.005, 5000.0),
    "smoother.release_ms": (0.005, 20_000.0),
    "look_ahead.look_ahead_ms": (0.02, 10.0),
    "mix": (0.01, 0.9999),
}
STEPS = {  # what a step is of a value, up to a constant; of all others its logarithm
    "curve.threshold_db": float,
    "curve.ratio": lambda ratio: math.log(ratio - 1),
    "mix": lambda mix: math.log(mix / (1 - mix)),
}
STARTS = [
    {"curve.threshold_db": threshold, "smoother.attack_ms": attack, "smoother.release_ms": release, "curve.ratio": 4.0}
    for threshold in (-18.0, -30.0)
    for attack in (10.0, 0.3)
    for release in (40.0, 400.0)
]
FEW = (STARTS[0], STARTS[5])  # of every structure; those that come near the best are tried from all
HEADROOM_DB, LOUD = 3.0, 0.95  # the threshold starts so far below this quantile of the level
EXACT = 1e-24  # an ESR that is rounding
SOLVED = 1e-9  # an ESR that no wrong structure or minimum has
EXPLAINED = 1e-13  # below it there is nothing left to explain: the floor of 24 bits
NEAR = 30.0  # times the best ESR of the search: what is worth all starts
AGREEMENT = 1.01  # of two starts that arrive at the same place: there is no need of more
INSTANT = 0.99  # the rate of an average that is none
TIE, PROOF = 1.1, 10.0  # times the best ESR: a tie below the one, proof above the other
NEVER, HARDLY = 1e-7, 1e-4  # ESR of a gain alone: that of a compressor which never works, and of one that may
UNEXPLAINED = 0.3  # an ESR that is no compressor's
ONE_GAIN = 1e-3  # of the energy: what two channels of one gain may leave of their products
SETTLED, TURNS = 1e-3, 3  # samples of delay that are left as they are; turns of it and of all others
PIECED = 2  # families to which pieces are added

Progress = Callable[[str, float], None]
Watch = Callable[[int, float, dict[str, float]], None]


class NotACompressorError(ValueError):
    """No compressor connects the files, or it never works there; the message says why."""


@dataclass(frozen=True)
class Row:
    """A structure that was compared: ESRs of pre-filtered signals, over what it was fitted to and what it was not.

    `searched`: it was so much worse after a search from few starts that it was left there. `pieces`: what was added to a
    structure.
    """

    name: str
    compressor: Any  # a Compressor or a LevellingAmplifier
    parameters: int
    train_esr: float
    validation_esr: float
    searched: bool = False
    pieces: tuple[str, ...] = ()

    @property
    def averages(self) -> bool:
        """Whether its one-pole before the ballistics averages anything; where it doesn't, this is the structure without."""
        average = self.compressor.detector.average_ms
        if average is None:
            return True
        detector = self.compressor.detector
        return smoothing_rate(average(), detector.sample_rate, detector.time_convention).item() < INSTANT


@dataclass(frozen=True)
class Reached:
    """Where an iteration of a descent arrived: ESR, and the parameters in their units by name; number 0 is the start."""

    number: int
    esr: float
    values: dict[str, float]


@dataclass(frozen=True)
class CompressorFit:
    """The chosen structure, fitted to all of the training part; `rows` has the best structure first.

    After Ctrl-C (`interrupted`) it is the best of those that were there by then.
    """

    compressor: Any
    pair: MonoPair
    train: Part
    rows: list[Row]
    chosen: str
    margin: float  # the next other structure's validation ESR over the chosen one's
    gain_esr: float  # what a gain alone leaves of the training part
    gain_db: float
    estimates: list[Estimate]
    findings: list[str]
    trajectory: list[Reached]  # of the last descent; empty if an earlier run had finished it
    interrupted: bool = False

    @property
    def verdict(self) -> str:
        return self.findings[0]


def fit_compressor(
    dry: Tensor,
    wet: Tensor,
    sample_rate: float,
    train: tuple[float, float] = (0.0, math.inf),
    structures: Mapping[str, Options] | None = None,
    knees: Sequence[str] = ("hard", "soft"),
    progress: Progress | None = None,
    finished: FinishedStages | None = None,
) -> CompressorFit:
    """Fits a compressor to what went in and what came out.

    Args:
        dry, wet: one channel each, `(time,)`, or a stereo pair, `(2, time)`, full scale 1, recorded together; computed in
            float64. Of a pair it is also found how the channels' detectors are linked.
        sample_rate: in Hz.
        train: the part to fit to, from a time to another in seconds; all by default. The compressor runs through what is
            before it.
        structures: options of `Compressor` by names, to choose from; by default all of `compressor_structures`.
        knees: "hard", "soft" or both, of those structures whose options have no knee.
        progress: called with the name of a stage that begins, and the fraction of the whole that is done, 0 … 1.
        finished: where each stage is kept once it is finished, and taken from if it was.

    Raises:
        NotACompressorError: a ValueError that says in words why nothing was fitted.
        ValueError, TypeError: signals of other shapes, less than a second of them, structures that are none.
    """
    report = progress or (lambda stage, fraction: None)
    report("how late the wet file is", 0.0)
    dry, wet = channels_of("dry", dry), channels_of("wet", wet)
    if dry.dim() != wet.dim():
        raise ValueError(f"dry and wet must be mono both or stereo both, got {tuple(dry.shape)} and {tuple(wet.shape)}")
    pair = aligned(dry, wet, sample_rate)
    whole = pair.part(max(0.0, train[0]), min(train[1], pair.dry.shape[-1] / sample_rate))
    seconds = whole.stop_s - whole.start_s
    if seconds < SHORTEST_S:
        raise NotACompressorError(
            f"the training part has {max(seconds, 0.0):.2f} s that both files cover: too short to tell an attack from a "
            f"release; give it at least {SHORTEST_S:g} s"
        )
    gain, gain_esr = gain_alone(whole)
    comparison = _Structures(
        whole,
        _with_knees(_linked(structures or _all_structures(sample_rate), whole), knees),
        (20 * math.log10(gain), gain_esr),
        report,
        finished or FinishedStages(),
    )
    return comparison.outcome()


_all_structures = structures


def aligned(dry: Tensor, wet: Tensor, sample_rate: float) -> MonoPair:
    """The pair, with how late the wet signal is: a compressor passes its input at once."""
    longest = min(round(LONGEST_OFFSET_S * sample_rate), min(dry.shape[-1], wet.shape[-1]) // 4)
    loudest = int((torch.atleast_2d(dry).square().sum(-1) * torch.atleast_2d(wet).square().sum(-1)).argmax())
    offset = offset_candidates(torch.atleast_2d(dry)[loudest], torch.atleast_2d(wet)[loudest], longest, most=1)[0]
    return MonoPair(dry, wet, sample_rate, offset)


def gain_alone(part: Part) -> tuple[float, float]:
    """The best constant gain and the ESR that it leaves; says why, if that is all there is, or if it is not positive."""
    rows = torch.cat([torch.atleast_2d(part.dry), torch.atleast_2d(part.wet)])
    dry, wet = part.counted(prefiltered(rows)[0]).chunk(2)
    energy = float(wet.square().sum())
    if not energy or not dry.any():
        raise NotACompressorError(f"the {'wet' if dry.any() else 'dry'} signal is silent in the training part")
    gain = float((dry * wet).sum() / dry.square().sum())
    esr = float((wet - gain * dry).square().sum()) / energy
    if esr < NEVER:
        raise NotACompressorError(_never(gain, esr))
    if gain < 0 and esr < UNEXPLAINED:
        raise NotACompressorError(
            "the wet file is upside down: invert its polarity (multiply it by −1), and fit it again"
        )
    return abs(gain) or 1e-9, esr


def _linked(families: Mapping[str, Options], part: Part) -> Mapping[str, Options]:
    """Of a stereo pair, the families with linked channels where these have one gain; what links them is found later.

    One gain γ for both leaves wet₁ dry₂ − wet₂ dry₁ = γ (dry₁ dry₂ − dry₂ dry₁) = 0.
    """
    if part.dry.dim() == 1:
        return families
    (dry_1, dry_2), (wet_1, wet_2) = part.counted(part.dry), part.counted(part.wet)
    across, back = wet_1 * dry_2, wet_2 * dry_1
    one_gain = (across - back).square().sum() < ONE_GAIN * (across.square() + back.square()).sum()
    return {name: {"link": "max" if one_gain else None, **options} for name, options in families.items()}


def _never(gain: float, esr: float) -> str:
    change = f"the dry one times {20 * math.log10(abs(gain)):+.2f} dB" if gain > 0 else "the dry one upside down"
    return (
        f"the effect never compressed: the wet file is {change}, with an ESR of {100 * esr:.2g} %; "
        "lower its threshold, or play louder"
    )


# ------------------------------------------------------------------------------------------------------------- descents


def descend(
    compressor: Compressor,
    part: Part,
    iterations: int = ITERATIONS,
    tolerance: float = TOLERANCE,
    stop: float = EXACT,
    watch: Watch | None = None,
) -> Fit:
    """Moves a compressor's parameters to where its error over a part is least.

    stop: an ESR that is good enough; watch: called with each iteration's number, the ESR and the parameters reached.
    """
    compressor.double()
    values_at = of_parameters(compressor, _values)

    def reached(number: int, cost: float, damping: float, parameters: Parameters) -> bool:
        if watch is not None:
            watch(number, cost / part.energy, values_at(parameters))
        return cost <= stop * part.energy

    free = {name for name, tensor in compressor.named_parameters() if tensor.requires_grad}
    fit = fit_module(
        compressor,
        part.residuals,
        tangents=part.tangents,
        blocks=part.blocks,
        weights=part.weights(),
        bounds={name: ends for name, ends in _bounds(compressor).items() if name in free},
        longest_steps={f"{name}.step": step for name, step in LONGEST_STEPS.items() if f"{name}.step" in free},
        iterations=iterations,
        tolerance=tolerance,
        callback=reached,
    )
    if fit.why == INTERRUPTED:
        raise KeyboardInterrupt
    return fit


def _bounds(compressor: Compressor) -> dict[str, tuple[float, float]]:
    """The ranges as those of steps, which start at 0; what begins beyond an end may stay there."""
    bounds = {}
    for name, parameter in named_parameters(compressor).items():
        if name in RANGES:
            now, step_at = parameter.spec(name).value, STEPS.get(name, math.log)
            low, high = min(RANGES[name][0], now), max(RANGES[name][1], now)
            ends = (step_at(low) - step_at(now), step_at(high) - step_at(now))
            # the step goes on from where the last fit left it
            step = parameter.step.item()  # type: ignore[union-attr]
            bounds[f"{name}.step"] = (ends[0] + step, ends[1] + step)
    return bounds


def begin(compressor: Compressor, part: Part) -> None:
    """Sets the threshold where the compressor works, and make-up where the energies agree."""
    threshold = compressor.curve.threshold_db
    level = 20 * torch.log10(part.dry.abs().clamp_min(1e-10)).flatten()
    loud = float(level[:: max(1, len(level) // 100_000)].quantile(LOUD)) - HEADROOM_DB
    threshold.set(min(threshold().item(), loud))
    compressor.makeup_db.set(0.0)
    signals = torch.cat([torch.atleast_2d(each) for each in (part.prediction(compressor), part.counted(part.wet))])
    predicted, target = (float(each.square().sum()) for each in prefiltered(signals)[0].chunk(2))
    compressor.makeup_db.set(10 * math.log10(target / predicted) if predicted > 0 else 0.0)


def search(
    compressor: Compressor,
    part: Part,
    starts: Iterable[Mapping[str, float]],
    stop: float = SOLVED,
    agreement: float = 1.0,
) -> Compressor:
    """The best of short descents from several starts, on the part's first seconds.

    The first that solves it ends them, and two whose costs are the best, or that times the agreement.
    """
    first = part.pair.part(part.start_s, min(part.stop_s, part.start_s + SEARCHED_S))
    best: tuple[float, Compressor] | None = None
    for start in starts:
        tried = _copy(compressor)
        tried.set_parameters({name: value for name, value in start.items() if name in named_parameters(tried)})
        begin(tried, first)
        cost = descend(tried, first, SEARCH_ITERATIONS, SEARCH_TOLERANCE, stop).cost
        agreed = best is not None and max(cost, best[0]) < agreement * min(cost, best[0])
        if best is None or cost < best[0]:
            best = cost, tried
        if agreed or best[0] <= stop * first.energy:
            break
    assert best is not None
    return best[1]


def _copy(compressor: Compressor, **changed: object) -> Compressor:
    """A compressor of the same parameters, some of its options changed."""
    values = _values(compressor)
    copy = Compressor(compressor.sample_rate, **(compressor.configuration() | changed)).double()  # type: ignore[arg-type]
    copy.set_parameters({name: value for name, value in values.items() if name in named_parameters(copy)})
    return copy


def _values(compressor: Compressor) -> dict[str, float]:
    return {spec.name: spec.value for spec in compressor.parameters_spec()}


def _free(compressor: Compressor) -> int:
    return sum(tensor.numel() for tensor in compressor.parameters() if tensor.requires_grad)


# ----------------------------------------------------------------------------------------------------------- comparison


def _last(knees: Mapping[str, Options]) -> str:
    return list(knees)[-1]


def _with_knees(families: Mapping[str, Options], knees: Sequence[str]) -> dict[str, dict[str, Options]]:
    """Of each family its structures by name."""
    if isinstance(knees, str) or not knees or not set(knees) <= {"hard", "soft"}:
        raise ValueError(f"knees must be a list of 'hard' and 'soft', got {knees!r}")
    if not families:
        raise ValueError("structures is empty: there is nothing to choose from")
    return {
        name: {name: options}
        if "knee_db" in options
        else {f"{name}, {knee} knee": {**options, "knee_db": KNEE_DB if knee == "soft" else None} for knee in knees}
        for name, options in families.items()
    }


class Comparison(ABC):
    """A fit on its way: what is there when Ctrl-C ends it is a fit too.

    Rows are fitted to the first of the training part, and compared by what follows it.
    """

    def __init__(self, whole: Part, gain: tuple[float, float], report: Progress, finished: FinishedStages):
        self.whole, self.report, self.finished = whole, report, finished
        self.gain_db, self.gain_esr = gain
        middle = whole.stop_s - VALIDATION * (whole.stop_s - whole.start_s)
        self.first = whole.pair.part(whole.start_s, middle)
        self.validation = whole.pair.part(middle, whole.stop_s)
        self.rows: list[Row] = []
        self.refined: tuple[Any, Fit] | None = None
        self.trajectory: list[Reached] = []

    @abstractmethod
    def run(self) -> None: ...

    @abstractmethod
    def result(self, interrupted: bool = False) -> CompressorFit: ...

    def _watch(self, number: int, esr: float, values: dict[str, float]) -> None:
        self.trajectory.append(Reached(number, esr, values))

    def outcome(self) -> CompressorFit:
        try:
            self.run()
        except KeyboardInterrupt:
            if not self.rows:
                raise
            return self.result(interrupted=True)
        return self.result()


class _Structures(Comparison):
    def __init__(
        self,
        whole: Part,
        families: dict[str, dict[str, Options]],
        gain: tuple[float, float],
        report: Progress,
        finished: FinishedStages,
    ):
        super().__init__(whole, gain, report, finished)
        self.families = families
        self.late = 0.0

    def run(self) -> None:
        """Every family from a few starts; those near the best from all, with every knee, on all but the validation."""
        found: dict[str, tuple[float, Compressor]] = {}
        for place, (family, knees) in enumerate(self.families.items()):
            self.report(family, 0.6 * place / len(self.families))
            options = knees[_last(knees)]  # the soft knee: the hard one is nearly among them
            compressor = self.finished.effect(f"search: {family}", partial(self._searched, options, FEW))
            found[family] = self.first_seconds.esr(compressor), compressor
        best = min(esr for esr, _ in found.values())
        near = {family: each for family, each in found.items() if each[0] <= NEAR * best}
        for place, family in enumerate(sorted(near, key=lambda family: near[family][0])):
            self.report(family, 0.6 + 0.3 * place / len(near))
            self._compare(family, near[family][1])
        for family, (esr, compressor) in found.items():
            if family not in near:
                validation = self.validation.esr(compressor)
                self.rows.append(
                    Row(_last(self.families[family]), compressor, _free(compressor), esr, validation, True)
                )
        self._add_pieces()
        self.rows.sort(key=lambda row: row.validation_esr)
        self._check()
        chosen = simplest(self.rows)
        self.report(f"all of the training part: {chosen.name}", 0.9)
        self.refined = self._refined(f"whole: {chosen.name}", chosen.compressor, self.whole, self._watch)
        self._settle(chosen.name)

    def _settle(self, name: str) -> None:
        """A delay by a part of a sample is a parameter too: it and the others in turns."""
        for turn in range(1, TURNS + 1):
            assert self.refined is not None
            compressor, _ = self.refined
            late = lateness(self.whole.counted(self.whole.wet), self.whole.prediction(compressor))
            if abs(late) < SETTLED:
                return
            self.late += late
            self.whole = self.whole.pair.read_later(late).part(self.whole.start_s, self.whole.stop_s)
            self.refined = self._refined(f"whole, delay {turn}: {name}", compressor, self.whole, self._watch)

    @property
    def first_seconds(self) -> Part:
        return self.whole.pair.part(self.first.start_s, min(self.first.stop_s, self.first.start_s + SEARCHED_S))

    def _searched(self, options: Options, starts: Sequence[Mapping[str, float]]) -> Compressor:
        compressor = Compressor(self.whole.pair.sample_rate, **options).double()  # type: ignore[arg-type]
        return search(compressor, self.first, starts, agreement=AGREEMENT)

    def _add_pieces(self) -> None:
        """To the families that lead, one after another as long as the choice gains; where something is left to explain."""
        chosen = simplest(self.rows)
        if chosen.validation_esr <= SOLVED:
            return
        pieces = PIECES if self.whole.dry.dim() == 1 else {**PIECES, **links(chosen.compressor.detector.link)}
        compared = sorted((row for row in self.rows if not row.searched), key=lambda row: row.validation_esr)
        leading = list(dict.fromkeys(self._family(row) for row in compared))[:PIECED]
        bases = [row for row in compared if self._family(row) in leading]
        while bases:
            for row in bases:
                for name in [name for name in pieces if name not in row.pieces]:
                    self.report(f"{row.name}, {name}", 0.85)
                    self._add_piece(row, name, pieces[name])
            before, chosen = chosen, simplest(self.rows)
            bases = [] if chosen is before or chosen.validation_esr <= SOLVED else [chosen]

    def _add_piece(self, row: Row, piece: str, added: Piece) -> None:
        name = f"{row.name}, {piece}"
        options = {**self.families[self._family(row)][row.name], **added.options}
        known = _values(row.compressor)
        starts = [{**known, **start} for start in added.starts]
        if any(each.name == name for each in self.rows):
            return
        reached = self.finished.effect(f"starts: {name}", partial(self._searched, options, starts))
        compressor, _ = self._refined(name, reached, self.first)
        self.families[self._family(row)][name] = options
        train, validation = self.first.esr(compressor), self.validation.esr(compressor)
        self.rows.append(Row(name, compressor, _free(compressor), train, validation, pieces=(*row.pieces, piece)))

    def _family(self, row: Row) -> str:
        return next(family for family, knees in self.families.items() if row.name in knees)

    def _compare(self, family: str, start: Compressor) -> None:
        """A row for each knee of a family: the soft one from where the search ended and more starts, the hard from there."""
        starts = [_values(start), *(each for each in STARTS if each not in FEW)]
        for name, options in reversed(self.families[family].items()):
            reached = self.finished.effect(f"starts: {name}", partial(self._searched, options, starts))
            compressor, _ = self._refined(name, reached, self.first)
            starts = [_values(compressor), FEW[0]]
            train, validation = self.first.esr(compressor), self.validation.esr(compressor)
            self.rows.append(Row(name, compressor, _free(compressor), train, validation))

    def _refined(self, name: str, start: Compressor, part: Part, watch: Watch | None = None) -> tuple[Compressor, Fit]:
        return self.finished.descent(name, lambda: _copy(start), partial(descend, part=part, watch=watch))

    def _check(self) -> None:
        esr = self.rows[0].train_esr
        if esr > UNEXPLAINED or (self.gain_esr > HARDLY and esr > 0.9 * self.gain_esr):
            raise NotACompressorError(
                f"this is not a compressor that is known here: of {len(self.families)} structures the best leaves an ESR of "
                f"{100 * esr:.3g} %, a gain alone {100 * self.gain_esr:.3g} %"
            )
        if self.gain_esr < HARDLY and esr > 0.5 * self.gain_esr:
            raise NotACompressorError(_never(10 ** (self.gain_db / 20), self.gain_esr))

    def result(self, interrupted: bool = False) -> CompressorFit:
        rows = sorted(self.rows, key=lambda row: row.validation_esr)
        chosen = simplest(rows)
        compressor, fit = self.refined or (chosen.compressor, descend(chosen.compressor, self.first, iterations=0))
        margin, findings = _findings(rows, chosen, self.families)
        if self.whole.dry.dim() == 2:
            findings.append(f"The channels' detectors: {LINKS[compressor.detector.link]}.")
        late = self.whole.pair.offset + self.late
        if abs(late) > NOTICED:
            findings.append(words_of(late))
        self.report("done", 1.0)
        return CompressorFit(
            compressor,
            self.whole.pair,
            self.whole,
            rows,
            chosen.name,
            margin,
            self.gain_esr,
            self.gain_db,
            estimates(compressor, fit),
            findings,
            self.trajectory,
            interrupted,
        )


def simplest(rows: Sequence[Row]) -> Row:
    """Of the rows that tie with the best, the one of fewest parameters."""
    tied = [row for row in rows if _floored(row) <= TIE * min(map(_floored, rows))]
    return min(tied, key=lambda row: (row.parameters, row.validation_esr))


def _floored(row: Row) -> float:
    return max(row.validation_esr, EXPLAINED)


def _findings(
    rows: Sequence[Row], chosen: Row, families: Mapping[str, Mapping[str, Options]]
) -> tuple[float, list[str]]:
    """The margin over the next family, and what it says."""
    own = next(family for family, knees in families.items() if chosen.name in knees)
    others = [
        row for row in rows if row.name not in families[own] and (row.averages or row.parameters <= chosen.parameters)
    ]
    tied = [
        row.name
        for row in rows
        if row is not chosen and row.averages and not row.pieces and _floored(row) <= TIE * _floored(chosen)
    ]
    found = [
        f"a compressor: {chosen.name}, with an ESR of {100 * chosen.validation_esr:.2g} % on what it was not fitted to"
    ]
    if tied:
        found.append(
            f"A tie within {100 * (TIE - 1):.0f} % with {', '.join(f'“{name}”' for name in tied)}: "
            "the recording does not tell them apart; the one of fewest parameters was chosen."
        )
    if not others:
        return math.inf, found
    margin = _floored(others[0]) / _floored(chosen)
    following = f"The next structure, “{others[0].name}”{', after a short search' if others[0].searched else ''},"
    if margin > PROOF:
        words = (
            "proof of the structure" if chosen.validation_esr < 1e-5 else "clear, though the compressor has more to it"
        )
        found.append(f"{following} leaves {margin:.3g} times as much: {words}.")
    elif margin > TIE:
        found.append(f"{following} leaves only {margin:.2g} times as much: likely, not proven.")
    if chosen.validation_esr > 1e-5:
        found.append("Above an ESR of 0.001 % a parameter is what suits this model best, not a knob's true position.")
    return margin, found
