"""What all launchers share: how time is cut into chunks, and coefficients as the kernels take them."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from math import isqrt
from typing import Any

import torch
import triton
from torch import Tensor

from diffapf.kernels.reference import Timing

PROGRAMS_PER_MULTIPROCESSOR = 8  # of four warps each


@dataclass(frozen=True)
class Sizes:
    """How the work is cut up; the tests make everything small."""

    tile: int = 1024  # samples that one program scans at once
    taps: int = 16  # taps of an FIR filter that one program multiplies at once
    programs: int | None = None  # that fill the device; None asks the device
    chunk: int = 64  # the shortest chunk that is worth a transition matrix of its own


SIZES = Sizes()

# A kernel that is launched. Without the list it would be compiled again for each of these that is 1, or divisible by 16.
COUNTS = ("rows", "chunks", "tiles", "length", "segments", "frames", "a_rows", "b_rows")
kernel = functools.partial(triton.jit, do_not_specialize=COUNTS)


@functools.cache
def _programs_that_fill(device: torch.device) -> int:
    if device.type != "cuda":
        return PROGRAMS_PER_MULTIPROCESSOR
    return PROGRAMS_PER_MULTIPROCESSOR * torch.cuda.get_device_properties(device).multi_processor_count


def programs_wanted(x: Tensor, sizes: Sizes) -> int:
    return sizes.programs or _programs_that_fill(x.device)


def chunks_of_tiles(x: Tensor, sizes: Sizes) -> tuple[int, int]:
    """(chunks a row, tiles a chunk): one chunk where the rows alone fill the device, else as many as fill it."""
    rows, time = x.shape
    tiles = max(cdiv(time, sizes.tile), 1)
    chunks = min(cdiv(programs_wanted(x, sizes), max(rows, 1)), tiles)
    tiles_each = cdiv(tiles, chunks)
    return cdiv(tiles, tiles_each), tiles_each


def chunks_of_samples(x: Tensor, lanes: int, sizes: Sizes) -> tuple[int, int]:
    """(chunks a row, samples a chunk), where a program advances `lanes` chunks sample by sample.

    Samples within a chunk and chunks within the carry pass are both sequential: about √time of each is the least.
    These programs are one warp each: four times as many fill the device.
    """
    rows, time = x.shape[:2]
    worthwhile = cdiv(time, max(sizes.chunk, isqrt(time)))
    chunks = max(min(worthwhile, cdiv(4 * programs_wanted(x, sizes) * lanes, max(rows, 1))), 1)
    length = max(cdiv(time, chunks), 1)
    return max(cdiv(time, length), 1), length


def cdiv(numerator: int, denominator: int) -> int:
    return -(-numerator // denominator)


def power_of_two(at_least: int) -> int:
    return 1 << max(at_least - 1, 0).bit_length()


def launch(function: Any, programs: int | tuple[int, ...], on: Tensor, *arguments: Any, **constants: Any) -> None:
    """Runs a kernel on the device of `on`, whichever device is current; no programs, no launch."""
    grid = (programs,) if isinstance(programs, int) else programs
    if min(grid) > 0:
        with torch.cuda.device_of(on):
            function[grid](*arguments, **constants)


def layout(a: Tensor, timing: Timing) -> tuple[tuple[Any, ...], str]:
    """Coefficients `(rows, frames, taps)` as a kernel's arguments (a, a_rows, frames, start, step), and their layout."""
    start, step = timing or (0.0, 0.0)
    name = "samples" if timing is None else "fixed" if a.shape[1] == 1 else "frames"
    return (a, a.shape[0], a.shape[1], start, step), name
