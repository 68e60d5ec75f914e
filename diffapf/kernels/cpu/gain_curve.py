"""A compressor's static curve, its adjoint and its tangent; see `reference.py` for the equations.

Where the level is within the thresholds the gain is 1: a comparison, and neither logarithm nor exponential.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from diffapf.kernels.cpu.launch import jit, over_rows, step

CHUNK = 256  # samples whose slopes are kept for all directions
SLOPES = 6  # by the level and by each number


@step
def _ramp(u, width):
    """The ramp, and its derivatives by u and by its width."""
    into = u + 0.5 * width
    if u >= 0.5 * width:
        return u, 1.0, 0.0
    if into <= 0.0:
        return 0.0, 0.0, 0.0
    part = into / width
    return 0.5 * part * into, part, 0.5 * part * (1.0 - part)


@step
def _decibels(level, k, tiny):
    return k * np.log(tiny if level < tiny else level) if k != 0.0 else level


@step
def _unity(numbers, b, k, expands):
    """Levels between which the gain is 1."""
    low, high = -np.inf, numbers[b, 0] - 0.5 * numbers[b, 2]
    if expands:
        low = numbers[b, 3] + 0.5 * numbers[b, 2]
    if k != 0.0:
        low, high = np.exp(low / k), np.exp(high / k)
    return low, high


@jit
def _gain_curve(first, last, level, numbers, k, c, tiny, gain):
    expands = numbers.shape[1] == 5
    for b in range(first, last):
        threshold, slope, width = np.float64(numbers[b, 0]), np.float64(numbers[b, 1]), np.float64(numbers[b, 2])
        low, high = _unity(numbers, b, k, expands)
        one = gain.dtype.type(1.0 if c != 0.0 else 0.0)
        for n in range(level.shape[1]):
            now = np.float64(level[b, n])
            if now >= low and now <= high:
                gain[b, n] = one
                continue
            loudness = _decibels(now, k, tiny)
            reduction = slope * _ramp(loudness - threshold, width)[0]
            if expands:
                reduction += numbers[b, 4] * _ramp(numbers[b, 3] - loudness, width)[0]
            gain[b, n] = np.exp(-c * reduction) if c != 0.0 else -reduction


def gain_curve(level: Tensor, numbers: Tensor, kind, gain: Tensor) -> None:
    arguments = (level, numbers, *kind, torch.finfo(level.dtype).tiny, gain)
    over_rows(_gain_curve, level.shape[0], 20 * level.numel(), arguments, (level.dtype,))


@step
def _slopes(now, gain, numbers, b, k, c, tiny, expands):
    """∂gain/∂level and ∂gain/∂numbers, where it is not 1."""
    threshold, slope, width = np.float64(numbers[b, 0]), np.float64(numbers[b, 1]), np.float64(numbers[b, 2])
    loudness = _decibels(now, k, tiny)
    reduction, by_u, by_width = _ramp(loudness - threshold, width)
    scale = c * gain if c != 0.0 else 1.0
    by_loudness, of_width, of_edge, of_expansion = -slope * by_u, -slope * by_width, 0.0, 0.0
    of_threshold = -by_loudness
    if expands:
        expansion = np.float64(numbers[b, 4])
        below, by_below, width_below = _ramp(numbers[b, 3] - loudness, width)
        by_loudness += expansion * by_below
        of_width -= expansion * width_below
        of_edge, of_expansion = -expansion * by_below, -below
    by_level = by_loudness
    if k != 0.0:
        by_level = 0.0 if now < tiny else by_loudness * k / now
    return (
        scale * by_level,
        scale * of_threshold,
        scale * -reduction,
        scale * of_width,
        scale * of_edge,
        scale * of_expansion,
    )


@jit
def _gain_curve_adjoint(first, last, g, level, numbers, gain, k, c, tiny, dlevel, dnumbers):
    expands = numbers.shape[1] == 5
    for b in range(first, last):
        low, high = _unity(numbers, b, k, expands)
        of_threshold, of_slope, of_width, of_edge, of_expansion = 0.0, 0.0, 0.0, 0.0, 0.0
        for n in range(level.shape[1]):
            now = np.float64(level[b, n])
            if now >= low and now <= high:
                dlevel[b, n] = 0
                continue
            along = np.float64(g[b, n])
            slopes = _slopes(now, np.float64(gain[b, n]), numbers, b, k, c, tiny, expands)
            dlevel[b, n] = along * slopes[0]
            of_threshold += along * slopes[1]
            of_slope += along * slopes[2]
            of_width += along * slopes[3]
            of_edge += along * slopes[4]
            of_expansion += along * slopes[5]
        dnumbers[b, 0], dnumbers[b, 1], dnumbers[b, 2] = of_threshold, of_slope, of_width
        if expands:
            dnumbers[b, 3], dnumbers[b, 4] = of_edge, of_expansion


def gain_curve_adjoint(
    g: Tensor, level: Tensor, numbers: Tensor, gain: Tensor, kind, dlevel: Tensor, dnumbers: Tensor
) -> None:
    arguments = (g, level, numbers, gain, *kind, torch.finfo(level.dtype).tiny, dlevel, dnumbers)
    over_rows(_gain_curve_adjoint, level.shape[0], 20 * level.numel(), arguments, (level.dtype,))


@jit
def _combine(scratch, b, n, end, dlevel, dnumbers, r, dgain):
    """A direction's samples from n to end; none of the slopes needs to be asked for again."""
    moves, expands = dlevel.shape[1] > 0, dnumbers.shape[1] == 5
    threshold, slope, width = dnumbers[r, 0], dnumbers[r, 1], dnumbers[r, 2]
    for i in range(end - n):
        dgain[r, np.uintp(n + i)] = threshold * scratch[b, 1, i] + slope * scratch[b, 2, i] + width * scratch[b, 3, i]
    if expands:
        edge, expansion = dnumbers[r, 3], dnumbers[r, 4]
        for i in range(end - n):
            dgain[r, np.uintp(n + i)] += edge * scratch[b, 4, i] + expansion * scratch[b, 5, i]
    if moves:
        for i in range(end - n):
            dgain[r, np.uintp(n + i)] += dlevel[r, np.uintp(n + i)] * scratch[b, 0, i]


@jit
def _gain_curve_tangent(first, last, dlevel, dnumbers, level, numbers, gain, k, c, tiny, scratch, dgain):
    expands, rows, time = numbers.shape[1] == 5, level.shape[0], level.shape[1]
    for b in range(first, last):
        low, high = _unity(numbers, b, k, expands)
        n = 0
        while n < time:
            end, quiet = min(n + CHUNK, time), True
            for i in range(end - n):
                now = np.float64(level[b, n + i])
                if now >= low and now <= high:
                    for j in range(SLOPES):
                        scratch[b, j, i] = 0
                    continue
                quiet = False
                slopes = _slopes(now, np.float64(gain[b, n + i]), numbers, b, k, c, tiny, expands)
                scratch[b, 0, i], scratch[b, 1, i], scratch[b, 2, i] = slopes[0], slopes[1], slopes[2]
                scratch[b, 3, i], scratch[b, 4, i], scratch[b, 5, i] = slopes[3], slopes[4], slopes[5]
            for r in range(b, dgain.shape[0], rows):
                if quiet:
                    dgain[r, n:end] = 0
                else:
                    _combine(scratch, b, n, end, dlevel, dnumbers, r, dgain)
            n = end


def gain_curve_tangent(
    dlevel: Tensor, dnumbers: Tensor, level: Tensor, numbers: Tensor, gain: Tensor, kind, dgain: Tensor
) -> None:
    scratch = level.new_empty(level.shape[0], SLOPES, CHUNK)
    arguments = (dlevel, dnumbers, level, numbers, gain, *kind, torch.finfo(level.dtype).tiny, scratch, dgain)
    over_rows(_gain_curve_tangent, level.shape[0], 4 * dgain.numel(), arguments, (level.dtype,))
