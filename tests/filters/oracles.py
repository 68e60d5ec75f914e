"""What the filters are tested against: definitions as NumPy loops, transfer functions for SciPy, and measures."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import settings
from numpy.typing import NDArray
from torch import Tensor

SAMPLE_RATE = 44_100

quick = settings(max_examples=25, deadline=None, derandomize=True, database=None)

Array = NDArray[np.float64]


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=generator(seed), dtype=dtype)


def within(limit: float, *shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    """Numbers of at most `limit`."""
    return limit * (2 * torch.rand(shape, generator=generator(seed), dtype=dtype) - 1)


def esr(prediction: Tensor, target: Tensor) -> float:
    """Energy of the error over energy of the target; not a number below any limit if the prediction has blown up."""
    prediction, target = prediction.double(), target.double()
    return float(((prediction - target) ** 2).sum() / (target**2).sum())


def chirps(seconds: float, period: float = 0.2) -> Tensor:
    """Exponential sine sweeps, 20 Hz to 20 kHz in each period, in float32 precision."""
    t = torch.arange(int(seconds * SAMPLE_RATE), dtype=torch.float64) / SAMPLE_RATE
    octaves = np.log(1000.0)
    phase = 2 * torch.pi * 20 * period * (torch.exp(octaves * (t % period) / period) - 1) / octaves
    return torch.sin(phase).float()


def stable_denominator(order: int, rng: np.random.Generator, radius: float = 0.95) -> Array:
    """(1, a₁ … a_M) with random poles within the radius: pairs, one to a sector, and a real one if the order is odd."""
    radii = radius * np.sqrt(rng.uniform(size=order // 2))
    angles = np.pi * (np.arange(order // 2) + rng.uniform(size=order // 2)) / max(order // 2, 1)
    pairs = radii * np.exp(1j * angles)
    real = rng.uniform(-radius, radius, size=order % 2)
    return np.real(np.poly(np.concatenate([pairs, pairs.conj(), real]))) if order else np.ones(1)


def allpole_loop(x: Array, a: Array, zi: Array) -> tuple[Array, Array]:
    """y[n] = x[n] − Σᵢ aᵢ[n] y[n−i] of one row, coefficients `(time, M)`: y, and its last M samples, newest first."""
    y = list(zi[::-1])
    for n in range(len(x)):
        y.append(x[n] - sum(a[n, i - 1] * y[-i] for i in range(1, len(zi) + 1)))
    return np.array(y[len(zi) :]), np.array(y[::-1][: len(zi)])


def fir_loop(x: Array, b: Array, zi: Array) -> tuple[Array, Array]:
    """y[n] = Σₖ bₖ[n] x[n−k] of one row, coefficients `(time, M+1)`: y, and the last M inputs, newest first."""
    order = len(zi)
    past = np.concatenate([zi[::-1], x])
    y = [sum(b[n, k] * past[order + n - k] for k in range(order + 1)) for n in range(len(x))]
    return np.array(y), past[::-1][:order]


def direct_form_loop(form: str, x: Array, b: Array, a: Array, zi: Array) -> tuple[Array, Array]:
    """One row, b `(time, M+1)` and a `(time, M)`: y and the final state, from the form's equations.

    What the transposed forms' registers hold is what they would give in M more samples without input or coefficients.
    """
    order, time = a.shape[1], len(x)

    def tap(coefficients: Array, signal: list[float] | Array, i: int, n: int) -> float:
        """Coefficient and sample both at n, if that is within the signal."""
        return coefficients[n, i] * signal[n] if 0 <= n < time else 0.0

    first, second = zi[:order], zi[order:]
    if form in ("df1", "df2"):
        inner = fir_loop(x, b, first) if form == "df1" else allpole_loop(x, a, first)
        outer = allpole_loop(inner[0], a, second) if form == "df1" else fir_loop(inner[0], b, first)
        return outer[0], np.concatenate([inner[1], outer[1]]) if form == "df1" else inner[1]

    def recursive(drive: Array) -> Array:
        y: list[float] = []
        for n in range(time + order):
            y.append(drive[n] - sum(tap(a, y, i - 1, n - i) for i in range(1, order + 1)))
        return np.array(y)

    def moving_average(signal: Array) -> Array:
        return np.array([sum(tap(b, signal, i, n - i) for i in range(order + 1)) for n in range(time + order)])

    if form == "tdf2":
        y = recursive(moving_average(x) + np.pad(zi, (0, time)))
        return y[:time], y[time:]
    w = recursive(np.pad(x, (0, order)) + np.pad(first, (0, time)))
    y = moving_average(w) + np.pad(second, (0, time))
    return y[:time], np.concatenate([w[time:], y[time:]])


def allpass_loop(
    x: Array, p: Array, stages: int, c0: float, c1: float, a: float, delay: int, zi: Array
) -> tuple[Array, Array]:
    """All-passes in a loop, one row, each sample's K+2 equations given to a linear solver: w, and the last state."""
    e, stage, f = 0, slice(1, stages + 1), stages + 1
    q = np.zeros(3)
    q[delay : delay + 2] = c0, c1
    z, w2, w = zi[:-1], zi[-1], []
    for n in range(len(x)):
        left, right = np.eye(stages + 2), np.zeros(stages + 2)
        left[e, f] = -1.0
        right[e] = x[n]
        for k in range(1, stages + 1):
            left[k, k - 1] = -p[n]
            right[k] = p[n] * z[k] - z[k - 1]
        left[f, stages] = -q[0]
        right[f] = q[1] * z[stages] + q[2] * w2 + a * z[f]
        w2, z = z[stages], np.linalg.solve(left, right)
        w.append(z[stage][-1])
    return np.array(w), np.append(z, w2)


def power(polynomial: Array, exponent: int) -> Array:
    result = np.ones(1)
    for _ in range(exponent):
        result = np.convolve(result, polynomial)
    return result


def allpass_transfer_function(
    p: float, stages: int, c0: float = 0.0, c1: float = 0.0, a: float = 0.0, delay: int = 0
) -> tuple[Array, Array]:
    """(b, a) of Aᴷ/(1 − L Aᴷ), A = (p − z⁻¹)/(1 − p z⁻¹), L = z⁻ᵈ (c₀ + c₁ z⁻¹)/(1 − a z⁻¹), not normalised."""
    numerator, denominator = power(np.array([p, -1.0]), stages), power(np.array([1.0, -p]), stages)
    loop_zeros, loop_poles = np.array([0.0] * delay + [c0, c1]), np.array([1.0, -a])
    forward, around = np.convolve(denominator, loop_poles), np.convolve(numerator, loop_zeros)
    return np.convolve(numerator, loop_poles), difference(forward, around)


def difference(left: Array, right: Array) -> Array:
    """Of two polynomials in z⁻¹."""
    length = max(len(left), len(right))
    return np.pad(left, (0, length - len(left))) - np.pad(right, (0, length - len(right)))
