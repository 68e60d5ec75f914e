"""The comb filter is its definition, whatever its delay, and SciPy's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import signal

from diffapf.filters.comb import comb
from tests.filters.checks import assert_derivatives, assert_same_in_blocks, assert_transforms
from tests.filters.oracles import normal, within


@pytest.mark.parametrize("delay", [1, 2, 7, 50])
def test_it_is_scipys(delay):
    x = normal(2, 40)
    expected = signal.lfilter([1.0], np.r_[1.0, np.zeros(delay - 1), 0.7], x)
    np.testing.assert_allclose(comb(x, 0.7, delay), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("delay", [1, 3, 30])
@pytest.mark.parametrize("time", [0, 1, 20])
def test_with_its_gain_moving_it_is_its_definition(delay, time):
    x, alpha, zi = normal(2, time), within(0.9, 2, time, seed=1), normal(2, delay, seed=2)
    found, zf = comb(x, alpha, delay, zi, return_zf=True)
    for row in range(2):
        y = zi[row].tolist()[::-1]
        for n in range(time):
            y.append(float(x[row, n]) - float(alpha[row, n]) * y[n])
        np.testing.assert_allclose(found[row], y[delay:], rtol=1e-12)
        np.testing.assert_allclose(zf[row], y[::-1][:delay], rtol=1e-12)


@pytest.mark.parametrize("shape", [(), (2,), (2, 5)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_derivatives_are_those_of_finite_differences(shape, dtype):
    inputs = normal(2, 5, dtype=dtype), normal(*shape, seed=1, dtype=dtype), normal(2, 2, seed=2, dtype=dtype)
    assert_derivatives(lambda x, alpha, zi: comb(x, alpha, 2, zi, return_zf=True), *inputs)


def test_transforms():
    def function(x, alpha, zi):
        return comb(x, alpha, 2, zi, return_zf=True)

    assert_transforms(function, normal(2, 5), normal(2, seed=1), normal(2, 2, seed=2))


def test_any_blocks_are_the_whole():
    x, alpha = normal(2, 30), within(0.9, 2, 30, seed=1)

    def block(start, stop, state):
        return comb(x[:, start:stop], alpha[:, start:stop], 4, state, return_zf=True)

    assert_same_in_blocks(comb(x, alpha, 4, return_zf=True), block, [1, 1, 3, 17])


@pytest.mark.parametrize(
    ("error", "words", "call"),
    [
        (ValueError, ["delay", "positive", "0"], lambda x: comb(x, 0.5, 0)),
        (ValueError, ["delay", "positive", "1.5"], lambda x: comb(x, 0.5, 1.5)),
        (ValueError, ["alpha", "(2,)", "(2, 5)", "(3,)"], lambda x: comb(x, torch.ones(3), 2)),
        (ValueError, ["zi", "(2, 3)", "(2, 2)"], lambda x: comb(x, 0.5, 3, torch.ones(2, 2))),
        (TypeError, ["alpha", "float64"], lambda x: comb(x, torch.ones(2).double(), 2)),
    ],
)
def test_errors_say_what_is_needed(error, words, call):
    with pytest.raises(error) as raised:
        call(torch.ones(2, 5))
    assert all(word in str(raised.value) for word in words)
