"""Checks of what arguments hold, not of their shapes."""

from __future__ import annotations

import torch
from torch import Tensor


def anywhere(condition: Tensor) -> bool:
    """Whether it holds for any number, also where `vmap` holds many numbers as one; not asked while compiling."""
    if torch.compiler.is_compiling():
        return False
    condition = _unwrapped(condition)
    return not condition.is_meta and bool(condition.any())


def any_zero(values: Tensor) -> bool:
    """Whether any of them is 0: in one pass, where `anywhere(values == 0)` takes two."""
    if torch.compiler.is_compiling():
        return False
    values = _unwrapped(values)
    return not values.is_meta and int(values.count_nonzero()) < values.numel()


def _unwrapped(tensor: Tensor) -> Tensor:
    while torch._C._functorch.is_functorch_wrapped_tensor(tensor):
        tensor = torch._C._functorch.get_unwrapped(tensor)
    return tensor
