"""The gains with which given modes add up to an impulse response, by least squares without a matrix of modes × time.

    Σₙ |x[n] − Σ_k (a_k Im − b_k Re…) exp(q_k n)|² + ridge

Inner products of exponentials are geometric series, Σₙ exp((q_j + q_k) n), known in closed form; those with the signal are
projections (`filters/modal.py`). Rounding, of a matrix so near to singular, is worked off by refinement: the residual, as it
is heard, is fitted again with the same factor.
"""

from __future__ import annotations

import torch
from torch import Tensor

from diffapf.filters.modal import ModalProjection, ModalSum
from diffapf.identification.damped_modes import EMPHASIS, emphasised

RIDGE = 1e-10
REFINEMENTS = 4


def modal_gains(x: Tensor, exponents: Tensor, with_cosine: Tensor, ridge: float = RIDGE) -> Tensor:
    """Complex gains g of Im Σ_k g_k exp(q_k n) ≈ x[n], `(K,)`.

    The error counts behind a pre-emphasis, as high modes are 100 dB below low ones.

    Args:
        x: the response, `(time,)`, float64.
        exponents: q, `(K,)`, complex, a sample.
        with_cosine: which modes may have an imaginary gain, `(K,)`, bool.
        ridge: of the squared length of each gain, in shares of the mode's energy.
    """
    target, time = emphasised(x), len(x) - 2
    # of the filtered exponentials from n = 2 on: exp(q (n + 2)) (1 − 0.95 exp(−q))²
    factors = (torch.exp(exponents) - EMPHASIS) ** 2
    gram, scale = _normalised_gram(exponents, factors, with_cosine, time)
    gram.diagonal().add_(ridge)
    factor = torch.linalg.cholesky(gram)
    gains = torch.zeros_like(exponents)
    for _ in range(1 + REFINEMENTS):
        left = target - ModalSum.apply((gains * factors)[None], exponents[None], time)[0]
        projected = factors * ModalProjection.apply(left[None], exponents[None])[0]
        right = torch.cat([projected.imag, projected.real[with_cosine]])
        found = scale * torch.cholesky_solve((scale * right)[:, None], factor)[:, 0]
        sines, cosines = found.split([len(exponents), int(with_cosine.sum())])
        gains = gains + sines
        gains[with_cosine] += 1j * cosines
    return gains


def _normalised_gram(exponents: Tensor, factors: Tensor, with_cosine: Tensor, time: int) -> tuple[Tensor, Tensor]:
    """Inner products of Im and, of some, Re of factor · exp(qn), each of unit length; and what made them so."""
    with_conjugate = _inner_products(exponents, exponents.conj(), factors, factors.conj(), time)
    with_itself = _inner_products(exponents, exponents, factors, factors, time)
    sines = 0.5 * (with_conjugate - with_itself).real
    cosines = 0.5 * (with_conjugate + with_itself).real[with_cosine][:, with_cosine]
    across = 0.5 * (with_conjugate + with_itself).imag[:, with_cosine]
    gram = torch.cat([torch.cat([sines, across], 1), torch.cat([across.T, cosines], 1)])
    scale = gram.diagonal().clamp_min(torch.finfo(gram.dtype).tiny).rsqrt()
    return gram * scale * scale[:, None], scale


def _inner_products(left: Tensor, right: Tensor, of_left: Tensor, of_right: Tensor, time: int) -> Tensor:
    """Σₙ of_left exp(left n) of_right exp(right n), n = 0 … time−1."""
    total = left[:, None] + right
    last = torch.exp(left * time)[:, None] * torch.exp(right * time)
    return of_left[:, None] * of_right * (last - 1) / _less_one(total)


def _less_one(z: Tensor) -> Tensor:
    """exp(z) − 1, right also where z is small."""
    half = torch.sin(z.imag / 2)
    real = torch.expm1(z.real) * torch.cos(z.imag) - 2 * half.square()
    return torch.complex(real, torch.exp(z.real) * torch.sin(z.imag))
