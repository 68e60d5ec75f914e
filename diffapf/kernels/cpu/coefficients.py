"""Coefficients in their three layouts, written once.

`a` is an array (rows, frames, taps) and `timing` says, by its type, which frame a sample reads:
    None            its own: one row a sample
    (start, step)   the two around position start + n·step, interpolated
    a number        frame 0, always: a fixed filter

Signals have as many rows as `a`, or a multiple: row b then reads row b modulo a's.
"""

from __future__ import annotations

import numba
import numpy as np
from numba.extending import overload
from torch import Tensor

from diffapf.kernels.cpu.launch import inline, jit
from diffapf.kernels.cpu.tuples import between, less_products, loaded, minus, number, times
from diffapf.kernels.cpu.vectors import in_line


def layout(a: Tensor, timing: tuple[float, float] | None):
    """The timing as the kernels take it."""
    return 0.0 if timing is not None and a.shape[1] == 1 else timing


@inline
def rows_of(a, row):
    """The coefficients for a row of the signal, those of one sample after those of the one before."""
    return in_line(a[row % a.shape[0]])


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


# Where a comes with its leading coefficient it is as long as b, and both are divided by that: a fixed filter once, of which
# the sums of its gradient are divided, a moving one in each sample.


def normalised(b, a):
    """(b, a without its leading coefficient, 1 over that) of a row; None for the last where none is there, or no row."""


@overload(normalised)
def _normalised(b, a):
    is_row = isinstance(a, numba.types.UniTuple) and isinstance(a.dtype, numba.types.Number)
    if not is_row or len(a) < len(b):
        return lambda b, a: (b, a, None)

    def divided(b, a):
        inverse = number(1, a[0]) / a[0]
        return times(b, inverse), times(a[1:], inverse), inverse

    return divided


def denormalised(of_b, of_a, b, a, inverse):
    """The gradients of b and a from those of the normalised ones."""


@overload(denormalised)
def _denormalised(of_b, of_a, b, a, inverse):
    if isinstance(inverse, numba.types.NoneType):
        return lambda of_b, of_a, b, a, inverse: (of_b, of_a)

    def divided(of_b, of_a, b, a, inverse):
        of_b, of_a = times(of_b, inverse), times(of_a, inverse)
        leading = less_products(less_products(number(0, inverse), of_b, b), of_a, a)
        return of_b, (leading,) + of_a  # noqa: RUF005

    return divided


def denormalised_sums(sums_b, sums_a, b, a, inverse):
    """The same of what `sums_of_stretch` has summed."""


@overload(denormalised_sums)
def _denormalised_sums(sums_b, sums_a, b, a, inverse):
    if isinstance(inverse, numba.types.NoneType):
        return lambda sums_b, sums_a, b, a, inverse: (sums_b, sums_a)

    def divided(sums_b, sums_a, b, a, inverse):
        of_b, of_a = denormalised(sums_b[0], sums_a[0], b, a, inverse)
        return (of_b,), (of_a,)

    return divided
