"""Gains become filters that have them, and none is as loud as 1."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from diffapf.filters._fft import convolve, correlate, fast_length, real_fft
from diffapf.filters.absorption import below_one, interpolated, linear_phase
from tests.filters.checks import assert_derivatives
from tests.filters.oracles import normal, within


def test_interpolation_is_numpys():
    values, where = normal(7), 9 * torch.rand(50).double() - 1
    np.testing.assert_allclose(interpolated(values, where), np.interp(where, np.arange(7), values), rtol=1e-12)
    assert gradcheck(lambda v: interpolated(v, where), values.requires_grad_())


def test_filters_have_the_gains_they_are_made_of():
    gains = torch.cos(torch.linspace(0, torch.pi / 2, 33)).double().square() + 0.1  # three cosines
    taps = linear_phase(gains, 63)
    assert torch.equal(taps, taps.flip(0))
    response = torch.fft.rfft(taps.roll(-31).roll(0), 63)
    assert response.shape == (32,)
    omega = torch.arange(33).double() * torch.pi / 32
    k = torch.arange(-31, 32).double()
    found = (taps * torch.cos(omega[:, None] * k)).sum(-1)
    # the tap at 32, the middle of the circle, has no place among 63
    torch.testing.assert_close(found, gains, rtol=0, atol=1e-3)


@pytest.mark.parametrize("taps", [0, 2, 65])
def test_lengths_that_do_not_fit(taps):
    with pytest.raises(ValueError, match="taps must be odd and less than 64"):
        linear_phase(torch.ones(33), taps)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("count", [1, 3, 31])
def test_nowhere_is_a_filter_as_loud_as_1(count, seed):
    half = within(1.0, count // 2 + 1, seed=seed)
    taps = torch.cat([half[1:].flip(0), half]).requires_grad_()
    scaled = below_one(taps)
    assert float(torch.fft.rfft(scaled.detach(), 1 << 16).abs().max()) < 1
    assert torch.equal(below_one(scaled), scaled) or count > 1
    assert gradcheck(below_one, taps)
    quiet = taps.detach() / (2 * taps.detach().abs().sum())
    assert below_one(quiet) is quiet


def test_fast_lengths_are_products_of_2_3_and_5():
    for least in (1, 2, 7, 997, 44101, 2**17 + 1):
        n = fast_length(least)
        assert least <= n <= 1.1 * least + 1
        for factor in (2, 3, 5):
            while n % factor == 0:
                n //= factor
        assert n == 1


@pytest.mark.parametrize("time", [5, 8])
def test_the_real_fft_is_torchs_with_its_gradients(time):
    x = normal(2, time)
    torch.testing.assert_close(real_fft(x, 8), torch.fft.rfft(x, 8))
    assert_derivatives(lambda x: real_fft(x, 8), x)
    found, expected = (
        torch.autograd.functional.jacobian(fft, x)
        for fft in (lambda x: real_fft(x, 8).abs(), lambda x: torch.fft.rfft(x, 8).abs())
    )
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("time", [1, 5, 30])
def test_convolution_and_correlation_are_their_sums(time):
    x, taps = normal(2, time + 7), normal(2, 7)
    expected = np.stack([np.convolve(a, b) for a, b in zip(x, taps, strict=True)])[:, 7 : time + 7]
    np.testing.assert_allclose(convolve(x, taps, 7, time + 7), expected, rtol=1e-10, atol=1e-12)
    p = normal(2, time, seed=1)
    expected = [[float((p[r] * x[r, m : m + time]).sum()) for m in range(8)] for r in range(2)]
    np.testing.assert_allclose(correlate(p, x, 8), expected, rtol=1e-10, atol=1e-12)
