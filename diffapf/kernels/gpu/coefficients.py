"""Coefficients in the three layouts, read where a kernel needs them: none is ever written out at audio rate.

Signal row r reads coefficient row r mod a_rows, so rows that share their coefficients share them in memory too.
"""

import triton
import triton.language as tl


@triton.jit
def coefficient(a, n, i, mask, frames, start, step, TAPS: tl.constexpr, LAYOUT: tl.constexpr):
    """aᵢ[n] of one row, whose frames begin at `a`; n and i are broadcast against each other. 0 where masked."""
    if LAYOUT == "fixed":
        values = tl.load(a + i + n * 0, mask, 0.0)
    elif LAYOUT == "samples":
        values = tl.load(a + n.to(tl.int64) * TAPS + i, mask, 0.0)
    else:
        position = frame_position(n, frames, start, step)
        first = position.to(tl.int32)
        second = tl.minimum(first + 1, frames - 1)
        left = tl.load(a + first.to(tl.int64) * TAPS + i, mask, 0.0)
        right = tl.load(a + second.to(tl.int64) * TAPS + i, mask, 0.0)
        values = left + (position - first).to(left.dtype) * (right - left)
    return values


@triton.jit
def frame_position(n, frames, start, step):
    """Where sample n lies among the frames; in float64, because n may be in the millions."""
    position = start + n.to(tl.float64) * step
    return tl.minimum(tl.maximum(position, 0.0), tl.cast(frames - 1, tl.float64))


@triton.jit
def rows_of(a, row, a_rows, frames, TAPS: tl.constexpr):
    """Where the frames of a signal's row begin."""
    return a + (row % a_rows).to(tl.int64) * frames * TAPS
