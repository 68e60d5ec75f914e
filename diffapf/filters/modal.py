"""A bank of damped modes: thousands of complex one-poles in parallel, in one pass.

    y[n] = Im Σ_k g_k s_k[n],   s_k[n] = λ_k s_k[n−1] + x[n],   λ_k = exp(−d_k + iω_k)

A real gain makes a damped sine, an imaginary one a damped cosine. With the exponents q = −d + iω, all of it is made of two
products, the modes' sum and a signal's projections on them,

    σ(g, q)[n] = Im Σ_k g_k exp(q_k n)        π(u, q)_k = Σₙ u[n] exp(q_k n)

The impulse response is σ(g, q), by which the signal is convolved; what the state before it still sounds is a sum too; the
state after it is a projection of the reversed signal. Each is the other's transpose, and ∂/∂q multiplies the time by n: the
two rules below are closed, to any order, backward and forward.

Neither has a temporary of modes × time. With n = mB + j, B ≈ √time, exp(qn) = exp(qBm) exp(qj) is a product of two short
tables, and the sum over the modes a matrix product: two multiply-adds for a mode and a sample, where the recursion takes
six, on any device.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import pad

from diffapf.filters._checks import check_coefficients
from diffapf.filters._rows import (
    REAL,
    REAL_AND_COMPLEX,
    RowFunction,
    check_flag,
    check_signal,
    in_float32,
    shared,
    to_rows,
)

TABLE = 2**19  # numbers in the two tables of the modes that are taken at once, which stay in the cache


def modal_filter(
    frequency: Tensor,
    decay: Tensor,
    gain: Tensor,
    x: Tensor,
    zi: Tensor | None = None,
    return_zf: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """Filters `x` by a bank of K damped modes; see the module. Computed in float64, whatever the dtype of x.

    The convolution is an FFT's: rounding is relative to the loudest sample, and a NaN spoils all of its signal.

    Args:
        frequency: ω, `(K,)` or `(..., K)`, in radians a sample.
        decay: d, of such a shape, in nepers a sample; positive for a mode that dies away.
        gain: g, of such a shape, real for sines; complex for sines and, in its imaginary part, cosines.
        x: the signal, `(..., time)`, real.
        zi: the states before the first sample, `(..., K)`, complex128; zeros by default.
        return_zf: also return the states after the last sample: the next block's `zi`.

    Returns:
        y of the shape and dtype of x, or (y, zf). Differentiable in all: backward and forward mode, to any order.

    Raises:
        ValueError, TypeError: shapes, dtypes or devices that don't match; the message says what is needed.

    >>> a_cosine = torch.tensor([torch.pi / 3]), torch.zeros(1), torch.tensor([1j])
    >>> modal_filter(*a_cosine, torch.tensor([1.0, 0.0, 0.0, 0.0]))
    tensor([ 1.0000,  0.5000, -0.5000, -1.0000])
    """
    x, frequency, decay, gain, zi = in_float32(x, frequency, decay, gain, zi)
    check_signal("x", x, dtypes=REAL)
    check_flag("return_zf", return_zf)
    exponents, gains = _bank(frequency, decay, gain, tuple(x.shape[:-1]), x.device)
    rows, time, modes = x.shape[:-1].numel(), x.shape[-1], exponents.shape[1]
    states = None if zi is None else _states(zi, x, modes)
    if not rows * time * modes:
        y, zf = torch.zeros_like(x), states
    else:
        signal = to_rows(x).double()
        sums = gains
        if states is not None:  # in the same call, which makes the tables once
            ringing = _in_turn(gains, rows) * _in_turn(exponents.exp(), rows) * states
            sums = torch.cat([gains, ringing])
        response, *rest = ModalSum.apply(sums, exponents, time).split([len(gains), len(sums) - len(gains)])
        y = _convolved(signal, response)
        if states is not None:
            y = y + rest[0]
        y = y.to(x.dtype).reshape(x.shape)
    if not return_zf:
        return y
    if rows * time * modes:
        zf = ModalProjection.apply(signal.flip(1), exponents)
        zf = zf if states is None else zf + _in_turn((time * exponents).exp(), rows) * states
    elif zf is None:
        zf = exponents.new_zeros(rows, modes)
    return y, zf.reshape(*x.shape[:-1], modes)


def modal_impulse_response(frequency: Tensor, decay: Tensor, gain: Tensor, time: int) -> Tensor:
    """The first samples of a bank's impulse response, h[n] = Im Σ_k g_k exp((−d_k + iω_k) n).

    Args:
        frequency, decay, gain: as `modal_filter` takes them, `(..., K)`.
        time: how many samples.

    Returns:
        h, `(..., time)`, float64, differentiable as the filter is.

    Raises:
        ValueError, TypeError: as `modal_filter`; a time that is no number of samples.

    >>> a_cosine = torch.tensor([torch.pi / 3]), torch.zeros(1), torch.tensor([1j])
    >>> modal_impulse_response(*a_cosine, 4).round(decimals=3).tolist()
    [1.0, 0.5, -0.5, -1.0]
    """
    if not isinstance(time, int) or isinstance(time, bool) or time < 0:
        raise ValueError(f"time must be a number of samples, 0 or more, got {time!r}")
    frequency, decay, gain = in_float32(frequency, decay, gain)
    for name, value in (("frequency", frequency), ("decay", decay), ("gain", gain)):
        _check_modes(name, value)
    batch = _broadcast(frequency=frequency, decay=decay, gain=gain)[:-1]
    exponents, gains = _bank(frequency, decay, gain, batch, frequency.device)
    response = ModalSum.apply(gains, exponents, time)
    return response.expand(math.prod(batch), time).reshape(*batch, time)


class ModalSum(RowFunction):
    """(g, q) → σ: Im Σ_k g_k exp(q_k n), n = 0 … time−1."""

    COEFFICIENTS = (1,)
    OPTIONS = ("time",)

    @staticmethod
    def forward(g, q, time):
        rows, blocks, block = q.shape[0], *_blocks(time)
        total = g.real.new_zeros(rows, g.shape[0] // max(rows, 1) * blocks, block)
        at_once = _modes_at_once(blocks + block)
        for some, of_q in zip(g.split(at_once, 1), q.split(at_once, 1), strict=True):
            within, across = _powers(of_q, block), _powers(of_q * block, blocks)
            weighted = some.unflatten(0, (-1, rows))[..., None] * across
            left = torch.cat([weighted.real, weighted.imag], 2).permute(1, 0, 3, 2).flatten(1, 2)
            total.baddbmm_(left, torch.cat([within.imag, within.real], 1))
        # a copy: forward mode takes no view of what is not there to be seen
        return _in_rows(total, blocks)[:, :time].clone(memory_format=torch.contiguous_format)

    @staticmethod
    def backward(ctx, u):
        g, q = ctx.saved_tensors
        dg = dq = None
        if ctx.needs_input_grad[0]:
            dg = 1j * ModalProjection.apply(u, q).conj()
        if ctx.needs_input_grad[1]:
            dq = shared(1j * (g * ModalProjection.apply(_timed(u), q)).conj(), q)
        return dg, dq, None

    @staticmethod
    def tangent(ctx, saved, dg, dq, _):
        g, q = saved
        moved = None if dg is None else ModalSum.apply(dg, q, ctx.time)
        if dq is None:
            return moved
        bent = _timed(ModalSum.apply(g * _in_turn(dq, len(g)), q, ctx.time))
        return bent if moved is None else moved + bent


class ModalProjection(RowFunction):
    """(u, q) → π: Σₙ u[n] exp(q_k n), real u, `(rows, K)`."""

    COEFFICIENTS = (1,)

    @staticmethod
    def forward(u, q):
        rows, blocks, block = q.shape[0], *_blocks(u.shape[1])
        framed = pad(u, (0, blocks * block - u.shape[1])).reshape(-1, rows, blocks, block)
        framed = framed.transpose(0, 1).flatten(1, 2)
        found = []
        for of_q in q.split(_modes_at_once(blocks + block), 1):
            within, across = _powers(of_q, block), _powers(of_q * block, blocks)
            inner = torch.bmm(framed, torch.cat([within.real, within.imag], 1).mT)
            inner = torch.complex(*inner.unflatten(1, (-1, blocks)).chunk(2, -1))
            found.append((inner * across.mT[:, None]).sum(2).transpose(0, 1).flatten(0, 1))
        return torch.cat(found, 1)

    @staticmethod
    def backward(ctx, c):
        u, q = ctx.saved_tensors
        du = dq = None
        if ctx.needs_input_grad[0]:
            du = ModalSum.apply(1j * c.conj(), q, u.shape[1])
        if ctx.needs_input_grad[1]:
            dq = shared(c * ModalProjection.apply(_timed(u), q).conj(), q)
        return du, dq

    @staticmethod
    def tangent(ctx, saved, du, dq):
        u, q = saved
        moved = None if du is None else ModalProjection.apply(du, q)
        if dq is None:
            return moved
        bent = ModalProjection.apply(_timed(u), q)
        bent = bent * _in_turn(dq, len(bent))
        return bent if moved is None else moved + bent


def _blocks(time: int) -> tuple[int, int]:
    """(number, length) of the blocks that a signal is cut into, about as many as they are long."""
    block = max(1, math.isqrt(time))
    return max(1, -(-time // block)), block


def _modes_at_once(length: int) -> int:
    return max(1, TABLE // length)


def _powers(q: Tensor, count: int) -> Tensor:
    """exp(qn), n = 0 … count−1, in the last dimension, each half made of the other; rounded like qn, by up to count bits."""
    powers = torch.ones(*q.shape, count, dtype=q.dtype, device=q.device)
    known, turn = 1, torch.exp(q)[..., None]
    while known < count:
        more = min(known, count - known)
        torch.mul(powers[..., :more], turn, out=powers[..., known : known + more])
        known, turn = known + more, turn.square()
    return powers


def _timed(u: Tensor) -> Tensor:
    """n u[n]."""
    return u * torch.arange(u.shape[1], dtype=u.dtype, device=u.device)


def _in_turn(coefficients: Tensor, rows: int) -> Tensor:
    """Those that each of so many rows reads."""
    return coefficients.repeat(rows // max(len(coefficients), 1), 1)


def _in_rows(blocks: Tensor, count: int) -> Tensor:
    """`(rows of q, times · count, block)` as `(rows, count · block)`."""
    return blocks.unflatten(1, (-1, count)).transpose(0, 1).flatten(0, 1).flatten(1)


def _convolved(x: Tensor, h: Tensor) -> Tensor:
    time = x.shape[1]
    length = 1 << (2 * time - 1).bit_length()
    return torch.fft.irfft(torch.fft.rfft(x, length) * torch.fft.rfft(h, length), length)[:, :time]


# --------------------------------------------------------------------------------------------------------------- checks


def _bank(
    frequency: Tensor, decay: Tensor, gain: Tensor, batch: tuple[int, ...], device: torch.device
) -> tuple[Tensor, Tensor]:
    """(exponents, gains) as rows: one for all signals, or one for each of the batch."""
    modes = {"frequency": frequency, "decay": decay, "gain": gain}
    for name, value in modes.items():
        _check_modes(name, value)
        if value.device != device:
            raise ValueError(f"{name} is on {value.device}, but the signal is on {device}: move one of them")
    shape = _broadcast(**modes)
    one = len(shape) == 1
    rows = (1, shape[-1]) if one else (math.prod(batch), shape[-1])
    try:
        exponents, gains = (
            value.expand(shape if one else (*batch, shape[-1])).reshape(rows)
            for value in (torch.complex(*torch.broadcast_tensors(-decay.double(), frequency.double())), gain)
        )
    except RuntimeError:
        wanted = f"({shape[-1]},) or {(*batch, shape[-1])}"
        raise ValueError(f"frequency, decay and gain must have shape {wanted}, got {shape}") from None
    return exponents, gains.to(torch.complex128)


def _check_modes(name: str, value: Tensor) -> None:
    check_coefficients(name, value, may_be_none=True)
    if name != "gain":
        check_signal(name, value, dtypes=REAL)


def _broadcast(**modes: Tensor) -> tuple[int, ...]:
    count = {name: value.shape[-1] for name, value in modes.items()}
    try:
        if len(set(count.values())) == 1:
            return tuple(torch.broadcast_shapes(*(value.shape for value in modes.values())))
    except RuntimeError:
        pass
    shapes = " and ".join(f"{name} {tuple(value.shape)}" for name, value in modes.items())
    raise ValueError(f"modes must be as many in all, in shapes that broadcast, got {shapes}")


def _states(zi: Tensor, x: Tensor, modes: int) -> Tensor:
    check_signal("zi", zi, dtypes=REAL_AND_COMPLEX)
    if zi.device != x.device:
        raise ValueError(f"zi is on {zi.device}, but the signal is on {x.device}: move one of them")
    wanted = (*x.shape[:-1], modes)
    try:
        return zi.expand(wanted).reshape(-1, modes).to(torch.complex128)
    except RuntimeError:
        raise ValueError(f"zi must have shape {wanted} (or broadcast to it), got {tuple(zi.shape)}") from None
