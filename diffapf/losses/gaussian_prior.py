"""How unlikely parameters are, among those that were found before: −ln N(θ; μ, Σ).

Source: Yu et al., "Improving Inference-Time Optimisation for Vocal Effects Style Transfer with a Gaussian Prior", WASPAA
2025.
"""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn


class GaussianPrior(nn.Module):
    """½ ((θ−μ)ᵀ Σ⁻¹ (θ−μ) + ln det Σ + D ln 2π), of `(..., D)`.

    Args:
        mean: μ, `(D,)`.
        covariance: Σ, `(D, D)`.

    Raises:
        ValueError: shapes that don't match, or a covariance that is not positive definite.

    >>> prior = GaussianPrior(torch.zeros(2), torch.eye(2))
    >>> round(prior(torch.tensor([1.0, 0.0])).item(), 4)
    2.3379
    """

    def __init__(self, mean: Tensor, covariance: Tensor):
        super().__init__()
        if mean.dim() != 1 or covariance.shape != (len(mean), len(mean)):
            raise ValueError(f"mean and covariance must be (D,) and (D, D), got {mean.shape} and {covariance.shape}")
        factor, failed = torch.linalg.cholesky_ex(covariance.double())
        if failed:
            raise ValueError(
                f"the covariance is not positive definite: a Gaussian of {len(mean)} numbers needs more examples than that"
            )
        self.mean: Tensor
        self.factor: Tensor
        self.register_buffer("mean", mean.double())
        self.register_buffer("factor", factor)

    @classmethod
    def of(cls, features: Tensor) -> GaussianPrior:
        """Of examples, `(examples, D)`: their mean, and their covariance with examples − 1."""
        return cls(features.double().mean(0), torch.cov(features.double().T))

    @classmethod
    def read(cls, path: str | os.PathLike) -> GaussianPrior:
        """From an .npz file of `mean` and `cov`; raises ValueError, naming it, for another."""
        try:
            with np.load(Path(path), allow_pickle=False) as file:
                mean, covariance = (torch.from_numpy(file[name]) for name in ("mean", "cov"))
            return cls(mean, covariance)
        except (OSError, ValueError, KeyError) as error:
            raise ValueError(f"{path} is no Gaussian, mean and cov in an .npz file: {error}") from None

    @property
    def covariance(self) -> Tensor:
        return self.factor @ self.factor.mT

    def forward(self, parameters: Tensor) -> Tensor:
        """−ln N(θ), `(...)`."""
        off = (parameters.double() - self.mean)[..., None]
        distance = torch.linalg.solve_triangular(self.factor, off, upper=False).square().sum((-2, -1))
        volume = 2 * self.factor.diagonal().log().sum()
        return (distance + volume + len(self.mean) * math.log(2 * math.pi)) / 2
