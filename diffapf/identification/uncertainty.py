"""What a fit knows of its parameters: their covariance from JᵀJ, and the directions of which it knows nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from diffapf.identification.step import to_unit_diagonal

INVOLVED = 1e-6  # a parameter is unidentified if more of it than this lies in unidentified directions


@dataclass
class Uncertainty:
    """Covariance `(size, size)` and standard errors `(size,)` of the free parameters, and which are not identified.

    Of an unidentified parameter the standard error is infinite, and its rows of the covariance are 0 off the diagonal.
    """

    covariance: Tensor
    standard_errors: Tensor
    unidentified: Tensor  # bool


def uncertainty(information: Tensor, cost: float, count: int, held: Tensor, resolution: float = 1e-12) -> Uncertainty:
    """The covariance of least-squares estimates, σ² (JᵀJ)⁻¹, σ² = cost/(residuals − parameters identified).

    It is that of residuals which are independent and of one variance. Those of audio seldom are: neighbouring samples
    are alike, and the errors are then larger, by the square root of how many samples are alike.

    Args:
        information: JᵀJ, `(size, size)`.
        cost, count: the sum of squares, and of how many residuals.
        held: bool `(size,)`: parameters that are not estimated but stay at a bound; their errors are 0.
        resolution: an eigenvalue of JᵀJ, scaled to a diagonal of 1, below which a direction is unidentified.

    Returns:
        An `Uncertainty` without NaN. A direction that residuals don't depend on has no inverse: parameters in it get
        infinite errors, all others those of the pseudo-inverse, which are theirs. With no more residuals than
        parameters nothing is known.

    Source: Nocedal and Wright, "Numerical Optimization", 2nd ed., section 10.1; Bard, "Nonlinear Parameter Estimation".

    >>> found = uncertainty(torch.diag(torch.tensor([4.0, 0.0])), 8.0, 9, torch.tensor([False, False]))
    >>> found.standard_errors
    tensor([0.5000,    inf], dtype=torch.float64)
    """
    size = len(information)
    estimated = (~held).nonzero()[:, 0]
    inverse, unknown = _pseudo_inverse(information.double()[estimated][:, estimated], resolution)
    identified = len(estimated) - int(unknown.rank)
    freedom = count - identified
    variance = cost / freedom if freedom > 0 else math.inf
    lost = unknown.parameters if freedom > 0 else torch.ones_like(unknown.parameters)
    block = torch.where(lost[:, None] | lost, 0.0, inverse * (variance if freedom > 0 else 1.0))
    block.diagonal()[lost] = torch.inf
    covariance = torch.zeros(size, size, dtype=torch.float64)
    covariance[estimated[:, None], estimated] = block
    unidentified = torch.zeros(size, dtype=torch.bool)
    unidentified[estimated] = lost
    return Uncertainty(covariance, covariance.diagonal().clamp_min(0).sqrt(), unidentified)


@dataclass
class _Unknown:
    rank: int
    parameters: Tensor


def _pseudo_inverse(information: Tensor, resolution: float) -> tuple[Tensor, _Unknown]:
    """The inverse on the identified directions, and the parameters that have a part in the others."""
    scaled, scale = to_unit_diagonal(information)
    values, vectors = torch.linalg.eigh(scaled)
    known = values > resolution
    part = vectors[:, ~known].square().sum(1)
    kept = vectors[:, known]
    inverse = (kept / values[known]) @ kept.T / (scale[:, None] * scale)
    return inverse, _Unknown(int((~known).sum()), part > INVOLVED)
