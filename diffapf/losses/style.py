"""How far sounds are from a style that others have: by the angles between their embeddings.

    −LL = mean ½ (a/s)² + ½ ln 2π + ln s,   a = arccos(ê · ê_ref),   s² = mean a²

over all pairs of a chunk and a reference chunk, for mid and for side. What is played may be another song.

Source: Yu et al., "Improving Inference-Time Optimisation for Vocal Effects Style Transfer with a Gaussian Prior", WASPAA
2025, and its code.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

MOST = 1 - 1e-6  # of a cosine: at 1 the angle has no slope
LEAST_ANGLE = 1e-6


class StyleLoss(nn.Module):
    """−LL of mid and side; see the module.

    Args:
        embed: signals `(signals, time)` → what is heard of them, `(signals, features)`, with gradients.

    Raises:
        ValueError: signals that are not stereo.

    >>> loss = StyleLoss(lambda signals: signals[:, :4])
    >>> played, reference = torch.randn(3, 2, 100), torch.randn(2, 2, 100)
    >>> loss(played, loss.heard(reference)).shape
    torch.Size([])
    """

    def __init__(self, embed: Callable[[Tensor], Tensor]):
        super().__init__()
        self.embed = embed

    def forward(self, played: Tensor, reference: Tensor) -> Tensor:
        """Of `(chunks, 2, time)` and what `heard` made of the reference."""
        cosines = (self.heard(played) @ reference.mT).clamp(-MOST, MOST)
        spread = torch.acos(cosines).square().mean((1, 2)).sqrt().clamp_min(LEAST_ANGLE)
        return (0.5 + 0.5 * math.log(2 * math.pi) + torch.log(spread)).sum()

    def heard(self, signals: Tensor) -> Tensor:
        """The embeddings of mid and side, of length 1: `(2, chunks, features)`."""
        if signals.dim() != 3 or signals.shape[1] != 2:
            raise ValueError(f"signals must be stereo, (chunks, 2, time), got {tuple(signals.shape)}")
        left, right = signals.unbind(1)
        sides = torch.stack([left + right, left - right]) / math.sqrt(2)
        return normalize(self.embed(sides.flatten(0, 1)), dim=-1).unflatten(0, (2, -1))
