"""The all-pole filter and its adjoint as recursions, a sample after another; see `reference.py` for the equations."""

from __future__ import annotations

import numpy as np

from diffapf.kernels.cpu.coefficients import coefficient, held, row_at, stretch, stretch_before, weight
from diffapf.kernels.cpu.gradients import sum_products, write_products
from diffapf.kernels.cpu.launch import jit, jit_sum
from diffapf.kernels.cpu.tuples import less_products, loaded, pushed, scattered, store, zeros


@jit
def allpole_rows_together(first, last, x, a, timing, zi, y, count):
    """Four rows advance together: a recursion is a chain of dependent operations, and four fill the time one waits."""
    frames, rows, time = a.shape[1], a.shape[0], x.shape[1]
    b = first
    while b + 4 <= last:
        r0, r1, r2, r3 = b % rows, (b + 1) % rows, (b + 2) % rows, (b + 3) % rows
        p0, p1 = loaded(zi, (b,), 0, count), loaded(zi, (b + 1,), 0, count)
        p2, p3 = loaded(zi, (b + 2,), 0, count), loaded(zi, (b + 3,), 0, count)
        n = 0
        while n < time:
            frame, end, w, step = stretch(timing, frames, n, time)
            k0, k1 = held(a, r0, timing, frame, count), held(a, r1, timing, frame, count)
            k2, k3 = held(a, r2, timing, frame, count), held(a, r3, timing, frame, count)
            for i in range(n, end):
                at = weight(timing, x.dtype.type, w, step, i - n)
                y0 = less_products(x[b, i], row_at(a, r0, k0, at, i, count), p0)
                y1 = less_products(x[b + 1, i], row_at(a, r1, k1, at, i, count), p1)
                y2 = less_products(x[b + 2, i], row_at(a, r2, k2, at, i, count), p2)
                y3 = less_products(x[b + 3, i], row_at(a, r3, k3, at, i, count), p3)
                y[b, i], y[b + 1, i], y[b + 2, i], y[b + 3, i] = y0, y1, y2, y3
                p0, p1, p2, p3 = pushed(y0, p0), pushed(y1, p1), pushed(y2, p2), pushed(y3, p3)
            n = end
        b += 4
    allpole_by_row(b, last, x, a, timing, zi, y, count)


@jit
def allpole_by_row(first, last, x, a, timing, zi, y, count):
    frames, rows, time = a.shape[1], a.shape[0], x.shape[1]
    for b in range(first, last):
        r, past, n = b % rows, loaded(zi, (b,), 0, count), 0
        while n < time:
            frame, end, w, step = stretch(timing, frames, n, time)
            kept = held(a, r, timing, frame, count)
            for i in range(n, end):
                at = weight(timing, x.dtype.type, w, step, i - n)
                out = less_products(x[b, i], row_at(a, r, kept, at, i, count), past)
                y[b, i] = out
                past = pushed(out, past)
            n = end


@jit_sum
def _older_products(a, timing, row, n, y, b, taps):
    total = y.dtype.type(0)
    for i in range(1, taps):
        total += coefficient(a, timing, row, n, i) * y[b, np.uintp(n - 1 - i)]
    return total


@jit
def allpole_of_any_order(first, last, x, a, timing, zi, y):
    rows, taps = a.shape[0], a.shape[2]
    for b in range(first, last):
        r = b % rows
        for n in range(min(taps, x.shape[1])):
            out = x[b, n]
            for i in range(taps - 1, -1, -1):
                out -= coefficient(a, timing, r, n, i) * (y[b, n - 1 - i] if i < n else zi[b, i - n])
            y[b, n] = out
        for n in range(taps, x.shape[1]):
            known = x[b, n] - _older_products(a, timing, r, n, y, b, taps)
            y[b, n] = known - coefficient(a, timing, r, n, 0) * y[b, n - 1]


# The adjoint scatters: dx[n] is subtracted, times its own row of coefficients, from what the samples before it will be.
# So each row of `a` is read once, in order, nothing is shifted, and what is left over at the start is dzi.
# `pending[j]` belongs to sample n−1−j, but for the newest term of pending[0], a1·newer: it is kept apart and enters last.


@jit
def allpole_adjoint_by_row(first, last, g, a, timing, y, zi, dx, da, dzi, count):
    frames, rows, time = a.shape[1], a.shape[0], g.shape[1]
    nothing = zeros(count[:1], g)
    for b in range(first, last):
        r, pending, a1, newer, n = b % rows, zeros(count, g), nothing[0], nothing[0], time
        while n > 0:
            frame, begin, w, step = stretch_before(timing, frames, n)
            kept = held(a, r, timing, frame, count)
            for i in range(n - 1, begin - 1, -1):
                row = row_at(a, r, kept, weight(timing, g.dtype.type, w, step, i - begin), i, count)
                newer = (g[b, np.uintp(i)] + pending[0]) - a1 * newer
                a1 = row[0]
                pending = (pending[1:] + nothing)[:1] + scattered(pending[1:], row[1:], -newer)
                dx[b, np.uintp(i)] = newer
                write_products(da, timing, b, i, -newer, y, zi, 1, count)
            sum_products(da, timing, b, frame, begin, n, w, step, -1.0, dx, y, zi, 1)
            n = begin
        store(dzi, b, pending)
        dzi[b, 0] -= a1 * newer


@jit
def allpole_adjoint_of_any_order(first, last, g, a, timing, y, zi, dx, da, dzi):
    rows, order, time = a.shape[0], a.shape[2], g.shape[1]
    for b in range(first, last):
        r = b % rows
        for n in range(time):
            dx[b, n] = g[b, n]
        dzi[b] = 0
        for n in range(time - 1, -1, -1):
            now = dx[b, n]
            inside = min(order, n)
            for i in range(inside):
                dx[b, np.uintp(n - 1 - i)] -= coefficient(a, timing, r, n, i) * now
            for i in range(inside, order):
                dzi[b, i - n] -= coefficient(a, timing, r, n, i) * now
            write_products(da, timing, b, n, -now, y, zi, 1, None)
        end = time
        while end > 0:
            frame, begin, w, step = stretch_before(timing, a.shape[1], end)
            sum_products(da, timing, b, frame, begin, end, w, step, -1.0, dx, y, zi, 1)
            end = begin
