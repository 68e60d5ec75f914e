"""All-pole filters of order 1 and 2 as parallel scans, in tiles of neighbouring samples.

A lane of a tile runs the recursion through `TOGETHER` neighbouring samples in registers, for each unit state and for the
input from rest; a scan over the lanes gives the state that each begins with; from there it runs once more.

A program takes the tiles of a chunk one after the other. If the rows alone fill the device, a row is one chunk and each
number is read once. If not, three passes: `_summarise`, the map of each chunk; `_carry`, the state before each, a scan of
these maps; `_filter` or `_adjoint`, each chunk from its state. States and maps are float64.

Forward the state is (y[n−1], y[n−2]). Backward in time it is what is pending for the samples n and n−1, so that row n of
`a` is read once: dx[n] = g[n] + p₀;  (p₀, p₁) ← (p₁ − a₁[n] dx[n], −a₂[n] dx[n]).
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from diffapf.kernels.gpu.coefficients import coefficient, rows_of
from diffapf.kernels.gpu.fir import fir_outer
from diffapf.kernels.gpu.launch import SIZES, Sizes, chunks_of_tiles, kernel, launch, layout, power_of_two
from diffapf.kernels.gpu.maps import after, applied, composed, picked, unchanged
from diffapf.kernels.reference import Timing

WARPS = 4
TOGETHER = 8  # samples of a lane


@triton.jit
def _columns(values, LANES: tl.constexpr):
    """LANES · 8 numbers as 8 vectors in float64: of each lane the first, the second, …"""
    even, odd = tl.split(tl.reshape(values, [LANES, 4, 2]))
    v04, v26 = tl.split(tl.reshape(even, [LANES, 2, 2]))
    v15, v37 = tl.split(tl.reshape(odd, [LANES, 2, 2]))
    v0, v4 = tl.split(v04)
    v2, v6 = tl.split(v26)
    v1, v5 = tl.split(v15)
    v3, v7 = tl.split(v37)
    parts = (v0, v1, v2, v3, v4, v5, v6, v7)
    columns = ()
    for u in tl.static_range(8):
        columns = columns + (parts[u].to(tl.float64),)
    return columns


@triton.jit
def _joined(v, LANES: tl.constexpr):
    """The inverse of `_columns`."""
    even = tl.join(tl.join(v[0], v[4]), tl.join(v[2], v[6]))
    odd = tl.join(tl.join(v[1], v[5]), tl.join(v[3], v[7]))
    return tl.reshape(tl.join(tl.reshape(even, [LANES, 4]), tl.reshape(odd, [LANES, 4])), [LANES * 8])


@triton.jit
def _coefficients(a, n, time, frames, start, step, ORDER: tl.constexpr, LAYOUT: tl.constexpr, LANES: tl.constexpr):
    """The columns of a₁ and of a₂, in float64."""
    if ORDER == 1:
        a1 = coefficient(a, n, 0, n < time, frames, start, step, ORDER, LAYOUT)
        columns = (_columns(a1, LANES),)
    else:
        i = tl.arange(0, 2)[None, :]
        both = coefficient(a, n[:, None], i, n[:, None] < time, frames, start, step, ORDER, LAYOUT)
        a1, a2 = tl.split(both)
        columns = (_columns(a1, LANES), _columns(a2, LANES))
    return columns


@triton.jit
def _step(state, x, a, u: tl.constexpr, ORDER: tl.constexpr, BACKWARD: tl.constexpr):
    """One sample: (what it puts out, the state after it)."""
    if BACKWARD:
        out = x + state[0]
        if ORDER == 1:
            after = (-a[0][u] * out,)
        else:
            after = (state[1] - a[0][u] * out, -a[1][u] * out)
    elif ORDER == 1:
        out = x - a[0][u] * state[0]
        after = (out,)
    else:
        out = x - a[1][u] * state[1] - a[0][u] * state[0]
        after = (out, state[0])
    return out, after


@triton.jit
def _lanes(x, a, ORDER: tl.constexpr, BACKWARD: tl.constexpr):
    """The map of each lane's samples, and of all the lanes before it and itself."""
    zero = tl.zeros_like(x[0])
    if ORDER == 1:
        first = (zero + 1.0,)
        second = first
        driven = (zero,)
    else:
        first = (zero + 1.0, zero)
        second = (zero, zero + 1.0)
        driven = (zero, zero)
    for k in tl.static_range(8):
        _, first = _step(first, zero, a, 7 - k if BACKWARD else k, ORDER, BACKWARD)
        if ORDER == 2:
            _, second = _step(second, zero, a, 7 - k if BACKWARD else k, ORDER, BACKWARD)
        _, driven = _step(driven, x[7 - k if BACKWARD else k], a, 7 - k if BACKWARD else k, ORDER, BACKWARD)
    if ORDER == 1:
        maps = (first[0], driven[0])
    else:
        maps = (first[0], second[0], first[1], second[1], driven[0], driven[1])
    return composed(maps, ORDER, BACKWARD)


@triton.jit
def _tile(x, a, state, DTYPE: tl.constexpr, ORDER: tl.constexpr, BACKWARD: tl.constexpr, LANES: tl.constexpr):
    """From the state before the tile: its samples' outputs, and the state after it."""
    lane = tl.arange(0, LANES)
    reached = applied(_lanes(x, a, ORDER, BACKWARD), state, ORDER)
    neighbour = tl.minimum(tl.maximum(lane + 1 if BACKWARD else lane - 1, 0), LANES - 1)
    running = ()
    after = ()
    for i in tl.static_range(ORDER):
        before = tl.gather(reached[i], neighbour, 0)
        running = running + (tl.where(lane == (LANES - 1 if BACKWARD else 0), state[i], before),)
        after = after + (tl.sum(tl.where(lane == (0 if BACKWARD else LANES - 1), reached[i], 0.0), 0),)
    outputs = ()
    for k in tl.static_range(8):
        out, running = _step(running, x[7 - k if BACKWARD else k], a, 7 - k if BACKWARD else k, ORDER, BACKWARD)
        outputs = (out.to(DTYPE),) + outputs if BACKWARD else outputs + (out.to(DTYPE),)
    return _joined(outputs, LANES), after


@triton.jit
def _loaded(x, a, n, time, frames, start, step, ORDER: tl.constexpr, LAYOUT: tl.constexpr, LANES: tl.constexpr):
    """The columns of a tile; samples outside the signal have no input and no coefficients."""
    columns = _columns(tl.load(x + n, n < time, 0.0), LANES)
    return columns, _coefficients(a, n, time, frames, start, step, ORDER, LAYOUT, LANES)


@kernel
def _summarise(
    x, a, maps, rows, time, chunks, tiles, a_rows, frames, start: tl.float64, step: tl.float64,
    ORDER: tl.constexpr, LAYOUT: tl.constexpr, BACKWARD: tl.constexpr, LANES: tl.constexpr,
):  # fmt: skip
    """The map of each chunk: `maps` is (parts of a map, rows, chunks)."""
    row, chunk = tl.program_id(0) // chunks, tl.program_id(0) % chunks
    x += row.to(tl.int64) * time
    a = rows_of(a, row, a_rows, frames, ORDER)
    offset = tl.arange(0, LANES * 8)
    last = tl.arange(0, LANES) == (0 if BACKWARD else LANES - 1)
    total = unchanged(ORDER)
    for i in range(tiles):
        n = (chunk * tiles + (tiles - 1 - i if BACKWARD else i)) * LANES * 8 + offset
        columns, taps = _loaded(x, a, n, time, frames, start, step, ORDER, LAYOUT, LANES)
        total = after(total, picked(_lanes(columns, taps, ORDER, BACKWARD), last, ORDER), ORDER)
    for part in tl.static_range(len(total)):
        tl.store(maps + part * rows * chunks + tl.program_id(0), total[part])


@kernel
def _carry(maps, initial, states, rows, chunks, ORDER: tl.constexpr, BACKWARD: tl.constexpr, CHUNKS: tl.constexpr):
    """The state that each chunk begins with: `states` is (rows, chunks, ORDER)."""
    row = tl.program_id(0)
    chunk = tl.arange(0, CHUNKS)
    parts = ()
    for part in tl.static_range(2 if ORDER == 1 else 6):
        nothing = 1.0 if part == 0 or (part == 3 and ORDER == 2) else 0.0
        parts = parts + (tl.load(maps + (part * rows + row) * chunks + chunk, chunk < chunks, nothing),)
    following = chunk - 1 if BACKWARD else chunk + 1
    first = chunks - 1 if BACKWARD else 0
    before = _state(initial + row * ORDER, ORDER)
    reached = applied(composed(parts, ORDER, BACKWARD), before, ORDER)
    for i in tl.static_range(ORDER):
        there = states + (row * chunks + following) * ORDER + i
        tl.store(there, reached[i], (chunk < chunks) & (following >= 0) & (following < chunks))
        tl.store(states + (row * chunks + first) * ORDER + i, before[i])


@triton.jit
def _state(states, ORDER: tl.constexpr):
    state = ()
    for i in tl.static_range(ORDER):
        state = state + (tl.load(states + i),)
    return state


@kernel
def _filter(
    x, a, states, y, time, chunks, tiles, a_rows, frames, start: tl.float64, step: tl.float64,
    ORDER: tl.constexpr, LAYOUT: tl.constexpr, LANES: tl.constexpr,
):  # fmt: skip
    row, chunk = tl.program_id(0) // chunks, tl.program_id(0) % chunks
    x += row.to(tl.int64) * time
    y += row.to(tl.int64) * time
    a = rows_of(a, row, a_rows, frames, ORDER)
    offset = tl.arange(0, LANES * 8)
    state = _state(states + tl.program_id(0) * ORDER, ORDER)
    for i in range(tiles):
        n = (chunk * tiles + i) * LANES * 8 + offset
        columns, taps = _loaded(x, a, n, time, frames, start, step, ORDER, LAYOUT, LANES)
        out, state = _tile(columns, taps, state, y.dtype.element_ty, ORDER, False, LANES)
        tl.store(y + n, out, n < time)


@kernel
def _adjoint(
    g, a, y, zi, states, dx, da, sums, dzi, time, chunks, tiles, a_rows, frames, start: tl.float64, step: tl.float64,
    ORDER: tl.constexpr, LAYOUT: tl.constexpr, GRADIENT: tl.constexpr, LANES: tl.constexpr,
):  # fmt: skip
    """GRADIENT: of the coefficients, "samples" into da, "sums" over a chunk into `sums` (rows, chunks, ORDER), or "none"."""
    row, chunk = tl.program_id(0) // chunks, tl.program_id(0) % chunks
    signal = row.to(tl.int64) * time
    zi += row * ORDER
    a = rows_of(a, row, a_rows, frames, ORDER)
    offset = tl.arange(0, LANES * 8)
    i = tl.arange(0, ORDER)[None, :]
    state = _state(states + tl.program_id(0) * ORDER, ORDER)
    total = tl.zeros([ORDER], tl.float64)
    for k in range(tiles):
        n = (chunk * tiles + tiles - 1 - k) * LANES * 8 + offset
        columns, taps = _loaded(g + signal, a, n, time, frames, start, step, ORDER, LAYOUT, LANES)
        out, state = _tile(columns, taps, state, dx.dtype.element_ty, ORDER, True, LANES)
        tl.store(dx + signal + n, out, n < time)
        if GRADIENT != "none":
            at = n[:, None] - 1 - i
            inside = n[:, None] < time
            earlier = tl.load(y + signal + at, inside & (at >= 0), 0.0)
            earlier += tl.load(zi - 1 - at, inside & (at < 0), 0.0)
            product = -out[:, None] * earlier
            if GRADIENT == "samples":
                tl.store(da + (signal + n[:, None]) * ORDER + i, product, inside)
            else:
                total += tl.sum(product.to(tl.float64), 0)
    if GRADIENT == "sums":
        tl.store(sums + tl.program_id(0) * ORDER + tl.arange(0, ORDER), total)
    if chunk == 0:
        for part in tl.static_range(ORDER):
            tl.store(dzi + row * ORDER + part, state[part])


def _states_before_chunks(
    x: Tensor, a: Tensor, timing: Timing, initial: Tensor, backward: bool, chunks: int, tiles: int, sizes: Sizes
) -> Tensor:
    rows, order = initial.shape
    if chunks == 1:
        return initial
    coefficients, name = layout(a, timing)
    maps = x.new_empty((2 if order == 1 else 6), rows, chunks, dtype=torch.float64)
    states = torch.empty(rows, chunks, order, dtype=torch.float64, device=x.device)
    constants = {"ORDER": order, "BACKWARD": backward}
    where = (maps, rows, x.shape[1], chunks, tiles)
    launch(
        _summarise, rows * chunks, x, x, coefficients[0], *where, *coefficients[1:],
        LAYOUT=name, LANES=sizes.tile // TOGETHER, num_warps=WARPS, **constants,
    )  # fmt: skip
    launch(_carry, rows, x, maps, initial, states, rows, chunks, CHUNKS=power_of_two(chunks), **constants)
    return states


def allpole(x: Tensor, a: Tensor, timing: Timing, zi: Tensor, y: Tensor, sizes: Sizes = SIZES) -> None:
    chunks, tiles = chunks_of_tiles(x, sizes)
    states = _states_before_chunks(x, a, timing, zi.double(), False, chunks, tiles, sizes)
    coefficients, name = layout(a, timing)
    launch(
        _filter, x.shape[0] * chunks, x, x, coefficients[0], states, y, x.shape[1], chunks, tiles, *coefficients[1:],
        ORDER=zi.shape[1], LAYOUT=name, LANES=sizes.tile // TOGETHER, num_warps=WARPS,
    )  # fmt: skip


def allpole_adjoint(
    g: Tensor, a: Tensor, timing: Timing, y: Tensor, zi: Tensor, dx: Tensor, da: Tensor, dzi: Tensor,
    sizes: Sizes = SIZES,
) -> None:  # fmt: skip
    rows, order = zi.shape
    chunks, tiles = chunks_of_tiles(g, sizes)
    rest = torch.zeros(rows, order, dtype=torch.float64, device=g.device)
    states = _states_before_chunks(g, a, timing, rest, True, chunks, tiles, sizes)
    coefficients, name = layout(a, timing)
    gradient = "none" if da.shape[1] == 0 or name == "frames" else "samples" if name == "samples" else "sums"
    sums = torch.empty(rows, chunks, order, dtype=torch.float64, device=g.device)
    where = (g.shape[1], chunks, tiles)
    launch(
        _adjoint, rows * chunks, g, g, coefficients[0], y, zi, states, dx, da, sums, dzi, *where, *coefficients[1:],
        ORDER=order, LAYOUT=name, GRADIENT=gradient, LANES=sizes.tile // TOGETHER, num_warps=WARPS,
    )  # fmt: skip
    if gradient == "sums":
        da[:, 0] = sums.sum(1)
    elif name == "frames" and da.shape[1]:
        negative_outer(dx, y, zi, timing, da, sizes)


def negative_outer(dx: Tensor, y: Tensor, zi: Tensor, timing: Timing, da: Tensor, sizes: Sizes) -> None:
    """daᵢ[n] = −dx[n] y[n−i], into the frames."""
    before = torch.cat([zi.flip(1), y], 1)[:, : y.shape[1] + zi.shape[1] - 1].contiguous()
    fir_outer(dx, before, timing, da, sizes)
    da.neg_()
