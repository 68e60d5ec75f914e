"""A signal times a gain that moves, beside the signal itself: y = x (d + w γ); and its derivatives.

The last stage of everything that controls dynamics: a gain linear or in dB, make-up in w, a parallel mix in d and w, in one
pass where PyTorch's own operations take four.
"""

from __future__ import annotations

import torch
from torch import Tensor

from diffapf.filters._composition import pull_back, push_forward
from diffapf.filters._rows import (
    REAL,
    RowFunction,
    check_flag,
    check_signal,
    in_float32,
    number_rows,
    to_rows,
    unfilled,
)
from diffapf.filters.gain_curve import DECIBELS_OF_E
from diffapf.kernels import run
from diffapf.kernels.reference import gained, gained_slopes


def apply_gain(
    x: Tensor, gain: Tensor, dry: Tensor | float = 0.0, wet: Tensor | float = 1.0, decibels: bool = False
) -> Tensor:
    """y[n] = x[n] (d + w γ[n]), γ = gain[n], or 10^(gain[n]/20) with `decibels`.

    Args:
        x: the signal, `(..., time)`.
        gain: of x's shape or broadcast to it.
        dry, wet: d and w, each a number or one for each signal `(...)`.
        decibels: whether the gain is in dB.

    Returns:
        y of the shape of x. Differentiable in all tensors: backward and forward mode, to any order, and under `torch.func`
        transforms.

    Raises:
        ValueError, TypeError: shapes, dtypes or devices that don't match.

    >>> apply_gain(torch.ones(3), torch.tensor([0.0, -20.0, 20.0]), wet=0.5, decibels=True)
    tensor([0.5000, 0.0500, 5.0000])
    """
    x, gain, dry, wet = in_float32(x, gain, dry, wet)
    check_signal("x", x, dtypes=REAL)
    check_signal("gain", gain, x)
    check_flag("decibels", decibels)
    try:
        rows = to_rows(gain.expand(x.shape))
    except RuntimeError:
        raise ValueError(f"gain must have x's shape {tuple(x.shape)}, got {tuple(gain.shape)}") from None
    numbers = torch.stack([number_rows("dry", dry, x), number_rows("wet", wet, x)], 1)
    kind = (1 / DECIBELS_OF_E if decibels else 0.0,)
    return ApplyGain.apply(to_rows(x), rows, numbers, kind).reshape(x.shape)


class ApplyGain(RowFunction):
    """(x, gain, numbers) → y; the numbers of a row are (d, w)."""

    OPTIONS = ("kind",)

    @staticmethod
    def forward(x, gain, numbers, kind):
        y = unfilled(x)
        run("apply_gain", x, gain, numbers, kind, out=(y,))
        return y

    @staticmethod
    def backward(ctx, gradient):
        with_x = ctx.needs_input_grad[0]
        dx, dgain, dnumbers = ApplyGainAdjoint.apply(gradient, *ctx.saved_tensors, ctx.kind, with_x)
        return dx if with_x else None, dgain, dnumbers, None

    @staticmethod
    def tangent(ctx, saved, dx, dgain, dnumbers, _):
        x, _, numbers = saved
        dx, dgain = (x[:, :0] if each is None else each for each in (dx, dgain))
        dnumbers = torch.zeros_like(numbers) if dnumbers is None else dnumbers
        return ApplyGainTangent.apply(dnumbers, dx, dgain, *saved, ctx.kind)


class ApplyGainAdjoint(RowFunction):
    """(∂L/∂y, x, gain, numbers) → (dx, dgain, dnumbers); dx has no samples where it is not wanted."""

    OPTIONS = ("kind", "with_x")

    @staticmethod
    def forward(gradient, x, gain, numbers, kind, with_x):
        results = x.new_empty(len(x), x.shape[1] if with_x else 0), unfilled(x), x.new_empty(numbers.shape)
        run("apply_gain_adjoint", gradient, x, gain, numbers, kind, out=results)
        return results

    @staticmethod
    def backward(ctx, *along):
        return *pull_back(_adjoint_composition(ctx.kind, ctx.with_x), ctx.saved_tensors, along), None, None

    @staticmethod
    def tangent(ctx, saved, *tangents):
        return push_forward(_adjoint_composition(ctx.kind, ctx.with_x), saved, tangents[:4])


class ApplyGainTangent(RowFunction):
    """(the tangents of the numbers, x and gain, x, gain, numbers) → y's; of what stands still, no samples."""

    COEFFICIENTS = (3, 4, 5)
    OPTIONS = ("kind",)

    @staticmethod
    def forward(dnumbers, dx, dgain, x, gain, numbers, kind):
        dy = x.new_empty(dnumbers.shape[0], x.shape[1])
        run("apply_gain_tangent", dx, dgain, dnumbers, x, gain, numbers, kind, out=(dy,))
        return dy

    @staticmethod
    def backward(ctx, gradient):
        return *pull_back(_tangent_composition(ctx.kind), ctx.saved_tensors, (gradient,)), None

    @staticmethod
    def tangent(ctx, saved, *tangents):
        return push_forward(_tangent_composition(ctx.kind), saved, tangents[:6])[0]


def _adjoint_composition(kind, with_x):
    def adjoint(gradient, x, gain, numbers):
        by_x, by_gain, by_wet = gained_slopes(x, gain, numbers, kind)
        dnumbers = torch.stack([(gradient * x).sum(1), (gradient * by_wet).sum(1)], 1)
        return (gradient * by_x if with_x else gradient[:, :0]), gradient * by_gain, dnumbers

    return adjoint


def _tangent_composition(kind):
    def tangent(dnumbers, dx, dgain, x, gain, numbers):
        directions = dnumbers.shape[0] // max(x.shape[0], 1)
        x, gain, numbers = (each.repeat(directions, 1) for each in (x, gain, numbers))
        by_x, by_gain, _ = gained_slopes(x, gain, numbers, kind)
        moved = gained(x, gain, dnumbers, kind)
        moved = moved + by_gain * dgain if dgain.shape[1] else moved
        return (moved + by_x * dx if dx.shape[1] else moved,)

    return tangent
