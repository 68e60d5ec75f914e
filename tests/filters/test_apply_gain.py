"""A signal times a gain: its definition, and its derivatives by finite differences."""

from __future__ import annotations

import pytest
import torch

from diffapf.filters.apply_gain import apply_gain
from tests.filters.checks import assert_derivatives, assert_transforms
from tests.filters.oracles import normal, within

each_gain = pytest.mark.parametrize("decibels", [False, True])


@each_gain
def test_it_is_its_definition(decibels):
    x, gain, dry, wet = normal(3, 50), within(20.0, 3, 50, seed=1), normal(3, seed=2), normal(3, seed=3)
    linear = 10 ** (gain / 20) if decibels else gain
    expected = x * (dry[:, None] + wet[:, None] * linear)
    torch.testing.assert_close(apply_gain(x, gain, dry, wet, decibels), expected, rtol=1e-12, atol=1e-12)


def test_one_gain_serves_both_channels():
    x, gain = normal(2, 10), normal(10, seed=1)
    assert torch.equal(apply_gain(x, gain), x * gain)


@each_gain
def test_derivatives_are_those_of_finite_differences(decibels):
    inputs = normal(2, 6), normal(2, 6, seed=1), normal(2, seed=2), normal(2, seed=3)
    assert_derivatives(lambda *values: apply_gain(*values, decibels), *inputs)
    assert_derivatives(lambda x, gain: apply_gain(x, gain, 0.3, 0.7, decibels), *inputs[:2])


@each_gain
def test_transforms(decibels):
    inputs = normal(2, 3), normal(2, 3, seed=1), normal(2, seed=2), normal(2, seed=3)
    assert_transforms(lambda *values: apply_gain(*values, decibels), *inputs)


@pytest.mark.parametrize(
    ("error", "words", "call"),
    [
        (ValueError, ["gain", "(2, 5)", "(3, 5)"], lambda x: apply_gain(x, torch.ones(3, 5))),
        (TypeError, ["gain", "float64"], lambda x: apply_gain(x, x.double())),
        (TypeError, ["wet", "str"], lambda x: apply_gain(x, x, wet="1")),
        (TypeError, ["decibels", "True or False"], lambda x: apply_gain(x, x, decibels=1)),
    ],
)
def test_errors_say_what_is_needed(error, words, call):
    with pytest.raises(error) as raised:
        call(torch.ones(2, 5))
    assert all(word in str(raised.value) for word in words)
