"""Checks of what arguments hold, and of coefficients that no signal comes with."""

from __future__ import annotations

import cmath
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad

from diffapf.filters._rows import check_signal


def anywhere(condition: Tensor) -> bool:
    """Whether it holds for any number, also where `vmap` holds many numbers as one; not asked while compiling."""
    if torch.compiler.is_compiling():
        return False
    condition = unwrapped(condition)
    return not condition.is_meta and bool(condition.any())


def any_zero(values: Tensor) -> bool:
    """Whether any of them is 0: in one pass, where `anywhere(values == 0)` takes two."""
    if torch.compiler.is_compiling():
        return False
    values = unwrapped(values)
    return not values.is_meta and int(values.count_nonzero()) < values.numel()


def all_finite(values: Tensor) -> bool:
    """Whether none of them is infinite or NaN; True while compiling, when nobody knows."""
    if torch.compiler.is_compiling():
        return True
    values = unwrapped(values)
    return values.is_meta or cmath.isfinite(values.detach().sum().item())


def unwrapped(tensor: Tensor) -> Tensor:
    while torch._C._functorch.is_functorch_wrapped_tensor(tensor):
        tensor = torch._C._functorch.get_unwrapped(tensor)
    return tensor


def check_coefficients(name: str, value, like: Tensor | None = None, may_be_none: bool = False) -> None:
    """A tensor whose last dimension counts coefficients."""
    if isinstance(value, Tensor) and value.dim() == 0:
        raise ValueError(f"{name} needs its coefficients as the last dimension, got a scalar")
    check_signal(name, value, like)
    if value.shape[-1] == 0 and not may_be_none:
        raise ValueError(f"{name} needs at least one coefficient, got none: shape {tuple(value.shape)}")


def check_transfer_function(b, a) -> None:
    """Numerators and denominators of batches that fit; nothing is divided by zero."""
    check_coefficients("b", b)
    check_coefficients("a", a, b)
    check_broadcast(b=b[..., 0], a=a[..., 0])
    check_leading(a)


def check_leading(a: Tensor) -> None:
    if any_zero(a[..., :1]):
        raise ValueError("a[..., 0] must not be 0: the filter is divided by it")


def of_equal_length(b: Tensor, a: Tensor) -> tuple[Tensor, Tensor]:
    """A transfer function's b and a, divided by a[0], the shorter one padded with zeros."""
    check_transfer_function(b, a)
    taps = max(b.shape[-1], a.shape[-1])
    numerator, denominator = (pad(value / a[..., :1], (0, taps - value.shape[-1])) for value in (b, a))
    return numerator, denominator


def check_broadcast(**batches: Tensor) -> None:
    """Each name's batch, without the last dimension."""
    try:
        torch.broadcast_shapes(*(batch.shape for batch in batches.values()))
    except RuntimeError:
        shapes = " and ".join(f"{name} {(*batch.shape, 'taps')}" for name, batch in batches.items())
        raise ValueError(f"batches must broadcast, got {shapes}") from None


def broadcasts(value: Tensor, shape: Sequence[int]) -> bool:
    try:
        value.expand(torch.Size(shape))
    except RuntimeError:
        return False
    return True
