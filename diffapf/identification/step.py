"""One step of Levenberg–Marquardt inside a box."""

from __future__ import annotations

import torch
from torch import Tensor


def bounded_step(
    information: Tensor, gradient: Tensor, damping: float, lowest: Tensor, highest: Tensor
) -> Tensor | None:
    """The step d that solves (A + λ diag A) d = −g, with lowest ≤ d ≤ highest; None if rounding left A indefinite.

    A parameter at a bound that the gradient pushes outwards is held there; one whose step would leave the box goes to
    the bound and is held. The others' equations are solved again each time, knowing of it: no bound spoils their step.

    Args:
        information, gradient: A = JᵀJ, `(size, size)`, and g = Jᵀr, `(size,)`, float64.
        damping: λ.
        lowest, highest: the room there is, lowest ≤ 0 ≤ highest, or ∓∞.

    Source: Marquardt 1963 (scaling by the diagonal); Nocedal and Wright, chapter 10 and section 16.7 (active set).

    >>> zero, one = torch.zeros(2).double(), torch.ones(2).double()
    >>> A = torch.tensor([[2.0, 1.0], [1.0, 2.0]], dtype=torch.float64)
    >>> bounded_step(A, -3 * one, 0.0, -one, torch.tensor([0.5, 9.0]))
    tensor([0.5000, 1.2500], dtype=torch.float64)
    """
    scaled, scale = to_unit_diagonal(information)
    step = torch.zeros_like(gradient)
    held = pushed_outwards(gradient, lowest, highest)
    while not held.all():
        free = ~held
        matrix = scaled[free][:, free] + damping * torch.eye(int(free.sum()), dtype=scaled.dtype)
        drive = gradient / scale + scaled[:, held] @ (step * scale)[held]
        factor, failed = torch.linalg.cholesky_ex(matrix)
        if failed:
            return None
        step[free] = torch.cholesky_solve(-drive[free, None], factor)[:, 0] / scale[free]
        outside = free & ~((step >= lowest) & (step <= highest))
        if not outside.any():
            break
        step = torch.minimum(torch.maximum(step, lowest), highest)
        held = held | outside
    return step if bool(step.isfinite().all()) else None


def to_unit_diagonal(information: Tensor) -> tuple[Tensor, Tensor]:
    """S⁻¹ A S⁻¹ and the diagonal of S, the root of A's; 1 where that is 0."""
    scale = information.diagonal().clamp_min(0).sqrt()
    scale = torch.where(scale > 0, scale, 1.0)
    return information / (scale[:, None] * scale), scale


def pushed_outwards(gradient: Tensor, lowest: Tensor, highest: Tensor) -> Tensor:
    """Which parameters are at a bound, with a cost that falls beyond it."""
    return ((lowest >= 0) & (gradient > 0)) | ((highest <= 0) & (gradient < 0))


def promised_gain(information: Tensor, gradient: Tensor, step: Tensor) -> float:
    """By how much the sum of squares falls if residuals are linear: −2 gᵀd − dᵀA d."""
    return float(-step @ (2 * gradient + information @ step))
