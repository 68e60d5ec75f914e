"""A compressor's static curve, its adjoint and its tangent; see `reference.py` for the equations.

A chunk of samples at a time, in loops without branches, which the compiler turns into vector instructions. Where a chunk
lies within the thresholds its gain is 1: a comparison, and neither logarithm nor exponential. Few long rows are cut into
segments in time, for several threads.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from diffapf.kernels import segments_of
from diffapf.kernels.cpu.launch import jit, jit_sum, over_rows
from diffapf.kernels.cpu.log_exp import exp, log
from diffapf.kernels.cpu.segments import segment_at

CHUNK = 256  # samples, whose slopes stay in the nearest cache
SLOPES = 6  # by the level and by each number


@jit
def _unity(numbers, k):
    """Levels between which the gain is 1."""
    low, high = -np.inf, numbers[0] - 0.5 * numbers[2]
    if len(numbers) == 5:
        low = numbers[3] + 0.5 * numbers[2]
    if k != 0.0:
        low, high = np.exp(low / k), np.exp(high / k)
    return low, high


@jit
def _outside(level, low, high):
    """How many samples ask for another gain than 1; NaN does."""
    count = 0
    for i in range(len(level)):
        count += not (low <= level[i] <= high)
    return count


@jit
def _decibels(level, k, tiny, loudness):
    if k == 0.0:
        for i in range(len(level)):
            loudness[i] = level[i]
    else:
        for i in range(len(level)):
            now = np.float64(level[i])
            loudness[i] = k * log(tiny if now < tiny else now)


@jit
def _curve(level, numbers, k, c, tiny, loudness, reduction, gain):
    _decibels(level, k, tiny, loudness)
    threshold, slope, half = np.float64(numbers[0]), np.float64(numbers[1]), 0.5 * np.float64(numbers[2])
    bend = 0.25 / half if half > 0.0 else 0.0
    for i in range(len(level)):
        u = loudness[i] - threshold
        bent = 0.0 if u <= -half else bend * (u + half) * (u + half)
        reduction[i] = slope * (u if u >= half else bent)
    if len(numbers) == 5:
        edge, expansion = np.float64(numbers[3]), np.float64(numbers[4])
        for i in range(len(level)):
            u = edge - loudness[i]
            bent = 0.0 if u <= -half else bend * (u + half) * (u + half)
            reduction[i] += expansion * (u if u >= half else bent)
    if c == 0.0:
        for i in range(len(level)):
            gain[i] = -reduction[i]
    else:
        for i in range(len(level)):
            gain[i] = exp(-c * reduction[i])


@jit
def _gain_curve(first, last, level, numbers, k, c, tiny, segments, scratch, gain):
    for unit in range(first, last):
        b, begin, stop = segment_at(unit, int(segments), level.shape[1])
        low, high = _unity(numbers[b], k)
        for n in range(begin, stop, CHUNK):
            end = min(n + CHUNK, stop)
            now, into = level[b, n:end], gain[b, n:end]
            if _outside(now, low, high):
                _curve(now, numbers[b], k, c, tiny, scratch[unit, 0], scratch[unit, 1], into)
            else:
                into[:] = 1.0 if c != 0.0 else 0.0


def gain_curve(level: Tensor, numbers: Tensor, kind, gain: Tensor) -> None:
    segments = segments_of(*level.shape)
    scratch = torch.empty(level.shape[0] * segments, 2, CHUNK, dtype=torch.float64, device="cpu")
    arguments = (level, numbers, *kind, torch.finfo(level.dtype).tiny, segments, scratch, gain)
    over_rows(_gain_curve, len(scratch), 10 * level.numel(), arguments, (level.dtype,))


@jit
def _slopes(level, gain, numbers, k, c, tiny, slopes):
    """∂gain/∂level and ∂gain/∂numbers, times whether the level has any effect."""
    by_level, by_threshold, by_slope, by_width = slopes[0], slopes[1], slopes[2], slopes[3]
    loudness, scales = slopes[4], slopes[5]
    _decibels(level, k, tiny, loudness)
    for i in range(len(level)):
        scales[i] = c * gain[i] if c != 0.0 else 1.0
    threshold, slope, half = np.float64(numbers[0]), np.float64(numbers[1]), 0.5 * np.float64(numbers[2])
    narrow = 0.5 / half if half > 0.0 else 0.0
    for i in range(len(level)):
        u = loudness[i] - threshold
        part = 0.0 if u <= -half else narrow * (u + half)
        within = u < half
        by_u = part if within else 1.0
        by_threshold[i] = scales[i] * slope * by_u
        by_slope[i] = -scales[i] * (0.5 * part * (u + half) if within else u)
        by_width[i] = -scales[i] * slope * (0.5 * part * (1.0 - part) if within else 0.0)
        by_level[i] = -by_threshold[i]
    if len(numbers) == 5:
        edge, expansion = np.float64(numbers[3]), np.float64(numbers[4])
        for i in range(len(level)):
            u, scale = edge - loudness[i], scales[i]
            part = 0.0 if u <= -half else narrow * (u + half)
            within = u < half
            by_u = part if within else 1.0
            by_level[i] += scale * expansion * by_u
            by_width[i] -= scale * expansion * (0.5 * part * (1.0 - part) if within else 0.0)
            slopes[4, i] = -scale * expansion * by_u
            slopes[5, i] = -scale * (0.5 * part * (u + half) if within else u)
    if k != 0.0:
        for i in range(len(level)):
            now = np.float64(level[i])
            by_level[i] = 0.0 if now < tiny else by_level[i] * k / now


@jit_sum
def _sum(g, slope):
    total = 0.0
    for i in range(len(g)):
        total += g[i] * slope[i]
    return total


@jit
def _gain_curve_adjoint(first, last, g, level, numbers, gain, k, c, tiny, segments, scratch, dlevel):
    """The numbers' gradients are what each segment has at the beginning of its last row of scratch."""
    count = numbers.shape[1]
    for unit in range(first, last):
        b, begin, stop = segment_at(unit, int(segments), level.shape[1])
        low, high = _unity(numbers[b], k)
        sums = scratch[unit, SLOPES]
        sums[:count] = 0.0
        for n in range(begin, stop, CHUNK):
            end = min(n + CHUNK, stop)
            now, along, into = level[b, n:end], g[b, n:end], dlevel[b, n:end]
            if _outside(now, low, high):
                _slopes(now, gain[b, n:end], numbers[b], k, c, tiny, scratch[unit])
                for i in range(len(into)):
                    into[i] = along[i] * scratch[unit, 0, i]
                for j in range(count):
                    sums[j] += _sum(along, scratch[unit, j + 1])
            else:
                into[:] = 0.0


def gain_curve_adjoint(
    g: Tensor, level: Tensor, numbers: Tensor, gain: Tensor, kind, dlevel: Tensor, dnumbers: Tensor
) -> None:
    rows, segments = level.shape[0], segments_of(*level.shape)
    scratch = torch.empty(rows * segments, SLOPES + 1, CHUNK, dtype=torch.float64, device="cpu")
    arguments = (g, level, numbers, gain, *kind, torch.finfo(level.dtype).tiny, segments, scratch, dlevel)
    over_rows(_gain_curve_adjoint, len(scratch), 20 * level.numel(), arguments, (level.dtype,))
    sums = scratch[:, SLOPES, : numbers.shape[1]].unflatten(0, (rows, segments)).sum(1)
    dnumbers.copy_(sums)


@jit
def _combine(slopes, dlevel, dnumbers, dgain):
    """A direction's samples of a chunk."""
    by_level, by_threshold, by_slope, by_width = slopes[0], slopes[1], slopes[2], slopes[3]
    threshold, slope, width = np.float64(dnumbers[0]), np.float64(dnumbers[1]), np.float64(dnumbers[2])
    if len(dnumbers) == 5:
        by_edge, by_expansion = slopes[4], slopes[5]
        edge, expansion = np.float64(dnumbers[3]), np.float64(dnumbers[4])
        for i in range(len(dgain)):
            moved = threshold * by_threshold[i] + slope * by_slope[i] + width * by_width[i]
            dgain[i] = moved + edge * by_edge[i] + expansion * by_expansion[i]
        for i in range(len(dlevel)):
            dgain[i] += dlevel[i] * by_level[i]
    elif len(dlevel):
        for i in range(len(dgain)):
            moved = threshold * by_threshold[i] + slope * by_slope[i] + width * by_width[i]
            dgain[i] = moved + dlevel[i] * by_level[i]
    else:
        for i in range(len(dgain)):
            dgain[i] = threshold * by_threshold[i] + slope * by_slope[i] + width * by_width[i]


@jit
def _gain_curve_tangent(first, last, dlevel, dnumbers, level, numbers, gain, k, c, tiny, scratch, dgain):
    rows, time = level.shape[0], level.shape[1]
    for b in range(first, last):
        low, high = _unity(numbers[b], k)
        for n in range(0, time, CHUNK):
            end = min(n + CHUNK, time)
            now = level[b, n:end]
            if _outside(now, low, high):
                _slopes(now, gain[b, n:end], numbers[b], k, c, tiny, scratch[b])
                for r in range(b, dgain.shape[0], rows):
                    _combine(scratch[b], dlevel[r, n:end], dnumbers[r], dgain[r, n:end])
            else:
                for r in range(b, dgain.shape[0], rows):
                    dgain[r, n:end] = 0.0


def gain_curve_tangent(
    dlevel: Tensor, dnumbers: Tensor, level: Tensor, numbers: Tensor, gain: Tensor, kind, dgain: Tensor
) -> None:
    scratch = torch.empty(level.shape[0], SLOPES, CHUNK, dtype=torch.float64, device="cpu")
    arguments = (dlevel, dnumbers, level, numbers, gain, *kind, torch.finfo(level.dtype).tiny, scratch, dgain)
    over_rows(_gain_curve_tangent, level.shape[0], 4 * dgain.numel(), arguments, (level.dtype,))
