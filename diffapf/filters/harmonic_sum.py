"""Harmonics of levels that move at the control rate, in one pass without a temporary of harmonics × time.

    y[n] = Σₖ wₖ[n] sin kψ[n],  k = 1 … min(K, top[n]),  wₖ linear between frames

A harmonic is two operations from the two before it: sin (k+1)ψ = 2 cos ψ sin kψ − sin (k−1)ψ. With cosines for sines and the
weights' gradient of a signal, the derivatives are of the same kind: the rules below are closed, to any order.
"""

from __future__ import annotations

import torch
from torch import Tensor

from diffapf.filters._rows import REAL, RowFunction, check_signal, in_float32, to_rows
from diffapf.kernels import run


def harmonic_sum(psi: Tensor, weights: Tensor, hop: int, top: Tensor | None = None) -> Tensor:
    """y; see the module for the equation.

    Args:
        psi: the phase in radians, `(..., time)`; float64 keeps the digits of high harmonics late in a signal.
        weights: wₖ at each frame, `(..., frames, K)`; the last frame is held.
        hop: samples a frame.
        top: how many harmonics sound at each sample, `(..., time)`; by default all.

    Returns:
        y, `(..., time)`, of the weights' dtype. Differentiable in psi and the weights: backward and forward mode, to any
        order. Computed in float64.

    Raises:
        ValueError, TypeError: shapes, dtypes or devices that don't match.

    >>> harmonic_sum(torch.tensor([0.0, torch.pi / 2]), torch.tensor([[1.0, 0.0, 0.5]]), hop=1)
    tensor([0.0000, 0.5000])
    """
    (weights,) = in_float32(weights)
    check_signal("psi", psi, dtypes=REAL)
    check_signal("weights", weights, dtypes=REAL)
    batch = psi.shape[:-1]
    if weights.dim() != psi.dim() + 1 or weights.shape[:-2] != batch or weights.shape[-2] < 1:
        wanted = f"{(*batch, 'frames', 'K')} for psi of shape {tuple(psi.shape)}"
        raise ValueError(f"weights must have shape {wanted}, got {tuple(weights.shape)}")
    if weights.device != psi.device:
        raise ValueError(f"weights is on {weights.device}, but psi is on {psi.device}: move one of them")
    if not isinstance(hop, int) or isinstance(hop, bool) or hop < 1:
        raise ValueError(f"hop must be a whole number of samples, at least 1, got {hop!r}")
    if top is None:
        top = torch.full_like(psi, weights.shape[-1])
    elif not isinstance(top, Tensor) or top.shape != psi.shape:
        raise ValueError(f"top must have the shape of psi, {tuple(psi.shape)}, got {getattr(top, 'shape', top)}")
    rows = weights.reshape(batch.numel(), *weights.shape[-2:])
    y = HarmonicSum.apply(rows, to_rows(psi.double()), to_rows(top.detach().double()), (float(hop), 0.0))
    return y.reshape(psi.shape)


class HarmonicSum(RowFunction):
    """(weights, ψ, top) → y; `turned` (hop, quarters): of sin(kψ + quarters π/2)."""

    OPTIONS = ("turned",)

    @staticmethod
    def forward(weights, psi, top, turned):
        y = weights.new_empty(psi.shape)
        run("harmonic_sum", weights, psi, top, turned, out=(y,))
        return y

    @staticmethod
    def backward(ctx, g):
        weights, psi, top = ctx.saved_tensors
        dweights = HarmonicSumAdjoint.apply(g, psi, top, weights.shape[1:], ctx.turned)
        dpsi = g * _slope(weights, psi, top, ctx.turned) if ctx.needs_input_grad[1] else None
        return dweights, dpsi, None, None

    @staticmethod
    def tangent(ctx, saved, dweights, dpsi, *_):
        weights, psi, top = saved
        moved = torch.zeros_like(psi, dtype=weights.dtype)
        if dweights is not None:
            moved = moved + HarmonicSum.apply(dweights, psi, top, ctx.turned)
        return moved if dpsi is None else moved + (dpsi * _slope(weights, psi, top, ctx.turned)).to(weights.dtype)


class HarmonicSumAdjoint(RowFunction):
    """(g, ψ, top) → Σₙ g[n] sin(kψ[n] + quarters π/2), at the two frames that each sample lies between."""

    OPTIONS = ("size", "turned")

    @staticmethod
    def forward(g, psi, top, size, turned):
        dweights = g.new_empty(g.shape[0], *size)
        run("harmonic_sum_adjoint", g, psi, top, turned, out=(dweights,))
        return dweights

    @staticmethod
    def backward(ctx, along):
        g, psi, top = ctx.saved_tensors
        dpsi = g * _slope(along, psi, top, ctx.turned) if ctx.needs_input_grad[1] else None
        return HarmonicSum.apply(along, psi, top, ctx.turned), dpsi, None, None, None

    @staticmethod
    def tangent(ctx, saved, dg, dpsi, *_):
        g, psi, top = saved
        moved = g.new_zeros(g.shape[0], *ctx.size)
        if dg is not None:
            moved = moved + HarmonicSumAdjoint.apply(dg, psi, top, ctx.size, ctx.turned)
        if dpsi is not None:
            faster = HarmonicSumAdjoint.apply((g * dpsi).to(g.dtype), psi, top, ctx.size, _quarter_on(ctx.turned))
            moved = moved + _orders(faster) * faster
        return moved


def _slope(weights: Tensor, psi: Tensor, top: Tensor, turned: tuple[float, float]) -> Tensor:
    """∂y/∂ψ."""
    return HarmonicSum.apply(_orders(weights) * weights, psi, top, _quarter_on(turned))


def _orders(weights: Tensor) -> Tensor:
    """k = 1 … K."""
    return torch.arange(1, weights.shape[-1] + 1, dtype=weights.dtype, device=weights.device)


def _quarter_on(turned: tuple[float, float]) -> tuple[float, float]:
    return turned[0], (turned[1] + 1) % 4
