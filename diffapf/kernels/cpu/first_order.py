"""The first-order all-pole filter with a coefficient a sample, eight samples at once, and its adjoint.

Each of eight outputs is v + p·(the output before the eight), where v is the response to the inputs alone and p a product of
coefficients: a scan finds both in three steps, which join neighbours, pairs and fours. So a recursion waits once for eight
samples. Float64 inside. Where a result is not finite, the recursion itself computes the block again: 0·∞ spoils neighbours.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor

from diffapf.kernels.cpu.coefficients import BLOCK, rows_of
from diffapf.kernels.cpu.launch import jit, over_rows, step
from diffapf.kernels.cpu.vectors import (
    LANES,
    all_finite,
    filled,
    joined,
    lane,
    load,
    spread,
    store,
    store_columns,
    turned,
    unknown,
)
from diffapf.kernels.pages import LARGE

WORK = 3  # multiply-adds a sample, in whole vectors


@step
def scanned(x, a, before):
    """y[k] = x[k] − a[k] y[k−1] of eight samples; y[−1] is the last element of `before`."""
    nothing, one = filled(unknown(0.0)), filled(1.0)
    p = nothing - a
    v = x + p * joined(nothing, x, 7)
    p = p * joined(one, p, 7)
    v = v + p * joined(nothing, v, 6)
    p = p * joined(one, p, 6)
    v = v + p * joined(nothing, v, 4)
    p = p * joined(one, p, 4)
    return v + p * spread(before, 7)


@jit
def _first_order(first, last, x, a, zi, y):
    time, is_large = x.shape[1], y.size * y.itemsize >= LARGE
    for b in range(first, last):
        newest = np.float64(zi[b, 0])
        for n in range(0, time, BLOCK):
            newest = _block(x[b], rows_of(a, b), newest, y[b], n, min(n + BLOCK, time), is_large)


@step
def _block(x, a, before, y, begin, end, is_large):
    """Filters a block: its last output, which is never read where it was written past the caches."""
    n, newest, check = begin, filled(before), filled(0.0)
    while n + LANES <= end:
        newest = scanned(load(x, n), load(a, n), newest)
        store_columns(y, n, (newest,), is_large)
        check = check + newest * filled(0.0)
        n += LANES
    out = lane(newest, 7)
    if not all_finite(check):
        n, out = begin, before
    for i in range(n, end):
        out = x[i] - a[i] * out
        y[i] = out
    return out


def first_order(x: Tensor, a: Tensor, zi: Tensor, y: Tensor) -> None:
    over_rows(_first_order, zi.shape[0], WORK * x.numel(), (x, a, zi, y), (x.dtype,))


@jit
def _first_order_adjoint(first, last, g, a, y, zi, dx, da, dzi):
    time = g.shape[1]
    for b in range(first, last):
        row, end = rows_of(a, b), time
        while end > 0:
            begin = max(0, (end - 1) // BLOCK * BLOCK)
            _block_backward(g[b], row, dx[b], begin, end)
            if da.shape[1] > 0:
                for n in range(max(begin, 1), end):
                    da[b, np.uintp(n), 0] = -dx[b, np.uintp(n)] * y[b, np.uintp(n - 1)]
            end = begin
        if time > 0 and da.shape[1] > 0:
            da[b, 0, 0] = -dx[b, 0] * zi[b, 0]
        dzi[b, 0] = -row[0] * dx[b, 0] if time > 0 else dzi.dtype.type(0)


@step
def _block_backward(g, a, dx, begin, end):
    """dx[n] = g[n] − a[n+1] dx[n+1], from the sample before `end` to `begin`. The row's last sample has no successor."""
    n = end
    if end == g.shape[0]:
        n -= 1
        dx[n] = g[n]
    later, check = filled(np.float64(dx[n])), filled(0.0)
    while n - LANES >= begin:
        n -= LANES
        later = scanned(turned(load(g, n)), turned(load(a, n + 1)), later)
        store(dx, n, turned(later))
        check = check + later * filled(0.0)
    if not all_finite(check):
        n = min(end, g.shape[0] - 1)
    while n > begin:
        n -= 1
        dx[n] = g[n] - a[n + 1] * dx[n + 1]


def first_order_adjoint(g: Tensor, a: Tensor, y: Tensor, zi: Tensor, dx: Tensor, da: Tensor, dzi: Tensor) -> None:
    over_rows(_first_order_adjoint, zi.shape[0], 2 * WORK * g.numel(), (g, a, y, zi, dx, da, dzi), (g.dtype,))
