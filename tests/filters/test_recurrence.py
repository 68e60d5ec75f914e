"""The first-order recurrence is its definition, real and complex, in each layout of its coefficient."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from diffapf.filters.allpole import allpole
from diffapf.filters.recurrence import linear_recurrence
from tests.filters.checks import assert_derivatives, assert_transforms
from tests.filters.oracles import allpole_loop, normal, within

DTYPES = [torch.float64, torch.complex128]


def coefficient(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    a = within(0.9, *shape, seed=1).to(dtype)
    return a * np.exp(0.7j) if dtype.is_complex else a


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("time", [0, 1, 20])
def test_it_is_the_recurrence(dtype, time):
    a, x, zi = coefficient(2, time, dtype=dtype), normal(2, time, dtype=dtype), normal(2, seed=2, dtype=dtype)
    y = linear_recurrence(a, x, zi)
    for row in range(2):
        expected, _ = allpole_loop(x[row].numpy(), -a[row, :, None].numpy(), zi[row : row + 1].numpy())
        np.testing.assert_allclose(y[row], expected, rtol=1e-12, atol=1e-12)


def test_it_is_the_all_pole_filter_of_order_1_in_each_layout():
    x = normal(2, 12)
    for a, hop in [(coefficient(), None), (coefficient(2), None), (coefficient(2, 4), 4)]:
        torch.testing.assert_close(linear_recurrence(a, x, hop=hop), allpole(x, -a[..., None], hop=hop))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shape", "hop"), [((), None), ((2, 5), None), ((2, 3), 2)])
def test_derivatives_are_those_of_finite_differences(dtype, shape, hop):
    inputs = coefficient(*shape, dtype=dtype), normal(2, 5, dtype=dtype), normal(2, seed=2, dtype=dtype)
    assert_derivatives(lambda a, x, zi: linear_recurrence(a, x, zi, hop), *inputs)


def test_transforms():
    assert_transforms(linear_recurrence, coefficient(2), normal(2, 5), normal(2, seed=2))


def test_the_last_sample_is_the_next_blocks_state():
    a, x = coefficient(2, 30), normal(2, 30)
    first = linear_recurrence(a[:, :11], x[:, :11])
    second = linear_recurrence(a[:, 11:], x[:, 11:], first[:, -1])
    torch.testing.assert_close(torch.cat([first, second], 1), linear_recurrence(a, x))


@pytest.mark.parametrize(
    ("error", "words", "call"),
    [
        (ValueError, ["a", "(2, 5)", "(2, 4)"], lambda x: linear_recurrence(torch.ones(2, 4), x)),
        (ValueError, ["a", "(2,)", "(3,)"], lambda x: linear_recurrence(torch.ones(3), x)),
        (ValueError, ["a", "frames", "(2,)"], lambda x: linear_recurrence(torch.ones(2), x, hop=2)),
        (ValueError, ["zi", "(2,)", "(2, 1)"], lambda x: linear_recurrence(torch.ones(2), x, torch.ones(2, 1))),
        (TypeError, ["a", "complex64", "float32"], lambda x: linear_recurrence(torch.ones(2).to(torch.complex64), x)),
    ],
)
def test_errors_say_what_is_needed(error, words, call):
    with pytest.raises(error) as raised:
        call(torch.ones(2, 5))
    assert all(word in str(raised.value) for word in words)
