"""The FIR filter and the two products its derivatives are made of; see `reference.py` for the equations."""

from __future__ import annotations

import numpy as np
from numba.extending import overload
from torch import Tensor

from diffapf.kernels.cpu.coefficients import coefficient, held, layout, row_at, stretch, stretch_before, weight
from diffapf.kernels.cpu.gradients import sum_products, sums_like, write_products, write_sums
from diffapf.kernels.cpu.launch import jit, jit_sum, over_rows
from diffapf.kernels.cpu.tuples import LONGEST_TUPLE, scattered, size, zeros


def sum_of_products(b, x, row, at):
    """b₀·x[row, at] + b₁·x[row, at−1] + …, b a tuple."""


@overload(sum_of_products)
def _sum_of_products(b, x, row, at):
    if len(b) == 1:
        return lambda b, x, row, at: b[0] * x[row, np.uintp(at)]
    return lambda b, x, row, at: sum_of_products(b[1:], x, row, at - 1) + b[0] * x[row, np.uintp(at)]


@jit
def _fir(first, last, x, b, timing, y, count):
    frames, rows, time = b.shape[1], b.shape[0], y.shape[1]
    newest = len(count) - 1
    for r in range(first, last):
        source, n = r % rows, 0
        while n < time:
            frame, end, w, step = stretch(timing, frames, n, time)
            kept = held(b, source, timing, frame, count)
            for i in range(n, end):
                taps = row_at(b, source, kept, weight(timing, x.dtype.type, w, step, i - n), i, count)
                y[r, np.uintp(i)] = sum_of_products(taps, x, r, i + newest)
            n = end


@jit_sum
def _fir_long(first, last, x, b, timing, y):
    rows, taps = b.shape[0], b.shape[2]
    for r in range(first, last):
        for n in range(y.shape[1]):
            total = x.dtype.type(0)
            for k in range(taps):
                total += coefficient(b, timing, r % rows, n, k) * x[r, n + taps - 1 - k]
            y[r, n] = total


def fir(x: Tensor, b: Tensor, timing, y: Tensor) -> None:
    rows, taps = x.shape[0], b.shape[2]
    timing = layout(b, timing)
    work = y.numel() * taps
    if taps <= LONGEST_TUPLE:
        over_rows(_fir, rows, work, (x, b, timing, y), (x.dtype, type(timing), taps), (size(taps),))
    else:
        over_rows(_fir_long, rows, work, (x, b, timing, y), (x.dtype, type(timing)))


# Backward in time a sample's terms are added to what is pending of the samples it reads, of which the newest is then
# complete. So each row of `b` is read once, in order.


@jit
def _fir_transpose(first, last, g, b, timing, dx, count):
    frames, rows = b.shape[1], b.shape[0]
    newest = len(count) - 1
    for r in range(first, last):
        source, pending, n = r % rows, zeros(count, g), g.shape[1]
        while n > 0:
            frame, begin, w, step = stretch_before(timing, frames, n)
            kept = held(b, source, timing, frame, count)
            for i in range(n - 1, begin - 1, -1):
                taps = row_at(b, source, kept, weight(timing, g.dtype.type, w, step, i - begin), i, count)
                now = g[r, np.uintp(i)]
                dx[r, np.uintp(i + newest)] = pending[0] + taps[0] * now
                pending = scattered(pending, taps[1:] + zeros(count[:1], g), now)
            n = begin
        for k in range(newest):
            dx[r, newest - 1 - k] = pending[k]


@jit
def _fir_transpose_long(first, last, g, b, timing, dx):
    rows, taps = b.shape[0], b.shape[2]
    for r in range(first, last):
        dx[r] = 0
        for n in range(g.shape[1]):
            for k in range(taps):
                dx[r, n + taps - 1 - k] += coefficient(b, timing, r % rows, n, k) * g[r, n]


def fir_transpose(g: Tensor, b: Tensor, timing, dx: Tensor) -> None:
    rows, taps = g.shape[0], b.shape[2]
    timing = layout(b, timing)
    work = g.numel() * taps
    if taps <= LONGEST_TUPLE:
        over_rows(_fir_transpose, rows, work, (g, b, timing, dx), (g.dtype, type(timing), taps), (size(taps),))
    else:
        over_rows(_fir_transpose_long, rows, work, (g, b, timing, dx), (g.dtype, type(timing)))


@jit
def _fir_outer(first, last, g, x, timing, db, count):
    lag = 1 - db.shape[2]
    for r in range(first, last):
        n = g.shape[1]
        while n > 0:
            frame, begin, w, step = stretch_before(timing, db.shape[1], n)
            for i in range(begin, n):
                write_products(db, timing, r, i, g[r, np.uintp(i)], x, x, lag, count)
            sum_products(db, timing, r, frame, begin, n, w, step, 1.0, g, x, x, lag)
            n = begin


def fir_outer(g: Tensor, x: Tensor, timing, db: Tensor) -> None:
    taps = db.shape[2]
    if 0 in db.shape:
        return
    timing = layout(db, timing)
    sums = sums_like(db, timing)
    constants = (size(taps),)
    over_rows(
        _fir_outer, g.shape[0], g.numel() * taps, (g, x, timing, sums), (g.dtype, type(timing), *constants), constants
    )
    write_sums(sums, db)
