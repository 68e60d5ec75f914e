"""What a synth is played by: named controls, one value a note or one a control frame, and the numbers a network gives."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from diffapf.parameters import Range


@dataclass(frozen=True)
class Control:
    """One control.

    Args:
        name: also the key of its values.
        range: what it reaches; None: any number.
        channels: numbers a value; above 1 only without a range.
        moves: whether it has a value a control frame, `(..., frames)`, or one a note, `(...)`.
        scale: without a range: how far an optimiser's step of 1 goes.
        start: the value of the number 0, from which networks and fits set out; of a range by default its middle.
        lowest, below: values outside, which a range may leave out too, make no sense: the synth refuses them.
    """

    name: str
    range: Range | None = None
    channels: int = 1
    moves: bool = False
    scale: float = 1.0
    start: float | None = None
    lowest: float = -math.inf
    below: float = math.inf

    def value(self, raw: Tensor) -> Tensor:
        """From any number: by a sigmoid into the range."""
        if self.range is None:
            return (self.start or 0.0) + self.scale * raw
        return self.range.at(torch.sigmoid(raw + self._start_logit))

    def raw(self, value: Tensor) -> Tensor:
        """The inverse; values are kept a hair within the range."""
        if self.range is None:
            return (value - (self.start or 0.0)) / self.scale
        return torch.logit(self.range.position(value), eps=1e-6) - self._start_logit

    @property
    def _start_logit(self) -> float:
        if self.range is None or self.start is None:
            return 0.0
        position = self.range.position(self.start)
        return math.log(position / (1 - position))


def split(raw: Tensor, controls: Iterable[Control]) -> dict[str, Tensor]:
    """The values of controls from a network's numbers, `(..., all their channels)` in their order."""
    controls = tuple(controls)
    parts = raw.split([control.channels for control in controls], -1)
    return {
        control.name: control.value(part if control.channels > 1 else part[..., 0])
        for control, part in zip(controls, parts, strict=True)
    }


def values_of(raw: Mapping[str, Tensor], controls: Iterable[Control]) -> dict[str, Tensor]:
    """The values of controls from raw numbers by name."""
    return {control.name: control.value(raw[control.name]) for control in controls}
