"""Second-order recursions with coefficients of each sample, eight samples of four rows at once, or of one.

All but the recursion is done in vectors of eight samples of a row: division by a₀, the sums over b, the gradients. The
recursion itself is the same two products a sample in all of them, for which vectors of a sample of each row are made of
these: coefficients are read at the output's time by "df2" and, backward in time, by the adjoint of "tdf2"; at the input's
time by "tdf2" and by the adjoint of "df2". Float64 inside.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from numba.extending import overload

from diffapf.kernels.cpu.launch import INLINED, jit, step
from diffapf.kernels.cpu.tuples import defined
from diffapf.kernels.cpu.vectors import (
    LANES,
    Vector,
    align_stack,
    filled,
    joined,
    lane,
    packed,
    rows_of_samples,
    samples_of,
    turned,
)

ROWS = 4  # at once

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
def products(b, w):
    return b[0] * w[0] + b[1] * w[1] + b[2] * w[2]


@step
def gradients(x, minus_out, loss, w, a):
    """Those of (b₀, b₁, b₂, a₀, a₁, a₂), which is x·w and loss·w; x and loss are divided by a₀.

    `minus_out` is −Σ bₖ w[n−k], b divided by a₀.
    """
    of_leading = x * minus_out - loss * (a[0] * w[1] + a[1] * w[2])
    return x * w[0], x * w[1], x * w[2], of_leading, loss * w[1], loss * w[2]


# ------------------------------------------------------------------------------------------------------- the two kinds
# Of one row: `opened(registers)` → (what of the inputs the first eight need, what of w, w[−1], w[−2]); `closed` its inverse.
# `left(a1, a2, registers)`: the registers a sample later, of no input.


class Kind(NamedTuple):
    direction: Direction
    opened: Callable
    closed: Callable
    left: Callable


def read_at_outputs(direction: Direction) -> Kind:
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


def read_at_inputs(direction: Direction) -> Kind:
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


def drive_of(direction: Direction) -> Callable:
    """What drives the recursion that reads at inputs: (known, its a₁, its a₂), and what the next eight need."""
    delayed = direction.delayed

    @step
    def drive(x, b, a1, a2, before):
        once, twice = b[1] * x, b[2] * x
        known = b[0] * x + delayed(before[0], once)[0] + delayed(before[1], twice)[1]
        return known, delayed(before[2], a1)[0], delayed(before[3], a2)[1], (once, twice, a1, a2)

    return drive


# --------------------------------------------------------------------------------------------------------------- a form
# `row(arrays, …)` is what there is of a row: `begun(row, n, inputs)` → (the drive, a₁ and a₂ of its eight samples from n on,
# what the next eight need of the inputs, what is kept), and `done(row, n, w, before, kept)` writes what comes of them.


class Form(NamedTuple):
    kind: Kind
    row: Callable
    begun: Callable
    done: Callable


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


def through_of(form: Form) -> Callable:
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
        inputs, before, w1, w2 = (tuple_of(f"r{k}[{part}]" for k in rows) for part in range(4))
        result = f"{inputs}, {before}, of({w1}), of({w2})"
        return defined("registers", lines, result, opened=kind.opened, of=together)

    def closed(inputs, w1, w2):
        """Each row's registers."""

    @overload(closed, jit_options=INLINED)
    def _closed(inputs, w1, w2):
        each = (f"closed(inputs[{k}], of(w1, {k}), of(w2, {k}))" for k in range(len(inputs)))
        return defined("inputs, w1, w2", (), tuple_of(each), closed=kind.closed, of=number_of)

    def begun(rows, places, offset, inputs):
        """(the drive, a₁ and a₂ of eight samples, what the next eight need of the inputs, what is kept) of all rows."""

    @overload(begun, jit_options=INLINED)
    def _begun(rows, places, offset, inputs):
        every = range(len(rows))
        lines = [f"r{k} = begun(rows[{k}], places[{k}] + offset, inputs[{k}])" for k in every]
        parts = [tuple_of(f"r{k}[{part}]" for k in every) for part in range(5)]
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


def tuple_of(elements) -> str:
    return f"({''.join(f'{element}, ' for element in elements)})"
