"""Sources of harmonics: what they sum to, how loud they are at any pitch, what folds back, gradients."""

from __future__ import annotations

import math

import pytest
import torch

from diffapf.synths.glottal import shapes
from diffapf.synths.voice_sources import SOURCES, Glottal, voice_source

RATE, HOP, TIME = 24_000.0, 240, 4800


def played(source, f0: float | torch.Tensor, **values):
    f0 = torch.full((TIME,), f0) if isinstance(f0, float) else f0
    frames = torch.zeros(TIME // HOP + 1)
    return source.sound(f0, source.weights(values, frames))


@pytest.mark.parametrize("name", SOURCES)
def test_what_is_prepared_sounds_as_what_is_sung_once(name):
    source, random = voice_source(name, RATE, HOP), torch.Generator().manual_seed(0)
    f0 = torch.linspace(150, 300, TIME)
    values = {"rd": 0.5 + torch.rand(21, generator=random), "harmonics": torch.randn(21, 155, generator=random)}
    weights = source.weights(values, torch.zeros(21)) * torch.rand(21, 1, generator=random)
    once, kept = source.sound(f0, weights), source(source.prepared(f0), weights, TIME)
    # a decimation of what cross-fades, or a cross-fade of what was decimated
    assert (once - kept).norm() / kept.norm() < 2e-3


@pytest.mark.parametrize("name", ["glottal", "pulses", "harmonics"])
def test_a_voice_is_as_loud_at_every_pitch(name):
    source = voice_source(name, RATE, HOP)
    values = {"rd": torch.ones(21), "harmonics": torch.zeros(21, 155)}
    low, high = (played(source, f0, **values)[480:].square().mean().sqrt() for f0 in (100.0, 400.0))
    # pulses have as many fewer harmonics as they are louder; a glottal pulse's energy is in its first few
    ratio = 0.5 if name == "glottal" else 1.0
    assert float(high / low) == pytest.approx(ratio, rel=0.15)


def test_pulses_are_their_harmonics():
    source = voice_source("pulses", RATE, HOP, count=40)
    harmonics = voice_source("harmonics", RATE, HOP, count=40)
    f0 = torch.linspace(200, 500, TIME)
    every = harmonics(harmonics.prepared(f0), torch.ones(21, 40), TIME)
    assert torch.allclose(played(source, f0), every, atol=1e-5)


def test_a_sawtooth_falls_by_a_line():
    wave = played(voice_source("sawtooth", RATE, HOP, count=150), 100.0)
    n = torch.arange(1, TIME + 1) * 100.0 / RATE % 1.0
    inside = (n > 0.05) & (n < 0.95)
    assert (wave - math.pi * (0.5 - n))[inside].abs().max() < 0.1


def test_what_would_fold_back_is_taken():
    source, f0 = Glottal(RATE, HOP), 1000.0
    spectrum = torch.fft.rfft((played(source, f0, rd=torch.full((21,), 0.3)) * torch.hann_window(TIME)).double()).abs()
    bins = torch.arange(len(spectrum))
    beside = (bins % 200).minimum(200 - bins % 200) > 20  # a harmonic each 200 bins of 5 Hz
    assert 20 * torch.log10(spectrum[beside].max() / spectrum.max()) < -50


def test_two_tables_sound_at_a_time_and_shapes_between_them_are_mixed():
    source = Glottal(RATE, HOP, tables=5)
    weights = source.weights({"rd": torch.tensor([0.3, 0.6, 2.7]).double()}, torch.zeros(3))
    assert weights.sum(-1).tolist() == pytest.approx([1, 1, 1])
    assert (weights > 1e-6).sum(-1).tolist() == [1, 2, 1]
    assert torch.allclose(source.weights({"rd": shapes(5)}, torch.zeros(5)), torch.eye(5).double(), atol=1e-6)


def test_gradients_reach_shape_and_pitch():
    source = Glottal(RATE, 60, tables=4).double()
    rd = torch.tensor([0.5, 1.1, 2.0], dtype=torch.float64, requires_grad=True)
    f0 = torch.full((120,), 300.0, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda rd: source.sound(f0, source.weights({"rd": rd}, rd)), (rd,))


def test_an_unknown_source_is_refused():
    with pytest.raises(ValueError, match="source must be one of glottal, pulses"):
        voice_source("square", RATE, HOP)
