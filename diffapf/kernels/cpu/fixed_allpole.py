"""The all-pole filter with fixed coefficients, eight samples at once, and its adjoint; see `reference.py` for the equations.

The next eight outputs are a sum of responses, which `responses.py` computes: to the next eight inputs, and to the outputs of
the past. Where these are less exact than the recursion, that runs instead (`allpole_recursion.py`).

A row is filtered a block after another, in time's direction, which is backward for the adjoint. Where a result is not finite
(0·∞ spoils its neighbours in a vector, and what overflows in a response need not in the recursion), the recursion itself
computes the block again.
"""

from __future__ import annotations

from numba.core import types
from numba.extending import overload
from torch import Tensor

from diffapf.kernels.cpu.allpole_recursion import allpole_adjoint_by_row, allpole_by_row
from diffapf.kernels.cpu.coefficients import BLOCK
from diffapf.kernels.cpu.gradients import sum_products, sums_like, write_sums
from diffapf.kernels.cpu.launch import INLINED, jit, over_rows, step
from diffapf.kernels.cpu.responses import impulse_response, must_recur, responses_to_inputs, responses_to_past
from diffapf.kernels.cpu.tuples import defined, size, unrolled
from diffapf.kernels.cpu.vectors import LANES, all_finite, filled, load, packed, spread, store, turned

SUMS = 4  # that are taken beside each other: one would wait for itself


def coefficients(array, row, count):
    """array[row, 0, :] as float64."""


@overload(coefficients)
def _coefficients(array, row, count):
    return unrolled("array, row, count", (f"np.float64(array[row, 0, {i}])" for i in range(len(count))))


def as_exact_as(signal, responses, count):
    """The responses to the past without what is lost in rounding, where the signal would lose it."""


@overload(as_exact_as, jit_options=INLINED)
def _as_exact_as(signal, responses, count):
    if signal.dtype == types.float64:
        return lambda signal, responses, count: responses
    return unrolled("signal, responses, count", (f"responses[{i}]" for i in range(len(count))))


@jit
def filter_of(signal, a, b, count):
    """(the coefficients of row b, the responses to inputs, and to the past)."""
    row = coefficients(a, b % a.shape[0], count)
    inputs = responses_to_inputs(impulse_response(row, count))
    return a[b % a.shape[0], 0], inputs, as_exact_as(signal, responses_to_past(row, count), count)


def eight(x, past, filter_, count):
    """The outputs of eight inputs; `past` are vectors of eight earlier outputs each, the newest vector first."""


@overload(eight, jit_options=INLINED)
def _eight(x, past, filter_, count):
    order = len(count)
    terms, parts = [f"inputs[{j}] * spread(x, {j})" for j in range(LANES)], len(filter_[2]) // order
    for i in reversed(range(order)):  # what is known longest enters first, the newest output last
        output = f"spread(past[{i // LANES}], {LANES - 1 - i % LANES})"
        terms += [f"outputs[{i + order * part}] * {output}" for part in reversed(range(parts))]
    sums = min(SUMS, max(parts, order // 2))
    lines = ["_, inputs, outputs = filter_", *(f"s{k} = {' + '.join(terms[k::sums])}" for k in range(sums))]
    return defined("x, past, filter_, count", lines, " + ".join(f"s{k}" for k in range(sums)), spread=spread)


def vectors_before(results, before, n, backward, count):
    """The row's results before sample n, as `eight` takes them; `before` are those before the first, newest first."""


@overload(vectors_before)
def _vectors_before(results, before, n, backward, count):
    vectors = range(-(-len(count) // LANES))
    places = [[LANES * (p + 1) - 1 - k for k in range(LANES)] for p in vectors]
    given = (
        "packed((" + ", ".join(f"np.float64(before[{i}])" if i < len(count) else "0.0" for i in row) + "))"
        for row in places
    )
    earlier = (f"at(results, n - {LANES * (p + 1)}, backward)" for p in vectors)
    first, later = (f"({''.join(f'{each}, ' for each in each_vector)})" for each_vector in (given, earlier))
    return defined("results, before, n, backward, count", (), f"{first} if n == 0 else {later}", packed=packed, at=at)


@step
def at(row, n, backward):
    """Samples n to n+7 of the row, counted and put in time's direction."""
    return turned(load(row, row.shape[0] - LANES - n)) if backward else load(row, n)


@step
def put(row, n, backward, values):
    if backward:
        store(row, row.shape[0] - LANES - n, turned(values))
    else:
        store(row, n, values)


@jit
def one_by_one(x, y, before, first, last, a, backward):
    """The recursion itself, for what is no whole vector and for what is not finite."""
    for n in range(first, last):
        here, older = (y.shape[0] - 1 - n, 1) if backward else (n, -1)
        total = x[here]
        for i in range(a.shape[0] - 1, -1, -1):
            total -= a[i] * (y[here + (i + 1) * older] if i < n else before[i - n])
        y[here] = total


@step
def through(x, y, before, first, last, filter_, backward, count):
    """Samples first to last of a row, counted in time's direction."""
    past, n, check = vectors_before(y, before, first, backward, count), first, filled(0.0)
    while n + LANES <= last:
        new = eight(at(x, n, backward), past, filter_, count)
        put(y, n, backward, new)
        past, n, check = (new,) + past[:-1], n + LANES, check + new * filled(0.0)  # noqa: RUF005
    one_by_one(x, y, before, n if all_finite(check) else first, last, filter_[0], backward)


@step
def two_through(x, y, before, first, last, filters, backward, count):
    """The same of two rows together, each of which fills the time that the other waits: pairs of all but the span."""
    past = vectors_before(y[0], before[0], first, backward, count)
    other_past = vectors_before(y[1], before[1], first, backward, count)
    n, check, other_check = first, filled(0.0), filled(0.0)
    while n + LANES <= last:
        new = eight(at(x[0], n, backward), past, filters[0], count)
        other = eight(at(x[1], n, backward), other_past, filters[1], count)
        put(y[0], n, backward, new)
        put(y[1], n, backward, other)
        past, other_past = (new,) + past[:-1], (other,) + other_past[:-1]  # noqa: RUF005
        check, other_check = check + new * filled(0.0), other_check + other * filled(0.0)
        n += LANES
    one_by_one(x[0], y[0], before[0], n if all_finite(check) else first, last, filters[0][0], backward)
    one_by_one(x[1], y[1], before[1], n if all_finite(other_check) else first, last, filters[1][0], backward)


@jit
def _fixed_allpole(first, last, x, a, zi, y, count):
    time, b = x.shape[1], first
    while b < last:
        one = filter_of(x, a, b, count)
        other = filter_of(x, a, min(b + 1, last - 1), count)
        if must_recur(x, one[2], count):
            allpole_by_row(b, b + 1, x, a, 0.0, zi, y, count)
            b += 1
        elif b + 1 == last or must_recur(x, other[2], count):
            for n in range(0, time, BLOCK):
                through(x[b], y[b], zi[b], n, min(n + BLOCK, time), one, False, count)
            b += 1
        else:
            for n in range(0, time, BLOCK):
                end = min(n + BLOCK, time)
                two_through((x[b], x[b + 1]), (y[b], y[b + 1]), (zi[b], zi[b + 1]), n, end, (one, other), False, count)
            b += 2


@jit
def _fixed_allpole_adjoint(first, last, g, a, y, zi, dx, da, dzi, count):
    time, b = g.shape[1], first
    while b < last:
        one = filter_of(g, a, b, count)
        other = filter_of(g, a, min(b + 1, last - 1), count)
        if must_recur(g, one[2], count):
            allpole_adjoint_by_row(b, b + 1, g, a, 0.0, y, zi, dx, da, dzi, count)
            b += 1
            continue
        rows = 1 if b + 1 == last or must_recur(g, other[2], count) else 2
        dzi[b : b + rows] = 0.0  # which is also what comes before the first sample in time's direction
        for n in range(0, time, BLOCK):
            end = min(n + BLOCK, time)
            if rows == 1:
                through(g[b], dx[b], dzi[b], n, end, one, True, count)
            else:
                places = (g[b], g[b + 1]), (dx[b], dx[b + 1]), (dzi[b], dzi[b + 1])
                two_through(*places, n, end, (one, other), True, count)
            for c in range(b, b + rows):
                sum_products(da, 0.0, c, 0, time - end, time - n, 0.0, 0.0, -1.0, dx, y, zi, 1)
        for c in range(b, b + rows):
            for i in range(len(count)):
                for n in range(min(len(count) - i, time)):
                    dzi[c, i] -= a[c % a.shape[0], 0, i + n] * dx[c, n]
        b += rows


def fixed_allpole(x: Tensor, a: Tensor, zi: Tensor, y: Tensor) -> None:
    rows, taps = zi.shape
    arguments, work = (x, a, zi, y), x.numel() * (LANES + taps) // LANES
    over_rows(_fixed_allpole, rows, work, arguments, (x.dtype, taps), (size(taps),))


def fixed_allpole_adjoint(g: Tensor, a: Tensor, y: Tensor, zi: Tensor, dx: Tensor, da: Tensor, dzi: Tensor) -> None:
    rows, taps = zi.shape
    sums = sums_like(da, 0.0)
    arguments, work = (g, a, y, zi, dx, sums, dzi), 2 * g.numel() * (LANES + taps) // LANES
    over_rows(_fixed_allpole_adjoint, rows, work, arguments, (g.dtype, taps, sums is None), (size(taps),))
    write_sums(sums, da)
