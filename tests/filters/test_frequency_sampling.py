"""A fixed filter by its sampled response is the recursion on a circle of n samples."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import signal
from torch import Tensor

from diffapf.filters.frequency_sampling import frequency_sampled_filter
from tests.filters.oracles import normal, stable_denominator


def filters(order: int, radius: float = 0.95) -> tuple[Tensor, Tensor]:
    """b, and a with a leading coefficient other than 1."""
    rng = np.random.default_rng(order)
    a = torch.from_numpy(stable_denominator(order, rng, radius))
    return torch.from_numpy(rng.standard_normal(order + 1)), 1.5 * a


def on_a_circle(h: np.ndarray, x: np.ndarray, n: int) -> np.ndarray:
    """x convolved with h, whatever lies n samples behind added to the beginning."""
    whole = np.convolve(h, x)
    return np.pad(whole, (0, -len(whole) % n)).reshape(-1, n).sum(0)[: len(x)]


@pytest.mark.parametrize("order", [0, 1, 2, 5])
@pytest.mark.parametrize(("time", "n"), [(40, None), (40, 64), (3, 3), (1, 1)])
@pytest.mark.parametrize("truncated", [False, True])
def test_it_is_the_impulse_response_on_a_circle(order, time, n, truncated):
    (b, a), x = filters(order), normal(time)
    count = n or time
    h = signal.lfilter(b, a, np.eye(1, 4000)[0])
    expected = on_a_circle(h[:count] if truncated else h, x.numpy(), count)
    y = frequency_sampled_filter(b, a, x, n, truncated=truncated)
    np.testing.assert_allclose(y, expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("truncated", [False, True])
def test_derivatives_are_those_of_finite_differences(truncated):
    inputs = [value.requires_grad_() for value in (*filters(2), normal(2, 6))]
    assert torch.autograd.gradcheck(lambda b, a, x: frequency_sampled_filter(b, a, x, 8, truncated), inputs)


def test_each_signal_may_have_a_filter():
    (b, a), (other_b, other_a), x = filters(2), filters(2, 0.5), normal(3, 2, 10)
    y = frequency_sampled_filter(torch.stack([b, other_b]), torch.stack([a, other_a]), x, truncated=True)
    torch.testing.assert_close(y[:, 0], frequency_sampled_filter(b, a, x[:, 0], truncated=True))
    torch.testing.assert_close(y[:, 1], frequency_sampled_filter(other_b, other_a, x[:, 1], truncated=True))


def test_of_no_samples_there_are_none():
    assert frequency_sampled_filter(*filters(2), normal(2, 0)).shape == (2, 0)


@pytest.mark.parametrize(
    ("error", "words", "call"),
    [
        (ValueError, ["n", "5", "4"], lambda b, a, x: frequency_sampled_filter(b, a, x, 4)),
        (ValueError, ["n", "True"], lambda b, a, x: frequency_sampled_filter(b, a, x, True)),
        (ValueError, ["a[..., 0]", "0"], lambda b, a, x: frequency_sampled_filter(b, 0 * a, x)),
        (
            ValueError,
            ["b and a", "(2, 'taps')", "(3, 3)"],
            lambda b, a, x: frequency_sampled_filter(b.expand(3, -1), a, x),
        ),
        (TypeError, ["b", "float32"], lambda b, a, x: frequency_sampled_filter(b.float(), a, x)),
        (TypeError, ["x", "real"], lambda b, a, x: frequency_sampled_filter(b, a, x * 1j)),
        (TypeError, ["truncated", "int"], lambda b, a, x: frequency_sampled_filter(b, a, x, truncated=1)),
    ],
)
def test_errors_say_what_is_needed(error, words, call):
    with pytest.raises(error) as raised:
        call(*filters(2), normal(2, 5))
    assert all(word in str(raised.value) for word in words)
