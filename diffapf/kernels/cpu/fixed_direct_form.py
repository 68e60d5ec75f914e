"""A fixed filter in the transposed direct form II, eight samples at once, and its adjoint; see `reference.py`.

Eight outputs are a sum of responses, which `responses.py` computes: to eight inputs, to the M inputs and the M outputs
before them, and where a signal begins, to the registers. The adjoint is the all-pole filter backward in time,
    r[n] = g[n] − Σᵢ aᵢ r[n+i],   dx[n] = Σᵢ bᵢ r[n+i],   dbᵢ = Σₙ x[n] r[n+i],   daᵢ = −Σₙ y[n] r[n+i],
with r[T], r[T+1], … the gradients of the registers after the signal, and r[0], r[1], … those of the registers before it.

Two rows go together, each of which fills the time that the other waits. Float64 inside. Where the responses are less exact
than the recursion, or a result is not finite, the recursion itself computes the row.
"""

# mypy: ignore-errors
# (code that Numba compiles, through parts of Numba that its type annotations leave out)

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numba.extending import overload
from torch import Tensor

from diffapf.kernels.cpu.coefficients import denormalised, normalised
from diffapf.kernels.cpu.launch import INLINED, jit, over_rows, step
from diffapf.kernels.cpu.responses import (
    all_turned,
    backward_responses,
    begun,
    eight,
    eight_before,
    forward_responses,
    must_recur,
    rest_of,
)
from diffapf.kernels.cpu.tuples import (
    defined,
    doubles,
    less_products,
    loaded,
    plus,
    plus_products,
    pushed,
    size,
    split,
    store,
    times,
    unrolled,
)
from diffapf.kernels.cpu.vectors import LANES, all_finite, filled, joined, lane, load, packed, totals
from diffapf.kernels.cpu.vectors import store as put

LARGEST_ORDER = LANES  # the past that a step reads is one vector

# ------------------------------------------------------------------------------------------------- one row, or two rows


def of_each(of_one: Callable) -> Callable:
    """`of_one(row, n, state)` of each of some rows, as a tuple."""

    def of_rows(rows, n, states):
        """Tuples of as many rows and states."""

    @overload(of_rows, jit_options=INLINED)
    def _of_rows(rows, n, states):
        results = (f"of_one(rows[{k}], n, states[{k}])" for k in range(len(rows)))
        return unrolled("rows, n, states", results, of_one=of_one)

    return of_rows


@step
def filter_of(b, a, r, sizes):
    """A row's b and a, normalised, and 1 over the leading coefficient."""
    return normalised(doubles(loaded(b, (r, 0), 0, sizes[0])), doubles(loaded(a, (r, 0), 0, sizes[1])))


@step
def checked(signal, outputs):
    """A vector to add zeros to, which is finite as long as all is, and where these responses to outputs are exact enough."""
    return filled(np.inf if must_recur(signal, outputs, outputs) else 0.0)


# ------------------------------------------------------------------------------------------------------------- forward
# A row is (x, y, b, a, its responses, the registers before it); its state what comes from the past, and 0 if that is finite.


@step
def _row(arrays, r, sizes):
    x, b, a, zi, y, _ = arrays
    b, a, _ = filter_of(b, a, r, sizes)
    return x[r], y[r], b, a, forward_responses(b, a), doubles(loaded(zi, (r,), 0, sizes[2]))


@step
def _opened(row, n, state):
    x, _, _, a, responses, registers = row
    outputs = split(split(split(responses[LANES:], a)[1], a)[1], a)[0]
    return begun(responses, registers), checked(x, outputs)


@step
def _eight_outputs(row, n, state):
    x, y, _, a, responses, _ = row
    new, past = eight(x, n, state[0], responses, a)
    put(y, n, new)
    return past, state[1] + new * filled(0.0)


@step
def _registers_left(row, n, state):
    x, y, b, a, _, registers = row
    return rest_of(x, y, b, a, registers, n, state[0], state[1], x.shape[0])


opened, eight_outputs, registers_left = of_each(_opened), of_each(_eight_outputs), of_each(_registers_left)


@jit
def filtered(rows):
    """The registers after the rows."""
    states, whole = opened(rows, 0, rows), rows[0][0].shape[0] // LANES * LANES
    for n in range(0, whole, LANES):
        states = eight_outputs(rows, n, states)
    return registers_left(rows, whole, states)


@jit
def _fixed_direct_form(first, last, arrays, sizes):
    zf = arrays[-1]
    for r in range(first, last - 1, 2):
        one, other = filtered((_row(arrays, r, sizes), _row(arrays, r + 1, sizes)))
        store(zf, r, one)
        store(zf, r + 1, other)
    if (last - first) % 2:
        (one,) = filtered((_row(arrays, last - 1, sizes),))
        store(zf, last - 1, one)


# ------------------------------------------------------------------------------------------------------------- adjoint
# A row is (g, x, y, dx, b, a, its responses, r of the M samples after it); its state r of the eight samples after n, 0 if
# that is finite, the sums of the vectors' gradients, none where they are not wanted, those of the samples in no vector, and
# zeros, as many.


@step
def _row_of_adjoint(arrays, r, sizes):
    g, gzf, x, b, a, y, dx = arrays[:7]
    b, a, _ = filter_of(b, a, r, sizes)
    return g[r], x[r], y[r], dx[r], b, a, backward_responses(a), doubles(loaded(gzf, (r,), 0, sizes[2]))


@jit
def one_by_one_backward(row, sums, begin, end):
    """r of the M samples from `begin` on, and the sums of the gradients of b and of a."""
    g, x, y, dx, b, a, _, later = row
    for n in range(end - 1, begin - 1, -1):
        now, out = np.float64(x[n]), np.float64(y[n])
        r = less_products(np.float64(g[n]), a, later)
        dx[n] = plus_products(b[0] * r, b[1:], later)
        products = (r * now,) + times(later, now) + times(later, -out)  # noqa: RUF005
        sums, later = plus(sums, products), pushed(r, later)
    return later, sums


def in_vector(values):
    """The numbers, then zeros."""


@overload(in_vector, jit_options=INLINED)
def _in_vector(values):
    elements = (f"values[{k}]" if k < len(values) else "0.0" for k in range(LANES))
    return defined("values", (), f"packed(({', '.join(elements)}))", packed=packed)


@step
def _last_samples(row, whole, sums):
    of_vectors, nothing = sums
    later, of_rest = one_by_one_backward(row, nothing, whole, row[0].shape[0])
    outputs = all_turned(split(row[6][LANES:], row[5])[0])
    return in_vector(later), checked(row[0], outputs), of_vectors, of_rest, nothing


def with_products(sums, x, y, n, delays):
    """The sums with the products of samples n to n+7 and of r, 0 to M samples later; none where there are none."""


@overload(with_products, jit_options=INLINED)
def _with_products(sums, x, y, n, delays):
    if len(sums) == 0:
        return lambda sums, x, y, n, delays: sums
    order = len(delays) - 1
    of_b = (f"sums[{i}] + now * delays[{i}]" for i in range(order + 1))
    of_a = (f"sums[{order + i}] - out * delays[{i}]" for i in range(1, order + 1))
    lines = ["now, out = load(x, n), load(y, n)"]
    return defined("sums, x, y, n, delays", lines, f"({', '.join([*of_b, *of_a])},)", load=load)


def advanced(r, later, count):
    """r of eight samples as it is, and 1 to M samples later."""


@overload(advanced, jit_options=INLINED)
def _advanced(r, later, count):
    vectors = (f"joined(r, later, {i})" if i < LANES else "later" for i in range(1, len(count) + 1))
    return unrolled("r, later, count", ("r", *vectors), joined=joined)


def combined(b, delays):
    """Σᵢ bᵢ·delaysᵢ, of numbers and vectors."""


@overload(combined, jit_options=INLINED)
def _combined(b, delays):
    terms = (f"filled(b[{i}]) * delays[{i}]" for i in reversed(range(len(b))))
    return defined("b, delays", (), " + ".join(terms), filled=filled)


@step
def _eight_earlier(row, n, state):
    g, x, y, dx, b, a, responses, _ = row
    later, check, sums, of_rest, nothing = state
    r = eight_before(g, n, later, responses, a)
    delays = advanced(r, later, a)
    put(dx, n, combined(b, delays))
    return r, check + r * filled(0.0), with_products(sums, x, y, n, delays), of_rest, nothing


def in_all(sums, of_rest):
    """All sums, of the vectors and of the samples in none; 0 where they are not wanted."""


@overload(in_all, jit_options=INLINED)
def _in_all(sums, of_rest):
    if len(sums) == 0:
        return lambda sums, of_rest: of_rest
    lines, results = [], []
    for first in range(0, len(sums), LANES):
        inside = range(first, min(first + LANES, len(sums)))
        vectors = [*(f"sums[{k}]" for k in inside), *["filled(0.0)"] * (LANES - len(inside))]
        lines.append(f"total{first} = totals(({', '.join(vectors)}))")
        results += (f"of_rest[{k}] + lane(total{first}, {k - first})" for k in inside)
    return defined("sums, of_rest", lines, f"({', '.join(results)},)", totals=totals, filled=filled, lane=lane)


def numbers_of(vector, count):
    """The first elements, as many as `count` is long."""


@overload(numbers_of, jit_options=INLINED)
def _numbers_of(vector, count):
    return unrolled("vector, count", (f"lane(vector, {k})" for k in range(len(count))), lane=lane)


@step
def _gradients(row, n, state):
    later, check, sums, of_rest, nothing = state
    if all_finite(check):
        return numbers_of(later, row[5]), in_all(sums, of_rest)
    return one_by_one_backward(row, nothing, 0, row[0].shape[0])


last_samples, eight_earlier, gradients = of_each(_last_samples), of_each(_eight_earlier), of_each(_gradients)


@jit
def went_back(rows, sums):
    """(the gradients of the registers before it, of b and of a) of each row, whose sums begin as these."""
    whole = rows[0][0].shape[0] // LANES * LANES
    states = last_samples(rows, whole, sums)
    for n in range(whole - LANES, -1, -LANES):
        states = eight_earlier(rows, n, states)
    return gradients(rows, 0, states)


@jit
def write_gradients(found, arrays, r, sizes):
    _, _, _, b, a, _, _, db, da, dzi = arrays
    b, a, inverse = filter_of(b, a, r, sizes)
    of_registers, of_coefficients = found
    of_b, of_a = split(of_coefficients, b)
    of_b, of_a = denormalised(of_b, of_a, b, a, inverse)
    store(dzi, r, of_registers)
    if db.shape[1]:
        store(db[:, 0], r, of_b)
    if da.shape[1]:
        store(da[:, 0], r, of_a)


def vectors_of(zeros):
    """As many vectors of zeros."""


@overload(vectors_of, jit_options=INLINED)
def _vectors_of(zeros):
    return unrolled("zeros", ("filled(0.0)" for _ in range(len(zeros))), filled=filled)


@jit
def _fixed_direct_form_adjoint(first, last, arrays, sizes, wanted, zeros):
    sums = vectors_of(wanted), zeros
    for r in range(first, last - 1, 2):
        rows = _row_of_adjoint(arrays, r, sizes), _row_of_adjoint(arrays, r + 1, sizes)
        one, other = went_back(rows, (sums, sums))
        write_gradients(one, arrays, r, sizes)
        write_gradients(other, arrays, r + 1, sizes)
    if (last - first) % 2:
        (one,) = went_back((_row_of_adjoint(arrays, last - 1, sizes),), (sums,))
        write_gradients(one, arrays, last - 1, sizes)


# ------------------------------------------------------------------------------------------------ tensors to the kernels


def applies(x: Tensor, b: Tensor, a: Tensor, timing) -> bool:
    """Whether it is such a filter, its coefficients in the layout `timing`."""
    return isinstance(timing, float) and not x.is_complex() and b.shape[2] - 1 <= LARGEST_ORDER


def fixed_direct_form(x: Tensor, b: Tensor, a: Tensor, zi: Tensor, y: Tensor, zf: Tensor) -> None:
    sizes = _sizes(b, a)
    work = x.numel() * (LANES + 2 * len(sizes[2])) // LANES
    over_rows(_fixed_direct_form, x.shape[0], work, ((x, b, a, zi, y, zf),), (x.dtype, sizes), (sizes,))


def fixed_direct_form_adjoint(
    g: Tensor,
    gzf: Tensor,
    x: Tensor,
    b: Tensor,
    a: Tensor,
    y: Tensor,
    dx: Tensor,
    db: Tensor,
    da: Tensor,
    dzi: Tensor,
) -> None:
    sizes = _sizes(b, a)
    zeros = (0.0,) * (2 * len(sizes[2]) + 1)
    constants = sizes, zeros if db.shape[1] or da.shape[1] else (), zeros
    work = g.numel() * (LANES + 5 * len(sizes[2])) // LANES
    arrays, key = (g, gzf, x, b, a, y, dx, db, da, dzi), (g.dtype, db.dtype, da.dtype, *constants)
    over_rows(_fixed_direct_form_adjoint, g.shape[0], work, (arrays,), key, constants)


def _sizes(b: Tensor, a: Tensor) -> tuple[tuple[int, ...], ...]:
    """The lengths of a row of b, of a, and of the registers."""
    return tuple(map(size, (b.shape[2], a.shape[2], b.shape[2] - 1)))
