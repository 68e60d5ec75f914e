"""What every effect has beside a model's named parameters and presets: streaming by blocks."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from diffapf.model import Model


class Effect(Model):
    """An audio effect, `y = effect(x)` on `(..., time)`.

    Subclasses give `forward`, `initial_state`, `process` and `configuration()`, the constructor's structural arguments,
    from which `load` builds an equal one.
    """

    @property
    def latency(self) -> int:
        """How many samples the output comes later than the input."""
        return 0

    def initial_state(self) -> Any:
        raise NotImplementedError

    def process(self, block: Tensor, state: Any) -> tuple[Tensor, Any]:
        raise NotImplementedError
