"""The compressor's one-pole with a decision a sample, its adjoint and its tangent; see `reference.py` for the equations."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from diffapf.kernels.cpu.launch import jit, over_rows, step

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


@step
def _moved(dg, r, n, rate, drate, rise, past):
    drive = drate * rise
    if dg.shape[1]:
        drive += rate * dg[r, n]
    return drive + (past - rate * past)


@jit
def _ballistics_tangent(first, last, dg, dat, drt, dzi, g, at, rt, zi, y, dy):
    """Four directions together: they share the decisions, and four chains fill the time that one waits.

    The last directions are computed again where there are no four left.
    """
    rows, time, directions = g.shape[0], g.shape[1], dzi.shape[0] // max(g.shape[0], 1)
    for b in range(first, last):
        attack, release = at[b], rt[b]
        for group in range(0, directions, 4):
            r0, r1 = b + group * rows, b + min(group + 1, directions - 1) * rows
            r2, r3 = b + min(group + 2, directions - 1) * rows, b + min(group + 3, directions - 1) * rows
            p0, p1, p2, p3, past = dzi[r0], dzi[r1], dzi[r2], dzi[r3], zi[b]
            a0, a1, a2, a3 = dat[r0], dat[r1], dat[r2], dat[r3]
            l0, l1, l2, l3 = drt[r0], drt[r1], drt[r2], drt[r3]
            for n in range(time):
                rise = g[b, n] - past
                falls, past = rise < 0, y[b, n]
                rate = attack if falls else release
                p0 = _moved(dg, r0, n, rate, a0 if falls else l0, rise, p0)
                p1 = _moved(dg, r1, n, rate, a1 if falls else l1, rise, p1)
                p2 = _moved(dg, r2, n, rate, a2 if falls else l2, rise, p2)
                p3 = _moved(dg, r3, n, rate, a3 if falls else l3, rise, p3)
                dy[r0, n], dy[r1, n], dy[r2, n], dy[r3, n] = p0, p1, p2, p3


def ballistics_tangent(
    dg: Tensor,
    dat: Tensor,
    drt: Tensor,
    dzi: Tensor,
    g: Tensor,
    at: Tensor,
    rt: Tensor,
    zi: Tensor,
    y: Tensor,
    dy: Tensor,
) -> None:
    arguments = (dg, dat, drt, dzi, g, at, rt, zi, y, dy)
    over_rows(_ballistics_tangent, g.shape[0], dy.numel() * OPERATIONS, arguments, (g.dtype,))
