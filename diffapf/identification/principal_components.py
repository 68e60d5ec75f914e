"""What differs most among things that were found: the principal components of their numbers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Components:
    """mean `(D,)`; axes `(K, D)`, of length 1 and at right angles, the widest first; variances `(K,)` along them."""

    mean: Tensor
    axes: Tensor
    variances: Tensor

    @property
    def explained(self) -> Tensor:
        """Each one's share of all the variance."""
        return self.variances / self.variances.sum()

    def places(self, features: Tensor) -> Tensor:
        """Where things are along the axes, in standard deviations: `(..., D)` → `(..., K)`."""
        return (features - self.mean) @ self.axes.mT / self.variances.sqrt()

    def at(self, component: int, deviations: float) -> Tensor:
        """The numbers of what is so many standard deviations along one axis: `(D,)`."""
        return self.mean + deviations * self.variances[component].sqrt() * self.axes[component]


def principal_components(features: Tensor) -> Components:
    """Of things, `(things, D)`; as many components as these span, and the larger side of each axis is positive.

    Raises:
        ValueError: fewer than two things, or all alike.

    >>> components = principal_components(torch.tensor([[1.0, 1.0], [-1.0, -1.0], [3.0, 3.0]]))
    >>> components.explained.tolist(), round(components.variances.item(), 3)
    ([1.0], 8.0)
    """
    if features.dim() != 2 or len(features) < 2:
        raise ValueError(f"components need at least two things, (things, numbers), got {tuple(features.shape)}")
    features = features.double()
    mean = features.mean(0)
    _, spread, axes = torch.linalg.svd(features - mean, full_matrices=False)
    spanned = spread > spread[0] * torch.finfo(spread.dtype).eps * max(features.shape)
    if not spanned.any():
        raise ValueError("all are alike: there is nothing that differs")
    axes = axes[spanned]
    largest = axes.gather(1, axes.abs().argmax(1, keepdim=True))
    return Components(mean, axes * largest.sign(), spread[spanned].square() / (len(features) - 1))
