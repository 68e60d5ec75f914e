"""The logarithm of a rotation in many dimensions: what a reverberator's matrix is learned by.

    U = exp(L),   L = f((U + Uᵀ)/2) (U − Uᵀ)/2,   f(cos θ) = θ/sin θ

in each plane of rotation; half turns, of which U + Uᵀ alone knows, come in pairs of directions.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

ORTHOGONAL = 1e-6  # how far off the identity U Uᵀ may be
HALF_TURN = 1e-12  # how far off −1 its cosine may be


def numbers_above_diagonal(U: Tensor, lines: int) -> list[float]:
    """Those of a T with U = exp(T − Tᵀ).

    Raises:
        ValueError: not `(lines, lines)`, not orthogonal, or a mirror.

    >>> turned = torch.tensor([[0.6, -0.8], [0.8, 0.6]])
    >>> [round(number, 4) for number in numbers_above_diagonal(turned, 2)]  # −arctan(4/3)
    [-0.9273]
    """
    U = U.detach().double().cpu()
    if U.shape != (lines, lines):
        raise ValueError(f"mixing must be a matrix of {lines} by {lines}, got shape {tuple(U.shape)}")
    off = float((U @ U.mT - torch.eye(lines, dtype=U.dtype)).abs().max())
    if not off < ORTHOGONAL:
        raise ValueError(
            f"mixing must be orthogonal, or the network may be unstable: U Uᵀ is off the identity by {off:.2g}"
        )
    if U.det() < 0:
        raise ValueError("mixing must have the determinant 1, got −1: change the sign of one of its rows")
    cosines, planes = torch.linalg.eigh((U + U.mT) / 2)
    half = planes[:, cosines < HALF_TURN - 1]
    cosines = cosines.clamp(HALF_TURN - 1, 1 - HALF_TURN)
    turns = planes * (torch.acos(cosines) / (1 - cosines.square()).sqrt()) @ planes.mT @ (U - U.mT) / 2
    turns = turns + math.pi * (half[:, ::2] @ half[:, 1::2].mT - half[:, 1::2] @ half[:, ::2].mT)
    return turns[tuple(torch.triu_indices(lines, lines, 1))].tolist()
