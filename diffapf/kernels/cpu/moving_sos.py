"""Second-order sections in series, moving with each sample, four at once (`second_order.py`), and their adjoint.

A block of samples goes through all sections before the next block does, so its coefficients come from memory once. Four
rows go together, which fill the time that each waits for its own recursion; of fewer rows, several sections: while one
filters a block, the one after it has the block before. Backward in time likewise, from the last section to the first; the
gradient between sections is where that of the input will be.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numba
import numpy as np
from numba.extending import overload
from torch import Tensor

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
from diffapf.kernels.cpu.vectors import LANES, filled, in_line, load, load_fours, prefetch, store_fours, store_pairs
from diffapf.kernels.cpu.vectors import store as put

COEFFICIENTS = 6  # of a section
BLOCK = 128  # samples: whole vectors
CACHE_LINE = 64  # bytes


class Section(NamedTuple):
    """Of a row, with the place of its coefficients in those of a sample, and how many these are."""

    x: object
    sos: object
    y: object
    place: int
    apart: int
    ahead: int  # less than what is asked of memory for sample n stands at: COEFFICIENTS·n more


class SectionOfAdjoint(NamedTuple):
    g: object
    x: object
    sos: object
    y: object
    dx: object
    dsos: tuple  # of one row; empty where nobody wants it
    place: int
    apart: int
    ahead: int


def wanted_row(sos, r):
    """All numbers of row r, in a tuple; an empty one of no array."""


@overload(wanted_row, jit_options=INLINED)
def _wanted_row(sos, r):
    return (lambda sos, r: ()) if isinstance(sos, numba.types.NoneType) else (lambda sos, r: (in_line(sos[r]),))


def ask_for_part(rows, at):
    """Asks memory for as much of rows as eight samples of a section are, from place `at` on.

    Sections read a block's coefficients in parts, a stride apart: too far for memory's own foresight. So each of them asks
    for its share of the next block, one part after another.
    """


@overload(ask_for_part, jit_options=INLINED)
def _ask_for_part(rows, at):
    statements = []
    for index, row in enumerate(rows):
        lines = range(0, LANES * COEFFICIENTS, CACHE_LINE * 8 // row.dtype.bitwidth)
        statements += [f"prefetch(rows[{index}], at + {k})" for k in lines]
    return defined("rows, at", statements, "None", prefetch=prefetch)


@step
def numerators(section, n):
    """b₀, b₁ and b₂ of samples n to n+7."""
    b0, b1, b2, _ = load_fours(section.sos, n * section.apart + section.place, section.apart)
    return b0, b1, b2


@step
def denominators(section, n):
    """a₁/a₀ and a₂/a₀ of samples n to n+7, and 1/a₀."""
    _, a0, a1, a2 = load_fours(section.sos, n * section.apart + section.place + 2, section.apart)
    inverse = filled(1.0) / a0
    return a1 * inverse, a2 * inverse, inverse


@step
def coefficients_of(section, n):
    """b₀, b₁ and b₂ of a sample, its a₁/a₀ and a₂/a₀, and 1/a₀."""
    sos, at = section.sos, np.uintp(n * section.apart + section.place)
    inverse = 1.0 / np.float64(sos[at + np.uintp(3)])
    b = np.float64(sos[at]), np.float64(sos[at + np.uintp(1)]), np.float64(sos[at + np.uintp(2)])
    return b, (sos[at + np.uintp(4)] * inverse, sos[at + np.uintp(5)] * inverse), inverse


# ------------------------------------------------------------------------------------------------------------- forward


@step
def section_of(arrays, r, k, ahead):
    x, sos, y, between = arrays
    sections = sos.shape[2]
    source = x[r] if k == 0 else between[r, k - 1]
    target = y[r] if k == sections - 1 else between[r, k]
    return Section(source, in_line(sos[r]), target, COEFFICIENTS * k, COEFFICIENTS * sections, ahead)


def _form() -> Form:
    kind = read_at_inputs(FORWARD)
    drive = drive_of(kind.direction)

    @step
    def begun(section, n, inputs):
        ask_for_part((section.sos,), COEFFICIENTS * n + section.ahead)
        a1, a2, inverse = denominators(section, n)
        known, a1, a2, inputs = drive(load(section.x, n) * inverse, numerators(section, n), a1, a2, inputs)
        return known, a1, a2, inputs, ()

    @step
    def done(section, n, out, before, kept):
        put(section.y, n, out)

    return Form(kind, section_of, begun, done)


@jit
def samples(section, begin, end, registers):
    """What is no whole vector, one sample after another."""
    s1, s2 = registers
    for n in range(begin, end):
        b, a, inverse = coefficients_of(section, n)
        now = np.float64(section.x[np.uintp(n)]) * inverse
        y = b[0] * now + s1
        s1, s2 = (s2 + b[1] * now) - a[0] * y, b[2] * now - a[1] * y
        section.y[np.uintp(n)] = y
    return s1, s2


# ------------------------------------------------------------------------------------------------------------- adjoint


@step
def section_of_adjoint(arrays, r, k, ahead):
    g, x, sos, y, between, dx, dsos = arrays
    sections = sos.shape[2]
    of_output = g[r] if k == sections - 1 else dx[r]
    source = x[r] if k == 0 else between[r, k - 1]
    target = y[r] if k == sections - 1 else between[r, k]
    place, apart = COEFFICIENTS * k, COEFFICIENTS * sections
    return SectionOfAdjoint(of_output, source, in_line(sos[r]), target, dx[r], wanted_row(dsos, r), place, apart, ahead)


def put_gradients(rows, at, apart, found):
    """Those of eight samples or, as numbers, of one, from place `at` on."""


@overload(put_gradients, jit_options=INLINED)
def _put_gradients_typed(rows, at, apart, found):
    if len(rows) == 0:
        return lambda rows, at, apart, found: None
    if isinstance(found.dtype, numba.types.Number):

        def put_sample(rows, at, apart, found):
            for i in range(COEFFICIENTS):
                rows[0][np.uintp(at + i)] = found[i]

        return put_sample

    def put_vectors(rows, at, apart, found):
        store_fours(rows[0], at, apart, found[:4])
        store_pairs(rows[0], at + 4, apart, found[4:])

    return put_vectors


def _adjoint_form() -> Form:
    kind = read_at_outputs(BACKWARD)
    delayed = kind.direction.delayed

    @step
    def begun(section, n, inputs):
        ask_for_part((section.sos,) + section.dsos, COEFFICIENTS * n + section.ahead)  # noqa: RUF005
        a1, a2, inverse = denominators(section, n)
        return load(section.g, n), a1, a2, inputs, (a1, a2, inverse)

    @step
    def done(section, n, r, before, kept):
        a1, a2, inverse = kept
        once, twice = delayed(before, r)
        minus, read = filled(0.0) - inverse, (r, once, twice)
        out = inverse * products(numerators(section, n), read)
        put(section.dx, n, out)
        x, loss = load(section.x, n) * inverse, minus * load(section.y, n)
        found = gradients(x, filled(0.0) - out, loss, read, (a1, a2))
        put_gradients(section.dsos, n * section.apart + section.place, section.apart, found)

    return Form(kind, section_of_adjoint, begun, done)


@jit
def samples_backward(section, begin, end, registers):
    r1, r2 = registers
    for n in range(end - 1, begin - 1, -1):
        b, a, inverse = coefficients_of(section, n)
        at = np.uintp(n)
        r = (np.float64(section.g[at]) - a[1] * r2) - a[0] * r1
        out = inverse * products(b, (r, r1, r2))
        x, loss = section.x[at] * inverse, section.y[at] * -inverse
        section.dx[at] = out
        found = gradients(x, -out, loss, (r, r1, r2), a)
        put_gradients(section.dsos, n * section.apart + section.place, section.apart, found)
        r1, r2 = r, r1
    return r1, r2


# --------------------------------------------------------------------------------------------------------- the kernels


def _cascade(name: str, form: Form, samples: Callable) -> Callable:
    """`kernel(first, last, arrays, given, left, registers)`, rows from the registers `given` to those that are `left`."""
    through, backward = through_of(form), form.kind.direction is BACKWARD
    section_at, of_sos = form.row, 2 if backward else 1

    # A wave are the units, a block of a section of a row each, that can go at once: a section of all rows, or all sections
    # of few rows, each a block behind the one before it.

    @step
    def waves(rows, sections, blocks):
        return blocks * sections if rows >= ROWS else blocks + sections - 1

    @step
    def depths(wave, rows, sections, blocks):
        """The first of its sections, in the order of time, and the one after the last."""
        if rows >= ROWS:
            return wave % sections, wave % sections + 1
        return max(0, wave - blocks + 1), min(sections, wave + 1)

    @step
    def unit_at(index, wave, arrays, first, rows):
        """(its row, its section, its first sample, the first one after, what it has `ahead`) of a wave's units."""
        sections, time = arrays[of_sos].shape[2], arrays[0].shape[1]
        depth, r = depths(wave, rows, sections, -(-time // BLOCK))[0] + index // rows, first + index % rows
        begin = (wave // sections if rows >= ROWS else wave - depth) * BLOCK
        end = min(begin + BLOCK, time)
        k = sections - 1 - depth if backward else depth
        following = BLOCK * (1 if rows >= ROWS else depth + 1)
        if backward:
            begin, end, following = time - end, time - begin, -following
        ahead = COEFFICIENTS * ((begin + following) * sections + BLOCK * k - begin)
        return r, k, begin, end, ahead

    @step
    def place(begin, end, count):
        """Where the vector after so many begins."""
        return end - LANES * (count + 1) if backward else begin + LANES * count

    @step
    def registers_at(array, r, k):
        return array[r, k, 0], array[r, k, 1]

    @jit
    def rest_of(arrays, unit, count, registers):
        """A unit without its first vectors, as many as `count`."""
        r, k, begin, end, ahead = unit
        section, now = section_at(arrays, r, k, ahead), registers_at(registers, r, k)
        more = (end - begin) // LANES - count
        if more > 0:
            now = through((section,), (place(begin, end, count),), more, (now,))[0]
        rest = (end - begin) % LANES
        if rest > 0:
            first, last = (begin, begin + rest) if backward else (end - rest, end)
            now = samples(section, first, last, now)
        store(registers[r], k, now)

    def four_together(arrays, units, registers):
        """Filters four units, as many vectors as all of them have: how many."""

    @overload(four_together, jit_options=INLINED)
    def _four_together(arrays, units, registers):
        every, lines = range(ROWS), []
        lines += [f"r{k}, s{k}, begin{k}, end{k}, ahead{k} = units[{k}]" for k in every]
        lines.append(f"count = min({tuple_of(f'(end{k} - begin{k}) // LANES' for k in every)})")
        sections, places, given = (
            tuple_of(each.format(k=k) for k in every)
            for each in (
                "section_at(arrays, r{k}, s{k}, ahead{k})",
                "place(begin{k}, end{k}, 0)",
                "registers_at(registers, r{k}, s{k})",
            )
        )
        lines.append(f"left = through({sections}, {places}, count, {given})")
        lines += [f"store(registers[r{k}], s{k}, left[{k}])" for k in every]
        names = {"section_at": section_at, "place": place, "through": through, "registers_at": registers_at}
        return defined("arrays, units, registers", lines, "count", store=store, LANES=LANES, **names)

    @jit
    def kernel(first, last, arrays, given, left, registers):
        sections, time, rows = given.shape[1], arrays[0].shape[1], last - first
        blocks = -(-time // BLOCK)
        for r in range(first, last):
            for k in range(sections):
                store(registers[r], k, registers_at(given, r, k))
        for wave in range(waves(rows, sections, blocks)):
            depth, last_depth = depths(wave, rows, sections, blocks)
            count = (last_depth - depth) * rows
            for index in range(0, count, ROWS):
                done = 0
                if index + 1 < count:
                    units = (
                        unit_at(index, wave, arrays, first, rows),
                        unit_at(index + 1, wave, arrays, first, rows),
                        unit_at(min(index + 2, count - 1), wave, arrays, first, rows),
                        unit_at(min(index + 3, count - 1), wave, arrays, first, rows),
                    )
                    done = four_together(arrays, units, registers)
                for each in range(index, min(index + ROWS, count)):
                    rest_of(arrays, unit_at(each, wave, arrays, first, rows), done, registers)
        for r in range(first, last):
            for k in range(sections):
                store(left[r], k, registers_at(registers, r, k))

    return named(kernel, name)


_moving_sos_cascade = _cascade("moving_sos_cascade", _form(), samples)
_moving_sos_cascade_adjoint = _cascade("moving_sos_cascade_adjoint", _adjoint_form(), samples_backward)


def moving_sos_cascade(x: Tensor, sos: Tensor, zi: Tensor, y: Tensor, zf: Tensor, between: Tensor) -> None:
    arguments = (x, sos, y, between), zi, zf, scratch(*zi.shape)
    over_rows(_moving_sos_cascade, x.shape[0], 5 * x.numel() * sos.shape[2], arguments, (x.dtype, sos.dtype, zi.dtype))


def moving_sos_cascade_adjoint(
    g: Tensor,
    gzf: Tensor,
    x: Tensor,
    sos: Tensor,
    y: Tensor,
    between: Tensor,
    dx: Tensor,
    dsos: Tensor,
    dzi: Tensor,
) -> None:
    wanted = dsos if dsos.shape[1] else None
    arguments = (g, x, sos, y, between, dx, wanted), gzf, dzi, scratch(*dzi.shape)
    key = x.dtype, sos.dtype, dzi.dtype, None if wanted is None else wanted.dtype
    over_rows(_moving_sos_cascade_adjoint, x.shape[0], 10 * x.numel() * sos.shape[2], arguments, key)
