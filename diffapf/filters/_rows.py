"""What every operator shares: signals as rows, arguments checked, one batching rule for `vmap`."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor
from torch._functorch.utils import unwrap_dead_wrappers
from torch.autograd import forward_ad

DTYPES = (torch.float32, torch.float64)


class RowFunction(torch.autograd.Function):
    """A differentiable function whose every tensor argument and result has the rows (batch) as its first dimension.

    Rows are independent, so `vmap` folds the mapped dimension into them: one kernel call, never a loop.
    Subclasses write their forward-mode rule as `tangent(ctx, saved_tensors, *tangents)`.
    """

    _outside_transforms: type[torch.autograd.Function]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        setattr(cls, "vmap", staticmethod(partial(_fold_into_rows, cls)))  # noqa: B010  (PyTorch looks them up by name)
        setattr(cls, "jvp", staticmethod(partial(_with_tangents_of_outer_levels, cls)))  # noqa: B010
        cls._outside_transforms = _with_context_in_forward(cls)

    @staticmethod
    def tangent(ctx, saved, *tangents):
        raise NotImplementedError

    @classmethod
    def apply(cls, *arguments):
        """As PyTorch's, which inspects signatures at each call: that takes longer than the filter of a short signal."""
        if torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active():
            return super().apply(*arguments)
        arguments = unwrap_dead_wrappers(arguments)
        if forward_ad._current_level < 0 and not (torch.is_grad_enabled() and _any_requires_grad(arguments)):
            return cls.forward(*arguments)
        return cls._outside_transforms.apply(*arguments)


def _with_context_in_forward(function: type[RowFunction]) -> type[torch.autograd.Function]:
    """The same function in PyTorch's older form, which `torch.func` does not take, and which needs no inspection."""

    def forward(ctx, *arguments):
        output = function.forward(*arguments)
        function.setup_context(ctx, arguments, output)
        return output

    rules = {"forward": forward, "backward": function.backward, "jvp": getattr(function, "jvp")}  # noqa: B009
    members = {name: staticmethod(rule) for name, rule in rules.items()}
    return type(function.__name__, (torch.autograd.Function,), members)


def _any_requires_grad(arguments: tuple) -> bool:
    return any(isinstance(argument, Tensor) and argument.requires_grad for argument in arguments)


def _with_tangents_of_outer_levels(function: type[RowFunction], ctx, *tangents):
    """PyTorch switches forward mode off inside `jvp`: for all levels, so that a jvp of a jvp would silently be wrong.

    Here it is on, and this level's own tangents are taken off the saved tensors instead.
    """
    with forward_ad._set_fwd_grad_enabled(True):
        saved = [forward_ad.unpack_dual(tensor).primal for tensor in ctx.saved_tensors]
        return function.tangent(ctx, saved, *tangents)


def _fold_into_rows(function: type[RowFunction], info, in_dims, *arguments):
    def fold(argument, dim):
        if not isinstance(argument, Tensor):
            return argument
        mapped = argument.expand(info.batch_size, *argument.shape) if dim is None else argument.movedim(dim, 0)
        return mapped.flatten(0, 1)

    def unfold(result):
        return result.reshape(info.batch_size, result.shape[0] // info.batch_size, *result.shape[1:])

    results = function.apply(*(fold(*pair) for pair in zip(arguments, in_dims, strict=True)))
    if isinstance(results, tuple):
        return tuple(unfold(result) for result in results), (0,) * len(results)
    return unfold(results), 0


def check_signal(name: str, value, like: Tensor | None = None) -> None:
    """A floating-point tensor with a time axis, of the dtype and on the device of `like`."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} must be a tensor, got {type(value).__name__}")
    if value.dtype not in DTYPES:
        raise TypeError(f"{name} must be float32 or float64, got {value.dtype}")
    if like is not None and value.dtype != like.dtype:
        raise TypeError(f"{name} is {value.dtype}, but the signal is {like.dtype}: make them equal")
    if like is not None and value.device != like.device:
        raise ValueError(f"{name} is on {value.device}, but the signal is on {like.device}: move one of them")
    if like is None and value.dim() == 0:
        raise ValueError(f"{name} needs a time axis, shape (..., time); got a scalar")


def to_rows(x: Tensor) -> Tensor:
    """`(..., time)` as `(rows, time)`."""
    if x.dim() == 2:
        return x
    return x.reshape(-1, x.shape[-1]) if x.shape[-1] else x.reshape(x.shape[:-1].numel(), 0)


def state_rows(name: str, state: Tensor | None, x: Tensor, size: int) -> Tensor:
    """An initial state `(..., size)` as `(rows, size)`; zeros for None; one state may serve every row."""
    rows = x.shape[:-1].numel()
    if state is None:
        return x.new_zeros(rows, size)
    check_signal(name, state, x)
    if state.shape == (rows, size) and x.dim() == 2:
        return state
    expected = (*x.shape[:-1], size)
    try:
        return state.expand(expected).reshape(rows, size)
    except RuntimeError:
        raise ValueError(f"{name} must have shape {expected} (or broadcast to it), got {tuple(state.shape)}") from None
