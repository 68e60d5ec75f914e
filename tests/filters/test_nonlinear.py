"""A nonlinear recurrence is a loop of steps, with the loop's own derivatives."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from diffapf.filters.nonlinear import nonlinear_recurrence
from tests.filters.checks import assert_derivatives, assert_transforms
from tests.filters.oracles import normal


def step(v: Tensor, W: Tensor, bias: Tensor) -> Tensor:
    return torch.tanh(W @ v + bias) + 0.1 * v**3


def loop(u: Tensor, v0: Tensor, W: Tensor, bias: Tensor) -> Tensor:
    rows = []
    for row in range(u.shape[0]):
        v, states = v0[row], []
        for drive in u[row]:
            v = step(v, W, bias) + drive
            states.append(v)
        rows.append(torch.stack(states))
    return torch.stack(rows)


def function(u, v0, W, bias):
    return nonlinear_recurrence(step, u, v0, (W, bias))


def inputs(time: int = 4, rows: int = 2) -> tuple[Tensor, ...]:
    shapes = (rows, time, 2), (rows, 2), (2, 2), (2,)
    return tuple(0.5 * normal(*shape, seed=seed) for seed, shape in enumerate(shapes))


def test_it_is_the_loop_with_its_gradients():
    leaves = [value.requires_grad_() for value in inputs(20)]
    found, expected = function(*leaves), loop(*leaves)
    torch.testing.assert_close(found, expected)
    for one, wanted in zip(*(torch.autograd.grad((v**3).sum(), leaves) for v in (found, expected)), strict=True):
        torch.testing.assert_close(one, wanted, rtol=1e-10, atol=1e-11)


def test_derivatives_are_those_of_finite_differences():
    assert_derivatives(function, *inputs())


def test_transforms():
    """Parameters mapped by vmap are each row's own."""
    assert_transforms(function, *inputs(time=3))


def test_a_step_without_parameters():
    u = normal(2, 5, 1)
    assert_derivatives(lambda u: nonlinear_recurrence(torch.sin, u), u)


def test_the_last_state_is_the_next_blocks_first():
    u, v0, *parameters = inputs(20)
    first = function(u[:, :7], v0, *parameters)
    torch.testing.assert_close(
        torch.cat([first, function(u[:, 7:], first[:, -1], *parameters)], 1), function(u, v0, *parameters)
    )


@pytest.mark.parametrize("batch", [(), (2, 3), (0,)], ids=str)
@pytest.mark.parametrize("time", [0, 3])
def test_batches_of_any_shape(batch, time):
    u = normal(*batch, time, 2)
    assert nonlinear_recurrence(torch.tanh, u).shape == u.shape


@pytest.mark.parametrize(
    ("error", "words", "call"),
    [
        (ValueError, ["u", "(..., time, N)", "(5,)"], lambda u: nonlinear_recurrence(torch.tanh, torch.ones(5))),
        (
            ValueError,
            ["v0", "(3, 1)", "(3, 2)"],
            lambda u: nonlinear_recurrence(torch.tanh, u[..., :1], torch.ones(3, 2)),
        ),
        (ValueError, ["f", "(2,)", "()"], lambda u: nonlinear_recurrence(torch.sum, u)),
        (TypeError, ["u", "float32 or float64"], lambda u: nonlinear_recurrence(torch.tanh, u.to(torch.complex64))),
        (
            TypeError,
            ["parameters[0]", "float64"],
            lambda u: nonlinear_recurrence(torch.mul, u, None, (u[0, 0].double(),)),
        ),
    ],
)
def test_errors_say_what_is_needed(error, words, call):
    with pytest.raises(error) as raised:
        call(torch.ones(3, 5, 2))
    assert all(word in str(raised.value) for word in words)
