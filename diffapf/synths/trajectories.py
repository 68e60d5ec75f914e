"""Controls that move, as a few knots: linear between them in the units of the control's knob, held after the last.

A frequency's knob is in octaves about 1 kHz, a level's in dB; any other number is its own.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from diffapf.synths.controls import Control

OCTAVES_ABOUT_HZ = 1000.0


def knob(control: Control, value: Tensor) -> Tensor:
    """A control's value in the units of its knob.

    >>> from diffapf.synths.acid_filters import cutoff
    >>> knob(cutoff(20_000.0), torch.tensor([500.0, 4000.0])).tolist()
    [-1.0, 2.0]
    """
    return torch.log2(value / OCTAVES_ABOUT_HZ) if in_octaves(control) else value


def value_at(control: Control, position: Tensor) -> Tensor:
    """The inverse of `knob`, within the control's range."""
    value = OCTAVES_ABOUT_HZ * torch.exp2(position) if in_octaves(control) else position
    return value if control.range is None else value.clamp(control.range.minimum, control.range.maximum)


def in_octaves(control: Control) -> bool:
    return control.range is not None and control.range.taper == "log"


def unit(control: Control) -> str:
    """Of the control's knob."""
    if in_octaves(control):
        return "octaves"
    if control.range is not None:
        return control.range.unit
    return "dB" if control.name.endswith("_db") else ""


def sampled(knots: Tensor, spacing: float, step: float, count: int, start: Tensor | float = 0.0) -> Tensor:
    """Knots `(..., knots)`, `spacing` apart, read at start, start + step, start + 2 step, …: `(..., count)`.

    spacing, step and start, which may be `(...)`, are in one unit; before the first knot that is held, too.

    >>> sampled(torch.tensor([0.0, 1.0, 3.0]), 1.0, 0.5, 6).tolist()
    [0.0, 0.5, 1.0, 2.0, 3.0, 3.0]
    """
    weights = _weights(knots.shape[-1], spacing, step, count, torch.as_tensor(start, dtype=torch.float64)).to(knots)
    return (knots[..., None, :] @ weights)[..., 0, :] if weights.dim() > 2 else knots @ weights


def frames_needed(knots: int, spacing: float, step: float) -> int:
    """How many samples of `sampled` reach the last knot, after which it is held.

    >>> frames_needed(3, 1.0, 0.4)
    6
    """
    return math.ceil((knots - 1) * spacing / step - 1e-9) + 1


def _weights(knots: int, spacing: float, step: float, count: int, start: Tensor) -> Tensor:
    """`(..., knots, count)`: how much of each knot is in each sample."""
    times = start[..., None] + step * torch.arange(count, dtype=torch.float64)
    position = (times / spacing).clamp(0, knots - 1)[..., None, :]
    distance = (position - torch.arange(knots, dtype=torch.float64)[:, None]).abs()
    return (1 - distance).clamp(min=0)
