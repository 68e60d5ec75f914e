"""The moving biquad's kernels: four rows at once, and few long rows in segments."""

from __future__ import annotations

import math
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from diffapf import lfilter
from diffapf.kernels import reference
from tests.kernels.direct_forms import of_each

cpu = pytest.importorskip("diffapf.kernels.cpu")
kernels, biquad = sys.modules["diffapf.kernels"], sys.modules["diffapf.kernels.cpu.biquad"]


def coefficients(
    rows: int, time: int, radius: float, dtype: torch.dtype, generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """b and a of which the poles move along a circle, a with a leading coefficient of its own in each sample."""
    b = torch.randn(rows, time, 3, dtype=dtype, generator=generator)
    angle = 0.3 + torch.rand(rows, 1, dtype=dtype, generator=generator) / time * torch.arange(time)
    a = torch.stack([torch.ones_like(angle), -2 * radius * torch.cos(angle), torch.full_like(angle, radius**2)], -1)
    leading = 1.5 + torch.rand(rows, time, 1, dtype=dtype, generator=generator)
    return b, a * leading


@pytest.fixture
def short_segments(monkeypatch):
    """Of which the shortest hold twice what the first look at a state's response takes."""
    monkeypatch.setattr(kernels, "SHORTEST_SEGMENT", 2 * biquad.FORGETTING)
    monkeypatch.setattr(biquad, "LONG", 2 * biquad.FORGETTING)


@pytest.mark.usefixtures("short_segments")
@pytest.mark.parametrize("form", ["df2", "tdf2"])
@given(
    rows=st.sampled_from([1, 2, 3, 5, 9]),
    time=st.one_of(st.integers(1, 40), st.integers(256, 1100)),
    radius=st.sampled_from([0.1, 0.7, 0.99, 1.001]),
    seed=st.integers(0, 2**31),
)
@settings(deadline=None, max_examples=25)
def test_rows_and_segments_equal_the_definition(form, rows, time, radius, seed):
    """Of filters that forget at once, soon, and not within a segment, or grow."""
    generator = torch.Generator().manual_seed(seed)

    def random(*shape):
        return torch.randn(*shape, dtype=torch.float64, generator=generator)

    b, a = coefficients(rows, time, radius, torch.float64, generator)
    x, g, zi, gzf = random(rows, time), random(rows, time), random(rows, 2), random(rows, 2)

    ours, defined = (of_each(module, form, x, b, a, None, zi, g, gzf) for module in (cpu, reference))
    for one, other in zip(ours, defined, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9 * float(other.abs().max()))


def one_row(time: int, radius: float = 0.9, dtype: torch.dtype = torch.float32):
    generator = torch.Generator().manual_seed(0)
    b, a = coefficients(1, time, radius, dtype, generator)
    return b, a, torch.randn(1, time, dtype=dtype, generator=generator)


def with_gradients(b, a, x, form: str) -> tuple[torch.Tensor, ...]:
    inputs = [value.clone().requires_grad_() for value in (b, a, x)]
    y, zf = lfilter(*inputs, form=form, return_zf=True)
    return y.detach(), zf.detach(), *torch.autograd.grad((y, zf), inputs, (torch.ones_like(y), torch.ones_like(zf)))


TIME = biquad.LONG + 13  # which is cut


def test_the_number_of_threads_changes_no_bit():
    inputs, before, results = one_row(TIME), torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            results.append(with_gradients(*inputs, "df2"))
    finally:
        torch.set_num_threads(before)
    assert kernels.segments_of(1, TIME, biquad.SEGMENTS_TOGETHER) == 8
    assert all(torch.equal(*both) for both in zip(*results, strict=True))


@pytest.mark.parametrize("radius", [0.9, 0.99, 0.999, 0.9999])
def test_segments_are_as_exact_as_the_whole(monkeypatch, radius):
    inputs = one_row(TIME, radius)
    exact = with_gradients(*(value.double() for value in inputs), "df2")
    cut = with_gradients(*inputs, "df2")
    monkeypatch.setattr(biquad, "LONG", math.inf)
    whole = with_gradients(*inputs, "df2")
    for ours, others, right in zip(cut, whole, exact, strict=True):
        assert (ours - right).norm() <= 4 * (others - right).norm() + 1e-7 * right.norm()


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_not_finite_stays_so_and_in_its_row(value):
    b, a, x = (each.expand(2, *each.shape[1:]).clone() for each in one_row(TIME))
    alone = lfilter(b[1:], a[1:], x[1:], form="df2")
    at = TIME // 2
    x[0, at] = value
    y = lfilter(b, a, x, form="df2")
    assert y[0, :at].isfinite().all()
    assert not y[0, at:].isfinite().any()
    torch.testing.assert_close(y[1:], alone)
