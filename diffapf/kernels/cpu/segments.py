"""Few rows of long signals, cut into segments in time that advance together: what a linear recursion does is a sum.

A segment's output is the response to its input, from rest, and the response to the state before it alone. The first is
computed of all segments at once, on several threads, two of them interleaved: a recursion is a chain of dependent
operations, and two chains fill the time that one waits. Then the state before each is carried through it and added, until
a sample for each register went by in which that changed nothing: from there on the recursion would continue from the very
numbers that it has. A stable filter forgets within some hundred or thousand samples; what an unstable one has left at a
segment's end is carried on, in order.

A recursion is given as `step(arrays, row, begin, end, i, state)`, which takes a segment's i-th sample and returns its state,
a tuple of float64, and whether any result changed. The tuple's first numbers are the registers; sums may follow.
"""

# mypy: ignore-errors

from __future__ import annotations

import numpy as np
import torch
from numba import types
from numba.extending import overload
from torch import Tensor

from diffapf.kernels import segments_of
from diffapf.kernels.cpu.launch import INLINED, inline, jit, named, over_rows
from diffapf.kernels.cpu.tuples import loaded


def _states_before(initial: Tensor, segments: int, backward: bool) -> Tensor:
    """The state before each segment: the row's initial one where the row begins, else rest."""
    if segments == 1:
        return initial
    states = initial.new_zeros(initial.shape[0], segments, initial.shape[1])
    states[:, -1 if backward else 0] = initial
    return states.flatten(0, 1)


# A source that is None: the response to the state alone, which is added to the results.


def with_sample(value, x, b, n):
    """value + x[b, n]."""


@overload(with_sample, inline="always")
def _with_sample(value, x, b, n):
    if isinstance(x, types.NoneType):
        return lambda value, x, b, n: value
    return lambda value, x, b, n: value + x[b, n]


def put(source, results, b, n, value):
    """results[b, n] = value, or that added to it; and whether it changed. Nothing where there are no results."""


@overload(put, jit_options=INLINED)
def _put(source, results, b, n, value):
    if isinstance(results, types.NoneType):
        return lambda source, results, b, n, value: False
    if isinstance(source, types.NoneType):
        return lambda source, results, b, n, value: _added(results, (b, n), value)

    def store(source, results, b, n, value):
        results[b, n] = value
        return True

    return store


def put_row(source, results, b, n, values):
    """results[b, n, :] = values, a tuple, or that added to it; and whether any changed."""


@overload(put_row, jit_options=INLINED)
def _put_row(source, results, b, n, values):
    if isinstance(results, types.NoneType):
        return lambda source, results, b, n, values: False
    if isinstance(source, types.NoneType):

        def add_all(source, results, b, n, values):
            changed = False
            for k in range(len(values)):
                changed |= _added(results, (b, n, np.uintp(k)), values[k])
            return changed

        return add_all

    def store_all(source, results, b, n, values):
        for k in range(len(values)):
            results[b, n, np.uintp(k)] = values[k]
        return True

    return store_all


@inline
def _added(array, where, value):
    before = array[where]
    array[where] += value
    return array[where] != before  # NaN is a change for ever


@jit
def segment_at(unit, segments, time):
    """A unit's row, its first sample and the first one after. The last segment of a row takes what is left over."""
    row, index = unit // segments, unit % segments
    length = time // segments
    return row, index * length, time if index == segments - 1 else (index + 1) * length


def in_segments(name: str, step, backward: bool = False):
    """What runs a recursion over rows, in segments: `launch(arrays, results, time, initial, sums, work, key)`.

    `arrays` are what the step reads and writes, `results` the same without the source. `initial` are the registers where
    each row begins, `(rows, registers)`, `sums` as many zeros as sums follow them; `work` and `key` are those of
    `over_rows`; `segments` is `segments_of` the shape, if not given. Returns the states after the segments, `(rows,
    segments, registers and sums)`.
    """
    advance, carry_on = _recursion(step)
    shift = 1 if backward else -1

    @jit
    def from_state(first, last, arrays, time, before, shift, segments, after, registers, sums):
        advance(arrays, first, last, int(time), segments, before, shift, after, registers, sums)

    @jit
    def carried_on(first, last, arrays, time, segments, shift, left, registers, sums):
        for row in range(first, last):
            carry_on(arrays, row, int(time), segments, shift, left, registers, sums)

    named(from_state, f"{name}_in_segments")
    named(carried_on, f"{name}_carried_on")

    def launch(
        arrays: tuple,
        results: tuple,
        time: int,
        initial: Tensor,
        sums: tuple,
        work: int,
        key: tuple,
        segments: int | None = None,
    ) -> Tensor:
        rows = initial.shape[0]
        segments = segments_of(rows, time) if segments is None else segments
        units, constants = rows * segments, ((0.0,) * initial.shape[1], sums)
        key = (*key, *constants)
        before = _states_before(initial.double(), segments, backward)
        after = torch.empty(units, initial.shape[1] + len(sums), dtype=torch.float64, device="cpu")
        over_rows(from_state, units, work, (arrays, time, before, 0, segments, after), key, constants)
        if segments > 1:
            left = torch.empty_like(after)
            arguments = (results, time, after, shift, segments, left)
            over_rows(from_state, units, work, arguments, (*key, "carried"), constants)
            over_rows(carried_on, rows, 0, (results, time, segments, shift, left), key, constants)
            after += left
        return after.view(rows, segments, after.shape[1])

    return launch


def _recursion(step):
    """(advance, carry_on) of a step, for kernels to call.

    `advance(arrays, first, last, time, segments, before, shift, after, registers, sums)` advances the segments from first
    to last, each from the state `before` it, or before that of its neighbour at `shift`, and stores the state `after` it.
    `carry_on(arrays, row, time, segments, shift, left, registers, sums)` carries what each segment's neighbour has left
    through it, in order, and adds to what is left. `registers` and `sums` are zeros: the state where a row begins.
    """

    def steps(arrays, places, i, states):
        """A step of each of the segments at `places`: their states, and whether any result changed."""

    @overload(steps, jit_options=INLINED)
    def _steps(arrays, places, i, states):
        if len(places) == 0:
            return lambda arrays, places, i, states: ((), False)

        def first_and_others(arrays, places, i, states):
            row, begin, end = places[0]
            state, changed = step(arrays, row, begin, end, i, states[0])
            others, also = steps(arrays, places[1:], i, states[1:])
            return (state,) + others, changed | also  # noqa: RUF005

        return first_and_others

    @jit
    def through(arrays, places, first, last, states, registers):
        """The states after the steps from first to last, and whether those before are forgotten."""
        unchanged = 0
        for i in range(first, last):
            states, changed = steps(arrays, places, i, states)
            unchanged = 0 if changed else unchanged + 1
            if unchanged == len(registers):
                return states, True
        return states, False

    @jit
    def finish(arrays, segment, done, state, forgotten, after, unit, registers):
        """Takes a segment's steps that are left, and stores the state after it; of a forgotten one, the sums."""
        if not forgotten:
            states, forgotten = through(arrays, (segment,), done, segment[2] - segment[1], (state,), registers)
            state = states[0]
        for k in range(len(state)):
            after[unit, k] = 0.0 if forgotten and k < len(registers) else state[k]

    @jit
    def advance(arrays, first, last, time, segments, before, shift, after, registers, sums):
        count, unit = int(segments), first
        together = time // count
        while unit + 1 < last:
            places = segment_at(unit, count, time), segment_at(unit + 1, count, time)
            one = _before(before, unit, count, shift, registers) + sums
            other = _before(before, unit + 1, count, shift, registers) + sums
            states, forgotten = through(arrays, places, 0, together, (one, other), registers)
            finish(arrays, places[0], together, states[0], forgotten, after, unit, registers)
            finish(arrays, places[1], together, states[1], forgotten, after, unit + 1, registers)
            unit += 2
        if unit < last:
            start = _before(before, unit, count, shift, registers) + sums
            finish(arrays, segment_at(unit, count, time), 0, start, False, after, unit, registers)

    @jit
    def carry_on(arrays, row, time, segments, shift, left, registers, sums):
        count = int(segments)
        for index in range(1, count):
            unit = row * count + (index if shift < 0 else count - 1 - index)
            start = _before(left, unit, count, shift, registers)
            if _all_zero(start):
                continue
            segment = segment_at(unit, count, time)
            states, forgotten = through(arrays, (segment,), 0, segment[2] - segment[1], (start + sums,), registers)
            for k in range(len(states[0])):
                if not (forgotten and k < len(registers)):
                    left[unit, k] += states[0][k]

    return advance, carry_on


@jit
def _before(before, unit, segments, shift, registers):
    neighbour = unit + int(shift)
    if neighbour < 0 or neighbour // segments != unit // segments:
        return registers
    return loaded(before, (neighbour,), 0, registers)


@jit
def _all_zero(values):
    for value in values:  # noqa: SIM110  (Numba has no generators)
        if value != 0.0:
            return False
    return True
