"""Short filters without a circuit behind them, which take over what else a device does to the spectrum."""

from __future__ import annotations

import math

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
        return _at_rate(b, a, rate_ratio)


DELAY_ORDER = 3


def delay_taps(samples: Tensor) -> Tensor:
    """Taps of a delay by a fraction of samples: Lagrange's polynomial through four samples, at d.

        hₖ = Πₘ (d − m)/(k − m),  m, k = 0 … 3, m ≠ k

    Polynomials in d, with a derivative everywhere. Exact where d is 0, 1, 2 or 3, and for low notes at any d: at an eighth
    of the sample rate within 1.5 % for 0 ≤ d ≤ 3. For −1 < d < 0 it predicts, and raises the treble.

    Source: Laakso, Välimäki, Karjalainen, Laine, "Splitting the unit delay", IEEE Signal Processing Magazine 1996.

    >>> delay_taps(torch.tensor(0.5)).tolist()
    [0.3125, 0.9375, -0.3125, 0.0625]
    """
    places = range(DELAY_ORDER + 1)
    taps = [
        math.prod(((samples - m) / (k - m) for m in places if m != k), start=torch.ones_like(samples)) for k in places
    ]
    return torch.stack(taps)


MARGIN = 1e-9


class FreeFilter(nn.Module):
    """A free filter of any order, by b and by reflection coefficients kᵢ = (1 − 1e-9) tanh(reflectionᵢ).

    |kᵢ| < 1: the poles lie within the unit circle for any numbers, as far as the rounding of a allows: for
    |reflectionᵢ| ≤ 4, the ranges of the knobs, up to order 5 in float64, and 2 where a is rounded to float32; for ≤ 2, up to
    order 8, and 5.

    Args:
        order: of numerator and denominator, at least 1.
        gain: at first the filter is this and nothing else.

    Raises:
        ValueError: an order that is no positive integer, a gain that is no finite number.

    >>> b, a = FreeFilter(2)()
    >>> b.tolist(), a.tolist()
    ([1.0, 0.0, 0.0], [1.0, 0.0, 0.0])
    """

    def __init__(self, order: int, gain: float = 1.0) -> None:
        super().__init__()
        if not isinstance(order, int) or isinstance(order, bool) or order < 1:
            raise ValueError(f"order must be a positive integer, got {order!r}")
        self.b = NamedSeries([gain] + [0.0] * order, "", 2.0, first=0)
        self.reflection = NamedSeries([0.0] * order, "", 4.0)

    def set(self, b: Tensor, a: Tensor) -> None:
        """Becomes the filter b/a, each `(order + 1,)`.

        Raises ValueError for other shapes and for poles that do not lie within the unit circle; nothing is changed then.
        """
        for name, value in (("b", b), ("a", a)):
            if value.shape != (len(self.b),) or not bool(value.isfinite().all()):
                raise ValueError(f"{name} must be {len(self.b)} finite numbers, got {value.tolist()}")
        if not a[0] != 0:
            raise ValueError("a[0] must not be 0: the filter is divided by it")
        b, a = b.detach().double(), a.detach().double()
        k = reflection_from_denominator(a) / (1 - MARGIN)
        if not bool((k.abs() < 1).all()):
            raise ValueError(f"the poles of a must lie within the unit circle, got a = {a.tolist()}")
        self.b.set(b / a[0])
        self.reflection.set(torch.atanh(k))

    def forward(self, rate_ratio: float = 1.0) -> tuple[Tensor, Tensor]:
        """(b, a), a[0] = 1, at `rate_ratio` times the rate that it was learned at."""
        return _at_rate(self.b(), reflection_denominator(self.reflection(), MARGIN), rate_ratio)


def _at_rate(b: Tensor, a: Tensor, rate_ratio: float) -> tuple[Tensor, Tensor]:
    """The same filter at another rate; at its own, exactly the same numbers."""
    return (b, a) if rate_ratio == 1.0 else change_sample_rate(b, a, rate_ratio)
