"""All-passes in a feedback loop without delay, solved at each sample; see `reference.py` for the equations."""

from __future__ import annotations

import numba
import numpy as np
import torch
from numba.extending import overload
from torch import Tensor

from diffapf.kernels.cpu.launch import INLINED, inline, jit, over_rows, step
from diffapf.kernels.cpu.segments import in_segments, put, put_row, with_sample
from diffapf.kernels.cpu.tuples import loaded, plus, split

# State and sums are float64 whatever the arrays' dtype: it costs nothing here, and near p = 1 float32 would lose digits.


def _responses(memory, p, own, s, b, n, k):
    """Each stage's response to the past and the sources alone: Sₖ = p Sₖ₋₁ + (own·memory[k] − memory[k−1] + sₖ), S₀ = 0.

    By halves, because each sample waits for the last of them: the second half's own, plus what the first half sends it.
    """


@overload(_responses, jit_options=INLINED)
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


@overload(_driven, jit_options=INLINED)
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


def level(through, b):
    """through[b]; 0 where there is none."""


@overload(level, inline="always")
def _level(through, b):
    if isinstance(through, numba.types.NoneType):
        return lambda through, b: 0.0
    return lambda through, b: through[b]


def loop_memory(filtered, b1, x1, b2, x2):
    """b1·x1 + b2·x2, the loop filter's memory; nothing where `filtered` is None, the loop a plain gain.

    Known to the compiler, so that no sample waits for products with zero.
    """


@overload(loop_memory, inline="always")
def _loop_memory(filtered, b1, x1, b2, x2):
    if isinstance(filtered, numba.types.NoneType):
        return lambda filtered, b1, x1, b2, x2: 0.0
    return lambda filtered, b1, x1, b2, x2: b1 * x1 + b2 * x2


# A step of the recursion, forward in time or backward, has its registers in one tuple: (e, y₁ … y_K, f; w a sample before),
# or (λ_K … λ₁, λ_f; λ_f a sample after). Where its source (x or g) is None, it adds to the results: see `segments.py`.


@step
def _allpass_step(arrays, b, begin, end, i, registers):
    x, s, p, loop, through, z, w, filtered = arrays
    n = np.uintp(begin + i)
    memory, f, w2 = registers[:-2], registers[-2], registers[-1]
    q0, q1, q2, a = loop[b, 0], loop[b, 1], loop[b, 2], loop[b, 3]
    pn = np.float64(p[b, n])
    gain = pn
    for _ in range(len(memory) - 2):
        gain *= pn
    responses = _responses(memory, pn, pn, s, b, n, 1)
    known = loop_memory(filtered, q2, w2, a, f) + loop_memory(filtered, q1, memory[-1], 0.0, 0.0)
    known = with_source(known, s, b, n, -1)
    from_past = responses[-1]
    solved = 1.0 / (1.0 - q0 * gain)
    e = with_sample(known, x, b, n) * solved + (q0 * solved) * from_past  # from_past comes last: one operation is left
    signals = (e,) + _driven(responses, pn, pn, e) + (q0 * (gain * e + from_past) + known,)  # noqa: RUF005
    changed = put_row(x, z, b, n, signals) | put(x, w, b, n, with_product(signals[-2], x, level(through, b), b, n))
    return signals + (memory[-1],), changed  # noqa: RUF005


_run_allpass = in_segments("allpass", _allpass_step)


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


def _stage_products(adjoint, inputs):
    """Σₖ λₖ (yₖ₋₁[n] + yₖ[n−1]), of tuples: λ from the last stage to the first, the stages' inputs from first to last."""


@overload(_stage_products, jit_options=INLINED)
def _stage_products_typed(adjoint, inputs):
    if len(adjoint) == 0:
        return lambda adjoint, inputs: 0.0
    return lambda adjoint, inputs: _stage_products(adjoint[1:], inputs[:-1]) + adjoint[0] * inputs[-1]


def _a_sample_before(signals, w, w1, p):
    """From (y₀ … y_K₋₁)[n], w = y_K[n] and w1 = y_K[n−1]: (y₀ … y_K₋₁)[n−1], and what p multiplies in each stage.

    yₖ₋₁[n−1] = p (yₖ₋₁[n] + yₖ[n−1]) − yₖ[n]: an all-pass backward in time, which forgets its rounding errors.
    """


@overload(_a_sample_before, jit_options=INLINED)
def _a_sample_before_typed(signals, w, w1, p):
    if len(signals) == 0:
        return lambda signals, w, w1, p: ((), ())

    def others_and_last(signals, w, w1, p):
        last = signals[-1]
        before = p * last + (p * w1 - w)
        others, inputs = _a_sample_before(signals[:-1], last, before, p)
        return others + (before,), inputs + (last + w1,)  # noqa: RUF005

    return others_and_last


@step
def _adjoint_step(arrays, b, begin, end, i, state):
    """The state: λ_K … λ₁; λ_f of two samples; five sums; and y₀ … y_K₋₁ of the sample, which start from `ends`."""
    g, x, p, loop, through, zi, y, ends, dx, dp, stages, filtered = arrays
    n = end - 1 - i
    at = np.uintp(n)
    adjoint, rest = split(state, stages)
    f1, f2, sums, signals = rest[0], rest[1], rest[2:7], rest[7:]
    if i == 0:
        signals = loaded(ends, (b, np.uintp(begin // (p.shape[1] // ends.shape[1]))), 0, stages)
    q0, q1, q2, a = loop[b, 0], loop[b, 1], loop[b, 2], loop[b, 3]
    p_now, p_next = np.float64(p[b, at]), np.float64(p[b, np.uintp(min(n + 1, p.shape[1] - 1))])
    gradient, memory = with_sample(0.0, g, b, at), adjoint + (0.0,)  # noqa: RUF005
    memory, e, f = _transposed_sample(gradient, None, p_now, p_next, q0, q1, q2, a, filtered, memory, f1, f2, b, at)
    last, passed = len(stages), through[b]
    now, w1, w2 = y[b, at] - passed * x[b, at], np.float64(zi[b, last]), np.float64(zi[b, last + 2])
    f_before = np.float64(zi[b, last + 1])
    if n > 0:
        before = np.uintp(n - 1)
        w1, w2 = y[b, before] - passed * x[b, before], w1
        if n > 1:
            w2 = y[b, np.uintp(n - 2)] - passed * x[b, np.uintp(n - 2)]
    signals, inputs = _a_sample_before(signals, now, w1, p_now)
    if n > 0:
        f_before = signals[0] - x[b, np.uintp(n - 1)]
    changed = put(g, dx, b, at, e + passed * gradient) | put(g, dp, b, at, _stage_products(memory[:-1], inputs))
    sums = plus(sums, (f * now, f * w1, f * w2, f * f_before, gradient * x[b, at]))
    return memory[:-1] + (f, f1) + sums + signals, changed  # noqa: RUF005


_run_adjoint = in_segments("allpass_output_adjoint", _adjoint_step, backward=True)


@jit
def _of_initial_state(first, last, p, loop, later, dzi):
    """The gradient of the initial state: what the equations of the first two samples read of it."""
    stages = dzi.shape[1] - 3
    for b in range(first, last):
        first_of_row = later[b, 0]
        f, f1 = first_of_row[stages], first_of_row[stages + 1]
        p0 = p[b, 0] if p.shape[1] else 0.0
        dzi[b, 0] = -first_of_row[stages - 1]
        for k in range(1, stages):
            dzi[b, k] = p0 * first_of_row[stages - k] - first_of_row[stages - k - 1]
        dzi[b, stages] = p0 * first_of_row[0] + loop[b, 1] * f + loop[b, 2] * f1
        dzi[b, stages + 1], dzi[b, stages + 2] = loop[b, 3] * f, loop[b, 2] * f


# Of the tangents, several that read the same row of p, z and the loop advance together, each a lane with registers as zi:
# what only these depend on is computed once, and one lane's chain of operations fills the time that another's waits.

LANES = 4


def _stage_inputs(now, earlier):
    """What p multiplies in each stage, yₖ₋₁[n] + yₖ[n−1], of tuples (y₀ … y_K, …)."""


@overload(_stage_inputs, jit_options=INLINED)
def _stage_inputs_typed(now, earlier):
    if len(now) == 1:
        return lambda now, earlier: ()
    return lambda now, earlier: (
        (np.float64(now[0]) + np.float64(earlier[1]),) + _stage_inputs(now[1:], earlier[1:])  # noqa: RUF005
    )


def _moved_responses(memory, p, before, dp, inputs, r, n):
    """Ṡₖ = p (Ṡₖ₋₁ + ẏₖ[n−1]) − ẏₖ₋₁[n−1] + ṗ (yₖ₋₁[n] + yₖ[n−1]) of each stage, Ṡ₀ = `before`."""


@overload(_moved_responses, jit_options=INLINED)
def _moved_responses_typed(memory, p, before, dp, inputs, r, n):
    if len(inputs) == 0:
        return lambda memory, p, before, dp, inputs, r, n: ()

    def first_and_others(memory, p, before, dp, inputs, r, n):
        response = with_product(p * (before + memory[1]) - memory[0], dp, inputs[0], r, n)
        return (response,) + _moved_responses(memory[1:], p, response, dp, inputs[1:], r, n)  # noqa: RUF005

    return first_and_others


def with_product(value, x, factor, b, n):
    """value + factor·x[b, n]; the value alone where x is None."""


@overload(with_product, inline="always")
def _with_product(value, x, factor, b, n):
    if isinstance(x, numba.types.NoneType):
        return lambda value, x, factor, b, n: value
    return lambda value, x, factor, b, n: value + factor * x[b, n]


@step
def _tangent_step(arrays, dy, r, n, point, registers):
    """A lane's registers a sample on."""
    dx, dp, dloop, dthrough, filtered = arrays  # dy is not among them: Numba would take what is stored there for dead
    x, through, p, solved, q, inputs, of_loop = point
    memory, f, w2 = registers[:-2], registers[-2], registers[-1]
    responses = _moved_responses(memory, p, 0.0, dp, inputs, r, n)
    known = dloop[r, 0] * of_loop[0] + dloop[r, 1] * of_loop[1] + dloop[r, 2] * of_loop[2] + dloop[r, 3] * of_loop[3]
    known += loop_memory(filtered, q[2], w2, q[3], f) + loop_memory(filtered, q[1], memory[-1], 0.0, 0.0)
    e = (with_sample(known, dx, r, n) + q[0] * responses[-1]) * solved
    stages = _driven(responses, p, p, e)
    dy[r, n] = with_product(stages[-1] + dthrough[r] * x, dx, through, r, n)
    return (e,) + stages + (q[0] * stages[-1] + known, memory[-1])  # noqa: RUF005


def _tangent_steps(arrays, dy, lanes, n, point, registers):
    """`_tangent_step` of each of the rows `lanes`."""


@overload(_tangent_steps, jit_options=INLINED)
def _tangent_steps_typed(arrays, dy, lanes, n, point, registers):
    if len(lanes) == 0:
        return lambda arrays, dy, lanes, n, point, registers: ()

    def first_and_others(arrays, dy, lanes, n, point, registers):
        one = _tangent_step(arrays, dy, lanes[0], n, point, registers[0])
        return (one,) + _tangent_steps(arrays, dy, lanes[1:], n, point, registers[1:])  # noqa: RUF005

    return first_and_others


def _lanes(first, last, apart, count):
    """As many rows as `count` is long, from the first on, so far apart; the last one again where there are no more."""


@overload(_lanes)
def _lanes_typed(first, last, apart, count):
    if len(count) == 0:
        return lambda first, last, apart, count: ()
    return lambda first, last, apart, count: (
        (min(first, last),) + _lanes(first + apart, last, apart, count[1:])  # noqa: RUF005
    )


def _initial(dzi, lanes, registers):
    """The rows `lanes` of the initial state."""


@overload(_initial)
def _initial_typed(dzi, lanes, registers):
    if len(lanes) == 0:
        return lambda dzi, lanes, registers: ()
    return lambda dzi, lanes, registers: (
        (loaded(dzi, (lanes[0],), 0, registers),) + _initial(dzi, lanes[1:], registers)  # noqa: RUF005
    )


@jit
def _allpass_output_tangent(
    first, last, dx, dp, dloop, dthrough, dzi, x, p, loop, through, z, zi, dy, dzf, filtered, count, registers
):
    """A unit is a row of p and as many of the rows that read it as there are lanes."""
    arrays = dx, dp, dloop, dthrough, filtered
    rows, signals = p.shape[0], registers[:-1]
    for unit in range(first, last):
        b = unit % rows
        lanes = _lanes(b + unit // rows * len(count) * rows, dy.shape[0] - rows + b, rows, count)
        states = _initial(dzi, lanes, registers)
        q = loop[b, 0], loop[b, 1], loop[b, 2], loop[b, 3]
        earlier, w2 = loaded(zi, (b,), 0, signals), zi[b, len(signals)]
        for i in range(p.shape[1]):
            n = np.uintp(i)
            now = loaded(z, (b, n), 0, signals)
            pn = np.float64(p[b, n])
            gain = pn
            for _ in range(len(registers) - 4):
                gain *= pn
            of_loop = np.float64(now[-2]), np.float64(earlier[-2]), np.float64(w2), np.float64(earlier[-1])
            solved, inputs = 1.0 / (1.0 - q[0] * gain), _stage_inputs(now[:-1], earlier[:-1])
            point = np.float64(x[b, n]), through[b], pn, solved, q, inputs, of_loop
            states = _tangent_steps(arrays, dy, lanes, n, point, states)
            earlier, w2 = now, earlier[-2]
        for j in range(len(count)):
            for k in range(len(registers)):
                dzf[lanes[j], k] = states[j][k]


# `filtered` is None where all loops are plain gains, for which the kernels are compiled apart.


def _loops(loop: Tensor) -> tuple[Tensor, bool | None]:
    filters = loop.double()
    return filters, True if bool(filters[:, 1:].any()) else None


def allpass(s: Tensor, p: Tensor, loop: Tensor, zi: Tensor, z: Tensor, w: Tensor) -> None:
    filters, filtered = _loops(loop)
    others = s if s.shape[2] > 1 else None
    results = (None, None, p, filters, None, z, w, filtered)
    arrays = (s[:, :, 0].contiguous(), others, *results[2:])
    work = p.numel() * 8 * (zi.shape[1] - 3)
    _run_allpass(arrays, results, p.shape[1], zi, (), work, (p.dtype, others is None, filtered))


def allpass_output(x: Tensor, p: Tensor, loop: Tensor, through: Tensor, zi: Tensor, y: Tensor, ends: Tensor) -> None:
    filters, filtered = _loops(loop)
    results = (None, None, p, filters, through.double(), None, y, filtered)
    work = p.numel() * 8 * (zi.shape[1] - 3)
    key = (p.dtype, "output", filtered)
    ends.copy_(_run_allpass((x, *results[1:]), results, p.shape[1], zi, (), work, key, ends.shape[1]))


def allpass_transpose(g: Tensor, p: Tensor, loop: Tensor, adjoint: Tensor) -> None:
    stages = adjoint.shape[2] - 2
    filters, filtered = _loops(loop)
    constants = filtered, (0.0,) * (stages + 1)
    last_stage_first = [*range(stages, -1, -1), stages + 1]
    reversed_g, reversed_adjoint = g[:, :, last_stage_first].contiguous(), torch.empty_like(adjoint)
    arguments = (reversed_g, p, filters, reversed_adjoint)
    over_rows(_allpass_transpose, p.shape[0], p.numel() * 8 * stages, arguments, (p.dtype, *constants), constants)
    adjoint.copy_(reversed_adjoint[:, :, last_stage_first])


def allpass_output_adjoint(
    g: Tensor,
    x: Tensor,
    p: Tensor,
    loop: Tensor,
    through: Tensor,
    zi: Tensor,
    y: Tensor,
    ends: Tensor,
    dx: Tensor,
    dp: Tensor,
    dloop: Tensor,
    dthrough: Tensor,
    dzi: Tensor,
) -> None:
    stages = zi.shape[1] - 3
    filters, filtered = _loops(loop)
    results = (None, x, p, filters, through.double(), zi, y, ends, dx, dp, (0.0,) * stages, filtered)
    rest, sums, work = zi.new_zeros(zi.shape[0], stages + 2), (0.0,) * (5 + stages), p.numel() * 16 * stages
    key = (p.dtype, filtered)
    later = _run_adjoint((g, *results[1:]), results, p.shape[1], rest, sums, work, key, ends.shape[1])
    totals = later[:, :, stages + 2 : stages + 7].sum(1)
    dloop.copy_(totals[:, :4])
    dthrough.copy_(totals[:, 4])
    over_rows(_of_initial_state, p.shape[0], 0, (p, filters, later, dzi), (p.dtype,))


def allpass_output_tangent(
    dx: Tensor,
    dp: Tensor,
    dloop: Tensor,
    dthrough: Tensor,
    dzi: Tensor,
    x: Tensor,
    p: Tensor,
    loop: Tensor,
    through: Tensor,
    z: Tensor,
    zi: Tensor,
    dy: Tensor,
    dzf: Tensor,
) -> None:
    tangents, stages = dy.shape[0] // max(p.shape[0], 1), zi.shape[1] - 3
    lanes = max(min(tangents, LANES), 1)
    units = p.shape[0] * -(-tangents // LANES)
    filters, filtered = _loops(loop)
    constants = filtered, (0,) * lanes, (0.0,) * (stages + 3)
    moving = tuple(each if each.shape[1] else None for each in (dx, dp))
    numbers = dloop.double(), dthrough.double(), dzi.double()
    arguments = (*moving, *numbers, x, p, filters, through.double(), z, zi, dy, dzf)
    key = (p.dtype, *(each is None for each in moving), *constants)
    over_rows(_allpass_output_tangent, units, dy.numel() * 8 * stages, arguments, key, constants)
