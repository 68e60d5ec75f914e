"""A reverberator's matrix among many: what an early response leaves, by correlations and by signals, and a search."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from diffapf import VocalChain
from diffapf.filters.circle_sampling import CircleSampling
from diffapf.identification import reverb_match
from diffapf.identification.reverb_match import EarlyResponse, rematched_reverb

RATE = 44_100


@pytest.fixture(scope="module")
def voice():
    return torch.randn(RATE // 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def chain(seed: int) -> VocalChain:
    numbers = 0.8 * torch.randn(15, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return VocalChain(RATE, reverb={"mixing": numbers.tolist(), "decay_s": 0.2, "taps": 3}).double()


def played(chain: VocalChain, voice: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return CircleSampling(len(voice))(voice[None], chain.stage())


def test_what_is_left_is_that_of_the_signals(voice, monkeypatch):
    """Of a voice that is white already and ends with silence, after which no response is cut off."""
    monkeypatch.setattr(reverb_match, "SMOOTHED_HZ", 1e4)
    hidden, other = chain(1), chain(2)
    impulse = torch.nn.functional.pad(voice.new_ones(1), (0, len(voice) - 1))
    wet = played(hidden, impulse)
    stage = hidden.stage()
    early = EarlyResponse.of(stage, impulse, wet, RATE)
    with torch.no_grad():
        assert float(early.left_by(stage.network)) == pytest.approx(0.0, abs=1e-4)  # 0.4 s later it is down by 120 dB
        silent = played_late(hidden, 0.0, impulse)
        energy = (wet - silent).square().sum()
        expected = (wet - played_late(hidden, 1.0, impulse, other)).square().sum() / energy
        assert float(early.left_by(other.reverb.network())) == pytest.approx(float(expected), rel=1e-3)


def played_late(hidden: VocalChain, gain: float, voice: torch.Tensor, other: VocalChain | None = None) -> torch.Tensor:
    stage = hidden.stage(None if other is None else other.reverb.network())
    return CircleSampling(len(voice))(
        voice[None], replace(stage, network=replace(stage.network, C=gain * stage.network.C))
    )


def test_a_matrix_is_found_from_many(voice, monkeypatch):
    monkeypatch.setattr(reverb_match, "EARLY_S", 0.1)
    monkeypatch.setattr(reverb_match, "MATRICES", 2)
    monkeypatch.setattr(reverb_match, "KEPT", (1,))
    monkeypatch.setattr(reverb_match, "STEPS", (30,))
    hidden, start = chain(1), chain(2)
    wet = played(hidden, voice)
    before = {spec.name: spec.value for spec in start.parameters_spec()}
    found = rematched_reverb(start, voice, wet)
    assert before == {spec.name: spec.value for spec in start.parameters_spec()}
    assert found is not None
    early = EarlyResponse.of(start.stage(), voice, wet, RATE)
    with torch.no_grad():
        assert early.left_by(found.network()) < 0.9 * early.left_by(start.reverb.network())
    assert rematched_reverb(hidden, voice, wet) is None
