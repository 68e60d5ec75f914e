"""The compressor's gain smoother: a one-pole that decides at each sample between two rates; and its derivatives.

    y[n] = β[n] g[n] + (1 − β[n]) y[n−1],   β[n] = attack if g[n] < y[n−1] else release

The decisions are constant but where g[n] = y[n−1], so derivatives are those of the time-varying one-pole that they choose:
h[n] = ∂L/∂y[n] + (1 − β[n+1]) h[n+1];  ∂L/∂g = β h;  ∂L/∂β[n] = h[n] (g[n] − y[n−1]), added to the branch taken.

Source: Yu et al., "Differentiable All-pole Filters for Time-varying Audio Systems", DAFx 2024 (compressor).
"""

from __future__ import annotations

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
    to_rows,
    unfilled,
)
from diffapf.filters.allpole import AllPole
from diffapf.kernels import run


def ballistics(
    g: Tensor,
    attack: Tensor | float,
    release: Tensor | float,
    zi: Tensor | float | None = None,
    return_zf: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """Smooths a gain: y[n] = α g[n] + (1 − α) y[n−1], α = attack if g[n] < y[n−1] (the gain falls) else release.

    Args:
        g: the gain that a compressor asks for, `(..., time)`, linear: 1 leaves the signal alone.
        attack, release: the share of the way that a sample goes, 0 < α ≤ 1, a number or one for each signal `(...)`.
            A time constant of t seconds is α = 1 − exp(−1/(t · sample_rate)).
        zi: y[−1], a number or one for each signal; 1, no compression, by default.
        return_zf: also return the last y: the next block's `zi`.

    Returns:
        y of the shape of g, or (y, zf). Differentiable in g, attack, release and zi, the decisions held: backward and
        forward mode, to any order, and under `torch.func` transforms.

    Raises:
        ValueError, TypeError: shapes, dtypes or devices that don't match; a complex signal.

    >>> ballistics(torch.tensor([0.0, 0.0, 1.0]), attack=0.5, release=0.1)
    tensor([0.5000, 0.2500, 0.3250])
    """
    g, attack, release, zi = in_float32(g, attack, release, zi)
    check_signal("g", g, dtypes=REAL)
    check_flag("return_zf", return_zf)
    named = ("attack", attack), ("release", release), ("zi", 1.0 if zi is None else zi)
    at, rt, initial = (number_rows(name, value, g) for name, value in named)
    y = Ballistics.apply(to_rows(g), at, rt, initial)
    if not return_zf:
        return y.reshape(g.shape)
    return y.reshape(g.shape), (y[:, -1] if y.shape[1] else initial).reshape(g.shape[:-1])


class Ballistics(RowFunction):
    """(g, attack, release, zi) → y."""

    @staticmethod
    def forward(g, at, rt, zi):
        y = unfilled(g)
        run("ballistics", g, at, rt, zi, out=(y,))
        return y

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs, output)
        ctx.save_for_forward(*inputs, output)

    @staticmethod
    def backward(ctx, gradient):
        with_g = ctx.needs_input_grad[0] or not gradient.is_cpu  # the GPU's kernel writes it always
        dg, *others = BallisticsAdjoint.apply(gradient, *ctx.saved_tensors, with_g)
        return dg if ctx.needs_input_grad[0] else None, *others

    @staticmethod
    def tangent(ctx, saved, dg, *tangents):
        *inputs, y = saved
        if not y.is_cpu:  # the kernel is Numba's
            return push_forward(_composition(y), inputs, (dg, *tangents))[0]
        # numbers first: a g that stands still has no samples
        moved = (
            torch.zeros_like(like) if each is None else each for like, each in zip(inputs[1:], tangents, strict=True)
        )
        return BallisticsTangent.apply(*moved, y[:, :0] if dg is None else dg, *inputs, y)


class BallisticsTangent(RowFunction):
    """(the tangents of attack, release, zi and g; g, attack, release, zi, y) → y's; of a g that stands still, no samples."""

    COEFFICIENTS = (4, 5, 6, 7, 8)

    @staticmethod
    def forward(dat, drt, dzi, dg, g, at, rt, zi, y):
        dy = y.new_empty(dzi.shape[0], y.shape[1])
        run("ballistics_tangent", dg, dat, drt, dzi, g, at, rt, zi, y, out=(dy,))
        return dy

    @staticmethod
    def backward(ctx, gradient):
        return pull_back(_tangent_composition, ctx.saved_tensors, (gradient,))

    @staticmethod
    def tangent(ctx, saved, *tangents):
        return push_forward(_tangent_composition, saved, tangents)[0]


class BallisticsAdjoint(RowFunction):
    """(∂L/∂y, g, attack, release, zi, y) → (dg, dattack, drelease, dzi); dg has no samples where it is not wanted."""

    OPTIONS = ("with_g",)

    @staticmethod
    def forward(gradient, g, at, rt, zi, y, with_g):
        wanted = g if with_g else g[:, :0], at, rt, zi
        results = tuple(unfilled(like) for like in wanted)
        run("ballistics_adjoint", gradient, g, at, rt, zi, y, out=results)
        return results

    @staticmethod
    def backward(ctx, *along):
        *inputs, y = ctx.saved_tensors
        return *pull_back(_adjoint_composition(y, ctx.with_g), inputs, along), None, None

    @staticmethod
    def tangent(ctx, saved, *tangents):
        *inputs, y = saved
        return push_forward(_adjoint_composition(y, ctx.with_g), inputs, tangents[: len(inputs)])


def _composition(y: Tensor):
    """The one-pole that the decisions in y choose."""

    def one_pole(g, at, rt, zi):
        attack = g < torch.cat([zi[:, None], y], 1)[:, :-1]
        rate = torch.where(attack, at[:, None], rt[:, None])
        return (AllPole.apply(rate * g, (rate - 1)[:, :, None], zi[:, None], None),)

    return one_pole


def _adjoint_composition(y: Tensor, with_g: bool):
    def adjoint(gradient, *inputs):
        dg, *others = pull_back(_composition(y), inputs, (gradient,))
        return (dg if with_g else dg[:, :0]), *others

    return adjoint


def _tangent_composition(dat, drt, dzi, dg, g, at, rt, zi, y):
    """The same one-pole, driven by what moves."""
    directions = dzi.shape[0] // max(g.shape[0], 1)
    g, at, rt, zi, y = (each.repeat(directions, *[1] * (each.dim() - 1)) for each in (g, at, rt, zi, y))
    rise = g - torch.cat([zi[:, None], y], 1)[:, :-1]
    rate, moved = (torch.where(rise < 0, up[:, None], down[:, None]) for up, down in ((at, rt), (dat, drt)))
    drive = moved * rise + rate * dg if dg.shape[1] else moved * rise
    return (AllPole.apply(drive, (rate - 1)[:, :, None], dzi[:, None], None),)
