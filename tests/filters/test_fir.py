"""The FIR filter is SciPy's where taps are fixed, and philtorch's and the definition's where they move."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import signal

from diffapf.filters.fir import fir
from tests.filters.oracles import fir_loop, normal, quick

ORDERS = [0, 1, 2, 14, 40]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("time", [0, 1, 2, 40])
def test_it_is_the_sum(order, time):
    """Taps and initial state differ from row to row; signals may be shorter than the filter."""
    x, zi, b = normal(5, time), normal(5, order, seed=1), normal(5, time, order + 1, seed=2)
    y, zf = fir(x, b, zi, return_zf=True)
    for row in range(5):
        expected, state = fir_loop(x[row].numpy(), b[row].numpy(), zi[row].numpy())
        np.testing.assert_allclose(y[row], expected, rtol=1e-12, atol=1e-12)
        np.testing.assert_array_equal(zf[row], state)


@quick
@given(order=st.sampled_from([0, 1, 2, 6, 14]), rows=st.integers(1, 6), seed=st.integers(0, 2**32 - 1))
def test_fixed_filters_are_scipys(order, rows, seed):
    rng = np.random.default_rng(seed)
    taps, x, past = (rng.standard_normal((rows, size)) for size in (order + 1, 100, order))
    y = fir(*map(torch.from_numpy, (x, taps, past)))
    for row in range(rows):
        state = signal.lfiltic(taps[row], [1.0], y=[], x=past[row])
        expected, _ = signal.lfilter(taps[row], [1.0], x[row], zi=state)
        np.testing.assert_allclose(y[row], expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("order", [1, 2])
def test_moving_filters_are_philtorchs_with_its_gradients(order):
    philtorch = pytest.importorskip("philtorch.lpv", reason="philtorch is not installed")
    inputs = [normal(4, 60), normal(4, 60, order + 1, seed=1), normal(4, order, seed=2)]

    def outputs_and_gradients(function):
        arguments = [tensor.clone().requires_grad_() for tensor in inputs]
        y, zf = function(*arguments)
        return y, zf, *torch.autograd.grad((y**2).sum() + (zf**3).sum(), arguments)

    found = outputs_and_gradients(lambda x, b, zi: fir(x, b, zi, return_zf=True))
    expected = outputs_and_gradients(lambda x, b, zi: philtorch.fir(b, x, zi, transpose=False))
    for one, wanted in zip(found, expected, strict=True):
        torch.testing.assert_close(one, wanted, rtol=1e-11, atol=1e-11)


def test_a_long_filter_is_a_convolution():
    x, b = normal(3, 500), normal(200, seed=1)
    expected = [np.convolve(row, b.numpy())[:500] for row in x.numpy()]
    np.testing.assert_allclose(fir(x, b), expected, rtol=1e-11, atol=1e-11)
