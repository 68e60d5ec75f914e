"""The gradients of coefficients, in the layouts of `coefficients.py`.

The gradient of sample n's row is g[n]·(signal[n−lag], signal[n−lag−1], …). Where each sample has a row of its own, it is
written as soon as it is known; else it is summed over each stretch, in float64 from one stretch to the next.
`da` is None where nobody wants it; `before` are the signal's values before the first, newest first.
"""

from __future__ import annotations

import numba
import numpy as np
import torch
from numba.extending import overload
from torch import Tensor

from diffapf.kernels.cpu.launch import inline, jit, jit_sum
from diffapf.kernels.cpu.tuples import plus, taps_of, times, zeros
from diffapf.kernels.cpu.vectors import LANES, filled, load, store, totals, turned


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
            for k in range(_sum_by_eights(da[b, 0], begin, end, sign, g[b], signal[b], lag), da.shape[2]):
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
            total, ramp = dots(g[b], signal[b], inside, end, lag + k, begin)
            total, ramp = da.dtype.type(total), da.dtype.type(ramp)
            for n in range(begin, inside):
                product = g[b, n] * before[b, lag + k - n - 1]
                total += product
                ramp += product * (n - begin)
            add_between(da, (b, frame, k), (b, after, k), w, step, sign * total, sign * ramp)

    return interpolated


def _sum_by_eights(da, begin, end, sign, g, signal, lag):
    """Adds a stretch's products to those of a fixed filter's taps, eight together: how many taps are done."""


@overload(_sum_by_eights)
def _sum_by_eights_typed(da, begin, end, sign, g, signal, lag):
    if not isinstance(g.dtype, numba.types.Float):
        return lambda da, begin, end, sign, g, signal, lag: 0

    def sum_products(da, begin, end, sign, g, signal, lag):
        whole = da.shape[0] // LANES * LANES if begin >= lag + da.shape[0] else 0  # else some are before the signal
        for k in range(0, whole, LANES):
            store(da, k, load(da, k) + eight_dots(g, signal, begin, end, lag + k) * filled(sign))
        return whole

    return sum_products


@inline
def add_between(array, before, after, at, slope, total, ramp):
    """Shares a stretch's sum between the frames around it; `ramp` is the sum of the same by samples since its begin."""
    weighted = at * total + slope * ramp
    array[before] += total - weighted
    array[after] += weighted


@jit
def eight_dots(g, signal, begin, end, lag):
    """Σₙ g[n]·signal[n−lag−k] for k from 0 to 7, as a vector."""
    n, rest, s0, s1, s2 = begin, filled(0.0), filled(0.0), filled(0.0), filled(0.0)
    s3, s4, s5, s6, s7 = rest, rest, rest, rest, rest
    while n + LANES <= end:
        now, at = load(g, n), n - lag
        s0, s1 = s0 + now * load(signal, at), s1 + now * load(signal, at - 1)
        s2, s3 = s2 + now * load(signal, at - 2), s3 + now * load(signal, at - 3)
        s4, s5 = s4 + now * load(signal, at - 4), s5 + now * load(signal, at - 5)
        s6, s7 = s6 + now * load(signal, at - 6), s7 + now * load(signal, at - 7)
        n += LANES
    while n < end:
        rest = rest + filled(np.float64(g[n])) * turned(load(signal, n - lag - LANES + 1))
        n += 1
    return rest + totals((s0, s1, s2, s3, s4, s5, s6, s7))


@jit_sum
def _dot(g, signal, begin, end, lag):
    total = g.dtype.type(0)
    for n in range(begin, end):
        total += g[np.uintp(n)] * signal[np.uintp(n - lag)]
    return total


@jit_sum
def dots(g, signal, begin, end, lag, origin):
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
            add_between(array, (r, frame, i), (r, after, i), at, slope, sums[0][i], sums[1][i])

    return interpolated


def write_sums(sums: Tensor | None, da: Tensor) -> None:
    """Hands over what was summed beside `da`."""
    if sums is not None and sums is not da:
        da.copy_(sums)


def sums_like(da: Tensor, timing) -> Tensor | None:
    """Where the kernels put the gradient of `da`: itself, or zeros of double precision to add to; None for no frames."""
    if da.shape[1] == 0:
        return None
    if timing is None:
        return da
    exact = torch.promote_types(da.dtype, torch.float64)
    return da.zero_() if da.dtype == exact else torch.zeros_like(da, dtype=exact)
