"""A compressor's static curve, from level to gain, in one pass; and its derivatives.

In dB, with L the level, u₊ a ramp whose corner is rounded over the knee's width W:

    G = −(1 − 1/R)(L − T)₊ − (1/Rₑ − 1)(E − L)₊,   u₊ = 0 for u ≤ −W/2, u for u ≥ W/2, (u + W/2)²/(2W) between

T and R are the threshold and ratio of the compressor, E and Rₑ those of the expander below it.

Source: Giannoulis, Massberg, Reiss, "Digital Dynamic Range Compressor Design", J. Audio Eng. Soc. 60, 2012; the expander as
in Yu et al., DAFx 2024, and its code.
"""

from __future__ import annotations

import math

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
from diffapf.kernels import run
from diffapf.kernels.reference import curve_of, curve_slopes

DECIBELS_OF_E = 20.0 / math.log(10.0)
UNITS = {"amplitude": DECIBELS_OF_E, "power": DECIBELS_OF_E / 2, "dB": 0.0}  # dB of a factor e; 0: they are dB


def gain_curve(
    level: Tensor,
    threshold: Tensor | float,
    ratio: Tensor | float,
    knee: Tensor | float = 0.0,
    expander_threshold: Tensor | float | None = None,
    expander_ratio: Tensor | float | None = None,
    unit: str = "amplitude",
    decibels: bool = False,
) -> Tensor:
    """The gain that a compressor wants at a level; see the module for the equation.

    Args:
        level: `(..., time)`, in `unit`. What is below the smallest normal number counts as that.
        threshold: T in dB; a number or one for each signal `(...)`, as are all that follow.
        ratio: R ≥ 1, the dB that the level must rise for one dB at the output; infinite: a limiter.
        knee: W ≥ 0 in dB; 0: a hard knee.
        expander_threshold, expander_ratio: E in dB and 0 < Rₑ ≤ 1; without them nothing is expanded.
        unit: of the level, "amplitude", "power" or "dB".
        decibels: whether the gain is wanted in dB; else it is linear, 1 for no compression.

    Returns:
        The gain, of the level's shape. Differentiable in all tensors: backward and forward mode, to any order, and under
        `torch.func` transforms.

    Raises:
        ValueError, TypeError: shapes, dtypes or devices that don't match; a unit that there is not; one of the expander's
            numbers without the other.

    >>> gain_curve(torch.tensor([0.01, 0.1, 1.0]), threshold=-20.0, ratio=2.0)
    tensor([1.0000, 1.0000, 0.3162])
    """
    level, threshold, ratio, knee, expander_threshold, expander_ratio = in_float32(
        level, threshold, ratio, knee, expander_threshold, expander_ratio
    )
    check_signal("level", level, dtypes=REAL)
    check_flag("decibels", decibels)
    if not isinstance(unit, str) or unit not in UNITS:
        raise ValueError(f"unit must be one of {', '.join(UNITS)}, got {unit!r}")
    if (expander_threshold is None) != (expander_ratio is None):
        raise ValueError("an expander needs expander_threshold and expander_ratio: give both or neither")
    numbers = [
        number_rows("threshold", threshold, level),
        1 - 1 / number_rows("ratio", ratio, level),
        number_rows("knee", knee, level),
    ]
    if expander_threshold is not None:
        numbers += [
            number_rows("expander_threshold", expander_threshold, level),
            1 / number_rows("expander_ratio", expander_ratio, level) - 1,
        ]
    kind = UNITS[unit], 0.0 if decibels else 1 / DECIBELS_OF_E
    return GainCurve.apply(to_rows(level), torch.stack(numbers, 1), kind).reshape(level.shape)


class GainCurve(RowFunction):
    """(level, numbers) → gain; the numbers of a row are (T, s, W) or (T, s, W, E, e)."""

    @staticmethod
    def forward(level, numbers, kind):
        gain = unfilled(level)
        run("gain_curve", level, numbers, kind, out=(gain,))
        return gain

    @staticmethod
    def setup_context(ctx, inputs, output):
        level, numbers, ctx.kind = inputs
        ctx.save_for_backward(level, numbers, output)
        ctx.save_for_forward(level, numbers, output)

    @staticmethod
    def backward(ctx, gradient):
        return *GainCurveAdjoint.apply(gradient, *ctx.saved_tensors, ctx.kind), None

    @staticmethod
    def tangent(ctx, saved, dlevel, dnumbers, _):
        level, numbers, gain = saved
        dlevel = level[:, :0] if dlevel is None else dlevel
        dnumbers = torch.zeros_like(numbers) if dnumbers is None else dnumbers
        return GainCurveTangent.apply(dnumbers, dlevel, level, numbers, gain, ctx.kind)


class GainCurveAdjoint(RowFunction):
    """(∂L/∂gain, level, numbers, gain) → (dlevel, dnumbers)."""

    @staticmethod
    def forward(gradient, level, numbers, gain, kind):
        results = unfilled(level), unfilled(numbers)
        run("gain_curve_adjoint", gradient, level, numbers, gain, kind, out=results)
        return results

    @staticmethod
    def setup_context(ctx, inputs, output):
        gradient, level, numbers, _, ctx.kind = inputs
        ctx.save_for_backward(gradient, level, numbers)
        ctx.save_for_forward(gradient, level, numbers)

    @staticmethod
    def backward(ctx, *along):
        return *pull_back(_adjoint_composition(ctx.kind), ctx.saved_tensors, along), None, None

    @staticmethod
    def tangent(ctx, saved, dgradient, dlevel, dnumbers, *_):
        return push_forward(_adjoint_composition(ctx.kind), saved, (dgradient, dlevel, dnumbers))


class GainCurveTangent(RowFunction):
    """(the numbers' and the level's tangents, level, numbers, gain) → the gain's; of a level at rest, no samples."""

    COEFFICIENTS = (2, 3, 4)

    @staticmethod
    def forward(dnumbers, dlevel, level, numbers, gain, kind):
        dgain = level.new_empty(dnumbers.shape[0], level.shape[1])
        run("gain_curve_tangent", dlevel, dnumbers, level, numbers, gain, kind, out=(dgain,))
        return dgain

    @staticmethod
    def setup_context(ctx, inputs, output):
        dnumbers, dlevel, level, numbers, _, ctx.kind = inputs
        ctx.save_for_backward(dnumbers, dlevel, level, numbers)
        ctx.save_for_forward(dnumbers, dlevel, level, numbers)

    @staticmethod
    def backward(ctx, gradient):
        return *pull_back(_tangent_composition(ctx.kind), ctx.saved_tensors, (gradient,)), None, None

    @staticmethod
    def tangent(ctx, saved, ddnumbers, ddlevel, dlevel, dnumbers, *_):
        return push_forward(_tangent_composition(ctx.kind), saved, (ddnumbers, ddlevel, dlevel, dnumbers))[0]


def _adjoint_composition(kind):
    def adjoint(gradient, level, numbers):
        by_level, by_numbers = curve_slopes(level, numbers, curve_of(level, numbers, kind), kind)
        return gradient * by_level, (gradient[:, None] * by_numbers).sum(-1)

    return adjoint


def _tangent_composition(kind):
    def tangent(dnumbers, dlevel, level, numbers):
        directions = dnumbers.shape[0] // max(level.shape[0], 1)
        by_level, by_numbers = curve_slopes(level, numbers, curve_of(level, numbers, kind), kind)
        moved = (dnumbers[:, :, None] * by_numbers.repeat(directions, 1, 1)).sum(1)
        return (moved + by_level.repeat(directions, 1) * dlevel if dlevel.shape[1] else moved,)

    return tangent
