"""Phasers in the recipes: their LFO runs on the recording's clock."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from diffapf.report.curves import HERTZ, TIME, heard_times, notch_curve, series
from recipes.data import Pair
from recipes.kinds import Kind


class PhaserKind(Kind):
    tested_with_training = True

    def run(self, effect: Any, x: Tensor, start: int) -> Tensor:
        return effect(x, start=start)

    def run_block(self, effect: Any, x: Tensor, start: int, memory: Any) -> tuple[Tensor, Any]:
        return effect.filter_of_block(start, x.shape[-1], x.dtype).run(x, memory)

    def rate_hz(self, effect: Any) -> float | None:
        return abs(effect.lfo.rate_hz().item())

    def begin(self, effect: Any, seconds: float, end: float | None = None) -> None:
        if end is None:
            effect.lfo.move_origin(seconds)
        else:  # the rate is learned best where phase and rate are least alike: about the window's middle
            effect.lfo.centre(seconds, end)

    def check_least_squares(self, effect: Any) -> None:
        if effect.align_corners:
            raise ValueError(
                "optimizer=lm goes block by block: model.align_corners must be false, as it is with model=phaser"
            )

    def truths(self, pair: Pair) -> dict[str, float]:
        truth = pair.tracks.truth
        return {} if truth is None else {"lfo.rate_hz": truth.rate}

    def curves(self, effect: Any, pair: Pair) -> list[dict[str, Any]]:
        """The learned modulation over the heard part of the test: break frequency and notches against time."""
        begin, end = pair.seconds("test")
        shown = heard_times(begin, end)
        with torch.no_grad():
            learned = effect.break_frequencies(begin + shown)
            lfo = effect.shaper(effect.lfo(begin + shown))
            notches = notch_curve(effect, begin, end)
        lines = [series("learned", shown, learned)]
        if pair.tracks.truth is not None:
            truth = torch.from_numpy(pair.tracks.truth.break_frequency((begin + shown).numpy()))
            lines.append(series("true circuit", shown, truth, "dashed"))
        return [
            {
                "title": "All-pass break frequency",
                "x": TIME,
                "y": HERTZ,
                "series": lines,
                "caption": "Where each stage turns the phase by 90°, as the LFO sweeps it.",
            },
            notches,
            {
                "title": "Shaped LFO",
                "x": TIME,
                "y": {"label": "swing", "unit": ""},
                "series": [series("learned", shown, lfo.double())],
                "caption": "The LFO after the wave shaper: −1 is the lowest break frequency, 1 the highest.",
            },
        ]
