"""The power of a recording in narrow bands: what an equaliser changes, however late it is and whatever its phase."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Bands:
    """Neighbouring bands of a fraction of an octave, `edges` in Hz."""

    edges: Tensor
    sample_rate: float

    @classmethod
    def of_octaves(cls, lowest_hz: float, highest_hz: float, per_octave: int, sample_rate: float) -> Bands:
        count = round(float(torch.tensor(highest_hz / lowest_hz).log2()) * per_octave)
        exponents = torch.linspace(0, 1, count + 1, dtype=torch.float64)
        return cls(lowest_hz * (highest_hz / lowest_hz) ** exponents, sample_rate)

    @property
    def centres(self) -> Tensor:
        return (self.edges[1:] * self.edges[:-1]).sqrt()

    @property
    def omega(self) -> Tensor:
        """The centres in radians a sample."""
        return self.centres * (2 * torch.pi / self.sample_rate)

    def powers(self, signal: Tensor) -> Tensor:
        """Of `(..., time)`, all channels together, under one Hann window: `(bands,)`.

        A bin that lies across an edge is shared.
        """
        rows = signal.double().reshape(-1, signal.shape[-1])
        window = torch.hann_window(rows.shape[-1], periodic=False, dtype=torch.float64)
        power = torch.fft.rfft(rows * window).abs().square().sum(0)
        below = torch.cat([power.new_zeros(1), power.cumsum(0)])  # up to half a bin below bin k
        place = (self.edges * (rows.shape[-1] / self.sample_rate) + 0.5).clamp(max=len(power))
        whole = place.floor().long().clamp(max=len(power) - 1)
        at_edges = below[whole] + (place - whole) * power[whole]
        return at_edges.diff()


def decibels(powers: Tensor) -> Tensor:
    return 10 * torch.log10(powers.clamp_min(torch.finfo(torch.float64).tiny))
