"""The direct forms take complex signals and coefficients: PyTorch's gradients then are with respect to conjugates."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.signal import lfilter
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from diffapf.filters.allpole import allpole
from diffapf.filters.fir import fir
from tests.filters.operators import HOP, OF_ORDER_2, Operator, name, needing_gradients
from tests.filters.oracles import normal

DIRECT_FORMS = [operator for operator in OF_ORDER_2 if operator.kind != "allpass"]


def complex_inputs(operator: Operator, rows: int, time: int) -> dict[str, Tensor]:
    real, imaginary = operator.inputs(rows, time, seed=0), operator.inputs(rows, time, seed=10)
    return {key: torch.complex(value, imaginary[key]) / 2 for key, value in real.items()}


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
@pytest.mark.parametrize("order", [2, 40])
def test_a_fixed_complex_filter_is_scipys(order: int, dtype: torch.dtype):
    rng = np.random.default_rng(order)
    poles = 0.9 * np.sqrt(rng.uniform(size=order)) * np.exp(2j * np.pi * (np.arange(order) + 0.3) / order)
    a, x = np.poly(poles), rng.normal(size=(3, 200)) + 1j * rng.normal(size=(3, 200))
    expected = lfilter([1.0], a, x)
    found = allpole(torch.tensor(x, dtype=dtype), torch.tensor(a[1:], dtype=dtype))
    tolerance = 1e-4 if dtype == torch.complex64 else 1e-11
    torch.testing.assert_close(found.to(torch.complex128), torch.tensor(expected), rtol=tolerance, atol=tolerance * 10)
    moving = fir(torch.tensor(x, dtype=dtype), torch.tensor(a, dtype=dtype))
    torch.testing.assert_close(
        moving.to(torch.complex128), torch.tensor(lfilter(a, [1.0], x)), rtol=tolerance, atol=tolerance * 10
    )


@pytest.mark.parametrize("operator", DIRECT_FORMS, ids=name)
def test_gradients_of_complex_filters_to_second_order(operator: Operator):
    inputs = needing_gradients(complex_inputs(operator, rows=2, time=2 * HOP + 1))

    def function(*values: Tensor) -> tuple[Tensor, Tensor]:
        return operator(**dict(zip(inputs, values, strict=True)))

    assert gradcheck(function, tuple(inputs.values()), check_forward_ad=True)
    assert gradgradcheck(function, tuple(inputs.values()), check_fwd_over_rev=True)


def test_a_complex_signal_needs_complex_coefficients():
    with pytest.raises(TypeError, match=r"a is torch\.float64, but the signal is torch\.complex128"):
        allpole(normal(2, 10).to(torch.complex128), normal(2))
