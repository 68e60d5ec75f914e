"""The oscillator: a square, a saw, and what is between and beyond them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from diffapf.synths.oscillators import running_phase, square_saw
from tests.filters.oracles import normal

RATE = 48_000
PSI = torch.linspace(0, 2 * math.pi, 4801).double()[:-1]
F0 = torch.full_like(PSI, 100.0)


def number(value: float) -> torch.Tensor:
    return torch.tensor([value]).double()


def harmonics(wave: torch.Tensor) -> np.ndarray:
    return np.abs(np.fft.rfft(wave.numpy()))[:40] / len(wave)


def test_shape_0_is_a_square():
    found = harmonics(square_saw(PSI, F0, number(0.0)))
    np.testing.assert_allclose(found[1:10:2], 2 / np.pi / np.arange(1, 10, 2), rtol=0.05)
    assert found[0:10:2].max() < 1e-7


def test_shape_1_has_a_saws_odd_harmonics_and_even_ones_near_them():
    """A square times 1 + cos ψ: 1/k, and ½ (1/(k−1) + 1/(k+1))."""
    found = harmonics(square_saw(PSI, F0, number(1.0)))
    k = np.arange(2, 8)
    np.testing.assert_allclose(found[2:8] / found[1], np.where(k % 2, 1 / k, k / (k**2 - 1)), rtol=0.01)


def test_width_is_the_share_of_the_period_and_dc_an_offset():
    width = 0.5
    wave = square_saw(PSI, F0, number(0.0), width=number(width))
    assert float((wave < 0).double().mean()) == pytest.approx(math.acos(width) / math.pi, abs=0.01)
    torch.testing.assert_close(square_saw(PSI, F0, number(0.0), dc=number(0.3)), square_saw(PSI, F0, number(0.0)) + 0.3)


def test_a_sharper_edge_is_steeper():
    slopes = [float(square_saw(PSI, F0, number(0.0), edge=number(e)).diff().abs().max()) for e in (-1.0, 0.0, 1.0)]
    assert slopes[1] / slopes[0] == pytest.approx(math.e, rel=0.05) and slopes[2] > 2 * slopes[1]


def test_phase_keeps_its_digits_for_an_hour():
    f0 = torch.full((1,), 55.0)
    an_hour = 2 * math.pi * 55 * 3600
    step = running_phase(f0, RATE, torch.tensor(an_hour, dtype=torch.float64)) - an_hour
    assert float(step) == pytest.approx(2 * math.pi * 55 / RATE, rel=1e-6)


def test_gradients():
    f0 = (200 + 10 * normal(2, 6)).requires_grad_()
    parts = [normal(2, 1, seed=i).mul(0.2).requires_grad_() for i in range(4)]
    assert gradcheck(lambda f0, *parts: square_saw(running_phase(f0, RATE, number(0.3)[0]), f0, *parts), (f0, *parts))
