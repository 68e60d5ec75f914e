"""A signal times a gain, beside the signal itself, its adjoint and its tangent; see `reference.py` for the equations."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from diffapf.kernels.cpu.launch import jit, jit_sum, over_rows


@jit
def _apply_gain(first, last, x, gain, numbers, c, y):
    for b in range(first, last):
        dry, wet, exponent = numbers[b, 0], numbers[b, 1], numbers.dtype.type(c)
        if c == 0.0:
            for n in range(x.shape[1]):
                y[b, n] = x[b, n] * (dry + wet * gain[b, n])
        else:
            for n in range(x.shape[1]):
                y[b, n] = x[b, n] * (dry + wet * np.exp(exponent * gain[b, n]))


def apply_gain(x: Tensor, gain: Tensor, numbers: Tensor, kind, y: Tensor) -> None:
    over_rows(_apply_gain, x.shape[0], (20 if kind[0] else 2) * x.numel(), (x, gain, numbers, *kind, y), (x.dtype,))


@jit_sum
def _products(g, x, gain, b, c, wet, dgain):
    """dgain, and the sums of g x and of g x γ."""
    plain, weighted, exponent = 0.0, 0.0, gain.dtype.type(c)
    if c == 0.0:
        for n in range(x.shape[1]):
            along = g[b, n] * x[b, n]
            dgain[b, n] = along * wet
            plain += along
            weighted += along * gain[b, n]
    else:
        for n in range(x.shape[1]):
            along, now = g[b, n] * x[b, n], np.exp(exponent * gain[b, n])
            dgain[b, n] = along * wet * exponent * now
            plain += along
            weighted += along * now
    return plain, weighted


@jit
def _apply_gain_adjoint(first, last, g, x, gain, numbers, c, dx, dgain, dnumbers):
    for b in range(first, last):
        dry, wet, exponent = numbers[b, 0], numbers[b, 1], numbers.dtype.type(c)
        dnumbers[b, 0], dnumbers[b, 1] = _products(g, x, gain, b, c, wet, dgain)
        for n in range(dx.shape[1]):
            now = gain[b, n] if c == 0.0 else np.exp(exponent * gain[b, n])
            dx[b, n] = g[b, n] * (dry + wet * now)


def apply_gain_adjoint(
    g: Tensor, x: Tensor, gain: Tensor, numbers: Tensor, kind, dx: Tensor, dgain: Tensor, dnumbers: Tensor
) -> None:
    work = (30 if kind[0] else 4) * x.numel()
    arguments = (g, x, gain, numbers, *kind, dx, dgain, dnumbers)
    over_rows(_apply_gain_adjoint, x.shape[0], work, arguments, (x.dtype,))


@jit
def _apply_gain_tangent(first, last, dx, dgain, dnumbers, x, gain, numbers, c, dy):
    rows, time = x.shape[0], x.shape[1]
    for r in range(first, last):
        b = r % rows
        dry, wet, exponent = numbers[b, 0], numbers[b, 1], numbers.dtype.type(c)
        ddry, dwet = dnumbers[r, 0], dnumbers[r, 1]
        if c == 0.0:
            for n in range(time):
                dy[r, n] = x[b, n] * (ddry + dwet * gain[b, n])
            for n in range(dgain.shape[1]):
                dy[r, n] += x[b, n] * wet * dgain[r, n]
            for n in range(dx.shape[1]):
                dy[r, n] += dx[r, n] * (dry + wet * gain[b, n])
        else:
            for n in range(time):
                now = np.exp(exponent * gain[b, n])
                moved = exponent * dgain[r, n] if dgain.shape[1] else numbers.dtype.type(0)
                dy[r, n] = x[b, n] * (ddry + (dwet + wet * moved) * now)
                if dx.shape[1]:
                    dy[r, n] += dx[r, n] * (dry + wet * now)


def apply_gain_tangent(
    dx: Tensor, dgain: Tensor, dnumbers: Tensor, x: Tensor, gain: Tensor, numbers: Tensor, kind, dy: Tensor
) -> None:
    arguments = (dx, dgain, dnumbers, x, gain, numbers, *kind, dy)
    over_rows(_apply_gain_tangent, dy.shape[0], (20 if kind[0] else 4) * dy.numel(), arguments, (x.dtype,))
