"""First-order all-passes in series inside a feedback loop without delay, and their derivatives: a phaser's heart.

    e[n]  = x[n] + f[n]
    yₖ[n] = p[n] (yₖ₋₁[n] + yₖ[n−1]) − yₖ₋₁[n−1],  k = 1 … K,  y₀ = e,  w = y_K
    f[n]  = c₀ w[n−d] + c₁ w[n−1−d] + a f[n−1],  d = 0 or 1

For d = 0 each sample is an equation, not an assignment: e depends on w, which depends on e. The stages are affine in e,
w = pᴷ e + S with S from the past alone, so e = (x + … + c₀ S)/(1 − c₀ pᴷ): exact, no sample of delay is smuggled in.

Written as M z = s for all signals z = (e, y₁ … y_K, f) and a source s in each equation, every derivative is the same
system, forward or backward in time:
    tangent    M ż = ṡ − Ṁ z        adjoint    Mᵀ λ = ∂L/∂z,   ∂L/∂s = λ,   ∂L/∂θ = −⟨λ, (∂M/∂θ) z⟩

Stages as stages are accurate in float32 at any break frequency. As one direct-form filter of order K they are not: its K
coincident poles move by ε^(1/K) when its coefficients are rounded by ε, in float32 by 0.016 for K = 4: p > 0.98 is lost.

Source: Yu et al., DAFx 2024, section 4.1 (the model); the solution per sample and its adjoint are this project's.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

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
from diffapf.filters.control_rate import ControlRate, coefficient_rows
from diffapf.filters.fir import FIR, FIROuter
from diffapf.kernels import run, segments_of
from diffapf.kernels.reference import initial_state_gradient, loop_inputs, stage_inputs

MOST_STAGES = 16  # each compiled into the kernels, by a compiler that recurses


def allpass_cascade(
    x: Tensor,
    p: Tensor | None = None,
    stages: int = 4,
    c0: Tensor | float = 0.0,
    c1: Tensor | float = 0.0,
    a: Tensor | float = 0.0,
    loop_delay: int = 0,
    zi: Tensor | None = None,
    return_zf: bool = False,
    artanh_p: Tensor | None = None,
    hop: float | ControlRate | None = None,
    through: Tensor | float = 0.0,
) -> Tensor | tuple[Tensor, Tensor]:
    """Passes `x` through K first-order all-passes with feedback around them; see the module for the equations.

    Args:
        x: the signal, `(..., time)`, float32 or float64.
        p: the all-pass coefficient at each sample, the pole, |p| < 1: of x's shape, or broadcast to it.
            A break frequency of f Hz is p = (1 − t)/(1 + t), t = tan(πf/sample_rate).
        stages: K, 1 to 16.
        c0, c1, a: the loop filter (c₀ + c₁ z⁻¹)/(1 − a z⁻¹), each a number or one for each signal `(...)`.
            c₀ alone is a loop gain; stable for |c₀| < 1.
        loop_delay: 0 or 1 samples.
        zi: the state `(..., K+3)`: e, y₁ … y_K and f at −1, and w at −2; zeros by default.
        return_zf: also return the state after the last sample: the next block's `zi`.
        artanh_p, hop: instead of p, its artanh at the control rate, `(..., frames)`, and samples a frame, or a
            `ControlRate`. artanh p = −½ log t is what is interpolated: p stays within the unit circle, and a break
            frequency moves by equal ratios.

        through: how much of x is added to w, a number or one for each signal `(...)`: a phaser's dry path, for the price
            of w alone.

    Returns:
        w + through·x, of the shape of x, or (that, zf).

    Raises:
        ValueError, TypeError: shapes, dtypes or devices that don't match; the message says what is needed.

    >>> impulse = torch.tensor([1.0, 0.0, 0.0])
    >>> allpass_cascade(impulse, torch.tensor(0.5), stages=1)
    tensor([ 0.5000, -0.7500, -0.3750])
    """
    x, p, c0, c1, a, zi, artanh_p, through = in_float32(x, p, c0, c1, a, zi, artanh_p, through)
    check_signal("x", x, dtypes=REAL)
    check_flag("return_zf", return_zf)
    if not isinstance(stages, int) or isinstance(stages, bool) or not 1 <= stages <= MOST_STAGES:
        raise ValueError(f"stages must be an integer from 1 to {MOST_STAGES}, got {stages!r}")
    if not isinstance(loop_delay, int) or loop_delay not in (0, 1):
        raise ValueError(f"loop_delay must be 0 or 1 samples, got {loop_delay!r}")
    coefficient = _audio_rate(x, p, artanh_p, hop)
    signal, state = to_rows(x), state_rows("zi", zi, x, stages + 3)
    loop = loop_rows(x, c0, c1, a, loop_delay)
    y, zf, _ = AllpassOutput.apply(signal, coefficient, loop, number_rows("through", through, x), state)
    y = y.reshape(x.shape)
    return (y, zf.reshape(*x.shape[:-1], stages + 3)) if return_zf else y


def _audio_rate(x: Tensor, p: Tensor | None, artanh_p: Tensor | None, hop: float | ControlRate | None) -> Tensor:
    """p of each sample, `(rows, time)`."""
    if p is not None and artanh_p is None and hop is None:
        check_signal("p", p, x)
        try:
            return to_rows(p.expand(x.shape))
        except RuntimeError:
            wanted = f"x's shape {tuple(x.shape)} or broadcast to it"
            raise ValueError(f"p must have {wanted}, got {tuple(p.shape)}") from None
    if p is not None or artanh_p is None or hop is None:
        raise ValueError("give either p, a coefficient a sample, or artanh_p and hop, a coefficient a frame")
    check_signal("artanh_p", artanh_p, x)
    frames = artanh_p.expand(*x.shape[:-1], -1) if artanh_p.dim() == 1 else artanh_p
    rows, timing = coefficient_rows("artanh_p, with a last dimension of 1,", frames[..., None], x, hop)
    return TanhOfFrames.apply(rows[:, :, 0], timing, x.shape[-1])


def loop_rows(x: Tensor, c0, c1, a, loop_delay: int) -> Tensor:
    """The loop filter of each row as the kernels take it: (q₀, q₁, q₂, a)."""
    taps = [number_rows("c0", c0, x), number_rows("c1", c1, x)]
    nothing = torch.zeros_like(taps[0])
    taps = [nothing, *taps] if loop_delay else [*taps, nothing]
    return torch.stack([*taps, number_rows("a", a, x)], 1)


def _final_state(z: Tensor, zi: Tensor) -> Tensor:
    if z.shape[1] == 0:
        return zi
    stages = z.shape[2] - 2
    w2 = z[:, -2, stages] if z.shape[1] > 1 else zi[:, stages]
    return torch.cat([z[:, -1], w2[:, None]], 1)


def _output_by_signals(x: Tensor, p: Tensor, loop: Tensor, through: Tensor, zi: Tensor) -> tuple[Tensor, Tensor]:
    """The output and the final state, of all signals: what derivatives beyond the first are taken of."""
    z, w = AllpassLoop.apply(x[:, :, None], p, loop, zi)
    return through[:, None] * x + w, _final_state(z, zi)


class AllpassOutput(RowFunction):
    """(x, p, loop, through, zi) → (w + through·x, zf), and states on the way, from which the adjoint goes back.

    No signal but the output is kept.
    """

    TAKES_NO_GRADIENT = True

    @staticmethod
    def forward(x, p, loop, through, zi):
        y = unfilled(x)
        ends = zi.new_empty(zi.shape[0], segments_of(*p.shape), zi.shape[1], dtype=torch.float64)
        run("allpass_output", x, p, loop, through, zi, out=(y, ends))
        return y, ends[:, -1].to(zi.dtype, copy=True), ends

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.mark_non_differentiable(output[2])
        ctx.save_for_backward(*inputs, output[0], output[2])
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx, gy, gzf, _):
        if gy is None and gzf is None:
            return (None,) * 5
        saved = ctx.saved_tensors  # once: a checkpoint lets nobody read them twice
        if gzf is None:
            return AllpassOutputAdjoint.apply(gy, *saved)
        gy = torch.zeros_like(saved[0]) if gy is None else gy
        return pull_back(_output_by_signals, saved[:5], (gy, gzf))

    @staticmethod
    def tangent(ctx, saved, dx, dp, dloop, dthrough, dzi):
        x, p, loop, through, zi = saved
        z, _ = AllpassLoop.apply(x[:, :, None], p, loop, zi)
        moving = (x[:, :0] if each is None else each for each in (dx, dp))
        numbers = _or_zeros(dloop, loop), _or_zeros(dthrough, through), _or_zeros(dzi, zi)
        return *AllpassOutputTangent.apply(*moving, *numbers, x, p, loop, through, z, zi), None


class AllpassOutputAdjoint(RowFunction):
    """(∂L/∂y, the arguments of `AllpassOutput`, what it kept) → the gradients of (x, p, loop, through, zi), in one pass."""

    @staticmethod
    def forward(g, x, p, loop, through, zi, y, ends):
        results = tuple(unfilled(like) for like in (g, p, loop, through, zi))
        run("allpass_output_adjoint", g, x, p, loop, through, zi, y, ends, out=results)
        return results

    # what was kept is a function of the arguments: here it is made of them again

    @staticmethod
    def backward(ctx, *along):
        return *pull_back(_output_gradients, ctx.saved_tensors[:6], along), None, None

    @staticmethod
    def tangent(ctx, saved, *tangents):
        return push_forward(_output_gradients, saved[:6], tangents[:6])


def _output_gradients(g, *inputs):
    return pull_back(_output_by_signals, inputs, (g, torch.zeros_like(inputs[-1])))


class AllpassOutputTangent(RowFunction):
    """(ẋ, ṗ, the tangents of loop, through and zi, x, p, loop, through, z, zi) → the tangents of (y, zf).

    ẋ and ṗ have no samples where x or p stands still.
    """

    COEFFICIENTS = (5, 6, 7, 8, 9, 10)

    @staticmethod
    def forward(dx, dp, dloop, dthrough, dzi, x, p, loop, through, z, zi):
        results = dzi.new_empty(dzi.shape[0], p.shape[1]), unfilled(dzi)
        run("allpass_output_tangent", dx, dp, dloop, dthrough, dzi, x, p, loop, through, z, zi, out=results)
        return results

    @staticmethod
    def backward(ctx, *gradients):
        return pull_back(_tangent_by_signals, ctx.saved_tensors, gradients)

    @staticmethod
    def tangent(ctx, saved, *tangents):
        return push_forward(_tangent_by_signals, saved, tangents)


def _tangent_by_signals(dx, dp, dloop, dthrough, dzi, *inputs):
    """M ż = ṡ − Ṁ z of all signals, and the dry path's part."""
    shares = dzi.shape[0] // inputs[1].shape[0]
    x, p, loop, through, z, zi = (each.repeat(shares, *[1] * (each.dim() - 1)) for each in inputs)
    s = _sources(dp if dp.shape[1] else torch.zeros_like(p), dloop, z, zi)
    if dx.shape[1]:
        s = s + pad(dx[:, :, None], (0, z.shape[2] - 1))
    dz, dw = AllpassLoop.apply(s, p, loop, dzi)
    dy = dw + dthrough[:, None] * x
    return dy + through[:, None] * dx if dx.shape[1] else dy, _final_state(dz, dzi)


class AllpassLoop(RowFunction):
    """(s, p, loop, zi) → (z, w): M z = s, w = y_K. s is `(rows, time, 1)`, the input, or has K+2 sources."""

    TAKES_NO_GRADIENT = True

    @staticmethod
    def forward(s, p, loop, zi):
        z = s.new_empty(*p.shape, zi.shape[1] - 1)
        w = s.new_empty(p.shape)
        run("allpass", s, p, loop, zi, out=(z, w))
        return z, w

    @staticmethod
    def setup_context(ctx, inputs, output):
        s, p, loop, zi = inputs
        ctx.input_only = s.shape[2] == 1
        ctx.save_for_backward(p, loop, zi, output[0])
        ctx.save_for_forward(p, loop, zi, output[0])

    @staticmethod
    def backward(ctx, gz, gw):
        p, loop, zi, z = ctx.saved_tensors
        if gz is None and gw is None:
            return None, None, None, None
        g = _all_equations(gw, z) if gz is None else gz if gw is None else gz + _all_equations(gw, z)
        adjoint = AllpassTranspose.apply(g, p, loop)
        dp, dloop = _parameter_gradients(adjoint, z, zi)
        ds = adjoint[:, :, :1] if ctx.input_only else adjoint
        return ds, dp, dloop, initial_state_gradient(adjoint, p, loop)

    @staticmethod
    def tangent(ctx, saved, ds, dp, dloop, dzi):
        p, loop, zi, z = saved
        s = torch.zeros_like(z)
        if ds is not None:
            s = s + (pad(ds, (0, z.shape[2] - 1)) if ctx.input_only else ds)
        if dp is not None or dloop is not None:
            s = s + _sources(_or_zeros(dp, p), _or_zeros(dloop, loop), z, zi)
        return AllpassLoop.apply(s, p, loop, _or_zeros(dzi, zi))


class AllpassTranspose(RowFunction):
    """(g, p, loop) → λ: Mᵀ λ = g, backward in time."""

    @staticmethod
    def forward(g, p, loop):
        adjoint = unfilled(g)
        run("allpass_transpose", g, p, loop, out=(adjoint,))
        return adjoint

    @staticmethod
    def setup_context(ctx, inputs, output):
        _, p, loop = inputs
        ctx.save_for_backward(p, loop, output)
        ctx.save_for_forward(p, loop, output)

    @staticmethod
    def backward(ctx, c):
        p, loop, adjoint = ctx.saved_tensors
        rest = torch.zeros_like(c[:, 0, :1]).expand(-1, c.shape[2] + 1)
        v, _ = AllpassLoop.apply(c, p, loop, rest)
        return v, *_parameter_gradients(adjoint, v, rest)

    @staticmethod
    def tangent(ctx, saved, dg, dp, dloop):
        p, loop, adjoint = saved
        g = _or_zeros(dg, adjoint)
        if dp is not None or dloop is not None:
            g = g + _transposed_sources(_or_zeros(dp, p), _or_zeros(dloop, loop), adjoint)
        return AllpassTranspose.apply(g, p, loop)


def _all_equations(gw: Tensor, z: Tensor) -> Tensor:
    """A gradient of w alone as one of all the signals."""
    return pad(gw[:, :, None], (z.shape[2] - 2, 1))


def _sources(dp: Tensor, dloop: Tensor, z: Tensor, zi: Tensor) -> Tensor:
    """−Ṁ z: what a change of the parameters adds to each equation."""
    stages = dp[:, :, None] * stage_inputs(z, zi)
    loop = (dloop[:, None] * loop_inputs(z, zi)).sum(-1, keepdim=True)
    return torch.cat([torch.zeros_like(loop), stages, loop], -1)


def _transposed_sources(dp: Tensor, dloop: Tensor, adjoint: Tensor) -> Tensor:
    """−Ṁᵀ λ."""
    later, dp_later = pad(adjoint[:, 1:], (0, 0, 0, 1)), pad(dp[:, 1:], (0, 1))
    own_memory = pad(dp_later[:, :, None] * later[:, :, 1:-1], (1, 0))
    next_stage = pad(dp[:, :, None] * adjoint[:, :, 1:-1], (0, 1))
    f, f1 = adjoint[:, :, -1], later[:, :, -1]
    f2 = pad(f1[:, 1:], (0, 1))
    q = dloop[:, None]
    into_w = q[:, :, 0] * f + q[:, :, 1] * f1 + q[:, :, 2] * f2
    stages = own_memory + next_stage + pad(into_w[:, :, None], (adjoint.shape[2] - 2, 0))
    return torch.cat([stages, (q[:, :, 3] * f1)[:, :, None]], -1)


def _parameter_gradients(adjoint: Tensor, z: Tensor, zi: Tensor) -> tuple[Tensor, Tensor]:
    """−⟨λ, (∂M/∂θ) z⟩ for p and the loop."""
    dp = (adjoint[:, :, 1:-1] * stage_inputs(z, zi)).sum(-1)
    return dp, (adjoint[:, :, -1:] * loop_inputs(z, zi)).sum(1)


class TanhOfFrames(RowFunction):
    """v `(rows, frames)` → tanh of v at each sample, interpolated."""

    @staticmethod
    def forward(v, timing, time):
        p = v.new_empty(v.shape[0], time)
        run("tanh_of_frames", v, timing, out=(p,))
        return p

    @staticmethod
    def setup_context(ctx, inputs, output):
        v, ctx.timing, ctx.time = inputs
        ctx.save_for_backward(v, output)
        ctx.save_for_forward(output)

    @staticmethod
    def backward(ctx, g):
        return TanhOfFramesAdjoint.apply(g, *ctx.saved_tensors, ctx.timing), None, None

    @staticmethod
    def tangent(ctx, saved, dv, *_):
        return TanhOfFramesTangent.apply(dv, *saved, ctx.timing)


class TanhOfFramesTangent(RowFunction):
    """(v̇, p) → ṗ = (1 − p²) v̇ at each sample, interpolated."""

    COEFFICIENTS = (1,)
    OPTIONS = ("timing",)

    @staticmethod
    def forward(dv, p, timing):
        dp = p.new_empty(dv.shape[0], p.shape[1])
        run("tanh_of_frames_tangent", dv, p, timing, out=(dp,))
        return dp

    @staticmethod
    def backward(ctx, g):
        return *pull_back(_tangent_of_frames(ctx.timing), ctx.saved_tensors, (g,)), None

    @staticmethod
    def tangent(ctx, saved, ddv, dp, _):
        return push_forward(_tangent_of_frames(ctx.timing), saved, (ddv, dp))[0]


class TanhOfFramesAdjoint(RowFunction):
    """(g, v, p of it) → the gradient of v: g (1 − p²), summed into the frames."""

    @staticmethod
    def forward(g, v, p, timing):
        dv = unfilled(v)
        run("tanh_of_frames_adjoint", g, p, timing, out=(dv,))
        return dv

    @staticmethod
    def setup_context(ctx, inputs, output):
        g, v, _, ctx.timing = inputs
        ctx.save_for_backward(g, v)
        ctx.save_for_forward(g, v)

    @staticmethod
    def backward(ctx, along):
        return *pull_back(_gradient_of_frames(ctx.timing), ctx.saved_tensors, (along,)), None, None

    @staticmethod
    def tangent(ctx, saved, dg, dv, *_):
        return push_forward(_gradient_of_frames(ctx.timing), saved, (dg, dv))[0]


def _at_samples(v: Tensor, timing: tuple[float, float], time: int) -> Tensor:
    return FIR.apply(v.new_ones(v.shape[0], time), v[:, :, None], timing)


def _tangent_of_frames(timing: tuple[float, float]):
    def tangent(dv, p):
        slope = (1 - p.square()).repeat(dv.shape[0] // p.shape[0], 1)
        return (slope * _at_samples(dv, timing, p.shape[1]),)

    return tangent


def _gradient_of_frames(timing: tuple[float, float]):
    def gradient(g, v):
        of_sum = g * (1 - torch.tanh(_at_samples(v, timing, g.shape[1])).square())
        return (FIROuter.apply(of_sum, torch.ones_like(g), timing, v.shape[1])[:, :, 0],)

    return gradient


def _or_zeros(tangent: Tensor | None, like: Tensor) -> Tensor:
    return torch.zeros_like(like) if tangent is None else tangent
