"""The free filters do what their coefficients say, take any stable filter, and stay stable."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import butter, freqz
from torch.autograd import gradcheck

from diffapf.effects.free_filters import FreeFilter, InputBiquad
from tests.filters.oracles import quick

orders = st.integers(1, 8)
poles = st.complex_numbers(max_magnitude=0.95, allow_nan=False)


def double(values) -> torch.Tensor:
    return torch.as_tensor(values, dtype=torch.float64)


def numbers(order: int, limit: float):
    """Reflection numbers for a filter."""
    return st.lists(st.floats(-limit, limit), min_size=order, max_size=order)


@st.composite
def stable_filters(draw) -> tuple[list[float], list[float]]:
    """b and a of some order, a[0] not 1; the poles within 0.95, in conjugate pairs, and a real one if the order is odd."""
    order = draw(orders)
    roots = [root for _ in range(order // 2) for root in [draw(poles)] for root in (root, root.conjugate())]
    roots += [draw(poles).real for _ in range(order % 2)]
    scale = draw(st.floats(0.1, 10)) * draw(st.sampled_from([-1, 1]))
    b = draw(st.lists(st.floats(-10, 10), min_size=order + 1, max_size=order + 1))
    return b, (scale * np.real(np.poly(roots))).tolist()


@pytest.mark.parametrize("order", range(1, 9))
def test_at_first_it_is_its_gain(order):
    b, a = FreeFilter(order, 0.7)()
    assert b.tolist() == [0.7] + [0.0] * order
    assert a.tolist() == [1.0] + [0.0] * order


@quick
@given(stable_filters())
def test_it_becomes_any_stable_filter(b_and_a):
    b, a = (double(values) for values in b_and_a)
    filter = FreeFilter(len(a) - 1)
    filter.set(b, a)
    found_b, found_a = filter()
    torch.testing.assert_close(found_b, b / a[0], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found_a, a / a[0], rtol=0, atol=1e-7)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_setting_it_is_exact_whatever_it_learned_before(dtype):
    b, a = (double(values) for values in butter(3, 0.2))
    filter = FreeFilter(3).to(dtype)
    with torch.no_grad():
        for parameter in filter.parameters():
            parameter += 0.3
    filter.set(b.float(), a.requires_grad_())
    found_b, found_a = filter()
    assert found_b.dtype == found_a.dtype == torch.float64
    assert torch.equal(found_b, b.float().double())
    torch.testing.assert_close(found_a, a, rtol=0, atol=1e-12)


def exactly_stable(a: torch.Tensor) -> bool:
    """By the step-down recursion in rational numbers: nothing is rounded but what a is already."""
    rest = [Fraction(value) for value in a.tolist()]
    while len(rest) > 1:
        k = rest[-1] / rest[0]
        if abs(k) >= 1:
            return False
        rest = [value - k * mirrored for value, mirrored in zip(rest, rest[::-1], strict=True)][:-1]
    return True


# How large the numbers may be, and the orders that are stable then: as they are, and rounded to float32.
STABLE = {"the knobs' range": (4.0, 5, 2), "half of it": (2.0, 8, 5)}
each_limit = pytest.mark.parametrize(("limit", "order", "single_order"), STABLE.values(), ids=STABLE)


@each_limit
def test_it_is_stable(limit, order, single_order):
    @settings(quick, max_examples=50)
    @given(st.integers(1, order).flatmap(lambda order: numbers(order, limit)))
    def stable(values):
        filter = FreeFilter(len(values))
        filter.reflection.set(values)
        a = filter()[1]
        assert exactly_stable(a)
        assert len(values) > single_order or exactly_stable(a.float())

    stable()


@each_limit
def test_it_is_stable_at_the_corners(limit, order, single_order):
    """All poles as near the circle as they get, in every arrangement."""
    for highest, dtype in ((order, torch.float64), (single_order, torch.float32)):
        filter = FreeFilter(highest)
        for corner in product([-limit, limit], repeat=highest):
            filter.reflection.set(corner)
            assert exactly_stable(filter()[1].to(dtype))


@quick
@given(st.floats(-1e300, 1e300), st.floats(-3, 3))
def test_a_number_of_any_size_is_stable(large, other):
    """Where tanh is 1 in double precision the poles are still within the circle."""
    filters = FreeFilter(1), FreeFilter(2), FreeFilter(2)
    for filter, values in zip(filters, ([large], [large, other], [other, large]), strict=True):
        filter.reflection.set(values)
        assert exactly_stable(filter()[1])


@pytest.mark.parametrize("ratio", [48 / 44.1, 96 / 44.1, 0.5])
@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_at_another_rate_it_is_the_same_analogue_filter(order, ratio):
    """H at the frequency that the bilinear transform at the old rate takes to the same analogue one."""
    filter = FreeFilter(order)
    filter.set(*(double(values) for values in butter(order, 0.1)))
    (b, a), (other_b, other_a) = filter(), filter(ratio)
    assert other_a[0] == 1.0
    omega = np.linspace(0.01, 0.3, 50)
    there = 2 * np.arctan(np.tan(omega / 2) / ratio)
    _, expected = freqz(b.detach(), a.detach(), omega)
    _, found = freqz(other_b.detach(), other_a.detach(), there)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)
    assert torch.equal(filter(1.0)[0], b)


def test_of_order_2_it_is_a_biquad():
    """The same filters by other numbers."""
    biquad, filter = InputBiquad(), FreeFilter(2)
    for name, value in {"b0": 0.9, "b1": -0.4, "b2": 0.2, "l1": 0.5, "l2": -0.3}.items():
        getattr(biquad, name).set(value)
    filter.set(*biquad())
    for ratio in (1.0, 2.0):
        for found, expected in zip(filter(ratio), biquad(ratio), strict=True):
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("ratio", [1.0, 2.0])
def test_it_is_differentiable(ratio):
    filter = FreeFilter(3).double()
    names = [name for name, _ in filter.named_parameters()]

    def coefficients(*steps):
        b, a = torch.func.functional_call(filter, dict(zip(names, steps, strict=True)), (ratio,))
        return torch.cat([b, a[1:]])

    steps = tuple((0.3 * torch.arange(1.0, n, dtype=torch.float64)).requires_grad_() for n in (5, 4))
    assert gradcheck(coefficients, steps, check_forward_ad=True)


# --------------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize("order", [0, -1, 2.0, True, "2", None])
def test_an_order_is_a_positive_integer(order):
    with pytest.raises(ValueError, match=f"order must be a positive integer, got {order!r}"):
        FreeFilter(order)


def test_a_gain_is_a_finite_number():
    with pytest.raises(ValueError, match=r"must be finite numbers.*nan"):
        FreeFilter(2, math.nan)


ONE = [1.0, 0.0, 0.0]
NOT_FILTERS = {
    "short b": ([1.0, 0.0], ONE, r"b must be 3 finite numbers, got \[1\.0, 0\.0\]"),
    "long a": (ONE, [1.0, 0.0, 0.0, 0.0], "a must be 3 finite numbers, got"),
    "a table": ([ONE], ONE, "b must be 3 finite numbers"),
    "b that is none": ([math.nan, 0.0, 0.0], ONE, "b must be 3 finite numbers, got .*nan"),
    "a that is none": (ONE, [1.0, math.inf, 0.0], "a must be 3 finite numbers, got .*inf"),
    "no a[0]": (ONE, [0.0, 1.0, 0.0], r"a\[0\] must not be 0"),
    "a pole outside": (ONE, [1.0, -2.5, 1.0], r"poles of a must lie within the unit circle, got a = \[1\.0, -2\.5"),
    "a pole on the circle": (ONE, [1.0, -1.0, 0.0], "poles of a must lie within the unit circle"),
}


@pytest.mark.parametrize(("b", "a", "message"), NOT_FILTERS.values(), ids=NOT_FILTERS)
def test_what_is_no_stable_filter_is_named_and_changes_nothing(b, a, message):
    filter = FreeFilter(2)
    filter.set(double([0.5, 0.25, 0.125]), double([1.0, 0.5, 0.25]))
    before = [values.tolist() for values in filter()]
    with pytest.raises(ValueError, match=message):
        filter.set(double(b), double(a))
    assert [values.tolist() for values in filter()] == before
