"""A filter as the sum of its first-order sections, run at once.

    y[n] = Σᵢ rᵢ[n] sᵢ[n] + Σ_k d_k x[n−k],   sᵢ[n] = x[n] + pᵢ[n] sᵢ[n−1]

However poles and residues move, the sum is stable if all |p| < 1, which no direct form promises.
"""

from __future__ import annotations

import torch
from torch import Tensor

from diffapf.filters._checks import check_coefficients
from diffapf.filters._rows import check_flag, check_signal, in_float32, state_rows, to_rows
from diffapf.filters.allpole import AllPole
from diffapf.filters.control_rate import coefficient_rows
from diffapf.filters.fir import FIR, past_and_present


def parallel_filter(
    residues: Tensor,
    poles: Tensor,
    x: Tensor,
    direct: Tensor | None = None,
    zi: Tensor | None = None,
    return_zf: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """Filters `x` by Σᵢ rᵢ/(1 − pᵢ z⁻¹) + Σ_k d_k z⁻ᵏ, what `parallel_form` returns; see the module.

    Args:
        residues, poles: `(M,)` or `(..., M)` fixed, or `(..., time, M)`; real or complex.
        x: the signal, `(..., time)`. If it is real and the poles are complex, these are conjugate pairs, with conjugate
            residues, and the real part of the sum is returned: all of it.
        direct: d, `(K,)` or `(..., K)` fixed, or `(..., time, K)`; real if x is real; none by default.
        zi: the state before the first sample, `(..., M + max(K−1, 0))`, of the poles' dtype: each section's last output,
            then the past of x, newest first; zeros by default.
        return_zf: also return the state after the last sample: the next block's `zi`.

    Returns:
        y of the shape of x, or (y, zf). Differentiable in all: backward and forward mode, to any order.

    Raises:
        ValueError, TypeError: shapes, dtypes or devices that don't match; the message says what is needed.

    >>> parallel_filter(torch.ones(2), torch.tensor([0.5, -0.5]), torch.tensor([1.0, 0.0, 0.0]))
    tensor([2.0000, 0.0000, 0.5000])
    """
    residues, poles, x, direct, zi = in_float32(residues, poles, x, direct, zi)
    check_signal("x", x)
    check_flag("return_zf", return_zf)
    check_signal("poles", poles)
    signal = x.to(torch.promote_types(x.dtype, torch.complex64)) if poles.is_complex() and not x.is_complex() else x
    pole_rows, timing = coefficient_rows("poles", poles, signal, None)
    residue_rows, _ = coefficient_rows("residues", residues, signal, None)
    count = pole_rows.shape[2]
    if residue_rows.shape[2] != count:
        raise ValueError(f"residues must be as many as the poles, {count}, got {residue_rows.shape[2]}")
    if direct is not None:
        check_coefficients("direct", direct, x, may_be_none=True)
    taps = 0 if direct is None else direct.shape[-1]
    state = state_rows("zi", zi, signal, count + max(taps - 1, 0))
    driven = to_rows(signal)
    rows, time = driven.shape

    sections = AllPole.apply(
        driven.repeat_interleave(count, 0),
        -pole_rows.transpose(1, 2).reshape(rows * count, pole_rows.shape[1], 1),
        state[:, :count].reshape(-1, 1),
        timing,
    ).reshape(rows, count, time)
    y = (residue_rows.transpose(1, 2) * sections).sum(1)
    past = past_and_present(driven, state[:, count:])
    if direct is not None and taps:
        direct_rows, direct_timing = coefficient_rows("direct", direct, x, None)
        y = y + FIR.apply(past, direct_rows.to(y.dtype), direct_timing)
    y = (y if x.is_complex() or not y.is_complex() else y.real).reshape(x.shape)
    if not return_zf:
        return y
    last = torch.cat([state[:, :count, None], sections], 2)[:, :, -1]
    zf = torch.cat([last, past[:, time:].flip(1)], 1)
    return y, zf.reshape(*x.shape[:-1], state.shape[1])
