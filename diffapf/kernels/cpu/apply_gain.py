"""A signal times a gain, beside the signal itself, its adjoint and its tangent; see `reference.py` for the equations.

Few long rows are cut into segments in time, for several threads.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from diffapf.kernels import segments_of
from diffapf.kernels.cpu.launch import jit, jit_sum, over_rows
from diffapf.kernels.cpu.log_exp import exp
from diffapf.kernels.cpu.segments import segment_at

CHUNK = 256  # samples


@jit
def _apply_gain(first, last, x, gain, numbers, c, segments, y):
    for unit in range(first, last):
        b, begin, end = segment_at(unit, int(segments), x.shape[1])
        dry, wet, exponent = numbers[b, 0], numbers[b, 1], np.float64(c)
        now, signal, into = gain[b, begin:end], x[b, begin:end], y[b, begin:end]
        if c == 0.0:
            for n in range(len(signal)):
                into[n] = signal[n] * (dry + wet * now[n])
        else:
            for n in range(len(signal)):
                into[n] = signal[n] * (dry + wet * exp(exponent * now[n]))


def apply_gain(x: Tensor, gain: Tensor, numbers: Tensor, kind, y: Tensor) -> None:
    segments = segments_of(*x.shape)
    work = (20 if kind[0] else 2) * x.numel()
    over_rows(_apply_gain, x.shape[0] * segments, work, (x, gain, numbers, *kind, segments, y), (x.dtype,))


@jit_sum
def _products(g, x, gain, c, wet, dgain):
    """dgain, and the sums of g x and of g x γ."""
    plain, weighted, exponent = 0.0, 0.0, np.float64(c)
    if c == 0.0:
        for n in range(len(x)):
            along = g[n] * x[n]
            dgain[n] = along * wet
            plain += along
            weighted += along * gain[n]
    else:
        for n in range(len(x)):
            along, now = g[n] * x[n], exp(exponent * gain[n])
            dgain[n] = along * wet * exponent * now
            plain += along
            weighted += along * now
    return plain, weighted


@jit
def _apply_gain_adjoint(first, last, g, x, gain, numbers, c, segments, dx, dgain, sums):
    for unit in range(first, last):
        b, begin, end = segment_at(unit, int(segments), x.shape[1])
        dry, wet, exponent = numbers[b, 0], numbers[b, 1], np.float64(c)
        along, now = g[b, begin:end], gain[b, begin:end]
        sums[unit, 0], sums[unit, 1] = _products(along, x[b, begin:end], now, c, wet, dgain[b, begin:end])
        into = dx[b, begin:end]  # of none where dx is not wanted
        for n in range(len(into)):
            into[n] = along[n] * (dry + wet * (now[n] if c == 0.0 else exp(exponent * now[n])))


def apply_gain_adjoint(
    g: Tensor, x: Tensor, gain: Tensor, numbers: Tensor, kind, dx: Tensor, dgain: Tensor, dnumbers: Tensor
) -> None:
    rows, segments = x.shape[0], segments_of(*x.shape)
    sums = torch.empty(rows, segments, 2, dtype=torch.float64, device="cpu")
    work = (30 if kind[0] else 4) * x.numel()
    arguments = (g, x, gain, numbers, *kind, segments, dx, dgain, sums.flatten(0, 1))
    over_rows(_apply_gain_adjoint, rows * segments, work, arguments, (x.dtype,))
    dnumbers.copy_(sums.sum(1))


@jit
def _exponentials(gain, exponent, into):
    for i in range(len(gain)):
        into[i] = exp(np.float64(exponent) * gain[i]) if exponent != 0.0 else gain[i]


@jit
def _apply_gain_tangent(first, last, dx, dgain, dnumbers, x, gain, numbers, c, scratch, dy):
    """A chunk at a time: of x and the gain, which all directions read from the nearest cache."""
    rows, time = x.shape[0], x.shape[1]
    for b in range(first, last):
        dry, wet = numbers[b, 0], numbers[b, 1]
        weight = wet * numbers.dtype.type(c if c != 0.0 else 1.0)
        for n in range(0, time, CHUNK):
            end = min(n + CHUNK, time)
            _exponentials(gain[b, n:end], c, scratch[b, 0])
            now, slope, signal = scratch[b, 0, : end - n], scratch[b, 1, : end - n], x[b, n:end]
            for i in range(len(signal)):
                slope[i] = weight * signal[i] * (now[i] if c != 0.0 else 1.0)
            for r in range(b, dy.shape[0], rows):
                ddry, dwet, into, moved = dnumbers[r, 0], dnumbers[r, 1], dy[r, n:end], dgain[r, n:end]
                if len(moved):
                    for i in range(len(into)):
                        into[i] = signal[i] * (ddry + dwet * now[i]) + slope[i] * moved[i]
                else:
                    for i in range(len(into)):
                        into[i] = signal[i] * (ddry + dwet * now[i])
                moved = dx[r, n:end]
                for i in range(len(moved)):
                    into[i] += moved[i] * (dry + wet * now[i])


def apply_gain_tangent(
    dx: Tensor, dgain: Tensor, dnumbers: Tensor, x: Tensor, gain: Tensor, numbers: Tensor, kind, dy: Tensor
) -> None:
    scratch = x.new_empty(x.shape[0], 2, CHUNK)
    arguments = (dx, dgain, dnumbers, x, gain, numbers, *kind, scratch, dy)
    over_rows(_apply_gain_tangent, x.shape[0], 4 * dy.numel(), arguments, (x.dtype,))
