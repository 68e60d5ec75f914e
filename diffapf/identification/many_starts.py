"""Levenberg–Marquardt from many starts at once: small problems with many local minima.

    (JᵀJ + λ diag JᵀJ) d = −Jᵀr

of each start its own, solved together. `least_squares.py` is for one start and long signals.

Source: Nocedal and Wright, "Numerical Optimization", 2nd ed., chapter 10.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Linearise = Callable[[Tensor], tuple[Tensor, Tensor]]
DAMPING, LESS, MORE = 1e-2, 1 / 3, 4.0  # λ at the start; after a step that helped, after one that did not
HARDLY = 1e-9  # of the largest curvature: what a coordinate without any gets, so that it stays


def descend_together(
    linearise: Linearise, points: Tensor, iterations: int, longest: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Moves each point to where its sum of squares is less.

    Args:
        linearise: points `(starts, size)` → residuals `(starts, count)` and their Jacobians `(starts, count, size)`.
        points: `(starts, size)`, float64.
        longest: how far a coordinate goes in an iteration at most.

    Returns:
        The points reached, and their costs `(starts,)`, the lowest first.

    >>> def circle(points):
    ...     return points.square().sum(1, keepdim=True) - 4.0, 2 * points[:, None]
    >>> reached, costs = descend_together(circle, torch.tensor([[1.0, 0.0], [0.0, -9.0]], dtype=torch.float64), 30)
    >>> reached.norm(dim=1)
    tensor([2., 2.], dtype=torch.float64)
    """
    residuals, jacobians = linearise(points)
    costs = residuals.square().sum(1)
    damping = torch.full_like(costs, DAMPING)
    for _ in range(iterations):
        trial = points + _steps(residuals, jacobians, damping).clamp(-longest, longest)
        trial_residuals, trial_jacobians = linearise(trial)
        trial_costs = trial_residuals.square().sum(1)
        better = trial_costs < costs  # false for NaN
        points = torch.where(better[:, None], trial, points)
        residuals = torch.where(better[:, None], trial_residuals, residuals)
        jacobians = torch.where(better[:, None, None], trial_jacobians, jacobians)
        costs = torch.where(better, trial_costs, costs)
        damping = damping * torch.where(better, LESS, MORE)
    order = costs.argsort()
    return points[order], costs[order]


def _steps(residuals: Tensor, jacobians: Tensor, damping: Tensor) -> Tensor:
    normal = jacobians.mT @ jacobians
    curvature = normal.diagonal(dim1=1, dim2=2)
    floor = HARDLY * curvature.amax(1, keepdim=True) + torch.finfo(normal.dtype).tiny
    damped = normal + torch.diag_embed(damping[:, None] * curvature + floor)
    factor, _ = torch.linalg.cholesky_ex(damped)
    return -torch.cholesky_solve((jacobians.mT @ residuals[..., None]), factor)[..., 0].nan_to_num()
