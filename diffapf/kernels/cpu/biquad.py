"""Time-varying biquads in the second direct forms, eight samples at once, and their adjoints.

All but the recursion is done in vectors: division by a₀, the sums over b, the gradients. The recursion itself is the same
two products a sample in all of them: coefficients are read at the output's time by "df2" and, backward in time, by the
adjoint of "tdf2"; at the input's time by "tdf2" and by the adjoint of "df2". Float64 inside.
"""

from __future__ import annotations

import numba
import numpy as np
from numba.extending import overload

from diffapf.kernels.cpu.coefficients import rows_of
from diffapf.kernels.cpu.launch import INLINED, step
from diffapf.kernels.cpu.tuples import defined
from diffapf.kernels.cpu.vectors import (
    LANES,
    filled,
    in_line,
    joined,
    lane,
    load,
    load_columns,
    packed,
    store,
    store_columns,
    turned,
)

TAPS = 3


def recursion(drive, a1, a2, past):
    """w[k] = drive[k] − a1[k] w[k−1] − a2[k] w[k−2] of eight samples, and the last two; `past` are w[−1] and w[−2]."""


@overload(recursion, jit_options=INLINED)
def _recursion(drive, a1, a2, past):
    lines = ["w_1, w_2 = past"]
    for k in range(LANES):
        before, older = (f"w{k - 1}" if k > 0 else "w_1"), (f"w{k - 2}" if k > 1 else f"w_{2 - k}")
        lines.append(f"w{k} = (lane(drive, {k}) - lane(a2, {k}) * {older}) - lane(a1, {k}) * {before}")
    result = f"packed(({', '.join(f'w{k}' for k in range(LANES))})), (w7, w6)"
    return defined("drive, a1, a2, past", lines, result, lane=lane, packed=packed)


@step
def read_at_outputs(drive, b, a, past):
    """w[n] = drive[n] − Σ aᵢ[n] w[n−i], out[n] = Σ bₖ[n] w[n−k]: (w and its past versions, out, the past after it)."""
    w, last = recursion(drive, a[0], a[1], past)
    earlier = packed((0.0, 0.0, 0.0, 0.0, 0.0, 0.0, past[1], past[0]))
    once, twice = joined(earlier, w, 7), joined(earlier, w, 6)
    return (w, once, twice), b[0] * w + b[1] * once + b[2] * twice, last


@step
def read_at_inputs(drive, b, a, before):
    """out[n] = Σ bₖ[n−k] drive[n−k] − Σ aᵢ[n−i] out[n−i]: (out, what the next eight read of these)."""
    earlier_once, earlier_twice, earlier_a1, earlier_a2, past = before
    once, twice = b[1] * drive, b[2] * drive
    known = b[0] * drive + joined(earlier_once, once, 7) + joined(earlier_twice, twice, 6)
    out, last = recursion(known, joined(earlier_a1, a[0], 7), joined(earlier_a2, a[1], 6), past)
    return out, (once, twice, a[0], a[1], last)


@step
def from_registers(pending):
    """What `read_at_inputs` reads of the registers alone."""
    once = packed((0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, pending[0]))
    twice = packed((0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, pending[1]))
    return once, twice, filled(0.0), filled(0.0), (0.0, 0.0)


@step
def to_registers(before):
    once, twice, a1, a2, past = before
    first = (lane(once, 7) + lane(twice, 6) - lane(a2, 6) * past[1]) - lane(a1, 7) * past[0]
    return first, lane(twice, 7) - lane(a2, 7) * past[0]


@step
def normalised(b, a, n):
    """b and a of samples n to n+7, divided by a₀, and 1/a₀."""
    b0, b1, b2 = load_columns(b, n * TAPS, TAPS)
    a0, a1, a2 = load_columns(a, n * TAPS, TAPS)
    inverse = filled(1.0) / a0
    return (b0 * inverse, b1 * inverse, b2 * inverse), (a1 * inverse, a2 * inverse), inverse


@step
def backward(b, a):
    return (turned(b[0]), turned(b[1]), turned(b[2])), (turned(a[0]), turned(a[1]))


@step
def write_gradients(gradients, r, n, of_b, of_a, b, a, inverse):
    """Writes the gradients of b and a at samples n to n+7, of those of the normalised ones."""
    b0, b1, b2 = of_b[0] * inverse, of_b[1] * inverse, of_b[2] * inverse
    a1, a2 = of_a[0] * inverse, of_a[1] * inverse
    leading = filled(0.0) - b0 * b[0] - b1 * b[1] - b2 * b[2] - a1 * a[0] - a2 * a[1]
    _put(gradients[0], r, n, (b0, b1, b2))
    _put(gradients[1], r, n, (leading, a1, a2))


def _put(array, r, n, columns):
    """Three columns of row r at samples n to n+7, where they are wanted."""


@overload(_put, jit_options=INLINED)
def _put_typed(array, r, n, columns):
    if isinstance(array, numba.types.NoneType):
        return lambda array, r, n, columns: None
    return lambda array, r, n, columns: store_columns(in_line(array[r]), n * TAPS, columns)


@step
def form_2(x, b, a, y, w, r, registers):
    past, n = registers, 0
    while n + LANES <= x.shape[0]:
        row_b, row_a, _ = normalised(b, a, n)
        inner, out, past = read_at_outputs(load(x, n), row_b, row_a, past)
        store(y, n, out)
        store(w[r], n, inner[0])
        n += LANES
    return n, past


@step
def transposed_form_2(x, b, a, y, w, r, registers):
    before, n = from_registers(registers), 0
    while n + LANES <= x.shape[0]:
        row_b, row_a, _ = normalised(b, a, n)
        out, before = read_at_inputs(load(x, n), row_b, row_a, before)
        store(y, n, out)
        n += LANES
    return n, to_registers(before)


@step
def form_2_adjoint(g, x, b, a, w, dx, gradients, r, registers):
    before, n = from_registers(registers), g.shape[0]
    while n - LANES >= TAPS - 1:  # the first samples read what is before the signal
        n -= LANES
        now = load(g, n)
        row_b, row_a, inverse = normalised(b, a, n)
        turned_b, turned_a = backward(row_b, row_a)
        out, before = read_at_inputs(turned(now), turned_b, turned_a, before)
        out = turned(out)
        store(dx, n, out)
        once, twice, loss = load(w, n - 1), load(w, n - 2), filled(0.0) - out
        of_b, of_a = (now * load(w, n), now * once, now * twice), (loss * once, loss * twice)
        write_gradients(gradients, r, n, of_b, of_a, row_b, row_a, inverse)
    return n, to_registers(before)


@step
def transposed_form_2_adjoint(g, x, b, a, y, dx, gradients, r, registers):
    later, n = registers, g.shape[0]
    while n - LANES >= TAPS - 1:
        n -= LANES
        row_b, row_a, inverse = normalised(b, a, n)
        turned_b, turned_a = backward(row_b, row_a)
        inner, out, later = read_at_outputs(turned(load(g, n)), turned_b, turned_a, later)
        store(dx, n, turned(out))
        now, once, twice = turned(inner[0]), turned(inner[1]), turned(inner[2])
        source, loss = load(x, n), filled(0.0) - load(y, n)
        of_b, of_a = (source * now, source * once, source * twice), (loss * once, loss * twice)
        write_gradients(gradients, r, n, of_b, of_a, row_b, row_a, inverse)
    return n, later


# What the kernels of all orders and layouts begin with, where theirs is a moving biquad: `sizes` are the taps of b, of a and
# the registers, which the compiler knows.


def vectors_of(form):
    """`begin(x, b, a, timing, r, y, w, registers, sizes)` → (the samples done of row r, the registers after them)."""

    def begin(x, b, a, timing, r, y, w, registers, sizes):
        """None of them, unless there are vectors for this form."""

    @overload(begin)
    def _begin(x, b, a, timing, r, y, w, registers, sizes):
        if form is None or not _is_moving_biquad(x, timing, sizes):
            return lambda x, b, a, timing, r, y, w, registers, sizes: (0, registers)

        def vectors(x, b, a, timing, r, y, w, registers, sizes):
            given = np.float64(registers[0]), np.float64(registers[1])
            done, left = form(x[r], rows_of(b, r), rows_of(a, r), y[r], w, r, given)
            return done, (x.dtype.type(left[0]), x.dtype.type(left[1]))

        return vectors

    return begin


def vectors_of_adjoint(form):
    """`begin(g, x, b, a, timing, r, signal, dx, db, da, registers, sizes)` → (how many are left, the registers there)."""

    def begin(g, x, b, a, timing, r, signal, dx, db, da, registers, sizes):
        """All of them, unless there are vectors for this form."""

    @overload(begin)
    def _begin(g, x, b, a, timing, r, signal, dx, db, da, registers, sizes):
        if form is None or not _is_moving_biquad(g, timing, sizes):
            return lambda g, x, b, a, timing, r, signal, dx, db, da, registers, sizes: (g.shape[1], registers)

        def vectors(g, x, b, a, timing, r, signal, dx, db, da, registers, sizes):
            given = np.float64(registers[0]), np.float64(registers[1])
            left, rest = form(g[r], x[r], rows_of(b, r), rows_of(a, r), signal[r], dx[r], (db, da), r, given)
            return left, (g.dtype.type(rest[0]), g.dtype.type(rest[1]))

        return vectors

    return begin


def _is_moving_biquad(signal, timing, sizes) -> bool:
    real = isinstance(signal.dtype, numba.types.Float)
    return real and isinstance(timing, numba.types.NoneType) and [len(taps) for taps in sizes] == [TAPS, TAPS, TAPS - 1]
