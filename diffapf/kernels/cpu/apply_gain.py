"""A signal times a gain, beside the signal itself, its adjoint and its tangent; see `reference.py` for the equations."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from diffapf.kernels.cpu.launch import jit, jit_sum, over_rows
from diffapf.kernels.cpu.log_exp import exp

CHUNK = 256  # samples


@jit
def _apply_gain(first, last, x, gain, numbers, c, y):
    for b in range(first, last):
        dry, wet, exponent = numbers[b, 0], numbers[b, 1], np.float64(c)
        if c == 0.0:
            for n in range(x.shape[1]):
                y[b, n] = x[b, n] * (dry + wet * gain[b, n])
        else:
            for n in range(x.shape[1]):
                y[b, n] = x[b, n] * (dry + wet * exp(exponent * gain[b, n]))


def apply_gain(x: Tensor, gain: Tensor, numbers: Tensor, kind, y: Tensor) -> None:
    over_rows(_apply_gain, x.shape[0], (20 if kind[0] else 2) * x.numel(), (x, gain, numbers, *kind, y), (x.dtype,))


@jit_sum
def _products(g, x, gain, b, c, wet, dgain):
    """dgain, and the sums of g x and of g x γ."""
    plain, weighted, exponent = 0.0, 0.0, np.float64(c)
    if c == 0.0:
        for n in range(x.shape[1]):
            along = g[b, n] * x[b, n]
            dgain[b, n] = along * wet
            plain += along
            weighted += along * gain[b, n]
    else:
        for n in range(x.shape[1]):
            along, now = g[b, n] * x[b, n], exp(exponent * gain[b, n])
            dgain[b, n] = along * wet * exponent * now
            plain += along
            weighted += along * now
    return plain, weighted


@jit
def _apply_gain_adjoint(first, last, g, x, gain, numbers, c, dx, dgain, dnumbers):
    for b in range(first, last):
        dry, wet, exponent = numbers[b, 0], numbers[b, 1], np.float64(c)
        dnumbers[b, 0], dnumbers[b, 1] = _products(g, x, gain, b, c, wet, dgain)
        for n in range(dx.shape[1]):
            now = gain[b, n] if c == 0.0 else exp(exponent * gain[b, n])
            dx[b, n] = g[b, n] * (dry + wet * now)


def apply_gain_adjoint(
    g: Tensor, x: Tensor, gain: Tensor, numbers: Tensor, kind, dx: Tensor, dgain: Tensor, dnumbers: Tensor
) -> None:
    work = (30 if kind[0] else 4) * x.numel()
    arguments = (g, x, gain, numbers, *kind, dx, dgain, dnumbers)
    over_rows(_apply_gain_adjoint, x.shape[0], work, arguments, (x.dtype,))


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
