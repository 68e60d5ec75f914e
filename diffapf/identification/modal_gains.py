"""The gains with which given modes add up to an impulse response, by least squares without a matrix of modes × time.

    Σₙ |x[n] − Σ_k (a_k Im + b_k Re) exp(q_k n)|²/Σₙ x[n]² + the same of x and modes behind a pre-emphasis + ridge

High modes are 100 dB below low ones: alone, the first term would not hear them, nor the second the low ones.

Inner products of exponentials are geometric series, Σₙ exp((q_j + q_k) n), known in closed form; those with the signal are
projections (`filters/modal.py`). The matrix is so near to singular that its rounding is heard: what is left is fitted again
with the same factor.
"""

from __future__ import annotations

import torch
from torch import Tensor

from diffapf.filters.modal import ModalProjection, ModalSum

EMPHASIS = 0.95  # (1 − 0.95 z⁻¹)²
RIDGE = 1e-10
REFINEMENTS = 4


def modal_gains(x: Tensor, exponents: Tensor, with_cosine: Tensor, ridge: float = RIDGE) -> Tensor:
    """Complex gains g of Im Σ_k g_k exp(q_k n) ≈ x[n], `(K,)`.

    Args:
        x: the response, `(time,)`, float64.
        exponents: q, `(K,)`, complex, a sample.
        with_cosine: which modes may have an imaginary gain, `(K,)`, bool.
        ridge: of the squared length of each gain, in shares of the mode's energy.
    """
    views = _views(x, exponents)
    gram = _gram(exponents, views, with_cosine)
    scale = gram.diagonal().clamp_min(torch.finfo(gram.dtype).tiny).rsqrt()
    factor = _factor(gram.mul_(scale).mul_(scale[:, None]), ridge)
    gains = torch.zeros_like(exponents)
    for _ in range(1 + REFINEMENTS):
        projected = torch.zeros_like(exponents)
        for target, factors in views:
            left = target - ModalSum.apply((gains * factors)[None], exponents[None], len(target))[0]
            projected += factors * ModalProjection.apply(left[None], exponents[None])[0]
        right = torch.cat([projected.imag, projected.real[with_cosine]])
        found = scale * torch.cholesky_solve((scale * right)[:, None], factor)[:, 0]
        sines, cosines = found.split([len(exponents), len(gram) - len(exponents)])
        gains = gains + sines
        gains[with_cosine] += 1j * cosines
    return gains


def _views(x: Tensor, exponents: Tensor) -> list[tuple[Tensor, Tensor]]:
    """The response, and behind the pre-emphasis, of unit energy; each with the factors that all exponentials have there."""
    once = x[1:] - EMPHASIS * x[:-1]
    sharp = once[1:] - EMPHASIS * once[:-1]
    # from the filter's third output on: exp(q (n + 2)) (1 − 0.95 exp(−q))²
    factors = (torch.exp(exponents) - EMPHASIS).square()
    both = ((x, torch.ones_like(factors)), (sharp, factors))
    return [(target / target.norm(), of_modes / target.norm()) for target, of_modes in both]


def _factor(gram: Tensor, ridge: float) -> Tensor:
    """Cholesky's, with a higher ridge where rounding has made the matrix indefinite."""
    while True:
        gram.diagonal().add_(ridge)
        factor, failed = torch.linalg.cholesky_ex(gram)
        if not failed:
            return factor
        ridge *= 10


def _gram(exponents: Tensor, views: list[tuple[Tensor, Tensor]], with_cosine: Tensor) -> Tensor:
    """Inner products of Im and, of some, Re of factor · exp(qn), n = 0 … time−1, summed over all views.

    Σₙ exp(zn) is (exp(z time) − 1)/(exp(z) − 1), z the sum of two exponents: what is above is a product of two matrices.
    """
    ends = [factors * torch.exp(exponents * len(target)) for target, factors in views]
    starts = [factors for _, factors in views]
    left, right = torch.stack([*ends, *starts], 1), torch.stack([*ends, *(-start for start in starts)], 1)
    with_itself = left @ right.T / _less_one(exponents[:, None] + exponents)
    with_conjugate = left @ right.mH / _less_one(exponents[:, None] + exponents.conj())
    sines = 0.5 * (with_conjugate - with_itself).real
    both = 0.5 * (with_conjugate + with_itself)[:, with_cosine]
    return torch.cat([torch.cat([sines, both.imag], 1), torch.cat([both.imag.T, both.real[with_cosine]], 1)])


def _less_one(z: Tensor) -> Tensor:
    """exp(z) − 1, right also where z is small."""
    real = torch.expm1(z.real) * torch.cos(z.imag) - 2 * torch.sin(z.imag / 2).square()
    return torch.complex(real, torch.exp(z.real) * torch.sin(z.imag))
