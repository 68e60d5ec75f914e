"""The compressor's one-pole with a decision a sample, and its adjoint; see `reference.py` for the equations."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from diffapf.kernels.cpu.launch import jit, over_rows

OPERATIONS = 6  # a sample


@jit
def _ballistics(first, last, g, at, rt, zi, y):
    for b in range(first, last):
        past, attack, release = zi[b], at[b], rt[b]
        for n in range(g.shape[1]):
            now = g[b, n]
            # both branches at once, then one choice: a branch that follows the signal is mispredicted
            rising, falling = past + release * (now - past), past + attack * (now - past)
            past = falling if now < past else rising
            y[b, n] = past


def ballistics(g: Tensor, at: Tensor, rt: Tensor, zi: Tensor, y: Tensor) -> None:
    over_rows(_ballistics, g.shape[0], g.numel() * OPERATIONS, (g, at, rt, zi, y), (g.dtype,))


@jit
def _ballistics_adjoint(first, last, gradient, g, at, rt, zi, y, dg, dat, drt, dzi):
    for b in range(first, last):
        attack, release, carried = at[b], rt[b], g.dtype.type(0)
        of_attack, of_both = np.float64(0), np.float64(0)
        for n in range(g.shape[1] - 1, -1, -1):
            past = y[b, np.uintp(n - 1)] if n else zi[b]
            rise = g[b, np.uintp(n)] - past
            rate = attack if rise < 0 else release
            h = gradient[b, np.uintp(n)] + carried
            dg[b, np.uintp(n)] = rate * h
            of_both += h * rise
            of_attack += h * rise if rise < 0 else 0.0
            carried = h - rate * h
        dat[b], drt[b], dzi[b] = of_attack, of_both - of_attack, carried


def ballistics_adjoint(
    gradient: Tensor,
    g: Tensor,
    at: Tensor,
    rt: Tensor,
    zi: Tensor,
    y: Tensor,
    dg: Tensor,
    dat: Tensor,
    drt: Tensor,
    dzi: Tensor,
) -> None:
    arguments = (gradient, g, at, rt, zi, y, dg, dat, drt, dzi)
    over_rows(_ballistics_adjoint, g.shape[0], 2 * g.numel() * OPERATIONS, arguments, (g.dtype,))
