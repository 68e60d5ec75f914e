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
    numbers = torch.randn(15 + 12 + 12, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).tolist()
    gains = {"mixing": numbers[:15], "entering": numbers[15:27], "leaving": numbers[27:]}
    return VocalChain(RATE, reverb={"decay_s": 0.3, "taps": 3, **gains}).double()


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
    for name, value in {"EARLY_S": 0.2, "MATRICES": 4, "KEPT": (1,), "STEPS": (50,)}.items():
        monkeypatch.setattr(reverb_match, name, value)
    hidden, start = chain(1), chain(2)
    wet = played(hidden, voice)
    before = {spec.name: spec.value for spec in start.parameters_spec()}
    found = rematched_reverb(start, voice, wet)
    assert found is not None and before == {spec.name: spec.value for spec in start.parameters_spec()}
    early = EarlyResponse.of(start.stage(), voice, wet, RATE)
    with torch.no_grad():
        assert early.left_by(found.network()) < 1.2 * early.left_by(hidden.reverb.network()) < 0.2
    monkeypatch.setattr(reverb_match, "MATRICES", 1)
    assert rematched_reverb(hidden, voice, wet) is None
