"""Harmonics from the recursion over their number, its adjoint in their weights; see `reference.py` for the equations.

All samples of a hop advance together from harmonic to harmonic, in the nearest cache.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from diffapf.kernels.cpu.launch import jit, jit_sum, over_rows, step

HOPS_TOGETHER = 16  # that share a scratch
QUARTERS = {0.0: (0.0, 1.0), 1.0: (1.0, 0.0), 2.0: (0.0, -1.0), 3.0: (-1.0, 0.0)}  # cosine and sine of the start


@step
def _hop(unit, length, time):
    """(row, number of the hop in it, its first sample, its samples)."""
    hops = (time + length - 1) // length
    b, h = unit // hops, unit % hops
    return b, h, h * length, min(length, time - h * length)


@step
def _units(part, rows, length, time):
    """(the first of a part's hops, and where the next part's begin)."""
    hops = (time + length - 1) // length
    return part * HOPS_TOGETHER, min((part + 1) * HOPS_TOGETHER, rows * hops)


@step
def _begin(psi, top, b, begin, size, sine, cosine, scratch):
    """Writes order 0 and 1 of the hop's samples, and 2 cos ψ; the highest order that sounds."""
    highest = 0.0
    for i in range(size):
        s, c = np.sin(psi[b, begin + i]), np.cos(psi[b, begin + i])
        scratch[0, i] = cosine
        scratch[1, i] = sine * s + cosine * c
        scratch[2, i] = 2.0 * c
        highest = max(highest, top[b, begin + i])
    return highest


@step
def _advance(scratch, size):
    for i in range(size):
        following = scratch[2, np.uintp(i)] * scratch[1, np.uintp(i)] - scratch[0, np.uintp(i)]
        scratch[0, np.uintp(i)] = scratch[1, np.uintp(i)]
        scratch[1, np.uintp(i)] = following


@jit
def _harmonic_sum(first, last, weights, psi, top, hop, sine, cosine, scratches, y):
    time, frames = psi.shape[1], weights.shape[1]
    for part in range(first, last):
        scratch = scratches[part]
        for unit in range(*_units(part, psi.shape[0], int(hop), time)):
            b, h, begin, size = _hop(unit, int(hop), time)
            left, right = min(h, frames - 1), min(h + 1, frames - 1)
            highest = _begin(psi, top, b, begin, size, sine, cosine, scratch)
            for i in range(size):
                scratch[3, i] = 0.0
            for k in range(weights.shape[2]):
                if k >= highest:
                    break
                start = np.float64(weights[b, left, k])
                slope = (np.float64(weights[b, right, k]) - start) / hop
                for i in range(size):
                    level = start + slope * np.float64(np.int32(i))
                    sounds = level * scratch[1, np.uintp(i)] if k < top[b, np.uintp(begin + i)] else 0.0
                    scratch[3, np.uintp(i)] += sounds
                _advance(scratch, size)
            for i in range(size):
                y[b, begin + i] = scratch[3, i]


@jit_sum
def _projections(g, top, b, begin, size, k, scratch):
    """The sums of g times order k, and of that times the distance from the hop's beginning."""
    total, ramp = 0.0, 0.0
    for i in range(size):
        place = np.uintp(begin + i)
        now = np.float64(g[b, place]) * scratch[1, np.uintp(i)] if k < top[b, place] else 0.0
        total += now
        ramp += now * np.float64(np.int32(i))
    return total, ramp


@jit
def _harmonic_sum_adjoint(first, last, g, psi, top, hop, sine, cosine, scratches, ends):
    time, orders = psi.shape[1], ends.shape[2]
    for part in range(first, last):
        scratch = scratches[part]
        for unit in range(*_units(part, psi.shape[0], int(hop), time)):
            b, _, begin, size = _hop(unit, int(hop), time)
            highest = _begin(psi, top, b, begin, size, sine, cosine, scratch)
            for k in range(orders):
                total, ramp = 0.0, 0.0
                if k < highest:
                    total, ramp = _projections(g, top, b, begin, size, k, scratch)
                    _advance(scratch, size)
                ends[unit, 0, k] = total - ramp / hop
                ends[unit, 1, k] = ramp / hop


def _layout(psi: Tensor, turned: tuple[float, float]) -> tuple[int, tuple[float, float, float], Tensor]:
    """Hops of a row, (hop, sine, cosine), and a scratch for each part."""
    hop, quarters = turned
    cosine, sine = QUARTERS[quarters]
    hops = -(-psi.shape[1] // int(hop))
    parts = -(-psi.shape[0] * hops // HOPS_TOGETHER)
    return hops, (hop, sine, cosine), psi.new_empty(parts, 4, min(int(hop), psi.shape[1]))


def harmonic_sum(weights: Tensor, psi: Tensor, top: Tensor, turned: tuple[float, float], y: Tensor) -> None:
    _, kind, scratch = _layout(psi, turned)
    work = 4 * psi.numel() * weights.shape[2]
    over_rows(_harmonic_sum, len(scratch), work, (weights, psi, top, *kind, scratch, y), (y.dtype,))


def harmonic_sum_adjoint(g: Tensor, psi: Tensor, top: Tensor, turned: tuple[float, float], dweights: Tensor) -> None:
    hops, kind, scratch = _layout(psi, turned)
    rows, frames, orders = dweights.shape
    ends = torch.empty(rows * hops, 2, orders, dtype=torch.float64, device="cpu")
    work = 4 * psi.numel() * orders
    over_rows(_harmonic_sum_adjoint, len(scratch), work, (g, psi, top, *kind, scratch, ends), (g.dtype,))
    sums = torch.zeros(rows, frames, orders, dtype=torch.float64, device="cpu")
    ends, hop = ends.unflatten(0, (rows, hops)), torch.arange(hops, device="cpu")
    for side in (0, 1):
        sums.index_add_(1, (hop + side).clamp(max=frames - 1), ends[:, :, side])
    dweights.copy_(sums)
