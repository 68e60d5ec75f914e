"""Coefficients in their three layouts, written once, and the tuples they are read into.

`a` is an array (rows, frames, taps) and `timing` says, by its type, which frame a sample reads:
    None            its own: one row a sample
    (start, step)   the two around position start + n·step, interpolated
    a number        frame 0, always: a fixed filter

Signals have as many rows as `a`, or a multiple: row b then reads row b modulo a's.

A tuple's length is known to the compiler: its elements are registers, and loops over it are unrolled. `size` is such a
tuple, of which only the length counts.
"""

from __future__ import annotations

import numba
import numpy as np
import torch
from numba.extending import overload
from torch import Tensor

from diffapf.kernels.cpu.launch import inline, jit, jit_sum

LONGEST_TUPLE = 32  # registers, and patience with the compiler


def size(count: int) -> tuple[int, ...] | None:
    """None where the compiler had better not know."""
    return (0,) * count if count <= LONGEST_TUPLE else None


def layout(a: Tensor, timing: tuple[float, float] | None):
    """The timing as the kernels take it."""
    return 0.0 if timing is not None and a.shape[1] == 1 else timing


def taps_of(array, count):
    """The number of taps of the array: the length of `count`, which the compiler knows, or what it is where that is None."""


@overload(taps_of)
def _taps_of(array, count):
    if isinstance(count, numba.types.BaseTuple):
        return lambda array, count: len(count)
    return lambda array, count: array.shape[2]


def zeros(count, array):
    """A tuple of zeros of the array's dtype, of the length of `count`."""


@overload(zeros)
def _zeros(count, array):
    dtype = array.dtype
    if len(count) == 0:
        return lambda count, array: ()
    if len(count) == 1:
        return lambda count, array: (dtype(0),)
    return lambda count, array: (dtype(0),) + zeros(count[1:], array)  # noqa: RUF005


def number(value, of):
    """A number of the type of another: 0 and 1 as literals would make float64 of float32."""


@overload(number)
def _number(value, of):
    kind = of
    return lambda value, of: kind(value)


def loaded(array, where, i, count):
    """(array[where, i], array[where, i+1], …)."""


@overload(loaded)
def _loaded(array, where, i, count):
    if len(count) == 0:
        return lambda array, where, i, count: ()

    def first_and_others(array, where, i, count):
        return (array[where + (np.uintp(i),)],) + loaded(array, where, i + 1, count[1:])  # noqa: RUF005

    return first_and_others


def less_products(total, a, past):
    """total − Σᵢ aᵢ·pastᵢ, of tuples. The first enters last: it holds the newest output, all else is ready before."""


@overload(less_products)
def _less_products(total, a, past):
    if len(a) == 0:
        return lambda total, a, past: total
    return lambda total, a, past: less_products(total, a[1:], past[1:]) - a[0] * past[0]


def plus_products(total, b, past):
    """total + Σᵢ bᵢ·pastᵢ, of tuples, the first product last."""


@overload(plus_products)
def _plus_products(total, b, past):
    if len(b) == 0:
        return lambda total, b, past: total
    return lambda total, b, past: plus_products(total, b[1:], past[1:]) + b[0] * past[0]


def times(values, factor):
    """values·factor, of a tuple and a number."""


@overload(times)
def _times(values, factor):
    if len(values) == 0:
        return lambda values, factor: ()
    return lambda values, factor: (values[0] * factor,) + times(values[1:], factor)  # noqa: RUF005


def plus(left, right):
    """left + right, of tuples."""


@overload(plus)
def _plus(left, right):
    if len(left) == 0:
        return lambda left, right: ()
    return lambda left, right: (left[0] + right[0],) + plus(left[1:], right[1:])  # noqa: RUF005


def scattered(pending, b, g):
    """(pending₁ + b₀·g, pending₂ + b₁·g, …, b_last·g), of tuples: what is pending a sample on, after g has added to it."""


@overload(scattered)
def _scattered(pending, b, g):
    if len(pending) == 0:
        return lambda pending, b, g: ()
    if len(pending) == 1:
        return lambda pending, b, g: (b[0] * g,)
    return lambda pending, b, g: (pending[1] + b[0] * g,) + scattered(pending[1:], b[1:], g)  # noqa: RUF005


@inline
def pushed(newest, past):
    return (newest,) + past[:-1]  # noqa: RUF005  (Numba does not unpack tuples)


# A stretch is a run of samples between the same two frames: all of them, where a filter is fixed or has a row a sample.


BLOCK = 1024  # samples of a fixed filter: its gradient's sums find them in the nearest cache


def stretch(timing, frames, n, time):
    """The stretch that begins at sample n: (the frame before, the first sample after, the weight at n, its step)."""


@overload(stretch)
def _stretch(timing, frames, n, time):
    if not isinstance(timing, numba.types.BaseTuple):
        return lambda timing, frames, n, time: (0, time, 0.0, 0.0)

    def until_next_frame(timing, frames, n, time):
        start, step = timing
        position = start + n * step
        if position < 0.0:
            return 0, min(max(_crossing(start, step, 0), n + 1), time), 0.0, 0.0
        if position >= frames - 1.0:
            return frames - 1, time, 0.0, 0.0
        frame = int(position)
        return frame, min(max(_crossing(start, step, frame + 1), n + 1), time), position - frame, step

    return until_next_frame


def stretch_before(timing, frames, end):
    """The stretch that ends before sample `end`: (the frame before, its first sample, the weight there, its step)."""


@overload(stretch_before)
def _stretch_before(timing, frames, end):
    if isinstance(timing, numba.types.NoneType):
        return lambda timing, frames, end: (0, 0, 0.0, 0.0)
    if not isinstance(timing, numba.types.BaseTuple):
        return lambda timing, frames, end: (0, max(end - BLOCK, 0), 0.0, 0.0)

    def since_last_frame(timing, frames, end):
        start, step = timing
        position = start + (end - 1) * step
        if position < 0.0:
            return 0, 0, 0.0, 0.0
        frame = int(min(position, frames - 1.0))
        first = min(_crossing(start, step, frame), end - 1)
        if frame == frames - 1:
            return frame, first, 0.0, 0.0
        return frame, first, start + first * step - frame, step

    return since_last_frame


@jit
def _crossing(start, step, frame):
    """The first sample at or beyond a frame."""
    found = max(int((frame - start) / step), 0)
    while start + found * step < frame:
        found += 1
    while found > 0 and start + (found - 1) * step >= frame:
        found -= 1
    return found


def weight(timing, dtype, first, step, since):
    """The weight of the frame after, `since` samples into a stretch."""


@overload(weight, inline="always")
def _weight(timing, dtype, first, step, since):
    if not isinstance(timing, numba.types.BaseTuple):
        return lambda timing, dtype, first, step, since: None
    return lambda timing, dtype, first, step, since: dtype(first + since * step)


def held(a, row, timing, frame, count):
    """What a stretch of samples shares: the fixed row, or the two frames as (left, right − left)."""


@overload(held, inline="always")
def _held(a, row, timing, frame, count):
    if isinstance(timing, numba.types.NoneType):
        return lambda a, row, timing, frame, count: None
    if isinstance(timing, numba.types.Float):
        return lambda a, row, timing, frame, count: loaded(a, (row, 0), 0, count)

    def around(a, row, timing, frame, count):
        left = loaded(a, (row, frame), 0, count)
        return left, minus(loaded(a, (row, min(frame + 1, a.shape[1] - 1)), 0, count), left)

    return around


def minus(left, right):
    """left − right, of tuples."""


@overload(minus)
def _minus(left, right):
    if len(left) == 0:
        return lambda left, right: ()
    return lambda left, right: (left[0] - right[0],) + minus(left[1:], right[1:])  # noqa: RUF005


def between(left, slope, at):
    """left + at·slope, of tuples."""


@overload(between)
def _between(left, slope, at):
    if len(left) == 0:
        return lambda left, slope, at: ()
    return lambda left, slope, at: (left[0] + at * slope[0],) + between(left[1:], slope[1:], at)  # noqa: RUF005


def row_at(a, row, kept, at, n, count):
    """The coefficients of sample n as a tuple; `kept` and `at` come from `held` and `weight`."""


@overload(row_at, inline="always")
def _row_at(a, row, kept, at, n, count):
    if isinstance(kept, numba.types.NoneType):
        return lambda a, row, kept, at, n, count: loaded(a, (row, np.uintp(n)), 0, count)
    if isinstance(at, numba.types.NoneType):
        return lambda a, row, kept, at, n, count: kept
    return lambda a, row, kept, at, n, count: between(kept[0], kept[1], at)


def coefficient(a, timing, row, n, i):
    """Coefficient i of sample n alone, for filters of which no tuple holds a row."""


@overload(coefficient, inline="always")
def _coefficient(a, timing, row, n, i):
    if isinstance(timing, numba.types.NoneType):
        return lambda a, timing, row, n, i: a[row, n, i]
    if isinstance(timing, numba.types.Float):
        return lambda a, timing, row, n, i: a[row, 0, i]

    def interpolated(a, timing, row, n, i):
        position = min(max(timing[0] + n * timing[1], 0.0), a.shape[1] - 1.0)
        frame = int(position)
        left = a[row, frame, i]
        right = a[row, min(frame + 1, a.shape[1] - 1), i]
        return left + a.dtype.type(position - frame) * (right - left)

    return interpolated


# ------------------------------------------------------------------------------------------- gradients of coefficients
# The gradient of sample n's row is g[n]·(signal[n−lag], signal[n−lag−1], …). Where each sample has a row of its own, it is
# written as soon as it is known; else it is summed over each stretch, in float64 from one stretch to the next.
# `da` is None where nobody wants it; `before` are the signal's values before the first, newest first.


def write_products(da, timing, b, n, g, signal, before, lag, count):
    """Writes sample n's row, where it has one."""


@overload(write_products, inline="always")
def _write_products(da, timing, b, n, g, signal, before, lag, count):
    if isinstance(da, numba.types.NoneType) or not isinstance(timing, numba.types.NoneType):
        return lambda da, timing, b, n, g, signal, before, lag, count: None

    def write(da, timing, b, n, g, signal, before, lag, count):
        taps = taps_of(da, count)
        if n >= lag + taps - 1:
            for i in range(taps):
                da[b, np.uintp(n), np.uintp(i)] = g * signal[b, np.uintp(n - lag - i)]
        else:
            for i in range(taps):
                at = n - lag - i
                da[b, n, i] = g * (signal[b, at] if at >= 0 else before[b, -1 - at])

    return write


def sum_products(da, timing, b, frame, begin, end, w, step, sign, g, signal, before, lag):
    """Adds a stretch's products, times the sign, to those of its frames; da[b] must begin as zeros."""


@overload(sum_products)
def _sum_products(da, timing, b, frame, begin, end, w, step, sign, g, signal, before, lag):
    if isinstance(da, numba.types.NoneType) or isinstance(timing, numba.types.NoneType):
        return lambda da, timing, b, frame, begin, end, w, step, sign, g, signal, before, lag: None
    if not isinstance(timing, numba.types.BaseTuple):

        def fixed(da, timing, b, frame, begin, end, w, step, sign, g, signal, before, lag):
            for k in range(da.shape[2]):
                inside = min(max(begin, lag + k), end)
                total = da.dtype.type(_dot(g[b], signal[b], inside, end, lag + k))
                for n in range(begin, inside):
                    total += g[b, n] * before[b, lag + k - n - 1]
                da[b, 0, k] += sign * total

        return fixed

    def interpolated(da, timing, b, frame, begin, end, w, step, sign, g, signal, before, lag):
        after = min(frame + 1, da.shape[1] - 1)
        for k in range(da.shape[2]):
            inside = min(max(begin, lag + k), end)
            total, ramp = _dots(g[b], signal[b], inside, end, lag + k, begin)
            total, ramp = da.dtype.type(total), da.dtype.type(ramp)
            for n in range(begin, inside):
                product = g[b, n] * before[b, lag + k - n - 1]
                total += product
                ramp += product * (n - begin)
            weighted = w * total + step * ramp
            da[b, frame, k] += sign * (total - weighted)
            da[b, after, k] += sign * weighted

    return interpolated


@jit_sum
def _dot(g, signal, begin, end, lag):
    total = g.dtype.type(0)
    for n in range(begin, end):
        total += g[np.uintp(n)] * signal[np.uintp(n - lag)]
    return total


@jit_sum
def _dots(g, signal, begin, end, lag, origin):
    """The sum of the products, and of the products times their distance from the origin."""
    total, ramp = g.dtype.type(0), g.dtype.type(0)
    for n in range(begin, end):
        product = g[np.uintp(n)] * signal[np.uintp(n - lag)]
        total += product
        ramp += product * np.float32(np.int32(n - origin))
    return total, ramp


def sums_of_stretch(timing, count, array):
    """Where a stretch's gradients are summed: nowhere, in one tuple, or also times their distance from its beginning."""


@overload(sums_of_stretch)
def _sums_of_stretch(timing, count, array):
    if isinstance(timing, numba.types.NoneType):
        return lambda timing, count, array: ()
    if isinstance(timing, numba.types.BaseTuple):
        return lambda timing, count, array: (zeros(count, array), zeros(count, array))
    return lambda timing, count, array: (zeros(count, array),)


def collected(sums, products, array, r, n, since):
    """The sums with this sample's products; where there are no sums, the products are its row of the gradient."""


@overload(collected, inline="always")
def _collected(sums, products, array, r, n, since):
    if isinstance(array, numba.types.NoneType):
        return lambda sums, products, array, r, n, since: sums
    if len(sums) == 0:

        def stored(sums, products, array, r, n, since):
            for i in range(len(products)):
                array[r, np.uintp(n), np.uintp(i)] = products[i]
            return sums

        return stored
    if len(sums) == 1:
        return lambda sums, products, array, r, n, since: (plus(sums[0], products),)

    def ramped(sums, products, array, r, n, since):
        return plus(sums[0], products), plus(sums[1], times(products, since))

    return ramped


def add_sums(sums, array, r, frame, at, slope):
    """Adds a stretch's sums to the frames around it."""


@overload(add_sums, inline="always")
def _add_sums(sums, array, r, frame, at, slope):
    if isinstance(array, numba.types.NoneType) or len(sums) == 0:
        return lambda sums, array, r, frame, at, slope: None
    if len(sums) == 1:

        def fixed(sums, array, r, frame, at, slope):
            for i in range(len(sums[0])):
                array[r, 0, i] += sums[0][i]

        return fixed

    def interpolated(sums, array, r, frame, at, slope):
        after = min(frame + 1, array.shape[1] - 1)
        for i in range(len(sums[0])):
            weighted = at * sums[0][i] + slope * sums[1][i]
            array[r, frame, i] += sums[0][i] - weighted
            array[r, after, i] += weighted

    return interpolated


@inline
def store(array, b, values):
    """array[b] = values, a tuple."""
    for i in range(len(values)):
        array[b, i] = values[i]


def sums_like(da: Tensor, timing) -> Tensor | None:
    """Where the kernels put the gradient of `da`: itself, or zeros of double precision to add to; None for no frames."""
    if da.shape[1] == 0:
        return None
    return da if timing is None else torch.zeros(da.shape, dtype=torch.promote_types(da.dtype, torch.float64))
