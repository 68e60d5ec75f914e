"""Filters with poles and zeros in the four direct forms, and their derivatives.

    df1    v[n] = Σ bᵢ[n] x[n−i],         y[n] = v[n] − Σ aᵢ[n] y[n−i]
    df2    w[n] = x[n] − Σ aᵢ[n] w[n−i],  y[n] = Σ bᵢ[n] w[n−i]
    tdf1   w[n] = x[n] − Σ aᵢ[n−i] w[n−i],  y[n] = Σ bᵢ[n−i] w[n−i]
    tdf2   v[n] = Σ bᵢ[n−i] x[n−i],       y[n] = v[n] − Σ aᵢ[n−i] y[n−i]

The same filter while the coefficients stand still; four systems when they move, because they differ in whose coefficients,
those of the input's time or the output's, a delayed sample is multiplied by. tdf1 and df1, and tdf2 and df2, are each
other's adjoint. The kernels run each form, and each adjoint, in one pass.

Source: Oppenheim, Schafer, "Discrete-Time Signal Processing", chapter 6 (the structures).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from diffapf.filters._checks import all_finite, check_leading
from diffapf.filters._composition import pull_back, push_forward
from diffapf.filters._rows import RowFunction, check_flag, check_signal, in_float32, state_rows, to_rows, unfilled
from diffapf.filters._short_calls import Filter, ShortCalls
from diffapf.filters.allpole import AllPole
from diffapf.filters.control_rate import FIXED, ControlRate, Timing, coefficient_rows
from diffapf.filters.fir import FIR, past_and_present
from diffapf.kernels import run
from diffapf.kernels.reference import interpolated


def lfilter(
    b: Tensor,
    a: Tensor,
    x: Tensor,
    zi: Tensor | None = None,
    form: str = "tdf2",
    return_zf: bool = False,
    hop: float | ControlRate | None = None,
) -> Tensor | tuple[Tensor, Tensor]:
    """Filters `x` by Σ bᵢ z⁻ⁱ / Σ aᵢ z⁻ⁱ in one of the direct forms; see the module for what each does.

    With fixed coefficients this is `scipy.signal.lfilter`, along the last dimension.

    Args:
        b, a: numerator and denominator, divided by a[0] (frame by frame), of any two lengths; each `(taps,)` or
            `(..., taps)` fixed; `(..., time, taps)` one row a sample; `(..., frames, taps)` with `hop`.
        x: the signal, `(..., time)`.
        zi: the state before the first sample, with M the larger of the two orders; zeros by default.
            "tdf2": the M registers, SciPy's zi. "df2": the past of w, newest first, M samples.
            "df1": the past of x, then of y, each M samples, newest first. "tdf1": M registers of w, then M of y.
        form: "df1", "df2", "tdf1" or "tdf2".
        return_zf: also return the state after the last sample: the next block's `zi`.
        hop: samples a frame of the coefficients, or a `ControlRate`.

    Returns:
        y of the shape of x, or (y, zf).

    Raises:
        ValueError: a[0] is zero; an unknown form; shapes or devices that don't match.
        TypeError: dtypes that don't match.

    Differentiable in b, a, x and zi: backward and forward mode, to any order, and under `torch.func` transforms.

    >>> lfilter(torch.tensor([1.0, 1.0]), torch.tensor([1.0, -0.5]), torch.tensor([1.0, 0.0, 0.0]))
    tensor([1.0000, 1.5000, 0.7500])
    """
    if not isinstance(form, str) or form not in FORMS:
        raise ValueError(f"form must be one of {', '.join(FORMS)}, got {form!r}")
    if zi is None and hop is None and return_zf is False and (y := _SHORT[form](x, b, a)) is not None:
        return y
    x, b, a, zi = in_float32(x, b, a, zi)
    check_signal("x", x)
    check_flag("return_zf", return_zf)
    numerator, denominator, timing = transfer_function_rows(b, a, x, hop)
    order = numerator.shape[2] - 1
    initial = state_rows("zi", zi, x, FORMS[form].registers * order)
    comes_with_leading = _comes_with_leading(numerator, denominator)
    found_by_result = is_fused(x, order) and x.shape[-1]
    if comes_with_leading and not found_by_result:
        check_leading(denominator)
    if order:
        y, zf = _filtered(to_rows(x), numerator, denominator, initial, timing, form)
    else:
        y, zf = FIR.apply(to_rows(x), normalised(numerator, denominator)[0], timing), initial
    if comes_with_leading and found_by_result and not all_finite(zf):  # as it is where anything was divided by zero
        check_leading(denominator)
    y = y if x.dim() == 2 else y.reshape(x.shape)
    return (y, zf.reshape(*x.shape[:-1], initial.shape[1])) if return_zf else y


def fixed_filter(b: Tensor, a: Tensor, x: Tensor, zi: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """`lfilter` and its state of one filter, for models that design it: checks nothing, and a[0] must be 1.

    b and a are `(taps,)`, of orders above 0 of which the larger is M; zi the registers of "tdf2", `(..., M)`.
    """
    numerator, denominator = fixed_rows(b, a, x.shape[:-1].numel())
    order = denominator.shape[2]
    y, zf = _filtered(to_rows(x), numerator, denominator, state_rows("zi", zi, x, order), FIXED, "tdf2")
    return y.reshape(x.shape), zf.reshape(*x.shape[:-1], order)


def is_fused(x: Tensor, order: int) -> bool:
    """Whether a form is one kernel. Other devices have fast ones of the FIR and all-pole filters that it is made of."""
    return x.is_cpu and 0 < order <= LONGEST_FUSED


def _filtered(x: Tensor, b: Tensor, a: Tensor, zi: Tensor, timing: Timing, form: str) -> tuple[Tensor, Tensor]:
    """y and zf of rows, of an order above 0."""
    if is_fused(x, b.shape[2] - 1):
        y, zf, *_ = DirectForm.apply(x, b, a, zi, timing, form)
        return y, zf
    return FORMS[form].composition(x, *normalised(b, a), zi, timing)


def fixed_rows(b: Tensor, a: Tensor, rows: int) -> tuple[Tensor, Tensor]:
    """One filter, a[0] = 1, as `DirectForm` takes it for each row: `(rows, 1, M+1)`, and a without its leading 1."""
    taps = max(b.shape[0], a.shape[0])
    longest = (pad(each, (0, taps - len(each))) if len(each) < taps else each for each in (b, a))
    numerator, denominator = (each.expand(rows, 1, -1) for each in longest)
    return numerator, denominator[:, :, 1:]


def transfer_function_rows(
    b: Tensor, a: Tensor, x: Tensor, hop: float | ControlRate | None
) -> tuple[Tensor, Tensor, Timing]:
    """b and a as `DirectForm` takes them: `(rows, frames, M+1)` both, or normalised, and a without its leading 1, M.

    Fixed ones, and a row a sample, are left to be normalised by the kernel, and to be checked by the caller.
    """
    (b_rows, b_timing), (a_rows, a_timing) = (
        coefficient_rows(name, value, x, hop if isinstance(value, Tensor) and value.dim() > x.dim() else None)
        for name, value in (("b", b), ("a", a))
    )
    for name, rows in (("b", b_rows), ("a", a_rows)):
        if rows.shape[2] == 0:
            raise ValueError(f"{name} needs at least one coefficient, got none")
    if hop is not None and max(b.dim(), a.dim()) <= x.dim():
        raise ValueError("hop is given, but neither b nor a has frames, (..., frames, taps)")
    frames = next((count for count in (b_rows.shape[1], a_rows.shape[1]) if count != 1), 1)
    if {b_rows.shape[1], a_rows.shape[1]} - {1, frames}:
        raise ValueError(f"b and a must have as many frames, got {b_rows.shape[1]} and {a_rows.shape[1]}")
    timing = b_timing if a_timing == FIXED else a_timing
    taps = max(b_rows.shape[2], a_rows.shape[2])

    def filled(rows: Tensor, taps: int) -> Tensor:
        longer = pad(rows, (0, taps - rows.shape[2])) if rows.shape[2] < taps else rows
        return longer.expand(-1, frames, -1)

    if timing == FIXED or (timing is None and b_rows.shape == a_rows.shape):
        return filled(b_rows, taps), filled(a_rows, taps), timing
    check_leading(a_rows)
    leading = a_rows[..., :1]
    return filled(b_rows / leading, taps), filled(a_rows[..., 1:] / leading, taps - 1), timing


def normalised(b: Tensor, a: Tensor) -> tuple[Tensor, Tensor]:
    """b and a divided by a's leading coefficient, which is left out, where it is there."""
    return (b / a[..., :1], a[..., 1:] / a[..., :1]) if _comes_with_leading(b, a) else (b, a)


def _comes_with_leading(b: Tensor, a: Tensor) -> bool:
    return a.shape[2] == b.shape[2]


# ------------------------------------------------------------------------------------------------------ as compositions
# What long filters run as, and what the derivatives beyond the first are taken of: (x, b, a, zi, timing) → (y, zf), a
# without its leading 1.


def _form_1(x: Tensor, b: Tensor, a: Tensor, zi: Tensor, timing: Timing) -> tuple[Tensor, Tensor]:
    order = a.shape[2]
    inputs = past_and_present(x, zi[:, :order])
    y = AllPole.apply(FIR.apply(inputs, b, timing), a, zi[:, order:], timing)
    outputs = past_and_present(y, zi[:, order:])
    return y, torch.cat([_newest(inputs, order), _newest(outputs, order)], 1)


def _form_2(x: Tensor, b: Tensor, a: Tensor, zi: Tensor, timing: Timing) -> tuple[Tensor, Tensor]:
    w = past_and_present(AllPole.apply(x, a, zi, timing), zi)
    return FIR.apply(w, b, timing), _newest(w, a.shape[2])


def _transposed_form_1(x: Tensor, b: Tensor, a: Tensor, zi: Tensor, timing: Timing) -> tuple[Tensor, Tensor]:
    time, order = x.shape[1], a.shape[2]
    p, q = pad(zi[:, :order], (0, time)), pad(zi[:, order:], (0, time))
    rest = torch.zeros_like(zi[:, :order])
    w = _all_pole_of_input_time(x + p[:, :time], a, rest, timing)
    y = _fir_of_input_time(w, b, rest, timing) + q[:, :time]
    in_p, in_q = _left_in_registers(w, a, timing), _left_in_registers(w, b[..., 1:], timing)
    return y, torch.cat([p[:, time:] - in_p, q[:, time:] + in_q], 1)


def transposed_form_2(x: Tensor, b: Tensor, a: Tensor, zi: Tensor, timing: Timing) -> tuple[Tensor, Tensor]:
    time, s = x.shape[1], pad(zi, (0, x.shape[1]))
    rest = torch.zeros_like(zi)
    y = _all_pole_of_input_time(_fir_of_input_time(x, b, rest, timing) + s[:, :time], a, rest, timing)
    in_s = _left_in_registers(x, b[..., 1:], timing) - _left_in_registers(y, a, timing)
    return y, s[:, time:] + in_s


def _all_pole_of_input_time(x: Tensor, a: Tensor, rest: Tensor, timing: Timing) -> Tensor:
    """y[n] = x[n] − Σ aᵢ[n−i] y[n−i]."""
    if _fixed(a, timing):
        return AllPole.apply(x, a, rest, timing)
    return AllPole.apply(x, _delayed(a, 1, timing, x.shape[1])[:, : x.shape[1]], rest, None)


def _fir_of_input_time(x: Tensor, b: Tensor, rest: Tensor, timing: Timing) -> Tensor:
    """y[n] = Σ bᵢ[n−i] x[n−i]."""
    if _fixed(b, timing):
        return FIR.apply(past_and_present(x, rest), b, timing)
    return FIR.apply(past_and_present(x, rest), _delayed(b, 0, timing, x.shape[1])[:, : x.shape[1]], None)


def _left_in_registers(signal: Tensor, coefficients: Tensor, timing: Timing) -> Tensor:
    """Σᵢ cᵢ[n−i] s[n−i], i = 1 … M, at the M samples after the last, where the signal is 0."""
    order, time = coefficients.shape[2], signal.shape[1]
    last = pad(signal, (order, order - 1))[:, time:]
    if _fixed(coefficients, timing):
        return FIR.apply(last, coefficients, timing)
    return FIR.apply(last, _delayed(coefficients, 1, timing, time)[:, time:], None)


def _newest(signal: Tensor, order: int) -> Tensor:
    return signal[:, signal.shape[1] - order :].flip(1)


def _fixed(coefficients: Tensor, timing: Timing) -> bool:
    return timing is not None and coefficients.shape[1] == 1


def _delayed(coefficients: Tensor, first: int, timing: Timing, time: int) -> Tensor:
    """cᵢ[n−i] at n, i = first … M, for M samples more than there are."""
    taps, coefficients = coefficients.shape[2], at_audio_rate(coefficients, timing, time)
    order = first + taps - 1
    columns = [pad(coefficients[..., i], (first + i, order - first - i)) for i in range(taps)]
    return torch.stack(columns, -1)


def at_audio_rate(frames: Tensor, timing: Timing, time: int) -> Tensor:
    """The coefficients of each sample, `(rows, time, …)`, differentiable in the frames."""
    return frames if timing is None else interpolated(frames, timing, time)


@dataclass(frozen=True)
class Form:
    """How a form runs, for its derivatives what it is made of, and how many registers it has for each order."""

    kernel: str
    composition: Callable[[Tensor, Tensor, Tensor, Tensor, Timing], tuple[Tensor, Tensor]]
    registers: int
    keeps_w: bool


LONGEST_FUSED = 8  # orders: beyond, a FIR and an all-pole filter, of which each is as fast alone

FORMS = {
    "df1": Form("direct_form_1", _form_1, registers=2, keeps_w=False),
    "df2": Form("direct_form_2", _form_2, registers=1, keeps_w=True),
    "tdf1": Form("transposed_direct_form_1", _transposed_form_1, registers=2, keeps_w=True),
    "tdf2": Form("transposed_direct_form_2", transposed_form_2, registers=1, keeps_w=False),
}


# ------------------------------------------------------------------------------------------------------------ as kernels


class DirectForm(RowFunction):
    """(x, b, a, zi) → (y, zf), and w for the forms that have it, which the adjoint reads.

    a comes with its leading coefficient, as long as b, or without, the two normalised.
    """

    TAKES_NO_GRADIENT = True  # w, as long as the signal, never has one

    @staticmethod
    def forward(x, b, a, zi, timing, form):
        y, zf = unfilled(x), unfilled(zi)
        results = (y, zf, unfilled(y)) if FORMS[form].keeps_w else (y, zf)
        run(FORMS[form].kernel, x, b, a, timing, zi, out=results)
        return results

    @staticmethod
    def setup_context(ctx, inputs, output):
        *tensors, ctx.timing, ctx.form = inputs
        if FORMS[ctx.form].keeps_w:
            ctx.mark_non_differentiable(output[2])
        ctx.save_for_backward(*tensors, output[2 if FORMS[ctx.form].keeps_w else 0])
        ctx.save_for_forward(*tensors)

    @staticmethod
    def backward(ctx, g, gzf, *_):
        _, with_b, with_a, _, _, _ = ctx.needs_input_grad
        x, b, a, zi, signal = ctx.saved_tensors
        g = torch.zeros_like(x) if g is None else g
        gzf = torch.zeros_like(zi) if gzf is None else gzf
        read_b = with_b or (with_a and _comes_with_leading(b, a))  # the leading coefficient's gradient needs b's
        dx, db, da, dzi = DirectFormAdjoint.apply(g, gzf, x, b, a, zi, signal, ctx.timing, ctx.form, read_b, with_a)
        return dx, db if with_b else None, da if with_a else None, dzi, None, None

    @staticmethod
    def tangent(ctx, saved, *tangents):
        if ctx.form == "tdf2" and _fixed(saved[1], ctx.timing):
            with torch.autocast(saved[0].device.type, enabled=False):  # which would round products of matrices
                return _tangent_of_fixed_filter(saved, tangents)
        moved = push_forward(_composition(ctx.timing, ctx.form), saved[:4], tangents[:4])
        return (*moved, None) if FORMS[ctx.form].keeps_w else moved


def _tangent_of_fixed_filter(saved, tangents) -> tuple[Tensor, Tensor]:
    """ẏ = (B ẋ + Ḃ x − Ȧ y + ż)/A and the registers': x/A, y/A and 1/A are the same in every direction, a direction but
    weighs them. There may be more rows of tangents than of what they are of, as many for each.
    """
    x, b, a, zi = saved
    moving, rows = next(tangent for tangent in tangents if tangent is not None), x.shape[0]
    shares = moving.shape[0] // rows if rows else 1
    dx = tangents[0]
    db, da, dzi = (
        torch.zeros_like(_repeated(of, shares)) if tangent is None else tangent
        for of, tangent in zip(saved[1:], tangents[1:4], strict=True)
    )
    if _comes_with_leading(b, a):
        leading, of_leading = _repeated(a[..., :1], shares), da[..., :1]
        b, a = normalised(b, a)
        db = (db - _repeated(b, shares) * of_leading) / leading
        da = (da[..., 1:] - _repeated(a, shares) * of_leading) / leading
    order, time = a.shape[2], x.shape[1]
    y, _ = DirectForm.apply(x, b, a, zi, FIXED, "tdf2")
    impulse = pad(x.new_ones(rows, 1), (0, time))[:, :time]
    inputs, rest = torch.cat([x, y, impulse]), torch.zeros_like(_repeated(zi, 3))
    of_x, of_y, of_impulse = AllPole.apply(inputs, _repeated(a, 3), rest, FIXED).chunk(3)
    delayed = [*_delays(of_x, 0, order), *_delays(of_y, 1, order), *_delays(of_impulse, 0, order - 1)]
    weights = torch.cat([db[:, 0], -da[:, 0], dzi], 1).unflatten(0, (shares, rows))
    dy = torch.einsum("drk,rkn->drn", weights, torch.stack(delayed, 1)).flatten(0, 1)
    b, a = _repeated(b, shares), _repeated(a, shares)
    dzf = pad(dzi, (0, time))[:, time:]
    if dx is not None:
        dy = dy + DirectForm.apply(dx, b, a, torch.zeros_like(dzi), FIXED, "tdf2")[0]
        dzf = dzf + _registers(dx, b[:, 0, 1:])
    newest_x, newest_y = (_repeated(signal[:, -order:], shares) for signal in (x, y))
    dzf = dzf + _registers(newest_x, db[:, 0, 1:]) - _registers(newest_y, da[:, 0])
    return dy, dzf - _registers(dy, a[:, 0])


def _repeated(rows: Tensor, shares: int) -> Tensor:
    return rows.expand(shares, *rows.shape).flatten(0, 1)


def _delays(signal: Tensor, first: int, last: int) -> list[Tensor]:
    return [pad(signal, (delay, 0))[:, : signal.shape[1]] for delay in range(first, last + 1)]


def _registers(signal: Tensor, taps: Tensor) -> Tensor:
    """What a signal leaves in each register of "tdf2": Σⱼ tapsⱼ s[N−1−(j−i)], j ≥ i."""
    order = taps.shape[1]
    newest = pad(signal[:, -order:], (order, 0))[:, -order:].flip(1)
    return torch.einsum("rij,rj->ri", torch.stack(_delays(newest, 0, order - 1), 1), taps)


class DirectFormAdjoint(RowFunction):
    """(∂L/∂y, ∂L/∂zf, x, b, a, zi, and y or w of them) → (dx, db, da, dzi); no frames where b or a is not wanted."""

    @staticmethod
    def forward(g, gzf, x, b, a, zi, signal, timing, form, with_b, with_a):
        wanted = x, b if with_b else b[:, :0], a if with_a else a[:, :0], zi
        results = tuple(unfilled(like) for like in wanted)
        if x.is_complex():
            x, b, a, zi, signal = (tensor.conj() for tensor in (x, b, a, zi, signal))
        run(f"{FORMS[form].kernel}_adjoint", g, gzf, x, b, a, timing, zi, signal, out=results)
        return results

    @staticmethod
    def setup_context(ctx, inputs, output):
        *tensors, _, ctx.timing, ctx.form, ctx.with_b, ctx.with_a = inputs
        ctx.save_for_backward(*tensors)
        ctx.save_for_forward(*tensors)

    @staticmethod
    def backward(ctx, *along):
        gradients = pull_back(_adjoint_composition(ctx), ctx.saved_tensors, along)
        return *gradients, None, None, None, None, None

    @staticmethod
    def tangent(ctx, saved, *tangents):
        return push_forward(_adjoint_composition(ctx), saved, tangents[: len(saved)])


def _composition(timing: Timing, form: str) -> Callable[..., tuple[Tensor, ...]]:
    return lambda x, b, a, zi: FORMS[form].composition(x, *normalised(b, a), zi, timing)


def _adjoint_composition(ctx) -> Callable[..., tuple[Tensor, ...]]:
    """The signal that the kernel reads is a function of the other inputs: here it is made of them again."""

    def run_adjoint(g, gzf, *inputs):
        dx, db, da, dzi = pull_back(_composition(ctx.timing, ctx.form), inputs, (g, gzf))
        return dx, db if ctx.with_b else db[:, :0], da if ctx.with_a else da[:, :0], dzi

    return run_adjoint


# --------------------------------------------------------------------------------------------------------- short calls


class _OfDirectForm(Filter):
    def __init__(self, form: str) -> None:
        self.form, self.kernel, self._keeps_w = form, FORMS[form].kernel, FORMS[form].keeps_w
        self.read = 0, 1, 2, 5 if self._keeps_w else 3

    def layout(self, x, b, a):
        b_rows, a_rows, timing = transfer_function_rows(b, a, x, None)
        order = b_rows.shape[2] - 1
        return ((b_rows, a_rows), timing, FORMS[self.form].registers * order) if 0 < order <= LONGEST_FUSED else None

    def others(self, zi, of_y):
        return (unfilled(zi), zi.new_empty(of_y)) if self._keeps_w else (unfilled(zi),)

    def inputs_of_adjoint(self, g, timing, zi, x, b, a, signal):
        return g, zi, x, b, a, timing, zi, signal

    def gradients(self, g, timing, zi, wanted, x, b, a, signal):
        return DirectFormAdjoint.apply(g, zi, x, b, a, zi, signal, timing, self.form, *self.written(*wanted))[:3]

    def written(self, of_b, of_a):
        return of_b or of_a, of_a  # the leading coefficient's gradient needs b's

    def check(self, x, b, a, y, zf, *w):
        if not all_finite(zf):
            check_leading(a)


_SHORT = {form: ShortCalls(_OfDirectForm(form)) for form in FORMS}
