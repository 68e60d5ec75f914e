"""The feedback comb filter with an integer delay."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from diffapf.filters._rows import check_flag, check_signal, in_float32, state_rows, to_rows
from diffapf.filters.allpole import AllPole
from diffapf.filters.control_rate import FIXED


def comb(
    x: Tensor, alpha: Tensor | float, delay: int, zi: Tensor | None = None, return_zf: bool = False
) -> Tensor | tuple[Tensor, Tensor]:
    """y[n] = x[n] − α[n] y[n−D], as D interleaved first-order filters.

    Args:
        x: the signal, `(..., time)`.
        alpha: a number, or `(...)`, one for each signal; or of x's shape, one a sample. Stable for |α| < 1.
        delay: D ≥ 1 samples.
        zi: the D outputs before the first, newest first, `(..., D)`; zeros by default.
        return_zf: also return the last D outputs in the same order: the next block's `zi`.

    Returns:
        y of the shape of x, or (y, zf). Differentiable in x, alpha and zi: backward and forward mode, to any order.

    Raises:
        ValueError, TypeError: a delay that is no positive integer; shapes, dtypes or devices that don't match.

    >>> comb(torch.tensor([1.0, 0.0, 0.0, 0.0, 0.0]), -0.5, delay=2)
    tensor([1.0000, 0.0000, 0.5000, 0.0000, 0.2500])
    """
    x, alpha, zi = in_float32(x, alpha, zi)
    check_signal("x", x)
    check_flag("return_zf", return_zf)
    if not isinstance(delay, int) or isinstance(delay, bool) or delay < 1:
        raise ValueError(f"delay must be a positive integer of samples, got {delay!r}")
    signal, initial = to_rows(x), state_rows("zi", zi, x, delay)
    rows, time = signal.shape
    gain, moving = _gain_rows(alpha, x)
    past = initial.flip(1)  # oldest first: each is the past of the filter that has its place
    turns = -(-time // delay)
    filled = turns * delay - time

    def interleaved(values: Tensor) -> Tensor:
        return pad(values, (0, filled)).reshape(rows, turns, delay).transpose(1, 2).reshape(rows * delay, turns)

    if moving:
        coefficients, timing = interleaved(gain)[:, :, None], None
    else:
        coefficients, timing = gain.repeat_interleave(delay, 0)[:, :, None], FIXED
    y = AllPole.apply(interleaved(signal), coefficients, past.reshape(-1, 1), timing)
    y = y.reshape(rows, delay, turns).transpose(1, 2).reshape(rows, time + filled)[:, :time]
    if not return_zf:
        return y.reshape(x.shape)
    return y.reshape(x.shape), torch.cat([past, y], 1)[:, time:].flip(1).reshape(*x.shape[:-1], delay)


def _gain_rows(alpha: Tensor | float, x: Tensor) -> tuple[Tensor, bool]:
    """α as `(rows, 1)` or `(rows, time)`, and whether it moves."""
    if isinstance(alpha, (int, float)):
        return x.new_full((x.shape[:-1].numel(), 1), alpha), False
    check_signal("alpha", alpha, x)
    moving = alpha.dim() == x.dim()
    try:
        expanded = alpha.expand(x.shape) if moving else alpha.expand(x.shape[:-1])[..., None]
    except RuntimeError:
        wanted = f"{tuple(x.shape[:-1])} (fixed) or {tuple(x.shape)} (one a sample)"
        raise ValueError(f"alpha must be a number or have shape {wanted}, got {tuple(alpha.shape)}") from None
    return to_rows(expanded), moving
