"""In float64, fixed filters that are computed eight samples at once lose no digits that the recursion would keep."""

from __future__ import annotations

import cmath

import numpy as np
import pytest
import torch
from scipy import signal
from torch import Tensor

from diffapf.filters.allpole import allpole
from diffapf.filters.iir import lfilter
from diffapf.filters.sos import sosfilt
from tests.filters.oracles import normal

POLES = {  # of the upper half plane: radius and angle
    "low": [(0.999, 0.01)],
    "lowest": [(0.9999, 0.001)],
    "mid": [(0.9999, 1.0)],
    "low and real": [(0.999, 0.005), (0.5, 0.0)],
    "two pairs": [(0.995, 0.3), (0.99, 1.5)],
    "two low pairs": [(0.99, 0.02), (0.99, 0.05)],
}
TIMES_AS_FAR = 8


def denominator(name: str) -> np.ndarray:
    poles = [radius * cmath.exp(1j * angle) for radius, angle in POLES[name]]
    return np.real(np.poly(poles + [pole.conjugate() for pole in poles if pole.imag]))


def recursion(a: np.ndarray, x: np.ndarray) -> np.ndarray:
    """In numbers of 64 digits, where the processor has them."""
    a, x, y = a.astype(np.longdouble), x.astype(np.longdouble), np.zeros(len(x), np.longdouble)
    for n in range(len(x)):
        past = y[max(n - len(a) + 1, 0) : n][::-1]
        y[n] = x[n] - (a[1 : 1 + len(past)] * past).sum()
    return y


def by_sections(x: Tensor, a: Tensor) -> Tensor:
    return sosfilt(torch.cat([torch.ones(1), torch.zeros(2), a]).double()[None], x)


@pytest.mark.skipif(np.finfo(np.longdouble).eps >= np.finfo(float).eps, reason="no numbers of more digits")
@pytest.mark.parametrize("name", POLES)
def test_eight_at_once_are_as_exact_as_one_after_another(name):
    x, a = normal(2000, seed=1), denominator(name)
    true = recursion(a, x.numpy())
    taps, scale = torch.from_numpy(a), float(np.sqrt((true**2).sum()))

    def error(y: Tensor | np.ndarray) -> float:
        return float(np.sqrt(((np.asarray(y) - true) ** 2).sum())) / scale

    allowed = TIMES_AS_FAR * max(error(signal.lfilter([1.0], a, x.numpy())), 1e-16)
    one = torch.ones(1, dtype=torch.float64)
    forms = [lambda x: lfilter(one, taps, x), lambda x: allpole(x, taps[1:])]
    forms += [lambda x: by_sections(x, taps)] if len(a) == 3 else []
    for form in forms:
        assert error(form(x)) <= allowed
        backward = x.flip(0).requires_grad_()
        (dx,) = torch.autograd.grad(form(backward), backward, x.flip(0))  # the same filter, backward in time
        assert error(dx.flip(0)) <= allowed
