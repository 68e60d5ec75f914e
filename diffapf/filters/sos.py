"""Second-order sections in series, and their derivatives.

Each section is the transposed direct form II of `iir.py`. A pass of the kernel runs the whole cascade, sample by sample; a
pass of its adjoint runs back through it, section by section, and keeps of the signals inside only those between sections.
"""

from __future__ import annotations

import torch
from torch import Tensor

from diffapf.filters._checks import any_zero
from diffapf.filters._composition import pull_back, push_forward
from diffapf.filters._rows import RowFunction, check_flag, check_signal, in_float32, state_rows, to_rows, unfilled
from diffapf.filters.control_rate import ControlRate, Timing, coefficient_rows
from diffapf.filters.iir import transposed_form_2
from diffapf.kernels import run

SECTIONS_TOGETHER = 6  # whose coefficients fit the registers


def sosfilt(
    sos: Tensor,
    x: Tensor,
    zi: Tensor | None = None,
    return_zf: bool = False,
    hop: float | ControlRate | None = None,
) -> Tensor | tuple[Tensor, Tensor]:
    """Filters `x` by second-order sections in series, each (b₀ + b₁ z⁻¹ + b₂ z⁻²)/(a₀ + a₁ z⁻¹ + a₂ z⁻²).

    With fixed coefficients this is `scipy.signal.sosfilt`, along the last dimension.

    Args:
        sos: the rows (b₀, b₁, b₂, a₀, a₁, a₂), each divided by its a₀: `(S, 6)` or `(..., S, 6)` fixed;
            `(..., time, S, 6)` one cascade a sample; `(..., frames, S, 6)` with `hop`.
        x: the signal, `(..., time)`.
        zi: each section's two registers before the first sample, `(..., S, 2)`; zeros by default. (SciPy has the
            sections first.)
        return_zf: also return the registers after the last sample: the next block's `zi`.
        hop: samples a frame of `sos`, or a `ControlRate`.

    Returns:
        y of the shape of x, or (y, zf).

    Raises:
        ValueError: an a₀ is zero; shapes or devices that don't match.
        TypeError: dtypes that don't match.

    Differentiable in sos, x and zi: backward and forward mode, to any order, and under `torch.func` transforms.

    >>> one_pole = torch.tensor([[1.0, 0.0, 0.0, 1.0, -0.5, 0.0]])
    >>> sosfilt(torch.cat([one_pole, one_pole]), torch.tensor([1.0, 0.0, 0.0]))
    tensor([1.0000, 1.0000, 0.7500])
    """
    x, sos, zi = in_float32(x, sos, zi)
    check_signal("x", x)
    check_flag("return_zf", return_zf)
    check_signal("sos", sos, x)
    if sos.dim() < 2 or sos.shape[-1] != 6:
        raise ValueError(f"sos must have shape (..., sections, 6), got {tuple(sos.shape)}")
    sections = sos.shape[-2]
    flat, timing = coefficient_rows("sos, its last two dimensions as one,", sos.flatten(-2), x, hop)
    rows = flat.unflatten(-1, (sections, 6))
    leading = rows[..., 3:4]
    if any_zero(leading):
        raise ValueError("sos[..., 3], the a₀ of each section, must not be 0: the section is divided by it")
    if zi is not None:
        check_signal("zi", zi, x)
        if zi.shape[-2:] != (sections, 2):
            raise ValueError(f"zi must have shape {(*x.shape[:-1], sections, 2)}, got {tuple(zi.shape)}")
        zi = zi.flatten(-2)
    initial = state_rows("zi", zi, x, 2 * sections).unflatten(-1, (sections, 2))
    y, states = to_rows(x), []
    normalised = torch.cat([rows[..., :3], rows[..., 4:]], -1) / leading
    for k in range(0, sections, SECTIONS_TOGETHER):
        some = slice(k, k + SECTIONS_TOGETHER)
        y, state, _ = Cascade.apply(y, normalised[:, :, some], initial[:, some], timing)
        states.append(state)
    zf = torch.cat([initial[:, :0], *states], 1)
    y = y.reshape(x.shape)
    return (y, zf.reshape(*x.shape[:-1], sections, 2)) if return_zf else y


class Cascade(RowFunction):
    """(x, sos, zi) → (y, zf), and the signals between the sections, which the adjoint reads."""

    @staticmethod
    def forward(x, sos, zi, timing):
        y, zf = unfilled(x), unfilled(zi)
        between = x.new_empty(*x.shape, sos.shape[2] - 1)
        run("sos_cascade", x, sos, timing, zi, out=(y, zf, between))
        return y, zf, between

    @staticmethod
    def setup_context(ctx, inputs, output):
        *tensors, ctx.timing = inputs
        y, _, between = output
        ctx.mark_non_differentiable(between)
        ctx.save_for_backward(*tensors, y, between)
        ctx.save_for_forward(*tensors)

    @staticmethod
    def backward(ctx, g, gzf, _):
        wanted = ctx.needs_input_grad[1]
        dx, dsos, dzi = CascadeAdjoint.apply(g, gzf, *ctx.saved_tensors, ctx.timing, wanted)
        return dx, dsos if wanted else None, dzi, None

    @staticmethod
    def tangent(ctx, saved, *tangents):
        return *push_forward(_composition(ctx.timing), saved[:3], tangents[:3]), None


class CascadeAdjoint(RowFunction):
    """(∂L/∂y, ∂L/∂zf, x, sos, zi, and y and the signals between of them) → (dx, dsos, dzi); no frames if not wanted."""

    @staticmethod
    def forward(g, gzf, x, sos, zi, y, between, timing, with_sos):
        results = tuple(unfilled(like) for like in (x, sos if with_sos else sos[:, :0], zi))
        x, sos, zi, y, between = (tensor.conj() for tensor in (x, sos, zi, y, between))
        run("sos_cascade_adjoint", g, gzf, x, sos, timing, zi, y, between, out=results)
        return results

    @staticmethod
    def setup_context(ctx, inputs, output):
        g, gzf, x, sos, zi, _, _, ctx.timing, ctx.with_sos = inputs
        ctx.save_for_backward(g, gzf, x, sos, zi)
        ctx.save_for_forward(g, gzf, x, sos, zi)

    @staticmethod
    def backward(ctx, *along):
        return *pull_back(_adjoint_composition(ctx), ctx.saved_tensors, along), None, None, None, None

    @staticmethod
    def tangent(ctx, saved, *tangents):
        return push_forward(_adjoint_composition(ctx), saved, tangents[: len(saved)])


def _composition(timing: Timing):
    def run_sections(x, sos, zi):
        states = []
        for k in range(sos.shape[2]):
            x, state = transposed_form_2(x, sos[:, :, k, :3], sos[:, :, k, 3:], zi[:, k], timing)
            states.append(state)
        return x, torch.stack(states, 1)

    return run_sections


def _adjoint_composition(ctx):
    """The signals that the kernel reads are functions of the other inputs: here they are made of them again."""

    def run_adjoint(g, gzf, *inputs):
        dx, dsos, dzi = pull_back(_composition(ctx.timing), inputs, (g, gzf))
        return dx, dsos if ctx.with_sos else dsos[:, :0], dzi

    return run_adjoint
