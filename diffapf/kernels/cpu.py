"""The recurrences of `reference.py` in Numba: same names, same arguments, contiguous arrays.

What makes them fast, each measured:

- A filter's past lives in a tuple, whose length is a compile-time constant: registers, and unrolled loops, for any order.
- Four rows advance together: a recursion is a chain of dependent operations, and four chains fill the time that one waits.
- `fastmath={"contract"}` and nothing more: fused multiply-adds; re-association would double the chain and break NaN.
- The newest output enters a sum last: all else is ready before it.
- Rows are divided among `torch.get_num_threads()` Python threads (the kernels hold no lock), and only where the work
  outweighs waking them. Unlike Numba's own threads, these are safe to call from several threads, and after a fork.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
import torch
from numba.cpython.unsafe.tuple import tuple_setitem
from numba.extending import overload
from torch import Tensor

ROWS = 4  # advance together
TAPS_TOGETHER = 6  # up to which four rows' histories fit the registers
TAPS_IN_REGISTERS = 12  # up to which one row's does
WORTH_A_THREAD = 50_000  # multiply-adds


def jit(function: Callable) -> Callable:
    return numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})(function)


def inline(function: Callable) -> Callable:
    """A part of a kernel. Inlined by Numba, not by LLVM: a call would count references to each array, atomically."""
    return numba.njit(inline="always", error_model="numpy", fastmath={"contract"})(function)


def jit_sum(function: Callable) -> Callable:
    """For a sum over many taps, which may be taken in any order: several at once."""
    return numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract", "reassoc", "nsz"})(function)


# --------------------------------------------------------------------------------------------------------- coefficients
# Written once for the three layouts: `frames` is an array (rows, time, taps), or (rows, taps) for a fixed filter, or the
# tuple (array, start, step) at the control rate.


def locate(frames, n):
    """Where sample n's coefficients lie."""


def coefficient(frames, b, where, i):
    """Coefficient i of row b there."""


@overload(locate)
def _locate(frames, n):
    if isinstance(frames, numba.types.Array):
        return lambda frames, n: np.uintp(n)

    def interpolated(frames, n):
        array, start, step = frames
        position = min(max(start + n * step, 0.0), array.shape[1] - 1.0)
        first = int(position)
        second = min(first + 1, array.shape[1] - 1)
        return np.uintp(first), np.uintp(second), array.dtype.type(position - first)

    return interpolated


@overload(coefficient, inline="always")
def _coefficient(frames, b, where, i):
    if isinstance(frames, numba.types.Array) and frames.ndim == 2:
        return lambda frames, b, where, i: frames[b, i]
    if isinstance(frames, numba.types.Array):
        return lambda frames, b, where, i: frames[b, where, i]

    def interpolated(frames, b, where, i):
        first, second, weight = where
        left = frames[0][b, first, i]
        return left + weight * (frames[0][b, second, i] - left)

    return interpolated


@inline
def newest_first(history, values):
    for i in range(len(history)):
        history = tuple_setitem(history, i, values[i])  # type: ignore[call-arg]
    return history


# ------------------------------------------------------------------------------------------------------------- all-pole


@inline
def _allpole_sample(x, a, b, n, where, past):
    y = x[b, n]
    for i in range(len(past) - 1, -1, -1):
        y -= coefficient(a, b, where, i) * past[i]
    return y


@inline
def _pushed(newest, past):
    return (newest,) + past[:-1]  # noqa: RUF005  (Numba does not unpack tuples)


@jit
def _allpole_short(first, last, x, a, zi, y, history):
    b = first
    while len(history) <= TAPS_TOGETHER and b + ROWS <= last:
        h0, h1 = newest_first(history, zi[b]), newest_first(history, zi[b + 1])
        h2, h3 = newest_first(history, zi[b + 2]), newest_first(history, zi[b + 3])
        for n in range(x.shape[1]):
            where = locate(a, n)
            y0, y1 = _allpole_sample(x, a, b, n, where, h0), _allpole_sample(x, a, b + 1, n, where, h1)
            y2, y3 = _allpole_sample(x, a, b + 2, n, where, h2), _allpole_sample(x, a, b + 3, n, where, h3)
            y[b, n], y[b + 1, n], y[b + 2, n], y[b + 3, n] = y0, y1, y2, y3
            h0, h1, h2, h3 = _pushed(y0, h0), _pushed(y1, h1), _pushed(y2, h2), _pushed(y3, h3)
        b += ROWS
    while b < last:
        past = newest_first(history, zi[b])
        for n in range(x.shape[1]):
            out = _allpole_sample(x, a, b, n, locate(a, n), past)
            y[b, n] = out
            past = _pushed(out, past)
        b += 1


@jit_sum
def _older_taps(a, b, where, y, n, taps):
    total = y.dtype.type(0)
    for i in range(1, taps):
        total += coefficient(a, b, where, i) * y[b, np.uintp(n - 1 - i)]
    return total


@jit
def _allpole_long(first, last, x, a, zi, y):
    taps = zi.shape[1]
    for b in range(first, last):
        for n in range(min(taps, x.shape[1])):
            where = locate(a, n)
            out = x[b, n]
            for i in range(taps - 1, -1, -1):
                out -= coefficient(a, b, where, i) * (y[b, n - 1 - i] if i < n else zi[b, i - n])
            y[b, n] = out
        for n in range(taps, x.shape[1]):
            where = locate(a, n)
            y[b, n] = (x[b, n] - _older_taps(a, b, where, y, n, taps)) - coefficient(a, b, where, 0) * y[b, n - 1]


# The adjoint scatters: dx[n] is subtracted, times its own row of coefficients, from what the samples before it will be.
# So each row of `a` is read once, in order, nothing is shifted, and what is left over at the start is dzi.
# `pending[j]` belongs to sample n−j; the newest term of pending[0], a1·newer, is kept apart, because it enters last.


def _scattered(pending, a, b, where, i, dx):
    """The tuple (pending[1] − a_i dx, pending[2] − a_{i+1} dx, …, −a_last dx), by recursion: it has no loop to unroll."""


@overload(_scattered)
def _scattered_typed(pending, a, b, where, i, dx):
    if len(pending) == 0:
        return lambda pending, a, b, where, i, dx: ()
    if len(pending) == 1:
        return lambda pending, a, b, where, i, dx: (-coefficient(a, b, where, i) * dx,)
    return lambda pending, a, b, where, i, dx: (
        (pending[1] - coefficient(a, b, where, i) * dx,) + _scattered(pending[1:], a, b, where, i + 1, dx)  # noqa: RUF005
    )


@inline
def _adjoint_sample(g, a, b, n, where, pending, a1, newer):
    dx = (g[b, np.uintp(n)] + pending[0]) - a1 * newer
    moved = pending[1:] + (pending[0] * 0,)  # noqa: RUF005  (for order 1 nothing is pending, and stays 0)
    return moved[:1] + _scattered(pending[1:], a, b, where, 1, dx), coefficient(a, b, where, 0), dx


@inline
def _write_gradients(past, offset, b, n, order, newer, dx, da):
    """dx[n], and daᵢ[n] = −dx[n] y[n−i], where y[n−i] is past[n−i+offset]."""
    dx[b, np.uintp(n)] = newer
    if da.shape[1]:
        for i in range(order):
            da[b, np.uintp(n), i] = -newer * past[b, np.uintp(n - 1 - i + offset)]


@jit
def _allpole_adjoint_short(first, last, g, a, y, start, dx, da, dzi, rest):
    """`start` is y from −order to order: the first samples reach into zi, all others need not ask whether they do."""
    order = len(rest)
    edge = min(order, g.shape[1]) - 1
    for b in range(first, last):
        pending, a1, newer = rest, rest[0], rest[0]
        for n in range(g.shape[1] - 1, edge, -1):
            where = locate(a, n)
            pending, a1, newer = _adjoint_sample(g, a, b, n, where, pending, a1, newer)
            _write_gradients(y, 0, b, n, order, newer, dx, da)
        for n in range(edge, -1, -1):
            where = locate(a, n)
            pending, a1, newer = _adjoint_sample(g, a, b, n, where, pending, a1, newer)
            _write_gradients(start, order, b, n, order, newer, dx, da)
        for i in range(order):
            dzi[b, i] = pending[i]
        dzi[b, 0] -= a1 * newer


@jit
def _allpole_adjoint_long(first, last, g, a, y, start, dx, da, dzi):
    order = dzi.shape[1]
    time = g.shape[1]
    for b in range(first, last):
        dx[b] = g[b]
        dzi[b] = 0
        for n in range(time - 1, -1, -1):
            where = locate(a, n)
            now = dx[b, n]
            inside = min(order, n)
            for i in range(inside):
                dx[b, np.uintp(n - 1 - i)] -= coefficient(a, b, where, i) * now
            for i in range(inside, order):
                dzi[b, i - n] -= coefficient(a, b, where, i) * now
            if n >= order:
                _write_gradients(y, 0, b, n, order, now, dx, da)
            else:
                _write_gradients(start, order, b, n, order, now, dx, da)


# ------------------------------------------------------------------------------------------------------------------ FIR


def tap_count(taps):
    """The number of taps: a tuple's length, which the compiler knows, or a plain integer, which it does not."""


@overload(tap_count)
def _tap_count(taps):
    if isinstance(taps, numba.types.BaseTuple):
        return lambda taps: len(taps)
    return lambda taps: taps


@jit
def _fir(first, last, x, b, y, taps):
    count = tap_count(taps)
    for r in range(first, last):
        for n in range(y.shape[1]):
            total = b[r, n, 0] * x[r, np.uintp(n + count - 1)]
            for k in range(1, count):
                total += b[r, n, k] * x[r, np.uintp(n + count - 1 - k)]
            y[r, n] = total


# At the control rate, the samples between two frames share both: over them, all is a sum that runs in vector registers.


@inline
def _weight(start, step, frames, frame, n):
    """The weight of the frame after `frame` at sample n."""
    return min(max(start + n * step, 0.0), frames - 1.0) - frame


@inline
def _stretch(start, step, frames, n, time):
    """The frame that sample n comes after, and the first sample that comes after another."""
    frame = int(min(max(start + n * step, 0.0), frames - 1.0))
    if frame == frames - 1 or step <= 0.0:
        return frame, time
    end = min(max(int((frame + 1 - start) / step), n + 1), time)
    while end < time and start + end * step < frame + 1:
        end += 1
    while end > n + 1 and start + (end - 1) * step >= frame + 1:
        end -= 1
    return frame, end


@jit
def _fir_frames_short(first, last, x, b, start, step, y, taps):
    frames, count = b.shape[1], len(taps)
    for r in range(first, last):
        n = 0
        while n < y.shape[1]:
            frame, end = _stretch(start, step, frames, n, y.shape[1])
            left = newest_first(taps, b[r, frame])
            right = newest_first(taps, b[r, min(frame + 1, frames - 1)])
            for i in range(n, end):
                weight = x.dtype.type(_weight(start, step, frames, frame, i))
                total = (left[0] + weight * (right[0] - left[0])) * x[r, np.uintp(i + count - 1)]
                for k in range(1, count):
                    total += (left[k] + weight * (right[k] - left[k])) * x[r, np.uintp(i + count - 1 - k)]
                y[r, np.uintp(i)] = total
            n = end


@jit
def _fir_frames_long(first, last, x, b, start, step, y):
    taps = b.shape[2]
    for r in range(first, last):
        for n in range(y.shape[1]):
            where = locate((b, start, step), n)
            total = x.dtype.type(0)
            for k in range(taps):
                total += coefficient((b, start, step), r, where, k) * x[r, np.uintp(n + taps - 1 - k)]
            y[r, n] = total


@jit_sum
def _fir_outer_frames(first, last, g, x, start, step, db):
    """`db` is float64, whatever g is: a frame's sum may be long."""
    frames, taps = db.shape[1], db.shape[2]
    for r in range(first, last):
        db[r] = 0
        n = 0
        while n < g.shape[1]:
            frame, end = _stretch(start, step, frames, n, g.shape[1])
            after = min(frame + 1, frames - 1)
            for k in range(taps):
                total, weighted = 0.0, 0.0
                for i in range(n, end):
                    product = np.float64(g[r, np.uintp(i)] * x[r, np.uintp(i + taps - 1 - k)])
                    total += product
                    weighted += product * _weight(start, step, frames, frame, i)
                db[r, frame, k] += total - weighted
                db[r, after, k] += weighted
            n = end


@jit
def _fir_transpose(first, last, g, b, dx, taps):
    count = tap_count(taps)
    for r in range(first, last):
        dx[r] = 0
        for n in range(g.shape[1]):
            where = locate(b, n)
            now = g[r, n]
            for k in range(count):
                dx[r, np.uintp(n + count - 1 - k)] += coefficient(b, r, where, k) * now


@jit
def _fir_outer(first, last, g, x, db, taps):
    count = tap_count(taps)
    for r in range(first, last):
        for n in range(g.shape[1]):
            for k in range(count):
                db[r, n, k] = g[r, n] * x[r, np.uintp(n + count - 1 - k)]


# --------------------------------------------------------------------------------- all-passes in a feedback loop, solved
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
def _allpass(first, last, x, s, p, loop, filtered, zi, z, w, rest):
    stages = len(rest) - 1
    for b in range(first, last):
        memory = newest_first(rest, zi[b])
        f, w2 = np.float64(zi[b, stages + 1]), np.float64(zi[b, stages + 2])
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
def _allpass_transpose(first, last, g, p, loop, filtered, adjoint, rest):
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
def _allpass_adjoint(first, last, g, p, loop, filtered, z, zi, ds, dp, dloop, dzi, rest):
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


# ------------------------------------------------------------------------------------------------ tensors to the kernels


_pool: ThreadPoolExecutor | None = None


def _forget_pool() -> None:
    """A forked child has none of its parent's threads."""
    global _pool
    _pool = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)


def _over_rows(kernel: Callable, rows: int, work: int, *arguments) -> None:
    """Runs `kernel(first, last, …)` over all rows, divided among threads where `work` (multiply-adds) is worth it."""
    global _pool
    threads = min(torch.get_num_threads(), rows, work // WORTH_A_THREAD)
    if threads <= 1:
        kernel(0, rows, *arguments)
        return
    if _pool is None:
        _pool = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="diffapf")
    bounds = [rows * i // threads for i in range(threads + 1)]
    others = [_pool.submit(kernel, bounds[i], bounds[i + 1], *arguments) for i in range(1, threads)]
    kernel(0, bounds[1], *arguments)
    for other in others:
        other.result()


def _history(dtype: torch.dtype, taps: int) -> tuple:
    return ((np.float32 if dtype == torch.float32 else np.float64)(0),) * taps


def _frames(coefficients: np.ndarray, timing: tuple[float, float] | None):
    if timing is None:
        return coefficients
    return coefficients[:, 0] if coefficients.shape[1] == 1 else (coefficients, *timing)


def allpole(x: Tensor, a: Tensor, timing, zi: Tensor, y: Tensor) -> None:
    rows, taps = zi.shape
    arguments = [x.numpy(), _frames(a.numpy(), timing), zi.numpy(), y.numpy()]
    if taps <= TAPS_IN_REGISTERS:
        _over_rows(_allpole_short, rows, x.numel() * taps, *arguments, _history(x.dtype, taps))
    else:
        _over_rows(_allpole_long, rows, x.numel() * taps, *arguments)


def allpole_adjoint(g: Tensor, a: Tensor, timing, y: Tensor, zi: Tensor, dx: Tensor, da: Tensor, dzi: Tensor) -> None:
    rows, taps = zi.shape
    start = torch.cat([zi.flip(1), y[:, :taps]], 1)
    in_kernel = da if timing is None else da[:, :0]
    arguments = [g.numpy(), _frames(a.numpy(), timing), y.numpy(), start.numpy(), dx.numpy(), in_kernel.numpy()]
    work = 2 * g.numel() * taps
    if taps <= TAPS_IN_REGISTERS:
        _over_rows(_allpole_adjoint_short, rows, work, *arguments, dzi.numpy(), _history(g.dtype, taps))
    else:
        _over_rows(_allpole_adjoint_long, rows, work, *arguments, dzi.numpy())
    if timing is not None and da.shape[1]:
        before = torch.cat([zi.flip(1), y], 1)[:, : y.shape[1] + taps - 1].contiguous()
        fir_outer(dx, before, timing, da)
        da.neg_()


def _fir_taps(dtype: torch.dtype, taps: int):
    return _history(dtype, taps) if taps <= TAPS_IN_REGISTERS else taps


def fir(x: Tensor, b: Tensor, timing, y: Tensor) -> None:
    work, taps = y.numel() * b.shape[2], _fir_taps(x.dtype, b.shape[2])
    if timing is None:
        _over_rows(_fir, x.shape[0], work, x.numpy(), b.numpy(), y.numpy(), taps)
    elif isinstance(taps, tuple):
        _over_rows(_fir_frames_short, x.shape[0], work, x.numpy(), b.numpy(), *timing, y.numpy(), taps)
    else:
        _over_rows(_fir_frames_long, x.shape[0], work, x.numpy(), b.numpy(), *timing, y.numpy())


def fir_transpose(g: Tensor, b: Tensor, timing, dx: Tensor) -> None:
    taps = _fir_taps(g.dtype, b.shape[2])
    frames = _frames(b.numpy(), timing)
    _over_rows(_fir_transpose, g.shape[0], g.numel() * b.shape[2], g.numpy(), frames, dx.numpy(), taps)


def fir_outer(g: Tensor, x: Tensor, timing, db: Tensor) -> None:
    work = g.numel() * db.shape[2]
    if timing is None:
        taps = _fir_taps(g.dtype, db.shape[2])
        _over_rows(_fir_outer, g.shape[0], work, g.numpy(), x.numpy(), db.numpy(), taps)
        return
    sums = db if db.dtype == torch.float64 else torch.empty(db.shape, dtype=torch.float64)
    _over_rows(_fir_outer_frames, g.shape[0], work, g.numpy(), x.numpy(), *timing, sums.numpy())
    if sums is not db:
        db.copy_(sums)


def _stages(zi: Tensor) -> tuple[float, ...]:
    return (0.0,) * (zi.shape[1] - 2)


def _loop(loop: Tensor) -> tuple[np.ndarray, bool | None]:
    """The loops in float64, and None where all are plain gains, for which the kernels are compiled apart."""
    filters = loop.double().numpy()
    return filters, True if filters[:, 1:].any() else None


def allpass(s: Tensor, p: Tensor, loop: Tensor, zi: Tensor, z: Tensor, w: Tensor) -> None:
    rows, rest = p.shape[0], _stages(zi)
    x = s[:, :, 0].contiguous().numpy()
    others = s.numpy() if s.shape[2] > 1 else None
    arguments = (x, others, p.numpy(), *_loop(loop), zi.numpy(), z.numpy(), w.numpy(), rest)
    _over_rows(_allpass, rows, p.numel() * 8 * len(rest), *arguments)


def allpass_transpose(g: Tensor, p: Tensor, loop: Tensor, adjoint: Tensor) -> None:
    rest = (0.0,) * (adjoint.shape[2] - 1)
    last_stage_first = [*range(adjoint.shape[2] - 2, -1, -1), adjoint.shape[2] - 1]
    reversed_g, reversed_adjoint = g[:, :, last_stage_first].contiguous(), torch.empty_like(adjoint)
    arguments = (reversed_g.numpy(), p.numpy(), *_loop(loop), reversed_adjoint.numpy(), rest)
    _over_rows(_allpass_transpose, p.shape[0], p.numel() * 8 * len(rest), *arguments)
    adjoint.copy_(reversed_adjoint[:, :, last_stage_first])


def allpass_adjoint(
    g: Tensor, p: Tensor, loop: Tensor, z: Tensor, zi: Tensor, ds: Tensor, dp: Tensor, dloop: Tensor, dzi: Tensor
) -> None:
    rest, sums = _stages(zi), torch.zeros(loop.shape, dtype=torch.float64)
    arguments = [g.numpy(), p.numpy(), *_loop(loop), z.numpy(), zi.numpy()]
    arguments += [ds.numpy(), dp.numpy(), sums.numpy(), dzi.numpy()]
    _over_rows(_allpass_adjoint, p.shape[0], p.numel() * 12 * len(rest), *arguments, rest)
    dloop.copy_(sums)
