"""FIR filters, and the two other derivatives of τ(g, b, x) = Σ g[n] bₖ[n] x[n−k]. Samples are independent: plain tiles."""

from __future__ import annotations

import torch
import triton.language as tl
from torch import Tensor

from diffapf.kernels.gpu.coefficients import coefficient, frame_position, rows_of
from diffapf.kernels.gpu.launch import SIZES, Sizes, cdiv, kernel, launch, layout, power_of_two
from diffapf.kernels.reference import Timing

# x begins TAPS−1 samples before y: x[n−k] lies at n + TAPS − 1 − k.


@kernel
def _fir(
    x, b, y, time, tiles, b_rows, frames, start: tl.float64, step: tl.float64,
    TAPS: tl.constexpr, LAYOUT: tl.constexpr, TILE: tl.constexpr, TOGETHER: tl.constexpr,
):  # fmt: skip
    """y[n] = Σₖ bₖ[n] x[n−k]"""
    row, tile = tl.program_id(0) // tiles, tl.program_id(0) % tiles
    x += row.to(tl.int64) * (time + TAPS - 1)
    b = rows_of(b, row, b_rows, frames, TAPS)
    n = tile * TILE + tl.arange(0, TILE)
    total = tl.zeros([TILE], y.dtype.element_ty)
    for first in range(0, TAPS, TOGETHER):
        k = first + tl.arange(0, TOGETHER)[None, :]
        mask = (n[:, None] < time) & (k < TAPS)
        taps = coefficient(b, n[:, None], k, mask, frames, start, step, TAPS, LAYOUT)
        total += tl.sum(taps * tl.load(x + n[:, None] + (TAPS - 1 - k), mask, 0.0), 1)
    tl.store(y + row.to(tl.int64) * time + n, total, n < time)


@kernel
def _fir_transpose(
    g, b, dx, time, tiles, b_rows, frames, start: tl.float64, step: tl.float64,
    TAPS: tl.constexpr, LAYOUT: tl.constexpr, TILE: tl.constexpr, TOGETHER: tl.constexpr,
):  # fmt: skip
    """dx[m] = Σₖ bₖ[m+k] g[m+k], m from 1−TAPS on."""
    row, tile = tl.program_id(0) // tiles, tl.program_id(0) % tiles
    g += row.to(tl.int64) * time
    b = rows_of(b, row, b_rows, frames, TAPS)
    at = tile * TILE + tl.arange(0, TILE)
    total = tl.zeros([TILE], dx.dtype.element_ty)
    for first in range(0, TAPS, TOGETHER):
        k = first + tl.arange(0, TOGETHER)[None, :]
        n = at[:, None] + (k - (TAPS - 1))
        mask = (n >= 0) & (n < time) & (k < TAPS)
        taps = coefficient(b, n, k, mask, frames, start, step, TAPS, LAYOUT)
        total += tl.sum(taps * tl.load(g + n, mask, 0.0), 1)
    tl.store(dx + row.to(tl.int64) * (time + TAPS - 1) + at, total, at < time + TAPS - 1)


@kernel
def _fir_outer(g, x, db, time, tiles, TAPS: tl.constexpr, TILE: tl.constexpr, TOGETHER: tl.constexpr):
    """dbₖ[n] = g[n] x[n−k]"""
    row, tile = tl.program_id(0) // tiles, tl.program_id(0) % tiles
    x += row.to(tl.int64) * (time + TAPS - 1)
    n = tile * TILE + tl.arange(0, TILE)
    now = tl.load(g + row.to(tl.int64) * time + n, n < time, 0.0)
    k = tl.program_id(1) * TOGETHER + tl.arange(0, TOGETHER)[None, :]
    mask = (n[:, None] < time) & (k < TAPS)
    past = tl.load(x + n[:, None] + (TAPS - 1 - k), mask, 0.0)
    tl.store(db + (row.to(tl.int64) * time + n[:, None]) * TAPS + k, now[:, None] * past, mask)


@kernel
def _fir_outer_frames(
    g, x, sums, time, frames, segments, length, start: tl.float64, step: tl.float64,
    TAPS: tl.constexpr, TILE: tl.constexpr, TOGETHER: tl.constexpr,
):  # fmt: skip
    """Σₙ weight(n) g[n] x[n−k] over one segment of the samples that read a frame: `sums` is (rows, frames, segments, TAPS).

    The weight of frame f is 1 − |position − f| where that is positive.
    """
    pid = tl.program_id(0)
    row, frame, segment = pid // (frames * segments), (pid // segments) % frames, pid % segments
    g += row.to(tl.int64) * time
    x += row.to(tl.int64) * (time + TAPS - 1)
    begin = tl.cast(0, tl.int32)
    if (step > 0.0) & (frame > 0):
        reached = (tl.cast(frame - 1, tl.float64) - start) / step
        begin = tl.minimum(tl.maximum(reached, 0.0), tl.cast(time, tl.float64)).to(tl.int32)
    begin += segment * length
    k = tl.program_id(1) * TOGETHER + tl.arange(0, TOGETHER)[None, :]
    total = tl.zeros([TOGETHER], tl.float64)
    for first in range(0, length, TILE):
        n = begin + first + tl.arange(0, TILE)
        weight = tl.maximum(1.0 - tl.abs(frame_position(n, frames, start, step) - frame), 0.0)
        inside = (n < time) & (first + tl.arange(0, TILE) < length) & (weight > 0.0)
        now = tl.load(g + n, inside, 0.0)
        weighted = now * weight.to(now.dtype)
        past = tl.load(x + n[:, None] + (TAPS - 1 - k), inside[:, None] & (k < TAPS), 0.0)
        total += tl.sum(weighted[:, None] * past, 0).to(tl.float64)
    at = pid.to(tl.int64) * TAPS + tl.program_id(1) * TOGETHER + tl.arange(0, TOGETHER)
    tl.store(sums + at, total, tl.program_id(1) * TOGETHER + tl.arange(0, TOGETHER) < TAPS)


def _blocks(taps: int, sizes: Sizes) -> tuple[int, dict[str, int]]:
    """How many samples a tile has, and the constants: a tile and the taps taken at once are `sizes.tile` numbers or so."""
    together = min(power_of_two(taps), sizes.taps)
    tile = max(sizes.tile // together, 16)
    return tile, {"TAPS": taps, "TILE": tile, "TOGETHER": together}


def fir(x: Tensor, b: Tensor, timing: Timing, y: Tensor, sizes: Sizes = SIZES) -> None:
    tile, constants = _blocks(b.shape[2], sizes)
    tiles = cdiv(y.shape[1], tile)
    (b, *others), name = layout(b, timing)
    launch(_fir, y.shape[0] * tiles, y, x, b, y, y.shape[1], tiles, *others, LAYOUT=name, **constants)


def fir_transpose(g: Tensor, b: Tensor, timing: Timing, dx: Tensor, sizes: Sizes = SIZES) -> None:
    tile, constants = _blocks(b.shape[2], sizes)
    tiles = cdiv(dx.shape[1], tile)
    (b, *others), name = layout(b, timing)
    launch(_fir_transpose, dx.shape[0] * tiles, dx, g, b, dx, g.shape[1], tiles, *others, LAYOUT=name, **constants)


def fir_outer(g: Tensor, x: Tensor, timing: Timing, db: Tensor, sizes: Sizes = SIZES) -> None:
    rows, frames, taps = db.shape
    time = g.shape[1]
    tile, constants = _blocks(taps, sizes)
    blocks = cdiv(taps, constants["TOGETHER"])
    if timing is None:
        tiles = cdiv(time, tile)
        launch(_fir_outer, (rows * tiles, blocks), g, g, x, db, time, tiles, **constants)
        return
    samples = _samples_of_a_frame(time, frames, *timing)
    length = max(sizes.tile * 4, 1)
    segments = max(cdiv(samples, length), 1)
    sums = torch.empty(rows, frames, segments, taps, dtype=torch.float64, device=g.device)
    where = (time, frames, segments, min(length, max(samples, 1)))
    launch(_fir_outer_frames, (rows * frames * segments, blocks), g, g, x, sums, *where, *timing, **constants)
    db.copy_(sums[:, :, 0] if segments == 1 else sums.sum(2))


def _samples_of_a_frame(time: int, frames: int, start: float, step: float) -> int:
    """The most samples that read one frame: two steps' worth, and more where the first or the last frame is held."""
    if frames == 1 or step <= 0.0:
        return time
    held_first = max(1.0 - start, 0.0) / step
    held_last = time - max(frames - 2 - start, 0.0) / step
    return min(int(max(2.0 / step, held_first, held_last)) + 3, time)
