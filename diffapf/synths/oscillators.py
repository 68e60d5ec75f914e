"""Oscillators, of a phase that is a sum of steps in float64.

    ψ[n] = φ + Σₘ₌₀ⁿ 2π f₀[m]/Fs                     the phase; the first sample is a step on already

Harmonics stop at half the sample rate, at each sample by its own f₀:

    sines      Σₖ wₖ sin kψ[n]                       `harmonic_sum`, for levels of their own; sawtooth: 1/k
    pulses     Σₖ sin kψ[n] = sin(Nψ/2) sin((N+1)ψ/2)/sin(ψ/2), N[n] harmonics
    wavetable  a period's table, read between its points

A synthesiser's square wave, whose edges are as sharp as a number of partials, bent into a saw, is not band-limited:

    q[n] = tanh(π K e^edge (sin ψ[n] + width)/2)     the square; K = 12000/(f₀ log₁₀ f₀) partials
    o[n] = (1 − s/2) q[n] (1 + s cos ψ[n]) + dc      s = 0 the square, s = 1 the saw

K leaves next to nothing above half of 24 kHz of what a higher note would fold back. The published oscillator has width =
edge = dc = 0: width makes a pulse of the square, a share of the period that is arccos(width)/π of both halves.

Source: Yu et al., DAFx 2024, section 4.2; Turian et al., "One billion audio sounds from GPU-enabled modular synthesis",
DAFx 2021 (SquareSaw); Yu, Fazekas, "GOLF", TISMIR 7, 2024 (the others).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import pad

PARTIALS_BELOW = 12_000.0


def running_phase(f0_hz: Tensor, sample_rate: float, initial: Tensor | float = 0.0) -> Tensor:
    """ψ in radians, float64: `(..., time)` from f₀ in Hz `(..., time)` and φ `(...)`.

    >>> [round(psi, 6) for psi in running_phase(torch.full((2,), 100.0), 400.0).tolist()]
    [1.570796, 3.141593]
    """
    steps = (2 * math.pi / sample_rate) * f0_hz.double()
    initial = torch.as_tensor(initial, dtype=torch.float64, device=f0_hz.device)
    return initial[..., None] + steps.cumsum(-1)


def square_saw(
    psi: Tensor,
    f0_hz: Tensor,
    shape: Tensor,
    width: Tensor | None = None,
    edge: Tensor | None = None,
    dc: Tensor | None = None,
) -> Tensor:
    """o, `(..., time)`, of ψ and f₀ `(..., time)`; the rest `(..., 1)`, None for 0. In shape's dtype.

    >>> square_saw(torch.tensor([math.pi / 2]), torch.tensor([100.0]), torch.tensor([0.0]))
    tensor([1.])
    """
    sine, cosine = (part.to(shape.dtype) for part in (torch.sin(psi), torch.cos(psi)))
    sharpness = (math.pi / 2 * PARTIALS_BELOW) / (f0_hz * torch.log10(f0_hz)).to(shape.dtype)
    if edge is not None:
        sharpness = sharpness * torch.exp(edge)
    square = torch.tanh(sharpness * (sine if width is None else sine + width))
    mean = 1 - shape / 2
    wave = square * torch.addcmul(mean, mean * shape, cosine)
    return wave if dc is None else wave + dc


def harmonics_below(f0_hz: Tensor, sample_rate: float, count: int) -> Tensor:
    """How many harmonics, of `count` at most, are below half the sample rate, float64.

    >>> harmonics_below(torch.tensor([100.0, 120.0, 7000.0]), 480.0, 155).tolist()
    [2.0, 1.0, 0.0]
    """
    return (torch.ceil(sample_rate / 2 / f0_hz.double()) - 1).clamp(0, count)


def pulses(psi: Tensor, f0_hz: Tensor, sample_rate: float, count: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Σₖ sin kψ, of at most `count` harmonics below half the sample rate: `(..., time)`.

    >>> psi = torch.tensor([0.3, 1.0], dtype=torch.float64)
    >>> bool((pulses(psi, torch.full((2,), 100.0), 450.0, 155) - torch.sin(psi) - torch.sin(2 * psi)).abs().max() < 1e-6)
    True
    """
    harmonics = harmonics_below(f0_hz, sample_rate, count)
    half = (psi % (2 * math.pi)) / 2
    near = torch.sin(half).abs() < 1e-9  # at a period's start, where all sines are 0
    found = torch.sin(harmonics * half) * torch.sin((harmonics + 1) * half) / torch.where(near, 1.0, torch.sin(half))
    return torch.where(near, 0.0, found).to(dtype)


def wavetable(psi: Tensor, tables: Tensor) -> Tensor:
    """Tables `(tables, points)` of a period read at ψ `(..., time)`, linearly between points: `(..., tables, time)`.

    >>> wavetable(torch.tensor([0.0, math.pi / 2, 7 * math.pi / 4]), torch.tensor([[0.0, 1.0]]))
    tensor([[0.0000, 0.5000, 0.2500]])
    """
    index, between = _place(psi, tables)
    closed = _closed(tables)
    first, second = (closed[:, each].movedim(0, -2) for each in (index, index + 1))
    return torch.lerp(first, second, between[..., None, :])


def wavetable_of_frames(psi: Tensor, tables: Tensor, hop: int) -> Tensor:
    """A table each `hop` samples, `(..., frames, points)`, read at ψ `(..., time)` as they cross-fade: `(..., time)`."""
    hops = -(-psi.shape[-1] // hop)
    index, between = (
        pad(each, (0, hops * hop - psi.shape[-1])).unflatten(-1, (hops, hop)) for each in _place(psi, tables)
    )
    line, last = _closed(tables).flatten(-2), tables.shape[-2] - 1

    def read(frames: Tensor) -> Tensor:
        place = (index + (tables.shape[-1] + 1) * frames.clamp(max=last)[:, None]).flatten(-2)
        first, second = (line.gather(-1, each).unflatten(-1, (hops, hop)) for each in (place, place + 1))
        return torch.lerp(first, second, between)

    frames = torch.arange(hops, device=psi.device)
    way = torch.arange(hop, dtype=tables.dtype, device=psi.device) / hop
    return torch.lerp(read(frames), read(frames + 1), way).flatten(-2)[..., : psi.shape[-1]]


def _place(psi: Tensor, tables: Tensor) -> tuple[Tensor, Tensor]:
    """(the point before ψ in a table, the share of the way to the next)."""
    turns = psi / (2 * math.pi)
    place = (turns - turns.floor()) * tables.shape[-1]
    index = place.long().clamp(max=tables.shape[-1] - 1)
    return index, (place - index).to(tables.dtype)


def _closed(tables: Tensor) -> Tensor:
    """With the first point again after the last."""
    return torch.cat([tables, tables[..., :1]], -1)
