"""Derivatives taken from a composition: an operator that runs as one kernel is differentiated as what it is made of.

The kernel gives the value and, with its adjoint, the first gradients. Every other derivative is rarer than those, and may
cost more: it is the derivative of a composition of differentiable operators, so rules are closed and every order exists.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch._functorch import eager_transforms
from torch.autograd import forward_ad

Outputs = tuple[Tensor, ...]
Function = Callable[..., Outputs]


def pull_back(function: Function, inputs: Sequence[Tensor], gradients: Sequence[Tensor]) -> Outputs:
    """The gradients of the inputs from those of the outputs."""
    return torch.func.vjp(function, *inputs)[1](tuple(gradients))


def push_forward(function: Function, inputs: Sequence[Tensor], tangents: Sequence[Tensor | None]) -> Outputs:
    """The tangents of the outputs from those of the inputs, None for an input that does not move.

    `RowFunction` leaves a level of `torch.func` before it asks for tangents, so a new one is opened here. `forward_ad` has
    but one level, which is still there.
    """
    # contiguous, because an expanded tensor cannot carry a tangent
    pairs = [
        (primal if tangent is None else primal.contiguous(), tangent)
        for primal, tangent in zip(inputs, tangents, strict=True)
    ]
    if eager_transforms.JVP_NESTING:
        return _in_level_of_its_own(function, pairs)
    moving = (primal if tangent is None else forward_ad.make_dual(primal, tangent) for primal, tangent in pairs)
    results = (forward_ad.unpack_dual(output) for output in function(*moving))
    return tuple(torch.zeros_like(primal) if tangent is None else tangent for primal, tangent in results)


def _in_level_of_its_own(function: Function, pairs: Sequence[tuple[Tensor, Tensor | None]]) -> Outputs:
    moves = {place: tangent for place, (_, tangent) in enumerate(pairs) if tangent is not None}

    def of_moving(*moving: Tensor) -> Outputs:
        given = dict(zip(moves, moving, strict=True))
        return function(*(given.get(place, value) for place, (value, _) in enumerate(pairs)))

    return torch.func.jvp(of_moving, tuple(pairs[place][0] for place in moves), tuple(moves.values()))[1]
