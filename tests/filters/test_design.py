"""Designs are SciPy's, frequencies are where they were asked for, and filters sound the same at another sample rate."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import signal
from torch import Tensor

from diffapf.filters.design import (
    allpass_logit,
    break_frequency,
    change_sample_rate,
    companion,
    denominator_from_poles,
    denominator_from_reflection,
    denominator_from_spectral_pairs,
    first_order_highpass,
    integer_power,
    poles_from_denominator,
    polynomial_product,
    polynomial_response,
    reflection_from_denominator,
    spectral_pairs_from_denominator,
)
from tests.filters.checks import assert_derivatives
from tests.filters.oracles import SAMPLE_RATE, allpass_transfer_function, normal, quick, stable_denominator

audible = st.floats(10.0, 0.48 * SAMPLE_RATE)


def scalar(value: float) -> Tensor:
    return torch.tensor(value, dtype=torch.float64)


def response_at(b, a, frequency: float, sample_rate: float = SAMPLE_RATE) -> complex:
    return signal.freqz(b, a, [frequency], fs=sample_rate)[1][0]


# --------------------------------------------------------------------------------------------------- break frequencies


@quick
@given(audible)
def test_at_its_break_frequency_an_allpass_turns_by_a_right_angle(frequency):
    """−1 at 0 Hz, 1 at Nyquist, in between j: a quarter turn behind −1. And all-pass: of magnitude 1."""
    p = math.tanh(allpass_logit(scalar(frequency), SAMPLE_RATE))
    assert response_at(*allpass_transfer_function(p, 1), frequency) == pytest.approx(1j, abs=1e-6)


@quick
@given(audible)
def test_the_logit_is_the_coefficients_own(frequency):
    t = math.tan(math.pi * frequency / SAMPLE_RATE)
    p = torch.tanh(allpass_logit(scalar(frequency), SAMPLE_RATE))
    assert float(p) == pytest.approx((1 - t) / (1 + t), abs=1e-12)


@quick
@given(audible)
def test_break_frequency_is_the_inverse_of_the_logit(frequency):
    there_and_back = break_frequency(allpass_logit(scalar(frequency), SAMPLE_RATE), SAMPLE_RATE)
    assert float(there_and_back) == pytest.approx(frequency, rel=1e-12)


@pytest.mark.parametrize("frequency", [0.49 * SAMPLE_RATE, 0.5 * SAMPLE_RATE, 1e6])
def test_frequencies_beyond_reach_are_held(frequency):
    held = allpass_logit(scalar(0.49 * SAMPLE_RATE), SAMPLE_RATE)
    assert torch.equal(allpass_logit(scalar(frequency), SAMPLE_RATE), held)
    assert held.isfinite()


@quick
@given(st.floats(5.0, 15_000.0))
def test_the_highpass_is_scipys(frequency):
    b0, b1, a = map(float, first_order_highpass(scalar(frequency), SAMPLE_RATE))
    b_expected, a_expected = signal.butter(1, frequency, "highpass", fs=SAMPLE_RATE)
    np.testing.assert_allclose([b0, b1], b_expected, rtol=1e-9)
    np.testing.assert_allclose([1.0, -a], a_expected, rtol=1e-9)
    assert abs(response_at([b0, b1], [1.0, -a], frequency)) == pytest.approx(math.sqrt(0.5), rel=1e-6)


# --------------------------------------------------------------------------------------------------------- polynomials


@quick
@given(st.integers(1, 6), st.integers(1, 6), st.sampled_from([((), ()), ((3,), ()), ((), (2,)), ((2, 1), (3,))]))
def test_products_of_polynomials_are_convolutions(left_size, right_size, batches):
    left, right = normal(*batches[0], left_size), normal(*batches[1], right_size, seed=1)
    product = polynomial_product(left, right)
    batch = torch.broadcast_shapes(*batches)
    assert product.shape == (*batch, left_size + right_size - 1)
    rows = zip(left.expand(*batch, -1).reshape(-1, left_size), right.expand(*batch, -1).reshape(-1, right_size),
               product.reshape(-1, left_size + right_size - 1), strict=True)  # fmt: skip
    for one, other, found in rows:
        np.testing.assert_allclose(found, np.convolve(one, other), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("taps", [0, 1, 2, 7])
def test_responses_are_scipys(taps, dtype):
    coefficients, omega = normal(3, taps, dtype=dtype), torch.linspace(0, torch.pi, 33, dtype=dtype)
    response = polynomial_response(coefficients, omega)
    assert response.shape == (3, 33)
    assert response.dtype == (torch.complex64 if dtype == torch.float32 else torch.complex128)
    tolerance = 1e-5 if dtype == torch.float32 else 1e-12
    for row, found in zip(coefficients.double().numpy(), response, strict=True):
        expected = signal.freqz(row, worN=omega.double().numpy())[1] if taps else np.zeros(33)
        np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * max(taps, 1))


@pytest.mark.parametrize("exponent", [*range(1, 10), 31])
def test_integer_powers_are_pytorchs_with_its_gradients(exponent):
    z = torch.polar(torch.full((7,), 0.9, dtype=torch.float64), normal(7)).requires_grad_()
    powers = integer_power(z, exponent), z**exponent
    gradients = [torch.autograd.grad(power.abs().square().sum() + power.real.sum(), z)[0] for power in powers]
    for found, expected in (powers, gradients):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-13)


# -------------------------------------------------------------------------------------------------- other sample rates

RATIOS = [0.5, 44.1 / 48, 1.0, 48 / 44.1, 96 / 44.1]
each_ratio = pytest.mark.parametrize("ratio", RATIOS, ids=lambda ratio: f"{ratio:.3f}")


def filters(rows: int) -> tuple[Tensor, Tensor]:
    """Biquads of several kinds, with a[0] = 1."""
    rng = np.random.default_rng(0)
    cuts = rng.uniform(100, 5000, size=rows)
    designs = [signal.butter(2, cut, ("low", "high")[i % 2], fs=SAMPLE_RATE) for i, cut in enumerate(cuts)]
    b, a = (torch.from_numpy(np.stack(part)) for part in zip(*designs, strict=True))
    return b, a


@each_ratio
@pytest.mark.parametrize("order", [1, 2, 4])
def test_another_sample_rate_is_the_same_analogue_filter(order, ratio):
    """A bilinear transform at the old rate, changed to the new one, is the bilinear transform at the new one."""
    analogue = signal.butter(order, 2 * math.pi * 800, analog=True)
    old, new = (signal.bilinear(*analogue, fs=rate) for rate in (SAMPLE_RATE, ratio * SAMPLE_RATE))
    found = change_sample_rate(*map(torch.from_numpy, old), ratio)
    for one, expected in zip(found, new, strict=True):
        np.testing.assert_allclose(one, expected, rtol=1e-9, atol=1e-11)


@each_ratio
def test_another_sample_rate_there_and_back_is_the_identity(ratio):
    """Unless the filter was not normalised: then it comes back normalised."""
    b, a = filters(6)
    there = change_sample_rate(3 * b, 3 * a, ratio)
    for found, expected in zip(change_sample_rate(*there, 1 / ratio), (b, a), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-11)


@each_ratio
@quick
@given(seed=st.integers(0, 2**32 - 1))
def test_at_another_sample_rate_stable_filters_stay_stable(ratio, seed):
    rng = np.random.default_rng(seed)
    pole = np.sqrt(rng.uniform(0, 0.999)) * np.exp(1j * rng.uniform(0, np.pi))
    a = torch.from_numpy(np.real(np.poly([pole, pole.conj()])))
    _, changed = change_sample_rate(torch.from_numpy(rng.standard_normal(3)), a, ratio)
    assert float(changed[0]) == 1.0
    assert np.abs(np.roots(changed.numpy())).max() < 1.0


@each_ratio
def test_at_another_sample_rate_it_sounds_the_same_far_below_nyquist(ratio):
    b, a = filters(6)
    changed = change_sample_rate(b, a, ratio)
    for old_b, old_a, new_b, new_a in zip(b.numpy(), a.numpy(), *(c.numpy() for c in changed), strict=True):
        for frequency, tolerance in [(0.0, 1e-9), (20.0, 1e-4), (200.0, 1e-3), (1000.0, 0.01)]:
            old = response_at(old_b, old_a, frequency)
            new = response_at(new_b, new_a, frequency, ratio * SAMPLE_RATE)
            assert abs(new - old) < tolerance


# ---------------------------------------------------------------------------------- poles, reflections, spectral pairs

orders = st.integers(0, 12)
seeds = st.integers(0, 2**32 - 1)


def stable(order: int, seed: int) -> Tensor:
    return torch.from_numpy(stable_denominator(order, np.random.default_rng(seed), radius=0.9))


@quick
@given(orders, seeds)
def test_poles_are_the_roots(order, seed):
    a = stable(order, seed)
    poles = poles_from_denominator(3 * a)
    expected = np.roots(a)
    assert poles.shape == (order,)
    if order:
        np.testing.assert_allclose(
            np.sort_complex(poles.numpy().round(9)), np.sort_complex(expected.round(9)), atol=1e-7
        )
    np.testing.assert_allclose(denominator_from_poles(poles), a, atol=1e-9)


@quick
@given(orders, seeds)
def test_reflection_coefficients_come_back_and_are_within_1(order, seed):
    a = stable(order, seed)
    k = reflection_from_denominator(2 * a)
    assert bool((k.abs() < 1).all())
    np.testing.assert_allclose(denominator_from_reflection(k), a, atol=1e-7)


@quick
@given(st.lists(st.floats(-0.99, 0.99), max_size=10))
def test_reflections_within_1_make_poles_within_the_circle(k):
    a = denominator_from_reflection(torch.tensor(k, dtype=torch.float64))
    assert a.shape == (len(k) + 1,)
    assert np.abs(np.roots(a)).max(initial=0.0) < 1 + 1e-9  # the roots themselves are rounded


@quick
@given(orders, seeds)
def test_spectral_pairs_come_back_rise_and_interlace(order, seed):
    a = stable(order, seed)
    frequencies = spectral_pairs_from_denominator(2 * a)
    assert frequencies.shape == (order,)
    assert bool((frequencies.diff() > 0).all() and ((frequencies > 0) & (frequencies < math.pi)).all())
    np.testing.assert_allclose(denominator_from_spectral_pairs(frequencies), a, atol=1e-7)


@quick
@given(st.integers(1, 8), seeds)
def test_rising_frequencies_make_stable_filters(order, seed):
    gaps = np.random.default_rng(seed).uniform(0.1, 1, order + 1)
    frequencies = torch.from_numpy(np.pi * np.cumsum(gaps)[:-1] / gaps.sum())
    a = denominator_from_spectral_pairs(frequencies)
    assert np.abs(np.roots(a)).max() < 1
    np.testing.assert_allclose(spectral_pairs_from_denominator(a), frequencies, atol=1e-9)


@pytest.mark.parametrize("order", [0, 1, 4, 5])
def test_many_denominators_at_once_are_each_alone(order):
    a = torch.stack([torch.stack([stable(order, seed + 10 * more) for seed in range(3)]) for more in range(2)])
    for there, back in (
        (reflection_from_denominator, denominator_from_reflection),
        (spectral_pairs_from_denominator, denominator_from_spectral_pairs),
        (poles_from_denominator, lambda poles: denominator_from_poles(poles).real),
    ):
        found = there(a)
        torch.testing.assert_close(found[1, 2], there(a[1, 2]))
        torch.testing.assert_close(back(found), a)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_conversions_have_right_derivatives(order):
    a = stable(order, 0)
    for conversion in (reflection_from_denominator, spectral_pairs_from_denominator):
        assert_derivatives(conversion, a)
    assert_derivatives(denominator_from_reflection, 0.3 * normal(order))
    assert_derivatives(denominator_from_reflection, 0.3 * normal(2, order, dtype=torch.complex128))
    assert_derivatives(denominator_from_spectral_pairs, torch.linspace(0.5, 2.5, order, dtype=torch.float64))
    assert_derivatives(denominator_from_poles, normal(order, dtype=torch.complex128))
    assert_derivatives(lambda a: poles_from_denominator(a).abs().sum(), a)


@pytest.mark.parametrize(("zeros", "poles"), [(0, 0), (2, 2), (0, 3), (3, 1)])
def test_a_companion_has_the_same_transfer_function(zeros, poles):
    b, a = normal(zeros + 1), 2 * stable(poles, 0)
    A, B, C, D = (value.numpy() for value in companion(b, a))
    z = np.exp(0.4j)
    expected = np.polyval(b.numpy()[::-1], 1 / z) / np.polyval(a.numpy()[::-1], 1 / z)
    assert C @ np.linalg.solve(z * np.eye(len(A)) - A, B) + D == pytest.approx(expected)
