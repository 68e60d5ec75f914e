"""The photocell of a levelling amplifier: two stages in a feedback loop, from a signal to its gain; and its derivatives.

The signal drives a lamp, which lights a photocell; its carriers c₁, and what it holds for longer, c₂, shunt the signal::

    c = (1 − w) c₁ + w c₂,  ĝ = 1/(1 + c^q)             conductance and gain, c₁ and c₂ of the sample before in the loop
    u = |x[n]| ĝ[n−1]^φ / T                             φ = 0: fed forward, 1: the level after the cell
    ℓ = u^p  or  ℓ = B exp(−1/√u)                       lamp: a power law, or an electroluminescent panel's
    c₁ ← c₁ + α (ℓ − c₁),  α = a (1 + s c₁)/(1 + a s c₁)   a = attack if ℓ > c₁ else release; s: faster where there is light
    c₂ ← c₂ + b (d − c₂)                                b likewise; d = ℓ (parallel) or c₁ (memory);  or, of traps,
    c₂ ← (c₂ + b c₁)/(1 + b c₁ + b′)                    filled by the carriers up to 1, emptied by the release b′

Derivatives run the linear recursion of the Jacobians J[n] = ∂(c₁, c₂)[n]/∂(c₁, c₂)[n−1], decisions held: the
tangent forward, the adjoint h[n] = ∂L/∂c[n] + J[n+1]ᵀ h[n+1] backward.

Source: fast and slow release, the T4 cell as the LA-2A's manual describes it; the lamp, Alfrey and Taylor, Proc. Phys. Soc.
B 68, 1955; carriers and traps, Rose, "Concepts in Photoconductivity and Allied Problems", 1963.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from diffapf.filters._composition import pull_back, push_forward
from diffapf.filters._rows import (
    REAL,
    RowFunction,
    check_flag,
    check_signal,
    in_float32,
    number_rows,
    state_rows,
    to_rows,
    unfilled,
)
from diffapf.filters.state_space import DenseRecurrence, DenseRecurrenceAdjoint, states_before
from diffapf.kernels import run
from diffapf.kernels.reference import cell_gain, cell_step

LAMPS = ("power", "electroluminescent")
SLOW_STAGES = ("parallel", "memory", "traps")


def optical_cell(
    x: Tensor,
    threshold: Tensor | float,
    lamp_number: Tensor | float,
    feedback: Tensor | float,
    curve: Tensor | float,
    attack: Tensor | float,
    release: Tensor | float,
    speed: Tensor | float = 0.0,
    share: Tensor | float = 0.0,
    slow_attack: Tensor | float = 0.0,
    slow_release: Tensor | float = 0.0,
    lamp: str = "power",
    slow: str = "memory",
    zi: Tensor | None = None,
    return_zf: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """The gain ĝ that a levelling amplifier's cell takes from its input; see the module for the equations.

    Args:
        x: the signal, `(..., time)`.
        threshold: T > 0, the level at which u is 1; a number or one for each signal `(...)`, as are all that follow.
        lamp_number: p > 0 of lamp="power"; B > 0 of lamp="electroluminescent".
        feedback: φ ≥ 0.
        curve: q > 0.
        attack, release: 0 < a ≤ 1, the share of the way that a sample goes.
        speed: s ≥ 0.
        share: 0 ≤ w ≤ 1, the slow stage's part.
        slow_attack, slow_release: 0 ≤ b ≤ 1.
        lamp: "power" or "electroluminescent".
        slow: what the second stage is, "parallel", "memory" or "traps".
        zi: (c₁, c₂) ≥ 0 before the first sample, `(..., 2)`; zeros, darkness, by default.
        return_zf: also return (c₁, c₂) after the last: the next block's `zi`.

    Returns:
        ĝ of the shape of x, after each sample's light, or (ĝ, zf). Differentiable in all tensors, decisions held:
        backward and forward mode, to any order, and under `torch.func` transforms.

    Raises:
        ValueError, TypeError: shapes, dtypes or devices that don't match; a lamp or a slow stage that there is not.

    >>> optical_cell(torch.ones(3), 0.1, 1.0, 0.5, 1.0, attack=0.01, release=0.001)
    tensor([0.9091, 0.8373, 0.7789])
    """
    values = (threshold, lamp_number, feedback, curve, attack, release, speed, share, slow_attack, slow_release)
    x, zi, *values = in_float32(x, zi, *values)
    check_signal("x", x, dtypes=REAL)
    check_flag("return_zf", return_zf)
    for name, value, choices in (("lamp", lamp, LAMPS), ("slow", slow, SLOW_STAGES)):
        if not isinstance(value, str) or value not in choices:
            raise ValueError(f"{name} must be one of {', '.join(choices)}, got {value!r}")
    numbers = [number_rows(name, value, x) for name, value in zip(NAMES, values, strict=True)]
    initial = state_rows("zi", zi, x, 2)
    states = OpticalCell.apply(to_rows(x), stacked(numbers, lamp), initial, kind_of(lamp, slow))
    gain = cell_gain(states, numbers[3][:, None], numbers[7][:, None]).reshape(x.shape)
    if not return_zf:
        return gain
    return gain, (states[:, -1] if states.shape[1] else initial).reshape(*x.shape[:-1], 2)


NAMES = (
    *("threshold", "lamp_number", "feedback", "curve", "attack", "release", "speed", "share"),
    *("slow_attack", "slow_release"),
)


def stacked(numbers: Sequence[Tensor], lamp: str) -> Tensor:
    """The numbers in the order of `NAMES` as the operator takes them, `(..., 10)`."""
    threshold, lamp_number, *others = numbers
    if lamp == "electroluminescent":
        lamp_number = torch.log(lamp_number)
    return torch.stack([torch.log(threshold), lamp_number, *others], -1)


def kind_of(lamp: str, slow: str) -> tuple[float, float]:
    return float(LAMPS.index(lamp)), float(SLOW_STAGES.index(slow))


class OpticalCell(RowFunction):
    """(x, numbers, zi) → states (c₁, c₂), `(rows, time, 2)`; the numbers of a row as in `reference.py`."""

    @staticmethod
    def forward(x, numbers, zi, kind):
        states = x.new_empty(*x.shape, 2)
        run("optical_cell", x, numbers, zi, kind, out=(states,))
        return states

    @staticmethod
    def setup_context(ctx, inputs, output):
        *tensors, ctx.kind = inputs
        ctx.save_for_backward(*tensors, output)
        ctx.save_for_forward(*tensors, output)

    @staticmethod
    def backward(ctx, gradient):
        return *OpticalCellAdjoint.apply(gradient, *ctx.saved_tensors, ctx.kind), None

    @staticmethod
    def tangent(ctx, saved, dx, dnumbers, dzi, _):
        x, numbers, zi, states = saved
        dx = x[:, :0] if dx is None else dx
        dnumbers, dzi = (
            torch.zeros_like(like) if each is None else each for like, each in ((numbers, dnumbers), (zi, dzi))
        )
        return OpticalCellTangent.apply(dnumbers, dzi, dx, x, numbers, zi, states, ctx.kind)


class OpticalCellAdjoint(RowFunction):
    """(∂L/∂states, x, numbers, zi, states) → (dx, dnumbers, dzi)."""

    OPTIONS = ("kind",)

    @staticmethod
    def forward(gradient, x, numbers, zi, states, kind):
        results = unfilled(x), unfilled(numbers), unfilled(zi)
        run("optical_cell_adjoint", gradient, x, numbers, zi, states, kind, out=results)
        return results

    @staticmethod
    def backward(ctx, *along):
        return *pull_back(_adjoint_composition(ctx.kind), ctx.saved_tensors, along), None

    @staticmethod
    def tangent(ctx, saved, *tangents):
        return push_forward(_adjoint_composition(ctx.kind), saved, tangents[:-1])


class OpticalCellTangent(RowFunction):
    """(the tangents of the numbers, zi and x; x, numbers, zi, states) → the states'; of an x at rest, no samples."""

    COEFFICIENTS = (3, 4, 5, 6)
    OPTIONS = ("kind",)

    @staticmethod
    def forward(dnumbers, dzi, dx, x, numbers, zi, states, kind):
        dstates = x.new_empty(dzi.shape[0], *states.shape[1:])
        run("optical_cell_tangent", dx, dnumbers, dzi, x, numbers, zi, states, kind, out=(dstates,))
        return dstates

    @staticmethod
    def backward(ctx, gradient):
        return *pull_back(_tangent_composition(ctx.kind), ctx.saved_tensors, (gradient,)), None

    @staticmethod
    def tangent(ctx, saved, *tangents):
        return push_forward(_tangent_composition(ctx.kind), saved, tangents[:-1])[0]


def _adjoint_composition(kind):
    """The linear recursion of the Jacobians, backward: at the states, which depend on all else themselves."""

    def adjoint(gradient, x, numbers, zi, states):
        slopes = cell_step(states_before(zi, states), x, numbers, kind)[1]
        _, h, dzi = DenseRecurrenceAdjoint.apply(gradient, slopes[..., :2], zi, states, False)
        along = (h[..., None] * slopes[..., 2:]).sum(2)
        return along[..., -1], along[..., :-1].sum(1), dzi

    return adjoint


def _tangent_composition(kind):
    def tangent(dnumbers, dzi, dx, x, numbers, zi, states):
        directions = dzi.shape[0] // max(x.shape[0], 1)
        x, numbers, zi, states = (each.repeat(directions, *[1] * (each.dim() - 1)) for each in (x, numbers, zi, states))
        slopes = cell_step(states_before(zi, states), x, numbers, kind)[1]
        drive = (slopes[..., 2:-1] * dnumbers[:, None, None]).sum(-1)
        if dx.shape[1]:
            drive = drive + slopes[..., -1] * dx[..., None]
        return (DenseRecurrence.apply(slopes[..., :2], drive, dzi),)

    return tangent
