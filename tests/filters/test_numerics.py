"""The all-pass cascade is safe in float32, and the direct form of the same filter is not: the reason for a cascade.

Four coincident poles at p move by ε^¼ when the direct form's coefficients are rounded by ε: in float32 by 0.016, and
out of the unit circle for p > 0.98, the limit that the DAFx 2024 paper states for its phaser.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from diffapf.filters.allpass import allpass_cascade
from diffapf.filters.allpole import allpole
from diffapf.filters.fir import fir
from tests.filters.oracles import SAMPLE_RATE, allpass_transfer_function, chirps, esr, normal

FREQUENCIES = [1000, 300, 150, 100, 15]
FEEDBACK = [0.0, 0.62, 0.95]
each_feedback = pytest.mark.parametrize("feedback", FEEDBACK)
STAGES = 4


def coefficient(frequency: Tensor | float) -> Tensor:
    t = torch.tan(torch.as_tensor(frequency, dtype=torch.float64) * math.pi / SAMPLE_RATE)
    return (1 - t) / (1 + t)


@pytest.fixture(scope="module", params=["chirps", "noise"])
def audio(request) -> Tensor:
    """Three seconds; the chirps show the largest errors, and longer signals none that are larger."""
    return chirps(3.0) if request.param == "chirps" else 0.1 * normal(3 * SAMPLE_RATE, dtype=torch.float32)


def error_of_float32(x: Tensor, p: Tensor, feedback: float) -> float:
    single = allpass_cascade(x, p.float(), STAGES, c0=feedback)
    return esr(single, allpass_cascade(x.double(), p, STAGES, c0=feedback))


@each_feedback
@pytest.mark.parametrize("frequency", FREQUENCIES)
def test_the_cascade_in_float32_is_the_cascade_in_float64(audio, frequency, feedback):
    """p itself is rounded: most of the error is its."""
    assert error_of_float32(audio, coefficient(frequency), feedback) < 1e-9


@each_feedback
@pytest.mark.parametrize("rate", [0.3, 4.0])
def test_the_cascade_in_float32_follows_a_moving_lfo(audio, rate, feedback):
    """Between 15 and 3000 Hz, evenly in log frequency."""
    t = torch.arange(len(audio), dtype=torch.float64) / SAMPLE_RATE
    position = 0.5 + 0.5 * torch.sin(2 * math.pi * rate * t)
    assert error_of_float32(audio, coefficient(15 * 200**position), feedback) < 1e-9


@each_feedback
@pytest.mark.parametrize("frequency", [300, 15])
def test_the_cascades_gradients_in_float32_are_those_in_float64(frequency, feedback):
    def gradients(dtype: torch.dtype) -> list[Tensor]:
        x, p = chirps(1.0).to(dtype).requires_grad_(), coefficient(frequency).float().to(dtype)
        p = p.expand(len(x)).clone().requires_grad_()
        w = allpass_cascade(x, p, STAGES, c0=feedback)
        return list(torch.autograd.grad(w, (x, p), chirps(1.0).flip(0).to(dtype)))

    for single, double in zip(gradients(torch.float32), gradients(torch.float64), strict=True):
        assert esr(single, double) < 1e-9


def direct_form_error(frequency: float, feedback: float, dtype: torch.dtype) -> float:
    """ESR of Aᴷ/(1 − c₀ Aᴷ) as one FIR and one all-pole filter; coefficients computed in float64, then rounded."""
    p, x = coefficient(frequency), chirps(1.0)
    b, a = allpass_transfer_function(float(p), STAGES, c0=feedback)
    b, a = (torch.from_numpy(np.trim_zeros(c / a[0], "b")).to(dtype) for c in (b, a))
    return esr(allpole(fir(x.to(dtype), b), a[1:]), allpass_cascade(x.double(), p, STAGES, c0=feedback))


@pytest.mark.parametrize("feedback", [0.0, 0.62])
@pytest.mark.parametrize("frequency", FREQUENCIES)
def test_the_direct_form_is_the_same_filter_in_float64(frequency, feedback):
    assert direct_form_error(frequency, feedback, torch.float64) < 1e-9


@pytest.mark.parametrize("feedback", [0.0, 0.62])
@pytest.mark.parametrize("frequency", [150, 100, 15], ids=["p 0.979", "p 0.986", "p 0.998"])
def test_the_direct_form_in_float32_fails(frequency, feedback):
    """A lost signal: at least a hundredth of its energy is error, or it is unstable."""
    error = direct_form_error(frequency, feedback, torch.float32)
    assert math.isnan(error) or error > 1e-2


@pytest.mark.parametrize("feedback", [0.0, 0.62])
def test_the_direct_form_in_float32_is_good_where_p_is_small(feedback):
    """At 1000 Hz: it is p near 1 that fails, not this test's direct form."""
    assert direct_form_error(1000, feedback, torch.float32) < 1e-5
