"""The compressor's one-pole with a decision a sample. Forward each sample decides by the one before: a lane a row.

Backward the decisions are known, and what is left is a time-varying one-pole: the parallel scan of order 1.
"""

from __future__ import annotations

import torch
import triton.language as tl
from torch import Tensor

from diffapf.kernels.gpu.first_and_second_order import allpole_adjoint
from diffapf.kernels.gpu.launch import SIZES, Sizes, kernel, launch

AHEAD = 16  # samples that are read before the first of them is needed


@kernel
def _ballistics(g, at, rt, zi, y, time, AHEAD: tl.constexpr):
    row = tl.program_id(0)
    g += row.to(tl.int64) * time
    y += row.to(tl.int64) * time
    attack, release, state = tl.load(at + row), tl.load(rt + row), tl.load(zi + row)
    for begin in range(0, time, AHEAD):
        values = ()
        for k in tl.static_range(AHEAD):
            values = values + (tl.load(g + begin + k, begin + k < time, 0.0),)
        for k in tl.static_range(AHEAD):
            attacked = attack * values[k] + (1.0 - attack) * state
            released = release * values[k] + (1.0 - release) * state
            state = tl.where(values[k] < state, attacked, released)
            tl.store(y + begin + k, state, begin + k < time)


def ballistics(g: Tensor, at: Tensor, rt: Tensor, zi: Tensor, y: Tensor) -> None:
    """y[n] = α g[n] + (1−α) y[n−1], y[−1] = zi; α = at if g[n] < y[n−1] else rt."""
    launch(_ballistics, g.shape[0], g, g, at, rt, zi, y, g.shape[1], AHEAD=AHEAD, num_warps=1)


def ballistics_adjoint(
    gradient: Tensor, g: Tensor, at: Tensor, rt: Tensor, zi: Tensor, y: Tensor,
    dg: Tensor, dat: Tensor, drt: Tensor, dzi: Tensor, sizes: Sizes = SIZES,
) -> None:  # fmt: skip
    """With β[n] the α that was taken: h[n] = gradient[n] + (1−β[n+1]) h[n+1];  dg = β h;  dzi = (1−β[0]) h[0];

    dat = Σ h[n] (g[n] − y[n−1]) over the samples that attacked; drt over the others.
    """
    before = torch.cat([zi[:, None], y], 1)[:, :-1]
    attacked = g < before
    beta = torch.where(attacked, at[:, None], rt[:, None])
    h, nothing, dstate = torch.empty_like(g), g.new_empty(g.shape[0], 0, 1), torch.empty_like(zi)[:, None]
    allpole_adjoint(gradient, (beta - 1.0)[:, :, None], None, y, zi[:, None], h, nothing, dstate, sizes)
    torch.mul(beta, h, out=dg)
    dzi.copy_(dstate[:, 0])
    dbeta = h * (g - before)
    dat.copy_(torch.where(attacked, dbeta, 0.0).sum(1))
    drt.copy_(torch.where(attacked, 0.0, dbeta).sum(1))
