"""The oscillator of a subtractive synth: a square wave whose edges are as sharp as a number of partials, bent into a saw.

    ψ[n] = φ + Σₘ₌₀ⁿ 2π f₀[m]/Fs                     the phase; the first sample is a step on already
    q[n] = tanh(π K e^edge (sin ψ[n] + width)/2)     the square; K = 12000/(f₀ log₁₀ f₀) partials
    o[n] = (1 − s/2) q[n] (1 + s cos ψ[n]) + dc      s = 0 the square, s = 1 the saw

K leaves next to nothing above half of 24 kHz of what a higher note would fold back; the rest is not band-limited. The
published oscillator has width = edge = dc = 0: width makes a pulse of the square, a share of the period that is
arccos(width)/π of both halves.

Source: Yu et al., DAFx 2024, section 4.2; Turian et al., "One billion audio sounds from GPU-enabled modular synthesis",
DAFx 2021 (SquareSaw).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

PARTIALS_BELOW = 12_000.0
LOWEST_HZ = 5.0


def running_phase(f0_hz: Tensor, sample_rate: float, initial: Tensor | float = 0.0) -> Tensor:
    """ψ in radians, float64: `(..., time)` from f₀ in Hz `(..., time)` and φ `(...)`.

    >>> running_phase(torch.full((3,), 100.0), 400.0).div(math.pi).round(decimals=9).tolist()
    [0.5, 1.0, 1.5]
    """
    steps = (2 * math.pi / sample_rate) * f0_hz.double()
    initial = torch.as_tensor(initial, dtype=torch.float64, device=f0_hz.device)
    return initial[..., None] + steps.cumsum(-1)


def square_saw(
    psi: Tensor,
    f0_hz: Tensor,
    shape: Tensor,
    width: Tensor | float = 0.0,
    edge: Tensor | float = 0.0,
    dc: Tensor | float = 0.0,
) -> Tensor:
    """o, `(..., time)`, of ψ and f₀ `(..., time)`; the rest `(..., 1)` or numbers. In shape's dtype.

    >>> square_saw(torch.tensor([math.pi / 2]), torch.tensor([100.0]), torch.tensor([0.0]))
    tensor([1.])
    """
    sine, cosine = (part.to(shape.dtype) for part in (torch.sin(psi), torch.cos(psi)))
    partials = PARTIALS_BELOW / (f0_hz * torch.log10(f0_hz)).to(shape.dtype)
    sharpness = math.pi / 2 * partials
    if isinstance(edge, Tensor):
        sharpness = sharpness * torch.exp(edge)
    square = torch.tanh(sharpness * (sine + width))
    return (1 - shape / 2) * square * (1 + shape * cosine) + dc


def check_f0(f0_hz: Tensor, sample_rate: float) -> None:
    """Raises ValueError for a pitch that no oscillator plays at this rate."""
    if f0_hz.numel() == 0:
        raise ValueError(f"f0_hz has no samples: its shape is {tuple(f0_hz.shape)}")
    low, high = float(f0_hz.min()), float(f0_hz.max())
    if not (low >= LOWEST_HZ and high < sample_rate / 2):
        raise ValueError(
            f"f0_hz must lie from {LOWEST_HZ:g} Hz up to half the sample rate, {sample_rate / 2:g} Hz, "
            f"got {low:g} to {high:g} Hz"
        )
