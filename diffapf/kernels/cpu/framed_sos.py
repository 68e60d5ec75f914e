"""Second-order sections in series at the control rate, four rows at once (`second_order.py`), and their adjoint.

Between two frames coefficients are straight lines: those of eight samples are two numbers each and a vector of weights, so
nothing but signals is read. All sections, one after another, filter what is between two frames before the next frame comes;
backward in time, from the last section to the first, whose gradient is written where the one after has left its own. The
gradients of the frames are sums over the samples between them, taken as soon as these are filtered, from the nearest cache.

A biquad in the transposed direct form II is one such section. One in the direct form II has the same two recursions, the
one forward that the other has backward in time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numba
import numpy as np
import torch
from numba.extending import overload
from torch import Tensor

from diffapf.kernels.cpu.coefficients import stretch, stretch_before
from diffapf.kernels.cpu.gradients import add_between, dots
from diffapf.kernels.cpu.launch import INLINED, inline, jit, named, over_rows, scratch, step
from diffapf.kernels.cpu.second_order import (
    BACKWARD,
    FORWARD,
    ROWS,
    Direction,
    Form,
    drive_of,
    products,
    read_at_inputs,
    read_at_outputs,
    through_of,
    tuple_of,
)
from diffapf.kernels.cpu.tuples import between, defined, doubles, less_products, loaded, minus, store
from diffapf.kernels.cpu.vectors import LANES, filled, load, packed
from diffapf.kernels.cpu.vectors import store as put

SHORTEST_HOP = 16  # samples: between closer frames there are few whole vectors
LANE_NUMBERS = tuple(map(float, range(LANES)))
OF_B, OF_A = (0,) * 3, (0,) * 2  # a without its leading 1


class Ramp(NamedTuple):
    """b or a between two frames: of sample n left + (at + (n − begin)·slope)·rise."""

    left: tuple
    rise: tuple
    begin: int
    at: float
    slope: float


class Section(NamedTuple):
    """Of a row, between two frames. `kept`, where it is wanted, is what the recursion that reads at outputs is of."""

    source: object
    target: object
    kept: tuple
    b: Ramp
    a: Ramp


class Span(NamedTuple):
    """Samples between two frames: the first and the one after the last; the weight of the frame after, and its rise."""

    frame: int
    begin: int
    end: int
    at: float
    slope: float


@step
def ramp(sos, r, k, span, i, count):
    """Coefficients i, i+1, … of section k."""
    after = min(span.frame + 1, sos.shape[1] - 1)
    left, right = loaded(sos, (r, span.frame, k), i, count), loaded(sos, (r, after, k), i, count)
    left = doubles(left)
    return Ramp(left, minus(doubles(right), left), span.begin, span.at, span.slope)


@step
def at_sample(line, n):
    return between(line.left, line.rise, line.at + (n - line.begin) * line.slope)


def at_eight(line, n):
    """Vectors, of samples n to n+7."""


@overload(at_eight, jit_options=INLINED)
def _at_eight(line, n):
    count = len(line.types[line.fields.index("left")])
    lines = ["weights = filled(line.at + (n - line.begin) * line.slope) + packed(LANE_NUMBERS) * filled(line.slope)"]
    elements = tuple_of(f"filled(line.left[{k}]) + weights * filled(line.rise[{k}])" for k in range(count))
    return defined("line, n", lines, elements, filled=filled, packed=packed, LANE_NUMBERS=LANE_NUMBERS)


@inline
def source_of(x, between_sections, r, k):
    return x[r] if k == 0 else between_sections[r, k - 1]


# ------------------------------------------------------------------------------------------------------ two recursions
# Each as a form, in a direction of time, and as `samples(section, first, last, registers)` of what is no whole vector.


def keep(kept, n, value):
    """Eight samples or, as a number, one, where they are wanted."""


@overload(keep, jit_options=INLINED)
def _keep(kept, n, value):
    if len(kept) == 0:
        return lambda kept, n, value: None
    if isinstance(value, numba.types.Number):

        def keep_sample(kept, n, value):
            kept[0][np.uintp(n)] = value

        return keep_sample
    return lambda kept, n, value: put(kept[0], n, value)


class Recursion(NamedTuple):
    form: Form
    samples: Callable


def _reading_at_outputs(direction: Direction, section_of: Callable) -> Recursion:
    """v[n] = source[n] − Σ aᵢ[n] v[n−i], target[n] = Σ bₖ[n] v[n−k]."""
    kind = read_at_outputs(direction)
    delayed, backward = direction.delayed, direction is BACKWARD

    @step
    def begun(section, n, inputs):
        a1, a2 = at_eight(section.a, n)
        return load(section.source, n), a1, a2, inputs, ()

    @step
    def done(section, n, v, before, kept):
        once, twice = delayed(before, v)
        put(section.target, n, products(at_eight(section.b, n), (v, once, twice)))
        keep(section.kept, n, v)

    @jit
    def samples(section, first, last, past):
        for i in range(last - first):
            n = last - 1 - i if backward else first + i
            v = less_products(np.float64(section.source[n]), at_sample(section.a, n), past)
            section.target[n] = products(at_sample(section.b, n), (v, past[0], past[1]))
            keep(section.kept, n, v)
            past = v, past[0]
        return past

    return Recursion(Form(kind, section_of, begun, done), samples)


def _reading_at_inputs(direction: Direction, section_of: Callable) -> Recursion:
    """target[n] = Σ bₖ[n−k] source[n−k] − Σ aᵢ[n−i] target[n−i]."""
    kind = read_at_inputs(direction)
    drive, backward = drive_of(direction), direction is BACKWARD

    @step
    def begun(section, n, inputs):
        a1, a2 = at_eight(section.a, n)
        known, a1, a2, inputs = drive(load(section.source, n), at_eight(section.b, n), a1, a2, inputs)
        return known, a1, a2, inputs, ()

    @step
    def done(section, n, out, before, kept):
        put(section.target, n, out)

    @jit
    def samples(section, first, last, pending):
        for i in range(last - first):
            n = last - 1 - i if backward else first + i
            b, a, now = at_sample(section.b, n), at_sample(section.a, n), np.float64(section.source[n])
            out = b[0] * now + pending[0]
            section.target[n] = out
            pending = (pending[1] + b[1] * now) - a[0] * out, b[2] * now - a[1] * out
        return pending

    return Recursion(Form(kind, section_of, begun, done), samples)


# ------------------------------------------------------------------------------------------------------ what there is


@step
def _section(arrays, r, k, span):
    x, sos, _, y, between_sections = arrays
    target = y[r] if k == sos.shape[2] - 1 else between_sections[r, k]
    b, a = ramp(sos, r, k, span, 0, OF_B), ramp(sos, r, k, span, 3, OF_A)
    return Section(source_of(x, between_sections, r, k), target, (), b, a)


@step
def _section_backward(arrays, r, k, span):
    g, sos, _, dx, _, _, _, later, _ = arrays
    source = g[r] if k == sos.shape[2] - 1 else dx[r]
    return Section(source, dx[r], (later[r],), ramp(sos, r, k, span, 0, OF_B), ramp(sos, r, k, span, 3, OF_A))


@step
def _form_2(arrays, r, k, span):
    x, sos, _, y, w = arrays
    return Section(x[r], y[r], (w[r],), ramp(sos, r, k, span, 0, OF_B), ramp(sos, r, k, span, 3, OF_A))


@step
def _form_2_backward(arrays, r, k, span):
    g, sos, _, dx, _, _, _ = arrays
    return Section(g[r], dx[r], (), ramp(sos, r, k, span, 0, OF_B), ramp(sos, r, k, span, 3, OF_A))


# ----------------------------------------------------------------------------------------------------------- gradients
# `begin(arrays, r, k, span, registers)` comes before a span, of which these are the registers; `add(arrays, r, k, span)`
# adds its gradients to those of its frames.


class Sums(NamedTuple):
    begin: Callable
    add: Callable


@step
def _nothing_before(arrays, r, k, span, registers):
    return


@step
def _no_sums(arrays, r, k, span):
    return


@step
def _keep_registers(arrays, r, k, span, registers):
    later = arrays[7]
    later[r, span.end], later[r, span.end + 1] = registers


@step
def _sums_of_sections(arrays, r, k, span):
    """Σ x[n] v[n+i] and −Σ y[n] v[n+i], of a section's input and output."""
    _, _, _, _, x, y, between_sections, later, dsos = arrays
    output = y[r] if k == between_sections.shape[1] else between_sections[r, k]
    add_later_products(dsos, r, k, span, source_of(x, between_sections, r, k), output, later[r])


def add_later_products(dsos, r, k, span, source, output, later):
    """…, where they are wanted."""


@overload(add_later_products)
def _add_later_products(dsos, r, k, span, source, output, later):
    if isinstance(dsos, numba.types.NoneType):
        return lambda dsos, r, k, span, source, output, later: None

    def add(dsos, r, k, span, source, output, later):
        for i in range(3):
            total, rising = dots(source, later, span.begin, span.end, -i, span.begin)
            add_to_frames(dsos, r, k, i, span, total, rising)
        for i in range(1, 3):
            total, rising = dots(output, later, span.begin, span.end, -i, span.begin)
            add_to_frames(dsos, r, k, 2 + i, span, -total, -rising)

    return add


@step
def _sums_of_form_2(arrays, r, k, span):
    """Σ g[n] w[n−i] and −Σ dx[n] w[n−i]."""
    g, _, _, dx, w, zi, dsos = arrays
    add_earlier_products(dsos, r, k, span, g[r], dx[r], w[r], zi[r])


def add_earlier_products(dsos, r, k, span, g, dx, w, before):
    """…, where they are wanted; w goes on in `before`, newest first."""


@overload(add_earlier_products)
def _add_earlier_products(dsos, r, k, span, g, dx, w, before):
    if isinstance(dsos, numba.types.NoneType):
        return lambda dsos, r, k, span, g, dx, w, before: None

    def add(dsos, r, k, span, g, dx, w, before):
        for i in range(3):
            total, rising = earlier_dots(g, w, before, span, i)
            add_to_frames(dsos, r, k, i, span, total, rising)
        for i in range(1, 3):
            total, rising = earlier_dots(dx, w, before, span, i)
            add_to_frames(dsos, r, k, 2 + i, span, -total, -rising)

    return add


@jit
def earlier_dots(g, w, before, span, lag):
    inside = min(max(span.begin, lag), span.end)
    total, rising = dots(g, w, inside, span.end, lag, span.begin)
    total, rising = np.float64(total), np.float64(rising)
    for n in range(span.begin, inside):
        product = np.float64(g[n]) * before[lag - 1 - n]
        total, rising = total + product, rising + product * (n - span.begin)
    return total, rising


@step
def add_to_frames(dsos, r, k, i, span, total, rising):
    after = min(span.frame + 1, dsos.shape[1] - 1)
    add_between(dsos, (r, span.frame, k, i), (r, after, k, i), span.at, span.slope, total, rising)


# --------------------------------------------------------------------------------------------------------- the kernels


def _kernel(name: str, recursion: Recursion, sums: Sums) -> Callable:
    """`kernel(first, last, arrays, given, left, registers)`, rows from the registers `given` to those that are `left`."""
    through, samples = through_of(recursion.form), recursion.samples
    section_of, backward = recursion.form.row, recursion.form.kind.direction is BACKWARD
    begin_sums, add_sums = sums

    @step
    def span_at(timing, frames, done, time):
        """The next one, in the order of time."""
        if backward:
            frame, begin, at, slope = stretch_before(timing, frames, time - done)
            return Span(frame, begin, time - done, at, slope)
        frame, end, at, slope = stretch(timing, frames, done, time)
        return Span(frame, done, end, at, slope)

    @step
    def registers_at(array, r, k):
        return array[r, k, 0], array[r, k, 1]

    def vectors(arrays, rows, k, span, registers):
        """Filters the whole vectors of a section of some rows."""

    @overload(vectors, jit_options=INLINED)
    def _vectors(arrays, rows, k, span, registers):
        every = range(len(rows))
        sections, given = (
            tuple_of(each.format(k=k) for k in every)
            for each in ("section_of(arrays, rows[{k}], k, span)", "registers_at(registers, rows[{k}], k)")
        )
        lines = [
            f"place = {'span.end - LANES' if backward else 'span.begin'}",
            f"places, count = {tuple_of('place' for _ in every)}, (span.end - span.begin) // LANES",
            f"left = through({sections}, places, count, {given})",
            *(f"store(registers[rows[{each}]], k, left[{each}])" for each in every),
        ]
        names = {"section_of": section_of, "through": through, "registers_at": registers_at, "store": store}
        return defined("arrays, rows, k, span, registers", lines, "None", LANES=LANES, **names)

    @step
    def rest_of(arrays, r, k, span, registers):
        rest = (span.end - span.begin) % LANES
        if rest > 0:
            first = span.begin if backward else span.end - rest
            now = samples(section_of(arrays, r, k, span), first, first + rest, registers_at(registers, r, k))
            store(registers[r], k, now)

    @jit
    def kernel(first, last, arrays, given, left, registers):
        sos, timing, time, done = arrays[1], arrays[2], arrays[0].shape[1], 0
        for r in range(first, last):
            for k in range(sos.shape[2]):
                store(registers[r], k, registers_at(given, r, k))
        while done < time:
            span = span_at(timing, sos.shape[1], done, time)
            for index in range(sos.shape[2]):
                k = sos.shape[2] - 1 - index if backward else index
                for one in range(first, last, ROWS):
                    for r in range(one, min(one + ROWS, last)):
                        begin_sums(arrays, r, k, span, registers_at(registers, r, k))
                    if one + 1 < last:
                        rows = one, one + 1, min(one + 2, last - 1), min(one + 3, last - 1)
                        vectors(arrays, rows, k, span, registers)
                    else:
                        vectors(arrays, (one,), k, span, registers)
                    for r in range(one, min(one + ROWS, last)):
                        rest_of(arrays, r, k, span, registers)
                        add_sums(arrays, r, k, span)
            done += span.end - span.begin
        for r in range(first, last):
            for k in range(sos.shape[2]):
                store(left[r], k, registers_at(registers, r, k))

    return named(kernel, name)


NONE = Sums(_nothing_before, _no_sums)
_sections = _kernel("framed_sos_cascade", _reading_at_inputs(FORWARD, _section), NONE)
_sections_backward = _kernel(
    "framed_sos_cascade_adjoint",
    _reading_at_outputs(BACKWARD, _section_backward),
    Sums(_keep_registers, _sums_of_sections),
)
_direct_form_2 = _kernel("framed_direct_form_2", _reading_at_outputs(FORWARD, _form_2), NONE)
_direct_form_2_backward = _kernel(
    "framed_direct_form_2_adjoint",
    _reading_at_inputs(BACKWARD, _form_2_backward),
    Sums(_nothing_before, _sums_of_form_2),
)


# ------------------------------------------------------------------------------------------------ tensors to the kernels


def has_frames(x: Tensor, timing) -> bool:
    """Whether frames, of a real signal, are far enough apart."""
    return isinstance(timing, tuple) and not x.is_complex() and timing[1] * SHORTEST_HOP <= 1


def is_framed_biquad(x: Tensor, b: Tensor, a: Tensor, timing) -> bool:
    return has_frames(x, timing) and b.shape[2] == len(OF_B) and a.shape[2] == len(OF_A)


def _run(kernel: Callable, arrays: tuple, given: Tensor, left: Tensor, work: int) -> None:
    x, sos = arrays[:2]
    key = x.dtype, sos.dtype, given.dtype, arrays[-1] is None
    over_rows(kernel, x.shape[0], work * x.numel() * sos.shape[2], (arrays, given, left, scratch(*given.shape)), key)


def framed_sos_cascade(x: Tensor, sos: Tensor, timing, zi: Tensor, y: Tensor, zf: Tensor, between: Tensor) -> None:
    _run(_sections, (x, sos, timing, y, between), zi, zf, 5)


def framed_sos_cascade_adjoint(
    g: Tensor,
    gzf: Tensor,
    x: Tensor,
    sos: Tensor,
    timing,
    y: Tensor,
    between: Tensor,
    dx: Tensor,
    dsos: Tensor | None,
    dzi: Tensor,
) -> None:
    """`dsos` begins as zeros of double precision."""
    later = scratch(x.shape[0], x.shape[1] + 2)
    _run(_sections_backward, (g, sos, timing, dx, x, y, between, later, dsos), gzf, dzi, 10)


def framed_direct_form_2(x: Tensor, b: Tensor, a: Tensor, timing, zi: Tensor, y: Tensor, zf: Tensor, w: Tensor) -> None:
    _run(_direct_form_2, (x, _one_section(b, a), timing, y, w), zi[:, None], zf[:, None], 5)


def framed_transposed_direct_form_2(x: Tensor, b: Tensor, a: Tensor, timing, zi: Tensor, y: Tensor, zf: Tensor) -> None:
    nothing_between = x.new_empty(x.shape[0], 0, x.shape[1])
    framed_sos_cascade(x, _one_section(b, a), timing, zi[:, None], y, zf[:, None], nothing_between)


def framed_direct_form_2_adjoint(
    g: Tensor,
    gzf: Tensor,
    x: Tensor,
    b: Tensor,
    a: Tensor,
    timing,
    zi: Tensor,
    w: Tensor,
    dx: Tensor,
    db: Tensor,
    da: Tensor,
    dzi: Tensor,
) -> None:
    sums = _sums_like(db, da)
    _run(_direct_form_2_backward, (g, _one_section(b, a), timing, dx, w, zi, sums), gzf[:, None], dzi[:, None], 10)
    _write_sums(sums, db, da)


def framed_transposed_direct_form_2_adjoint(
    g: Tensor,
    gzf: Tensor,
    x: Tensor,
    b: Tensor,
    a: Tensor,
    timing,
    zi: Tensor,
    y: Tensor,
    dx: Tensor,
    db: Tensor,
    da: Tensor,
    dzi: Tensor,
) -> None:
    sums, nothing_between = _sums_like(db, da), x.new_empty(x.shape[0], 0, x.shape[1])
    section, states = _one_section(b, a), (gzf[:, None], dzi[:, None])
    framed_sos_cascade_adjoint(g, states[0], x, section, timing, y, nothing_between, dx, sums, states[1])
    _write_sums(sums, db, da)


def _one_section(b: Tensor, a: Tensor) -> Tensor:
    return torch.cat([b, a], 2)[:, :, None]


def _sums_like(db: Tensor, da: Tensor) -> Tensor | None:
    """Where the gradients of both are summed; None where neither is wanted."""
    frames = max(db.shape[1], da.shape[1])
    return db.new_zeros(db.shape[0], frames, 1, len(OF_B) + len(OF_A), dtype=torch.float64) if frames else None


def _write_sums(sums: Tensor | None, db: Tensor, da: Tensor) -> None:
    if sums is not None:
        of_b, of_a = sums[:, :, 0].split([len(OF_B), len(OF_A)], 2)
        db.copy_(of_b[:, : db.shape[1]])
        da.copy_(of_a[:, : da.shape[1]])
