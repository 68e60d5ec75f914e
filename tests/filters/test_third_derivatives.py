"""Derivatives taken of a composition are closed: third derivatives by all modes agree."""

from __future__ import annotations

import pytest
import torch
from torch.func import jacfwd, jacrev

from diffapf.filters.allpass import allpass_cascade
from diffapf.filters.allpole import allpole
from diffapf.filters.apply_gain import apply_gain
from diffapf.filters.ballistics import ballistics
from diffapf.filters.design import denominator_from_reflection
from diffapf.filters.fir import fir
from diffapf.filters.gain_curve import gain_curve
from diffapf.filters.harmonic_sum import harmonic_sum
from diffapf.filters.iir import lfilter
from diffapf.filters.nonlinear import nonlinear_recurrence
from diffapf.filters.optical_cell import optical_cell
from diffapf.filters.sos import sosfilt
from diffapf.filters.state_space import state_space
from tests.filters.checks import EXACT, loss
from tests.filters.oracles import generator


def form(name: str):
    return lambda p: lfilter(p[:2], p[2:4], p[4:6], p[6:], name, return_zf=True)


# Each a function of one vector, and the vector's length.
FUNCTIONS = {
    "df1": (form("df1"), 8),
    "df2": (form("df2"), 7),
    "tdf1": (form("tdf1"), 8),
    "tdf2": (form("tdf2"), 7),
    "sos": (lambda p: sosfilt(p[:6].reshape(1, 6), p[6:8], return_zf=True), 8),
    "state space": (lambda p: state_space(p[:1].reshape(1, 1), p[1:2], p[2:3], p[3], p[4:]), 6),
    "ballistics": (lambda p: ballistics(p[:2], p[2], p[3], p[4]), 5),
    "gain curve": (lambda p: gain_curve(p[:2] + 0.2, -20 * p[2], 1 + p[3], 3 * p[4], -40 * p[5], p[6]), 7),
    "optical cell": (lambda p: optical_cell(p[:2], *p[2:12], "electroluminescent", "traps", p[12:]), 14),
    "apply gain": (lambda p: apply_gain(p[:2], p[2:4], p[4], p[5], decibels=True), 6),
    "step up": (denominator_from_reflection, 3),
    "harmonics": (lambda p: harmonic_sum(p[:2], p[2:].reshape(2, 2), 1), 6),
    "nonlinear": (lambda p: nonlinear_recurrence(lambda v, w: torch.sin(v * w), p[:2, None], p[2:3], (p[3],)), 4),
}


@pytest.mark.parametrize(("function", "size"), FUNCTIONS.values(), ids=FUNCTIONS)
def test_third_derivatives_by_all_modes_agree(function, size):
    p = 0.1 + 0.8 * torch.rand(size, generator=generator(0), dtype=torch.float64)

    def number(p):
        return loss(function(p))

    expected = jacfwd(jacfwd(jacfwd(number)))(p)
    for outer, middle, inner in ((jacrev,) * 3, (jacrev, jacfwd, jacrev), (jacfwd, jacrev, jacfwd)):
        torch.testing.assert_close(outer(middle(inner(number)))(p), expected, **EXACT)


ON_A_MOVING_SIGNAL = {
    "fir": lambda x: fir(x, x.new_tensor([1.0, -1.0])),
    "allpole": lambda x: allpole(x, x.new_tensor([-0.9])),
    "lfilter": lambda x: lfilter(x.new_tensor([1.0, -1.0]), x.new_tensor([1.0, -0.9]), x),
    "sosfilt": lambda x: sosfilt(x.new_tensor([[1.0, -1.0, 0.0, 1.0, -0.9, 0.0]]), x),
    "allpass": lambda x: allpass_cascade(x, x.new_tensor(0.5), stages=2, c0=0.3, through=1.0),
    "ballistics": lambda x: ballistics(x, 0.3, 0.1),
}


@pytest.mark.parametrize("function", ON_A_MOVING_SIGNAL.values(), ids=ON_A_MOVING_SIGNAL)
def test_hessians_by_all_nestings_agree_where_the_coefficients_stand_still(function):
    """Inside a rule, a level of `torch.func` that is over wraps a tensor of one that is not."""
    x = torch.randn(1, 50, generator=generator(0), dtype=torch.float64)
    p = torch.tensor([0.5, 0.7], dtype=torch.float64)

    def number(p):
        return function(x * p[0] * p[1]).square().sum()

    expected = jacfwd(jacfwd(number))(p)
    for outer, inner in ((jacrev, jacrev), (jacfwd, jacrev), (jacrev, jacfwd)):
        torch.testing.assert_close(outer(inner(number))(p), expected, **EXACT)
