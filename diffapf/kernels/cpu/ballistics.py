"""The compressor's one-pole with a decision a sample, its adjoint and its tangent; see `reference.py` for the equations.

Few long rows are cut into segments in time that advance together. Forward, a segment begins at its first input instead of
the state before it, which a second pass mends until it meets what is there, to the bit: from then on nothing differs. The
adjoint is linear once the decisions are made: each segment's from rest, and what the later one carries to it is added.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from diffapf.kernels import segments_of
from diffapf.kernels.cpu.launch import jit, over_rows, step
from diffapf.kernels.cpu.segments import segment_at

OPERATIONS = 6  # a sample
MEMORIES = 40.0  # that a segment is at least long: what is left of a state after 36 is rounded off
FORGOTTEN = 2.0**-60  # of what is carried


def _segments(g: Tensor, at: Tensor, rt: Tensor) -> int:
    """Into how many to cut each row: as many as are much longer than what either one-pole remembers."""
    segments = segments_of(*g.shape) if len(g) else 1
    if segments == 1:
        return 1
    return segments if g.shape[1] * float(torch.minimum(at, rt).min()) >= MEMORIES * segments else 1


@step
def _next(past, now, attack, release):
    # both branches at once, then one choice: a branch that follows the signal is mispredicted
    rising, falling = past + release * (now - past), past + attack * (now - past)
    return falling if now < past else rising


@jit
def _ballistics(first, last, g, at, rt, zi, y):
    for b in range(first, last):
        past, attack, release = zi[b], at[b], rt[b]
        for n in range(g.shape[1]):
            past = _next(past, g[b, n], attack, release)
            y[b, n] = past


@jit
def _ballistics_of_segments(first, last, g, at, rt, zi, y, segments):
    """Two segments together: one chain of operations fills the time that the other waits."""
    count, time = int(segments), g.shape[1]
    for unit in range(first, last, 2):
        b0, n0, end0 = segment_at(unit, count, time)
        b1, n1, end1 = segment_at(min(unit + 1, last - 1), count, time)
        past0 = g[b0, n0] if n0 else zi[b0]
        past1 = g[b1, n1] if n1 else zi[b1]
        attack0, release0, attack1, release1 = at[b0], rt[b0], at[b1], rt[b1]
        for i in range(time // count):
            past0 = _next(past0, g[b0, np.uintp(n0 + i)], attack0, release0)
            past1 = _next(past1, g[b1, np.uintp(n1 + i)], attack1, release1)
            y[b0, np.uintp(n0 + i)] = past0
            y[b1, np.uintp(n1 + i)] = past1
        for n in range(n0 + time // count, end0):
            past0 = _next(past0, g[b0, np.uintp(n)], attack0, release0)
            y[b0, np.uintp(n)] = past0
        for n in range(n1 + time // count, end1):
            past1 = _next(past1, g[b1, np.uintp(n)], attack1, release1)
            y[b1, np.uintp(n)] = past1


@jit
def _ballistics_mended(first, last, g, at, rt, y, segments):
    count, time = int(segments), g.shape[1]
    for b in range(first, last):
        for index in range(1, count):
            _, n, end = segment_at(b * count + index, count, time)
            past = y[b, n - 1]
            while n < end:
                past = _next(past, g[b, np.uintp(n)], at[b], rt[b])
                if past == y[b, np.uintp(n)]:
                    break
                y[b, np.uintp(n)] = past
                n += 1


def ballistics(g: Tensor, at: Tensor, rt: Tensor, zi: Tensor, y: Tensor) -> None:
    work, segments = g.numel() * OPERATIONS, _segments(g, at, rt)
    if segments == 1:
        over_rows(_ballistics, g.shape[0], work, (g, at, rt, zi, y), (g.dtype,))
        return
    over_rows(_ballistics_of_segments, g.shape[0] * segments, work, (g, at, rt, zi, y, segments), (g.dtype,))
    over_rows(_ballistics_mended, g.shape[0], 0, (g, at, rt, y, segments), (g.dtype,))


# Backward, decisions are known: the rate is looked up, `rates[b, falls]`. A choice would become a branch, mispredicted.
# A dg without samples is not wanted.


@step
def _back(h, rise, rates, b):
    """The gradient of g, what is carried on, and the parts of the sums, of the attack's and of all."""
    falls = np.uintp(rise < 0)
    rate, along = rates[b, falls], h * rise
    return rate * h, h - rate * h, along * falls, along


@step
def _put(dg, b, n, value):
    if dg.shape[1]:
        dg[b, n] = value


@jit
def _ballistics_adjoint(first, last, gradient, g, rates, zi, y, dg, left):
    for b in range(first, last):
        carried, of_attack, of_both = g.dtype.type(0), np.float64(0), np.float64(0)
        for n in range(g.shape[1] - 1, -1, -1):
            past = y[b, np.uintp(n - 1)] if n else zi[b]
            h = gradient[b, np.uintp(n)] + carried
            of_g, carried, falling, both = _back(h, g[b, np.uintp(n)] - past, rates, b)
            _put(dg, b, np.uintp(n), of_g)
            of_attack += falling
            of_both += both
        left[b, 0], left[b, 1], left[b, 2] = carried, of_attack, of_both


@jit
def _adjoint_of_segments(first, last, gradient, g, rates, zi, y, dg, left, segments):
    """From rest, two segments together; `left` are what each has carried to its beginning, and its sums."""
    count, time = int(segments), g.shape[1]
    for unit in range(first, last, 2):
        other = min(unit + 1, last - 1)
        b0, n0, end0 = segment_at(unit, count, time)
        b1, n1, end1 = segment_at(other, count, time)
        carried0, of_attack0, of_both0 = g.dtype.type(0), np.float64(0), np.float64(0)
        carried1, of_attack1, of_both1 = carried0, of_attack0, of_both0
        # the last segment of a row is the longest: its last samples by itself
        for n in range(end0 - 1, n0 + time // count - 1, -1):
            rise = g[b0, np.uintp(n)] - y[b0, np.uintp(n - 1)]
            of_g, carried0, falling, both = _back(gradient[b0, np.uintp(n)] + carried0, rise, rates, b0)
            _put(dg, b0, np.uintp(n), of_g)
            of_attack0, of_both0 = of_attack0 + falling, of_both0 + both
        for n in range(end1 - 1, n1 + time // count - 1, -1):
            rise = g[b1, np.uintp(n)] - y[b1, np.uintp(n - 1)]
            of_g, carried1, falling, both = _back(gradient[b1, np.uintp(n)] + carried1, rise, rates, b1)
            _put(dg, b1, np.uintp(n), of_g)
            of_attack1, of_both1 = of_attack1 + falling, of_both1 + both
        for i in range(time // count - 1, -1, -1):
            at0, at1 = np.uintp(n0 + i), np.uintp(n1 + i)
            rise0 = g[b0, at0] - (y[b0, at0 - np.uintp(1)] if at0 else zi[b0])
            rise1 = g[b1, at1] - (y[b1, at1 - np.uintp(1)] if at1 else zi[b1])
            of_g0, carried0, falling0, both0 = _back(gradient[b0, at0] + carried0, rise0, rates, b0)
            of_g1, carried1, falling1, both1 = _back(gradient[b1, at1] + carried1, rise1, rates, b1)
            _put(dg, b0, at0, of_g0)
            _put(dg, b1, at1, of_g1)
            of_attack0, of_both0 = of_attack0 + falling0, of_both0 + both0
            of_attack1, of_both1 = of_attack1 + falling1, of_both1 + both1
        left[unit, 0], left[unit, 1], left[unit, 2] = carried0, of_attack0, of_both0
        left[other, 0], left[other, 1], left[other, 2] = carried1, of_attack1, of_both1


@jit
def _adjoint_carried_on(first, last, g, rates, zi, y, dg, left, segments):
    """What a later segment has carried goes through the one before it, until it is forgotten."""
    count, time = int(segments), g.shape[1]
    for b in range(first, last):
        for index in range(count - 2, -1, -1):
            unit = b * count + index
            _, begin, n = segment_at(unit, count, time)
            carried = left[unit + 1, 0]
            forgotten = FORGOTTEN * abs(carried)
            while n > begin and not abs(carried) <= forgotten:
                n -= 1
                rise = np.float64(g[b, n]) - np.float64(y[b, n - 1] if n else zi[b])
                of_g, carried, falling, both = _back(carried, rise, rates, b)
                if dg.shape[1]:
                    dg[b, n] += of_g
                left[unit, 1] += falling
                left[unit, 2] += both
            left[unit, 0] += carried if n == begin else 0.0


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
    rows, work, segments = g.shape[0], 2 * g.numel() * OPERATIONS, _segments(g, at, rt)
    left = torch.empty(rows * segments, 3, dtype=torch.float64, device="cpu")
    arguments = (g, torch.stack([rt, at], 1), zi, y, dg, left)
    if segments == 1:
        over_rows(_ballistics_adjoint, rows, work, (gradient, *arguments), (g.dtype,))
    else:
        over_rows(_adjoint_of_segments, len(left), work, (gradient, *arguments, segments), (g.dtype,))
        over_rows(_adjoint_carried_on, rows, 0, (*arguments, segments), (g.dtype,))
    states = left.view(rows, segments, 3)
    of_attack, of_both = states[:, :, 1:].sum(1).unbind(1)
    dat.copy_(of_attack)
    drt.copy_(of_both - of_attack)
    dzi.copy_(states[:, 0, 0])


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
