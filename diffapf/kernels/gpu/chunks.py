"""All-pole filters of order up to 32, by chunks of time.

Within a chunk the recursion runs sample by sample; chunks run at once. Three passes: `_respond` and `_respond_backward`,
each chunk's response to its input from rest and to each of the unit states; `carry`, the state before each chunk;
`_filter` and `_adjoint`, each chunk from its state. The first two are float64: a low-frequency filter's responses to the
unit states are huge beside what they add up to. Where rows alone fill the device, a row is one chunk and one pass.

The past is a ring: y[n] lies in slot n mod SLOTS, SLOTS a power of two, so nothing is ever shifted. Backward in time the
ring holds what is pending: slot m mod SLOTS gathers −Σᵢ aᵢ[m+i] dx[m+i], so that row n of `a` is read once, as it lies.
Samples before 0 and from `time` on have no input and no coefficients; what a chunk computes there, nobody reads.
"""

from __future__ import annotations

import torch
import triton.language as tl
from torch import Tensor

from diffapf.kernels.gpu.carry import carry
from diffapf.kernels.gpu.coefficients import coefficient, rows_of
from diffapf.kernels.gpu.first_and_second_order import negative_outer
from diffapf.kernels.gpu.launch import SIZES, Sizes, cdiv, chunks_of_samples, kernel, launch, layout, power_of_two
from diffapf.kernels.reference import Timing

LANES = 4  # chunks that a warp advances together
RESPONSES_OF_A_WARP = 1024  # numbers of a ring


@kernel
def _respond(
    x, a, maps, time, chunks, length, a_rows, frames, start: tl.float64, step: tl.float64,
    TAPS: tl.constexpr, SLOTS: tl.constexpr, RESPONSES: tl.constexpr, LAYOUT: tl.constexpr,
):  # fmt: skip
    """Column r < TAPS of a chunk's map: the end of its response to y[begin−1−r] = 1; column TAPS: to its input."""
    row, chunk = tl.program_id(0) // chunks, tl.program_id(0) % chunks
    x += row.to(tl.int64) * time
    a = rows_of(a, row, a_rows, frames, TAPS)
    slot = tl.arange(0, SLOTS)
    response = tl.arange(0, RESPONSES)[None, :]
    begin = chunk * length
    unit = ((begin - 1 - response) & (SLOTS - 1)) == slot[:, None]
    past = tl.where(unit & (response < TAPS), 1.0, 0.0).to(tl.float64)
    for n in range(begin, begin + length):
        i = (n - 1 - slot) & (SLOTS - 1)
        taps = coefficient(a, n + 0 * i, i, (i < TAPS) & (n < time), frames, start, step, TAPS, LAYOUT)
        drive = tl.where(response == TAPS, tl.load(x + n, n < time, 0.0), 0.0)
        new = drive - tl.sum(taps[:, None].to(tl.float64) * past, 0)[None, :]
        past = tl.where((slot == (n & (SLOTS - 1)))[:, None], new, past)
    i = ((begin + length - 1 - slot) & (SLOTS - 1))[:, None]
    there = maps + (tl.program_id(0).to(tl.int64) * TAPS + i) * (TAPS + 1) + response
    tl.store(there, past, (i < TAPS) & (response <= TAPS))


@kernel
def _respond_backward(
    g, a, maps, time, chunks, length, a_rows, frames, start: tl.float64, step: tl.float64,
    TAPS: tl.constexpr, SLOTS: tl.constexpr, RESPONSES: tl.constexpr, LAYOUT: tl.constexpr,
):  # fmt: skip
    """Column r < TAPS of a chunk's map: the end of its response to 1 pending for its r-th last sample; column TAPS: to g."""
    row, chunk = tl.program_id(0) // chunks, tl.program_id(0) % chunks
    g += row.to(tl.int64) * time
    a = rows_of(a, row, a_rows, frames, TAPS)
    slot = tl.arange(0, SLOTS)
    response = tl.arange(0, RESPONSES)[None, :]
    begin = chunk * length
    unit = ((begin + length - 1 - response) & (SLOTS - 1)) == slot[:, None]
    pending = tl.where(unit & (response < TAPS), 1.0, 0.0).to(tl.float64)
    for k in range(length):
        n = begin + length - 1 - k
        i = (n - 1 - slot) & (SLOTS - 1)
        now = (slot == (n & (SLOTS - 1)))[:, None]
        drive = tl.where(response == TAPS, tl.load(g + n, n < time, 0.0), 0.0)
        dx = drive + tl.sum(tl.where(now, pending, 0.0), 0)[None, :]
        taps = coefficient(a, n + 0 * i, i, (i < TAPS) & (n < time), frames, start, step, TAPS, LAYOUT)
        pending = tl.where(now, 0.0, pending) - taps[:, None].to(tl.float64) * dx
    i = ((begin - 1 - slot) & (SLOTS - 1))[:, None]
    there = maps + (tl.program_id(0).to(tl.int64) * TAPS + i) * (TAPS + 1) + response
    tl.store(there, pending, (i < TAPS) & (response <= TAPS))


@kernel
def _filter(
    x, a, states, y, rows, time, chunks, length, a_rows, frames, start: tl.float64, step: tl.float64,
    TAPS: tl.constexpr, SLOTS: tl.constexpr, LANES: tl.constexpr, LAYOUT: tl.constexpr,
):  # fmt: skip
    lane = tl.program_id(0) * LANES + tl.arange(0, LANES)
    row, begin = lane // chunks, (lane % chunks) * length
    x += row.to(tl.int64) * time
    y += row.to(tl.int64) * time
    a = rows_of(a, row, a_rows, frames, TAPS)[:, None]
    slot = tl.arange(0, SLOTS)[None, :]
    i = (begin[:, None] - 1 - slot) & (SLOTS - 1)
    past = tl.load(states + lane[:, None] * TAPS + i, (row < rows)[:, None] & (i < TAPS), 0.0).to(x.dtype.element_ty)
    for k in range(length):
        n = begin + k
        inside = (row < rows) & (n < time)
        i = (n[:, None] - 1 - slot) & (SLOTS - 1)
        taps = coefficient(a, n[:, None], i, inside[:, None] & (i < TAPS), frames, start, step, TAPS, LAYOUT)
        new = tl.load(x + n, inside, 0.0) - tl.sum(taps * past, 1)
        tl.store(y + n, new, inside)
        past = tl.where(slot == (n & (SLOTS - 1))[:, None], new[:, None], past)


@kernel
def _adjoint(
    g, a, y, zi, states, dx, da, dzi, rows, time, chunks, length, a_rows, frames, start: tl.float64, step: tl.float64,
    TAPS: tl.constexpr, SLOTS: tl.constexpr, LANES: tl.constexpr, LAYOUT: tl.constexpr, GRADIENT: tl.constexpr,
):  # fmt: skip
    """GRADIENT: whether da is wanted here, a row a sample."""
    lane = tl.program_id(0) * LANES + tl.arange(0, LANES)
    row, begin = lane // chunks, (lane % chunks) * length
    signal = row.to(tl.int64) * time
    a = rows_of(a, row, a_rows, frames, TAPS)[:, None]
    slot = tl.arange(0, SLOTS)[None, :]
    i = ((begin + length - 1)[:, None] - slot) & (SLOTS - 1)
    pending = tl.load(states + lane[:, None] * TAPS + i, (row < rows)[:, None] & (i < TAPS), 0.0)
    pending = pending.to(g.dtype.element_ty)
    for k in range(length):
        n = begin + length - 1 - k
        inside = (row < rows) & (n < time)
        i = (n[:, None] - 1 - slot) & (SLOTS - 1)
        tap = inside[:, None] & (i < TAPS)
        now = slot == (n & (SLOTS - 1))[:, None]
        gradient = tl.load(g + signal + n, inside, 0.0) + tl.sum(tl.where(now, pending, 0.0), 1)
        tl.store(dx + signal + n, gradient, inside)
        taps = coefficient(a, n[:, None], i, tap, frames, start, step, TAPS, LAYOUT)
        pending = tl.where(now, 0.0, pending) - taps * gradient[:, None]
        if GRADIENT:
            at = n[:, None] - 1 - i
            earlier = tl.load(y + signal[:, None] + at, tap & (at >= 0), 0.0)
            earlier += tl.load(zi + row[:, None] * TAPS - 1 - at, tap & (at < 0), 0.0)
            tl.store(da + (signal + n)[:, None] * TAPS + i, -gradient[:, None] * earlier, tap)
    i = (-1 - slot) & (SLOTS - 1)
    tl.store(dzi + row[:, None] * TAPS + i, pending, (begin == 0)[:, None] & (row < rows)[:, None] & (i < TAPS))


def _slots(taps: int) -> int:
    return power_of_two(max(taps, 2))


def _states_before_chunks(
    respond, x: Tensor, a: Tensor, timing: Timing, initial: Tensor, chunks: int, length: int
) -> Tensor:
    rows, taps = initial.shape
    if chunks == 1:
        return initial
    (a, *others), name = layout(a, timing)
    maps = torch.empty(rows, chunks, taps, taps + 1, dtype=torch.float64, device=x.device)
    slots, responses = _slots(taps), power_of_two(taps + 1)
    warps = max(slots * responses // RESPONSES_OF_A_WARP, 1)
    constants = {"TAPS": taps, "SLOTS": slots, "RESPONSES": responses, "LAYOUT": name, "num_warps": warps}
    launch(respond, rows * chunks, x, x, a, maps, x.shape[1], chunks, length, *others, **constants)
    return carry(maps, initial, respond is _respond_backward)


def allpole(x: Tensor, a: Tensor, timing: Timing, zi: Tensor, y: Tensor, sizes: Sizes = SIZES) -> None:
    rows, taps = zi.shape
    chunks, length = chunks_of_samples(x, LANES, sizes)
    states = _states_before_chunks(_respond, x, a, timing, zi.double(), chunks, length)
    (a, *others), name = layout(a, timing)
    launch(
        _filter, cdiv(rows * chunks, LANES), x, x, a, states, y, rows, x.shape[1], chunks, length, *others,
        TAPS=taps, SLOTS=_slots(taps), LANES=LANES, LAYOUT=name, num_warps=1,
    )  # fmt: skip


def allpole_adjoint(
    g: Tensor, a: Tensor, timing: Timing, y: Tensor, zi: Tensor, dx: Tensor, da: Tensor, dzi: Tensor,
    sizes: Sizes = SIZES,
) -> None:  # fmt: skip
    rows, taps = zi.shape
    chunks, length = chunks_of_samples(g, LANES, sizes)
    rest = torch.zeros(rows, taps, dtype=torch.float64, device=g.device)
    states = _states_before_chunks(_respond_backward, g, a, timing, rest, chunks, length)
    (coefficients, *others), name = layout(a, timing)
    where = (rows, g.shape[1], chunks, length)
    launch(
        _adjoint, cdiv(rows * chunks, LANES), g, g, coefficients, y, zi, states, dx, da, dzi, *where, *others,
        TAPS=taps, SLOTS=_slots(taps), LANES=LANES, LAYOUT=name, num_warps=1,
        GRADIENT=timing is None and da.shape[1] > 0,
    )  # fmt: skip
    if timing is not None and da.shape[1]:
        negative_outer(dx, y, zi, timing, da, sizes)
