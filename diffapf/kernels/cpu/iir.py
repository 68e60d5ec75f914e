"""The four direct forms and their adjoints, each one pass; see `reference.py` for the equations.

A form is written as its step from one sample to the next, on tuples: the loops around it are the same for all.
"""

from __future__ import annotations

from collections.abc import Callable

import numba
import numpy as np
import torch
from numba.extending import overload
from torch import Tensor

from diffapf.kernels import segments_of
from diffapf.kernels.cpu import biquad
from diffapf.kernels.cpu.coefficients import (
    denormalised,
    denormalised_sums,
    held,
    layout,
    normalised,
    row_at,
    stretch,
    stretch_before,
    weight,
)
from diffapf.kernels.cpu.fixed_direct_form import applies as is_fixed
from diffapf.kernels.cpu.fixed_direct_form import fixed_direct_form, fixed_direct_form_adjoint
from diffapf.kernels.cpu.framed_sos import (
    framed_direct_form_2,
    framed_direct_form_2_adjoint,
    framed_transposed_direct_form_2,
    framed_transposed_direct_form_2_adjoint,
    is_framed_biquad,
)
from diffapf.kernels.cpu.gradients import add_sums, collected, sums_like, sums_of_stretch, write_sums
from diffapf.kernels.cpu.launch import INLINED, inline, jit, named, over_rows
from diffapf.kernels.cpu.launch import step as one_sample
from diffapf.kernels.cpu.segments import in_segments, put, put_row, with_sample
from diffapf.kernels.cpu.tuples import (
    less_products,
    loaded,
    number,
    plus,
    plus_products,
    pushed,
    scattered,
    size,
    split,
    store,
    times,
)
from diffapf.kernels.reference import direct_form, direct_form_adjoint

# Registers that a sample of the recursion is subtracted from: (registers, a₁, newer), of which the first is registers₀ −
# a₁·newer. That product enters last, a sample later: it is all that the next sample waits for.


@inline
def _opened(registers):
    return registers, number(0, registers[0]), number(0, registers[0])


@inline
def _first(late, total):
    return (total + late[0][0]) - late[1] * late[2]


@inline
def _closed(late):
    return (late[0][0] - late[1] * late[2],) + late[0][1:]  # noqa: RUF005


def _subtracted(registers, a, d):
    """registersᵢ − aᵢ·d for all but the first."""


@overload(_subtracted)
def _subtracted_typed(registers, a, d):
    if len(registers) == 1:
        return lambda registers, a, d: registers

    def others(registers, a, d):
        return registers[:1] + plus(registers[1:], times(a[1:], -d))

    return others


@inline
def _advanced(registers):
    return registers[1:] + (number(0, registers[0]),)  # noqa: RUF005


# ---------------------------------------------------------------------------------------------- forward, sample by sample
# step(x, b, a, state) → (y, w, state): b of M+1, a of M, the state as one or two tuples of M registers.


@inline
def _form_1(x, b, a, state):
    inputs, outputs = state
    y = less_products(plus_products(b[0] * x, b[1:], inputs), a, outputs)
    return y, y, (pushed(x, inputs), pushed(y, outputs))


@inline
def _form_2(x, b, a, state):
    w = less_products(x, a, state[0])
    return plus_products(b[0] * w, b[1:], state[0]), w, (pushed(w, state[0]),)


@inline
def _transposed_form_1(x, b, a, state):
    late, q = state
    w = _first(late, x)
    y = b[0] * w + q[0]
    return y, w, ((_subtracted(_advanced(late[0]), a, w), a[0], w), scattered(q, b[1:], w))


@inline
def _transposed_form_2(x, b, a, state):
    y = _first(state[0], b[0] * x)
    return y, y, ((_subtracted(scattered(state[0][0], b[1:], x), a, y), a[0], y),)


def _parts(registers, count):
    """The registers as tuples, each of the length of `count`."""


@overload(_parts)
def _parts_typed(registers, count):
    order = len(count)
    if len(registers) == 0:
        return lambda registers, count: ()
    return lambda registers, count: (registers[:order],) + _parts(registers[order:], count)  # noqa: RUF005


@inline
def _as_they_are(parts):
    return parts


@inline
def _one_late(parts):
    return (_opened(parts[0]),)


@inline
def _late_and_tuple(parts):
    return _opened(parts[0]), parts[1]


@inline
def _tuple_and_late(parts):
    return parts[0], _opened(parts[1])


def _settled(state):
    """The state as one tuple of registers."""


@overload(_settled)
def _settled_typed(state):
    if len(state) == 0:
        return lambda state: ()
    if isinstance(state[0], numba.types.Tuple):  # a late one: its parts differ in kind
        return lambda state: _closed(state[0]) + _settled(state[1:])
    return lambda state: state[0] + _settled(state[1:])


def _samples(step: Callable, opened: Callable) -> Callable:
    """Samples begin to end of a row, from its registers: the registers after them."""

    @jit
    def samples(arrays, r, begin, end, registers, sizes):
        x, b, a, timing, y, w = arrays
        taps_b, taps_a, count, _ = sizes
        frames, n, state = a.shape[1], begin, opened(_parts(registers, count))
        while n < end:
            frame, until, at, slope = stretch(timing, frames, n, end)
            kept_b, kept_a, _ = normalised(held(b, r, timing, frame, taps_b), held(a, r, timing, frame, taps_a))
            for i in range(n, until):
                between = weight(timing, x.dtype.type, at, slope, i - n)
                row_b, row_a = row_at(b, r, kept_b, between, i, taps_b), row_at(a, r, kept_a, between, i, taps_a)
                row_b, row_a, _ = normalised(row_b, row_a)
                out, inner, state = step(x[r, np.uintp(i)], row_b, row_a, state)
                y[r, np.uintp(i)] = out
                _keep(w, r, i, inner)
            n = until
        return _settled(state)

    return samples


def _by_row(name: str, samples: Callable) -> Callable:
    @jit
    def kernel(first, last, arrays, given, left, sizes):
        for r in range(first, last):
            store(left, r, samples(arrays, r, 0, arrays[0].shape[1], loaded(given, (r,), 0, sizes[3]), sizes))

    return named(kernel, name)


def _forward_in_segments(name: str, step: Callable, opened: Callable) -> Callable:
    @one_sample
    def sample(arrays, r, begin, end, i, registers):
        x, b, a, timing, y, w, taps_b, taps_a, count = arrays
        n = begin + i
        row_b = row_at(b, r, held(b, r, timing, 0, taps_b), None, n, taps_b)
        row_a = row_at(a, r, held(a, r, timing, 0, taps_a), None, n, taps_a)
        row_b, row_a, _ = normalised(row_b, row_a)
        now = with_sample(0.0, x, r, np.uintp(n))
        out, inner, state = step(now, row_b, row_a, opened(_parts(registers, count)))
        changed = put(x, y, r, np.uintp(n), out) | put(x, w, r, np.uintp(n), inner)
        return _settled(state), changed

    return in_segments(name, sample)


def _keep(w, r, n, value):
    """w[r, n] = value, where there is a w."""


@overload(_keep, inline="always")
def _keep_typed(w, r, n, value):
    if isinstance(w, numba.types.NoneType):
        return lambda w, r, n, value: None

    def kept(w, r, n, value):
        w[r, np.uintp(n)] = value

    return kept


# --------------------------------------------------------------------------------------------- backward, sample by sample
# step(g, n, x, signal, zi, r, b, a, state) → (dx, ∂L/∂b, ∂L/∂a, state).


def _read(signal, past, offset, r, n, count):
    """(signal[n], signal[n−1], …) of row r, which goes on in past[r, offset:], newest first."""


@overload(_read, jit_options=INLINED)
def _read_typed(signal, past, offset, r, n, count):
    oldest = len(count) - 1

    def read(signal, past, offset, r, n, count):
        if n >= oldest:
            return _backward(signal, r, n, count)
        return _across(signal, past, offset, r, n, count)

    return read


def _backward(signal, r, n, count):
    """(signal[r, n], signal[r, n−1], …)."""


@overload(_backward, jit_options=INLINED)
def _backward_typed(signal, r, n, count):
    if len(count) == 0:
        return lambda signal, r, n, count: ()
    return lambda signal, r, n, count: (
        (signal[r, np.uintp(n)],) + _backward(signal, r, n - 1, count[1:])  # noqa: RUF005
    )


def _across(signal, past, offset, r, n, count):
    """The same, where some are in the past."""


@overload(_across)
def _across_typed(signal, past, offset, r, n, count):
    if len(count) == 0:
        return lambda signal, past, offset, r, n, count: ()

    def read(signal, past, offset, r, n, count):
        value = signal[r, np.uintp(n)] if n >= 0 else past[r, np.uintp(offset - 1 - n)]
        return (value,) + _across(signal, past, offset, r, n - 1, count[1:])  # noqa: RUF005

    return read


@inline
def _form_1_adjoint(g, n, x, y, zi, r, b, a, state):
    of_inputs, late = state
    d = _first(late, g)
    dx = b[0] * d + of_inputs[0]
    db, da = times(_read(x, zi, 0, r, n, b), d), times(_read(y, zi, len(a), r, n - 1, a), -d)
    return dx, db, da, (scattered(of_inputs, b[1:], d), (_subtracted(_advanced(late[0]), a, d), a[0], d))


@inline
def _form_2_adjoint(g, n, x, w, zi, r, b, a, state):
    dx = _first(state[0], b[0] * g)
    read = _read(w, zi, 0, r, n, b)
    return (
        dx,
        times(read, g),
        times(read[1:], -dx),
        ((_subtracted(scattered(state[0][0], b[1:], g), a, dx), a[0], dx),),
    )


@inline
def _transposed_form_1_adjoint(g, n, x, w, zi, r, b, a, state):
    later_dx, later_g = state
    dx = less_products(plus_products(b[0] * g, b[1:], later_g), a, later_dx)
    now = w[r, np.uintp(n)]
    db, da = times((g,) + later_g, now), times(later_dx, -now)  # noqa: RUF005
    return dx, db, da, (pushed(dx, later_dx), pushed(g, later_g))


@inline
def _transposed_form_2_adjoint(g, n, x, y, zi, r, b, a, state):
    later = state[0]
    gradient = less_products(g, a, later)
    dx = plus_products(b[0] * gradient, b[1:], later)
    db, da = times((gradient,) + later, x[r, np.uintp(n)]), times(later, -y[r, np.uintp(n)])  # noqa: RUF005
    return dx, db, da, (pushed(gradient, later),)


def _samples_of_adjoint(step: Callable, opened: Callable) -> Callable:
    """Samples end to begin of a row, from the gradient of its registers: that of the registers before them."""

    @jit
    def samples(arrays, r, begin, end, registers, sizes):
        g, x, b, a, timing, zi, signal, dx, db, da = arrays
        taps_b, taps_a, count, _ = sizes
        frames, n, state = a.shape[1], end, opened(_parts(registers, count))
        while n > begin:
            frame, since, at, slope = stretch_before(timing, frames, n)
            since = max(since, begin)
            kept_b, kept_a, kept_inverse = normalised(
                held(b, r, timing, frame, taps_b), held(a, r, timing, frame, taps_a)
            )
            sums_b, sums_a = sums_of_stretch(timing, taps_b, g), sums_of_stretch(timing, count, g)
            for i in range(n - 1, since - 1, -1):
                between = weight(timing, g.dtype.type, at, slope, i - since)
                row_b, row_a = row_at(b, r, kept_b, between, i, taps_b), row_at(a, r, kept_a, between, i, taps_a)
                row_b, row_a, inverse = normalised(row_b, row_a)
                now, of_b, of_a, state = step(g[r, np.uintp(i)], i, x, signal, zi, r, row_b, row_a, state)
                of_b, of_a = denormalised(of_b, of_a, row_b, row_a, inverse)
                dx[r, np.uintp(i)] = now
                distance = g.dtype.type(i - since)
                sums_b = collected(sums_b, of_b, db, r, i, distance)
                sums_a = collected(sums_a, of_a, da, r, i, distance)
            sums_b, sums_a = denormalised_sums(sums_b, sums_a, kept_b, kept_a, kept_inverse)
            add_sums(sums_b, db, r, frame, at, slope)
            add_sums(sums_a, da, r, frame, at, slope)
            n = since
        return _settled(state)

    return samples


def _adjoint_in_segments(name: str, step: Callable, opened: Callable) -> Callable:
    @one_sample
    def sample(arrays, r, begin, end, i, state):
        g, x, b, a, timing, zi, signal, dx, db, da, taps_b, taps_a, summed_b, registers, count = arrays
        n = end - 1 - i
        at = np.uintp(n)
        now, sums = split(state, registers)
        sums_b, sums_a = split(sums, summed_b)
        row_b = row_at(b, r, held(b, r, timing, 0, taps_b), None, n, taps_b)
        row_a = row_at(a, r, held(a, r, timing, 0, taps_a), None, n, taps_a)
        row_b, row_a, inverse = normalised(row_b, row_a)
        gradient = with_sample(0.0, g, r, at)
        out, of_b, of_a, later = step(gradient, n, x, signal, zi, r, row_b, row_a, opened(_parts(now, count)))
        of_b, of_a = denormalised(of_b, of_a, row_b, row_a, inverse)
        changed = put(g, dx, r, at, out) | put_row(g, db, r, at, of_b) | put_row(g, da, r, at, of_a)
        return _settled(later) + plus(sums_b, of_b) + plus(sums_a, of_a), changed

    return in_segments(name, sample, backward=True)


# ------------------------------------------------------------------------------------------------ tensors to the kernels


def _sizes(b: Tensor, a: Tensor, registers: Tensor) -> tuple:
    return size(b.shape[2]), size(a.shape[2]), size(b.shape[2] - 1), size(registers.shape[1])


FIXED = (0.0, 0.0)  # a timing of one frame
LONG = 1 << 17  # samples of a row: cutting a shorter one costs what it gains


def _cut_in_time(x: Tensor, timing) -> bool:
    """Whether to run in segments: few long rows, without frames in between, in double, as a segment's registers are."""
    if x.dtype != torch.float64 or isinstance(timing, tuple):
        return False
    return x.shape[1] >= LONG and segments_of(*x.shape) > 1


def _normalise_first(x: Tensor, b: Tensor, a: Tensor, timing) -> bool:
    """Whether a filter is fixed and cut in time, which would divide it by its leading coefficient in each sample."""
    return isinstance(timing, float) and a.shape[2] == b.shape[2] and _cut_in_time(x, timing)


def _is_moving_biquad(x: Tensor, b: Tensor, a: Tensor, timing) -> bool:
    return timing is None and not x.is_complex() and b.shape[2] == a.shape[2] == biquad.TAPS


def _forward_launcher(
    name: str,
    step: Callable,
    opened: Callable,
    in_vectors: biquad.Form | None = None,
    framed: Callable | None = None,
    fixed: Callable | None = None,
) -> Callable:
    samples, cut = _samples(step, opened), _forward_in_segments(name, step, opened)
    kernel = _by_row(name, samples)
    moving_biquad = biquad.biquads(name, in_vectors, samples) if in_vectors else None

    def launch(
        x: Tensor, b: Tensor, a: Tensor, timing, zi: Tensor, y: Tensor, zf: Tensor, w: Tensor | None = None
    ) -> None:
        order, timing, sizes = b.shape[2] - 1, layout(a, timing), _sizes(b, a, zi)
        work, key = 2 * x.numel() * order, (x.dtype, type(timing), order, a.shape[2])
        arrays = x, b, a, timing, y, w
        if fixed and is_fixed(x, b, a, timing):
            fixed(x, b, a, zi, y, zf)
        elif framed and is_framed_biquad(x, b, a, timing):
            framed(x, b, a, timing, zi, y, zf, *([] if w is None else [w]))
        elif _normalise_first(x, b, a, timing):
            of_normalised(x, b, a, FIXED, zi, y, zf, *([] if w is None else [w]))
        elif moving_biquad and _is_moving_biquad(x, b, a, timing):
            moving_biquad(arrays, zi, zf, work, key, sizes)
        elif _cut_in_time(x, timing):
            results = (None, b, a, timing, y, w, *sizes[:3])
            zf.copy_(cut((x, *results[1:]), results, x.shape[1], zi, (), work, key)[:, -1])
        else:
            over_rows(kernel, x.shape[0], work, (arrays, zi, zf), key, (sizes,))

    of_normalised = direct_form(launch)
    return launch


def _adjoint_launcher(
    name: str,
    step: Callable,
    opened: Callable,
    in_vectors: biquad.Form | None = None,
    framed: Callable | None = None,
    fixed: Callable | None = None,
) -> Callable:
    samples, cut = _samples_of_adjoint(step, opened), _adjoint_in_segments(name, step, opened)
    kernel = _by_row(name, samples)
    moving_biquad = biquad.biquads(name, in_vectors, samples) if in_vectors else None

    def launch(
        g: Tensor,
        gzf: Tensor,
        x: Tensor,
        b: Tensor,
        a: Tensor,
        timing,
        zi: Tensor,
        signal: Tensor,
        dx: Tensor,
        db: Tensor,
        da: Tensor,
        dzi: Tensor,
    ) -> None:
        order, timing, sizes = b.shape[2] - 1, layout(a, timing), _sizes(b, a, zi)
        if fixed and is_fixed(g, b, a, timing):
            fixed(g, gzf, x, b, a, signal, dx, db, da, dzi)
            return
        if framed and is_framed_biquad(g, b, a, timing):
            framed(g, gzf, x, b, a, timing, zi, signal, dx, db, da, dzi)
            return
        if _normalise_first(g, b, a, timing):
            of_normalised(g, gzf, x, b, a, FIXED, zi, signal, dx, db, da, dzi)
            return
        work, key = (
            4 * g.numel() * order,
            (g.dtype, type(timing), order, a.shape[2], *(each.shape[1] == 0 for each in (db, da))),
        )
        biquads = moving_biquad if _is_moving_biquad(g, b, a, timing) else None
        if biquads or not _cut_in_time(g, timing):
            totals = sums_like(db, timing), sums_like(da, timing)
            arrays = (g, x, b, a, timing, zi, signal, dx, *totals)
            if biquads:
                biquads(arrays, gzf, dzi, work, key, sizes)
            else:
                over_rows(kernel, g.shape[0], work, (arrays, gzf, dzi), key, (sizes,))
            for gradient, total in zip((db, da), totals, strict=True):
                write_sums(total, gradient)
            return
        rows = [None if each.shape[1] == 0 or timing is not None else each for each in (db, da)]
        sums = [(0.0,) * (0 if timing is None else each.shape[1] * each.shape[2]) for each in (db, da)]
        results = (None, x, b, a, timing, zi, signal, dx, *rows, *sizes[:2], sums[0], sizes[3], sizes[2])
        left = cut((g, *results[1:]), results, g.shape[1], gzf, sums[0] + sums[1], work, key)
        dzi.copy_(left[:, 0, : zi.shape[1]])
        if timing is not None:
            of_b, of_a = left[:, :, None, zi.shape[1] :].sum(1).split([*map(len, sums)], 2)
            db.copy_(of_b.view(db.shape))
            da.copy_(of_a.view(da.shape))

    of_normalised = direct_form_adjoint(launch)
    return launch


direct_form_1 = _forward_launcher("direct_form_1", _form_1, _as_they_are)
direct_form_2 = _forward_launcher("direct_form_2", _form_2, _as_they_are, biquad.form_2, framed_direct_form_2)
transposed_direct_form_1 = _forward_launcher("transposed_direct_form_1", _transposed_form_1, _late_and_tuple)
transposed_direct_form_2 = _forward_launcher(
    "transposed_direct_form_2",
    _transposed_form_2,
    _one_late,
    biquad.transposed_form_2,
    framed_transposed_direct_form_2,
    fixed_direct_form,
)
direct_form_1_adjoint = _adjoint_launcher("direct_form_1_adjoint", _form_1_adjoint, _tuple_and_late)
direct_form_2_adjoint = _adjoint_launcher(
    "direct_form_2_adjoint", _form_2_adjoint, _one_late, biquad.form_2_adjoint, framed_direct_form_2_adjoint
)
transposed_direct_form_1_adjoint = _adjoint_launcher(
    "transposed_direct_form_1_adjoint", _transposed_form_1_adjoint, _as_they_are
)
transposed_direct_form_2_adjoint = _adjoint_launcher(
    "transposed_direct_form_2_adjoint",
    _transposed_form_2_adjoint,
    _as_they_are,
    biquad.transposed_form_2_adjoint,
    framed_transposed_direct_form_2_adjoint,
    fixed_direct_form_adjoint,
)
