"""The logarithm of a rotation in many dimensions: what a reverberator's matrix is learned by."""

from __future__ import annotations

import math

import numpy as np
from scipy.linalg import schur
from torch import Tensor

ORTHOGONAL = 1e-6  # how far off the identity U Uᵀ may be


def numbers_above_diagonal(U: Tensor, lines: int) -> list[float]:
    """Those of a T with U = exp(T − Tᵀ): in the planes of U's real Schur form, it turns by angles.

    Raises:
        ValueError: not `(lines, lines)`, not orthogonal, or a mirror.

    >>> turned = torch.tensor([[0.6, -0.8], [0.8, 0.6]], dtype=torch.float64)
    >>> numbers_above_diagonal(turned, 2)  # −arctan(4/3)
    [-0.9272952180016122]
    """
    matrix = U.detach().double().cpu().numpy()
    if matrix.shape != (lines, lines):
        raise ValueError(f"mixing must be a matrix of {lines} by {lines}, got shape {tuple(U.shape)}")
    off = float(np.abs(matrix @ matrix.T - np.eye(lines)).max())
    if not off < ORTHOGONAL:
        raise ValueError(
            f"mixing must be orthogonal, or the network may be unstable: U Uᵀ is off the identity by {off:.2g}"
        )
    if np.linalg.det(matrix) < 0:
        raise ValueError("mixing must have the determinant 1, got −1: change the sign of one of its rows")
    form, planes = schur(matrix, output="real")
    T, i, halves = np.zeros_like(form), 0, [j for j in range(lines) if form[j, j] < 0 and _alone(form, j)]
    while i < lines - 1:
        if not _alone(form, i):
            T[i, i + 1] = -math.atan2(form[i + 1, i], form[i, i])
            i += 1
        i += 1
    T[halves[::2], halves[1::2]] = math.pi  # the diagonal −1 comes in pairs
    T = planes @ (T - T.T) @ planes.T
    return T[np.triu_indices(lines, 1)].tolist()


def _alone(form: np.ndarray, i: int) -> bool:
    """Whether an entry of a Schur form's diagonal is in no block of two."""
    below, above = form[i + 1 : i + 2, i], form[i, i - 1 : i] if i else form[i, :0]
    return bool((np.abs(np.concatenate([below, above])) < ORTHOGONAL).all())
