"""Second-order sections in series, sample by sample, all in one pass, and their adjoint; see `reference.py`.

It is for complex signals, and for frames of a few samples; `framed_sos.py` has those farther apart.

The coefficients of all sections are one tuple (b₀, b₁, b₂, a₁, a₂, b₀, …), the registers another, two a section.
"""

from __future__ import annotations

import numpy as np
from numba.extending import overload
from torch import Tensor

from diffapf.kernels.cpu.coefficients import held, layout, row_at, stretch, stretch_before, weight
from diffapf.kernels.cpu.framed_sos import framed_sos_cascade, framed_sos_cascade_adjoint, has_frames
from diffapf.kernels.cpu.gradients import add_sums, collected, sums_like, sums_of_stretch, write_sums
from diffapf.kernels.cpu.launch import jit, over_rows
from diffapf.kernels.cpu.tuples import loaded, size, store, unrolled


def _through(x, c, registers):
    """(each section's output, each section's registers after it)."""


@overload(_through)
def _through_typed(x, c, registers):
    if len(registers) == 0:
        return lambda x, c, registers: ((), ())

    def first_and_others(x, c, registers):
        y = c[0] * x + registers[0]
        outputs, others = _through(y, c[5:], registers[2:])
        return (y,) + outputs, ((registers[1] + c[1] * x) - c[3] * y, c[2] * x - c[4] * y) + others  # noqa: RUF005

    return first_and_others


@jit
def _sos_cascade(first, last, x, sos, timing, zi, y, zf, between, coefficients, two_a_section):
    frames, time = sos.shape[1], x.shape[1]
    for r in range(first, last):
        registers, n = loaded(zi, (r,), 0, two_a_section), 0
        while n < time:
            frame, end, at, slope = stretch(timing, frames, n, time)
            kept = held(sos, r, timing, frame, coefficients)
            for i in range(n, end):
                c = row_at(sos, r, kept, weight(timing, x.dtype.type, at, slope, i - n), i, coefficients)
                outputs, registers = _through(x[r, np.uintp(i)], c, registers)
                y[r, np.uintp(i)] = outputs[-1]
                for k in range(len(outputs) - 1):
                    between[r, np.uintp(k), np.uintp(i)] = outputs[k]
            n = end
        store(zf, r, registers)


def sos_cascade(x: Tensor, sos: Tensor, timing, zi: Tensor, y: Tensor, zf: Tensor, between: Tensor) -> None:
    sections, timing = sos.shape[2], layout(sos, timing)
    if has_frames(x, timing):
        framed_sos_cascade(x, sos, timing, zi, y, zf, between)
        return
    arguments = (x, sos.flatten(2), timing, zi.flatten(1), y, zf.flatten(1), between)
    constants = (size(5 * sections), size(2 * sections))
    over_rows(
        _sos_cascade, x.shape[0], 5 * x.numel() * sections, arguments, (x.dtype, type(timing), sections), constants
    )


def _back_through(g, signals, c, later):
    """(the gradient of the first section's input, those of the coefficients, each section's r now and a sample before).

    `signals` are the input, and each section's output; from the last section to the first.
    """


@overload(_back_through)
def _back_through_typed(g, signals, c, later):
    if len(later) == 0:
        return lambda g, signals, c, later: (g, (), ())

    def last_and_others(g, signals, c, later):
        source, output, r1, r2 = signals[-2], signals[-1], later[-2], later[-1]
        r = (g - c[-1] * r2) - c[-2] * r1
        through = (c[-3] * r2 + c[-4] * r1) + c[-5] * r
        dx, others, before = _back_through(through, signals[:-1], c[:-5], later[:-2])
        return dx, others + (source * r, source * r1, source * r2, -output * r1, -output * r2), before + (r, r1)  # noqa: RUF005

    return last_and_others


def _all_at(between, r, n, count):
    """The signals between sections at sample n."""


@overload(_all_at)
def _all_at_typed(between, r, n, count):
    return unrolled("between, r, n, count", (f"between[r, np.uintp({k}), n]" for k in range(len(count))))


@jit
def _sos_cascade_adjoint(
    first, last, g, gzf, x, sos, timing, y, between, dx, dsos, dzi, coefficients, two_a_section, all_but_last
):
    frames = sos.shape[1]
    for r in range(first, last):
        later, n = loaded(gzf, (r,), 0, two_a_section), g.shape[1]
        while n > 0:
            frame, begin, at, slope = stretch_before(timing, frames, n)
            kept = held(sos, r, timing, frame, coefficients)
            sums = sums_of_stretch(timing, coefficients, g)
            for i in range(n - 1, begin - 1, -1):
                c = row_at(sos, r, kept, weight(timing, g.dtype.type, at, slope, i - begin), i, coefficients)
                here = np.uintp(i)
                signals = (x[r, here],) + _all_at(between, r, here, all_but_last) + (y[r, here],)  # noqa: RUF005
                dx[r, here], products, later = _back_through(g[r, here], signals, c, later)
                sums = collected(sums, products, dsos, r, i, g.dtype.type(i - begin))
            add_sums(sums, dsos, r, frame, at, slope)
            n = begin
        store(dzi, r, later)


def sos_cascade_adjoint(
    g: Tensor,
    gzf: Tensor,
    x: Tensor,
    sos: Tensor,
    timing,
    zi: Tensor,
    y: Tensor,
    between: Tensor,
    dx: Tensor,
    dsos: Tensor,
    dzi: Tensor,
) -> None:
    sections, timing = sos.shape[2], layout(sos, timing)
    if has_frames(g, timing):
        sums = sums_like(dsos, timing)
        framed_sos_cascade_adjoint(g, gzf, x, sos, timing, y, between, dx, sums, dzi)
        write_sums(sums, dsos)
        return
    gradient = dsos.flatten(2)
    sums = sums_like(gradient, timing)
    arguments = (g, gzf.flatten(1), x, sos.flatten(2), timing, y, between, dx, sums, dzi.flatten(1))
    constants = (size(5 * sections), size(2 * sections), size(sections - 1))
    key = (g.dtype, type(timing), sections, sums is None)
    over_rows(_sos_cascade_adjoint, g.shape[0], 10 * g.numel() * sections, arguments, key, constants)
    write_sums(sums, gradient)
