"""A phaser's own tangents are those that `torch.func` finds, for every piece, across blocks and apart by groups."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch.func import jvp

from diffapf import Phaser
from diffapf.identification import spans
from diffapf.identification.aligned_pair import AlignedPair
from diffapf.identification.layout import Layout
from diffapf.identification.modules import of_parameters
from diffapf.identification.moving_numbers import moving_numbers
from diffapf.identification.normal_equations import Stream, linearise
from diffapf.identification.phaser_fit import SWEPT
from diffapf.identification.phaser_pieces import with_drift
from diffapf.identification.phaser_tangents import has_tangents, moving_error, numbers_of
from diffapf.modulation import FourierLFO
from tests.filters.oracles import normal

RATE = 16_000
PIECES = {
    "plain": {},
    "cosine LFO": {"lfo": None},
    "delayed loop, high-passed": {"loop_delay": 1, "feedback_highpass_hz": 30.0},
    "loop with a floor": {"feedback_highpass_hz": 30.0, "feedback_floor": 0.2},
    "dry filter": {"dry_filter": True},
    "delay": {"delay_us": 10.0},
    "six stages": {"stages": 6},
}


def phaser_with(**pieces) -> Phaser:
    settings = {"lfo": FourierLFO(1.3, [0.8, 0.1, 0.02], [0.1, 0.05, 0.01]), "filter_order": 2, "hop_seconds": 0.0025}
    return Phaser(RATE, **(settings | {"feedback": 0.5} | pieces)).double()


def stretch_of(seconds: float = 1.25):
    """From the middle of a pair, of which the wet one is late, on a clock that began before."""
    dry, wet = (normal(round(seconds * RATE), seed=seed) for seed in (1, 2))
    return AlignedPair(dry, wet, RATE, 3, origin=777).stretch(0.6, 1.1)


def moved_parameters(phaser: Phaser) -> dict[str, torch.Tensor]:
    return {
        name: tensor.detach() + 0.01 * normal(*tensor.shape, seed=seed)
        for seed, (name, tensor) in enumerate(phaser.named_parameters())
        if tensor.requires_grad
    }


def assert_as_forward_mode(phaser: Phaser, groups) -> None:
    stretch, parameters = stretch_of(), moved_parameters(phaser)
    layout = Layout(parameters, groups=groups(parameters))
    by_func = Stream(of_parameters(phaser, stretch.residuals), stretch.blocks, weights=stretch.weights)
    own = Stream(
        by_func.residuals, by_func.blocks, weights=by_func.weights, tangents=partial(moving_error, stretch, phaser)
    )
    expected, found = (linearise(stream, layout, layout.vector(parameters)) for stream in (by_func, own))
    scale = expected.information.diagonal().sqrt().clamp_min(1e-300)
    assert (found.cost, found.count) == (pytest.approx(expected.cost, rel=1e-12), expected.count)
    assert ((found.information - expected.information) / (scale[:, None] * scale)).abs().max() < 1e-9
    assert ((found.gradient - expected.gradient) / scale).abs().max() < 1e-9 * expected.cost**0.5


@pytest.mark.parametrize(("name", "apart"), [(name, i % 2 == 1) for i, name in enumerate(PIECES)])
def test_own_tangents_are_forward_modes(name, apart, monkeypatch):
    monkeypatch.setattr(spans, "BLOCK", 5000)
    groups = (lambda names: [[each for each in names if each.startswith(SWEPT)]]) if apart else lambda names: None
    assert_as_forward_mode(phaser_with(**PIECES[name]), groups)


def test_those_of_a_drifting_clock(monkeypatch):
    monkeypatch.setattr(spans, "BLOCK", 5000)
    assert_as_forward_mode(with_drift(phaser_with(), stretch_of()), lambda names: None)


def test_the_published_core_is_left_to_torch_func():
    assert has_tangents(phaser_with())
    assert not has_tangents(Phaser(RATE, core="paper"))


def test_numbers_move_as_forward_mode_says():
    phaser = phaser_with(feedback_highpass_hz=30.0)
    parameters = moved_parameters(phaser)
    directions = {name: normal(2, *tensor.shape, seed=9) for name, tensor in parameters.items()}
    function = of_parameters(phaser, partial(numbers_of, first_sample=100, length=999))
    found = moving_numbers(function, parameters, directions)
    for place in range(2):
        tangents = {name: along[place] for name, along in directions.items()}
        values, moved = jvp(function, (parameters,), (tangents,))
        for name, value in values.items():
            torch.testing.assert_close(found[name].value, value)
            if found[name].directions:
                torch.testing.assert_close(found[name].tangents[place : place + 1], moved[name])
            else:
                assert not moved[name].any()


def test_what_no_direction_moves_stands_still():
    phaser = phaser_with()
    parameters = moved_parameters(phaser)
    name = "through.step"
    function = of_parameters(phaser, partial(numbers_of, first_sample=0, length=99))
    found = moving_numbers(function, parameters, {name: torch.ones(1, dtype=torch.float64)})
    assert {key: value.directions for key, value in found.items()} == {
        "v": 0,
        "through": 1,
        "loop": 0,
        "b": 0,
        "a": 0,
    }
