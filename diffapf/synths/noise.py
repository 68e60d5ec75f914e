"""White noise that is the same however a note is cut into blocks."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

LENGTH = 1 << 16


@cache
def _table() -> Tensor:
    return torch.randn(LENGTH, generator=torch.Generator().manual_seed(303))


def white_noise(offset: Tensor | int, start: int, length: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Samples `start` … of unit variance, read `offset` into a table that repeats after 65536: `(..., length)`.

    >>> bool((white_noise(7, 0, 10)[4:] == white_noise(7, 4, 6)).all())
    True
    """
    offset = torch.as_tensor(offset)
    n = torch.arange(start, start + length, device=offset.device)
    return _table().to(offset.device, dtype)[(offset[..., None] + n) % LENGTH]
