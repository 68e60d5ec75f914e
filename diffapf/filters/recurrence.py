"""The first-order linear recurrence: what scans, envelopes and parallel forms are built on."""

from __future__ import annotations

from torch import Tensor

from diffapf.filters._rows import check_signal
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
    check_signal("x", x)
    check_signal("a", a, x)
    if zi is not None:
        check_signal("zi", zi, x)
    batch = tuple(x.shape[:-1])
    expected = (*batch, "frames") if hop is not None else batch if a.dim() < x.dim() else tuple(x.shape)
    last = a.shape[-1:] if hop is not None else ()
    if not _broadcasts(a, (*batch, *last) if hop is not None else expected) or (hop is not None and a.dim() != x.dim()):
        raise ValueError(f"a must have shape {expected} for x of shape {tuple(x.shape)}, got {tuple(a.shape)}")
    if zi is not None and not _broadcasts(zi, batch):
        raise ValueError(f"zi must have shape {batch} for x of shape {tuple(x.shape)}, got {tuple(zi.shape)}")
    return allpole(x, -a[..., None], None if zi is None else zi[..., None], hop=hop)  # type: ignore[return-value]


def _broadcasts(value: Tensor, shape: tuple) -> bool:
    try:
        value.expand(shape)
    except RuntimeError:
        return False
    return True
