"""A nonlinear recurrence: forward one step after another, backward a linear recurrence on the steps' Jacobians.

    v[n+1] = f(v[n]) + u[n]

With J[n] = ∂f/∂v at v[n], the tangent is v̇[n+1] = J[n] v̇[n] + u̇[n] + ḟ(v[n]), ḟ from f's parameters; the adjoint is
λ[n] = g[n] + J[n]ᵀ λ[n+1], with ∂L/∂u = λ and ∂L/∂parameters = Σₙ (∂f/∂parameters)ᵀ λ. The Jacobians are taken for all
samples at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.func import jacrev, vmap

from diffapf.filters._composition import pull_back, push_forward
from diffapf.filters._rows import REAL, RowFunction, check_signal, in_float32, state_rows
from diffapf.filters.state_space import DenseRecurrence, DenseRecurrenceAdjoint, states_before

Step = Callable[..., Tensor]


def nonlinear_recurrence(f: Step, u: Tensor, v0: Tensor | None = None, parameters: tuple[Tensor, ...] = ()) -> Tensor:
    """v[n+1] = f(v[n], *parameters) + u[n].

    Args:
        f: takes the state of one signal, `(N,)`, and the parameters, and returns `(N,)`. It is called under `torch.func`
            transforms, so it may not branch on values; gradients reach only what it is given as parameters.
        u: the drive, `(..., time, N)`.
        v0: v[0], `(..., N)`; zeros by default.
        parameters: tensors that f reads, the same for all signals and samples.

    Returns:
        v[1] … v[time], of the shape of u; the last is the next block's v0. Differentiable in u, v0 and the parameters, as
        often as f is: backward and forward mode.

    Raises:
        ValueError, TypeError: shapes, dtypes or devices that don't match; f that returns another shape.

    >>> nonlinear_recurrence(torch.tanh, torch.ones(3, 1)).flatten()
    tensor([1.0000, 1.7616, 1.9427])
    """
    u, v0 = in_float32(u, v0)
    check_signal("u", u, dtypes=REAL)
    if u.dim() < 2 or u.shape[-1] == 0:
        raise ValueError(f"u must have shape (..., time, N), N at least 1, got {tuple(u.shape)}")
    if not callable(f):
        raise TypeError(f"f must be a function of the state, got {type(f).__name__}")
    if not isinstance(parameters, (tuple, list)):
        raise TypeError(f"parameters must be a tuple of tensors, got {type(parameters).__name__}")
    for i, parameter in enumerate(parameters):
        check_signal(f"parameters[{i}]", parameter, u)
    initial = state_rows("v0", v0, u[..., 0], u.shape[-1])
    rows = initial.shape[0]
    if rows:
        _check_returned(f(initial[0], *parameters), initial[0])
    each = (parameter.expand(rows, *parameter.shape) for parameter in parameters)
    signal = u.reshape(rows, *u.shape[-2:])
    return NonlinearRecurrence.apply(signal, initial, f, *each).reshape(u.shape) if signal.numel() else u


def _check_returned(returned, state: Tensor) -> None:
    if not isinstance(returned, Tensor):
        raise TypeError(f"f must return a tensor, got {type(returned).__name__}")
    if returned.shape != state.shape:
        raise ValueError(f"f must return the shape of its state, {tuple(state.shape)}, got {tuple(returned.shape)}")
    if returned.dtype != state.dtype:
        raise TypeError(f"f must return the dtype of its state, {state.dtype}, got {returned.dtype}")


class NonlinearRecurrence(RowFunction):
    """(u, v0, parameters, each with a row for each signal) → v."""

    @staticmethod
    def forward(u, v0, f, *parameters):
        step, state, states = vmap(f), v0, []
        with torch.no_grad():  # f may hold tensors that need gradients, which are not given it as parameters
            for drive in u.unbind(1):
                state = step(state, *parameters) + drive
                states.append(state)
        return torch.stack(states, 1)

    @staticmethod
    def setup_context(ctx, inputs, output):
        _, v0, ctx.f, *parameters = inputs
        ctx.save_for_backward(v0, output, *parameters)
        ctx.save_for_forward(v0, output, *parameters)

    @staticmethod
    def backward(ctx, g):
        v0, v, *parameters = ctx.saved_tensors
        before = states_before(v0, v)
        _, du, dv0 = DenseRecurrenceAdjoint.apply(g, _jacobians(ctx.f, before, parameters), v0, v, False)
        along = pull_back(lambda *p: (_steps(ctx.f, before, p),), parameters, (du,)) if parameters else ()
        return du, dv0, None, *along

    @staticmethod
    def tangent(ctx, saved, du, dv0, _, *moving):
        v0, v, *parameters = saved
        before = states_before(v0, v)
        drive = torch.zeros_like(v) if du is None else du
        if any(tangent is not None for tangent in moving):
            drive = drive + push_forward(lambda *p: (_steps(ctx.f, before, p),), parameters, moving)[0]
        start = torch.zeros_like(v0) if dv0 is None else dv0
        return DenseRecurrence.apply(_jacobians(ctx.f, before, parameters), drive, start)


def _steps(f: Step, states: Tensor, parameters: Sequence[Tensor]) -> Tensor:
    """f of every state `(rows, time, N)`, with its row's parameters."""
    return vmap(vmap(f, (0, *[None] * len(parameters))))(states, *parameters)


def _jacobians(f: Step, states: Tensor, parameters: Sequence[Tensor]) -> Tensor:
    """∂f/∂v at every state, `(rows, time, N, N)`."""
    return _steps(jacrev(f), states, parameters)
