"""Where a mono sound stands between two loudspeakers."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def pan_gains(position: Tensor) -> Tensor:
    """Gains of left and right, √2 (cos, sin) of position · 90°: the same power everywhere, and 1 and 1 in the middle.

    Args:
        position: from 0, left, to 1, `(...)`.

    Returns:
        `(2, ...)`.

    >>> pan_gains(torch.tensor([0.0, 0.5]))
    tensor([[1.4142, 1.0000],
            [0.0000, 1.0000]])
    """
    angle = math.pi / 2 * position
    return math.sqrt(2) * torch.stack([angle.cos(), angle.sin()])
