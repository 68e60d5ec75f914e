"""A bank of damped modes is its recursion, of any shape, in any blocks; SciPy's filters are its oracle."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import signal

from diffapf.filters import modal
from diffapf.filters.modal import ModalProjection, ModalSum, modal_filter, modal_impulse_response
from tests.filters.checks import ArraysMade, assert_derivatives, assert_same_in_blocks, assert_transforms
from tests.filters.oracles import normal, quick, within


def bank(*shape: int, seed: int = 0):
    """(frequency, decay, gain) of random modes."""
    frequency, decay = 1.5 + within(1.4, *shape, seed=seed), 0.1 + within(0.08, *shape, seed=seed + 1)
    return frequency, decay, normal(*shape, seed=seed + 2, dtype=torch.complex128)


def recursion(frequency, decay, gain, x, zi):
    """The definition, for `(rows, …)`."""
    poles, states, y = torch.exp(torch.complex(-decay, frequency)), zi, []
    for n in range(x.shape[1]):
        states = poles * states + x[:, n : n + 1]
        y.append((gain * states).imag.sum(-1))
    return torch.stack(y, 1), states


@quick
@given(st.integers(1, 7), st.integers(1, 3), st.integers(1, 40), st.booleans(), st.booleans(), st.integers(0, 2**31))
def test_it_is_its_recursion(modes, rows, time, of_each, complex_gain, seed):
    frequency, decay, gain = bank(*([rows] if of_each else []), modes, seed=seed % 1000)
    gain = gain if complex_gain else gain.real
    x, zi = normal(rows, time), normal(rows, modes, dtype=torch.complex128)
    found = modal_filter(frequency, decay, gain, x, zi, return_zf=True)
    for one, expected in zip(found, recursion(frequency, decay, gain, x, zi), strict=True):
        torch.testing.assert_close(one, expected, rtol=1e-10, atol=1e-11)


def test_it_is_scipys_filter():
    frequency, decay, gain = bank(5)
    x, expected = normal(300), np.zeros(300)
    for omega, rate, g in zip(frequency.tolist(), decay.tolist(), gain.tolist(), strict=True):
        r = np.exp(-rate)
        b = [g.imag, r * (g.real * np.sin(omega) - g.imag * np.cos(omega))]
        expected += signal.lfilter(b, [1, -2 * r * np.cos(omega), r * r], x)
    np.testing.assert_allclose(modal_filter(frequency, decay, gain, x), expected, rtol=0, atol=1e-12)


def test_the_impulse_response_is_that_of_the_filter():
    frequency, decay, gain = bank(2, 5)
    impulse = torch.zeros(2, 100, dtype=torch.float64)
    impulse[:, 0] = 1
    torch.testing.assert_close(
        modal_impulse_response(frequency, decay, gain, 100), modal_filter(frequency, decay, gain, impulse)
    )


def test_no_array_is_of_modes_by_time():
    modes, time = 300, 20_000
    frequency, decay, gain = (torch.rand(modes, dtype=torch.float64, requires_grad=True) for _ in range(3))
    with ArraysMade() as made:
        modal_filter(frequency, 0.01 * decay, gain, torch.randn(time)).sum().backward()
    assert max(made.sizes()) < modes * time


def test_more_modes_than_are_taken_at_once(monkeypatch):
    frequency, decay, gain = bank(7)
    x = normal(2, 50)
    whole = modal_filter(frequency, decay, gain, x, return_zf=True)
    monkeypatch.setattr(modal, "TABLE", 48)  # three modes
    torch.testing.assert_close(modal_filter(frequency, decay, gain, x, return_zf=True), whole)


@pytest.mark.parametrize("shape", [(), (2,)])
def test_derivatives_are_those_of_finite_differences(shape):
    x, zi = normal(2, 5), normal(2, 3, seed=7, dtype=torch.complex128)
    assert_derivatives(lambda *inputs: modal_filter(*inputs, return_zf=True), *bank(*shape, 3), x, zi)


def test_derivatives_of_both_products():
    frequency, decay, gain = bank(2, 3)
    exponents = torch.complex(-decay, frequency)
    assert_derivatives(lambda g, q: ModalSum.apply(g, q, 5), gain, exponents)
    assert_derivatives(ModalProjection.apply, normal(2, 5), exponents)


def test_transforms():
    frequency, decay, gain = bank(2)
    x, zi = normal(2, 4), normal(2, 2, seed=7)
    assert_transforms(lambda f, d, g, x, zi: modal_filter(f, d, g, x, zi), frequency, decay, gain.real, x, zi)


def test_any_blocks_are_the_whole():
    modes, x = bank(3), normal(2, 30)

    def block(start, stop, state):
        return modal_filter(*modes, x[:, start:stop], state, return_zf=True)

    assert_same_in_blocks(modal_filter(*modes, x, return_zf=True), block, [1, 1, 2, 17])


def test_float32_and_long_decays():
    """A mode of 3 Hz that rings for seconds, whose pole is nearly 1."""
    frequency, decay, gain = torch.tensor([4e-4]).double(), torch.tensor([3e-5]).double(), torch.ones(1)
    n = torch.arange(100_000, dtype=torch.float64)
    impulse = torch.zeros(100_000)
    impulse[0] = 1
    y = modal_filter(frequency, decay, gain, impulse)
    assert y.dtype == torch.float32
    assert (y - torch.exp(-decay * n) * torch.sin(frequency * n)).abs().max() < 1e-7


def test_signals_and_modes_may_be_none():
    assert modal_filter(*bank(3), normal(2, 0)).shape == (2, 0)
    y, zf = modal_filter(*bank(0), normal(2, 5), return_zf=True)
    assert not y.any() and zf.shape == (2, 0)
    assert modal_impulse_response(*bank(2, 3), 0).shape == (2, 0)


@pytest.mark.parametrize(
    ("error", "words", "call"),
    [
        (
            ValueError,
            ["gain (2,)", "frequency (3,)"],
            lambda x: modal_filter(torch.ones(3), torch.ones(3), torch.ones(2), x),
        ),
        (ValueError, ["(3,)", "(2, 3)", "(4, 3)"], lambda x: modal_filter(*3 * [torch.ones(4, 3)], x)),
        (ValueError, ["zi", "(2, 3)"], lambda x: modal_filter(*3 * [torch.ones(3)], x, torch.ones(2))),
        (TypeError, ["decay", "complex"], lambda x: modal_filter(torch.ones(3), torch.ones(3) * 1j, torch.ones(3), x)),
        (TypeError, ["x", "int64"], lambda x: modal_filter(*3 * [torch.ones(3)], x.long())),
        (ValueError, ["time", "-1"], lambda x: modal_impulse_response(*3 * [torch.ones(3)], -1)),
    ],
)
def test_errors_say_what_is_needed(error, words, call):
    with pytest.raises(error) as raised:
        call(torch.ones(2, 5))
    assert all(word in str(raised.value) for word in words)
