"""Time-varying biquads in the second direct forms, four rows at once (`second_order.py`), and their adjoints.

Few long rows are cut into segments, which are filtered from rest like rows (`segments.py` has the idea). Then each segment's
beginning is filtered again, from the state that it has, until that state's own response is lost in rounding; where the
filter remembers for half a segment, all of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numba
import numpy as np
from numba.extending import overload
from torch import Tensor

from diffapf.kernels import segments_of
from diffapf.kernels.cpu.coefficients import rows_of
from diffapf.kernels.cpu.launch import INLINED, jit, named, over_rows, scratch, step
from diffapf.kernels.cpu.second_order import (
    BACKWARD,
    FORWARD,
    ROWS,
    Form,
    drive_of,
    gradients,
    products,
    read_at_inputs,
    read_at_outputs,
    through_of,
    tuple_of,
)
from diffapf.kernels.cpu.tuples import defined, store
from diffapf.kernels.cpu.vectors import LANES, filled, in_line, load, load_columns, store_columns
from diffapf.kernels.pages import LARGE

TAPS = 3
SEGMENTS_TOGETHER = 8  # of all rows: four for each of two threads
LONG = 1 << 15  # samples: to cut fewer costs what it gains
FORGETTING = 64  # samples after which to look whether a state is forgotten: whole vectors


@step
def columns(array, n):
    """b or a of samples n to n+7."""
    return load_columns(array, n * TAPS, TAPS)


@step
def normalised(a, n):
    """a₁/a₀ and a₂/a₀ of samples n to n+7, and 1/a₀."""
    a0, a1, a2 = columns(a, n)
    inverse = filled(1.0) / a0
    return a1 * inverse, a2 * inverse, inverse


@step
def is_large(x):
    """Whether b and a of such an input are more than the caches hold, beside which nothing that is written stays there."""
    return x.shape[0] * x.shape[1] * TAPS * x.itemsize >= LARGE


@step
def put(array, n, vector, large):
    store_columns(array, n, (vector,), large)


@step
def write_gradients(row, n, x, minus_out, loss, w, a):
    """Writes the gradients of b and a at a row's samples n to n+7."""
    of_b0, of_b1, of_b2, of_a0, of_a1, of_a2 = gradients(x, minus_out, loss, w, a)
    put_columns(row.db, row.r, n, (of_b0, of_b1, of_b2), row.is_large)
    put_columns(row.da, row.r, n, (of_a0, of_a1, of_a2), row.is_large)


def put_columns(array, r, n, columns, large):
    """Three columns of row r at samples n to n+7, where they are wanted."""


@overload(put_columns, jit_options=INLINED)
def _put_columns_typed(array, r, n, columns, large):
    if isinstance(array, numba.types.NoneType):
        return lambda array, r, n, columns, large: None
    return lambda array, r, n, columns, large: store_columns(in_line(array[r]), n * TAPS, columns, large)


# ------------------------------------------------------------------------------------------------------------ the forms


class Row(NamedTuple):
    x: object
    b: object
    a: object
    y: object
    w: object  # () of "tdf2"
    is_large: bool


class RowOfAdjoint(NamedTuple):
    g: object
    x: object
    b: object
    a: object
    signal: object  # w of "df2", y of "tdf2"
    dx: object
    db: object  # of all rows, or None
    da: object
    r: int
    is_large: bool


def _form_2() -> Form:
    kind = read_at_outputs(FORWARD)
    delayed = kind.direction.delayed

    @step
    def row(arrays, r):
        x, b, a, _, y, w = arrays
        return Row(x[r], rows_of(b, r), rows_of(a, r), y[r], w[r], is_large(x))

    @step
    def begun(row, n, inputs):
        a1, a2, inverse = normalised(row.a, n)
        return load(row.x, n), a1, a2, inputs, inverse

    @step
    def done(row, n, w, before, inverse):
        once, twice = delayed(before, w)
        put(row.y, n, inverse * products(columns(row.b, n), (w, once, twice)), row.is_large)
        put(row.w, n, w, row.is_large)

    return Form(kind, row, begun, done)


def _transposed_form_2() -> Form:
    kind = read_at_inputs(FORWARD)
    drive = drive_of(kind.direction)

    @step
    def row(arrays, r):
        x, b, a, _, y, _ = arrays
        return Row(x[r], rows_of(b, r), rows_of(a, r), y[r], (), is_large(x))

    @step
    def begun(row, n, inputs):
        a1, a2, inverse = normalised(row.a, n)
        known, a1, a2, inputs = drive(load(row.x, n) * inverse, columns(row.b, n), a1, a2, inputs)
        return known, a1, a2, inputs, ()

    @step
    def done(row, n, out, before, kept):
        put(row.y, n, out, row.is_large)

    return Form(kind, row, begun, done)


@step
def _row_of_adjoint(arrays, r):
    g, x, b, a, _, _, signal, dx, db, da = arrays
    return RowOfAdjoint(g[r], x[r], rows_of(b, r), rows_of(a, r), signal[r], dx[r], db, da, r, is_large(x))


def _form_2_adjoint() -> Form:
    kind = read_at_inputs(BACKWARD)
    drive, delayed = drive_of(kind.direction), FORWARD.delayed

    @step
    def begun(row, n, inputs):
        a1, a2, inverse = normalised(row.a, n)
        g, b = load(row.g, n) * inverse, columns(row.b, n)
        known, a1_before, a2_before, inputs = drive(g, b, a1, a2, inputs)
        return known, a1_before, a2_before, inputs, (g, b, a1, a2, inverse)

    @step
    def done(row, n, out, before, kept):
        g, b, a1, a2, inverse = kept
        w = load(row.signal, n)
        once, twice = delayed(load(row.signal, n - LANES), w)
        put(row.dx, n, out, row.is_large)
        minus, read = filled(0.0) - inverse, (w, once, twice)
        write_gradients(row, n, g, minus * products(b, read), minus * out, read, (a1, a2))

    return Form(kind, _row_of_adjoint, begun, done)


def _transposed_form_2_adjoint() -> Form:
    kind = read_at_outputs(BACKWARD)
    delayed = kind.direction.delayed

    @step
    def begun(row, n, inputs):
        a1, a2, inverse = normalised(row.a, n)
        return load(row.g, n), a1, a2, inputs, (a1, a2, inverse)

    @step
    def done(row, n, w, before, kept):
        a1, a2, inverse = kept
        once, twice = delayed(before, w)
        minus, read = filled(0.0) - inverse, (w, once, twice)
        out = inverse * products(columns(row.b, n), read)
        put(row.dx, n, out, row.is_large)
        x, loss = load(row.x, n) * inverse, minus * load(row.signal, n)
        write_gradients(row, n, x, filled(0.0) - out, loss, read, (a1, a2))

    return Form(kind, _row_of_adjoint, begun, done)


form_2, transposed_form_2 = _form_2(), _transposed_form_2()
form_2_adjoint, transposed_form_2_adjoint = _form_2_adjoint(), _transposed_form_2_adjoint()

# --------------------------------------------------------------------------------------------------------- the kernels


@step
def segment_at(unit, segments, time):
    """A unit's row, its first sample and the first one after. The last segment of a row takes what is left over."""
    row, index = unit // segments, unit % segments
    length = time // segments // LANES * LANES
    return row, index * length, time if index == segments - 1 else (index + 1) * length


def biquads(name: str, form: Form, samples: Callable) -> Callable:
    """`launch(arrays, given, left, work, key, sizes)`: a form, from the registers `given` to those that are `left`.

    `samples(arrays, row, begin, end, registers, sizes)` filters what is no whole vector, and returns the registers.
    """
    through, row_of, decayed, backward = through_of(form), form.row, form.kind.left, form.kind.direction is BACKWARD
    margin = LANES if backward else 0  # samples at a row's beginning which read what is before the signal

    @step
    def whole(begin, end):
        """How many vectors there are in a segment."""
        return max(end - max(begin, margin), 0) // LANES

    @step
    def registers_at(array, row):
        return np.float64(array[row, 0]), np.float64(array[row, 1])

    @step
    def is_first(begin, end, time):
        return end == time if backward else begin == 0

    @step
    def is_last(begin, end, time):
        return begin == 0 if backward else end == time

    @step
    def place(begin, end, count):
        """Where the vector after so many begins."""
        return end - LANES * (count + 1) if backward else begin + LANES * count

    @jit
    def rest_of(arrays, row, begin, end, count, registers, sizes):
        """A segment without its first vectors, as many as `count`."""
        more = whole(begin, end) - count
        registers = through((row_of(arrays, row),), (place(begin, end, count),), more, (registers,))[0]
        first, last = (begin, end - LANES * (count + more)) if backward else (begin + LANES * (count + more), end)
        if first < last:
            kind = arrays[0].dtype.type
            own = kind(registers[0]), kind(registers[1])
            own = samples(arrays, row, first, last, own, sizes)
            registers = np.float64(own[0]), np.float64(own[1])
        return registers

    def four_together(units, arrays, after, segments):
        """Filters four segments from the registers in `after`, as many vectors as all of them have: how many."""

    @overload(four_together, jit_options=INLINED)
    def _four_together(units, arrays, after, segments):
        every, lines = range(ROWS), ["time = arrays[0].shape[1]"]
        lines += [f"r{k}, begin{k}, end{k} = segment_at(units[{k}], segments, time)" for k in every]
        lines.append(f"count = min({tuple_of(f'whole(begin{k}, end{k})' for k in every)})")
        rows, places, registers = (
            tuple_of(each.format(k=k) for k in every)
            for each in ("row_of(arrays, r{k})", "place(begin{k}, end{k}, 0)", "registers_at(after, units[{k}])")
        )
        lines.append(f"left = through({rows}, {places}, count, {registers})")
        lines += [f"store(after, units[{k}], left[{k}])" for k in every]
        names = {"whole": whole, "row_of": row_of, "place": place, "through": through, "registers_at": registers_at}
        names |= {"segment_at": segment_at, "store": store}
        return defined("units, arrays, after, segments", lines, "count", **names)

    @jit
    def from_rest(first, last, arrays, given, left, segments, after, sizes):
        count, time = int(segments), arrays[0].shape[1]
        for unit in range(first, last):
            row, begin, end = segment_at(unit, count, time)
            store(after, unit, registers_at(given, row) if is_first(begin, end, time) else (0.0, 0.0))
        for unit in range(first, last, ROWS):
            following, done = min(unit + ROWS, last), 0
            if unit + 1 < last:
                units = unit, unit + 1, min(unit + 2, last - 1), min(unit + 3, last - 1)
                done = four_together(units, arrays, after, count)
            for each in range(unit, following):
                row, begin, end = segment_at(each, count, time)
                registers = rest_of(arrays, row, begin, end, done, registers_at(after, each), sizes)
                store(after, each, registers)
                if is_last(begin, end, time):
                    store(left, row, registers)

    @jit
    def after_response(a, n, count, registers):
        """What of the registers is left after so many samples."""
        for i in range(count):
            at = (n - 1 - i if backward else n + i) * TAPS
            inverse = 1.0 / np.float64(a[at])
            registers = decayed(a[at + 1] * inverse, a[at + 2] * inverse, registers)
        return registers

    @jit
    def mended(arrays, row, begin, end, registers, after, unit, sizes):
        """Filters a segment again, from these registers, as far as they are remembered."""
        smallest = 2.0**-32 if arrays[0].itemsize == 4 else 2.0**-54
        response, done, filtered = registers, 0, row_of(arrays, row)
        whole_vectors = whole(begin, end)
        while done < whole_vectors and 2 * LANES * done < end - begin:
            size = max(abs(registers[0]), abs(registers[1]))
            if abs(response[0]) <= smallest * size and abs(response[1]) <= smallest * size and size < np.inf:
                return
            count = min(FORGETTING // LANES, whole_vectors - done)
            at = end - LANES * done if backward else begin + LANES * done
            response = after_response(filtered.a, at, LANES * count, response)
            registers = through((filtered,), (place(begin, end, done),), count, (registers,))[0]
            done += count
        store(after, unit, rest_of(arrays, row, begin, end, done, registers, sizes))

    @jit
    def carried_on(first, last, arrays, given, left, segments, after, sizes):
        count, time = int(segments), arrays[0].shape[1]
        for r in range(first, last):
            for index in range(1, count):
                unit = r * count + (count - 1 - index if backward else index)
                before = registers_at(after, unit + 1 if backward else unit - 1)
                _, begin, end = segment_at(unit, count, time)
                mended(arrays, r, begin, end, before, after, unit, sizes)
            store(left, r, registers_at(after, r * count if backward else r * count + count - 1))

    named(from_rest, f"{name}_in_segments")
    named(carried_on, f"{name}_carried_on")

    def launch(arrays: tuple, given: Tensor, left: Tensor, work: int, key: tuple, sizes: tuple) -> None:
        rows, time = arrays[0].shape
        segments = segments_of(rows, time, SEGMENTS_TOGETHER) if rows * time >= LONG else 1
        after = scratch(rows * segments, TAPS - 1)
        arguments = arrays, given, left, segments, after
        over_rows(from_rest, rows * segments, work, arguments, key, (sizes,))
        if segments > 1:
            over_rows(carried_on, rows, 0, arguments, key, (sizes,))

    return launch
