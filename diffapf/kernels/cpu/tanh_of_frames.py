"""tanh of what is interpolated between frames, its adjoint and its tangent; see `reference.py`.

Between two frames v moves by equal steps, so E = exp(2v) by equal ratios: one product a sample, and
tanh v = (E − 1)/(E + 1), where the library's tanh takes ten times as long. E begins anew at each frame.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from diffapf.kernels import segments_of
from diffapf.kernels.cpu.coefficients import layout, stretch
from diffapf.kernels.cpu.gradients import add_between
from diffapf.kernels.cpu.launch import jit, jit_sum, over_rows
from diffapf.kernels.cpu.segments import segment_at

LARGEST = 300.0  # |v| for which E and its reciprocal are numbers


@jit
def _tanh_of_frames(first, last, v, timing, segments, p):
    frames = v.shape[1]
    for unit in range(first, last):
        b, n, end_of_segment = segment_at(unit, int(segments), p.shape[1])
        while n < end_of_segment:
            frame, end, at, slope = stretch(timing, frames, n, end_of_segment)
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
    timing, segments = layout(v, timing), segments_of(*p.shape)
    arguments, key = (v, timing, segments, p), (p.dtype, type(timing))
    over_rows(_tanh_of_frames, p.shape[0] * segments, 10 * p.numel(), arguments, key)


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
def _tanh_of_frames_adjoint(first, last, g, p, timing, segments, dv):
    frames = dv.shape[1]
    for unit in range(first, last):
        b, n, end_of_segment = segment_at(unit, int(segments), p.shape[1])
        while n < end_of_segment:
            frame, end, at, slope = stretch(timing, frames, n, end_of_segment)
            total, ramp = _slopes(g, p, b, n, end)
            add_between(dv, (unit, frame), (unit, min(frame + 1, frames - 1)), at, slope, total, ramp)
            n = end


def tanh_of_frames_adjoint(g: Tensor, p: Tensor, timing, dv: Tensor) -> None:
    timing, rows, segments = layout(dv, timing), p.shape[0], segments_of(*p.shape)
    sums = torch.zeros(rows * segments, dv.shape[1], dtype=torch.float64, device="cpu")
    arguments, key = (g, p, timing, segments, sums), (p.dtype, type(timing))
    over_rows(_tanh_of_frames_adjoint, rows * segments, 4 * p.numel(), arguments, key)
    dv.copy_(sums if segments == 1 else sums.unflatten(0, (rows, segments)).sum(1))


@jit
def _tanh_of_frames_tangent(first, last, dv, p, timing, dp):
    frames, rows, time = dv.shape[1], p.shape[0], p.shape[1]
    for r in range(first, last):
        b, n = r % rows, 0
        while n < time:
            frame, end, at, slope = stretch(timing, frames, n, time)
            left = np.float64(dv[r, frame])
            rise = np.float64(dv[r, min(frame + 1, frames - 1)]) - left
            start, step = dp.dtype.type(left + at * rise), dp.dtype.type(slope * rise)
            for i in range(n, end):
                now = p[b, np.uintp(i)]
                moved = start + step * dp.dtype.type(np.int32(i - n))
                dp[r, np.uintp(i)] = moved - moved * now * now
            n = end


def tanh_of_frames_tangent(dv: Tensor, p: Tensor, timing, dp: Tensor) -> None:
    timing = layout(dv, timing)
    over_rows(_tanh_of_frames_tangent, dv.shape[0], 4 * dp.numel(), (dv, p, timing, dp), (p.dtype, type(timing)))
