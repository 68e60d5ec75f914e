"""Compressors in the recipes: they know no clock, and frequency sampling needs attack = release."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor

from diffapf.effects.compressor import Compressor, CompressorState
from diffapf.effects.static_curve import StaticCurve
from diffapf.identification.compressor_fit import LONGEST_STEPS
from diffapf.parameters import named_parameters
from diffapf.report.curves import DECIBELS, TIME, heard_times, series, short_time_reduction
from diffapf.report.folder import HEARD_SECONDS
from recipes.data import Pair
from recipes.kinds import Kind

QUIET = 1e-3  # of the loudest 10 ms: below, that gain is not shown


class CompressorKind(Kind):
    training_lead_in = 2.0
    lead_in = 5.0  # of the release of a levelling amplifier, something is left after 3 s
    least_squares_methods = ("td", "fs")

    def run_block(self, effect: Any, x: Tensor, start: int, memory: Any) -> tuple[Tensor, Any]:
        y, state = effect.run(x, CompressorState(memory or ()))
        return y, state.memories

    def has_tangents(self, effect: Any, x: Tensor) -> bool:
        return x.shape[0] == 1 and x.dtype == torch.float64

    def for_method(self, effect: Any, method: str) -> Compressor:
        return tied(effect) if method == "fs" else effect

    def methods(self, effect: Any) -> Collection[str]:
        return ("td", "fs") if effect.smoother.release_ms is None else ("td",)

    def longest_steps(self, effect: Any) -> dict[str, float]:
        # beyond what the derivatives know of, and a threshold above all levels is a dead end: it has no gradient
        return {f"{name}.step": LONGEST_STEPS[name] for name in named_parameters(effect)}

    def truths(self, pair: Pair) -> dict[str, float]:
        truth = pair.tracks.truth
        return {spec.name: spec.value for spec in truth.parameters_spec()} if isinstance(truth, Compressor) else {}

    def watched(self, effect: Any) -> dict[str, float]:
        return {spec.name: spec.value for spec in effect.parameters_spec()}

    @torch.no_grad()
    def curves(self, effect: Any, pair: Pair) -> list[dict[str, Any]]:
        """Gain reduction over the heard part of the test, and the static curve."""
        begin, end = pair.seconds("test")
        shown = heard_times(begin, end)
        first = round(begin * pair.sample_rate)
        dry = pair.tracks.dry[:1, : first + round(HEARD_SECONDS * pair.sample_rate)]
        makeup = effect.makeup_db().item()
        reduction = -effect.gain_db(dry)[0, (first + shown * pair.sample_rate).long()] - makeup
        span = slice(first, dry.shape[-1])
        times, measured = measured_reduction(dry[0, span], pair.tracks.wet[0, span], pair.sample_rate)
        levels = torch.arange(-60.0, 0.5, 0.5, dtype=torch.float64)
        lines = [series("learned", levels, levels + static_gain(effect.curve, levels) + makeup)]
        if isinstance(pair.tracks.truth, Compressor):
            truth = pair.tracks.truth
            lines.append(
                series("true", levels, levels + static_gain(truth.curve, levels) + truth.makeup_db().item(), "dashed")
            )
        return [
            {
                "title": "Gain reduction",
                "x": TIME,
                "y": DECIBELS,
                "series": [series("target", times, measured, "points"), series("learned", shown, reduction)],
                "caption": "Make-up included. The target's is that of 10 ms of sound each; where it is quiet, none.",
            },
            {
                "title": "Static curve",
                "x": {"label": "level in", "unit": "dB"},
                "y": {"label": "level out", "unit": "dB"},
                "series": lines,
                "caption": "What the level of a steady tone becomes.",
            },
        ]


def tied(compressor: Compressor) -> Compressor:
    """The same with one time for attack and release, their geometric mean: what frequency sampling can train."""
    release = compressor.smoother.release_ms
    if release is None:
        return compressor
    values = {spec.name: spec.value for spec in compressor.parameters_spec()}
    between = math.sqrt(values["smoother.attack_ms"] * values.pop("smoother.release_ms"))
    one = Compressor(compressor.sample_rate, **(compressor.configuration() | {"release_ms": None}))
    one.set_parameters(values | {"smoother.attack_ms": between})
    return one.to(next(compressor.parameters()).dtype)


def static_gain(curve: StaticCurve, levels_db: Tensor) -> Tensor:
    return curve(levels_db, "dB", True)


def measured_reduction(dry: Tensor, wet: Tensor, sample_rate: float) -> tuple[Tensor, Tensor]:
    """(seconds, dB) by which each 10 ms of `wet` are below those of `dry`, where these are not quiet."""
    times, reduction, energy = short_time_reduction(dry, wet, sample_rate)
    heard = energy > QUIET**2 * energy.max()
    return times[heard], reduction[heard]
