"""Least squares on modules: what is trainable moves, the rest stays; errors in real units."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from diffapf.effects.phaser import Phaser
from diffapf.filters.control_rate import ControlRate
from diffapf.identification import Estimate, estimates, fit_module, least_squares
from diffapf.modulation import LFO
from diffapf.parameters import Named
from tests.filters.oracles import chirps, esr, normal


class Decay(nn.Module):
    """gain · e^(−rate t), with a gain within ±0.999 and a positive rate."""

    def __init__(self):
        super().__init__()
        self.gain = Named(0.5, "", -0.9, 0.9, mapping=lambda reference, step: torch.tanh(torch.atanh(reference) + step))
        self.rate = Named(1.0, "1/s", 0.1, 10.0, taper="log")
        self.offset = Named(0.0, "V")
        self.offset.step.requires_grad_(False)

    def forward(self, t):
        return self.gain() * torch.exp(-self.rate() * t) + self.offset()


TIME = torch.linspace(0, 4, 60, dtype=torch.float64)
TARGET = 0.8 * torch.exp(-1.7 * TIME) + 0.01 * normal(60)


def test_moves_what_is_trainable_and_leaves_it_there():
    module = Decay().double()
    fit = fit_module(module, lambda module: module(TIME) - TARGET)
    assert fit.converged
    assert module.gain().item() == pytest.approx(0.8, abs=0.02)
    assert module.rate().item() == pytest.approx(1.7, abs=0.1)
    assert module.offset().item() == 0.0
    assert fit.cost == pytest.approx((module(TIME) - TARGET).square().sum().item())
    assert module.gain.step.requires_grad and not module.offset.step.requires_grad
    assert all(step.grad is None for step in module.parameters())


def test_errors_in_real_units_are_those_of_a_fit_in_real_units():
    module = Decay().double()
    fit = fit_module(module, lambda module: module(TIME) - TARGET, tolerance=1e-12)
    direct = least_squares(
        lambda x: x["gain"] * torch.exp(-x["rate"] * TIME) - TARGET,
        {"gain": torch.tensor(0.5).double(), "rate": torch.tensor(1.0).double()},
        tolerance=1e-12,
    )
    found = {estimate.name: estimate for estimate in estimates(module, fit)}
    for name in ("gain", "rate"):
        assert found[name].value == pytest.approx(float(direct.parameters[name]), rel=1e-6)
        assert found[name].error == pytest.approx(float(direct.standard_errors[name]), rel=1e-4)
    assert found["offset"] == Estimate("offset", 0.0, 0.0, "V")
    assert str(Estimate("rate", 1.7, 0.0123, "1/s")) == "rate = 1.7 ± 0.012 1/s"


def test_an_error_of_what_is_not_identified_is_infinite():
    module = Decay().double()
    fit = fit_module(module, lambda module: module.gain() - TARGET)
    found = {estimate.name: estimate.error for estimate in estimates(module, fit)}
    assert found["rate"] == math.inf > found["gain"] > 0


def test_frozen_by_name_or_by_the_module_they_are_in():
    module = Decay().double()
    fit = fit_module(module, lambda module: module(TIME) - TARGET, frozen=["rate"])
    assert module.rate().item() == 1.0
    assert fit.layout.labels == ["gain.step"]
    for wrong in ({"frozen": ["rat"]}, {"groups": [["rat"]]}):
        with pytest.raises(ValueError, match="'rat'"):
            fit_module(module, lambda module: module(TIME) - TARGET, **wrong)


def test_feasible_sees_the_module_that_would_be_tried():
    module = Decay().double()
    fit_module(module, lambda module: module(TIME) - TARGET, feasible=lambda module: float(module.rate()) < 1.4)
    assert 1.2 < module.rate().item() < 1.4


def test_a_thing_that_is_no_module():
    with pytest.raises(TypeError, match="Module, got function"):
        fit_module(lambda x: x, lambda module: module)


def a_phaser(rate_hz: float = 1.3, phase: float = 0.4, feedback: float = 0.4) -> Phaser:
    phaser = Phaser(44_100, lfo=LFO(rate_hz, phase), feedback=feedback, through=0.9)
    phaser.shaper.requires_grad_(False)
    phaser.lfo.amplitude.step.requires_grad_(False)  # the sweep's width is the same thing
    return phaser.double()


def test_a_phaser_finds_anothers_settings_from_its_sound():
    truth, dry = a_phaser(), chirps(1.0).double()
    biquad = {"biquad.b1": 0.1, "biquad.b2": 0.3, "biquad.l1": 0.5, "biquad.l2": 0.3}
    truth.set_parameters({"sweep.low_hz": 300.0, "sweep.high_hz": 1500.0, **biquad})
    with torch.no_grad():
        wet = truth(dry)
    phaser = a_phaser(rate_hz=1.33, phase=0.3, feedback=0.3)
    with torch.no_grad():
        before = esr(phaser(dry), wet)
    fit = fit_module(phaser, lambda phaser: phaser(dry) - wet, iterations=25)
    assert before > 1e-2
    with torch.no_grad():
        assert esr(phaser(dry), wet) < 1e-10
    found = {estimate.name: estimate for estimate in estimates(phaser, fit)}
    assert found["lfo.rate_hz"].value == pytest.approx(1.3, abs=1e-5)
    assert found["sweep.low_hz"].value == pytest.approx(300.0, rel=1e-4)
    assert fit.unidentified == []


def test_a_pole_on_a_zero_is_not_identified():
    """The neutral biquad has two of each at 0: they can move together, and that is said."""
    phaser, dry = a_phaser(), chirps(0.1).double()
    with torch.no_grad():
        wet = phaser(dry)
    fit = fit_module(phaser, lambda phaser: phaser(dry) - wet, iterations=0)
    assert {"biquad.b1.step", "biquad.b2.step", "biquad.l1.step", "biquad.l2.step"} <= set(fit.unidentified)
    assert "biquad.b0.step" not in fit.unidentified


def test_a_phaser_in_blocks_is_the_phaser():
    """`filter_at` and `run` with a state: normal equations and fit of a stream are those of the whole."""
    truth, dry, length = a_phaser(), chirps(0.3).double(), 2205
    with torch.no_grad():
        wet = truth(dry)
    whole, blocks = a_phaser(feedback=0.3), a_phaser(feedback=0.3)

    def residuals(phaser, block, state):
        start, x = block * length, dry[block * length : (block + 1) * length]
        frames = (len(x) - 1) // phaser.hop + 2
        y, state = phaser.filter_at(start, frames, ControlRate.hop(phaser.hop), x.dtype).run(x, state)
        return y - wet[start : start + length], state

    options = {"blocks": 6, "groups": [["biquad"]]}
    in_blocks = fit_module(blocks, residuals, **options, iterations=2, tolerance=0.0)
    at_once = fit_module(whole, lambda phaser: phaser(dry) - wet, iterations=2, tolerance=0.0)
    assert [len(group) for group in in_blocks.layout.groups] == [5, 6]
    assert in_blocks.count == at_once.count == 13_230
    scale = float(at_once.information.abs().max())
    torch.testing.assert_close(in_blocks.information, at_once.information, rtol=1e-6, atol=1e-9 * scale)
    for name in at_once.layout.free:  # the frozen networks were drawn apart
        torch.testing.assert_close(in_blocks.parameters[name], at_once.parameters[name], rtol=1e-6, atol=1e-9)
