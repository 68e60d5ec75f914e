"""Equalisers in the recipes: they know no clock, and their truth is a channel strip's setting."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from data.channel_strip import Setting
from diffapf.report.curves import series
from diffapf.report.equalizer_fit import bands_curve, frequencies_of
from recipes.data import Pair
from recipes.kinds import Kind

NUMBERS = ("frequency_hz", "q", "gain_db")


class EqualizerKind(Kind):
    def run_block(self, effect: Any, x: Tensor, start: int, memory: Any) -> tuple[Tensor, Any]:
        return effect.filter().run(x, memory)

    def truths(self, pair: Pair) -> dict[str, float]:
        truth = pair.tracks.truth
        if not isinstance(truth, Setting):
            return {}
        return {
            f"bands.{band}.{number}": value
            for band, knobs in truth.bands.items()
            for number, value in zip(NUMBERS, knobs, strict=True)
        }

    def watched(self, effect: Any) -> dict[str, float]:
        return {spec.name: spec.value for spec in effect.parameters_spec()}

    @torch.no_grad()
    def curves(self, effect: Any, pair: Pair) -> list[dict[str, Any]]:
        """Each band and all of them, and the target's where it is known."""
        curve = bands_curve(effect)
        if isinstance(pair.tracks.truth, Setting):
            frequencies = frequencies_of(effect)
            target = torch.from_numpy(pair.tracks.truth.magnitude_db(frequencies.numpy(), pair.sample_rate))
            curve["series"].insert(1, series("target", frequencies, target, "points"))
        return [curve]
