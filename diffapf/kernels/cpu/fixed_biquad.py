"""A fixed filter of first or second order in the transposed direct form II, eight samples at once, and its adjoint.

The steps of eight samples are those of `fixed_sos.py`, whose equations hold here; but a section alone has its signals in the
arrays themselves, and its adjoint reads the output, which the cascade would compute again. Two rows go together, each of
which fills the time that the other waits. Float64 inside.
"""

# mypy: ignore-errors
# (code that Numba compiles, through parts of Numba that its type annotations leave out)

from __future__ import annotations

from collections.abc import Callable

from numba.extending import overload
from torch import Tensor

from diffapf.kernels.cpu.coefficients import denormalised, normalised
from diffapf.kernels.cpu.fixed_sos import backward_responses, begun, eight, eight_before, forward_responses, rest_of
from diffapf.kernels.cpu.launch import INLINED, jit, over_rows, step
from diffapf.kernels.cpu.tuples import doubles, loaded, plus, size, split, store, unrolled
from diffapf.kernels.cpu.vectors import LANES, all_finite, filled, joined, lane, load, packed, totals
from diffapf.kernels.cpu.vectors import store as put

LARGEST_ORDER = 2
SUMS = (0.0,) * (2 * LARGEST_ORDER + 1)  # the gradients of (b₀, b₁, b₂, a₁, a₂)


def in_second_order(values, length):
    """The numbers, and zeros for those that a filter of first order lacks."""


@overload(in_second_order, jit_options=INLINED)
def _in_second_order(values, length):
    return unrolled("values, length", (f"values[{k}]" if k < len(values) else "0.0" for k in range(len(length))))


PAIR, TRIPLE = size(LARGEST_ORDER), size(LARGEST_ORDER + 1)


@step
def registers_of(array, r, count):
    return in_second_order(doubles(loaded(array, (r,), 0, count)), PAIR)


@step
def filter_of(b, a, r, sizes):
    """A row's b and a, normalised, 1 over the leading coefficient, and c = (b₀, b₁, b₂, a₁, a₂)."""
    given = doubles(loaded(b, (r, 0), 0, sizes[0])), doubles(loaded(a, (r, 0), 0, sizes[1]))
    b_row, a_row, inverse = normalised(given[0], given[1])
    return b_row, a_row, inverse, in_second_order(b_row, TRIPLE) + in_second_order(a_row, PAIR)


def of_each(of_one: Callable) -> Callable:
    """`of_one(row, n, state)` of each of some rows, as a tuple."""

    def of_rows(rows, n, states):
        """Tuples of as many rows and states."""

    @overload(of_rows, jit_options=INLINED)
    def _of_rows(rows, n, states):
        results = (f"of_one(rows[{k}], n, states[{k}])" for k in range(len(rows)))
        return unrolled("rows, n, states", results, of_one=of_one)

    return of_rows


# ------------------------------------------------------------------------------------------------------------- forward
# A row is (x, y, c, its responses, the registers before it); its state what comes from the past, and 0 if that is finite.


@step
def _row(arrays, r, sizes):
    x, b, a, zi, y, _ = arrays
    c = filter_of(b, a, r, sizes)[3]
    return x[r], y[r], c, forward_responses(c), registers_of(zi, r, sizes[2])


@step
def _opened(row, n, state):
    return begun(row[3], row[4]), filled(0.0)


@step
def _eight_outputs(row, n, state):
    x, y, _, responses, _ = row
    new, past = eight(x, n, state[0], responses)
    put(y, n, new)
    return past, state[1] + new * filled(0.0)


@step
def _registers_left(row, n, state):
    x, y, c, _, registers = row
    return rest_of(x, y, c, registers, n, state[0][1], state[1], x.shape[0])


opened, eight_outputs, registers_left = of_each(_opened), of_each(_eight_outputs), of_each(_registers_left)


@jit
def filtered(rows):
    """The registers after the rows."""
    states, whole = opened(rows, 0, rows), rows[0][0].shape[0] // LANES * LANES
    for n in range(0, whole, LANES):
        states = eight_outputs(rows, n, states)
    return registers_left(rows, whole, states)


@jit
def _fixed_biquad(first, last, arrays, sizes):
    zf, registers = arrays[-1], sizes[2]
    for r in range(first, last - 1, 2):
        one, other = filtered((_row(arrays, r, sizes), _row(arrays, r + 1, sizes)))
        store(zf, r, split(one, registers)[0])
        store(zf, r + 1, split(other, registers)[0])
    if (last - first) % 2:
        (one,) = filtered((_row(arrays, last - 1, sizes),))
        store(zf, last - 1, split(one, registers)[0])


# ------------------------------------------------------------------------------------------------------------- adjoint
# r[n] = g[n] − a₁ r[n+1] − a₂ r[n+2], and r[T], r[T+1] are the gradients of the registers after the row. A row is (g, x, y,
# dx, c, its responses, these); its state r of the eight samples after n, 0 if that is finite, the sums of the vectors, and
# of the samples that are in none; there are no sums where they are not wanted.


@step
def _row_of_adjoint(arrays, r, sizes):
    g, gzf, x, b, a, y, dx = arrays[:7]
    c = filter_of(b, a, r, sizes)[3]
    return g[r], x[r], y[r], dx[r], c, backward_responses(c), registers_of(gzf, r, sizes[2])


@jit
def one_by_one_backward(row, begin, end):
    """(r[begin], r[begin+1], the sums of these samples)."""
    g, x, y, dx, c, _, (r1, r2) = row
    b0, b1, b2, a1, a2 = c
    sums = SUMS
    for n in range(end - 1, begin - 1, -1):
        r0 = (g[n] - a2 * r2) - a1 * r1
        dx[n] = b0 * r0 + b1 * r1 + b2 * r2
        sums = plus(sums, (x[n] * r0, x[n] * r1, x[n] * r2, -y[n] * r1, -y[n] * r2))
        r1, r2 = r0, r1
    return (r1, r2), sums


@step
def _last_samples(row, whole, sums):
    registers, of_rest = one_by_one_backward(row, whole, row[0].shape[0])
    later = packed((registers[0], registers[1], 0.0, 0.0, 0.0, 0.0, 0.0, 0.0))
    return later, filled(0.0), sums, of_rest


def with_products(sums, x, y, n, r, once, twice):
    """The sums with the products of samples n to n+7 and of r now, a sample later, and two; none where there are none."""


@overload(with_products, jit_options=INLINED)
def _with_products(sums, x, y, n, r, once, twice):
    if len(sums) == 0:
        return lambda sums, x, y, n, r, once, twice: sums

    def products_added(sums, x, y, n, r, once, twice):
        now, out = load(x, n), load(y, n)
        of_b = sums[0] + now * r, sums[1] + now * once, sums[2] + now * twice
        return of_b + (sums[3] - out * once, sums[4] - out * twice)  # noqa: RUF005

    return products_added


@step
def _eight_before(row, n, state):
    g, x, y, dx, c, responses, _ = row
    later, check, sums, of_rest = state
    r = eight_before(g, n, later, responses)
    once, twice = joined(r, later, 1), joined(r, later, 2)
    put(dx, n, filled(c[0]) * r + filled(c[1]) * once + filled(c[2]) * twice)
    return r, check + r * filled(0.0), with_products(sums, x, y, n, r, once, twice), of_rest


def total_of(sums, of_rest):
    """All sums, of the vectors and of the samples that are in none; 0 where they are not wanted."""


@overload(total_of, jit_options=INLINED)
def _total_of(sums, of_rest):
    if len(sums) == 0:
        return lambda sums, of_rest: of_rest

    def total(sums, of_rest):
        nothing = filled(0.0)
        found = totals((sums[0], sums[1], sums[2], sums[3], sums[4], nothing, nothing, nothing))
        of_vectors = lane(found, 0), lane(found, 1), lane(found, 2), lane(found, 3), lane(found, 4)
        return plus(of_rest, of_vectors)

    return total


@step
def _gradients(row, n, state):
    later, check, sums, of_rest = state
    if all_finite(check):
        return (lane(later, 0), lane(later, 1)), total_of(sums, of_rest)
    return one_by_one_backward(row, 0, row[0].shape[0])


last_samples, eight_earlier, gradients = of_each(_last_samples), of_each(_eight_before), of_each(_gradients)


@jit
def went_back(rows, sums):
    """(the gradient of the registers before it, that of c) of each row."""
    whole = rows[0][0].shape[0] // LANES * LANES
    states = last_samples(rows, whole, sums)
    for n in range(whole - LANES, -1, -LANES):
        states = eight_earlier(rows, n, states)
    return gradients(rows, 0, states)


@jit
def write_gradients(found, arrays, r, sizes):
    _, _, _, b, a, _, _, db, da, dzi = arrays
    b_row, a_row, inverse, _ = filter_of(b, a, r, sizes)
    of_registers, of_c = found
    of_b, of_a = split(of_c[:3], b_row)[0], split(of_c[3:], a_row)[0]
    of_b, of_a = denormalised(of_b, of_a, b_row, a_row, inverse)
    store(dzi, r, split(of_registers, sizes[2])[0])
    if db.shape[1]:
        store(db[:, 0], r, of_b)
    if da.shape[1]:
        store(da[:, 0], r, of_a)


@jit
def _fixed_biquad_adjoint(first, last, arrays, sizes, sums):
    for r in range(first, last - 1, 2):
        one, other = went_back(
            (_row_of_adjoint(arrays, r, sizes), _row_of_adjoint(arrays, r + 1, sizes)),
            (vectors_of(sums), vectors_of(sums)),
        )
        write_gradients(one, arrays, r, sizes)
        write_gradients(other, arrays, r + 1, sizes)
    if (last - first) % 2:
        (one,) = went_back((_row_of_adjoint(arrays, last - 1, sizes),), (vectors_of(sums),))
        write_gradients(one, arrays, last - 1, sizes)


def vectors_of(zeros):
    """As many vectors of zeros."""


@overload(vectors_of, jit_options=INLINED)
def _vectors_of(zeros):
    return unrolled("zeros", ("filled(0.0)" for _ in range(len(zeros))), filled=filled)


# ------------------------------------------------------------------------------------------------ tensors to the kernels


def applies(x: Tensor, b: Tensor, a: Tensor, timing) -> bool:
    """Whether it is such a filter, its coefficients in the layout `timing`."""
    return isinstance(timing, float) and not x.is_complex() and b.shape[2] - 1 <= LARGEST_ORDER


def fixed_biquad(x: Tensor, b: Tensor, a: Tensor, zi: Tensor, y: Tensor, zf: Tensor) -> None:
    key, sizes = _kind(x, b, a)
    over_rows(_fixed_biquad, x.shape[0], 2 * x.numel(), ((x, b, a, zi, y, zf),), key, (sizes,))


def fixed_biquad_adjoint(
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
    (key, sizes), sums = _kind(g, b, a), SUMS if db.shape[1] or da.shape[1] else ()
    arrays = g, gzf, x, b, a, y, dx, db, da, dzi
    over_rows(
        _fixed_biquad_adjoint, g.shape[0], 5 * g.numel(), (arrays,), (*key, db.dtype, da.dtype, sums), (sizes, sums)
    )


def _kind(x: Tensor, b: Tensor, a: Tensor) -> tuple[tuple, tuple]:
    """The key of a kernel, and the lengths of a row of b, of a, and of the registers."""
    lengths = b.shape[2], a.shape[2], b.shape[2] - 1
    return (x.dtype, *lengths), tuple(map(size, lengths))
