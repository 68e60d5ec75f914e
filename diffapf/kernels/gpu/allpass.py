"""First-order all-passes in a feedback loop without delay, by chunks of time: a lane a chunk, its state in registers.

The loop is affine in its state, so one step function serves every pass: lanes that differ in their initial state alone
give a chunk's map (`_respond`, `_respond_backward`), `carry` the state before each chunk, and a lane from that state the
signals (`_allpass`, `_allpass_transpose`, `_allpass_adjoint`). State and sums are float64 whatever the tensors' dtype.

Forward the state is (e, y₁ … y_K, f at n−1; w at n−2), which is `zi`. Backward in time it is (λ_K … λ₁, λ_f at n+1; λ_f at
n+2): last stage first, as they are solved. Samples from `time` on have no source and p = 0; nobody reads them.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from diffapf.kernels.gpu.carry import carry
from diffapf.kernels.gpu.launch import SIZES, Sizes, cdiv, chunks_of_samples, kernel, launch, power_of_two

LANES = 32


@triton.jit
def _loop_filter(loop, row, mask):
    q0 = tl.load(loop + row * 4, mask, 0.0).to(tl.float64)
    q1 = tl.load(loop + row * 4 + 1, mask, 0.0).to(tl.float64)
    q2 = tl.load(loop + row * 4 + 2, mask, 0.0).to(tl.float64)
    a = tl.load(loop + row * 4 + 3, mask, 0.0).to(tl.float64)
    return q0, q1, q2, a


@triton.jit
def _to_the(p, STAGES: tl.constexpr):
    power = p
    for _ in tl.static_range(STAGES - 1):
        power = power * p
    return power


@triton.jit
def _loaded(there, mask, COUNT: tl.constexpr):
    """COUNT numbers of each lane, in float64."""
    values = ()
    for j in tl.static_range(COUNT):
        values = values + (tl.load(there + j, mask, 0.0).to(tl.float64),)
    return values


@triton.jit
def _units(response, COUNT: tl.constexpr):
    """The r-th unit state in the lanes of response r."""
    values = ()
    for j in tl.static_range(COUNT):
        values = values + (tl.where(response == j, 1.0, 0.0).to(tl.float64),)
    return values


@triton.jit
def _store_map(maps, lane, response, state, mask, SIZE: tl.constexpr):
    for j in tl.static_range(SIZE):
        tl.store(maps + (lane.to(tl.int64) * SIZE + j) * (SIZE + 1) + response, state[j], mask & (response <= SIZE))


# --------------------------------------------------------------------------------------------------------- forward


@triton.jit
def _sources(s, at, mask, STAGES: tl.constexpr, SOURCES: tl.constexpr):
    """The source of each equation at sample `at` (rows · time): (s₀ … s_K, s_f)."""
    values = (tl.load(s + at * SOURCES, mask, 0.0).to(tl.float64),)
    for j in tl.static_range(1, STAGES + 2):
        if SOURCES == 1:
            values = values + (values[0] * 0.0,)
        else:
            values = values + (tl.load(s + at * SOURCES + j, mask, 0.0).to(tl.float64),)
    return values


@triton.jit
def _solved(source, p, q0, q1, q2, a, state, STAGES: tl.constexpr):
    """One sample of `reference.allpass`: the state after it; (e, y₁ … y_K, f) are its first K+2."""
    from_past = p * 0.0
    responses = ()
    for k in tl.static_range(1, STAGES + 1):
        from_past = p * from_past + (p * state[k] - state[k - 1] + source[k])
        responses = responses + (from_past,)
    known = source[STAGES + 1] + q1 * state[STAGES] + q2 * state[STAGES + 2] + a * state[STAGES + 1]
    gain = _to_the(p, STAGES)
    e = (source[0] + known + q0 * from_past) / (1.0 - q0 * gain)
    after = (e,)
    driven = e
    for k in tl.static_range(STAGES):
        driven = driven * p
        after = after + (driven + responses[k],)
    return after + (q0 * (gain * e + from_past) + known, state[STAGES])


@kernel
def _respond(
    s, p, loop, maps, rows, time, chunks, length,
    STAGES: tl.constexpr, SOURCES: tl.constexpr, RESPONSES: tl.constexpr, LANES: tl.constexpr,
):  # fmt: skip
    thread = tl.program_id(0) * LANES + tl.arange(0, LANES)
    lane, response = thread // RESPONSES, thread % RESPONSES
    row, begin = lane // chunks, (lane % chunks) * length
    here = row < rows
    q0, q1, q2, a = _loop_filter(loop, row, here)
    state = _units(response, STAGES + 3)
    for k in range(length):
        at = row.to(tl.int64) * time + begin + k
        inside = here & (begin + k < time)
        source = _sources(s, at, inside & (response == STAGES + 3), STAGES, SOURCES)
        state = _solved(source, tl.load(p + at, inside, 0.0).to(tl.float64), q0, q1, q2, a, state, STAGES)
    _store_map(maps, lane, response, state, here, STAGES + 3)


@kernel
def _allpass(
    s, p, loop, states, z, w, rows, time, chunks, length,
    STAGES: tl.constexpr, SOURCES: tl.constexpr, LANES: tl.constexpr,
):  # fmt: skip
    lane = tl.program_id(0) * LANES + tl.arange(0, LANES)
    row, begin = lane // chunks, (lane % chunks) * length
    here = row < rows
    q0, q1, q2, a = _loop_filter(loop, row, here)
    state = _loaded(states + lane * (STAGES + 3), here, STAGES + 3)
    for k in range(length):
        at = row.to(tl.int64) * time + begin + k
        inside = here & (begin + k < time)
        source = _sources(s, at, inside, STAGES, SOURCES)
        state = _solved(source, tl.load(p + at, inside, 0.0).to(tl.float64), q0, q1, q2, a, state, STAGES)
        tl.store(w + at, state[STAGES], inside)
        for j in tl.static_range(STAGES + 2):
            tl.store(z + at * (STAGES + 2) + j, state[j], inside)


# -------------------------------------------------------------------------------------------------------- backward


@triton.jit
def _gradients(g, at, mask, STAGES: tl.constexpr, ALL: tl.constexpr):
    """The gradient of each signal, last stage first: (g_K … g₀, g_f); of w = y_K alone unless ALL."""
    values = ()
    if ALL:
        for j in tl.static_range(STAGES + 1):
            values = values + (tl.load(g + at * (STAGES + 2) + (STAGES - j), mask, 0.0).to(tl.float64),)
        values = values + (tl.load(g + at * (STAGES + 2) + (STAGES + 1), mask, 0.0).to(tl.float64),)
    else:
        values = values + (tl.load(g + at, mask, 0.0).to(tl.float64),)
        for _ in tl.static_range(STAGES + 1):
            values = values + (values[0] * 0.0,)
    return values


@triton.jit
def _solved_backward(gradient, p, p_next, q0, q1, q2, a, state, STAGES: tl.constexpr):
    """One sample of `reference.allpass_transpose`: ((λ_K … λ₀), λ_f)."""
    known = gradient[0] + p_next * state[0] + q1 * state[STAGES] + q2 * state[STAGES + 1]
    from_future = p * 0.0
    carried = ()
    for j in tl.static_range(STAGES):
        term = gradient[j + 1] - state[j]
        if j < STAGES - 1:
            term += p_next * state[j + 1]
        carried = carried + (term,)
        from_future = p * from_future + term
    f_known = gradient[STAGES + 1] + a * state[STAGES]
    driven = (known + q0 * (from_future + f_known)) / (1.0 - q0 * _to_the(p, STAGES))
    stages = (driven,)
    for j in tl.static_range(STAGES):
        driven = p * driven + carried[j]
        stages = stages + (driven,)
    return stages, driven + f_known


@triton.jit
def _remembered(stages, f, state, STAGES: tl.constexpr):
    """The state that the sample before needs: λ₀ is no part of it."""
    return stages[:-1] + (f, state[STAGES])


@triton.jit
def _coefficient_here_and_next(p, at, n, time, here):
    now = tl.load(p + at, here & (n < time), 0.0).to(tl.float64)
    return now, tl.load(p + at + 1, here & (n + 1 < time), 0.0).to(tl.float64)


@kernel
def _respond_backward(
    g, p, loop, maps, rows, time, chunks, length,
    STAGES: tl.constexpr, ALL: tl.constexpr, RESPONSES: tl.constexpr, LANES: tl.constexpr,
):  # fmt: skip
    thread = tl.program_id(0) * LANES + tl.arange(0, LANES)
    lane, response = thread // RESPONSES, thread % RESPONSES
    row, begin = lane // chunks, (lane % chunks) * length
    here = row < rows
    q0, q1, q2, a = _loop_filter(loop, row, here)
    state = _units(response, STAGES + 2)
    for k in range(length):
        n = begin + length - 1 - k
        at = row.to(tl.int64) * time + n
        gradient = _gradients(g, at, here & (n < time) & (response == STAGES + 2), STAGES, ALL)
        now, following = _coefficient_here_and_next(p, at, n, time, here)
        stages, f = _solved_backward(gradient, now, following, q0, q1, q2, a, state, STAGES)
        state = _remembered(stages, f, state, STAGES)
    _store_map(maps, lane, response, state, here, STAGES + 2)


@kernel
def _allpass_transpose(
    g, p, loop, states, adjoint, rows, time, chunks, length, STAGES: tl.constexpr, LANES: tl.constexpr
):
    lane = tl.program_id(0) * LANES + tl.arange(0, LANES)
    row, begin = lane // chunks, (lane % chunks) * length
    here = row < rows
    q0, q1, q2, a = _loop_filter(loop, row, here)
    state = _loaded(states + lane * (STAGES + 2), here, STAGES + 2)
    for k in range(length):
        n = begin + length - 1 - k
        at = row.to(tl.int64) * time + n
        inside = here & (n < time)
        now, following = _coefficient_here_and_next(p, at, n, time, here)
        gradient = _gradients(g, at, inside, STAGES, True)
        stages, f = _solved_backward(gradient, now, following, q0, q1, q2, a, state, STAGES)
        state = _remembered(stages, f, state, STAGES)
        for j in tl.static_range(STAGES + 1):
            tl.store(adjoint + at * (STAGES + 2) + (STAGES - j), stages[j], inside)
        tl.store(adjoint + at * (STAGES + 2) + (STAGES + 1), f, inside)


@triton.jit
def _signal(z, zi, at, n, j, inside, STAGES: tl.constexpr):
    """Signal j of z at sample n ≥ −1, where −1 is in zi."""
    value = tl.load(z + at * (STAGES + 2) + j, inside & (n >= 0), 0.0)
    return (value + tl.load(zi + j + n * 0, inside & (n < 0), 0.0)).to(tl.float64)


@kernel
def _allpass_adjoint(
    g, p, loop, z, zi, states, ds, dp, sums, dzi, rows, time, chunks, length,
    STAGES: tl.constexpr, LANES: tl.constexpr,
):  # fmt: skip
    """`sums` is (rows, chunks, 4): the gradients of the loop filter from each chunk."""
    lane = tl.program_id(0) * LANES + tl.arange(0, LANES)
    row, begin = lane // chunks, (lane % chunks) * length
    here = row < rows
    zi += row * (STAGES + 3)
    q0, q1, q2, a = _loop_filter(loop, row, here)
    state = _loaded(states + lane * (STAGES + 2), here, STAGES + 2)
    d0, d1, d2, da = q0 * 0.0, q0 * 0.0, q0 * 0.0, q0 * 0.0
    now = q0 * 0.0
    for k in range(length):
        n = begin + length - 1 - k
        at = row.to(tl.int64) * time + n
        inside = here & (n < time)
        now, following = _coefficient_here_and_next(p, at, n, time, here)
        gradient = _gradients(g, at, inside, STAGES, False)
        stages, f = _solved_backward(gradient, now, following, q0, q1, q2, a, state, STAGES)
        state = _remembered(stages, f, state, STAGES)
        tl.store(ds + at, stages[STAGES], inside)
        product = q0 * 0.0
        for stage in tl.static_range(1, STAGES + 1):
            before = _signal(z, zi, at, n, stage - 1, inside, STAGES)
            product += stages[STAGES - stage] * (before + _signal(z, zi, at - 1, n - 1, stage, inside, STAGES))
        tl.store(dp + at, product, inside)
        d0 += f * _signal(z, zi, at, n, STAGES, inside, STAGES)
        d1 += f * _signal(z, zi, at - 1, n - 1, STAGES, inside, STAGES)
        older = tl.load(zi + STAGES + 2, inside & (n == 0), 0.0).to(tl.float64)
        d2 += f * (older + _signal(z, zi, at - 2, n - 2, STAGES, inside & (n > 0), STAGES))
        da += f * _signal(z, zi, at - 1, n - 1, STAGES + 1, inside, STAGES)
    tl.store(sums + lane * 4, d0, here)
    tl.store(sums + lane * 4 + 1, d1, here)
    tl.store(sums + lane * 4 + 2, d2, here)
    tl.store(sums + lane * 4 + 3, da, here)
    # what the equations of the first two samples read of the initial state
    starts = here & (begin == 0)
    dzi += row * (STAGES + 3)
    tl.store(dzi, -state[STAGES - 1], starts)
    for k in tl.static_range(1, STAGES):
        tl.store(dzi + k, now * state[STAGES - k] - state[STAGES - k - 1], starts)
    tl.store(dzi + STAGES, now * state[0] + q1 * state[STAGES] + q2 * state[STAGES + 1], starts)
    tl.store(dzi + STAGES + 1, a * state[STAGES], starts)
    tl.store(dzi + STAGES + 2, q2 * state[STAGES], starts)


# -------------------------------------------------------------------------------------------------------- launchers


def _states_before_chunks(
    respond, drive: Tensor, p: Tensor, loop: Tensor, initial: Tensor, where: tuple[int, ...], **constants
) -> Tensor:
    rows, _, chunks, _ = where
    size = initial.shape[1]
    if chunks == 1:
        return initial
    maps = torch.empty(rows, chunks, size, size + 1, dtype=torch.float64, device=p.device)
    responses = power_of_two(size + 1)
    programs = cdiv(rows * chunks * responses, LANES)
    launch(
        respond, programs, p, drive, p, loop, maps, *where, RESPONSES=responses, LANES=LANES, num_warps=1, **constants
    )
    return carry(maps, initial, respond is _respond_backward)


def _rest(p: Tensor, size: int) -> Tensor:
    return torch.zeros(p.shape[0], size, dtype=torch.float64, device=p.device)


def allpass(s: Tensor, p: Tensor, loop: Tensor, zi: Tensor, z: Tensor, w: Tensor, sizes: Sizes = SIZES) -> None:
    where = (*p.shape, *chunks_of_samples(p, LANES, sizes))
    constants = {"STAGES": zi.shape[1] - 3, "SOURCES": s.shape[2]}
    states = _states_before_chunks(_respond, s, p, loop, zi.double(), where, **constants)
    programs = cdiv(where[0] * where[2], LANES)
    launch(_allpass, programs, p, s, p, loop, states, z, w, *where, LANES=LANES, num_warps=1, **constants)


def allpass_transpose(g: Tensor, p: Tensor, loop: Tensor, adjoint: Tensor, sizes: Sizes = SIZES) -> None:
    where = (*p.shape, *chunks_of_samples(p, LANES, sizes))
    stages = adjoint.shape[2] - 2
    rest = _rest(p, stages + 2)
    states = _states_before_chunks(_respond_backward, g, p, loop, rest, where, STAGES=stages, ALL=True)
    constants = {"STAGES": stages, "LANES": LANES, "num_warps": 1}
    programs = cdiv(where[0] * where[2], LANES)
    launch(_allpass_transpose, programs, p, g, p, loop, states, adjoint, *where, **constants)


def allpass_adjoint(
    g: Tensor, p: Tensor, loop: Tensor, z: Tensor, zi: Tensor, ds: Tensor, dp: Tensor, dloop: Tensor, dzi: Tensor,
    sizes: Sizes = SIZES,
) -> None:  # fmt: skip
    where = (*p.shape, *chunks_of_samples(p, LANES, sizes))
    rows, _, chunks, _ = where
    stages = z.shape[2] - 2
    rest = _rest(p, stages + 2)
    states = _states_before_chunks(_respond_backward, g, p, loop, rest, where, STAGES=stages, ALL=False)
    sums = torch.empty(rows, chunks, 4, dtype=torch.float64, device=p.device)
    arguments = (g, p, loop, z, zi, states, ds, dp, sums, dzi, *where)
    programs = cdiv(rows * chunks, LANES)
    launch(_allpass_adjoint, programs, p, *arguments, STAGES=stages, LANES=LANES, num_warps=1)
    dloop.copy_(sums.sum(1))
