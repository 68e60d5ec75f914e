"""Every kernel of cpu.py computes what reference.py defines, at every size, layout, order and dtype."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from diffapf.kernels import cpu, reference
from tests.kernels.accuracy import RADII, assert_as_accurate_as_sequential, poles

TOLERANCE = {torch.float32: 2e-5, torch.float64: 1e-12}
TAPS = [1, 2, 6, 14]  # every combination costs a compilation
TAPS_FLOAT32 = {2}
SIZES = [1, 2, 6]  # those of tests/filters, whose kernels these are too
NONE_WANTED = 2  # taps or size where a signal may be empty: one without frames compiles kernels without their gradients
STAGES = [4]
STAGES_FLOAT32 = {4}

quick = settings(max_examples=10, deadline=None, derandomize=True, database=None)
rows_of_signals = st.integers(0, 9)
seeds = st.integers(0, 2**32 - 1)
steps = st.floats(0.01, 1.5)


def lengths(size: int, single: bool) -> st.SearchStrategy[int]:
    return st.integers(0 if size == NONE_WANTED and not single else 1, 40)


# What a layout draws: how many frames there are for a signal of some length, and when they are.
LAYOUTS = {
    "audio rate": lambda draw, time: (time, None),
    "fixed": lambda draw, time: (1, (0.0, 0.0)),
    "hop": lambda draw, time: (draw(st.integers(1, 6)), (0.0, draw(steps))),
    "offset": lambda draw, time: (draw(st.integers(1, 6)), (draw(st.floats(-2.0, 5.0)), draw(steps))),
}


class Random:
    """Tensors of normal numbers; `a` small enough that no filter blows up."""

    def __init__(self, seed: int, dtype: torch.dtype):
        self.generator, self.dtype = torch.Generator().manual_seed(seed), dtype

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self.generator, dtype=self.dtype)

    def within(self, limit: float, *shape: int) -> Tensor:
        return (2 * torch.rand(shape, generator=self.generator, dtype=self.dtype) - 1) * limit

    def loop(self, rows: int) -> Tensor:
        return self.within(0.3, rows, 4)


# Each filter kernel: its inputs, and the shapes of its outputs.
def allpole(random: Random, rows, time, taps, frames, timing):
    a = random.within(0.9 / taps, rows, frames, taps)
    return (random.normal(rows, time), a, timing, random.normal(rows, taps)), [(rows, time)]


def allpole_adjoint(random: Random, rows, time, taps, frames, timing):
    a = random.within(0.9 / taps, rows, frames, taps)
    signals = random.normal(rows, time), a, timing, random.normal(rows, time), random.normal(rows, taps)
    return signals, [(rows, time), (rows, frames, taps), (rows, taps)]


def allpole_adjoint_without_coefficients(*problem):
    signals, (dx, (rows, _, taps), dzi) = allpole_adjoint(*problem)
    return signals, [dx, (rows, 0, taps), dzi]


def fir(random: Random, rows, time, taps, frames, timing):
    past_and_present = random.normal(rows, time + taps - 1)
    return (past_and_present, random.normal(rows, frames, taps), timing), [(rows, time)]


def fir_transpose(random: Random, rows, time, taps, frames, timing):
    return (random.normal(rows, time), random.normal(rows, frames, taps), timing), [(rows, time + taps - 1)]


def fir_outer(random: Random, rows, time, taps, frames, timing):
    signals = random.normal(rows, time), random.normal(rows, time + taps - 1), timing
    return signals, [(rows, frames, taps)]


def allpass(random: Random, rows, time, stages, sources):
    s = random.normal(rows, time, stages + 2 if sources else 1)
    inputs = s, random.within(0.95, rows, time), random.loop(rows), random.normal(rows, stages + 3)
    return inputs, [(rows, time, stages + 2), (rows, time)]


def allpass_transpose(random: Random, rows, time, stages, _):
    g = random.normal(rows, time, stages + 2)
    return (g, random.within(0.95, rows, time), random.loop(rows)), [(rows, time, stages + 2)]


def allpass_output(random: Random, rows, time, stages, parts):
    inputs = random.normal(rows, time), random.within(0.95, rows, time), random.loop(rows), random.normal(rows)
    return (*inputs, random.normal(rows, stages + 3)), [
        (rows, time),
        (rows, 3 if parts and time > 2 else 1, stages + 3),
    ]


def allpass_output_adjoint(random: Random, rows, time, stages, parts):
    inputs, shapes = allpass_output(random, rows, time, stages, parts)
    kept = [torch.empty(shape, dtype=inputs[0].dtype) for shape in shapes]
    reference.allpass_output(*inputs, *kept)
    x, p, loop, through, zi = inputs
    gradients = [tuple(like.shape) for like in (x, p, loop, through, zi)]
    return (random.normal(rows, time), *inputs, *kept), gradients


def allpass_output_tangent(random: Random, rows, time, stages, sources):
    """Three directions for each row; x and p move in all of them, or one of both does."""
    (x, p, loop, through, zi), _ = allpass_output(random, rows, time, stages, None)
    dx, dp = (random.normal(3 * rows, time if moves else 0) for moves in (sources or time % 2, sources or not time % 2))
    tangents = dx, dp, random.normal(3 * rows, 4), random.normal(3 * rows), random.normal(3 * rows, stages + 3)
    z = random.normal(rows, time, stages + 2)
    return (*tangents, x, p, loop, through, z, zi), [(3 * rows, time), (3 * rows, stages + 3)]


def form(name: str, registers: int, keeps_w: bool):
    """A direct form: a with its leading coefficient where each sample has a row, else without."""

    def problem(random: Random, rows, time, taps, frames, timing):
        b, a = random.normal(rows, frames, taps + 1), random.within(0.9 / taps, rows, frames, taps)
        if timing is None:
            a = torch.cat([1.5 + random.within(0.5, rows, frames, 1), a], 2)
        zi = random.normal(rows, registers * taps)
        w = [(rows, time)] if keeps_w else []
        return (random.normal(rows, time), b, a, timing, zi), [(rows, time), tuple(zi.shape), *w]

    def adjoint(random: Random, *sizes):
        (x, b, a, timing, zi), _ = problem(random, *sizes)
        inputs = random.normal(*x.shape), random.normal(*zi.shape), x, b, a, timing, zi, random.normal(*x.shape)
        return inputs, [tuple(like.shape) for like in (x, b, a, zi)]

    problem.__name__, adjoint.__name__ = name, f"{name}_adjoint"
    return [problem, adjoint]


def sos_cascade(random: Random, rows, time, sections, frames, timing):
    sos, zi = random.within(0.4, rows, frames, sections, 5), random.normal(rows, sections, 2)
    return (random.normal(rows, time), sos, timing, zi), [(rows, time), tuple(zi.shape), (rows, sections - 1, time)]


def sos_cascade_adjoint(random: Random, *sizes):
    (x, sos, timing, zi), (_, _, between) = sos_cascade(random, *sizes)
    inputs = random.normal(*x.shape), random.normal(*zi.shape), x, sos, timing, zi, random.normal(*x.shape)
    return (*inputs, random.normal(*between)), [tuple(like.shape) for like in (x, sos, zi)]


def moving_sos_cascade(random: Random, rows, time, sections, frames, timing):
    """A row a sample, longer than a block where there is one row for all time."""
    time = time if timing is None else 150 + time
    (x, sos, _, zi), shapes = sos_cascade(random, rows, time, sections, time, None)
    sos = torch.cat([sos[..., :3], 1.5 + random.within(0.5, rows, time, sections, 1), sos[..., 3:]], 3)
    return (x, sos, zi), shapes


def moving_sos_cascade_adjoint(random: Random, *sizes):
    (x, sos, zi), (_, _, between) = moving_sos_cascade(random, *sizes)
    inputs = random.normal(*x.shape), random.normal(*zi.shape), x, sos, random.normal(*x.shape)
    return (*inputs, random.normal(*between)), [tuple(like.shape) for like in (x, sos, zi)]


def fixed_sos_cascade(random: Random, rows, time, sections, frames, timing):
    """As many blocks as there are frames: one, or one a sample, most of which are empty. All but the signals in float64."""
    sos, zi = random.within(0.4, rows, 1, sections, 5).double(), random.normal(rows, sections, 2).double()
    return (random.normal(rows, time), sos, zi), [(rows, time), (rows, frames + 1, sections, 2)]


def fixed_sos_cascade_adjoint(random: Random, *sizes):
    (x, sos, zi), (_, states) = fixed_sos_cascade(random, *sizes)
    kept = torch.empty(states, dtype=torch.float64)
    reference.fixed_sos_cascade(x.double(), sos, zi, torch.empty_like(x, dtype=torch.float64), kept)
    inputs = random.normal(*x.shape), random.normal(*zi.shape).double(), x, sos, kept
    return inputs, [tuple(like.shape) for like in (x, sos, zi)]


def tanh_of_frames(random: Random, rows, time, size, frames, timing):
    timing = timing or (0.3, 0.7)
    return (random.within(400.0 if size == 2 else 3.0, rows, max(frames, 1)), timing), [(rows, time)]


def tanh_of_frames_adjoint(random: Random, rows, time, size, frames, timing):
    signals = random.normal(rows, time), random.within(0.95, rows, time), timing or (0.3, 0.7)
    return signals, [(rows, max(frames, 1))]


def tanh_of_frames_tangent(random: Random, rows, time, size, frames, timing):
    signals = random.normal(2 * rows, max(frames, 1)), random.within(0.95, rows, time), timing or (0.3, 0.7)
    return signals, [(2 * rows, time)]


def step_up(random: Random, rows, time, size, *_):
    return (random.within(0.9, rows, size),), [(rows, size + 1)]


def step_up_adjoint(random: Random, rows, time, size, *_):
    return (random.normal(rows, size + 1), random.within(0.9, rows, size)), [(rows, size)]


def harmonic_sum(random: Random, rows, time, size, frames, _):
    """Not all harmonics sound at each sample; hops longer and shorter than the signal, sines and cosines."""
    psi, top = 9 * random.normal(rows, time).double(), 2.0 + random.within(3.0, rows, time).double().round()
    return (random.normal(rows, max(frames, 1), size), psi, top, (float(7 * size), float(time % 4))), [(rows, time)]


def harmonic_sum_adjoint(random: Random, rows, time, size, frames, _):
    (weights, psi, top, turned), _ = harmonic_sum(random, rows, time, size, frames, _)
    return (random.normal(rows, time), psi, top, turned), [tuple(weights.shape)]


def ballistics(random: Random, rows, time, *_):
    rates = (random.within(0.4, rows) + 0.5 for _ in range(2))
    return (random.normal(rows, time), *rates, random.normal(rows)), [(rows, time)]


def ballistics_adjoint(random: Random, rows, time, size, *_):
    (g, at, rt, zi), _ = ballistics(random, rows, time)
    shapes = [(rows, time if size != 1 else 0), (rows,), (rows,), (rows,)]
    return (random.normal(rows, time), g, at, rt, zi, random.normal(rows, time)), shapes


def ballistics_tangent(random: Random, rows, time, size, *_):
    """Three directions for each row, or as many as are together; g moves or does not."""
    (g, at, rt, zi), _ = ballistics(random, rows, time)
    moved = size * rows, time if size != 2 else 0
    tangents = random.normal(*moved), *(random.normal(size * rows) for _ in range(3))
    return (*tangents, g, at, rt, zi, random.normal(rows, time)), [(size * rows, time)]


def optical_cell(random: Random, rows, time, size, *_):
    """Either lamp, any slow stage; silence too."""
    x, numbers, zi = random.normal(rows, time), random.within(0.3, rows, 10) + 0.5, random.within(0.5, rows, 2) + 0.5
    x[:, ::5] = 0.0
    return (x, numbers, zi, (float(time % 2), float(size % 3))), [(rows, time, 2)]


def optical_cell_adjoint(random: Random, rows, time, size, *_):
    (x, numbers, zi, kind), _ = optical_cell(random, rows, time, size)
    states = torch.empty(rows, time, 2, dtype=x.dtype)
    reference.optical_cell(x, numbers, zi, kind, states)
    return (random.normal(rows, time, 2), x, numbers, zi, states, kind), [(rows, time), (rows, 10), (rows, 2)]


def optical_cell_tangent(random: Random, rows, time, size, *_):
    """As many directions for each row as `size`; x moves or does not."""
    (x, numbers, zi, kind), _ = optical_cell(random, rows, time, size)
    states = torch.empty(rows, time, 2, dtype=x.dtype)
    reference.optical_cell(x, numbers, zi, kind, states)
    moved = random.normal(size * rows, time if rows % 2 else 0)
    tangents = moved, random.normal(size * rows, 10), random.normal(size * rows, 2)
    return (*tangents, x, numbers, zi, states, kind), [(size * rows, time, 2)]


K, C = 20.0 / math.log(10.0), math.log(10.0) / 20.0
KINDS = {1: (0.0, 0.0), 2: (K, C), 6: (K / 2, 0.0)}


def curve(random: Random, rows, time, size) -> tuple[Tensor, Tensor]:
    """Levels around the thresholds, and the numbers of a curve: with a knee or without, with an expander or without."""
    width = random.within(3.0, rows) + 3.1 if time % 2 else torch.zeros(rows, dtype=random.dtype)
    numbers = [random.within(5.0, rows) - 10.0, random.within(0.5, rows) + 0.5, width]
    if time % 3:
        numbers += [random.within(3.0, rows) - 30.0, random.within(1.0, rows) + 1.0]
    loudness, k = random.within(30.0, rows, time) - 20.0, KINDS[size][0]
    return torch.exp(loudness / k) if k else loudness, torch.stack(numbers, 1)


def gain_curve(random: Random, rows, time, size, *_):
    return (*curve(random, rows, time, size), KINDS[size]), [(rows, time)]


def gain_curve_adjoint(random: Random, rows, time, size, *_):
    level, numbers = curve(random, rows, time, size)
    inputs = random.normal(rows, time), level, numbers, random.normal(rows, time), KINDS[size]
    return inputs, [(rows, time), tuple(numbers.shape)]


def gain_curve_tangent(random: Random, rows, time, size, *_):
    level, numbers = curve(random, rows, time, size)
    tangents = random.normal(3 * rows, time if size != 2 else 0), random.normal(3 * rows, numbers.shape[1])
    return (*tangents, level, numbers, random.normal(rows, time), KINDS[size]), [(3 * rows, time)]


def apply_gain(random: Random, rows, time, size, *_):
    return (random.normal(rows, time), random.normal(rows, time), random.normal(rows, 2), KINDS[size][1:]), [
        (rows, time)
    ]


def apply_gain_adjoint(random: Random, rows, time, size, *_):
    (x, gain, numbers, kind), _ = apply_gain(random, rows, time, size)
    inputs = random.normal(rows, time), x, gain, numbers, kind
    return inputs, [(rows, time if size != 1 else 0), (rows, time), (rows, 2)]


def apply_gain_tangent(random: Random, rows, time, size, *_):
    signals, _ = apply_gain(random, rows, time, size)
    dx, dgain = (random.normal(3 * rows, time if moves else 0) for moves in (time % 2, time % 3))
    return (dx, dgain, random.normal(3 * rows, 2), *signals), [(3 * rows, time)]


def dense_recurrence(random: Random, rows, time, states, frames, timing):
    frames = time if timing is None else 1
    A = random.within(0.9 / states, rows, frames, states, states)
    return (A, random.normal(rows, time, states), random.normal(rows, states)), [(rows, time, states)]


def dense_recurrence_adjoint(random: Random, *sizes):
    (A, u, v0), _ = dense_recurrence(random, *sizes)
    inputs = random.normal(*u.shape), A, v0, random.normal(*u.shape)
    return inputs, [tuple(like.shape) for like in (A, u, v0)]


OTHERS = [
    *form("direct_form_1", 2, keeps_w=False),
    *form("direct_form_2", 1, keeps_w=True),
    *form("transposed_direct_form_1", 2, keeps_w=True),
    *form("transposed_direct_form_2", 1, keeps_w=False),
    sos_cascade,
    sos_cascade_adjoint,
    moving_sos_cascade,
    moving_sos_cascade_adjoint,
    fixed_sos_cascade,
    fixed_sos_cascade_adjoint,
    tanh_of_frames,
    tanh_of_frames_adjoint,
    tanh_of_frames_tangent,
    step_up,
    step_up_adjoint,
    harmonic_sum,
    harmonic_sum_adjoint,
    ballistics,
    ballistics_adjoint,
    ballistics_tangent,
    gain_curve,
    gain_curve_adjoint,
    gain_curve_tangent,
    apply_gain,
    apply_gain_adjoint,
    apply_gain_tangent,
    optical_cell,
    optical_cell_adjoint,
    optical_cell_tangent,
    dense_recurrence,
    dense_recurrence_adjoint,
]
FILTERS = [allpole, allpole_adjoint, allpole_adjoint_without_coefficients, fir, fir_transpose, fir_outer]
LOOPS = [allpass, allpass_transpose, allpass_output, allpass_output_adjoint, allpass_output_tangent]


IN_DOUBLE = {"fixed_sos_cascade", "fixed_sos_cascade_adjoint"}  # of which all but the signals is of float64


def double(value):
    return value.double() if isinstance(value, Tensor) else value


def unwritten(shapes: list[tuple[int, ...]], dtype: torch.dtype) -> list[Tensor]:
    return [torch.full(shape, torch.nan, dtype=dtype) for shape in shapes]


def assert_kernel_is_reference(name: str, inputs: tuple, shapes: list[tuple[int, ...]], dtype: torch.dtype) -> None:
    """The outputs start as NaN: a sample that either of them leaves unwritten fails."""
    outputs, expected = unwritten(shapes, dtype), unwritten(shapes, torch.float64)
    if name in IN_DOUBLE:
        outputs[1:] = unwritten(shapes[1:], torch.float64)
    getattr(reference, name)(*map(double, inputs), *expected)
    getattr(cpu, name)(*inputs, *outputs)
    for i, (output, wanted) in enumerate(zip(outputs, expected, strict=True)):
        assert bool(wanted.isfinite().all()), f"reference.{name} leaves samples of output {i} unwritten"
        scale = TOLERANCE[dtype] * (1.0 + wanted.abs().max().item() if wanted.numel() else 1.0)
        torch.testing.assert_close(output.double(), wanted, rtol=0, atol=scale, msg=lambda m, i=i: f"output {i}: {m}")


@pytest.mark.parametrize("taps", TAPS)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("problem", FILTERS, ids=lambda problem: problem.__name__)
def test_filter_kernel_is_reference(problem: Callable, layout: str, taps: int):
    @quick
    @given(st.data(), rows_of_signals, seeds, st.booleans())
    def check(data, rows, seed, single):
        dtype = torch.float32 if single and taps in TAPS_FLOAT32 else torch.float64
        time = data.draw(lengths(taps, dtype == torch.float32))
        frames, timing = LAYOUTS[layout](data.draw, time)
        inputs, shapes = problem(Random(seed, dtype), rows, time, taps, frames, timing)
        assert_kernel_is_reference(problem.__name__.removesuffix("_without_coefficients"), inputs, shapes, dtype)

    check()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("problem", OTHERS, ids=lambda problem: problem.__name__)
def test_other_kernel_is_reference(problem: Callable, layout: str, size: int):
    @quick
    @given(st.data(), rows_of_signals, seeds, st.booleans())
    def check(data, rows, seed, single):
        dtype = torch.float32 if single and size == 2 else torch.float64
        time = data.draw(lengths(size, dtype == torch.float32))
        frames, timing = LAYOUTS[layout](data.draw, time)
        inputs, shapes = problem(Random(seed, dtype), rows, time, size, frames, timing)
        assert_kernel_is_reference(problem.__name__, inputs, shapes, dtype)

    check()


FRAMED = {
    "direct_form_2": form("direct_form_2", 1, keeps_w=True),
    "transposed_direct_form_2": form("transposed_direct_form_2", 1, keeps_w=False),
    "sos_cascade": [sos_cascade, sos_cascade_adjoint],
}


@pytest.mark.parametrize("problems", FRAMED.values(), ids=FRAMED.keys())
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_second_orders_of_frames_far_apart_are_the_reference(problems, dtype):
    """Between two frames there are whole vectors and what is left over; the last frame is held."""

    @quick
    @given(rows_of_signals, st.integers(0, 300), st.floats(16, 90), st.floats(-50, 50), st.integers(1, 6), seeds)
    def check(rows, time, hop, offset, frames, seed):
        timing = (offset / hop, 1 / hop)
        for problem in problems:
            inputs, shapes = problem(Random(seed, dtype), rows, time, 2, frames + 1, timing)
            assert_kernel_is_reference(problem.__name__, inputs, shapes, dtype)

    check()


@pytest.mark.parametrize("taps", [2, 14, 40])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("problem", [allpole, fir, fir_transpose], ids=lambda problem: problem.__name__)
def test_rows_share_coefficients(problem: Callable, layout: str, taps: int):
    """Row r reads the coefficients' row r modulo their number."""
    time, random = 30, Random(taps, torch.float64)
    frames, timing = {"audio rate": (time, None), "fixed": (1, (0.0, 0.0))}.get(layout, (4, (0.2, 0.15)))
    inputs, shapes = problem(random, 6, time, taps, frames, timing)
    fewer = tuple(
        value[:2].clone() if isinstance(value, Tensor) and i == 1 else value for i, value in enumerate(inputs)
    )
    repeated = tuple(value.repeat(3, 1, 1) if i == 1 else value for i, value in enumerate(fewer))
    assert_kernel_is_reference(problem.__name__, fewer, shapes, torch.float64)
    (found,), (expected,) = unwritten(shapes, torch.float64), unwritten(shapes, torch.float64)
    getattr(cpu, problem.__name__)(*fewer, found)
    getattr(cpu, problem.__name__)(*repeated, expected)
    assert torch.equal(found, expected)


@pytest.mark.parametrize("stages", STAGES)
@pytest.mark.parametrize("problem", LOOPS, ids=lambda problem: problem.__name__)
def test_loop_kernel_is_reference(problem: Callable, stages: int):
    @quick
    @given(rows_of_signals, st.integers(0, 40), seeds, st.booleans(), st.booleans())
    def check(rows, time, seed, sources, single):
        dtype = torch.float32 if single and stages in STAGES_FLOAT32 else torch.float64
        inputs, shapes = problem(Random(seed, dtype), rows, time, stages, sources)
        assert_kernel_is_reference(problem.__name__, inputs, shapes, dtype)

    check()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_interpolation_does_not_drift(dtype):
    """Far into a long signal, coefficients at the control rate are still those of the definition, held at the end."""
    time, frames = 3000, 5
    random = Random(1, dtype)
    x, a, zi = random.normal(1, time), random.within(0.4, 1, frames, 2), torch.zeros(1, 2, dtype=dtype)
    inputs = x, a, (0.0, 1.2 * (frames - 1) / time), zi
    assert_kernel_is_reference("allpole", inputs, [(1, time)], dtype)


@pytest.mark.parametrize("radius", RADII)
@pytest.mark.parametrize("layout", ["fixed", "moving"])
@pytest.mark.parametrize("angles", [(), (0.01,), (1.0,), (0.3, 0.7, 1.1, 1.5, 1.9, 2.3, 2.7)], ids=len)
def test_float32_is_as_accurate_as_the_sequential_filter(angles, layout, radius):
    assert_as_accurate_as_sequential(cpu, poles(radius, *angles), 300, moving=layout == "moving")
