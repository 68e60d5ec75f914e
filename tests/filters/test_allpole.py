"""The all-pole filter is SciPy's where coefficients are fixed, and torchlpc's and the definition's where they move."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import signal
from torch.autograd import gradcheck

from diffapf.filters.allpole import allpole
from tests.filters.oracles import allpole_loop, chirps, esr, normal, quick, stable_denominator, within

ORDERS = [1, 2, 6, 14, 40]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("time", [0, 1, 2, 40])
def test_it_is_the_recurrence(order, time):
    """Coefficients and initial state differ from row to row; signals may be shorter than the filter."""
    x, zi = normal(5, time), normal(5, order, seed=1)
    a = within(0.9 / order, 5, time, order, seed=2)
    y, zf = allpole(x, a, zi, return_zf=True)
    for row in range(5):
        expected, state = allpole_loop(x[row].numpy(), a[row].numpy(), zi[row].numpy())
        np.testing.assert_allclose(y[row], expected, rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(zf[row], state, rtol=1e-12, atol=1e-13)


@quick
@given(order=st.sampled_from([0, 1, 2, 6, 14]), rows=st.integers(1, 6), seed=st.integers(0, 2**32 - 1))
def test_fixed_filters_are_scipys(order, rows, seed):
    rng = np.random.default_rng(seed)
    denominators = np.stack([stable_denominator(order, rng) for _ in range(rows)])
    x = rng.standard_normal((rows, 200))
    expected = [signal.lfilter([1.0], a, row) for a, row in zip(denominators, x, strict=True)]
    y = allpole(torch.from_numpy(x), torch.from_numpy(denominators[:, 1:].copy()))
    np.testing.assert_allclose(y, expected, rtol=1e-9, atol=1e-9 * np.abs(expected).max())


@quick
@given(order=st.sampled_from([1, 2, 6, 14]), seed=st.integers(0, 2**32 - 1))
def test_states_are_scipys_initial_conditions(order, seed):
    """`lfiltic` turns past outputs, newest first, into SciPy's own state."""
    rng = np.random.default_rng(seed)
    a, x, past = stable_denominator(order, rng), rng.standard_normal(50), rng.standard_normal(order)
    expected, final = signal.lfilter([1.0], a, x, zi=signal.lfiltic([1.0], a, past))
    y, zf = allpole(*map(torch.from_numpy, (x, a[1:], past)), return_zf=True)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(y, expected, rtol=1e-9, atol=1e-9 * scale)
    np.testing.assert_allclose(signal.lfiltic([1.0], a, zf.numpy()), final, rtol=1e-9, atol=1e-9 * scale)


def test_fixed_filters_are_torchaudios_with_its_gradients():
    lfilter = pytest.importorskip("torchaudio.functional", reason="torchaudio is not installed").lfilter
    rng = np.random.default_rng(0)
    denominators = torch.from_numpy(np.stack([stable_denominator(4, rng, radius=0.9) for _ in range(3)]))
    numerators = torch.eye(1, 5, dtype=torch.float64).repeat(3, 1)
    x = normal(3, 100).requires_grad_()
    a = denominators.requires_grad_()
    expected = lfilter(x, a, numerators, clamp=False)
    y = allpole(x, a[:, 1:])
    torch.testing.assert_close(y, expected, rtol=1e-9, atol=1e-10)
    found, wanted = (torch.autograd.grad(signal.square().sum(), (x, a)) for signal in (y, expected))
    torch.testing.assert_close(found[0], wanted[0], rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(found[1][:, 1:], wanted[1][:, 1:], rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("order", [1, 2, 14])
@pytest.mark.parametrize("with_zi", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_replaces_torchlpc(order, with_zi, dtype):
    """The same call, positions and names; the same shapes, order of the states, outputs and gradients."""
    torchlpc = pytest.importorskip("torchlpc", reason="torchlpc is not installed")
    inputs = [normal(4, 60, dtype=dtype), within(0.9 / order, 4, 60, order, seed=1, dtype=dtype)]
    if with_zi:
        inputs.append(normal(4, order, seed=2, dtype=dtype))
    tolerance = {"rtol": 1e-4, "atol": 1e-4} if dtype == torch.float32 else {"rtol": 1e-10, "atol": 1e-11}

    def outputs_and_gradients(function):
        arguments = [tensor.clone().requires_grad_() for tensor in inputs]
        y, zf = function(*arguments, return_zf=True)
        weights = torch.arange(1, y.numel() + 1, dtype=dtype).reshape(y.shape) / y.numel()
        return y, zf, *torch.autograd.grad((weights * y**2).sum() + zf.sum(), arguments)

    expected = outputs_and_gradients(torchlpc.sample_wise_lpc)
    for found, wanted in zip(outputs_and_gradients(allpole), expected, strict=True):
        assert found.shape == wanted.shape
        torch.testing.assert_close(found, wanted, **tolerance)
    torch.testing.assert_close(allpole(*inputs), torchlpc.sample_wise_lpc(*inputs), **tolerance)


@pytest.mark.parametrize("order", [1, 2])
def test_moving_filters_are_philtorchs(order):
    philtorch = pytest.importorskip("philtorch.lpv", reason="philtorch is not installed")
    x, a, zi = normal(4, 60), within(0.9 / order, 4, 60, order, seed=1), normal(4, order, seed=2)
    for found, wanted in zip(allpole(x, a, zi, return_zf=True), philtorch.allpole(a, x, zi), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("layout", [(2, 45, 40), (40,)], ids=["moving", "fixed"])
def test_gradients_of_more_taps_than_registers(layout):
    x, a = normal(2, 45).requires_grad_(), within(0.9 / 40, *layout, seed=1).requires_grad_()
    assert gradcheck(allpole, (x, a), fast_mode=True)


def test_order_0_returns_the_signal():
    x = normal(2, 5)
    y, zf = allpole(x, torch.zeros(0, dtype=torch.float64), return_zf=True)
    assert torch.equal(y, x)
    assert zf.shape == (2, 0)


@pytest.mark.parametrize("radius", [0.9, 0.99, 0.999, 0.9999])
def test_one_pole_near_the_circle_is_safe_in_float32(radius):
    """The same pole, representable in float32: what is left is the rounding of the signal, fed back 1/(1 − r) times."""
    pole = torch.tensor([-radius], dtype=torch.float32)
    x = chirps(1.0)
    assert esr(allpole(x, pole), allpole(x.double(), pole.double())) < 1e-9
