"""Short filters without a circuit behind them, which take over what else a device does to the spectrum."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from diffapf.filters.design import change_sample_rate, reflection_from_denominator
from diffapf.filters.stability import biquad_triangle, reflection_denominator
from diffapf.parameters import Named, NamedSeries


class InputBiquad(nn.Module):
    """A free biquad, stable for any l1 and l2; given for the rate it was learned at. At first it does nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.b0 = Named(1.0, "", -2.0, 2.0)
        self.b1 = Named(0.0, "", -2.0, 2.0)
        self.b2 = Named(0.0, "", -2.0, 2.0)
        self.l1 = Named(0.0, "", -4.0, 4.0)
        self.l2 = Named(0.0, "", -4.0, 4.0)

    def forward(self, rate_ratio: float = 1.0) -> tuple[Tensor, Tensor]:
        """(b, a), a[0] = 1, at `rate_ratio` times the rate that it was learned at."""
        a1, a2 = biquad_triangle(self.l1(), self.l2())
        b, a = torch.stack([self.b0(), self.b1(), self.b2()]), torch.stack([torch.ones_like(a1), a1, a2])
        return (b, a) if rate_ratio == 1.0 else change_sample_rate(b, a, rate_ratio)


class FreeFilter(nn.Module):
    """A free filter of any order, b and reflection coefficients, stable for any numbers. At first it does nothing."""

    def __init__(self, order: int, gain: float = 1.0) -> None:
        super().__init__()
        self.b = NamedSeries([gain] + [0.0] * order, "", 2.0, first=0)
        self.reflection = NamedSeries([0.0] * order, "", 4.0)

    def set(self, b: Tensor, a: Tensor) -> None:
        """Becomes the filter b/a, whose poles lie within the unit circle."""
        self.b.set(b / a[:1])
        self.reflection.set(torch.atanh(reflection_from_denominator(a / a[:1])))

    def forward(self, rate_ratio: float = 1.0) -> tuple[Tensor, Tensor]:
        """(b, a), a[0] = 1, at `rate_ratio` times the rate that it was learned at."""
        b, a = self.b(), reflection_denominator(self.reflection())
        return (b, a) if rate_ratio == 1.0 else change_sample_rate(b, a, rate_ratio)
