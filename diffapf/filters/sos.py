"""Second-order sections in series, and their derivatives.

Each section is the transposed direct form II of `iir.py`. A pass of the kernel runs the whole cascade, one of its adjoint
runs back through it. For that, moving sections keep the signals between them. Fixed ones keep their registers between blocks
of samples, from which those signals are computed again.
"""

from __future__ import annotations

import torch
from torch import Tensor

from diffapf.filters._checks import all_finite, any_zero
from diffapf.filters._composition import pull_back, push_forward
from diffapf.filters._rows import RowFunction, check_flag, check_signal, in_float32, state_rows, to_rows, unfilled
from diffapf.filters.control_rate import ControlRate, Timing, coefficient_rows
from diffapf.filters.iir import is_fused, normalised, transposed_form_2
from diffapf.kernels import run

SECTION_ORDER = 2
SECTIONS_TOGETHER = (
    6  # of those at the control rate, and complex ones: their coefficients fit the processor's registers
)
BLOCK = 512  # samples of fixed sections: the signals between six of them fit the nearest cache


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
            `(..., time, S, 6)` one cascade a sample; `(..., frames, S, 6)` with `hop`. In float64 beside a signal of
            float32, so is the cascade inside, `zi` and `zf`.
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
    check_signal("sos", sos)
    like = x
    if (x.dtype, sos.dtype) == (torch.float32, torch.float64):
        like = x.new_empty((), dtype=sos.dtype).expand(x.shape)
    check_signal("sos", sos, like)
    if sos.dim() < 2 or sos.shape[-1] != 6:
        raise ValueError(f"sos must have shape (..., sections, 6), got {tuple(sos.shape)}")
    sections = sos.shape[-2]
    flat, timing = coefficient_rows("sos, its last two dimensions as one,", sos.flatten(-2), like, hop)
    rows = flat.unflatten(-1, (sections, 6))
    fused = is_fused(x, SECTION_ORDER)
    found_by_result = fused and _is_moving(x, timing)
    if not found_by_result:
        _check_leading(rows)
    if zi is not None:
        check_signal("zi", zi, like)
        if zi.shape[-2:] != (sections, 2):
            raise ValueError(f"zi must have shape {(*x.shape[:-1], sections, 2)}, got {tuple(zi.shape)}")
        zi = zi.flatten(-2)
    initial = state_rows("zi", zi, like, 2 * sections).unflatten(-1, (sections, 2))
    run_sections = _sections_together if fused else _one_section_after_another
    y, zf = run_sections(to_rows(x), rows, initial, timing)
    if found_by_result and not all_finite(zf):  # as it is where anything was divided by zero
        _check_leading(rows)
    y = y.reshape(x.shape)
    return (y, zf.reshape(*x.shape[:-1], sections, 2)) if return_zf else y


def _check_leading(sos: Tensor) -> None:
    if any_zero(sos[..., 3]):
        raise ValueError("sos[..., 3], the a₀ of each section, must not be 0: the section is divided by it")


def _sections_together(x: Tensor, sos: Tensor, zi: Tensor, timing: Timing) -> tuple[Tensor, Tensor]:
    """y and zf of rows, by a kernel; where there are many sections for the processor's registers, by more than one."""
    if _is_moving(x, timing):
        y, zf, _ = Cascade.apply(x.to(sos.dtype), sos, zi, timing)
        return y.to(x.dtype), zf
    sos = torch.cat([sos[..., :3], sos[..., 4:]], -1) / sos[..., 3:4]
    if _is_fixed(x, sos, timing):
        y, zf, _ = Cascade.apply(x, sos, zi, timing)
        return y, zf
    y, states = x.to(sos.dtype), [zi[:, :0]]
    for k in range(0, sos.shape[2], SECTIONS_TOGETHER):
        some = slice(k, k + SECTIONS_TOGETHER)
        y, state, _ = Cascade.apply(y, sos[:, :, some], zi[:, some], timing)
        states.append(state)
    return y.to(x.dtype), torch.cat(states, 1)


def _one_section_after_another(x: Tensor, sos: Tensor, zi: Tensor, timing: Timing) -> tuple[Tensor, Tensor]:
    """The same by FIR and all-pole filters, the sections with their a₀ or, normalised, without it.

    It is for devices that have kernels of those alone; and what the derivatives beyond the first are taken of.
    """
    states, dtype, x = [zi[:, :0]], x.dtype, x.to(sos.dtype)
    for k in range(sos.shape[2]):
        b, a = normalised(sos[:, :, k, :3], sos[:, :, k, 3:])
        x, state = transposed_form_2(x, b, a, zi[:, k], timing)
        states.append(state[:, None])
    return x.to(dtype), torch.cat(states, 1)


def _is_moving(x: Tensor, timing: Timing) -> bool:
    """Whether the kernels of moving sections apply, which take these with their a₀ and divide them."""
    return timing is None and not x.is_complex()


def _is_fixed(x: Tensor, sos: Tensor, timing: Timing) -> bool:
    """Whether the kernels of fixed sections apply, which like all others take normalised ones, without their a₀."""
    return timing is not None and sos.shape[1] == 1 and not x.is_complex()


class Cascade(RowFunction):
    """(x, sos, zi) → (y, zf), and what the adjoint reads: the signals between sections, or registers between blocks."""

    TAKES_NO_GRADIENT = True

    @staticmethod
    def forward(x, sos, zi, timing):
        y = unfilled(x)
        if _is_fixed(x, sos, timing):
            states = zi.new_empty(zi.shape[0], -(-x.shape[1] // BLOCK) + 1, *zi.shape[1:], dtype=torch.float64)
            run("fixed_sos_cascade", x, sos.double(), zi.double(), out=(y, states))
            return y, states[:, -1].to(zi.dtype, copy=True), states
        zf, between = unfilled(zi), x.new_empty(x.shape[0], sos.shape[2] - 1, x.shape[1])
        if _is_moving(x, timing):
            run("moving_sos_cascade", x, sos, zi, out=(y, zf, between))
        else:
            run("sos_cascade", x, sos, timing, zi, out=(y, zf, between))
        return y, zf, between

    @staticmethod
    def setup_context(ctx, inputs, output):
        *tensors, ctx.timing = inputs
        y, _, kept = output
        ctx.mark_non_differentiable(kept)
        ctx.save_for_backward(*tensors, y, kept)
        ctx.save_for_forward(*tensors)

    @staticmethod
    def backward(ctx, g, gzf, _):
        wanted = ctx.needs_input_grad[1]
        saved = x, _, zi, *_ = ctx.saved_tensors  # once: a checkpoint lets nobody read them twice
        g, gzf = torch.zeros_like(x) if g is None else g, torch.zeros_like(zi) if gzf is None else gzf
        dx, dsos, dzi = CascadeAdjoint.apply(g, gzf, *saved, ctx.timing, wanted)
        return dx, dsos if wanted else None, dzi, None

    @staticmethod
    def tangent(ctx, saved, *tangents):
        return *push_forward(_composition(ctx.timing), saved[:3], tangents[:3]), None


class CascadeAdjoint(RowFunction):
    """(∂L/∂y, ∂L/∂zf, x, sos, zi, and y and what was kept of them) → (dx, dsos, dzi); no frames if not wanted."""

    @staticmethod
    def forward(g, gzf, x, sos, zi, y, kept, timing, with_sos):
        wanted = sos if with_sos else sos[:, :0]
        if _is_fixed(x, sos, timing):
            dx, dsos, dzi = unfilled(x), unfilled(wanted.double()), unfilled(zi.double())
            run("fixed_sos_cascade_adjoint", g, gzf.double(), x, sos.double(), kept, out=(dx, dsos, dzi))
            return dx, dsos.to(sos.dtype), dzi.to(zi.dtype)
        results = tuple(unfilled(like) for like in (x, wanted, zi))
        if _is_moving(x, timing):
            run("moving_sos_cascade_adjoint", g, gzf, x, sos, y, kept, out=results)
            return results
        x, sos, zi, y, kept = (tensor.conj() for tensor in (x, sos, zi, y, kept))
        run("sos_cascade_adjoint", g, gzf, x, sos, timing, zi, y, kept, out=results)
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
    return lambda x, sos, zi: _one_section_after_another(x, sos, zi, timing)


def _adjoint_composition(ctx):
    """The signals that the kernel reads are functions of the other inputs: here they are made of them again."""

    def run_adjoint(g, gzf, *inputs):
        dx, dsos, dzi = pull_back(_composition(ctx.timing), inputs, (g, gzf))
        return dx, dsos if ctx.with_sos else dsos[:, :0], dzi

    return run_adjoint
