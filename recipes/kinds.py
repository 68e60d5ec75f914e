"""What the recipes must know of an effect: how it is run from a place of a recording, by which methods, and what is shown.

`Kind` is an effect that takes no notice of the time; one file for each kind of effect says where it differs.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor

from diffapf.effects.effect import Effect
from recipes.data import Pair


class Kind:
    """What holds for most effects."""

    training_lead_in = 0.0
    """Seconds of dry signal before the training part, where there are as many, without loss."""
    lead_in = 1.0
    """The same before a part that is evaluated."""
    least_squares_methods: Collection[str] = ("td",)
    """By which an effect can be fitted by least squares."""
    tested_with_training = False
    """Whether its paper tests on the training part and the test part together, where recordings are simulated."""

    def run(self, effect: Any, x: Tensor, start: int) -> Tensor:
        """The output for `x`, whose first sample is the recording's sample `start`, by the effect's method."""
        return effect(x)

    def run_block(self, effect: Any, x: Tensor, start: int, memory: Any) -> tuple[Tensor, Any]:
        """The next block in the time domain, and the memory after it, in tuples of tensors; None at first."""
        raise NotImplementedError

    def has_tangents(self, effect: Any, x: Tensor) -> bool:
        """Whether `moving_error` can differentiate it for a signal like x, cheaper than `torch.func`."""
        return False

    def rate_hz(self, effect: Any) -> float | None:
        """The LFO's rate; None without one."""
        return None

    def begin(self, effect: Any, seconds: float, end: float | None = None) -> None:
        """Learning goes on from here in the recording; up to `end`, where the window ends before the part."""

    def for_method(self, effect: Any, method: str) -> Effect:
        """The effect as that method can train it."""
        return effect

    def methods(self, effect: Any) -> Collection[str]:
        """Those that can run it."""
        return ("td", "fs")

    def check_least_squares(self, effect: Any) -> None:
        """Raises ValueError for an effect that least squares cannot go through."""

    def longest_steps(self, effect: Any) -> dict[str, float]:
        """How far least squares and Newton's method move a learnable tensor in one iteration at most, by its name."""
        return {}

    def truths(self, pair: Pair) -> dict[str, float]:
        """What is known of the parameters, by name."""
        return {}

    def watched(self, effect: Any) -> dict[str, float]:
        """The parameters whose way through a training the report shows: their values now, by name."""
        return {}

    def curves(self, effect: Any, pair: Pair) -> list[dict[str, Any]]:
        """The plots of the report, as `curves.json` has them."""
        return []


def kind_of(effect: torch.nn.Module) -> Kind:
    """What the recipes know of an effect; raises ValueError for one that they know nothing of."""
    from diffapf.effects.compressor import Compressor
    from diffapf.effects.equalizer import Equalizer
    from diffapf.effects.phaser import Phaser
    from recipes.compressors import CompressorKind
    from recipes.equalizers import EqualizerKind
    from recipes.phasers import PhaserKind

    for known, kind in ((Phaser, PhaserKind), (Compressor, CompressorKind), (Equalizer, EqualizerKind)):
        if isinstance(effect, known):
            return kind()
    raise ValueError(f"no recipe trains a {type(effect).__name__}")
