"""Every learnable number and the audio itself: reverse mode, forward mode, and Jacobians by `vmap`."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch.autograd import gradcheck
from torch.func import jvp, vmap

from diffapf.effects.phaser import paper_phaser
from tests.effects.phasers import OPTIONS, PAPER_OPTIONS, as_function, moved, small_phaser
from tests.filters.oracles import generator, normal

PHASERS = {
    "cascade": lambda: small_phaser(feedback_highpass_hz=100.0),
    "cascade, loop delay": lambda: small_phaser(loop_delay=1, stages=6),
    "paper": lambda: small_phaser(core="paper", sweep="paper", amount=0.05),
    "as published, training": lambda: moved(published(), 0.1),
    "paper, any curve and filter": lambda: small_phaser(**PAPER_OPTIONS, amount=0.05),
    **{name: partial(small_phaser, **OPTIONS[name]) for name in ("any curve", "all", "all, loop delay")},
}
each_phaser = pytest.mark.parametrize("build", PHASERS.values(), ids=PHASERS)


def published():
    torch.manual_seed(0)
    return paper_phaser(8000, 0.005, damping=0.3).double().train()


@each_phaser
def test_gradients_are_finite_differences(build):
    function, values = as_function(build())
    x = normal(60).requires_grad_()
    assert gradcheck(function, (x, *values), rtol=1e-4, atol=1e-6, fast_mode=True)


@each_phaser
def test_no_learnable_number_is_without_gradient(build):
    function, values = as_function(build())
    gradients = torch.autograd.grad(function(normal(400), *values).square().sum(), values)
    for gradient in gradients:
        assert gradient.isfinite().all()
        assert (gradient != 0).all()


@each_phaser
def test_forward_mode_is_finite_differences(build):
    """Along one random direction of the audio and all learnable numbers at once."""
    function, values = as_function(build())
    at = (normal(200), *(value.detach() for value in values))
    random = generator(1)
    direction = tuple(torch.randn(value.shape, generator=random, dtype=value.dtype) for value in at)
    y, tangent = jvp(function, at, direction)
    torch.testing.assert_close(y, function(*at), rtol=1e-12, atol=1e-12)
    step = 1e-6
    ahead, behind = (
        function(*(value + sign * step * move for value, move in zip(at, direction, strict=True))) for sign in (1, -1)
    )
    difference = (ahead - behind) / (2 * step)
    torch.testing.assert_close(tangent, difference, rtol=0, atol=1e-7 * difference.abs().max().item())


@each_phaser
def test_jacobian_by_vmap_is_the_one_by_reverse_mode(build):
    """By the numbers that are one to a tensor."""
    phaser = build()
    scalars = [name for name, value in phaser.named_parameters() if value.requires_grad and value.dim() == 0]
    function, values = as_function(phaser, *scalars)
    x, at = normal(60), torch.stack([value.detach() for value in values])

    def of_numbers(numbers):
        return function(x, *numbers)

    columns = vmap(lambda along: jvp(of_numbers, (at,), (along,))[1])(torch.eye(len(at), dtype=at.dtype))
    expected = torch.autograd.functional.jacobian(of_numbers, at)
    torch.testing.assert_close(columns.T, expected, rtol=1e-9, atol=1e-11)
