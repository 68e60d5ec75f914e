"""Long rows are cut into segments in time: the results must not tell."""

import math
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from diffapf.filters.allpass import allpass_cascade
from diffapf.filters.allpole import allpole
from diffapf.filters.iir import FORMS
from diffapf.kernels import reference
from tests.kernels.direct_forms import of_each

cpu = pytest.importorskip("diffapf.kernels.cpu")
kernels, iir = sys.modules["diffapf.kernels"], sys.modules["diffapf.kernels.cpu.iir"]
ballistics = sys.modules["diffapf.kernels.cpu.ballistics"]
allpole_segments = sys.modules["diffapf.kernels.cpu.allpole_segments"]

LOOPS = {"open": (0.0, 0.0, 0.0), "gain": (0.7, 0.0, 0.0), "filter": (0.5, -0.4, 0.6)}


@pytest.fixture
def short_segments(monkeypatch):
    monkeypatch.setattr(kernels, "SHORTEST_SEGMENT", 8)
    monkeypatch.setattr(iir, "LONG", 8)
    monkeypatch.setattr(allpole_segments, "LONG", 8)
    monkeypatch.setattr(allpole_segments, "LONG_IN_VECTORS", 8)


@pytest.mark.usefixtures("short_segments")
@given(
    rows=st.integers(1, 5),
    time=st.integers(8, 90),
    stages=st.just(4),  # each is compiled
    loop=st.sampled_from(sorted(LOOPS)),
    delay=st.booleans(),
    largest_p=st.sampled_from([0.1, 0.9, 0.9999]),
    seed=st.integers(0, 2**31),
)
@settings(deadline=None, max_examples=40)
def test_the_allpass_and_its_adjoint_equal_the_definition(rows, time, stages, loop, delay, largest_p, seed):
    generator = torch.Generator().manual_seed(seed)

    def random(*shape):
        return torch.randn(*shape, dtype=torch.float64, generator=generator)

    p = largest_p * torch.tanh(random(rows, time))
    c0, c1, a = LOOPS[loop]
    taps = torch.tensor([[0.0, c0, c1, a] if delay else [c0, c1, 0.0, a]], dtype=torch.float64).repeat(rows, 1)
    x, through, zi, g = random(rows, time), random(rows), random(rows, stages + 3), random(rows, time)
    parts = kernels.segments_of(rows, time)

    def of_each(module):
        def results(*shapes):
            return [torch.full(shape, torch.nan, dtype=torch.float64) for shape in shapes]

        every = results((rows, time, stages + 2), (rows, time))
        module.allpass(x[:, :, None], p, taps, zi, *every)
        output = results((rows, time), (rows, parts, stages + 3))
        module.allpass_output(x, p, taps, through, zi, *output)
        gradients = results(*(tuple(like.shape) for like in (x, p, taps, through, zi)))
        module.allpass_output_adjoint(g, x, p, taps, through, zi, *output, *gradients)
        return *every, *output, *gradients

    assert parts == max(1, min(4 // rows, time // 8))
    for ours, defined in zip(of_each(cpu), of_each(reference), strict=True):
        torch.testing.assert_close(ours, defined, rtol=1e-9, atol=1e-9)


@pytest.mark.usefixtures("short_segments")
@pytest.mark.parametrize(("form", "fixed"), [("df1", True), ("df1", False)], ids=str)
@given(rows=st.integers(1, 5), time=st.integers(8, 60), order=st.just(2), seed=st.integers(0, 2**31))
@settings(deadline=None, max_examples=15)
def test_direct_forms_and_their_adjoints_equal_the_definition(form, fixed, rows, time, order, seed):
    generator = torch.Generator().manual_seed(seed)

    def random(*shape):
        return torch.randn(*shape, dtype=torch.float64, generator=generator)

    frames, timing = (1, (0.0, 0.0)) if fixed else (time, None)
    b, a = random(rows, frames, order + 1), 0.9 / order * torch.tanh(random(rows, frames, order + (not fixed)))
    if not fixed:
        a[..., 0] = 1.5
    x, g = random(rows, time), random(rows, time)
    zi, gzf = (random(rows, FORMS[form].registers * order) for _ in range(2))

    ours, defined = (of_each(module, form, x, b, a, timing, zi, g, gzf) for module in (cpu, reference))
    for one, other in zip(ours, defined, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


@pytest.fixture
def segments_of_sixteen(short_segments, monkeypatch):
    """Which have room for the past of thirteen taps."""
    monkeypatch.setattr(kernels, "SHORTEST_SEGMENT", 16)


@pytest.mark.usefixtures("segments_of_sixteen")
@pytest.mark.parametrize(("taps", "fixed"), [(1, False), (2, False), (2, True), (13, False)])
@given(
    rows=st.integers(1, 5),
    time=st.integers(8, 500),
    shared=st.booleans(),
    size=st.sampled_from([0.1, 0.9, 1.001]),
    wanted=st.booleans(),
    seed=st.integers(0, 2**31),
)
@settings(deadline=None, max_examples=40)
def test_all_pole_filters_and_their_adjoints_equal_the_definition(taps, fixed, rows, time, shared, size, wanted, seed):
    """Those that forget within a segment, and those that do not, or grow."""
    generator = torch.Generator().manual_seed(seed)

    def random(*shape):
        return torch.randn(*shape, dtype=torch.float64, generator=generator)

    frames, timing = (1, (0.0, 0.0)) if fixed else (time, None)
    a = size / taps * torch.tanh(4 * random(1 if shared else rows, frames, taps))
    x, g, zi = random(rows, time), random(rows, time), random(rows, taps)

    def of_each(module):
        y, dx, dzi = (torch.full_like(like, torch.nan) for like in (x, x, zi))
        da = torch.full((rows, frames if wanted else 0, taps), torch.nan, dtype=torch.float64)
        module.allpole(x, a, timing, zi, y)
        module.allpole_adjoint(g, a, timing, y, zi, dx, da, dzi)
        return y, dx, da, dzi

    for ours, defined in zip(of_each(cpu), of_each(reference), strict=True):
        torch.testing.assert_close(ours, defined, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("rows", "time", "count"), [(1, 100, 8), (1, 50, 6), (2, 64, 4), (2, 65, 1), (8, 640, 1)])
def test_few_long_rows_of_an_all_pole_filter_are_cut(short_segments, rows, time, count):
    x, a = torch.zeros(rows, time), torch.zeros(rows, time, 2)
    assert allpole_segments.segments(x, a, None) == count
    assert allpole_segments.segments(x, a[:1, :1], 0.0) == count
    assert allpole_segments.segments(x.to(torch.complex64), a, None) == 1
    assert rows == 1 or allpole_segments.segments(x, a[:1], None) == 1


@given(
    rows=st.integers(1, 5),
    time=st.integers(8, 300),
    attack=st.sampled_from([0.001, 0.2, 1.0]),
    release=st.sampled_from([0.003, 0.2, 0.9]),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    seed=st.integers(0, 2**31),
)
@settings(deadline=None, max_examples=60)
def test_ballistics_in_segments_is_that_of_the_whole_to_the_bit(rows, time, attack, release, dtype, seed):
    """Also where the segments are shorter than what is remembered: what is there is mended to the end."""
    generator = torch.Generator().manual_seed(seed)
    g, gradient = (torch.randn(rows, time, dtype=dtype, generator=generator) for _ in range(2))
    at, rt, zi = (torch.full((rows,), value, dtype=dtype) for value in (attack, release, 0.7))

    def outputs():
        y, dg, (dat, drt, dzi) = torch.empty_like(g), torch.empty_like(g), (torch.empty_like(zi) for _ in range(3))
        cpu.ballistics(g, at, rt, zi, y)
        cpu.ballistics_adjoint(gradient, g, at, rt, zi, y, dg, dat, drt, dzi)
        return y, dg, dat, drt, dzi

    whole = outputs()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernels, "SHORTEST_SEGMENT", 8)
        patch.setattr(ballistics, "MEMORIES", 0.0)
        assert ballistics._segments(g, at, rt) == max(1, min(4 // rows, time // 8))
        cut = outputs()
    assert torch.equal(cut[0], whole[0])
    for ours, defined in zip(cut[1:], whole[1:], strict=True):
        tolerance = 1e-4 if dtype == torch.float32 else 1e-10
        torch.testing.assert_close(ours, defined, rtol=tolerance, atol=tolerance)


def test_ballistics_that_remember_longer_than_a_segment_are_not_cut():
    g, quick, slow = torch.zeros(1, 4 * kernels.SHORTEST_SEGMENT), torch.tensor([0.1]), torch.tensor([1e-4])
    assert ballistics._segments(g, quick, quick) == 4
    assert ballistics._segments(g, quick, slow) == 1
    assert ballistics._segments(g[:0], quick[:0], quick[:0]) == 1


@pytest.mark.parametrize("wanted", [False, True], ids=["without the signal's gradient", "with it"])
def test_a_compressors_parts_in_segments_are_the_definition(short_segments, monkeypatch, wanted):
    """Its curve, its gain and its smoother, whose signals may want no gradient."""
    monkeypatch.setattr(ballistics, "MEMORIES", 0.0)
    generator, time = torch.Generator().manual_seed(0), 67

    def random(*shape):
        return torch.rand(*shape, dtype=torch.float64, generator=generator) + 0.1

    level, x, g, gradient = (random(1, time) for _ in range(4))
    weights = random(1, 2)
    numbers, rates = torch.tensor([[-12.0, 0.7, 3.0]]).double(), random(3, 1)
    kind, samples = (20 / math.log(10), math.log(10) / 20), time if wanted else 0

    def of_each(module):
        gain, y, smoothed = (torch.full_like(level, torch.nan) for _ in range(3))
        module.gain_curve(level, numbers, kind, gain)
        module.apply_gain(x, gain, weights, (0.0,), y)
        module.ballistics(g, *rates, smoothed)
        shapes = [(1, time), (1, 3)], [(1, samples), (1, time), (1, 2)], [(1, samples), (1,), (1,), (1,)]
        of_curve, of_gain, of_smoother = (
            [torch.full(shape, torch.nan, dtype=torch.float64) for shape in each] for each in shapes
        )
        module.gain_curve_adjoint(gradient, level, numbers, gain, kind, *of_curve)
        module.apply_gain_adjoint(gradient, x, gain, weights, (0.0,), *of_gain)
        module.ballistics_adjoint(gradient, g, *rates, smoothed, *of_smoother)
        return gain, y, smoothed, *of_curve, *of_gain, *of_smoother

    assert kernels.segments_of(1, time) == 4
    for ours, defined in zip(of_each(cpu), of_each(reference), strict=True):
        torch.testing.assert_close(ours, defined, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("at", [3, 40])
def test_what_is_not_a_number_stays_so(short_segments, at):
    """A NaN in one segment is in all after it, as in a filter that was not cut."""
    x = torch.zeros(1, 80)
    x[0, at] = torch.nan
    y = allpass_cascade(x, torch.tensor(0.3), c0=0.5)
    assert not y[:, :at].isnan().any() and y[:, at:].isnan().all()


@pytest.mark.parametrize("at", [3, 40, 79])
def test_what_is_not_a_number_stays_so_in_an_all_pole_filter(short_segments, at):
    x = torch.ones(1, 80)
    x[0, at] = torch.nan
    y = allpole(x, torch.full((1, 80, 2), 0.1))
    assert not y[:, :at].isnan().any() and y[:, at:].isnan().all()


def test_an_unstable_filter_grows_over_every_segment(short_segments):
    x = torch.zeros(1, 64, dtype=torch.float64)
    x[0, 0] = 1.0
    ours = allpass_cascade(x, torch.tensor(1.05, dtype=torch.float64), stages=1)
    z, w = torch.empty(1, 64, 3, dtype=torch.float64), torch.empty(1, 64, dtype=torch.float64)
    rest = torch.zeros(1, 4, dtype=torch.float64)
    reference.allpass(x[:, :, None], torch.full_like(x, 1.05), rest, rest, z, w)
    torch.testing.assert_close(ours, w)
    assert w.abs()[0, -1] > 1


def test_the_number_of_threads_changes_no_bit():
    x = torch.randn(1, 5 * kernels.SHORTEST_SEGMENT + 7, generator=torch.Generator().manual_seed(0))
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            results.append(allpass_cascade(x, torch.tensor(0.95), c0=0.6))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*results)
