"""Fits that set out from what a trained extractor hears."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("librosa", reason="librosa is not installed")
pytest.importorskip("auraloss", reason="auraloss is not installed")

from diffapf.identification.acid_fit import fit_acid, smooth_knots
from diffapf.identification.trained_extractor import TrainedExtractor, load_start, matched
from diffapf.notes import Notes
from diffapf.synths.matcher import AcidMatcher

RATE = 48_000


def notes(count: int = 2, time: int = 3000) -> Notes:
    f0 = torch.tensor([110.0, 165.0])[:count, None].expand(-1, time).contiguous()
    psi = 2 * torch.pi / RATE * f0.cumsum(-1)
    audio = 0.3 * (torch.sin(psi) + 0.5 * torch.sin(2 * psi))
    return Notes(audio, f0, torch.full((count,), time), RATE, [f"note {i}" for i in range(count)])


def trained(tmp_path, **settings) -> TrainedExtractor:
    torch.manual_seed(0)
    AcidMatcher(RATE, **settings).save(tmp_path / "model.yaml")
    return load_start(tmp_path)


@pytest.mark.parametrize("phase", ["target", "random"])
def test_a_fit_sets_out_from_what_the_matcher_plays(tmp_path, phase):
    model, heard = trained(tmp_path, filter="coefficients", phase=phase), notes()
    torch.manual_seed(1)
    start = model.start(heard)
    fit = fit_acid(heard, model.synth, steps=1, start=start)
    batch = matched(heard)
    values = model.matcher.hear(batch, start["phase"])
    played = model.synth(model.matcher.note(batch, start["phase"]), values)
    first = fit.render() if fit.history else None
    assert first is not None and fit.before == pytest.approx(fit.history[0][1], rel=1e-4)
    loss = __import__("auraloss.freq", fromlist=["freq"]).MultiResolutionSTFTLoss()
    assert fit.before == pytest.approx(float(loss(played[:, None], heard.audio[:, None])), rel=1e-4)


def test_a_few_steps_from_there_are_better(tmp_path):
    model, heard = trained(tmp_path, filter="lowpass"), notes()
    fit = fit_acid(heard, model.synth, steps=10, knots=smooth_knots(model.synth, heard), start=model.start(heard))
    assert fit.after < fit.before


def test_notes_of_another_rate_are_named(tmp_path):
    model = trained(tmp_path)
    heard = notes()
    other = Notes(heard.audio, heard.f0_hz, heard.note_on, 44_100, heard.names)
    with pytest.raises(ValueError, match=r"48000 Hz, these have 44100 Hz"):
        model.start(other)


def test_what_is_no_trained_extractor_is_named(tmp_path):
    from diffapf import Phaser

    with pytest.raises(ValueError, match="there is no trained extractor"):
        load_start(tmp_path / "nothing")
    Phaser(44_100).save(tmp_path / "model.yaml")
    with pytest.raises(ValueError, match="acidmatcher"):
        load_start(tmp_path)
