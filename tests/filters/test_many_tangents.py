"""Forward mode in many directions at once is one kernel call, on one copy of the coefficients: Jacobians depend on it."""

from __future__ import annotations

import pytest
import torch
from torch.func import jacfwd, jacrev, vmap

from diffapf.filters import allpole as allpole_module
from diffapf.filters import fir as fir_module
from diffapf.filters.allpole import allpole
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
