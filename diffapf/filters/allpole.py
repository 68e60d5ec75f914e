"""The all-pole filter, time-varying or fixed, and its derivatives: the heart of the library.

Recurrence:  y[n] = x[n] − Σᵢ aᵢ[n] y[n−i],  i = 1 … M
Adjoint:     dx[n] = g[n] − Σᵢ aᵢ[n+i] dx[n+i]: the same filter backward in time, coefficient i read at n+i;
             daᵢ[n] = −dx[n] y[n−i]; dzi is dx's recursion continued to n < 0. One pass gives all three.
Tangent:     ẏ is the same filter forward in time, driven by ẋ[n] − Σᵢ ȧᵢ[n] y[n−i].

Source: Yu, Mitcheltree, Carson, Bilbao, Reiss, Fazekas, "Differentiable All-pole Filters for Time-varying Audio Systems",
DAFx 2024, section 3.
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
    unfilled,
)
from diffapf.filters._short_calls import Filter, ShortCalls
from diffapf.filters.control_rate import ControlRate, coefficient_rows
from diffapf.filters.fir import FIR, FIROuter, FIRTranspose, past_and_present
from diffapf.kernels import run


def allpole(
    x: Tensor,
    a: Tensor,
    zi: Tensor | None = None,
    return_zf: bool = False,
    hop: float | ControlRate | None = None,
) -> Tensor | tuple[Tensor, Tensor]:
    """Filters `x` by the recursion y[n] = x[n] − Σᵢ aᵢ[n] y[n−i], i = 1 … M.

    The call is that of `torchlpc.sample_wise_lpc`, which it can replace.

    Args:
        x: the signal, `(..., time)`, float32, float64, complex64 or complex128.
        a: the coefficients without the leading 1: `(M,)` or `(..., M)` fixed; `(..., time, M)` one row a sample;
            `(..., frames, M)` with `hop`.
        zi: the M outputs before the first, newest first (zi[..., 0] = y[−1]), `(..., M)`; zeros by default.
        return_zf: also return the last M outputs in the same order: the next block's `zi`.
        hop: samples a frame of `a`, or a `ControlRate`.

    Returns:
        y of the shape of x, or (y, zf).

    Raises:
        ValueError, TypeError: shapes, dtypes or devices that don't match; the message says what is needed.

    Differentiable in x, a and zi: backward and forward mode, to any order, and under `torch.func` transforms.

    >>> allpole(torch.tensor([1.0, 0.0, 0.0]), torch.tensor([-0.5]))
    tensor([1.0000, 0.5000, 0.2500])
    """
    if zi is None and hop is None and return_zf is False and (y := _SHORT(x, a)) is not None:
        return y
    x, a, zi = in_float32(x, a, zi)
    check_signal("x", x)
    check_flag("return_zf", return_zf)
    rows, timing = coefficient_rows("a", a, x, hop, share=True)
    order = rows.shape[2]
    initial = state_rows("zi", zi, x, order)
    y = AllPole.apply(to_rows(x), rows, initial, timing) if order else to_rows(x)
    if not return_zf:
        return y if x.dim() == 2 else y.reshape(x.shape)
    recent = past_and_present(y, initial) if y.shape[1] < order else y
    return y.reshape(x.shape), recent[:, recent.shape[1] - order :].flip(1).reshape(*x.shape[:-1], order)


def _before(y: Tensor, zi: Tensor) -> Tensor:
    """y from −M to T−2: what the recursion reads, as a FIR filter of M taps reads it."""
    return past_and_present(y, zi)[:, : y.shape[1] + zi.shape[1] - 1]


class AllPole(RowFunction):
    """(x, a, zi) → y."""

    COEFFICIENTS = (1,)

    @staticmethod
    def forward(x, a, zi, timing):
        y = unfilled(x)
        run("allpole", x, a, timing, zi, out=(y,))
        return y

    @staticmethod
    def setup_context(ctx, inputs, output):
        _, a, zi, ctx.timing = inputs
        ctx.save_for_backward(a, zi, output)
        ctx.save_for_forward(a, zi, output)

    @staticmethod
    def backward(ctx, g):
        a, zi, y = conjugates(ctx)
        dx, da, dzi = AllPoleAdjoint.apply(g, a, y, zi, ctx.timing, ctx.needs_input_grad[1])
        return dx, shared(da, a) if ctx.needs_input_grad[1] else None, dzi, None

    @staticmethod
    def tangent(ctx, saved, dx, da, dzi, _):
        a, zi, y = saved
        drive = torch.zeros_like(y) if dx is None else dx
        if da is not None:
            drive = drive - FIR.apply(_before(y, zi), da, ctx.timing)
        return AllPole.apply(drive, a, torch.zeros_like(zi) if dzi is None else dzi, ctx.timing)


class AllPoleAdjoint(RowFunction):
    """(g, a, y, zi) → (dx, da, dzi); da has no frames where it is not wanted."""

    COEFFICIENTS = (1,)

    @staticmethod
    def forward(g, a, y, zi, timing, with_coefficients):
        dx = unfilled(g)
        da = g.new_empty(g.shape[0], a.shape[1] if with_coefficients else 0, a.shape[2])
        dzi = unfilled(zi)
        inputs = g, a, timing, y, zi
        run("allpole_adjoint", *inputs, out=(dx, da, dzi))
        return dx, da, dzi

    @staticmethod
    def setup_context(ctx, inputs, output):
        _, a, y, zi, ctx.timing, ctx.with_coefficients = inputs
        ctx.save_for_backward(a, y, zi, output[0])
        ctx.save_for_forward(a, y, zi, output[0])

    @staticmethod
    def backward(ctx, along_dx, along_da, along_dzi):
        # The gradients pair with an output of the filter itself: w, its tangent in the direction of the cotangents.
        a, y, zi, dx = conjugates(ctx)
        order = zi.shape[1]
        drive, gy, gzi = along_dx, None, None
        if ctx.with_coefficients:
            drive = drive - FIR.apply(_before(y, zi), along_da, ctx.timing)
            gzi, gy = _split(-FIRTranspose.apply(dx, along_da, ctx.timing), order)
        w = AllPole.apply(drive, a, along_dzi, ctx.timing)
        ga = None
        if ctx.needs_input_grad[1]:
            ga = shared(-FIROuter.apply(dx, _before(w, along_dzi), ctx.timing, a.shape[1]), a)
        return w, ga, gy, gzi, None, None

    @staticmethod
    def tangent(ctx, saved, dg, da, dy, dzi, *_):
        a, y, zi, dx = saved
        order = zi.shape[1]
        drive = torch.zeros_like(y) if dg is None else dg
        at_start = None
        if da is not None:
            at_start, moved = _split(FIRTranspose.apply(dx, da, ctx.timing), order)
            drive = drive - moved
        tangent_x, tangent_a, tangent_zi = AllPoleAdjoint.apply(drive, a, y, zi, ctx.timing, ctx.with_coefficients)
        if at_start is not None:
            tangent_zi = tangent_zi - at_start
        if ctx.with_coefficients and (dy is not None or dzi is not None):
            moving = _before(torch.zeros_like(y) if dy is None else dy, torch.zeros_like(zi) if dzi is None else dzi)
            tangent_a = tangent_a - FIROuter.apply(dx, moving, ctx.timing, a.shape[1])
        return tangent_x, tangent_a, tangent_zi


class _OfAllPole(Filter):
    kernel, read = "allpole", (1, 2)

    def layout(self, x, a):
        rows, timing = coefficient_rows("a", a, x, None, share=True)
        return (rows,), timing, rows.shape[2]

    def inputs_of_adjoint(self, g, timing, zi, a, y):
        return g, a, timing, y, zi

    def gradients(self, g, timing, zi, wanted, a, y):
        return AllPoleAdjoint.apply(g, a, y, zi, timing, *wanted)[:2]


_SHORT = ShortCalls(_OfAllPole())


def _split(before: Tensor, order: int) -> tuple[Tensor, Tensor]:
    """A gradient over −M … T−2 as those of zi (newest first) and of y (whose last sample is not in it)."""
    whole = torch.nn.functional.pad(before, (0, 1))
    return whole[:, :order].flip(1), whole[:, order:]
