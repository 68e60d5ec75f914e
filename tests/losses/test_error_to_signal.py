"""The error-to-signal ratio, by values that are known."""

from __future__ import annotations

import math

import pytest
import torch
from torch.autograd import gradcheck

from diffapf.losses import ESR, LogESR, Prefiltered, esr, log_esr
from tests.filters.oracles import normal

TARGET = normal(2, 500)

KNOWN = {
    "equal": (TARGET, 0.0),
    "silence": (torch.zeros_like(TARGET), 1.0),
    "inverted": (-TARGET, 4.0),
    "one per cent": (1.1 * TARGET, 0.01),
    "scaled by ten": (11 * TARGET, 100.0),
}


@pytest.mark.parametrize(("prediction", "expected"), KNOWN.values(), ids=KNOWN)
@pytest.mark.parametrize("pre_emphasis", [0.0, 0.95])
def test_known_values(prediction, expected, pre_emphasis):
    """An error in proportion to the target stays in proportion through any filter."""
    assert esr(prediction, TARGET, pre_emphasis).item() == pytest.approx(expected, rel=1e-9, abs=1e-15)


def test_energy_is_summed_over_channels():
    """Not averaged over their ratios: a silent channel does no harm."""
    target = torch.tensor([[2.0, 0.0], [0.0, 0.0]])
    prediction = torch.tensor([[2.0, 0.0], [1.0, 0.0]])
    assert esr(prediction, target).item() == 0.25


def test_pre_emphasis_filters_both():
    prediction = normal(2, 500, seed=1)

    def emphasised(x):
        return torch.cat([x[:, :1], x[:, 1:] - 0.95 * x[:, :-1]], 1)

    expected = esr(emphasised(prediction), emphasised(TARGET))
    torch.testing.assert_close(esr(prediction, TARGET, 0.95), expected)


def test_pre_emphasis_makes_a_constant_error_small():
    found = esr(TARGET + 1.0, TARGET, 0.99)
    assert found < 0.01 * esr(TARGET + 1.0, TARGET)


def test_the_module_is_the_function():
    prediction = normal(2, 500, seed=1)
    assert torch.equal(ESR(0.95)(prediction, TARGET), esr(prediction, TARGET, 0.95))
    assert torch.equal(ESR()(prediction, TARGET), esr(prediction, TARGET))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_silent_target_gives_a_number(dtype):
    silence, noise = torch.zeros(10, dtype=dtype), 1e-3 * torch.ones(10, dtype=dtype)
    assert esr(silence, silence).item() == 0.0
    assert esr(noise, silence).item() > 1e20
    assert not esr(noise, silence).isnan()


@pytest.mark.parametrize("shape", [(500,), (1, 500), (2, 499), (2, 500, 1)], ids=str)
def test_shapes_that_differ_are_refused(shape):
    with pytest.raises(ValueError, match=r"prediction.*target \(2, 500\).*one shape"):
        esr(torch.zeros(shape, dtype=torch.float64), TARGET)


@pytest.mark.parametrize("pre_emphasis", [0.0, 0.95])
def test_it_is_differentiable(pre_emphasis):
    prediction = normal(2, 20, seed=1).requires_grad_()
    assert gradcheck(lambda y: esr(y, TARGET[:, :20], pre_emphasis), prediction, check_forward_ad=True)


def test_the_prefiltered_mean_absolute_error_is_that_of_both_signals_filtered():
    """By one pass over their difference, which the gradient goes back through too."""
    prediction, behind = normal(2, 500, seed=1).requires_grad_(), Prefiltered(torch.nn.L1Loss())
    expected = torch.nn.L1Loss()(behind.filtered(prediction)[0], behind.filtered(TARGET)[0])
    found = behind(prediction, TARGET)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)
    of_each = (torch.autograd.grad(loss, prediction)[0] for loss in (found, expected))
    torch.testing.assert_close(*of_each, rtol=1e-10, atol=1e-15)


def test_the_logarithm_of_an_esr_counts_decibels_and_high_notes():
    near, nearer = TARGET + 1e-1 * normal(2, 500, seed=1), TARGET + 1e-2 * normal(2, 500, seed=1)
    gained = float(log_esr(near, TARGET) - log_esr(nearer, TARGET))
    assert gained == pytest.approx(math.log(100), rel=0.01)
    both = log_esr(near, TARGET) + log_esr(near, TARGET, 0.95)
    assert float(LogESR(0.5)(near, TARGET)) == pytest.approx(0.5 * float(both))
