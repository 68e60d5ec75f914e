"""Filters from what a designer knows: frequencies in Hz, sample rates, polynomials, poles, residues, reflections.

Denominators are written with their leading 1: 1 + a₁ z⁻¹ + … + a_M z⁻ᴹ is `(..., M+1)`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import pad

from diffapf.filters._checks import anywhere, check_coefficients, check_transfer_function, of_equal_length
from diffapf.filters._rows import in_float32, to_rows
from diffapf.filters._step_up import StepUp


def allpass_logit(frequency: Tensor, sample_rate: float) -> Tensor:
    """v = artanh p of the first-order all-pass (p − z⁻¹)/(1 − p z⁻¹) with this break frequency, in Hz: there its phase is
    90° from both ends.

    v = −½ log tan(πf/sample_rate): a shifted log frequency, which is what an LFO sweeps evenly and an interpolation
    should follow. Frequencies from 0.49 of the sample rate up are held there.
    """
    angle = (math.pi / sample_rate) * frequency.clamp(max=0.49 * sample_rate)
    return -0.5 * torch.log(torch.tan(angle))


def break_frequency(v: Tensor, sample_rate: float) -> Tensor:
    """The inverse of `allpass_logit`: f = sample_rate/π · arctan e^(−2v)."""
    return (sample_rate / math.pi) * torch.atan(torch.exp(-2 * v))


def first_order_highpass(frequency: Tensor, sample_rate: float) -> tuple[Tensor, Tensor, Tensor]:
    """(b0, b1, a) of (b0 + b1 z⁻¹)/(1 − a z⁻¹): unit gain far above `frequency` (Hz, −3 dB), a zero at 0 Hz.

    The bilinear transform of s/(s + ω), with the corner where it is asked for.
    """
    t = torch.tan(math.pi * frequency / sample_rate)
    b0 = 1 / (1 + t)
    return b0, -b0, (1 - t) / (1 + t)


def polynomial_product(left: Tensor, right: Tensor) -> Tensor:
    """The coefficients of the product of two polynomials, along the last dimension; the others broadcast.

    >>> polynomial_product(torch.tensor([1.0, 1.0]), torch.tensor([1.0, -1.0]))
    tensor([ 1.,  0., -1.])
    """
    shifted = [pad(left[..., i : i + 1] * right, (i, left.shape[-1] - 1 - i)) for i in range(left.shape[-1])]
    return torch.stack(shifted).sum(0)


def change_sample_rate(b: Tensor, a: Tensor, ratio: float) -> tuple[Tensor, Tensor]:
    """The same analogue filter at `ratio` times the sample rate: b and a (with a[0]) of equal length.

    Undoes the bilinear transform at the old rate and does it at the new one: z⁻¹ becomes the first-order all-pass
    ((1 − r) + (1 + r) z⁻¹)/((1 + r) + (1 − r) z⁻¹), so stable filters stay stable. Exact at 0 Hz, and close to it far
    below both Nyquist frequencies.
    """
    order = a.shape[-1] - 1
    numerator = a.new_tensor([1 - ratio, 1 + ratio])
    denominator = a.new_tensor([1 + ratio, 1 - ratio])

    def substituted(polynomial: Tensor) -> Tensor:
        terms = []
        for i in range(order + 1):
            term = polynomial[..., i : i + 1]
            for j in range(order):
                term = polynomial_product(term, numerator if j < i else denominator)
            terms.append(term)
        return torch.stack(terms).sum(0)

    b, a = substituted(b), substituted(a)
    return b / a[..., :1], a / a[..., :1]


def polynomial_response(coefficients: Tensor, omega: Tensor) -> Tensor:
    """Σₖ cₖ e^(−jωk): `(..., taps)` at angular frequencies `(bins,)` in radians a sample → complex `(..., bins)`."""
    delays = torch.arange(coefficients.shape[-1], dtype=coefficients.dtype, device=coefficients.device)
    return coefficients.to(torch.promote_types(coefficients.dtype, torch.complex64)) @ torch.exp(
        -1j * delays[:, None] * omega
    )


def integer_power(z: Tensor, exponent: int) -> Tensor:
    """z^exponent for exponent ≥ 1 by squaring: for complex tensors five times faster than the general power.

    >>> integer_power(torch.tensor(2.0), 5)
    tensor(32.)
    """
    if exponent < 1:
        raise ValueError(f"exponent must be at least 1, got {exponent}")
    power = None
    while exponent:
        if exponent & 1:
            power = z if power is None else power * z
        exponent >>= 1
        z = z * z if exponent else z
    return power  # type: ignore[return-value]


# ---------------------------------------------------------------------------------------------------------------- poles


def denominator_from_poles(poles: Tensor) -> Tensor:
    """Πᵢ (1 − pᵢ z⁻¹): `(..., M)` poles → `(..., M+1)`, of the poles' dtype; take the real part for conjugate pairs.

    >>> denominator_from_poles(torch.tensor([0.5, -0.5]))
    tensor([ 1.0000,  0.0000, -0.2500])
    """
    check_coefficients("poles", poles, may_be_none=True)
    a = torch.ones_like(poles[..., :0].sum(-1, keepdim=True))
    for i in range(poles.shape[-1]):
        a = pad(a, (0, 1)) - poles[..., i : i + 1] * pad(a, (1, 0))
    return a


def poles_from_denominator(a: Tensor) -> Tensor:
    """The M poles of 1/Σ aᵢ z⁻ⁱ, complex `(..., M)`, in no order: the eigenvalues of its companion matrix.

    Differentiable where no pole is repeated.
    """
    check_coefficients("a", a)
    matrix = _companion_matrix(a / a[..., :1])
    finite = matrix.isfinite().all(-1).all(-1)
    # LAPACK crashes on what is not finite (oneMKL's SGEBAL, PyTorch 2.14)
    poles = torch.linalg.eigvals(torch.where(finite[..., None, None], matrix, 0.0))
    return torch.where(finite[..., None], poles, torch.nan)


def companion(b: Tensor, a: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(A, B, C, D) of `state_space` for Σ bᵢ z⁻ⁱ/Σ aᵢ z⁻ⁱ; the state is that of `lfilter`'s df2.

    Args:
        b, a: numerator and denominator, `(..., taps)`, of any two lengths; a[0] is not 0.

    Returns:
        A `(..., M, M)`, B and C `(..., M)`, D `(...)`, M the larger order.

    >>> companion(torch.tensor([1.0, 2.0]), torch.tensor([1.0, -0.5]))
    (tensor([[0.5000]]), tensor([1.]), tensor([2.5000]), tensor(1.))
    """
    b, a = of_equal_length(*in_float32(b, a))
    first = torch.zeros_like(a[..., 1:])
    first[..., :1] = 1
    return _companion_matrix(a), first, b[..., 1:] - b[..., :1] * a[..., 1:], b[..., 0]


def _companion_matrix(a: Tensor) -> Tensor:
    order = a.shape[-1] - 1
    shift = torch.eye(order, dtype=a.dtype, device=a.device)[:-1].expand(*a.shape[:-1], -1, -1)
    return torch.cat([-a[..., None, 1:], shift], -2)[..., :order, :]


def parallel_form(b: Tensor, a: Tensor, separation: float = 1e-3) -> tuple[Tensor, Tensor, Tensor]:
    """Partial fractions: Σ bᵢ z⁻ⁱ/Σ aᵢ z⁻ⁱ = Σᵢ rᵢ/(1 − pᵢ z⁻¹) + Σ_k d_k z⁻ᵏ, as `scipy.signal.residuez`.

    Args:
        b, a: numerator and denominator, `(..., taps)`, of any two lengths; a[0] is not 0.
        separation: how near two poles may be, at least: residues grow, and lose digits, as their distance falls.

    Returns:
        Residues r and poles p, complex `(..., M)`, and the direct term d, `(..., K)`, K = max(len b − M, 0).
        Differentiable in b and a.

    Raises:
        ValueError: poles repeated, or nearer than `separation`; the message names them.

    >>> r, p, d = parallel_form(torch.tensor([1.0]), torch.tensor([1.0, -0.5]))
    >>> r.real, p.real, d
    (tensor([1.]), tensor([0.5000]), tensor([]))
    """
    b, a = in_float32(b, a)
    check_transfer_function(b, a)
    if not isinstance(separation, (int, float)) or isinstance(separation, bool) or not separation >= 0:
        raise ValueError(f"separation must be a distance, at least 0, got {separation!r}")
    order = a.shape[-1] - 1
    b, a = b / a[..., :1], a / a[..., :1]
    poles = poles_from_denominator(a)
    distances = (poles[..., :, None] - poles[..., None, :]) + torch.eye(order, dtype=poles.dtype, device=poles.device)
    apart = (poles[..., :, None] - poles[..., None, :]).abs().detach() + 2 * torch.eye(order, device=poles.device)
    if anywhere(apart < separation):
        raise ValueError(f"a has repeated poles, nearer than {separation}: {_near(poles, apart < separation)}")
    direct, remainder = _divided(b, a)
    powers = poles[..., :, None] ** torch.arange(order - 1, -1, -1, device=poles.device)
    residues = (powers * remainder[..., None, :]).sum(-1) / distances.prod(-1)
    return residues, poles, direct


def _near(poles: Tensor, pairs: Tensor) -> str:
    """The poles that have another beside them, of the first filter that has any."""
    try:
        first = pairs.any(-1).reshape(-1, poles.shape[-1])
        row = int(first.any(-1).nonzero()[0])
        return str(
            [complex(round(p.real, 6), round(p.imag, 6)) for p in poles.reshape(first.shape)[row][first[row]].tolist()]
        )
    except RuntimeError:
        return "under vmap, which poles cannot be told"


def _divided(b: Tensor, a: Tensor) -> tuple[Tensor, Tensor]:
    """b = d·a + remainder, the remainder of order less than a's, so that the highest powers of z⁻¹ are all d's."""
    order, terms = a.shape[-1] - 1, max(b.shape[-1] - a.shape[-1] + 1, 0)
    remainder = pad(b, (0, max(order - b.shape[-1], 0)))
    direct: list[Tensor] = []
    for k in range(terms - 1, -1, -1):
        direct.insert(0, remainder[..., -1:] / a[..., -1:])
        remainder = (remainder - pad(direct[0] * a, (k, 0)))[..., :-1]
    return torch.cat([remainder[..., :0], *direct], -1), remainder


def normalised_lattice(k: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(A, B, C, D) of `state_space` for 1/a, a = `denominator_from_reflection(k)`, as a lattice of rotations.

    fᵢ₋₁[n] = cᵢ fᵢ[n] − kᵢ bᵢ₋₁[n−1],  bᵢ[n] = kᵢ fᵢ[n] + cᵢ bᵢ₋₁[n−1],  cᵢ = √(1 − kᵢ²),  f_M = x,  b₀ = f₀ = y Π cᵢ

    A rotation keeps energy, so the state's never grows by more than the input's: stable for |k| < 1, however fast k moves.

    Args:
        k: reflection coefficients, `(M,)` or `(..., M)`, or `(..., time, M)` for one filter a sample.

    Returns:
        A `(..., M, M)`, B and C `(..., M)`, D `(...)`.

    Source: Gray, Markel, "A normalized digital filter structure", IEEE Transactions on Acoustics, Speech, and Signal
    Processing 23, 1975.

    >>> A, B, C, D = normalised_lattice(torch.tensor([0.6]))
    >>> A, B, C, D
    (tensor([[-0.6000]]), tensor([0.8000]), tensor([-0.7500]), tensor(1.))
    """
    check_coefficients("k", k, may_be_none=True)
    order = k.shape[-1]
    c = torch.sqrt(1 - k**2)
    # every signal as its weights of (b₀[n−1] … b_{M−1}[n−1], x[n])
    one = torch.eye(order + 1, dtype=k.dtype, device=k.device).expand(*k.shape[:-1], -1, -1)
    forward = one[..., order, :]
    states: list[Tensor] = []
    for i in range(order - 1, -1, -1):
        ki, ci, earlier = k[..., i : i + 1], c[..., i : i + 1], one[..., i, :]
        states.insert(0, ki * forward + ci * earlier)  # b_{i+1}
        forward = ci * forward - ki * earlier
    following = torch.stack([forward, *states], -2)[..., :order, :]
    output = forward / c.prod(-1, keepdim=True)
    return following[..., :order], following[..., order], output[..., :order], output[..., order]


# ------------------------------------------------------------------------------- reflection coefficients, spectral pairs


def denominator_from_reflection(k: Tensor) -> Tensor:
    """The step-up recursion: `(..., M)` reflection coefficients → `(..., M+1)`. Stable if and only if all |k| < 1.

    Source: Markel, Gray, "Linear Prediction of Speech", 1976.

    >>> denominator_from_reflection(torch.tensor([0.5, 0.2]))
    tensor([1.0000, 0.6000, 0.2000])
    """
    check_coefficients("k", k, may_be_none=True)
    return StepUp.apply(to_rows(k)).reshape(*k.shape[:-1], k.shape[-1] + 1)


def reflection_from_denominator(a: Tensor) -> Tensor:
    """The step-down recursion, the inverse of `denominator_from_reflection`; where some |k| is 1 it gives no numbers.

    >>> reflection_from_denominator(torch.tensor([1.0, 0.6, 0.2]))
    tensor([0.5000, 0.2000])
    """
    check_coefficients("a", a)
    a = a / a[..., :1]
    found: list[Tensor] = []
    for _ in range(a.shape[-1] - 1):
        k = a[..., -1:]
        found.insert(0, k)
        a = ((a - k * a.flip(-1)) / (1 - k**2))[..., :-1]
    return torch.cat([a[..., :0], *found], -1)


def denominator_from_spectral_pairs(frequencies: Tensor) -> Tensor:
    """Line spectral frequencies, `(..., M)` in radians a sample → `(..., M+1)`. Stable if they rise, between 0 and π.

    a = (P + Q)/2, P of the first, third … frequency, Q of the second, fourth …, their zeros on the unit circle.

    Source: Itakura, "Line spectrum representation of linear predictor coefficients of speech signals", 1975.
    """
    check_coefficients("frequencies", frequencies, may_be_none=True)
    order = frequencies.shape[-1]
    p, q = (_on_the_circle(frequencies[..., start::2]) for start in (0, 1))
    factors = ([1.0, 1.0], [1.0, -1.0]) if order % 2 == 0 else ([1.0], [1.0, 0.0, -1.0])
    p, q = (polynomial_product(pairs, pairs.new_tensor(f)) for pairs, f in zip((p, q), factors, strict=True))
    return ((p + q) / 2)[..., : order + 1]


def spectral_pairs_from_denominator(a: Tensor) -> Tensor:
    """The inverse of `denominator_from_spectral_pairs`: `(..., M+1)`, stable → rising frequencies `(..., M)`."""
    check_coefficients("a", a)
    a = a / a[..., :1]
    order = a.shape[-1] - 1
    longer = pad(a, (0, 1))
    p, q = longer + longer.flip(-1), longer - longer.flip(-1)
    factors = ([1.0, 1.0], [1.0, -1.0]) if order % 2 == 0 else ([1.0], [1.0, 0.0, -1.0])
    halves = []
    for polynomial, factor in zip((p, q), factors, strict=True):
        # symmetric but for the factor: the remainder of the division, low powers first, is zero
        quotient, _ = _divided(polynomial, polynomial.new_tensor(factor))
        angles = poles_from_denominator(quotient).angle()
        halves.append(angles.sort(-1).values[..., angles.shape[-1] // 2 :])
    return torch.cat(halves, -1).sort(-1).values


def _on_the_circle(frequencies: Tensor) -> Tensor:
    """Π (1 − 2 cos ω z⁻¹ + z⁻²)."""
    product = torch.ones_like(frequencies[..., :0].sum(-1, keepdim=True))
    for i in range(frequencies.shape[-1]):
        middle = -2 * torch.cos(frequencies[..., i : i + 1])
        product = polynomial_product(product, torch.cat([torch.ones_like(middle), middle, torch.ones_like(middle)], -1))
    return product
