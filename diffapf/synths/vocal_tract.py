"""The vocal tract as an all-pole filter whose coefficients come from any numbers, moving from frame to frame.

    reflection   k = 0.998 tanh(number), the step-up recursion
    biquads      sections of Nercessian's triangle, multiplied out
    spectral     line spectral frequencies: the cumulative sums of a softmax, times π

Each frame's filter is stable. Sample-wise it moves at every sample: the numbers, linear between frames, make a filter at
each of 8 sub-frames, and its coefficients are linear between those. Directly interpolated from frame to frame (published,
`subframes=1`) a filter may be unstable in between: of 401 pairs of neighbours in a fitted voice, 24 were. Frame-wise it
stands still in each of overlapping windows.

It runs in float64: where an untrained network puts 22 poles next to the circle, coefficients rounded to float32 are another
filter, which is not stable.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from diffapf.filters._fft import convolve
from diffapf.filters.allpole import allpole
from diffapf.filters.control_rate import ControlRate
from diffapf.filters.design import denominator_from_spectral_pairs, polynomial_product
from diffapf.filters.frame_wise import frame_wise_allpole
from diffapf.filters.stability import biquad_triangle, reflection_denominator

MARGIN = 0.002  # of |k| to 1
BIQUAD_MARGIN = 0.01
SUBFRAMES = 8
SHAPES = ("reflection", "biquads", "spectral")


class VocalTract:
    """The filter.

    Args:
        hop: samples a control frame.
        order: M; even for "biquads".
        shape: how numbers make a filter: see the module.
        frame_wise: in windows of four hops, each by itself, as frame-wise training is published.
        subframes: filters a frame, where it is sample-wise; they divide the hop.

    Raises:
        ValueError: an argument outside what is said here.
    """

    def __init__(
        self,
        hop: int,
        order: int = 22,
        shape: str = "reflection",
        frame_wise: bool = False,
        subframes: int = SUBFRAMES,
    ):
        if shape not in SHAPES:
            raise ValueError(f"shape must be one of {', '.join(SHAPES)}, got {shape!r}")
        if order < 1 or (shape == "biquads" and order % 2):
            raise ValueError(f"order must be positive, and even for biquads, got {order}")
        if subframes < 1 or hop % subframes:
            raise ValueError(f"subframes must divide the hop, {hop} samples, got {subframes}")
        self.hop, self.order, self.shape, self.frame_wise, self.subframes = hop, order, shape, frame_wise, subframes

    @property
    def channels(self) -> int:
        """Numbers a frame."""
        return self.order + (self.shape == "spectral")

    def coefficients(self, numbers: Tensor) -> Tensor:
        """a₁ … a_M, `(..., M)`, of any numbers `(..., channels)`."""
        if self.shape == "reflection":
            return reflection_denominator(numbers, MARGIN)[..., 1:]
        if self.shape == "spectral":
            steps = torch.softmax(numbers, -1).cumsum(-1)[..., :-1]
            return denominator_from_spectral_pairs(torch.pi * steps)[..., 1:]
        sections = numbers.unflatten(-1, (-1, 2))
        a1, a2 = biquad_triangle(sections[..., 0], sections[..., 1], BIQUAD_MARGIN)
        product = torch.ones_like(numbers[..., :1])
        for section in torch.stack([torch.ones_like(a1), a1, a2], -1).unbind(-2):
            product = polynomial_product(product, section)
        return product[..., 1:]

    def attenuation(self, numbers: Tensor) -> Tensor:
        """½ Σ ln(1 − kᵢ²) of reflections: by this natural logarithm, noise is turned down that the filter leaves as loud."""
        return 0.5 * torch.log1p(-(((1 - MARGIN) * torch.tanh(numbers)) ** 2)).sum(-1)

    def __call__(self, x: Tensor, numbers: Tensor) -> Tensor:
        """x `(..., time)` through the filters of numbers `(..., frames, channels)`; the last frame is held."""
        return self._filtered(x.double(), numbers.double()).to(x.dtype)

    def _filtered(self, x: Tensor, numbers: Tensor) -> Tensor:
        if self.frame_wise:
            return frame_wise_allpole(x, self.coefficients(numbers), self.hop)
        finer = numbers if self.subframes == 1 else between_frames(numbers, self.subframes)
        a = self.coefficients(finer)
        return allpole(x, a.expand(*x.shape[:-1], *a.shape[-2:]), hop=ControlRate.hop(self.hop / self.subframes))  # type: ignore


def between_frames(numbers: Tensor, count: int) -> Tensor:
    """`count` rows for each frame of `(..., frames, channels)`, linear between frames; the last one is held."""
    following = torch.cat([numbers[..., 1:, :], numbers[..., -1:, :]], -2)
    way = torch.arange(count, dtype=numbers.dtype, device=numbers.device)[:, None] / count
    return torch.lerp(numbers[..., None, :], following[..., None, :], way).flatten(-3, -2)


def room(x: Tensor, taps: Tensor) -> Tensor:
    """x[n] + Σⱼ taps[j] x[n−1−j]: what the microphone hears of the room, `(..., time)`."""
    return convolve(pad(x, (0, len(taps))), pad(taps, (1, 0), value=1.0), 0, x.shape[-1])
