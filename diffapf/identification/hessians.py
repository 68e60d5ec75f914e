"""The Hessian of a loss of a few parameters, by any order of reverse and forward mode.

A name says outer, then inner: "fwd-rev" is forward mode over the gradient. What is cheapest depends on the operators; for
ours, and for six to eight parameters, benchmarks/hessians.md has time and memory of each.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import jacfwd, jacrev

Loss = Callable[[Tensor], Tensor]


def hessian(loss: Loss, x: Tensor, strategy: str = "autograd rev-rev") -> tuple[Tensor, Tensor, Tensor]:
    """(L, ∇L, ∇²L) at `x`, `(size,)`; strategy: one of `STRATEGIES`.

    >>> hessian(lambda x: x[0] ** 2 * x[1], torch.tensor([1.0, 2.0]))[2]
    tensor([[4., 2.],
            [2., 0.]])
    """
    if strategy not in STRATEGIES:
        raise ValueError(f"strategy must be one of {', '.join(STRATEGIES)}, got {strategy!r}")
    value, gradient, matrix = STRATEGIES[strategy](loss, x.detach())
    return value.detach(), gradient.detach(), (matrix.detach() + matrix.detach().T) / 2


def _autograd_rev_rev(loss: Loss, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The gradient's graph, and back through it a row at a time."""
    with torch.enable_grad():
        x = x.clone().requires_grad_()
        value = loss(x)
        (gradient,) = torch.autograd.grad(value, x, create_graph=True)
        if not gradient.requires_grad:  # a loss that is linear
            return value, gradient, torch.zeros(len(x), len(x), dtype=x.dtype, device=x.device)
        last = len(x) - 1
        rows = [torch.autograd.grad(entry, x, retain_graph=row < last)[0] for row, entry in enumerate(gradient)]
    return value, gradient, torch.stack(rows)


def _func(outer: Callable, inner: Callable) -> Callable[[Loss, Tensor], tuple[Tensor, Tensor, Tensor]]:
    def strategy(loss: Loss, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        def gradient(x: Tensor):
            def with_value(x: Tensor):
                value = loss(x)
                return value, value

            slope, value = inner(with_value, has_aux=True)(x)
            return slope, (value, slope)

        matrix, (value, slope) = outer(gradient, has_aux=True)(x)
        return value, slope, matrix

    return strategy


STRATEGIES: dict[str, Callable[[Loss, Tensor], tuple[Tensor, Tensor, Tensor]]] = {
    "autograd rev-rev": _autograd_rev_rev,
    "func rev-rev": _func(jacrev, jacrev),
    "func fwd-rev": _func(jacfwd, jacrev),
    "func rev-fwd": _func(jacrev, jacfwd),
    "func fwd-fwd": _func(jacfwd, jacfwd),
}
