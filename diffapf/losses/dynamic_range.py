"""How a signal's short-term level stands against its long-term level: what compressors and delays change.

    ℓ = ln avg_s(u) − shift(ln avg_l(u)),   u = max(y², 10⁻⁸),   MLDR = Σ over pairs (s, l) of mean |ℓ(y) − ℓ(ŷ)|

avg is a one-pole of a time of s or l; the long one is late, so it is shifted to be half of (l − s) earlier, and what leaves
at the beginning comes in at the end.

Source: Yu et al., "DiffVox: A Differentiable Model for Capturing and Analysing Vocal Effects Distributions", DAFx 2025, and
its code, which shifts the channels as one signal, one's beginning into the other's end.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from diffapf.filters.ballistics import ballistics

QUIETEST = 1e-8  # of a power


class DynamicRangeLoss(nn.Module):
    """MLDR of stereo signals `(..., 2, time)`, and that of mid and side, (L ± R)/√2; see the module.

    Args:
        sample_rate: in Hz.
        times_ms: the pairs (s, l).
        mid_side: the weight of mid and side, beside 1 for left and right.
        flattened: shift the channels as one signal, as published.

    Raises:
        ValueError: signals that are not stereo, or of other shapes than the target's.

    >>> loss = DynamicRangeLoss(44100)
    >>> x = torch.randn(2, 44100)
    >>> loss(x, x).item(), loss(2 * x, x).item() < 1e-5
    (0.0, True)
    """

    def __init__(
        self,
        sample_rate: float,
        times_ms: Sequence[tuple[float, float]] = ((50.0, 1000.0), (100.0, 2000.0)),
        mid_side: float = 0.5,
        flattened: bool = False,
    ):
        super().__init__()
        self.sample_rate, self.times_ms, self.mid_side = sample_rate, tuple(map(tuple, times_ms)), mid_side
        self.flattened = flattened

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Left's and right's MLDR, and that of mid and side by its weight; target: a signal, or its `levels`."""
        stereo, mid_side = self.terms(prediction, target)
        return stereo + self.mid_side * mid_side

    def terms(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Both MLDR, each by itself."""
        found, wanted = self.levels(prediction), self.levels(target) if target.shape == prediction.shape else target
        if found.shape != wanted.shape:
            raise ValueError(
                f"prediction {tuple(prediction.shape)} and target {tuple(target.shape)} must have one shape"
            )
        distance = (found - wanted).abs().mean(-1).sum(0)
        return distance[..., :2].mean(), distance[..., 2:].mean()

    def levels(self, signal: Tensor) -> Tensor:
        """ℓ for each pair of times, of left, right, mid and side: `(pairs, ..., 4, time)`."""
        if signal.dim() < 2 or signal.shape[-2] != 2:
            raise ValueError(f"a signal must be stereo, (..., 2, time), got {tuple(signal.shape)}")
        left, right = signal.unbind(-2)
        four = torch.stack([left, right, (left + right) / math.sqrt(2), (left - right) / math.sqrt(2)], -2)
        power = four.square().clamp_min(QUIETEST)
        averages = {ms: torch.log(self._average(power, ms)) for pair in self.times_ms for ms in pair}
        return torch.stack([averages[s] - self._earlier(averages[l], l - s) for s, l in self.times_ms])

    def _average(self, power: Tensor, milliseconds: float) -> Tensor:
        rate = power.new_tensor(-math.expm1(-2200 / (milliseconds * self.sample_rate)))
        return ballistics(power, rate, rate, 0.0)  # type: ignore[return-value]

    def _earlier(self, level: Tensor, milliseconds: float) -> Tensor:
        samples = int(self.sample_rate * milliseconds * 0.0005)
        if not self.flattened:
            return level.roll(-samples, -1)
        stereo, mid_side = (pair.reshape(-1).roll(-samples).view_as(pair) for pair in level.split(2, -2))
        return torch.cat([stereo, mid_side], -2)
