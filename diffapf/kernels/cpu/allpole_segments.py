"""Few long rows of an all-pole filter, fixed or with a row of coefficients a sample, in segments of time; and its adjoint.

Segments are rows to the kernel that filters them, each from rest; `segments.py` has the idea. The response to what is
before a segment, in float64, is added until as many samples as there are taps have not changed by it: from there on the
recursion would continue from the very numbers that it has. Where a filter remembers for half a segment, the rest of the row
is filtered again, in order.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numba import types
from numba.extending import overload
from torch import Tensor

from diffapf.kernels import segments_of
from diffapf.kernels.cpu.launch import jit, over_rows
from diffapf.kernels.cpu.tuples import doubles, less_products, loaded, pushed, scattered, size

SEGMENTS_TOGETHER = 8  # of all rows: four interleaved on each of two threads
LONG = 1 << 15  # samples: to cut fewer costs what it gains
LONG_IN_VECTORS = 1 << 17  # the same, of kernels that do not wait at each sample


def segments(x: Tensor, a: Tensor, timing) -> int:
    """Into how many segments each row of x is cut."""
    if x.numel() < LONG or isinstance(timing, tuple) or x.is_complex():
        return 1
    (rows, time), taps = x.shape, a.shape[2]
    long = LONG if timing is None and taps > 1 else LONG_IN_VECTORS
    own = a.shape[0] == rows or (a.shape[0] == 1 and timing is not None)
    if x.numel() < long or not own or not size(taps):
        return 1
    count = segments_of(rows, time, SEGMENTS_TOGETHER)
    return count if rows == 1 or time % count == 0 else 1


def in_segments(run: Callable, count: int, x: Tensor, a: Tensor, timing, zi: Tensor, y: Tensor) -> None:
    """`run(x, a, timing, zi, y)`, of `count` segments of each row."""
    rows, taps = zi.shape
    of_a, of_y = _coefficients(a, timing, count), _cut(y, count)
    length = of_y.shape[1]
    whole, rest = count * length, zi.new_zeros(rows * count, taps)
    run(_cut(x, count), of_a, timing, rest, of_y)
    kept = torch.empty(rows, dtype=torch.float64, device="cpu")
    over_rows(_carried_on, rows, 0, (of_a, zi, of_y, count, kept), (x.dtype, taps), (size(taps),))
    for row, right in enumerate(kept.tolist()):
        if right < count:
            begin, one = int(right) * length, slice(row, row + 1)
            before = _past(y[one, :begin], taps) if begin else zi[one]
            run(x[one, begin:whole], _stretch(a, timing, one, begin, whole), timing, before, y[one, begin:whole])
    if whole < y.shape[1]:
        every = slice(None)
        run(x[:, whole:], _stretch(a, timing, every, whole, None), timing, _past(y[:, :whole], taps), y[:, whole:])


def adjoint_in_segments(
    run: Callable, count: int, g: Tensor, a: Tensor, timing, y: Tensor, zi: Tensor, dx: Tensor, da: Tensor, dzi: Tensor
) -> None:
    """`run(g, a, timing, y, zi, dx, da, dzi)`, of `count` segments of each row."""
    rows, taps = zi.shape
    of_a, of_y, of_dx = _coefficients(a, timing, count), _cut(y, count), _cut(dx, count)
    length, moving, wanted = of_y.shape[1], timing is None, da.shape[1] > 0
    of_da = _cut(da, count) if moving and wanted else da.new_empty(rows * count, da.shape[1], taps)
    before = torch.cat([zi[:, None], of_y.view(rows, count, -1)[:, :-1, -taps:].flip(2)], 1).flatten(0, 1)
    of_before, after, sums = torch.empty_like(before), torch.zeros_like(dzi), []

    def again(row: slice, begin: int, end: int | None, given: Tensor, before: Tensor, of_past: Tensor) -> None:
        """The adjoint of a stretch of rows, in order."""
        of_row = da[row, begin:end] if moving else da.new_empty(of_past.shape[0], da.shape[1], taps)
        of_a = _stretch(a, timing, row, begin, end)
        run(given, of_a, timing, y[row, begin:end], before, dx[row, begin:end], of_row, of_past)
        sums.append((row, of_row))

    whole = count * length
    if whole < y.shape[1]:
        again(slice(None), whole, None, g[:, whole:], _past(y[:, :whole], taps), after)
    run(_cut(g, count), of_a, timing, of_y, before, of_dx, of_da, of_before)
    wrong = torch.empty(rows, dtype=torch.float64, device="cpu")
    arguments = of_a, of_y, of_dx, of_da if wanted else None, of_before, after, count, wrong
    over_rows(_adjoint_carried_on, rows, 0, arguments, (g.dtype, da.dtype, taps, wanted), (size(taps),))
    dzi.copy_(of_before.view(rows, count, taps)[:, 0])
    for row, left in enumerate(wrong.tolist()):
        first, one = row * count, slice(row, row + 1)
        if left > 0:
            end = int(left) * length
            given = g[one, :end].clone()
            given[0, -taps:] += (after[row] if left == count else of_before[first + int(left)]).flip(0)
            again(one, 0, end, given, zi[one], dzi[one])
        if not moving and wanted:
            da[row] = of_da[first + int(left) : first + count].sum(0)
    if not moving:
        for place, more in sums:
            da[place] += more


def _cut(signal: Tensor, count: int) -> Tensor:
    """Segments as rows, without what is left over at the end of a single one."""
    length = signal.shape[1] // count
    if signal.shape[1] % count:
        signal = signal[:, : count * length]
    return signal.view(-1, length, *signal.shape[2:])


def _coefficients(a: Tensor, timing, count: int) -> Tensor:
    """Those of each segment."""
    if timing is None:
        return _cut(a, count)
    return a if a.shape[0] == 1 else a.repeat_interleave(count, 0)


def _stretch(a: Tensor, timing, row: slice, begin: int, end: int | None) -> Tensor:
    if timing is None:
        return a[row, begin:end]
    return a if a.shape[0] == 1 else a[row]


def _past(y: Tensor, taps: int) -> Tensor:
    """The last outputs, newest first."""
    return y[:, -taps:].flip(1)


@jit
def _carried_on(first, last, a, zi, y, segments, kept, taps):
    """How many segments of each row are right, after the response to what is before each is added to it."""
    count = int(segments)
    for row in range(first, last):
        right, past = 0, doubles(loaded(zi, (row,), 0, taps))
        while right < count and _forgets(row * count + right, a, y, past, taps):
            for n in range(y.shape[1] - len(taps), y.shape[1]):
                past = pushed(np.float64(y[row * count + right, n]), past)
            right += 1
        kept[row] = right


@jit
def _forgets(unit, a, y, past, taps):
    """Adds the response to the outputs before a segment, and says whether it is over within half of it."""
    unchanged, r = 0, unit % a.shape[0]
    for n in range(y.shape[1] // 2):
        response = less_products(0.0, loaded(a, (r, min(n, a.shape[1] - 1)), 0, taps), past)
        before = y[unit, n]
        y[unit, n] += response
        unchanged = unchanged + 1 if y[unit, n] == before else 0
        if unchanged == len(taps):
            return True
        past = pushed(response, past)
    return False


@jit
def _adjoint_carried_on(first, last, a, y, dx, da, of_before, after, segments, wrong, taps):
    """How many segments of each row are wrong, after the gradient that comes from behind each is carried into it."""
    count = int(segments)
    for row in range(first, last):
        left, pending = count, doubles(loaded(after, (row,), 0, taps))
        while left > 0 and _forgets_backward(row * count + left - 1, a, y, dx, da, pending, taps):
            left -= 1
            pending = doubles(loaded(of_before, (row * count + left,), 0, taps))
        wrong[row] = left


@jit
def _forgets_backward(unit, a, y, dx, da, pending, taps):
    """Adds what comes from `pending`, of the outputs before the segment behind, and says whether it is over halfway."""
    unchanged, r, a1, newer, nothing = 0, unit % a.shape[0], 0.0, 0.0, doubles(taps[:1])
    for n in range(y.shape[1] - 1, y.shape[1] // 2 - 1, -1):
        row = loaded(a, (r, min(n, a.shape[1] - 1)), 0, taps)
        newer = pending[0] - a1 * newer
        a1 = np.float64(row[0])
        pending = (pending[1:] + nothing)[:1] + scattered(pending[1:], row[1:], -newer)
        before = dx[unit, n]
        dx[unit, n] += newer
        add_products(da, unit, n, -newer, y, taps)
        unchanged = unchanged + 1 if dx[unit, n] == before else 0
        if unchanged == len(taps):
            return True
    return False


def add_products(da, unit, n, g, y, taps):
    """Adds g·y[unit, n−1−i] to the gradient of sample n's row of coefficients, where anybody wants it."""


@overload(add_products)
def _add_products(da, unit, n, g, y, taps):
    if isinstance(da, types.NoneType):
        return lambda da, unit, n, g, y, taps: None

    def add(da, unit, n, g, y, taps):
        for i in range(len(taps)):
            da[unit, min(n, da.shape[1] - 1), i] += g * y[unit, n - 1 - i]

    return add
