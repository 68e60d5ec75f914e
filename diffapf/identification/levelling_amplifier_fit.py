"""A levelling amplifier fitted to a dry and a wet recording: the grey box, with what is known of its physics.

The cell's parameters descend by Levenberg–Marquardt, the output stage is solved for at each step (`projected_part.py`).
Freedom hurts where a recording doesn't go: priors hold what it doesn't tell, as residuals Δ/σ · √(energy/N), where N grows
with the training part. Which cell it is, and how much of an output stage, is chosen on a part that is not fitted to.

Source: Yu, Fazekas, AES AIMLA 2025, for second-order fits of this amplifier; the cell's equations
as in `filters/optical_cell.py`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor

from diffapf.effects.levelling_amplifier import LevellingAmplifier
from diffapf.identification.compressor_fit import (
    EXACT,
    PROOF,
    SHORTEST_S,
    TIE,
    UNEXPLAINED,
    Comparison,
    CompressorFit,
    NotACompressorError,
    Progress,
    Row,
    Watch,
    aligned,
    gain_alone,
)
from diffapf.identification.finished_stages import FinishedStages
from diffapf.identification.fit import INTERRUPTED, Fit
from diffapf.identification.lateness import words_of
from diffapf.identification.layout import Parameters
from diffapf.identification.levelling_amplifier_structures import (
    CELLS,
    EVENTS_PER_SECOND,
    OUTPUTS,
    STARTS,
    Options,
    priors_of,
)
from diffapf.identification.modules import Estimate, estimates, fit_module, of_parameters
from diffapf.identification.prefiltered_pair import Part
from diffapf.identification.projected_part import Projected, numbers_of
from diffapf.identification.spans import channels_of
from diffapf.identification.uncertainty import uncertainty
from diffapf.parameters import Named, linear, share

SEARCHED_S = 6.0
SEARCH_ITERATIONS, ITERATIONS = 8, 30
SEARCH_TOLERANCE, TOLERANCE = 1e-2, 1e-4
LONGEST_STEPS = {"threshold_db": 6.0, "feedback": 0.3}  # of all others, a factor of e
# Beyond these a parameter does nothing any more.
RANGES = {
    "threshold_db": (-80.0, 40.0),
    "exponent": (0.05, 10.0),
    "brightness": (0.1, 1e4),
    "feedback": (0.0, 1.0),
    "curve": (0.1, 10.0),
    "attack_ms": (0.05, 2000.0),
    "release_ms": (0.5, 10_000.0),
    "speed": (1e-4, 100.0),
    "share": (0.005, 0.995),
    "slow_attack_ms": (0.5, 100_000.0),
    "slow_release_ms": (5.0, 100_000.0),
}


def fit_levelling_amplifier(
    dry: Tensor,
    wet: Tensor,
    sample_rate: float,
    train: tuple[float, float] = (0.0, math.inf),
    cells: Mapping[str, Options] | None = None,
    outputs: Mapping[str, Options] | None = None,
    progress: Progress | None = None,
    finished: FinishedStages | None = None,
) -> CompressorFit:
    """Fits a levelling amplifier to what went in and what came out; its `compressor` is a `LevellingAmplifier`.

    Args:
        dry, wet: one channel each, `(time,)`, full scale 1, recorded together; computed in float64.
        sample_rate: in Hz.
        train: the part to fit to, from a time to another in seconds; all by default. The amplifier runs through what is
            before it.
        cells: options of `LevellingAmplifier` by names, to choose from; by default `CELLS`.
        outputs: the same for its output stage, the first of which all cells are compared with; by default `OUTPUTS`.
        progress: called with the name of a stage that begins, and the fraction of the whole that is done, 0 … 1.
        finished: where each stage is kept once it is finished, and taken from if it was.

    Raises:
        NotACompressorError: a ValueError that says in words why nothing was fitted.
        ValueError, TypeError: signals of other shapes, no cells or no outputs.
    """
    for name, choices in (("cells", cells), ("outputs", outputs)):
        if choices is not None and not choices:
            raise ValueError(f"{name} is empty: there is nothing to choose from")
    report = progress or (lambda stage, fraction: None)
    report("how late the wet file is", 0.0)
    pair = aligned(channels_of("dry", dry, 1), channels_of("wet", wet, 1), sample_rate)
    whole = pair.part(max(0.0, train[0]), min(train[1], len(dry) / sample_rate))
    seconds = whole.stop_s - whole.start_s
    if seconds < SHORTEST_S:
        raise NotACompressorError(
            f"the training part has {max(seconds, 0.0):.2f} s that both files cover: too short to tell two releases apart; "
            f"give it at least {SHORTEST_S:g} s"
        )
    gain, gain_esr = gain_alone(pair.part(whole.start_s, whole.stop_s))
    comparison = _Cells(
        whole,
        dict(cells or CELLS),
        dict(outputs or OUTPUTS),
        (20 * math.log10(gain), gain_esr),
        report,
        finished or FinishedStages(),
    )
    return comparison.outcome()


# ------------------------------------------------------------------------------------------------------------- descents


def descend(
    amplifier: LevellingAmplifier,
    part: Part,
    iterations: int = ITERATIONS,
    tolerance: float = TOLERANCE,
    watch: Watch | None = None,
) -> Fit:
    """Moves the cell's parameters to where error and priors are least over a part, and solves for its output stage.

    watch: called with each iteration's number, the ESR, to which the priors add, and the cell's parameters reached.
    """
    amplifier.double()
    values_at = of_parameters(amplifier, _values)
    projected = Projected(amplifier, part)
    if not projected.solution(numbers_of(amplifier)[None].detach())[0][0] > 0:
        raise NotACompressorError(
            "this is no levelling amplifier: what comes out does not follow what goes in, or is upside down"
        )
    prior = _Priors(amplifier, part.energy / (EVENTS_PER_SECOND * (part.stop_s - part.start_s)))

    def tangents(
        amplifier: LevellingAmplifier, parameters: Parameters, directions: Parameters, block: int, state: Any
    ) -> tuple[Tensor, Tensor, Any]:
        residuals, slopes = projected.linearised(parameters, directions)
        far, by = prior.linearised(parameters, directions)
        return torch.cat([residuals, far]), torch.cat([slopes, by], 1), None

    def residuals(amplifier: LevellingAmplifier) -> Tensor:
        """Of the same cost, as no more than that is read of them."""
        weights, left = projected.solution(numbers_of(amplifier)[None].detach())
        far, _ = prior.linearised(dict(amplifier.named_parameters()), {})
        return torch.cat([far.new_tensor([math.sqrt(left) if weights[0] > 0 else math.nan]), far])

    def reached(number: int, cost: float, damping: float, parameters: Parameters) -> bool:
        if watch is not None:
            watch(number, cost / part.energy, values_at(parameters))
        return cost <= EXACT * part.energy

    fit = fit_module(
        amplifier,
        residuals,
        tangents=tangents,
        frozen=["output"],
        bounds=_bounds(amplifier),
        longest_steps={
            f"cell.{name}.step": LONGEST_STEPS.get(name, 1.0) for name, _ in amplifier.cell.named_children()
        },
        iterations=iterations,
        tolerance=tolerance,
        callback=reached,
    )
    if fit.why == INTERRUPTED:
        raise KeyboardInterrupt
    weights, _ = projected.solution(numbers_of(amplifier)[None].detach())
    amplifier.output.set_weights(weights)
    return replace(fit, count=part.last - part.first)


def _coordinate(parameter: Named, value: float) -> float:
    """Where a value is on the axis on which steps are taken."""
    if parameter.mapping is linear:
        return value
    return math.log(value / (1 - value)) if parameter.mapping is share else math.log(value)


def _cell(amplifier: LevellingAmplifier) -> dict[str, Named]:
    return {name: part for name, part in amplifier.cell.named_children() if isinstance(part, Named)}


def _bounds(amplifier: LevellingAmplifier) -> dict[str, tuple[float, float]]:
    """The ranges as those of steps; what begins beyond an end may stay there."""
    bounds = {}
    for name, parameter in _cell(amplifier).items():
        step = parameter.step.item()
        now = _coordinate(parameter, parameter().item())
        low, high = (_coordinate(parameter, end) for end in RANGES[name])
        bounds[f"cell.{name}.step"] = (step + min(low - now, 0.0), step + max(high - now, 0.0))
    return bounds


class _Priors:
    """Residuals √weight · Δ/σ, a row for each of the cell's parameters."""

    def __init__(self, amplifier: LevellingAmplifier, weight: float):
        self.rows: dict[str, tuple[float, float]] = {}  # the step at which a prior is, and √weight/σ
        known = priors_of(amplifier.cell.slow)
        for name, parameter in _cell(amplifier).items():
            prior = known[name]
            centre = _coordinate(parameter, prior.value) - _coordinate(parameter, parameter.reference.item())
            self.rows[f"cell.{name}.step"] = centre, math.sqrt(weight) / prior.sigma

    def linearised(self, parameters: Parameters, directions: Parameters) -> tuple[Tensor, Tensor]:
        far = torch.stack([scale * (parameters[name] - centre) for name, (centre, scale) in self.rows.items()])
        if not directions:
            return far, far.new_zeros(0, len(far))
        return far, torch.stack([scale * directions[name] for name, (_, scale) in self.rows.items()], 1)


def changed(amplifier: LevellingAmplifier, **options: Any) -> LevellingAmplifier:
    """The same cell, with another output stage at rest."""
    same = LevellingAmplifier(
        amplifier.sample_rate, **(amplifier.configuration() | {"filters": None} | options)
    ).double()
    same.set_parameters(_values(amplifier))
    return same


def _values(amplifier: LevellingAmplifier) -> dict[str, float]:
    """Those of the cell's parameters."""
    return {f"cell.{name}": parameter().item() for name, parameter in _cell(amplifier).items()}


# ----------------------------------------------------------------------------------------------------------- comparison


class _Cells(Comparison):
    def __init__(
        self,
        whole: Part,
        cells: dict[str, Options],
        outputs: dict[str, Options],
        gain: tuple[float, float],
        report: Progress,
        finished: FinishedStages,
    ):
        super().__init__(whole, gain, report, finished)
        self.cells, self.outputs = cells, outputs

    def run(self) -> None:
        """Every cell with the first output stage, then the one that is best with the others."""
        fullest, *others = self.outputs
        for place, (cell, options) in enumerate(self.cells.items()):
            self.report(cell, 0.65 * place / len(self.cells))
            start = self.finished.effect(
                f"search: {cell}", partial(self._searched, {**self.outputs[fullest], **options})
            )
            self._compare(f"{cell}, {fullest}", start)
        self._check()
        best = self._chosen()
        for place, output in enumerate(others):
            name = f"{best.name.removesuffix(f', {fullest}')}, {output}"
            self.report(name, 0.65 + 0.2 * place / len(others))
            stage = {"delay_us": None, "corners_hz": (), "saturation": ()} | dict(self.outputs[output])
            self._compare(name, changed(cast(LevellingAmplifier, best.compressor), **stage))
        chosen = self._chosen()
        self.report(f"all of the training part: {chosen.name}", 0.85)
        best_cell = cast(LevellingAmplifier, chosen.compressor)
        self.refined = self._refined(f"whole: {chosen.name}", best_cell, self.whole, self._watch)

    def _chosen(self) -> Row:
        """Of the rows that tie with the best those of fewest parameters, of these the cell that comes first in the list."""
        best = min(row.validation_esr for row in self.rows)
        tied = [row for row in self.rows if row.validation_esr <= TIE * best]
        fewest = min(row.parameters for row in tied)
        cells = list(self.cells)
        return min(
            (row for row in tied if row.parameters == fewest), key=lambda row: cells.index(_cell_of(row, self.cells))
        )

    def _searched(self, options: Options) -> LevellingAmplifier:
        """The best of short descents from several starts, on the first seconds."""
        seconds = min(self.first.stop_s, self.first.start_s + SEARCHED_S)
        first = self.whole.pair.part(self.first.start_s, seconds)
        tried = []
        for start in STARTS:
            amplifier = LevellingAmplifier(self.whole.pair.sample_rate, **options).double()  # type: ignore[arg-type]
            known = {spec.name for spec in amplifier.parameters_spec()}
            amplifier.set_parameters({name: value for name, value in start.items() if name in known})
            tried.append((descend(amplifier, first, SEARCH_ITERATIONS, SEARCH_TOLERANCE).cost, amplifier))
        return min(tried, key=lambda each: each[0])[1]

    def _compare(self, name: str, start: LevellingAmplifier) -> None:
        amplifier, _ = self._refined(name, start, self.first)
        free = len(_cell(amplifier)) + len(amplifier.output.weights())
        self.rows.append(Row(name, amplifier, free, self.first.esr(amplifier), self.validation.esr(amplifier)))

    def _refined(
        self, name: str, start: LevellingAmplifier, part: Part, watch: Watch | None = None
    ) -> tuple[LevellingAmplifier, Fit]:
        again = partial(descend, part=part, watch=watch)
        return self.finished.descent(name, lambda: changed(start, **_output_of(start)), again)

    def _check(self) -> None:
        esr = min(row.train_esr for row in self.rows)
        if esr > UNEXPLAINED or esr > 0.9 * self.gain_esr:
            raise NotACompressorError(
                f"this is no levelling amplifier: of {len(self.cells)} cells the best leaves an ESR of {100 * esr:.3g} %, a "
                f"gain alone {100 * self.gain_esr:.3g} %; it never worked, or it is another effect"
            )

    def result(self, interrupted: bool = False) -> CompressorFit:
        rows = sorted(self.rows, key=lambda row: row.validation_esr)
        chosen = self._chosen()
        last = self.whole if self.refined else self.first
        amplifier, fit = self.refined or (
            chosen.compressor,
            descend(cast(LevellingAmplifier, chosen.compressor), self.first, iterations=0),
        )
        margin, findings = _findings(rows, chosen, self.cells)
        late = self.whole.pair.offset
        if late:
            findings.append(words_of(late))
        self.report("done", 1.0)
        return CompressorFit(
            amplifier,
            self.whole.pair,
            self.whole,
            rows,
            chosen.name,
            margin,
            self.gain_esr,
            self.gain_db,
            all_estimates(cast(LevellingAmplifier, amplifier), fit, last),
            findings,
            self.trajectory,
            interrupted,
        )


def _output_of(amplifier: LevellingAmplifier) -> dict[str, Any]:
    """The structure of its output stage."""
    output = amplifier.output
    return {
        "delay_us": None if output.delay_us is None else 0.0,
        "corners_hz": output.corners_hz,
        "saturation": [0.0] * len(output.powers),
    }


def all_estimates(amplifier: LevellingAmplifier, fit: Fit, part: Part) -> list[Estimate]:
    """Of the cell those of the fit, of the output stage those of its weights while the cell stands still."""
    products = Projected(amplifier, part).information(amplifier)
    held = torch.zeros(len(products), dtype=torch.bool)
    errors = uncertainty(products, fit.cost, fit.count, held).standard_errors.tolist()
    makeup = 10 ** (amplifier.output.makeup_db().item() / 20)
    relative = iter(error / makeup for error in errors)
    found = []
    for estimate in estimates(amplifier, fit):
        if estimate.name.startswith("output."):
            error = next(relative)
            error = 20 / math.log(10) * error if estimate.name == "output.makeup_db" else error
            estimate = replace(estimate, error=error)
        found.append(estimate)
    return found


def _cell_of(row: Row, cells: Mapping[str, Options]) -> str:
    return next(cell for cell in cells if row.name.startswith(f"{cell}, "))


def _findings(rows: list[Row], chosen: Row, cells: Mapping[str, Options]) -> tuple[float, list[str]]:
    """The margin over the next cell, and what was found, in words."""
    own = _cell_of(chosen, cells)
    found = [
        f"a levelling amplifier: {chosen.name}, with an ESR of {100 * chosen.validation_esr:.2g} % on what it was not "
        "fitted to"
    ]
    others = [row for row in rows if not row.name.startswith(f"{own}, ")]
    margin = math.inf
    if others:
        margin = others[0].validation_esr / chosen.validation_esr
        likely = "clear" if margin > PROOF else "likely, not proven" if margin > TIE else "a tie"
        found.append(f"The next cell, “{others[0].name}”, leaves {margin:.2g} times as much: {likely}.")
    tied = [
        row.name for row in rows if row not in (chosen, *others) and row.validation_esr <= TIE * chosen.validation_esr
    ]
    if tied:
        found.append(f"Within {100 * (TIE - 1):.0f} % are also {', '.join(tied)}: the simplest was chosen.")
    found.append(
        "Levels that the training part does not reach are extrapolated: there the parameters are as good as their priors."
    )
    return margin, found
