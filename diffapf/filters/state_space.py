"""State-space filters, dense or diagonal, fixed or time-varying, and their derivatives.

    v[n+1] = A[n] v[n] + B[n] x[n],   y[n] = C[n] v[n] + D[n] x[n]

All that is recursive is v[n] = A[n] v[n−1] + u[n]. Its adjoint is the recursion with Aᵀ backward in time,
λ[n] = g[n] + A[n+1]ᵀ λ[n+1], with ∂L/∂u = λ and ∂L/∂A[n] = λ[n] v[n−1]ᵀ; its tangent is driven by u̇[n] + Ȧ[n] v[n−1].
"""

from __future__ import annotations

import torch
from torch import Tensor

from diffapf.filters._composition import pull_back, push_forward
from diffapf.filters._rows import RowFunction, check_flag, check_signal, in_float32, state_rows, to_rows, unfilled
from diffapf.filters.allpole import AllPole
from diffapf.filters.control_rate import coefficient_rows
from diffapf.kernels import run


def state_space(
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    x: Tensor,
    zi: Tensor | None = None,
    return_zf: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """v[n+1] = A[n] v[n] + B[n] x[n], y[n] = C[n] v[n] + D[n] x[n]: one input, one output, N states.

    Args:
        A: `(N, N)` or `(..., N, N)` fixed, or `(..., time, N, N)`.
        B, C: `(N,)` or `(..., N)` fixed, or `(..., time, N)`.
        D: `()` or `(...)` fixed, or of x's shape.
        x: the signal, `(..., time)`, of the same dtype, real or complex.
        zi: v[0], `(..., N)`; zeros by default.
        return_zf: also return the state after the last sample: the next block's `zi`.

    Returns:
        y of the shape of x, or (y, zf). Differentiable in all: backward and forward mode, to any order.

    Raises:
        ValueError, TypeError: shapes, dtypes or devices that don't match; the message says what is needed.

    >>> one = torch.ones(1)
    >>> state_space(torch.tensor([[0.5]]), one, one, torch.tensor(0.0), torch.tensor([1.0, 0.0, 0.0]))
    tensor([0.0000, 1.0000, 0.5000])
    """
    x, A, B, C, D, zi = in_float32(x, A, B, C, D, zi)
    check_signal("x", x)
    check_flag("return_zf", return_zf)
    check_signal("A", A, x)
    if A.dim() < 2 or A.shape[-1] != A.shape[-2]:
        raise ValueError(f"A must be square, (..., N, N), got {tuple(A.shape)}")
    size = A.shape[-1]
    matrices, _ = coefficient_rows("A, its last two dimensions as one,", A.flatten(-2), x, None)
    signal, initial = to_rows(x), state_rows("zi", zi, x, size)
    drive = _vectors("B", B, x, size) * signal[:, :, None]
    v = DenseRecurrence.apply(matrices.unflatten(-1, (size, size)), drive, initial)
    return _output(x, C, D, torch.cat([initial[:, None], v], 1), return_zf)


def diagonal_state_space(
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    x: Tensor,
    zi: Tensor | None = None,
    return_zf: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """`state_space` with a diagonal A: N first-order recurrences at once. The form is stable if |A| < 1, however it moves.

    Args:
        A: the diagonal, `(N,)` or `(..., N)` fixed, or `(..., time, N)`; poles, real or complex.
        B, C, D, x, zi, return_zf: as for `state_space`. A real x may pass through complex A, B, C and D.

    Returns:
        y of the shape of x and the dtype of A (for real x and conjugate pairs take its real part), or (y, zf).

    Raises:
        ValueError, TypeError: shapes, dtypes or devices that don't match; the message says what is needed.

    >>> one = torch.ones(1)
    >>> diagonal_state_space(torch.tensor([0.5]), one, one, torch.tensor(0.0), torch.tensor([1.0, 0.0, 0.0]))
    tensor([0.0000, 1.0000, 0.5000])
    """
    x, A, B, C, D, zi = in_float32(x, A, B, C, D, zi)
    check_signal("x", x)
    check_flag("return_zf", return_zf)
    check_signal("A", A)
    if A.is_complex() and not x.is_complex():
        x = x.to(torch.promote_types(x.dtype, torch.complex64))
    poles, timing = coefficient_rows("A", A, x, None)
    rows, time, size = x.shape[:-1].numel(), x.shape[-1], A.shape[-1]
    initial = state_rows("zi", zi, x, size)
    drive = _vectors("B", B, x, size) * to_rows(x)[:, :, None]

    def each_state(values: Tensor) -> Tensor:
        return values.transpose(1, 2).reshape(rows * size, values.shape[1])

    v = AllPole.apply(each_state(drive), -each_state(poles)[:, :, None], initial.reshape(-1, 1), timing)
    v = v.reshape(rows, size, time).transpose(1, 2)
    return _output(x, C, D, torch.cat([initial[:, None], v], 1), return_zf)


def _output(x: Tensor, C: Tensor, D: Tensor, v: Tensor, return_zf: bool) -> Tensor | tuple[Tensor, Tensor]:
    """y from the states at 0 … time."""
    size = v.shape[2]
    check_signal("D", D, x)
    direct, _ = coefficient_rows("D, with a last dimension of one,", D[..., None], x, None)
    y = (_vectors("C", C, x, size) * v[:, :-1]).sum(-1) + direct[..., 0] * to_rows(x)
    y = y.reshape(x.shape)
    return (y, v[:, -1].reshape(*x.shape[:-1], size)) if return_zf else y


def _vectors(name: str, value: Tensor, x: Tensor, size: int) -> Tensor:
    check_signal(name, value, x)
    if value.shape[-1:] != (size,):
        raise ValueError(f"{name} must have shape (..., {size}), as A has {size} states, got {tuple(value.shape)}")
    return coefficient_rows(name, value, x, None)[0]


class DenseRecurrence(RowFunction):
    """(A, u, v0) → v: v[n] = A[n] v[n−1] + u[n], v[−1] = v0. A is `(rows, time, N, N)`, or has one frame for all time."""

    @staticmethod
    def forward(A, u, v0):
        v = unfilled(u)
        run("dense_recurrence", A, u, v0, out=(v,))
        return v

    @staticmethod
    def setup_context(ctx, inputs, output):
        A, _, v0 = inputs
        ctx.save_for_backward(A, v0, output)
        ctx.save_for_forward(A, v0, output)

    @staticmethod
    def backward(ctx, g):
        with_matrices = ctx.needs_input_grad[0]
        dA, du, dv0 = DenseRecurrenceAdjoint.apply(g, *ctx.saved_tensors, with_matrices)
        return dA if with_matrices else None, du, dv0

    @staticmethod
    def tangent(ctx, saved, dA, du, dv0):
        A, v0, v = saved
        drive = torch.zeros_like(v) if du is None else du
        if dA is not None:
            drive = drive + _products(dA, states_before(v0, v))
        return DenseRecurrence.apply(A, drive, torch.zeros_like(v0) if dv0 is None else dv0)


class DenseRecurrenceAdjoint(RowFunction):
    """(∂L/∂v, A, v0, v) → (dA, du, dv0); dA has no frames where it is not wanted."""

    OPTIONS = ("with_matrices",)

    @staticmethod
    def forward(g, A, v0, v, with_matrices):
        results = tuple(unfilled(like) for like in (A if with_matrices else A[:, :0], v, v0))
        A, v0, v = (tensor.conj() for tensor in (A, v0, v))
        run("dense_recurrence_adjoint", g, A, v0, v, out=results)
        return results

    @staticmethod
    def backward(ctx, *along):
        return *pull_back(_adjoint_composition(ctx), ctx.saved_tensors, along), None

    @staticmethod
    def tangent(ctx, saved, *tangents):
        return push_forward(_adjoint_composition(ctx), saved, tangents[: len(saved)])


def states_before(v0: Tensor, v: Tensor) -> Tensor:
    """v[n−1]."""
    return torch.cat([v0[:, None], v], 1)[:, :-1]


def _products(matrices: Tensor, vectors: Tensor) -> Tensor:
    """Each sample's; not by `@`, which autocast would round."""
    return (matrices * vectors[..., None, :]).sum(-1)


def _adjoint_composition(ctx):
    def run_adjoint(g, A, v0, v):
        reverse = A.mH
        if A.shape[1] != 1:  # A[n+1] at n, in reversed time; the first is multiplied by nothing
            reverse = reverse.flip(1).roll(1, 1)
        du = DenseRecurrence.apply(reverse, g.flip(1), torch.zeros_like(v0)).flip(1)
        dA = du[..., None] * states_before(v0, v).conj()[:, :, None]
        if not ctx.with_matrices:
            dA = dA[:, :0]
        elif A.shape[1] == 1:
            dA = dA.sum(1, keepdim=True)
        return dA, du, _products(A[:, :1].mH, du[:, :1]).sum(1)

    return run_adjoint
