"""The FIR filter, time-varying or fixed, and its derivatives.

    y[n] = Σₖ bₖ[n] x[n−k],  k = 0 … N−1

y is linear in b and in x, so with a third signal g the number τ(g, b, x) = Σₙ Σₖ g[n] bₖ[n] x[n−k] holds it all: the filter
is the derivative of τ by g, its transpose the derivative by x, the outer product the derivative by b. Differentiating
one of the three gives the other two: the rules below are closed, to any order, backward and forward.
"""

from __future__ import annotations

import torch
from torch import Tensor

from diffapf.filters._rows import (
    RowFunction,
    check_flag,
    check_signal,
    conjugates,
    in_float32,
    shared,
    state_rows,
    to_rows,
)
from diffapf.filters.control_rate import ControlRate, coefficient_rows
from diffapf.kernels import run


def fir(
    x: Tensor,
    b: Tensor,
    zi: Tensor | None = None,
    return_zf: bool = False,
    hop: float | ControlRate | None = None,
) -> Tensor | tuple[Tensor, Tensor]:
    """Filters `x` by the moving average y[n] = Σₖ bₖ[n] x[n−k], k = 0 … M.

    Args:
        x: the signal, `(..., time)`, float32, float64, complex64 or complex128.
        b: the taps: `(M+1,)` or `(..., M+1)` fixed; `(..., time, M+1)` one row a sample; `(..., frames, M+1)` with `hop`.
        zi: the M inputs before the first, newest first (zi[..., 0] = x[−1]), `(..., M)`; zeros by default.
        return_zf: also return the last M inputs in the same order: the next block's `zi`.
        hop: samples a frame of `b`, or a `ControlRate`.

    Returns:
        y of the shape of x, or (y, zf).

    Raises:
        ValueError, TypeError: shapes, dtypes or devices that don't match; the message says what is needed.

    >>> fir(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1.0, -1.0]))
    tensor([1., 1., 1.])
    """
    x, b, zi = in_float32(x, b, zi)
    check_signal("x", x)
    check_flag("return_zf", return_zf)
    rows, timing = coefficient_rows("b", b, x, hop, share=True)
    order = rows.shape[2] - 1
    if order < 0:
        raise ValueError("b needs at least one tap, got none")
    past = past_and_present(to_rows(x), state_rows("zi", zi, x, order))
    y = FIR.apply(past, rows, timing).reshape(x.shape)
    if not return_zf:
        return y
    return y, past[:, past.shape[1] - order :].flip(1).reshape(*x.shape[:-1], order)


def past_and_present(x: Tensor, zi: Tensor) -> Tensor:
    """The signal from −order on; zi is its past, newest first."""
    return torch.cat([zi.flip(1), x], 1)


class FIR(RowFunction):
    """(x from 1−N on, b) → y."""

    COEFFICIENTS = (1,)
    OPTIONS = ("timing",)

    @staticmethod
    def forward(x, b, timing):
        y = x.new_empty(x.shape[0], x.shape[1] - b.shape[2] + 1)
        run("fir", x, b, timing, out=(y,))
        return y

    @staticmethod
    def backward(ctx, g):
        x, b = conjugates(ctx)
        dx = FIRTranspose.apply(g, b, ctx.timing) if ctx.needs_input_grad[0] else None
        db = shared(FIROuter.apply(g, x, ctx.timing, b.shape[1]), b) if ctx.needs_input_grad[1] else None
        return dx, db, None

    @staticmethod
    def tangent(ctx, saved, dx, db, _):
        x, b = saved
        return _sum(
            None if dx is None else FIR.apply(dx, b, ctx.timing),
            None if db is None else FIR.apply(x, db, ctx.timing),
        )


class FIRTranspose(RowFunction):
    """(g, b) → the gradient of x: Σₖ bₖ[n+k] g[n+k]."""

    COEFFICIENTS = (1,)
    OPTIONS = ("timing",)

    @staticmethod
    def forward(g, b, timing):
        dx = g.new_empty(g.shape[0], g.shape[1] + b.shape[2] - 1)
        run("fir_transpose", g, b, timing, out=(dx,))
        return dx

    @staticmethod
    def backward(ctx, x):
        g, b = conjugates(ctx)
        dg = FIR.apply(x, b, ctx.timing) if ctx.needs_input_grad[0] else None
        db = shared(FIROuter.apply(g, x, ctx.timing, b.shape[1]), b) if ctx.needs_input_grad[1] else None
        return dg, db, None

    @staticmethod
    def tangent(ctx, saved, dg, db, _):
        g, b = saved
        return _sum(
            None if dg is None else FIRTranspose.apply(dg, b, ctx.timing),
            None if db is None else FIRTranspose.apply(g, db, ctx.timing),
        )


class FIROuter(RowFunction):
    """(g, x from 1−N on) → the gradient of b: g[n] x[n−k], summed into b's frames."""

    OPTIONS = ("timing", "frames")

    @staticmethod
    def forward(g, x, timing, frames):
        db = g.new_empty(g.shape[0], frames, x.shape[1] - g.shape[1] + 1)
        run("fir_outer", g, x, timing, out=(db,))
        return db

    @staticmethod
    def backward(ctx, b):
        g, x = conjugates(ctx)
        dg = FIR.apply(x, b, ctx.timing) if ctx.needs_input_grad[0] else None
        dx = FIRTranspose.apply(g, b, ctx.timing) if ctx.needs_input_grad[1] else None
        return dg, dx, None, None

    @staticmethod
    def tangent(ctx, saved, dg, dx, *_):
        g, x = saved
        return _sum(
            None if dg is None else FIROuter.apply(dg, x, ctx.timing, ctx.frames),
            None if dx is None else FIROuter.apply(g, dx, ctx.timing, ctx.frames),
        )


def _sum(left: Tensor | None, right: Tensor | None) -> Tensor | None:
    if left is None or right is None:
        return right if left is None else left
    return left + right
