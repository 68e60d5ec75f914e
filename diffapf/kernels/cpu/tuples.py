"""Tuples of numbers, whose length the compiler knows: their elements are registers, and loops over them are unrolled.

`size` is such a tuple, of which only the length counts. Sums are taken so that the newest output, of which all else waits,
enters last.
"""

from __future__ import annotations

import numba
import numpy as np
from numba.extending import overload

from diffapf.kernels.cpu.launch import inline

LONGEST_TUPLE = 32  # registers, and patience with the compiler


def size(count: int) -> tuple[int, ...] | None:
    """None where the compiler had better not know."""
    return (0,) * count if count <= LONGEST_TUPLE else None


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


def scattered(pending, b, g):
    """(pending₁ + b₀·g, pending₂ + b₁·g, …, b_last·g), of tuples: what is pending a sample on, after g has added to it."""


@overload(scattered)
def _scattered(pending, b, g):
    if len(pending) == 0:
        return lambda pending, b, g: ()
    if len(pending) == 1:
        return lambda pending, b, g: (b[0] * g,)
    return lambda pending, b, g: (pending[1] + b[0] * g,) + scattered(pending[1:], b[1:], g)  # noqa: RUF005


def split(values, count):
    """The first of the values, as many as `count` is long, and the others."""


@overload(split)
def _split(values, count):
    first = len(count)
    return lambda values, count: (values[:first], values[first:])


@inline
def pushed(newest, past):
    return (newest,) + past[:-1]  # noqa: RUF005  (Numba does not unpack tuples)


@inline
def store(array, b, values):
    """array[b] = values, a tuple."""
    for i in range(len(values)):
        array[b, i] = values[i]
