"""Ballistics are their definition and torchcomp's, and their derivatives those of the one-pole the decisions choose."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from diffapf.filters.ballistics import ballistics
from tests.filters.checks import assert_derivatives, assert_same_in_blocks, assert_transforms
from tests.filters.oracles import generator


def gains(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=generator(seed), dtype=torch.float64)


def loop(g, attack, release, past):
    y = []
    for sample in g:
        rate = attack if sample < past else release
        past = rate * sample + (1 - rate) * past
        y.append(past)
    return np.array(y)


@pytest.mark.parametrize("time", [0, 1, 50])
def test_it_is_its_definition(time):
    g, attack, release, zi = gains(3, time), gains(3, seed=1), gains(3, seed=2), gains(3, seed=3)
    y, zf = ballistics(g, attack, release, zi, return_zf=True)
    for row in range(3):
        expected = loop(*(value[row].numpy() for value in (g, attack, release, zi)))
        np.testing.assert_allclose(y[row], expected, rtol=1e-13)
        assert float(zf[row]) == (y[row, -1] if time else zi[row])


def test_it_starts_from_no_compression():
    torch.testing.assert_close(ballistics(gains(20), 0.3, 0.1), ballistics(gains(20), 0.3, 0.1, zi=1.0), rtol=0, atol=0)
    assert torch.equal(ballistics(torch.ones(5), 0.3, 0.1), torch.ones(5))


def test_a_step_down_takes_the_attacks_time_and_a_step_up_the_releases():
    """To 1/e of the way in the time constant, as its docstring says."""
    attack, release = (1 - np.exp(-1 / samples) for samples in (20, 100))
    down, up = (
        ballistics(torch.zeros(50).double(), attack, release),
        ballistics(torch.ones(200).double(), attack, release, 0),
    )
    assert float(down[19]) == pytest.approx(np.exp(-1))
    assert float(up[99]) == pytest.approx(1 - np.exp(-1))


def test_it_is_torchcomps_with_its_gradients():
    torchcomp = pytest.importorskip("torchcomp.core", reason="torchcomp is not installed")
    inputs = [gains(3, 80), 0.3 * gains(3, seed=1), 0.1 * gains(3, seed=2), gains(3, seed=3)]

    def outputs_and_gradients(function):
        g, attack, release, zi = (value.clone().requires_grad_() for value in inputs)
        y = function(g, zi, attack, release)
        return y, *torch.autograd.grad((y**3).sum(), (g, zi, attack, release))

    found = outputs_and_gradients(lambda g, zi, at, rt: ballistics(g, at, rt, zi))
    for one, wanted in zip(found, outputs_and_gradients(torchcomp.compressor_core), strict=True):
        torch.testing.assert_close(one, wanted, rtol=1e-10, atol=1e-11)


def function(g, attack, release, zi):
    return ballistics(g, attack, release, zi, return_zf=True)


def test_derivatives_are_those_of_finite_differences():
    assert_derivatives(function, gains(2, 6), gains(2, seed=1), gains(2, seed=2), gains(2, seed=3))
    assert_derivatives(function, gains(2, 6), gains(seed=1), gains(seed=2), gains(seed=3))


def test_transforms():
    assert_transforms(function, gains(2, 4), gains(2, seed=1), gains(2, seed=2), gains(2, seed=3))


def test_any_blocks_are_the_whole():
    g = gains(2, 30)
    whole = ballistics(g, 0.3, 0.1, return_zf=True)
    assert_same_in_blocks(whole, lambda i, j, state: ballistics(g[:, i:j], 0.3, 0.1, state, True), [1, 1, 2, 17])


@pytest.mark.parametrize("batch", [(), (2, 3), (0,)], ids=str)
def test_batches_of_any_shape(batch):
    g = gains(*batch, 8)
    y, zf = ballistics(g, 0.3, torch.tensor(0.1).double(), return_zf=True)
    assert y.shape == g.shape and zf.shape == batch


@pytest.mark.parametrize(
    ("error", "words", "call"),
    [
        (ValueError, ["attack", "(2,)", "(3,)"], lambda g: ballistics(g, torch.ones(3), 0.1)),
        (TypeError, ["release", "str"], lambda g: ballistics(g, 0.1, "0.1")),
        (TypeError, ["zi", "float64"], lambda g: ballistics(g, 0.1, 0.1, torch.ones(2).double())),
        (TypeError, ["g", "float32 or float64", "complex64"], lambda g: ballistics(g.to(torch.complex64), 0.1, 0.1)),
    ],
)
def test_errors_say_what_is_needed(error, words, call):
    with pytest.raises(error) as raised:
        call(torch.ones(2, 5))
    assert all(word in str(raised.value) for word in words)


def test_integers_are_not_gains():
    with pytest.raises(TypeError, match="g must be float32"):
        ballistics(torch.ones(2, 5).long(), 0.1, 0.1)
