"""Checks of what arguments hold, not of their shapes."""

from __future__ import annotations

import torch
from torch import Tensor


def anywhere(condition: Tensor) -> bool:
    """Whether it holds for any number, also where `vmap` holds many numbers as one; not asked while compiling."""
    if torch.compiler.is_compiling():
        return False
    while torch._C._functorch.is_functorch_wrapped_tensor(condition):
        condition = torch._C._functorch.get_unwrapped(condition)
    return not condition.is_meta and bool(condition.any())
