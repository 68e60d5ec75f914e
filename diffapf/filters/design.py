"""Filters from what a designer knows: frequencies in Hz, sample rates, polynomials."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def allpass_logit(frequency: Tensor, sample_rate: float) -> Tensor:
    """v = artanh p of the first-order all-pass (p − z⁻¹)/(1 − p z⁻¹) with this break frequency, in Hz: there its phase is
    90° from both ends.

    v = −½ log tan(πf/sample_rate): a shifted log frequency, which is what an LFO sweeps evenly and an interpolation
    should follow. Frequencies from 0.49 of the sample rate up are held there.
    """
    angle = (math.pi / sample_rate) * frequency.clamp(max=0.49 * sample_rate)
    return -0.5 * torch.log(torch.tan(angle))


def break_frequency(v: Tensor, sample_rate: float) -> Tensor:
    """The inverse of `allpass_logit`: f = sample_rate/π · arctan e^(−2v)."""
    return (sample_rate / math.pi) * torch.atan(torch.exp(-2 * v))


def first_order_highpass(frequency: Tensor, sample_rate: float) -> tuple[Tensor, Tensor, Tensor]:
    """(b0, b1, a) of (b0 + b1 z⁻¹)/(1 − a z⁻¹): unit gain far above `frequency` (Hz, −3 dB), a zero at 0 Hz.

    The bilinear transform of s/(s + ω), with the corner where it is asked for.
    """
    t = torch.tan(math.pi * frequency / sample_rate)
    b0 = 1 / (1 + t)
    return b0, -b0, (1 - t) / (1 + t)


def polynomial_product(left: Tensor, right: Tensor) -> Tensor:
    """The coefficients of the product of two polynomials, along the last dimension; the others broadcast.

    >>> polynomial_product(torch.tensor([1.0, 1.0]), torch.tensor([1.0, -1.0]))
    tensor([ 1.,  0., -1.])
    """
    shifted = [
        torch.nn.functional.pad(left[..., i : i + 1] * right, (i, left.shape[-1] - 1 - i))
        for i in range(left.shape[-1])
    ]
    return torch.stack(shifted).sum(0)


def change_sample_rate(b: Tensor, a: Tensor, ratio: float) -> tuple[Tensor, Tensor]:
    """The same analogue filter at `ratio` times the sample rate: b and a (with a[0]) of equal length.

    Undoes the bilinear transform at the old rate and does it at the new one: z⁻¹ becomes the first-order all-pass
    ((1 − r) + (1 + r) z⁻¹)/((1 + r) + (1 − r) z⁻¹), so stable filters stay stable. Exact at 0 Hz, and close to it far
    below both Nyquist frequencies.
    """
    order = a.shape[-1] - 1
    numerator = a.new_tensor([1 - ratio, 1 + ratio])
    denominator = a.new_tensor([1 + ratio, 1 - ratio])

    def substituted(polynomial: Tensor) -> Tensor:
        terms = []
        for i in range(order + 1):
            term = polynomial[..., i : i + 1]
            for j in range(order):
                term = polynomial_product(term, numerator if j < i else denominator)
            terms.append(term)
        return torch.stack(terms).sum(0)

    b, a = substituted(b), substituted(a)
    return b / a[..., :1], a / a[..., :1]


def polynomial_response(coefficients: Tensor, omega: Tensor) -> Tensor:
    """Σₖ cₖ e^(−jωk): `(..., taps)` at angular frequencies `(bins,)` in radians a sample → complex `(..., bins)`."""
    delays = torch.arange(coefficients.shape[-1], dtype=coefficients.dtype, device=coefficients.device)
    return coefficients.to(torch.promote_types(coefficients.dtype, torch.complex64)) @ torch.exp(
        -1j * delays[:, None] * omega
    )


def integer_power(z: Tensor, exponent: int) -> Tensor:
    """z^exponent for exponent ≥ 1 by squaring: for complex tensors five times faster than the general power.

    >>> integer_power(torch.tensor(2.0), 5)
    tensor(32.)
    """
    if exponent < 1:
        raise ValueError(f"exponent must be at least 1, got {exponent}")
    power = None
    while exponent:
        if exponent & 1:
            power = z if power is None else power * z
        exponent >>= 1
        z = z * z if exponent else z
    return power  # type: ignore[return-value]
