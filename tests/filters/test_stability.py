"""Logits make stable denominators, every stable denominator has logits, and the two are inverse."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from diffapf.filters.stability import (
    biquad_triangle,
    biquad_triangle_logits,
    is_stable,
    pole_pair,
    reflection_denominator,
)
from tests.filters.oracles import normal, quick, stable_denominator

logits = st.floats(-8.0, 8.0)


def scalar(value: float) -> torch.Tensor:
    return torch.tensor(value, dtype=torch.float64)


@quick
@given(logits, logits)
def test_poles_lie_within_the_unit_circle(l1, l2):
    a1, a2 = map(float, biquad_triangle(scalar(l1), scalar(l2)))
    assert abs(a1) < 1 + a2 < 2
    assert np.abs(np.roots([1.0, a1, a2])).max() < 1 + 1e-12  # the roots themselves are rounded


@quick
@given(st.floats(0.0, 0.999), st.floats(0.0, np.pi))
def test_every_pair_of_complex_poles_is_reached(radius, angle):
    a1, a2 = -2 * radius * np.cos(angle), radius**2
    found = biquad_triangle(*biquad_triangle_logits(scalar(a1), scalar(a2)))
    np.testing.assert_allclose([float(value) for value in found], [a1, a2], rtol=0, atol=1e-12)


@quick
@given(st.floats(-0.999, 0.999), st.floats(-0.999, 0.999))
def test_every_two_real_poles_are_reached(one, other):
    a1, a2 = -(one + other), one * other
    found = biquad_triangle(*biquad_triangle_logits(scalar(a1), scalar(a2)))
    np.testing.assert_allclose([float(value) for value in found], [a1, a2], rtol=0, atol=1e-12)


@quick
@given(st.floats(-4.0, 4.0), st.floats(-4.0, 4.0))
def test_logits_come_back(l1, l2):
    found = biquad_triangle_logits(*biquad_triangle(scalar(l1), scalar(l2)))
    np.testing.assert_allclose([float(value) for value in found], [l1, l2], rtol=0, atol=1e-6)


def test_many_at_once_are_each_alone():
    l1, l2 = normal(2, 3), normal(2, 3, seed=1)
    a1, a2 = biquad_triangle(l1, l2)
    for i, j in np.ndindex(2, 3):
        assert (a1[i, j], a2[i, j]) == biquad_triangle(l1[i, j], l2[i, j])


def test_gradients_are_finite_everywhere():
    """Also at l1 = 0, where |a1| has a corner, and where tanh is flat."""
    l1 = torch.tensor([0.0, 0.0, -1.0, 30.0, -30.0], dtype=torch.float64, requires_grad=True)
    l2 = torch.tensor([0.0, 2.0, 30.0, 0.0, 1.0], dtype=torch.float64, requires_grad=True)
    a1, a2 = biquad_triangle(l1, l2)
    gradients = torch.autograd.grad((a1 + a2).sum(), (l1, l2))
    assert all(bool(gradient.isfinite().all()) for gradient in gradients)


@quick
@given(st.floats(-3.0, 3.0), st.floats(-10.0, 10.0))
def test_a_pole_pair_is_where_it_says(radius, angle):
    a1, a2 = map(float, pole_pair(scalar(radius), scalar(angle)))
    pole = np.tanh(radius) * np.exp(1j * angle)
    np.testing.assert_allclose([1.0, a1, a2], np.real(np.poly([pole, pole.conjugate()])), atol=1e-12)


@quick
@given(st.lists(st.floats(-2.0, 2.0), max_size=12))
def test_reflections_of_any_logits_are_stable(numbers):
    a = reflection_denominator(torch.tensor(numbers, dtype=torch.float64))
    assert bool(is_stable(a))


@quick
@given(st.integers(0, 10), st.integers(0, 2**32 - 1), st.floats(1.01, 2.0))
def test_is_stable_tells_where_the_poles_are(order, seed, factor):
    """Scaling the coefficient of z⁻ⁱ by rⁱ scales the poles by r."""
    a = stable_denominator(order, np.random.default_rng(seed))
    assert bool(is_stable(torch.from_numpy(3 * a)))
    if order and (largest := np.abs(np.roots(a)).max()) > 1e-3:
        outside = a * (factor / largest) ** np.arange(order + 1)
        assert not bool(is_stable(torch.from_numpy(outside)))


def test_on_the_circle_is_not_stable_and_many_are_asked_at_once():
    a = torch.tensor([[1.0, -0.5, 0.0], [1.0, -1.0, 0.0], [1.0, 0.0, 1.0], [1.0, -3.0, 0.5]])
    assert is_stable(a).tolist() == [True, False, False, False]
