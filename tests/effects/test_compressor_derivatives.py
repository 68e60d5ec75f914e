"""Every learnable number and the audio itself: reverse mode, forward mode, Jacobians by `vmap`, Hessians by all nestings."""

from __future__ import annotations

import pytest
import torch
from torch.autograd import gradcheck
from torch.func import jacfwd, jacrev, jvp, vmap

from diffapf.filters.fractional_delay import sinc
from tests.effects.compressors import STRUCTURES, as_function, bursts, small_compressor
from tests.filters.oracles import generator

each_structure = pytest.mark.parametrize("arguments", STRUCTURES.values(), ids=STRUCTURES)


@each_structure
def test_gradients_are_finite_differences(arguments):
    function, values = as_function(small_compressor(**arguments))
    x = bursts(2, 60).requires_grad_()
    assert gradcheck(function, (x, *values), rtol=1e-4, atol=1e-6)


@each_structure
def test_no_learnable_number_is_without_gradient(arguments):
    function, values = as_function(small_compressor(**arguments))
    for gradient in torch.autograd.grad(function(bursts(2, 600), *values).square().sum(), values):
        assert bool(gradient.isfinite()) and float(gradient) != 0


@each_structure
def test_forward_mode_is_finite_differences(arguments):
    function, values = as_function(small_compressor(**arguments))
    at = (bursts(2, 300), *(value.detach() for value in values))
    direction = tuple(torch.randn(value.shape, generator=generator(1), dtype=value.dtype) for value in at)
    direction = (0.01 * direction[0], *direction[1:])
    y, tangent = jvp(function, at, direction)
    torch.testing.assert_close(y, function(*at), rtol=1e-12, atol=1e-12)
    step = 1e-6
    ahead, behind = (
        function(*(value + sign * step * move for value, move in zip(at, direction, strict=True))) for sign in (1, -1)
    )
    difference = (ahead - behind) / (2 * step)
    torch.testing.assert_close(tangent, difference, rtol=0, atol=1e-6 * difference.abs().max().item())


@each_structure
def test_jacobians_by_vmap_and_hessians_by_all_nestings_agree(arguments):
    function, values = as_function(small_compressor(**arguments))
    x, at = bursts(2, 40), torch.stack([value.detach() for value in values])

    def of_numbers(numbers):
        return function(x, *numbers)

    columns = vmap(lambda along: jvp(of_numbers, (at,), (along,))[1])(torch.eye(len(at), dtype=at.dtype))
    torch.testing.assert_close(columns.movedim(0, -1), jacrev(of_numbers)(at), rtol=1e-9, atol=1e-11)

    def loss(numbers):
        return of_numbers(numbers).pow(3).sum()

    expected = torch.autograd.functional.hessian(loss, at)
    for outer, inner in ((jacfwd, jacrev), (jacrev, jacfwd), (jacfwd, jacfwd)):
        torch.testing.assert_close(outer(inner(loss))(at), expected, rtol=1e-8, atol=1e-10)


def test_the_sinc_of_the_look_ahead_has_second_derivatives_everywhere():
    t = torch.tensor([-2.0, -1e-4, 0.0, 5e-4, 0.3], dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(sinc(t), torch.sinc(t))
    assert torch.autograd.gradcheck(sinc, t) and torch.autograd.gradgradcheck(sinc, t)
