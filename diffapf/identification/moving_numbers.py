"""The numbers that a model hands its filters, and how they move with its parameters: forward mode by reverse mode, twice.

The gradient g(u) = (∂f/∂x)ᵀ u is linear in u, and its gradient along ẋ is (∂f/∂x) ẋ, the tangent.
PyTorch's own forward mode would import its compiler first, for seconds, and take milliseconds for each block of audio: this
is done once for all blocks, on what moves at the control rate or not at all. The signals follow by `filters/_moving.py`.

Source of the trick: Townsend, "A new trick for calculating Jacobian vector products", 2017.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from diffapf.filters._moving import Moving, moving, still
from diffapf.identification.layout import Parameters

Numbers = dict[str, Moving]


def moving_numbers(
    function: Callable[[Parameters], dict[str, Tensor]], parameters: Parameters, directions: Parameters
) -> Numbers:
    """What a function makes of the parameters, each `(rows, …)`, with its tangents; directions are `(count, *shape)`."""
    with torch.enable_grad():
        free = {name: parameters[name].detach().requires_grad_() for name in directions}
        values = function({**parameters, **free})
        moved = {name: value for name, value in values.items() if value.requires_grad}
        u = [torch.zeros_like(value, requires_grad=True) for value in moved.values()]
        # of sums, not with `grad_outputs`, for which PyTorch imports its symbolic shapes, for seconds
        sums = _inner(moved.values(), u)
        gradients = torch.autograd.grad(sums, [*free.values()], create_graph=True, allow_unused=True)
        pairs = [(g, along) for g, along in zip(gradients, directions.values(), strict=True) if g is not None]
        tangents = [_tangents(pairs, u, place) for place in range(len(next(iter(directions.values()))))]
    known = {
        name: moving(value.detach(), torch.stack(found))
        for (name, value), found in zip(moved.items(), zip(*tangents, strict=True), strict=True)
    }
    return {name: known.get(name, still(value.detach())) for name, value in values.items()}


def _tangents(pairs: list[tuple[Tensor, Tensor]], u: list[Tensor], place: int) -> list[Tensor]:
    """Along one direction, of which most leave most parameters where they are."""
    moving = [(gradient, along[place]) for gradient, along in pairs if along[place].any()]
    if not moving:
        return [torch.zeros_like(each) for each in u]
    sums = _inner(*zip(*moving, strict=True))
    return list(torch.autograd.grad(sums, u, retain_graph=True, materialize_grads=True))


def _inner(left: Iterable[Tensor], right: Iterable[Tensor]) -> Tensor:
    return torch.stack([(one * other).sum() for one, other in zip(left, right, strict=True)]).sum()
