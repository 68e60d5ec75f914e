"""Forward mode in many directions at once is one kernel call, on one copy of the coefficients: Jacobians depend on it."""

from __future__ import annotations

import pytest
import torch
from torch.func import jacfwd, jacrev, vmap

from diffapf.filters import allpole as allpole_module
from diffapf.filters import fir as fir_module
from diffapf.filters.allpass import allpass_cascade
from diffapf.filters.allpole import allpole
from diffapf.filters.ballistics import ballistics
from diffapf.filters.gain_curve import gain_curve
from diffapf.filters.optical_cell import optical_cell
from tests.filters.oracles import normal, within

ROWS, TIME, ORDER, DIRECTIONS = 3, 30, 2, 7


@pytest.fixture
def calls(monkeypatch) -> list[tuple[str, tuple[int, ...], tuple[int, ...]]]:
    """Each kernel call: its name, the shapes of its signal and of its coefficients."""
    seen: list = []
    for module in (allpole_module, fir_module):
        run = module.run

        def watched(name, *inputs, out, run=run):
            seen.append((name, tuple(inputs[0].shape), tuple(inputs[1].shape)))
            run(name, *inputs, out=out)

        monkeypatch.setattr(module, "run", watched)
    return seen


def test_a_jacobian_by_forward_mode_is_one_filter_call_on_one_copy_of_the_coefficients(calls):
    x, a = normal(ROWS, TIME), within(0.4, ROWS, TIME, ORDER)
    direction = normal(DIRECTIONS, ROWS, TIME)

    def output(scales):
        return allpole(x + (scales[:, None, None] * direction).sum(0), a)

    found = jacfwd(output)(torch.zeros(DIRECTIONS, dtype=torch.float64))
    together = [call for call in calls if call[1][0] == ROWS * DIRECTIONS]
    for i in range(DIRECTIONS):
        torch.testing.assert_close(found[..., i], allpole(direction[i], a))
    assert together == [("allpole", (ROWS * DIRECTIONS, TIME), (ROWS, TIME, ORDER))]


def test_jacobians_of_coefficients_by_both_modes_agree(calls):
    x, a = normal(ROWS, TIME), within(0.4, ORDER)
    forward = jacfwd(lambda a: allpole(x, a))(a)
    names = [name for name, *_ in calls]
    assert names.count("allpole") == 2, "once for the value, once for all tangents"
    torch.testing.assert_close(forward, jacrev(lambda a: allpole(x, a))(a))


def test_mapped_coefficients_inside_a_map_that_shares_them():
    """The inner map leaves coefficients with fewer rows than signals; the outer one maps those."""
    x, a = normal(4, 5, ROWS, TIME), within(0.4, 4, ROWS, TIME, ORDER)
    found = vmap(lambda signals, a: vmap(lambda x: allpole(x, a))(signals))(x, a)
    for i in range(4):
        for j in range(5):
            torch.testing.assert_close(found[i, j], allpole(x[i, j], a[i]))


def test_gradients_of_shared_coefficients_are_summed():
    x, a = normal(6, ROWS, TIME), within(0.4, ROWS, TIME, ORDER).requires_grad_()
    found = torch.autograd.grad(vmap(lambda x: allpole(x, a))(x).square().sum(), a)[0]
    expected = torch.autograd.grad(sum(allpole(one, a).square().sum() for one in x), a)[0]
    torch.testing.assert_close(found, expected)


OF_A_NUMBER = {
    "ballistics": lambda x, k: ballistics(x, k, 0.2),
    "gain curve": lambda x, k: gain_curve(x, -10 * k, ratio=4.0, knee=6.0),
    "optical cell": lambda x, k: optical_cell(x, k, 1.0, 0.5, 1.0, 0.3, 0.1),
    "allpass": lambda x, k: allpass_cascade(x, 0.5 * x, stages=2, c0=k, through=1.0),
}


@pytest.mark.parametrize("function", OF_A_NUMBER.values(), ids=OF_A_NUMBER)
def test_jacobians_at_several_numbers_of_a_signal_that_is_the_same(function):
    """The inner map shares all that a tangent is taken at; the outer one maps a part of it."""
    x, numbers = 0.2 + within(0.9, 2, 6).abs(), torch.tensor([0.3, 0.5, 0.6], dtype=torch.float64)
    jacobian = jacfwd(lambda k: function(x, k))
    torch.testing.assert_close(vmap(jacobian)(numbers), torch.stack([jacobian(k) for k in numbers]))
