"""Derivatives taken from a composition: an operator that runs as one kernel is differentiated as what it is made of.

The kernel gives the value and, with its adjoint, the first gradients. Every other derivative is rarer than those, and may
cost more: it is the derivative of a composition of differentiable operators, so rules are closed and every order exists.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.autograd import forward_ad

Outputs = tuple[Tensor, ...]
Function = Callable[..., Outputs]


def pull_back(function: Function, inputs: Sequence[Tensor], gradients: Sequence[Tensor]) -> Outputs:
    """The gradients of the inputs from those of the outputs."""
    return torch.func.vjp(function, *inputs)[1](tuple(gradients))


def push_forward(function: Function, inputs: Sequence[Tensor], tangents: Sequence[Tensor | None]) -> Outputs:
    """The tangents of the outputs from those of the inputs, None for an input that does not move.

    At the level of forward mode that is running; `torch.func.jvp` would open another, which `forward_ad` has not.
    """
    moving = [  # contiguous, because an expanded tensor cannot carry a tangent
        primal if tangent is None else forward_ad.make_dual(primal.contiguous(), tangent)
        for primal, tangent in zip(inputs, tangents, strict=True)
    ]
    results = (forward_ad.unpack_dual(output) for output in function(*moving))
    return tuple(torch.zeros_like(primal) if tangent is None else tangent for primal, tangent in results)
