"""All-passes in a feedback loop without delay, solved at each sample; see `reference.py` for the equations."""

from __future__ import annotations

import numba
import numpy as np
import torch
from numba.extending import overload
from torch import Tensor

from diffapf.kernels.cpu.coefficients import layout, loaded, stretch
from diffapf.kernels.cpu.launch import inline, jit, jit_sum, over_rows

# State and sums are float64 whatever the arrays' dtype: it costs nothing here, and near p = 1 float32 would lose digits.


def _responses(memory, p, own, s, b, n, k):
    """Each stage's response to the past and the sources alone: Sₖ = p Sₖ₋₁ + (own·memory[k] − memory[k−1] + sₖ), S₀ = 0.

    By halves, because each sample waits for the last of them: the second half's own, plus what the first half sends it.
    """


@overload(_responses)
def _responses_typed(memory, p, own, s, b, n, k):
    half = (len(memory) - 1) // 2
    through_half = half + 1

    if half == 0:
        return lambda memory, p, own, s, b, n, k: (with_source(own * memory[1] - memory[0], s, b, n, k),)

    def halves(memory, p, own, s, b, n, k):
        first = _responses(memory[:through_half], p, own, s, b, n, k)
        second = _responses(memory[half:], p, own, s, b, n, k + half)
        return first + _driven(second, p, p, first[-1])

    return halves


def _driven(responses, p, gain, first):
    """What the stages put out once the loop is solved: pᵏ·first + Sₖ."""


@overload(_driven)
def _driven_typed(responses, p, gain, first):
    if len(responses) == 0:
        return lambda responses, p, gain, first: ()
    return lambda responses, p, gain, first: (
        (gain * first + responses[0],) + _driven(responses[1:], p, gain * p, first)  # noqa: RUF005
    )


def with_source(value, s, b, n, k):
    """value + s[b, n, k], k counted from the end if negative; the value alone where s is None."""


@overload(with_source, inline="always")
def _with_source(value, s, b, n, k):
    if isinstance(s, numba.types.NoneType):
        return lambda value, s, b, n, k: value
    return lambda value, s, b, n, k: value + s[b, n, k]


def loop_memory(filtered, b1, x1, b2, x2):
    """b1·x1 + b2·x2, the loop filter's memory; nothing where `filtered` is None, the loop a plain gain.

    Known to the compiler, so that no sample waits for products with zero.
    """


@overload(loop_memory, inline="always")
def _loop_memory(filtered, b1, x1, b2, x2):
    if isinstance(filtered, numba.types.NoneType):
        return lambda filtered, b1, x1, b2, x2: 0.0
    return lambda filtered, b1, x1, b2, x2: b1 * x1 + b2 * x2


@jit
def _allpass(first, last, x, s, p, loop, zi, z, w, filtered, rest):
    stages = len(rest) - 1
    for b in range(first, last):
        memory = loaded(zi, (b,), 0, rest)
        f, w2 = zi[b, stages + 1], zi[b, stages + 2]
        q0, q1, q2, a = loop[b, 0], loop[b, 1], loop[b, 2], loop[b, 3]
        for n in range(p.shape[1]):
            pn = np.float64(p[b, n])
            gain = pn
            for _ in range(stages - 1):
                gain *= pn
            responses = _responses(memory, pn, pn, s, b, n, 1)
            known = loop_memory(filtered, q2, w2, a, f) + loop_memory(filtered, q1, memory[-1], 0.0, 0.0)
            known = with_source(known, s, b, n, -1)
            from_past = responses[-1]
            solved = 1.0 / (1.0 - q0 * gain)
            e = (x[b, n] + known) * solved + (q0 * solved) * from_past  # from_past comes last: one operation is left
            w2 = memory[-1]
            f = q0 * (gain * e + from_past) + known
            memory = (e,) + _driven(responses, pn, pn, e)  # noqa: RUF005
            w[b, n] = memory[-1]
            for k in range(stages + 1):
                z[b, n, k] = memory[k]
            z[b, n, stages + 1] = f


# Backward in time the same chain runs from the last stage to the first: memory[j] is λ_{K−j} of the sample after, but
# for λ₀, which no stage remembers: its place holds 0. So `_responses` and `_driven` serve both directions.


@inline
def _transposed_sample(gradient_w, g, pn, p_next, q0, q1, q2, a, filtered, memory, f1, f2, b, n):
    gain = pn
    for _ in range(len(memory) - 2):
        gain *= pn
    responses = _responses(memory, pn, p_next, g, b, n, 0)
    f_known = with_source(loop_memory(filtered, a, f1, 0.0, 0.0), g, b, n, -1)
    known = gradient_w + loop_memory(filtered, q1, f1, q2, f2) + p_next * memory[0]
    solved = 1.0 / (1.0 - q0 * gain)
    last = (known + q0 * f_known) * solved + (q0 * solved) * responses[-1]
    driven = _driven(responses, pn, pn, last)
    return (last,) + driven[:-1] + (0.0,), driven[-1], driven[-1] + f_known  # noqa: RUF005


@jit
def _allpass_transpose(first, last, g, p, loop, adjoint, filtered, rest):
    """`g` and `adjoint` list the stages from the last to the first: (λ_K … λ₀, λ_f)."""
    stages = len(rest) - 1
    for b in range(first, last):
        memory, f1, f2, p_next = rest, 0.0, 0.0, 0.0
        q0, q1, q2, a = loop[b, 0], loop[b, 1], loop[b, 2], loop[b, 3]
        for n in range(p.shape[1] - 1, -1, -1):
            pn = np.float64(p[b, np.uintp(n)])
            at = np.uintp(n)
            memory, e, f = _transposed_sample(
                np.float64(g[b, at, 0]), g[:, :, 1:], pn, p_next, q0, q1, q2, a, filtered, memory, f1, f2, b, at
            )
            f1, f2, p_next = f, f1, pn
            for k in range(stages):
                adjoint[b, at, k] = memory[k]
            adjoint[b, at, stages], adjoint[b, at, stages + 1] = e, f


@jit
def _allpass_adjoint(first, last, g, p, loop, z, zi, ds, dp, dloop, dzi, filtered, rest):
    stages = len(rest) - 1
    for b in range(first, last):
        memory, f1, f2, p_next = rest, 0.0, 0.0, 0.0
        q0, q1, q2, a = loop[b, 0], loop[b, 1], loop[b, 2], loop[b, 3]
        d0, d1, d2, da = 0.0, 0.0, 0.0, 0.0
        for n in range(p.shape[1] - 1, -1, -1):
            at = np.uintp(n)
            pn = np.float64(p[b, at])
            memory, e, f = _transposed_sample(
                np.float64(g[b, at]), None, pn, p_next, q0, q1, q2, a, filtered, memory, f1, f2, b, at
            )
            f1, f2, p_next = f, f1, pn
            ds[b, at] = e
            total = 0.0
            d0 += f * z[b, at, stages]
            if n > 1:
                before, before2 = np.uintp(n - 1), np.uintp(n - 2)
                for k in range(1, stages + 1):
                    total += memory[stages - k] * (z[b, at, k - 1] + z[b, before, k])
                d1 += f * z[b, before, stages]
                d2 += f * z[b, before2, stages]
                da += f * z[b, before, stages + 1]
            else:
                past = zi[b] if n == 0 else z[b, 0]
                for k in range(1, stages + 1):
                    total += memory[stages - k] * (z[b, at, k - 1] + past[k])
                d1 += f * past[stages]
                d2 += f * zi[b, stages + 2 - 2 * n]
                da += f * past[stages + 1]
            dp[b, at] = total
        dloop[b, 0], dloop[b, 1], dloop[b, 2], dloop[b, 3] = d0, d1, d2, da
        # what the equations of the first two samples read of the initial state
        dzi[b, 0] = -memory[stages - 1]
        for k in range(1, stages):
            dzi[b, k] = p_next * memory[stages - k] - memory[stages - k - 1]
        dzi[b, stages] = p_next * memory[0] + q1 * f1 + q2 * f2
        dzi[b, stages + 1], dzi[b, stages + 2] = a * f1, q2 * f1


# `memory` and `rest` are tuples of float64; `filtered` is None where all loops are plain gains, for which the kernels are
# compiled apart.


def _constants(loop: Tensor, stages: int) -> tuple[Tensor, tuple]:
    filters = loop.double()
    return filters, (True if bool(filters[:, 1:].any()) else None, (0.0,) * (stages + 1))


def allpass(s: Tensor, p: Tensor, loop: Tensor, zi: Tensor, z: Tensor, w: Tensor) -> None:
    rows, stages = p.shape[0], zi.shape[1] - 3
    filters, constants = _constants(loop, stages)
    others = s if s.shape[2] > 1 else None
    arguments = (s[:, :, 0].contiguous(), others, p, filters, zi.double(), z, w)
    over_rows(_allpass, rows, p.numel() * 8 * stages, arguments, (p.dtype, others is None, *constants), constants)


def allpass_transpose(g: Tensor, p: Tensor, loop: Tensor, adjoint: Tensor) -> None:
    stages = adjoint.shape[2] - 2
    filters, constants = _constants(loop, stages)
    last_stage_first = [*range(stages, -1, -1), stages + 1]
    reversed_g, reversed_adjoint = g[:, :, last_stage_first].contiguous(), torch.empty_like(adjoint)
    arguments = (reversed_g, p, filters, reversed_adjoint)
    over_rows(_allpass_transpose, p.shape[0], p.numel() * 8 * stages, arguments, (p.dtype, *constants), constants)
    adjoint.copy_(reversed_adjoint[:, :, last_stage_first])


def allpass_adjoint(
    g: Tensor, p: Tensor, loop: Tensor, z: Tensor, zi: Tensor, ds: Tensor, dp: Tensor, dloop: Tensor, dzi: Tensor
) -> None:
    stages, sums = zi.shape[1] - 3, torch.zeros(loop.shape, dtype=torch.float64)
    filters, constants = _constants(loop, stages)
    arguments = (g, p, filters, z, zi, ds, dp, sums, dzi)
    over_rows(_allpass_adjoint, p.shape[0], p.numel() * 12 * stages, arguments, (p.dtype, *constants), constants)
    dloop.copy_(sums)


# ------------------------------------------------------------------------------------------ coefficients from few frames
# Between two frames v moves by equal steps, so E = exp(2v) by equal ratios: one product a sample, and
# tanh v = (E − 1)/(E + 1), where the library's tanh takes ten times as long. E begins anew at each frame.

LARGEST = 300.0  # |v| for which E and its reciprocal are numbers


@jit
def _tanh_of_frames(first, last, v, timing, p):
    frames, time = v.shape[1], p.shape[1]
    for b in range(first, last):
        n = 0
        while n < time:
            frame, end, at, slope = stretch(timing, frames, n, time)
            left = np.float64(v[b, frame])
            rise = np.float64(v[b, min(frame + 1, frames - 1)]) - left
            start, step = left + at * rise, slope * rise
            if abs(left) + abs(rise) < LARGEST:
                power, ratio = np.exp(2.0 * start), np.exp(2.0 * step)
                for i in range(n, end):
                    p[b, np.uintp(i)] = (power - 1.0) / (power + 1.0)
                    power *= ratio
            else:
                for i in range(n, end):
                    p[b, np.uintp(i)] = np.tanh(start + (i - n) * step)
            n = end


def tanh_of_frames(v: Tensor, timing, p: Tensor) -> None:
    timing = layout(v, timing)
    over_rows(_tanh_of_frames, p.shape[0], 10 * p.numel(), (v, timing, p), (p.dtype, type(timing)))


@jit_sum
def _slopes(g, p, b, begin, end):
    """The sums of g (1 − p²), and of that times the distance from the beginning."""
    total, ramp = g.dtype.type(0), g.dtype.type(0)
    for n in range(begin, end):
        now = g[b, np.uintp(n)] - g[b, np.uintp(n)] * p[b, np.uintp(n)] * p[b, np.uintp(n)]
        total += now
        ramp += now * np.float32(np.int32(n - begin))
    return np.float64(total), np.float64(ramp)


@jit
def _tanh_of_frames_adjoint(first, last, g, p, timing, dv):
    frames, time = dv.shape[1], p.shape[1]
    for b in range(first, last):
        n = 0
        while n < time:
            frame, end, at, slope = stretch(timing, frames, n, time)
            total, ramp = _slopes(g, p, b, n, end)
            weighted = at * total + slope * ramp
            dv[b, frame] += total - weighted
            dv[b, min(frame + 1, frames - 1)] += weighted
            n = end


def tanh_of_frames_adjoint(g: Tensor, p: Tensor, timing, dv: Tensor) -> None:
    timing, sums = layout(dv, timing), torch.zeros(dv.shape, dtype=torch.float64)
    over_rows(_tanh_of_frames_adjoint, p.shape[0], 4 * p.numel(), (g, p, timing, sums), (p.dtype, type(timing)))
    dv.copy_(sums)
