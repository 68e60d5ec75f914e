"""Time-varying biquads in the second direct forms, eight samples of four rows at once, and their adjoints.

All but the recursion is done in vectors of eight samples of a row: division by a₀, the sums over b, the gradients. The
recursion itself is the same two products a sample in all of them, for which vectors of a sample of each row are made of
these: coefficients are read at the output's time by "df2" and, backward in time, by the adjoint of "tdf2"; at the input's
time by "tdf2" and by the adjoint of "df2". Float64 inside.

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
from diffapf.kernels.cpu.tuples import defined, store
from diffapf.kernels.cpu.vectors import (
    LANES,
    Vector,
    align_stack,
    filled,
    in_line,
    joined,
    lane,
    load,
    load_columns,
    packed,
    rows_of_samples,
    samples_of,
    store_columns,
    turned,
)
from diffapf.kernels.pages import LARGE

TAPS = 3
ROWS = 4  # at once
SEGMENTS_TOGETHER = 8  # of all rows: four for each of two threads
LONG = 1 << 15  # samples: to cut fewer costs what it gains
FORGETTING = 64  # samples after which to look whether a state is forgotten: whole vectors

# A direction of time: `delayed(before, now)` are eight samples of a signal as they were one and two samples ago, `newest`
# the last two of them, `beginning` the eight that end with these two. A recursion goes through the places in `order`.


class Direction(NamedTuple):
    order: list[int]
    delayed: Callable
    newest: Callable
    beginning: Callable


def _direction(backward: bool) -> Direction:
    last, before_last = (0, 1) if backward else (LANES - 1, LANES - 2)

    @step
    def delayed(before, now):
        if backward:
            return joined(now, before, 1), joined(now, before, 2)
        return joined(before, now, 7), joined(before, now, 6)

    @step
    def newest(vector):
        return lane(vector, last), lane(vector, before_last)

    @step
    def beginning(one, two):
        ending = packed((0.0, 0.0, 0.0, 0.0, 0.0, 0.0, two, one))
        return turned(ending) if backward else ending

    return Direction([*range(LANES)][:: -1 if backward else 1], delayed, newest, beginning)


FORWARD, BACKWARD = _direction(backward=False), _direction(backward=True)


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
def products(b, w):
    return b[0] * w[0] + b[1] * w[1] + b[2] * w[2]


@step
def is_large(x):
    """Whether b and a of such an input are more than the caches hold, beside which nothing that is written stays there."""
    return x.shape[0] * x.shape[1] * TAPS * x.itemsize >= LARGE


@step
def put(array, n, vector, large):
    store_columns(array, n, (vector,), large)


@step
def write_gradients(row, n, g, of_output, w, loss, past, a):
    """Writes the gradients of b and a at a row's samples n to n+7: g·w, and loss·past; g and loss are divided by a₀.

    `of_output` is g·Σ bₖ w[n−k], b divided by a₀.
    """
    put_columns(row.db, row.r, n, (g * w[0], g * w[1], g * w[2]), row.is_large)
    leading = filled(0.0) - of_output - loss * (a[0] * past[0] + a[1] * past[1])
    put_columns(row.da, row.r, n, (leading, loss * past[0], loss * past[1]), row.is_large)


def put_columns(array, r, n, columns, large):
    """Three columns of row r at samples n to n+7, where they are wanted."""


@overload(put_columns, jit_options=INLINED)
def _put_columns_typed(array, r, n, columns, large):
    if isinstance(array, numba.types.NoneType):
        return lambda array, r, n, columns, large: None
    return lambda array, r, n, columns, large: store_columns(in_line(array[r]), n * TAPS, columns, large)


# ------------------------------------------------------------------------------------------------------- the two kinds
# Of one row: `opened(registers)` → (what of the inputs the first eight need, what of w, w[−1], w[−2]); `closed` its inverse.
# `left(a1, a2, registers)`: the registers a sample later, of no input.


class Kind(NamedTuple):
    direction: Direction
    opened: Callable
    closed: Callable
    left: Callable


def _read_at_outputs(direction: Direction) -> Kind:
    """w[n] = drive[n] − Σ aᵢ[n] w[n−i], out[n] = Σ bₖ[n] w[n−k]; the registers are the past of w."""
    beginning = direction.beginning

    @step
    def opened(registers):
        return (), beginning(registers[0], registers[1]), registers[0], registers[1]

    @step
    def closed(inputs, w1, w2):
        return w1, w2

    @step
    def left(a1, a2, registers):
        return -(a2 * registers[1]) - a1 * registers[0], registers[0]

    return Kind(direction, opened, closed, left)


def _read_at_inputs(direction: Direction) -> Kind:
    """out[n] = w[n] = Σ bₖ[n−k] drive[n−k] − Σ aᵢ[n−i] w[n−i]; the registers are what is pending."""
    newest, beginning = direction.newest, direction.beginning

    @step
    def opened(registers):
        nothing = filled(0.0)
        return (beginning(registers[0], 0.0), beginning(registers[1], 0.0), nothing, nothing), nothing, 0.0, 0.0

    @step
    def closed(inputs, w1, w2):
        once, twice, a1, a2 = newest(inputs[0]), newest(inputs[1]), newest(inputs[2]), newest(inputs[3])
        return (once[0] + twice[1] - a2[1] * w2) - a1[0] * w1, twice[0] - a2[0] * w1

    @step
    def left(a1, a2, registers):
        return registers[1] - a1 * registers[0], -(a2 * registers[0])

    return Kind(direction, opened, closed, left)


def _drive(direction: Direction) -> Callable:
    """What drives the recursion that reads at inputs: (known, its a₁, its a₂), and what the next eight need."""
    delayed = direction.delayed

    @step
    def drive(x, b, a1, a2, before):
        once, twice = b[1] * x, b[2] * x
        known = b[0] * x + delayed(before[0], once)[0] + delayed(before[1], twice)[1]
        return known, delayed(before[2], a1)[0], delayed(before[3], a2)[1], (once, twice, a1, a2)

    return drive


# ------------------------------------------------------------------------------------------------------------ the forms
# `row(arrays, r)` is a Row or RowOfAdjoint; `begun(row, n, inputs)` → (the drive, a₁ and a₂ of its eight samples from n on,
# what the next eight need of the inputs, what is kept), and `done(row, n, w, before, kept)` writes what comes of them.


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


class Form(NamedTuple):
    kind: Kind
    row: Callable
    begun: Callable
    done: Callable


def _form_2() -> Form:
    kind = _read_at_outputs(FORWARD)
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
    kind = _read_at_inputs(FORWARD)
    drive = _drive(kind.direction)

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
    kind = _read_at_inputs(BACKWARD)
    drive, delayed = _drive(kind.direction), FORWARD.delayed

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
        of_output, loss = g * inverse * products(b, (w, once, twice)), (filled(0.0) - out) * inverse
        write_gradients(row, n, g, of_output, (w, once, twice), loss, (once, twice), (a1, a2))

    return Form(kind, _row_of_adjoint, begun, done)


def _transposed_form_2_adjoint() -> Form:
    kind = _read_at_outputs(BACKWARD)
    delayed = kind.direction.delayed

    @step
    def begun(row, n, inputs):
        a1, a2, inverse = normalised(row.a, n)
        return load(row.g, n), a1, a2, inputs, (a1, a2, inverse)

    @step
    def done(row, n, w, before, kept):
        a1, a2, inverse = kept
        once, twice = delayed(before, w)
        x, loss = load(row.x, n) * inverse, (filled(0.0) - load(row.signal, n)) * inverse
        out = inverse * products(columns(row.b, n), (w, once, twice))
        put(row.dx, n, out, row.is_large)
        write_gradients(row, n, x, x * out, (w, once, twice), loss, (once, twice), (a1, a2))

    return Form(kind, _row_of_adjoint, begun, done)


form_2, transposed_form_2 = _form_2(), _transposed_form_2()
form_2_adjoint, transposed_form_2_adjoint = _form_2_adjoint(), _transposed_form_2_adjoint()

# ---------------------------------------------------------------------------------------------------- one row, or four


def together(numbers):
    """One number for each row: the vector of them, or of one row the number."""


@overload(together, jit_options=INLINED)
def _together(numbers):
    return (lambda numbers: numbers[0]) if len(numbers) == 1 else (lambda numbers: packed(numbers))


def number_of(numbers, row):
    """That of one row, a constant."""


@overload(number_of, jit_options=INLINED, prefer_literal=True)
def _number_of(numbers, row):
    at = row.literal_value
    return (lambda numbers, row: lane(numbers, at)) if isinstance(numbers, Vector) else (lambda numbers, row: numbers)


def _through(form: Form) -> Callable:
    """`through(rows, places, count, registers)`: as many vectors of each row, the first at its place → the registers."""
    kind, order = form.kind, form.kind.direction.order
    shift = LANES if order[0] == 0 else -LANES

    def recursion(drive, a1, a2, w1, w2):
        """w[k] = drive[k] − a1[k] w[k−1] − a2[k] w[k−2] of eight samples: (w of each row, the last one, the one before)."""

    @overload(recursion, jit_options=INLINED)
    def _recursion(drive, a1, a2, w1, w2):
        lines, newest, older = [], "w1", "w2"
        for k in order:
            lines.append(f"s{k} = (drive[{k}] - a2[{k}] * {older}) - a1[{k}] * {newest}")
            newest, older = f"s{k}", newest
        result = f"rows_of_samples(({', '.join(f's{k}' for k in range(LANES))})), {newest}, {older}"
        return defined("drive, a1, a2, w1, w2", lines, result, rows_of_samples=rows_of_samples)

    def opened(registers):
        """The state of all rows, of each one's registers."""

    @overload(opened, jit_options=INLINED)
    def _opened(registers):
        rows = range(len(registers))
        lines = [f"r{k} = opened(registers[{k}])" for k in rows]
        inputs, before, w1, w2 = (_tuple(f"r{k}[{part}]" for k in rows) for part in range(4))
        result = f"{inputs}, {before}, of({w1}), of({w2})"
        return defined("registers", lines, result, opened=kind.opened, of=together)

    def closed(inputs, w1, w2):
        """Each row's registers."""

    @overload(closed, jit_options=INLINED)
    def _closed(inputs, w1, w2):
        each = (f"closed(inputs[{k}], of(w1, {k}), of(w2, {k}))" for k in range(len(inputs)))
        return defined("inputs, w1, w2", (), _tuple(each), closed=kind.closed, of=number_of)

    def begun(rows, places, offset, inputs):
        """(the drive, a₁ and a₂ of eight samples, what the next eight need of the inputs, what is kept) of all rows."""

    @overload(begun, jit_options=INLINED)
    def _begun(rows, places, offset, inputs):
        every = range(len(rows))
        lines = [f"r{k} = begun(rows[{k}], places[{k}] + offset, inputs[{k}])" for k in every]
        parts = [_tuple(f"r{k}[{part}]" for k in every) for part in range(5)]
        result = ", ".join([*(f"samples_of({part})" for part in parts[:3]), *parts[3:]])
        return defined("rows, places, offset, inputs", lines, result, begun=form.begun, samples_of=samples_of)

    def done(rows, places, offset, w, before, kept):
        """Writes what comes of eight samples of each row."""

    @overload(done, jit_options=INLINED)
    def _done(rows, places, offset, w, before, kept):
        each = "done(rows[{k}], places[{k}] + offset, w[{k}], before[{k}], kept[{k}])"
        lines = [each.format(k=k) for k in range(len(rows))]
        return defined("rows, places, offset, w, before, kept", lines, "None", done=form.done)

    @jit
    def through(rows, places, count, registers):
        align_stack()
        inputs, before, w1, w2 = opened(registers)
        if count == 0:
            return registers
        drive, a1, a2, inputs, kept = begun(rows, places, 0, inputs)
        for i in range(count):  # the next eight samples are begun while the recursion waits for itself
            later = begun(rows, places, min(i + 1, count - 1) * shift, inputs)
            w, w1, w2 = recursion(drive, a1, a2, w1, w2)
            done(rows, places, i * shift, w, before, kept)
            before = w
            drive, a1, a2, inputs, kept = later
        return closed(inputs, w1, w2)

    return through


def _tuple(elements) -> str:
    return f"({''.join(f'{element}, ' for element in elements)})"


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
    through, row_of, decayed, backward = _through(form), form.row, form.kind.left, form.kind.direction is BACKWARD
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
        lines.append(f"count = min({_tuple(f'whole(begin{k}, end{k})' for k in every)})")
        rows, places, registers = (
            _tuple(each.format(k=k) for k in every)
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
