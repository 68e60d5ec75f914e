"""A compressor's own tangents are those that `torch.func` finds, for every structure, also through a lead-in."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from diffapf import Compressor
from diffapf.identification import spans
from diffapf.identification.layout import Layout
from diffapf.identification.modules import fit_module
from diffapf.identification.normal_equations import Stream, cost, linearise
from diffapf.identification.prefiltered_pair import MonoPair
from tests.identification.synthetic import plucks

RATE = 16_000
PLAIN = {"average": None, "floor_db": -160.0}
STRUCTURES = {
    "paper": {},
    "gain in dB, soft knee": {"smoothed": "gain_db", "knee_db": 6.0},
    "amplitude": {"rectifier": "absolute", "smoothed": "amplitude", **PLAIN},
    "power": {"smoothed": "power", **PLAIN},
    "power of |x|": {"rectifier": "absolute", "smoothed": "power", **PLAIN},
    "root of the mean square": {"smoothed": "amplitude"},
    "boxcar": {"average": "boxcar", "average_ms": 5.8, "smoothed": "amplitude", "knee_db": 6.0},
    "half wave": {"rectifier": "half_wave", "smoothed": "amplitude", **PLAIN},
    "signed": {"rectifier": "signed", "smoothed": "amplitude", **PLAIN},
    "level in dB": {"rectifier": "absolute", "smoothed": "level_db", **PLAIN},
    "decoupled": {"ballistics": "decoupled", "smoothed": "gain_db"},
    "one time": {"release_ms": None},
    "parallel mix": {"mix": 0.6, "smoothed": "gain_db"},
    "look-ahead": {"look_ahead_ms": 1.37, "longest_look_ahead_ms": 3.0},
    "look-ahead of a level, with a mix": {
        "look_ahead_ms": 0.7,
        "longest_look_ahead_ms": 3.0,
        "smoothed": "amplitude",
        "mix": 0.8,
    },
    "expander": {"expander_threshold_db": -40.0, "expander_ratio": 0.5, "ratio": 9.0},
}


@pytest.fixture(scope="module")
def part():
    dry = plucks(2, RATE).double()
    with torch.no_grad():
        wet = Compressor(RATE, threshold_db=-24.0, ratio=3.0, attack_ms=2.0, release_ms=60.0).double()(dry)
    return MonoPair(dry, wet, RATE).part(0.5, 1.8)


@pytest.fixture(scope="module")
def stereo_part(part):
    dry, wet = (torch.stack([signal, 0.5 * signal.flip(0)]) for signal in (part.pair.dry, part.pair.wet))
    return MonoPair(dry, wet, RATE).part(0.5, 1.8)


STEREO = {
    "channels apart": {},
    "linked by the louder": {"link": "max", "smoothed": "gain_db"},
    "linked by the mean, looking ahead": {"link": "mean", "look_ahead_ms": 1.0, "longest_look_ahead_ms": 2.0},
}


@pytest.mark.parametrize("name", STEREO)
def test_own_tangents_of_two_channels_are_forward_modes(name, stereo_part, monkeypatch):
    check_tangents(stereo_part, STEREO[name], monkeypatch)


@pytest.mark.parametrize("name", STRUCTURES)
def test_own_tangents_are_forward_modes(name, part, monkeypatch):
    check_tangents(part, STRUCTURES[name], monkeypatch)


def check_tangents(part, options, monkeypatch):
    monkeypatch.setattr(spans, "BLOCK", 5000)
    settings = {"threshold_db": -27.0, "attack_ms": 5.0, "release_ms": 70.0} | options
    compressor = Compressor(RATE, **settings).double()
    parameters = {name: tensor.detach() + 0.01 for name, tensor in compressor.named_parameters()}
    layout = Layout(parameters)

    def residuals(x, block, state):
        return torch.func.functional_call(_Residuals(compressor, part), _inside(x), (block, state))

    by_func = Stream(residuals, part.blocks, weights=part.weights())
    own = Stream(residuals, part.blocks, weights=part.weights(), tangents=partial(part.tangents, compressor))
    expected, found = (linearise(stream, layout, layout.vector(parameters)) for stream in (by_func, own))
    scale = expected.information.diagonal().sqrt()
    assert found.cost == pytest.approx(expected.cost, rel=1e-12)
    assert found.cost == pytest.approx(cost(by_func, parameters), rel=1e-12)
    assert found.count == expected.count
    assert ((found.information - expected.information) / (scale[:, None] * scale)).abs().max() < 1e-6
    assert ((found.gradient - expected.gradient) / scale).abs().max() < 1e-6 * expected.cost**0.5


class _Residuals(torch.nn.Module):
    def __init__(self, module, part):
        super().__init__()
        self.module, self.part = module, part

    def forward(self, block, state):
        return self.part.residuals(self.module, block, state)


def _inside(parameters):
    return {f"module.{name}": tensor for name, tensor in parameters.items()}


def test_frozen_parameters_have_no_tangents_and_steps_are_no_longer_than_allowed(part):
    compressor = Compressor(RATE, threshold_db=-20.0, ratio=2.0, attack_ms=2.0, release_ms=60.0).double()
    fit = fit_module(
        compressor,
        part.residuals,
        tangents=part.tangents,
        blocks=part.blocks,
        weights=part.weights(),
        frozen=["detector", "smoother"],
        longest_steps={"curve.threshold_db.step": 1.5},
        iterations=4,
    )
    assert len(fit.information) == 3
    assert -26.0 <= compressor.curve.threshold_db().item() < -20.5
    assert fit.cost < 0.5 * fit.history[0].cost
