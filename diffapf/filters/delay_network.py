"""A feedback delay network with a filter on each line, exactly, and its derivatives.

    w[n] = Σₗ f[l] ∘ q[n−l],   q[n] = x[n] + U w[n]          q: what enters the lines, w: what leaves their filters

With g and g′ for what q and w have of gradients from outside, their whole gradients are h = g + Σₗ f[l] ∘ p[n+l] and p = g′
+ Uᵀ h: p is the q of the transposed network, with Uᵀ, run backward in time and driven by g′ + Uᵀ g. The rest are products:
∂L/∂x = h, ∂L/∂U = Σₙ h[n] w[n]ᵀ, ∂L/∂f[l] = Σₙ p[n] ∘ q[n−l]. The tangent of q is the network driven by ẋ + U̇ w + U (ḟ ∗
q). So the rules are closed, to any order.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad

from diffapf.filters._fft import convolve, correlate
from diffapf.filters._rows import REAL, RowFunction, check_flag, check_signal, in_float32, shared, state_rows, unfilled
from diffapf.kernels import run


def delay_network(
    x: Tensor,
    delays: Sequence[int],
    U: Tensor,
    absorption: Sequence[Tensor],
    B: Tensor,
    C: Tensor,
    zi: Tensor | None = None,
    return_zf: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """A feedback delay network: N lines that feed each other through a matrix, each through a linear-phase FIR filter.

    q[n] = B x[n] + U w[n] enters the lines, y[n] = C (qᵢ[n−mᵢ])ᵢ leaves them, and wᵢ is qᵢ[n−mᵢ] filtered by gᵢ, whose delay
    of (Pᵢ−1)/2 samples is taken out of the line: a turn takes mᵢ samples. Stable if U is orthogonal and every |Gᵢ| < 1.

    Args:
        x: the signals, `(..., inputs, time)`, float32 or float64.
        delays: m₁ … m_N, samples.
        U: `(N, N)` or `(..., N, N)`.
        absorption: g₁ … g_N, `(P,)` or `(..., P)` each, Pᵢ odd and at most 2 mᵢ − 1: a filter cannot hear what comes.
        B: `(N, inputs)` or `(..., N, inputs)`.
        C: `(outputs, N)` or `(..., outputs, N)`.
        zi: what entered the lines before the first sample, newest first, `(..., N, L)`, where L = max(mᵢ + (Pᵢ−1)/2).
        return_zf: also return the last L of what entered, in the same order: the next block's `zi`.

    Returns:
        y, `(..., outputs, time)`, or (y, zf). Differentiable in all tensors: backward and forward mode, to any order.

    Raises:
        ValueError, TypeError: delays that are no positive integers, filters of even length or too long; shapes, dtypes or
            devices that don't match.

    Source: Jot and Chaigne, "Digital delay networks for designing artificial reverberators", AES 90th Convention, 1991.

    >>> one = torch.ones(1, 1)
    >>> delay_network(torch.tensor([[1.0, 0.0, 0.0, 0.0, 0.0]]), [2], one, [torch.tensor([0.5])], one, one)
    tensor([[0.0000, 0.0000, 1.0000, 0.0000, 0.5000]])
    """
    check_flag("return_zf", return_zf)
    delays, absorption = _lines(delays, absorption)
    x, U, B, C, zi, *absorption = in_float32(x, U, B, C, zi, *absorption)
    check_signal("x", x, dtypes=REAL)
    if x.dim() < 2 or x.shape[-2] == 0:
        raise ValueError(f"x must have shape (..., inputs, time), with an input at least, got {tuple(x.shape)}")
    (*batch, inputs, time), lines = x.shape, len(delays)
    loops = loop_taps(delays, absorption, x)
    longest = loops.shape[-1]
    f = _matrices("absorption", loops, x, (lines, longest))
    matrix = _matrices("U", U, x, (lines, lines))
    entering = _matrices("B", B, x, (lines, inputs))
    outputs = C.shape[-2] if isinstance(C, Tensor) and C.dim() > 1 else 1
    leaving = _matrices("C", C, x, (outputs, lines))
    flat = None if zi is None else _flat_state(zi, x, lines, longest)
    initial = state_rows("zi", flat, x[..., 0, :], lines * longest)
    rows = x.shape[:-2].numel()
    drive = mixed(entering, x.reshape(rows, inputs, time))
    past = initial.unflatten(-1, (lines, longest))
    q, _ = Network.apply(drive, matrix, f, past)
    entered = torch.cat([past.flip(-1), q], -1)
    by_line = entered.unbind(1)  # a slice of them all would have a gradient as long as them all, a line each
    late = torch.stack([line[:, longest - m :][:, :time] for line, m in zip(by_line, delays, strict=True)], 1)
    y = mixed(leaving, late).reshape(*batch, outputs, time)
    if not return_zf:
        return y
    return y, entered[..., time:].flip(-1).reshape(*batch, lines, longest)


def loop_taps(delays: Sequence[int], absorption: Sequence[Tensor], like: Tensor) -> Tensor:
    """Each line's delay and filter as one FIR filter, from a delay of one sample on: `(..., lines, longest)`."""
    taps = [_filter(i, m, g, like) for i, (m, g) in enumerate(zip(delays, absorption, strict=True))]
    halves = [g.shape[-1] // 2 for g in taps]
    longest = max(m + half for m, half in zip(delays, halves, strict=True))
    padded = [pad(g, (m - 1 - half, longest - m - half)) for m, g, half in zip(delays, taps, halves, strict=True)]
    try:
        return torch.stack(torch.broadcast_tensors(*padded), -2)
    except RuntimeError:
        shapes = [tuple(g.shape) for g in taps]
        raise ValueError(f"the batches of the absorption filters must broadcast, got shapes {shapes}") from None


def mixed(matrices: Tensor, signals: Tensor) -> Tensor:
    """Each row's `(lines, time)` by its matrix, of which there may be fewer; nothing is rounded by autocast."""
    fewer = matrices.shape[0]
    with torch.autocast(signals.device.type, enabled=False):
        if fewer == signals.shape[0]:
            return matrices @ signals
        return (matrices @ signals.unflatten(0, (signals.shape[0] // fewer, fewer))).flatten(0, 1)


class Network(RowFunction):
    """(x, U, f, zi) → (q, w), of the module's equations; f from l = 1 on, zi is q before the first sample, newest first."""

    COEFFICIENTS = (1, 2)
    TAKES_NO_GRADIENT = True

    @staticmethod
    def forward(x, U, f, zi):
        q, w = (unfilled(x) for _ in range(2))
        run("delay_network", x, U, f, zi, out=(q, w))
        return q, w

    @staticmethod
    def setup_context(ctx, inputs, output):
        _, U, f, zi = inputs
        ctx.save_for_backward(U, f, zi, *output)
        ctx.save_for_forward(U, f, zi, *output)

    @staticmethod
    def backward(ctx, gq, gw):
        U, f, zi, q, w = ctx.saved_tensors
        g = torch.zeros_like(q) if gq is None else gq
        drive = mixed(U.mT, g)
        drive = drive if gw is None else drive + gw
        p, late = (each.flip(-1) for each in Network.apply(drive.flip(-1), U.mT, f, torch.zeros_like(zi)))
        h = g + late
        dU = df = dzi = None
        if ctx.needs_input_grad[1]:
            dU = shared(mixed(h, w.mT), U)
        if ctx.needs_input_grad[2]:
            df = shared(correlate(p, _entered(zi, q), f.shape[2]).flip(-1), f)
        if ctx.needs_input_grad[3]:
            dzi = _of_rows(correlate, p[..., : f.shape[2]], f, f.shape[2])
        return h, dU, df, dzi

    @staticmethod
    def tangent(ctx, saved, dx, dU, df, dzi):
        U, f, zi, q, w = saved
        drive = torch.zeros_like(q) if dx is None else dx
        filtered = None
        if dU is not None:
            drive = drive + mixed(dU, w)
        if df is not None:
            longest = f.shape[2]
            entered = _entered(zi, q)
            filtered = _of_rows(convolve, entered, pad(df, (1, 0)), longest, entered.shape[2])
            drive = drive + mixed(U, filtered)
        dq, dw = Network.apply(drive, U, f, torch.zeros_like(zi) if dzi is None else dzi)
        return dq, dw if filtered is None else dw + filtered


def _entered(zi: Tensor, q: Tensor) -> Tensor:
    return torch.cat([zi.flip(-1), q], -1)


def _of_rows(function, signals: Tensor, taps: Tensor, *lengths: int) -> Tensor:
    """A convolution or correlation of each row by its taps, of which there may be fewer rows."""
    fewer = taps.shape[0]
    if fewer == signals.shape[0]:
        return function(signals, taps, *lengths)
    return function(signals.unflatten(0, (signals.shape[0] // fewer, fewer)), taps, *lengths).flatten(0, 1)


def _lines(delays, absorption) -> tuple[list[int], list]:
    for name, values in (("delays", delays), ("absorption", absorption)):
        if not isinstance(values, (list, tuple)):
            raise TypeError(f"{name} must be a list or a tuple, one for each line, got {type(values).__name__}")
    if not delays or not all(isinstance(m, int) and not isinstance(m, bool) and m > 0 for m in delays):
        raise ValueError(f"delays must be positive integers of samples, at least one, got {delays!r}")
    if len(absorption) != len(delays):
        raise ValueError(f"absorption must be a filter for each of the {len(delays)} delays, got {len(absorption)}")
    return list(delays), list(absorption)


def _filter(line: int, delay: int, taps, x: Tensor) -> Tensor:
    name = f"absorption[{line}]"
    check_signal(name, taps, x)
    if taps.dim() == 0 or taps.shape[-1] % 2 == 0:
        raise ValueError(f"{name} must have an odd number of taps, its middle at the delay, got {tuple(taps.shape)}")
    if taps.shape[-1] > 2 * delay - 1:
        raise ValueError(
            f"{name} has {taps.shape[-1]} taps, but a delay of {delay} leaves room for {2 * delay - 1}: half of them come "
            "before the middle"
        )
    return taps


def _matrices(name: str, value, x: Tensor, shape: tuple[int, int]) -> Tensor:
    """`shape`, or one for each signal, as rows: one row for all where it is one."""
    check_signal(name, value, x)
    batch = x.shape[:-2]
    if tuple(value.shape) == shape:
        return value[None]
    try:
        return value.expand(*batch, *shape).reshape(batch.numel(), *shape)
    except RuntimeError:
        raise ValueError(f"{name} must have shape {shape} or {(*batch, *shape)}, got {tuple(value.shape)}") from None


def _flat_state(zi, x: Tensor, lines: int, longest: int) -> Tensor:
    check_signal("zi", zi, x)
    if zi.shape[-2:] != (lines, longest):
        raise ValueError(f"zi must have shape {(*x.shape[:-2], lines, longest)}, got {tuple(zi.shape)}")
    return zi.flatten(-2)
