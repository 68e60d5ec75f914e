"""Second-order sections in series with fixed coefficients, eight samples at once, and their adjoint; see `reference.py`.

As in `fixed_allpole.py`, eight outputs of a section are a sum without a recursion: responses to eight inputs, and to the two
inputs and two outputs before them. A block goes through all sections before the next block begins, so what is between them
never leaves the nearest cache, and none of it is kept: the adjoint computes it again from the registers before the block,
which takes less time than to write it to memory and to read it. Float64 inside.

Two rows go together, each of which fills the time that the other waits; a row without a partner is its own.
"""

# mypy: ignore-errors
# (code that Numba compiles, through parts of Numba that its type annotations leave out)

from __future__ import annotations

import numpy as np
import torch
from numba.core import types
from numba.extending import overload
from torch import Tensor

from diffapf.kernels import samples_of_block
from diffapf.kernels.cpu.fixed_allpole import impulse_response, responses_to_inputs, responses_to_past
from diffapf.kernels.cpu.launch import INLINED, inline, jit, over_rows, step
from diffapf.kernels.cpu.tuples import defined, size, unrolled
from diffapf.kernels.cpu.vectors import (
    LANES,
    all_finite,
    filled,
    joined,
    lane,
    load,
    load_first,
    spread,
    store,
    store_first,
    totals,
    turned,
)

REGISTERS = size(2)
NEWEST, BEFORE_IT = LANES - 1, LANES - 2

# A section's responses, as vectors: to eight inputs, to the newest input and output of the past and those before these,
# and to the two registers; in the adjoint, where outputs of the past are those of later samples, of the all-pole part alone.
FORWARD = (0,) * (LANES + 6)
BACKWARD = (0,) * (LANES + 2)


@inline
def of_all_poles(c):
    """The responses of 1/(1 + a₁ z⁻¹ + a₂ z⁻²) to eight inputs, and to the two outputs before; c = (b₀, b₁, b₂, a₁, a₂)."""
    inputs = responses_to_inputs(impulse_response(c[3:], REGISTERS))
    return inputs, responses_to_past(c[3:], inputs, REGISTERS)


@inline
def forward_responses(c):
    poles, outputs = of_all_poles(c)
    b0, b1, b2, nothing = filled(c[0]), filled(c[1]), filled(c[2]), filled(0.0)
    h = b0 * poles[0] + b1 * poles[1] + b2 * poles[2]
    inputs = (
        h, joined(nothing, h, 7), joined(nothing, h, 6), joined(nothing, h, 5),
        joined(nothing, h, 4), joined(nothing, h, 3), joined(nothing, h, 2), joined(nothing, h, 1),
    )  # fmt: skip
    past = (b1 * poles[0] + b2 * poles[1], b2 * poles[0])
    return inputs + past + outputs + poles[:2]


@inline
def backward_responses(c):
    inputs, outputs = of_all_poles(c)
    return all_turned(inputs[::-1] + outputs)


def all_turned(vectors):
    """Each of the vectors, last element first."""


@overload(all_turned)
def _all_turned(vectors):
    return unrolled("vectors", (f"turned(vectors[{i}])" for i in range(len(vectors))), turned=turned)


@jit
def write_forward(c, row):
    store_all(forward_responses(c), row)


@jit
def write_backward(c, row):
    store_all(backward_responses(c), row)


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


def with_eight(total, x, n, responses):
    """The total, and what samples n to n+7 contribute to eight outputs."""


@overload(with_eight, jit_options=INLINED)
def _with_eight(total, x, n, responses):
    if x.dtype == types.float64:  # as a factor, a number in memory is eight at no cost
        terms = (f" + responses[{j}] * filled(x[np.uintp(n + {j})])" for j in range(LANES))
        return defined("total, x, n, responses", (), f"total{''.join(terms)}", filled=filled)
    terms = (f" + responses[{j}] * spread(given, {j})" for j in range(LANES))
    result = f"total{''.join(terms)}"
    return defined("total, x, n, responses", ["given = load(x, n)"], result, load=load, spread=spread)


# ------------------------------------------------------------------------------------------------------------- forward


@step
def begun(responses, registers):
    """(what comes from the past but for the outputs, eight outputs of the past) where a block begins."""
    return responses[-2] * filled(registers[0]) + responses[-1] * filled(registers[1]), filled(0.0)


@step
def eight(x, n, past, responses):
    inputs, outputs = past
    known = with_eight(inputs, x, n, responses)
    new = known + responses[10] * spread(outputs, NEWEST) + responses[11] * spread(outputs, BEFORE_IT)
    newest, before_it = np.float64(x[np.uintp(n + NEWEST)]), np.float64(x[np.uintp(n + BEFORE_IT)])
    return new, (responses[8] * filled(newest) + responses[9] * filled(before_it), new)


@step
def registers_after(x, n, outputs, c, registers):
    """The registers before sample n, in front of which `outputs` are eight, if any; those before sample 0 are given."""
    if n == 0:
        return registers
    _, b1, b2, a1, a2 = c
    x1, x2, y1, y2 = x[n - 1], x[n - 2], lane(outputs, NEWEST), lane(outputs, BEFORE_IT)
    return b1 * x1 + b2 * x2 - a1 * y1 - a2 * y2, b2 * x1 - a2 * y1


@jit
def rest_of(x, y, c, registers, n, outputs, check, end):
    """The recursion itself, of what is no whole vector, from n on, and of what is not finite; the registers after it."""
    if all_finite(check):
        begin, now = n, registers_after(x, n, outputs, c, registers)
    else:
        begin, now = 0, registers
    return one_by_one(x, y, c, now, begin, end)


@jit
def one_by_one(x, y, c, registers, begin, end):
    b0, b1, b2, a1, a2 = c
    z1, z2 = registers
    for n in range(begin, end):
        now = b0 * x[n] + z1
        y[n] = now
        z1 = z2 + b1 * x[n] - a1 * now
        z2 = b2 * x[n] - a2 * now
    return z1, z2


@jit
def two_through(x, y, c, responses, before, after, length):
    """A block of two rows through a section, whose registers are those before it and after it."""
    both = load_all(responses[0], FORWARD), load_all(responses[1], FORWARD)
    registers, others = (before[0][0], before[0][1]), (before[1][0], before[1][1])
    past, other_past = begun(both[0], registers), begun(both[1], others)
    n, check, other_check = 0, filled(0.0), filled(0.0)
    while n + LANES <= length:
        new, past = eight(x[0], n, past, both[0])
        other, other_past = eight(x[1], n, other_past, both[1])
        store(y[0], n, new)
        store(y[1], n, other)
        check, other_check, n = check + new * filled(0.0), other_check + other * filled(0.0), n + LANES
    registers = rest_of(x[0], y[0], c[0], registers, n, past[1], check, length)
    others = rest_of(x[1], y[1], c[1], others, n, other_past[1], other_check, length)
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


@step
def eight_before(g, n, later, responses):
    return with_eight(filled(0.0), g, n, responses) + responses[9] * spread(later, 1) + responses[8] * spread(later, 0)


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
        later, other_later = eight_before(g[0], n, later, both[0]), eight_before(g[1], n, other_later, both[1])
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
