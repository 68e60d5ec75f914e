"""The first-order linear recurrence: what scans, envelopes and parallel forms are built on."""

from __future__ import annotations

from torch import Tensor

from diffapf.filters._checks import broadcasts
from diffapf.filters._rows import check_signal, in_float32
from diffapf.filters.allpole import allpole
from diffapf.filters.control_rate import ControlRate


def linear_recurrence(a: Tensor, x: Tensor, zi: Tensor | None = None, hop: float | ControlRate | None = None) -> Tensor:
    """y[n] = x[n] + a[n] y[n−1], real or complex.

    Args:
        a: of x's shape, one a sample; or `(...)`, without time, fixed; or `(..., frames)` with `hop`.
        x: the signal, `(..., time)`.
        zi: y[−1], `(...)`; zero by default. The last sample of y is the next block's.
        hop: samples a frame of `a`, or a `ControlRate`.

    Returns:
        y of the shape of x. Differentiable in a, x and zi: backward and forward mode, to any order.

    Raises:
        ValueError, TypeError: shapes, dtypes or devices that don't match; the message says what is needed.

    >>> import torch
    >>> linear_recurrence(torch.tensor(0.5), torch.tensor([1.0, 0.0, 0.0]))
    tensor([1.0000, 0.5000, 0.2500])
    """
    x, a, zi = in_float32(x, a, zi)
    check_signal("x", x)
    check_signal("a", a, x)
    if zi is not None:
        check_signal("zi", zi, x)
    batch = tuple(x.shape[:-1])
    if hop is not None:
        wanted, fits = f"{(*batch, 'frames')}", a.dim() == x.dim() and broadcasts(a, (*batch, a.shape[-1]))
    else:
        wanted, fits = f"{batch} or {tuple(x.shape)}", broadcasts(a, batch if a.dim() < x.dim() else x.shape)
    if not fits:
        raise ValueError(f"a must have shape {wanted} for x of shape {tuple(x.shape)}, got {tuple(a.shape)}")
    if zi is not None and not broadcasts(zi, batch):
        raise ValueError(f"zi must have shape {batch} for x of shape {tuple(x.shape)}, got {tuple(zi.shape)}")
    return allpole(x, -a[..., None], None if zi is None else zi[..., None], hop=hop)  # type: ignore[return-value]
