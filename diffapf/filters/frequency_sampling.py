"""A fixed filter by its frequency response, sampled: the baseline that recursions are compared with."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from diffapf.filters._checks import broadcasts, of_equal_length
from diffapf.filters._rows import REAL, check_flag, check_signal, in_float32
from diffapf.filters.design import companion


def frequency_sampled_filter(b: Tensor, a: Tensor, x: Tensor, n: int | None = None, truncated: bool = False) -> Tensor:
    """Filters by B(z)/A(z) at n points of the unit circle: y = IDFT(DFT(x) · DFT(b)/DFT(a)), of which `time` samples.

    What of the response lies n samples and more behind comes round again: the impulse response is aliased in time, and the
    signal is filtered as if it began again after n samples. `truncated` samples the response of the first n samples of the
    impulse response alone. With (A, B, C, D) of `companion` that is C (I − Aⁿ) instead of C, and D − C Aⁿ⁻¹ B instead of D;
    what the signal itself then rings on after n samples still comes round.

    Args:
        b, a: numerator and denominator, `(taps,)` or `(..., taps)` for each signal, of any two lengths; a[0] is not 0.
        x: the signal, real, `(..., time)`.
        n: points, at least `time`, which is the default.
        truncated: whether the impulse response is cut after n samples.

    Returns:
        y of the shape of x.

    Raises:
        ValueError: a[0] is zero; fewer points than samples; shapes or devices that don't match.
        TypeError: dtypes that don't match, or complex ones.

    Differentiable in b, a and x by PyTorch's own rules.

    Source: Kuznetsov et al., "Differentiable IIR filters", DAFx 2020; Lee et al., IEEE/ACM TASLP 30, 2022, for the cut.

    >>> echo = torch.tensor([1.0, 0.0, -0.5])
    >>> one, impulse = torch.ones(1), torch.tensor([1.0, 0.0, 0.0, 0.0])
    >>> frequency_sampled_filter(one, echo, impulse)  # 1/(1 − 1/4) of 1 and 1/2: what comes later adds to it
    tensor([1.3333, 0.0000, 0.6667, 0.0000])
    >>> frequency_sampled_filter(one, echo, impulse, truncated=True)
    tensor([1.0000, 0.0000, 0.5000, 0.0000])
    """
    b, a, x = in_float32(b, a, x)
    check_signal("x", x, dtypes=REAL)
    for name, value in (("b", b), ("a", a)):
        check_signal(name, value, x)
    check_flag("truncated", truncated)
    b, a = of_equal_length(b, a)
    if not broadcasts(b[..., 0], x.shape[:-1]):
        wanted = f"(taps,), or {(*x.shape[:-1], 'taps')} for x of shape {tuple(x.shape)}"
        raise ValueError(f"b and a must have shape {wanted}, got {tuple(b.shape)}")
    n = x.shape[-1] if n is None else n
    if not isinstance(n, int) or isinstance(n, bool) or n < x.shape[-1]:
        raise ValueError(f"n must be an integer, at least the {x.shape[-1]} samples of x, got {n!r}")
    if n == 0:
        return x
    b = _numerator_of_first_samples(b, a, n) if truncated else b
    spectrum = torch.fft.rfft(x, n) * _spectrum(b, n) / _spectrum(a, n)
    return torch.fft.irfft(spectrum, n)[..., : x.shape[-1]]


def _numerator_of_first_samples(b: Tensor, a: Tensor, n: int) -> Tensor:
    """That which, divided by a, is at n points of the unit circle the spectrum of the first n samples of b/a's response."""
    A, B, C, D = companion(b, a)
    before_last = torch.linalg.matrix_power(A, n - 1)
    through = D - _product(C, before_last, B)
    left = C - (C[..., None, :] @ (before_last @ A))[..., 0, :]
    return pad(left, (1, 0)) + a * through[..., None]


def _product(row: Tensor, matrix: Tensor, column: Tensor) -> Tensor:
    return (row[..., None, :] @ matrix @ column[..., None])[..., 0, 0]


def _spectrum(taps: Tensor, n: int) -> Tensor:
    """At n points, also of more taps than these."""
    folded = pad(taps, (0, -taps.shape[-1] % n)).unflatten(-1, (-1, n)).sum(-2)
    return torch.fft.rfft(folded)
