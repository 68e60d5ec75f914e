"""Second-order sections in series with fixed coefficients, eight samples at once, and their adjoint; see `reference.py`.

Eight outputs of a section are a sum of responses (`responses.py`): to eight inputs, and to the two inputs and two outputs
before them. A block goes through all sections before the next block begins, so what is between them
never leaves the nearest cache, and none of it is kept: the adjoint computes it again from the registers before the block,
which takes less time than to write it to memory and to read it. Float64 inside.

Two rows go together, each of which fills the time that the other waits; a row without a partner is its own.
"""

# mypy: ignore-errors
# (code that Numba compiles, through parts of Numba that its type annotations leave out)

from __future__ import annotations

import numpy as np
import torch
from numba.extending import overload
from torch import Tensor

from diffapf.kernels import samples_of_block
from diffapf.kernels.cpu.launch import INLINED, inline, jit, over_rows
from diffapf.kernels.cpu.responses import (
    backward_responses,
    begun,
    eight,
    eight_before,
    forward_responses,
    rest_of,
)
from diffapf.kernels.cpu.tuples import defined, size, unrolled
from diffapf.kernels.cpu.vectors import (
    LANES,
    all_finite,
    filled,
    load,
    load_first,
    store,
    store_first,
    totals,
)

REGISTERS = size(2)
# The responses of a section are stored one after another, in a row of an array: so many vectors.
FORWARD = (0,) * (LANES + 8)
BACKWARD = (0,) * (LANES + 4)


@jit
def write_forward(c, row):
    store_all(forward_responses(c[:3], c[3:]), row)


@jit
def write_backward(c, row):
    store_all(backward_responses(c[3:]), row)


def store_all(vectors, row):
    """The vectors, one after another."""


@overload(store_all)
def _store_all(vectors, row):
    lines = (f"store(row, {LANES * i}, vectors[{i}])" for i in range(len(vectors)))
    return defined("vectors, row", lines, "None", store=store)


def load_all(row, count):
    """The vectors that `store_all` wrote."""


@overload(load_all, jit_options=INLINED)
def _load_all(row, count):
    return unrolled("row, count", (f"load(row, {LANES * i})" for i in range(len(count))), load=load)


# ------------------------------------------------------------------------------------------------------------- forward


@jit
def two_through(x, y, c, responses, before, after, length):
    """A block of two rows through a section, whose registers are those before it and after it."""
    both = load_all(responses[0], FORWARD), load_all(responses[1], FORWARD)
    registers, others = (before[0][0], before[0][1]), (before[1][0], before[1][1])
    past, other_past = begun(both[0], registers), begun(both[1], others)
    n, check, other_check = 0, filled(0.0), filled(0.0)
    while n + LANES <= length:
        new, past = eight(x[0], n, past, both[0], REGISTERS)
        other, other_past = eight(x[1], n, other_past, both[1], REGISTERS)
        store(y[0], n, new)
        store(y[1], n, other)
        check, other_check, n = check + new * filled(0.0), other_check + other * filled(0.0), n + LANES
    registers = rest_of(x[0], y[0], c[0][:3], c[0][3:], registers, n, past, check, length)
    others = rest_of(x[1], y[1], c[1][:3], c[1][3:], others, n, other_past, other_check, length)
    after[0][0], after[0][1], after[1][0], after[1][1] = registers[0], registers[1], others[0], others[1]


@inline
def section(sos, b, k):
    return sos[b, 0, k, 0], sos[b, 0, k, 1], sos[b, 0, k, 2], sos[b, 0, k, 3], sos[b, 0, k, 4]


@inline
def length_of(room):
    """Samples of a block that there is room for; behind them is that for a vector more."""
    return room.shape[2] - LANES


@jit
def copy(source, begin, target, start, length):
    for i in range(length):
        target[np.uintp(start + i)] = source[np.uintp(begin + i)]


@jit
def copy_registers(source, target):
    for k in range(source.shape[0]):
        copy(source[k], 0, target[k], 0, 2)


@jit
def through_all(x, sos, one, other, n, length, signals, responses, before, after):
    """A block from sample n on of two rows, through all sections; `signals` become x and each section's outputs."""
    p = other - one
    for b in range(one, other + 1):
        copy(x[b], n, signals[b - one, 0], 0, length)
    for k in range(sos.shape[2]):
        two_through(
            (signals[0, k], signals[p, k]),
            (signals[0, k + 1], signals[p, k + 1]),
            (section(sos, one, k), section(sos, other, k)),
            (responses[0, k], responses[p, k]),
            (before[0, k], before[p, k]),
            (after[0, k], after[p, k]),
            length,
        )


@jit
def _fixed_sos_cascade(first, last, x, sos, zi, y, states, signals, responses):
    time, sections, blocks = x.shape[1], sos.shape[2], states.shape[1] - 1
    signals, responses = signals[first], responses[first]
    for one in range(first, last, 2):
        other = min(one + 1, last - 1)
        for b in range(one, other + 1):
            copy_registers(zi[b], states[b, 0])
            for k in range(sections):
                write_forward(section(sos, b, k), responses[b - one, k])
        for i in range(blocks):
            n = min(i * length_of(signals), time)
            length = min(length_of(signals), time - n)
            before, after = states[one : other + 1, i], states[one : other + 1, i + 1]
            through_all(x, sos, one, other, n, length, signals, responses, before, after)
            for b in range(one, other + 1):
                copy(signals[b - one, sections], 0, y[b], n, length)


def room(rows: int, *sizes: int) -> Tensor:
    """For two rows, in each row: a group's rows use that of its first, so most of the memory is never touched."""
    return torch.empty(rows, 2, *sizes, dtype=torch.float64, device="cpu")


def fixed_sos_cascade(x: Tensor, sos: Tensor, zi: Tensor, y: Tensor, states: Tensor) -> None:
    (rows, time), sections = x.shape, sos.shape[2]
    signals = room(rows, sections + 1, samples_of_block(time, states) + LANES)
    responses = room(rows, sections, LANES * len(FORWARD))
    arguments = (x, sos, zi, y, states, signals, responses)
    over_rows(_fixed_sos_cascade, rows, 2 * x.numel() * sections, arguments, (x.dtype,))


# ------------------------------------------------------------------------------------------------------------- adjoint


@jit
def one_by_one_backward(g, r, c, begin, end):
    for n in range(end - 1, begin - 1, -1):
        r[n] = (g[n] - c[4] * r[n + 2]) - c[3] * r[n + 1]


@jit
def two_back_through(g, r, c, responses, length):
    """r[n] = g[n] − a₁ r[n+1] − a₂ r[n+2] of two rows, of which r[length] and r[length+1] are known."""
    whole = length // LANES * LANES
    one_by_one_backward(g[0], r[0], c[0], whole, length)
    one_by_one_backward(g[1], r[1], c[1], whole, length)
    both = load_all(responses[0], BACKWARD), load_all(responses[1], BACKWARD)
    later, other_later = load(r[0], whole), load(r[1], whole)
    n, check, other_check = whole, filled(0.0), filled(0.0)
    while n > 0:
        n -= LANES
        later = eight_before(g[0], n, later, both[0], REGISTERS)
        other_later = eight_before(g[1], n, other_later, both[1], REGISTERS)
        store(r[0], n, later)
        store(r[1], n, other_later)
        check, other_check = check + later * filled(0.0), other_check + other_later * filled(0.0)
    if not all_finite(check):
        one_by_one_backward(g[0], r[0], c[0], 0, whole)
    if not all_finite(other_check):
        one_by_one_backward(g[1], r[1], c[1], 0, whole)


@jit
def to_input(r, c, g, length):
    """g[n] = b₀ r[n] + b₁ r[n+1] + b₂ r[n+2], the gradient of the section's input."""
    b0, b1, b2, n = filled(c[0]), filled(c[1]), filled(c[2]), 0
    while n + LANES <= length:
        store(g, n, b0 * load(r, n) + b1 * load(r, n + 1) + b2 * load(r, n + 2))
        n += LANES
    for i in range(n, length):
        g[i] = c[0] * r[i] + c[1] * r[i + 1] + c[2] * r[i + 2]


@jit
def add_products(sums, x, y, r, length):
    """Adds the block's gradients of (b₀, b₁, b₂, a₁, a₂): Σ x[n] r[n+i], and −Σ y[n] r[n+i]."""
    n, s0 = 0, filled(0.0)
    s1, s2, t1, t2, nothing = s0, s0, s0, s0, s0
    while n + LANES <= length:
        source, output, r1, r2 = load(x, n), load(y, n), load(r, n + 1), load(r, n + 2)
        s0, s1, s2 = s0 + source * load(r, n), s1 + source * r1, s2 + source * r2
        t1, t2 = t1 - output * r1, t2 - output * r2
        n += LANES
    found = totals((s0, s1, s2, t1, t2, nothing, nothing, nothing))
    store_first(sums, 0, load_first(sums, 0, 5) + found, 5)
    for i in range(n, length):
        for k in range(3):
            sums[k] += x[i] * r[i + k]
        for k in range(2):
            sums[3 + k] -= y[i] * r[i + 1 + k]


@jit
def _fixed_sos_cascade_adjoint(
    first, last, g, gzf, x, sos, states, dx, dsos, dzi, signals, forward, gradients, backward, registers
):
    time, sections, wanted = g.shape[1], sos.shape[2], dsos.shape[1] > 0
    signals, forward, gradients, backward = signals[first], forward[first], gradients[first], backward[first]
    later, unused = registers[first, 0], registers[first, 1]  # `later`: each section's r at the next two samples
    for one in range(first, last, 2):
        other = min(one + 1, last - 1)
        p = other - one
        for b in range(one, other + 1):
            copy_registers(gzf[b], later[b - one])
            for k in range(sections):
                write_forward(section(sos, b, k), forward[b - one, k])
                write_backward(section(sos, b, k), backward[b - one, k])
        for i in range(states.shape[1] - 2, -1, -1):
            n = min(i * length_of(signals), time)
            length = min(length_of(signals), time - n)
            if wanted:
                through_all(x, sos, one, other, n, length, signals, forward, states[one : other + 1, i], unused)
            for b in range(one, other + 1):
                copy(g[b], n, gradients[b - one, 0], 0, length)
            for k in range(sections - 1, -1, -1):
                for q in range(p + 1):
                    copy(later[q, k], 0, gradients[q, 1], length, 2)
                both = section(sos, one, k), section(sos, other, k)
                into, r = (gradients[0, 0], gradients[p, 0]), (gradients[0, 1], gradients[p, 1])
                two_back_through(into, r, both, (backward[0, k], backward[p, k]), length)
                for q in range(p + 1):
                    copy(r[q], 0, later[q, k], 0, 2)
                    to_input(r[q], both[q], into[q], length)
                    if wanted:
                        add_products(dsos[one + q, 0, k], signals[q, k], signals[q, k + 1], r[q], length)
            for b in range(one, other + 1):
                copy(gradients[b - one, 0], 0, dx[b], n, length)
        for b in range(one, other + 1):
            copy_registers(later[b - one], dzi[b])


def fixed_sos_cascade_adjoint(
    g: Tensor, gzf: Tensor, x: Tensor, sos: Tensor, states: Tensor, dx: Tensor, dsos: Tensor, dzi: Tensor
) -> None:
    (rows, time), sections = g.shape, sos.shape[2]
    samples = samples_of_block(time, states) + LANES
    dsos.zero_()
    rooms = (
        room(rows, sections + 1, samples),
        room(rows, sections, LANES * len(FORWARD)),
        room(rows, 2, samples),
        room(rows, sections, LANES * len(BACKWARD)),
        torch.empty(rows, 2, 2, sections, 2, dtype=torch.float64, device="cpu"),
    )
    arguments = (g, gzf, x, sos, states, dx, dsos, dzi, *rooms)
    over_rows(_fixed_sos_cascade_adjoint, rows, 5 * g.numel() * sections, arguments, (g.dtype,))
