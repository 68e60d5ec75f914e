"""Tuples of numbers, whose length the compiler knows: their elements are registers, and loops over them are unrolled.

`size` is such a tuple, of which only the length counts. Sums are taken so that the newest output, of which all else waits,
enters last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

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


def unrolled(signature: str, elements: Iterable[str], **names: object) -> Callable:
    """The function of that signature which returns these elements as a tuple: one function, where recursion makes one each.

    The compiler takes a second for a kernel of recursive tuples, and thirty levels of them are deeper than Python's stack.
    """
    listed = "".join(f"{element}, " for element in elements)
    return defined(signature, (), f"({listed})", **names)


def defined(signature: str, statements: Iterable[str], result: str, **names: object) -> Callable:
    """The function of that signature which runs these statements and returns the result."""
    lines = [f"def function({signature}):", *statements, f"return {result}"]
    namespace: dict = {"np": np, **names}
    exec("\n    ".join(lines), namespace)
    return namespace["function"]


def zeros(count, array):
    """A tuple of zeros of the array's dtype, of the length of `count`."""


@overload(zeros)
def _zeros(count, array):
    return unrolled("count, array", ["dtype(0)" for _ in count], dtype=array.dtype)


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
    elements = (f"array[where + (np.uintp(i + {k}),)]" for k in range(len(count)))
    return unrolled("array, where, i, count", elements)


def doubles(values):
    """The values as float64."""


@overload(doubles)
def _doubles(values):
    return unrolled("values", (f"np.float64(values[{i}])" for i in range(len(values))))


def less_products(total, a, past):
    """total − Σᵢ aᵢ·pastᵢ, of tuples. The first enters last: it holds the newest output, all else is ready before."""


@overload(less_products)
def _less_products(total, a, past):
    return _chain("total, a, past", "total", (f" - a[{i}] * past[{i}]" for i in reversed(range(len(a)))))


def plus_products(total, b, past):
    """total + Σᵢ bᵢ·pastᵢ, of tuples, the first product last."""


@overload(plus_products)
def _plus_products(total, b, past):
    return _chain("total, b, past", "total", (f" + b[{i}] * past[{i}]" for i in reversed(range(len(b)))))


def _chain(signature: str, first: str, terms: Iterable[str]) -> Callable:
    """The function of that signature which returns a sum, from left to right."""
    return eval(f"lambda {signature}: {first}{''.join(terms)}")


def times(values, factor):
    """values·factor, of a tuple and a number."""


@overload(times)
def _times(values, factor):
    return unrolled("values, factor", (f"values[{i}] * factor" for i in range(len(values))))


def plus(left, right):
    """left + right, of tuples."""


@overload(plus)
def _plus(left, right):
    return unrolled("left, right", (f"left[{i}] + right[{i}]" for i in range(len(left))))


def minus(left, right):
    """left − right, of tuples."""


@overload(minus)
def _minus(left, right):
    return unrolled("left, right", (f"left[{i}] - right[{i}]" for i in range(len(left))))


def between(left, slope, at):
    """left + at·slope, of tuples."""


@overload(between)
def _between(left, slope, at):
    return unrolled("left, slope, at", (f"left[{i}] + at * slope[{i}]" for i in range(len(left))))


def scattered(pending, b, g):
    """(pending₁ + b₀·g, pending₂ + b₁·g, …, b_last·g), of tuples: what is pending a sample on, after g has added to it."""


@overload(scattered)
def _scattered(pending, b, g):
    last = len(pending) - 1
    elements = (f"pending[{i + 1}] + b[{i}] * g" if i < last else f"b[{i}] * g" for i in range(last + 1))
    return unrolled("pending, b, g", elements)


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
