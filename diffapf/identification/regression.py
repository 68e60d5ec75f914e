"""Least squares of one signal on others and their last samples, block by block, for many candidate signals at once.

    y[n] ≈ Σᵢ bᵢ x[n−i] + Σᵢ cᵢ w[n−i],  i = 0 … 2

w is one of many candidates: what a fixed filter of a grid makes of x. The Gram matrix of (x, w, y) over a block holds all
that least squares needs: gains may be solved for each block, or given from outside, without touching audio again.
"""

from __future__ import annotations

import torch
from torch import Tensor

TAPS = 3
REGRESSORS = 2 * TAPS  # x[n], x[n−1], x[n−2], w[n], w[n−1], w[n−2]; y comes last in a Gram matrix


def block_grams(x: Tensor, w: Tensor, y: Tensor, block: int) -> Tensor:
    """The Gram matrices of x[n], x[n−1], x[n−2], w[n], w[n−1], w[n−2], y[n] over each block of samples.

    Args:
        x: `(2 + time,)`: two earlier samples first, so that blocks of a stream can be joined.
        w: `(candidates, 2 + time)`, likewise.
        y: `(time,)`, time a multiple of `block`.
        block: samples.

    Returns:
        `(time/block, candidates, 7, 7)`.

    >>> x = torch.arange(6.0)
    >>> block_grams(x, 2 * x[None], x[2:], 4)[0, 0, 0]  # x[n] with each: Σ n² is 4 + 9 + 16 + 25
    tensor([ 54.,  40.,  26., 108.,  80.,  52.,  54.])
    """
    blocks, candidates = len(y) // block, len(w)
    grams = w.new_empty(blocks, candidates, REGRESSORS + 1, REGRESSORS + 1)
    lags = [slice(TAPS - 1 - lag, TAPS - 1 - lag + len(y)) for lag in range(TAPS)]
    known = torch.stack([*(x[lag] for lag in lags), y]).unflatten(1, (blocks, block)).transpose(0, 1)
    places = torch.tensor([*range(TAPS), REGRESSORS])
    grams[:, :, places[:, None], places] = (known @ known.mT)[:, None]
    lagged = [w[:, lag].unflatten(1, (blocks, block)) for lag in lags]
    for i, delayed in enumerate(lagged):
        cross = delayed.transpose(0, 1) @ known.mT
        grams[:, :, TAPS + i, places] = cross
        grams[:, :, places, TAPS + i] = cross
        for j in range(i, TAPS):
            own = torch.linalg.vecdot(delayed, lagged[j]).mT
            grams[:, :, TAPS + i, TAPS + j] = own
            grams[:, :, TAPS + j, TAPS + i] = own
    return grams


def solve_gains(grams: Tensor, ridge: float = 1e-4) -> Tensor:
    """The gains that minimise each Gram matrix's residual: `(..., 7, 7)` → `(..., 6)`, in double precision.

    `ridge`, relative to the mean diagonal, keeps them small where regressors are alike.
    """
    grams = grams.double()
    normal, right = grams[..., :-1, :-1], grams[..., :-1, -1:]
    mean = normal.diagonal(dim1=-2, dim2=-1).mean(-1)[..., None, None]
    identity = torch.eye(REGRESSORS, dtype=normal.dtype, device=normal.device)
    # a silent block has zeros alone: its gains are 0
    factor, _ = torch.linalg.cholesky_ex(normal + (ridge * mean + torch.finfo(torch.float32).tiny) * identity)
    return torch.cholesky_solve(right, factor)[..., 0]


def residual_energy(grams: Tensor, gains: Tensor) -> Tensor:
    """Σ (y − ŷ)² for gains `(..., 6)`, one set for each Gram matrix or one for all: `(...)`, never negative."""
    against = torch.cat([gains, -torch.ones_like(gains[..., :1])], -1).to(grams.dtype)
    if against.ndim == 1:  # for all: one pass over the memory
        energy = grams.flatten(-2) @ torch.outer(against, against).flatten()
    else:
        energy = (against[..., None, :] @ grams @ against[..., None])[..., 0, 0]
    return energy.clamp(min=0.0)
