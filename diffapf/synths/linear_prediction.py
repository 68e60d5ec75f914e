"""Linear prediction: the all-pole filter that is nearest to a power spectrum.

Source: Makhoul, "Linear prediction: a tutorial review", Proceedings of the IEEE 63, 1975.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

WHITE = 1e-9  # of the zeroth autocorrelation, added to it


def predicted(power: Tensor, order: int, lag_window: float = 0.0) -> tuple[Tensor, Tensor]:
    """(reflection coefficients `(..., order)`, the power that is left `(...)`) of power densities `(..., bins)`.

    By Levinson's recursion on the autocorrelation, which is weighted by a Gaussian of `lag_window`, in turns a sample: its
    spectrum is smeared by as much. The filter is `denominator_from_reflection` of the first.

    >>> from diffapf.filters.design import denominator_from_reflection
    >>> a = torch.tensor([1.0, -1.2, 0.5], dtype=torch.float64)
    >>> k, left = predicted(4 / torch.fft.rfft(a, 512).abs().square(), 2)
    >>> denominator_from_reflection(k), left
    (tensor([ 1.0000, -1.2000,  0.5000], dtype=torch.float64), tensor(4.0000, dtype=torch.float64))
    """
    lags = torch.arange(order + 1, dtype=power.dtype, device=power.device)
    r = torch.fft.irfft(power)[..., : order + 1] * torch.exp(-0.5 * (2 * torch.pi * lag_window * lags) ** 2)
    error = (1 + WHITE) * r[..., 0]
    a, found = torch.ones_like(r[..., :1]), []
    for m in range(1, order + 1):
        k = -(a * r[..., 1 : m + 1].flip(-1)).sum(-1) / error
        longer = pad(a, (0, 1))
        a = longer + k[..., None] * longer.flip(-1)
        error = error * (1 - k**2)
        found.append(k)
    return torch.stack(found, -1), error
