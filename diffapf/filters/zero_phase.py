"""Initial states of fixed filters, and filtering forward and backward: no phase, twice the magnitude in dB."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from diffapf.filters._checks import broadcasts, check_broadcast, check_coefficients, of_equal_length
from diffapf.filters._rows import check_signal, in_float32
from diffapf.filters.iir import lfilter

PADTYPES = ("odd", "even", "constant", None)


def lfilter_zi(b: Tensor, a: Tensor) -> Tensor:
    """The state in which `lfilter` (tdf2) answers a constant 1 without a transient: as `scipy.signal.lfilter_zi`.

    sᵢ = Σ_{k ≥ i} (b_k − a_k G), where G = Σ b/Σ a is the gain at 0 Hz.

    Args:
        b, a: numerator and denominator, `(..., taps)`, of any two lengths; no pole at z = 1.

    Returns:
        The M registers `(..., M)`, M the larger order. Differentiable in b and a.

    Raises:
        ValueError, TypeError: a[0] is zero; dtypes or devices that don't match.

    >>> lfilter_zi(torch.tensor([0.5]), torch.tensor([1.0, -0.5]))
    tensor([0.5000])
    """
    b, a = of_equal_length(*in_float32(b, a))
    gain = b.sum(-1, keepdim=True) / a.sum(-1, keepdim=True)
    return (b - a * gain)[..., 1:].flip(-1).cumsum(-1).flip(-1)


def lfiltic(b: Tensor, a: Tensor, y: Tensor, x: Tensor | None = None) -> Tensor:
    """The state of `lfilter` (tdf2) after these outputs and inputs: as `scipy.signal.lfiltic`.

    sᵢ = Σ_{k ≥ i} b_k x[i−1−k] − a_k y[i−1−k]

    Args:
        b, a: numerator and denominator, `(..., taps)`, of any two lengths.
        y, x: past outputs and inputs, newest first, `(..., count)`; those further back than given are taken as 0, those
            further back than the filter's order are not read.

    Returns:
        The M registers `(..., M)`, M the larger order. Differentiable in all.

    Raises:
        ValueError, TypeError: a[0] is zero; dtypes or devices that don't match.

    >>> lfiltic(torch.tensor([1.0]), torch.tensor([1.0, -0.5]), y=torch.tensor([2.0]))
    tensor([1.])
    """
    b, a, y, x = in_float32(b, a, y, x)
    b, a = of_equal_length(b, a)
    _check_past("y", y, a)
    state = -_registers(a, y)
    if x is not None:
        _check_past("x", x, b)
        check_broadcast(y=y[..., :1].sum(-1), x=x[..., :1].sum(-1), b=b[..., 0], a=a[..., 0])
        state = state + _registers(b, x)
    return state


def filtfilt(b: Tensor, a: Tensor, x: Tensor, padtype: str | None = "odd", padlen: int | None = None) -> Tensor:
    """Filters `x` forward, then backward, from steady states at both ends: as `scipy.signal.filtfilt`.

    Args:
        b, a: numerator and denominator, fixed: `(taps,)` or `(..., taps)`, of any two lengths.
        x: the signal, `(..., time)`.
        padtype: how the signal is extended at both ends: "odd" (turned about its end point), "even" (mirrored),
            "constant", or None for not at all.
        padlen: samples of extension; 3 · max(len a, len b) by default; less than `time`.

    Returns:
        y of the shape of x. Differentiable in b, a and x.

    Raises:
        ValueError, TypeError: what `lfilter` raises; an unknown padtype; a padlen that the signal is too short for.

    >>> filtfilt(torch.tensor([0.5]), torch.tensor([1.0, -0.5]), torch.ones(10))
    tensor([1., 1., 1., 1., 1., 1., 1., 1., 1., 1.])
    """
    b, a, x = in_float32(b, a, x)
    check_signal("x", x)
    for name, value in (("b", b), ("a", a)):
        check_signal(name, value, x)
        check_coefficients(name, value)
        if value.dim() > x.dim() or not broadcasts(value[..., 0], x.shape[:-1]):
            raise ValueError(
                f"{name} must be fixed, {(*x.shape[:-1], 'taps')} (or broadcast to it), got {tuple(value.shape)}"
            )
    if not isinstance(padtype, (str, type(None))) or padtype not in PADTYPES:
        raise ValueError(f"padtype must be one of {PADTYPES}, got {padtype!r}")
    if padlen is not None and (not isinstance(padlen, int) or isinstance(padlen, bool)):
        raise TypeError(f"padlen must be a number of samples or None, got {type(padlen).__name__}")
    edge = 0 if padtype is None else 3 * max(a.shape[-1], b.shape[-1]) if padlen is None else padlen
    if not 0 <= edge < max(x.shape[-1], 1):
        raise ValueError(f"padlen must be at least 0 and less than x's {x.shape[-1]} samples, got {edge}")
    if x.shape[-1] == 0:
        return x
    state = lfilter_zi(b, a)
    extended = _extended(x, padtype, edge)
    for _ in range(2):
        y = lfilter(b, a, extended, zi=state * extended[..., :1])
        extended = y.flip(-1)  # type: ignore[union-attr]
    return extended[..., edge : edge + x.shape[-1]]


def _check_past(name: str, past: Tensor, coefficients: Tensor) -> None:
    check_coefficients(name, past, coefficients, may_be_none=True)
    check_broadcast(**{name: past[..., :1].sum(-1), "coefficients": coefficients[..., 0]})


def _registers(coefficients: Tensor, past: Tensor) -> Tensor:
    """Σ_{k ≥ i} c_k past[k−i], i = 1 … M."""
    order = coefficients.shape[-1] - 1
    if order == 0:
        return past[..., :0] * coefficients[..., :0]
    recent = pad(past[..., :order], (0, max(order - past.shape[-1], 0)))
    shifted = [pad(coefficients[..., i:], (0, i - 1)) for i in range(1, order + 1)]
    return (torch.stack(shifted, -2) * recent[..., None, :]).sum(-1)


def _extended(x: Tensor, padtype: str | None, edge: int) -> Tensor:
    if edge == 0:
        return x
    first, last = x[..., :1], x[..., -1:]
    before, after = x[..., 1 : edge + 1].flip(-1), x[..., -edge - 1 : -1].flip(-1)
    if padtype == "odd":
        before, after = 2 * first - before, 2 * last - after
    elif padtype == "constant":
        before, after = first.expand_as(before), last.expand_as(after)
    return torch.cat([before, x, after], -1)
