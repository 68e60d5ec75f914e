"""All-pole filters of order 1 and 2 as parallel scans, in tiles of `TILE` samples.

A program scans the tiles of a chunk one after the other. If the rows alone fill the device, a row is one chunk and each
number is read once. If not, three passes: `_summarise`, the map of each chunk; `_carry`, the state before each, a scan of
these maps; `_filter` or `_adjoint`, each chunk from its state. Carried states and maps are float64.

Backward in time it is the same recursion with coefficient i read at n+i: dx[n] = g[n] − a₁[n+1] dx[n+1] − a₂[n+2] dx[n+2].
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from diffapf.kernels.gpu.coefficients import coefficient, rows_of
from diffapf.kernels.gpu.fir import fir_outer
from diffapf.kernels.gpu.launch import SIZES, Sizes, chunks_of_tiles, launch, layout, power_of_two
from diffapf.kernels.gpu.maps import after, applied, composed, picked, unchanged
from diffapf.kernels.reference import Timing

WARPS = 4


@triton.jit
def _tile(
    x, a, n, time, frames, start, step, ORDER: tl.constexpr, LAYOUT: tl.constexpr, BACKWARD: tl.constexpr
):  # fmt: skip
    """The maps of the samples n from the state before the tile; samples outside the signal change nothing."""
    inside = n < time
    u = tl.load(x + n, inside, 0.0)
    if ORDER == 1:
        at = n + BACKWARD
        a1 = coefficient(a, at, 0, at < time, frames, start, step, ORDER, LAYOUT)
        maps = (tl.where(inside, -a1, 1.0), u)
    else:
        i = tl.arange(0, 2)[None, :]
        at = n[:, None] + BACKWARD * (1 + i)
        a1, a2 = tl.split(coefficient(a, at, i, at < time, frames, start, step, ORDER, LAYOUT))
        none = tl.zeros_like(u)
        maps = (
            tl.where(inside, -a1, 1.0),
            tl.where(inside, -a2, 0.0),
            tl.where(inside, none + 1.0, 0.0),
            tl.where(inside, none, 1.0),
            u,
            none,
        )
    return composed(maps, ORDER, BACKWARD)


@triton.jit
def _summarise(
    x, a, maps, rows, time, chunks, tiles, a_rows, frames, start: tl.float64, step: tl.float64,
    ORDER: tl.constexpr, LAYOUT: tl.constexpr, BACKWARD: tl.constexpr, TILE: tl.constexpr,
):  # fmt: skip
    """The map of each chunk: `maps` is (parts of a map, rows, chunks)."""
    row, chunk = tl.program_id(0) // chunks, tl.program_id(0) % chunks
    x += row.to(tl.int64) * time
    a = rows_of(a, row, a_rows, frames, ORDER)
    offset = tl.arange(0, TILE)
    total = unchanged(ORDER)
    for i in range(tiles):
        tile = chunk * tiles + (tiles - 1 - i if BACKWARD else i)
        within = _tile(x, a, tile * TILE + offset, time, frames, start, step, ORDER, LAYOUT, BACKWARD)
        total = after(total, picked(within, offset == (0 if BACKWARD else TILE - 1), ORDER), ORDER)
    for part in tl.static_range(len(total)):
        tl.store(maps + part * rows * chunks + tl.program_id(0), total[part])


@triton.jit
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
    before = ()
    for i in tl.static_range(ORDER):
        before = before + (tl.load(initial + row * ORDER + i),)
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


@triton.jit
def _rounded(state, like, ORDER: tl.constexpr):
    rounded = ()
    for i in tl.static_range(ORDER):
        rounded = rounded + (state[i].to(like.dtype),)
    return rounded


@triton.jit
def _filter(
    x, a, states, y, time, chunks, tiles, a_rows, frames, start: tl.float64, step: tl.float64,
    ORDER: tl.constexpr, LAYOUT: tl.constexpr, TILE: tl.constexpr,
):  # fmt: skip
    row, chunk = tl.program_id(0) // chunks, tl.program_id(0) % chunks
    x += row.to(tl.int64) * time
    y += row.to(tl.int64) * time
    a = rows_of(a, row, a_rows, frames, ORDER)
    offset = tl.arange(0, TILE)
    state = _state(states + tl.program_id(0) * ORDER, ORDER)
    for i in range(tiles):
        n = (chunk * tiles + i) * TILE + offset
        within = _tile(x, a, n, time, frames, start, step, ORDER, LAYOUT, False)
        tl.store(y + n, applied(within, _rounded(state, within[0], ORDER), ORDER)[0], n < time)
        state = applied(picked(within, offset == TILE - 1, ORDER), state, ORDER)


@triton.jit
def _adjoint(
    g, a, y, zi, states, dx, da, sums, dzi, time, chunks, tiles, a_rows, frames, start: tl.float64, step: tl.float64,
    ORDER: tl.constexpr, LAYOUT: tl.constexpr, GRADIENT: tl.constexpr, TILE: tl.constexpr,
):  # fmt: skip
    """GRADIENT: of the coefficients, "samples" into da, "sums" over a chunk into `sums` (rows, chunks, ORDER), or "none"."""
    row, chunk = tl.program_id(0) // chunks, tl.program_id(0) % chunks
    g += row.to(tl.int64) * time
    y += row.to(tl.int64) * time
    dx += row.to(tl.int64) * time
    zi += row * ORDER
    a = rows_of(a, row, a_rows, frames, ORDER)
    offset = tl.arange(0, TILE)
    i = tl.arange(0, ORDER)[None, :]
    state = _state(states + tl.program_id(0) * ORDER, ORDER)
    total = tl.zeros([ORDER], tl.float64)
    for k in range(tiles):
        n = (chunk * tiles + tiles - 1 - k) * TILE + offset
        within = _tile(g, a, n, time, frames, start, step, ORDER, LAYOUT, True)
        gradient = applied(within, _rounded(state, within[0], ORDER), ORDER)[0]
        tl.store(dx + n, gradient, n < time)
        if GRADIENT != "none":
            at = n[:, None] - 1 - i
            inside = n[:, None] < time
            earlier = tl.load(y + at, inside & (at >= 0), 0.0) + tl.load(zi - 1 - at, inside & (at < 0), 0.0)
            product = -gradient[:, None] * earlier
            if GRADIENT == "samples":
                tl.store(da + (row.to(tl.int64) * time + n[:, None]) * ORDER + i, product, inside)
            else:
                total += tl.sum(tl.where(inside, product, 0.0), 0).to(tl.float64)
        state = applied(picked(within, offset == 0, ORDER), state, ORDER)
    if GRADIENT == "sums":
        tl.store(sums + tl.program_id(0) * ORDER + tl.arange(0, ORDER), total)
    if chunk == 0:
        first = coefficient(a, tl.full([], 0, tl.int32), 0, time > 0, frames, start, step, ORDER, LAYOUT)
        if ORDER == 1:
            tl.store(dzi + row, -first * state[0])
        else:
            second = coefficient(a, tl.full([], 0, tl.int32), 1, time > 0, frames, start, step, ORDER, LAYOUT)
            later = coefficient(a, tl.full([], 1, tl.int32), 1, time > 1, frames, start, step, ORDER, LAYOUT)
            tl.store(dzi + row * 2, -first * state[0] - later * state[1])
            tl.store(dzi + row * 2 + 1, -second * state[0])


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
        LAYOUT=name, TILE=sizes.tile, num_warps=WARPS, **constants,
    )  # fmt: skip
    launch(_carry, rows, x, maps, initial, states, rows, chunks, CHUNKS=power_of_two(chunks), **constants)
    return states


def allpole(x: Tensor, a: Tensor, timing: Timing, zi: Tensor, y: Tensor, sizes: Sizes = SIZES) -> None:
    chunks, tiles = chunks_of_tiles(x, sizes)
    states = _states_before_chunks(x, a, timing, zi.double(), False, chunks, tiles, sizes)
    coefficients, name = layout(a, timing)
    launch(
        _filter, x.shape[0] * chunks, x, x, coefficients[0], states, y, x.shape[1], chunks, tiles, *coefficients[1:],
        ORDER=zi.shape[1], LAYOUT=name, TILE=sizes.tile, num_warps=WARPS,
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
        ORDER=order, LAYOUT=name, GRADIENT=gradient, TILE=sizes.tile, num_warps=WARPS,
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
