"""A vocoder fitted to a voice: a synthetic one that is known, real ones where they are at hand, and what is no voice."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from diffapf import audio
from diffapf.filters.control_rate import ControlRate
from diffapf.identification.voice_analysis import analyse_voice
from diffapf.identification.voice_fit import fit_voice
from diffapf.identification.voice_phase import in_phase
from diffapf.identification.voice_start import as_loud
from diffapf.modulation import upsample
from diffapf.synths.oscillators import running_phase
from diffapf.synths.vocoder import VOCODERS
from diffapf.voice_metrics import mel_cepstral_distortion, perceptual_quality, pitch_error, voice_scores
from tests.identification.synthetic import vowel

pytest.importorskip("pyworld", reason="pyworld is not installed: pip install 'diffapf[voices]'")

RATE = 24_000
VOICES = Path(__file__).parents[3] / "shared" / "data" / "voice"


def test_pitch_and_voicing_are_heard():
    analysis = analyse_voice(torch.cat([vowel(), torch.zeros(RATE // 2)]), RATE, 120)
    inside = analysis.f0_hz[20:140]
    assert bool(analysis.voiced[20:140].all()) and not bool(analysis.voiced[-60:].any())
    assert 1200 * torch.log2(inside / 180).abs().max() < 40
    assert bool((analysis.f0_hz > 0).all()) and len(analysis.f0_hz) == len(analysis.power)


@pytest.mark.parametrize("model", ["golf_ss", "ddsp"])
def test_some_steps_are_nearer_than_the_start_and_sing_the_pitch(model):
    target = vowel()
    fit = fit_voice(target, RATE, model, steps=30)
    assert fit.before < 1.6 and fit.after < 0.85 * fit.before
    prediction = fit.patch(seed=5)
    assert pitch_error(prediction, target, RATE).median < 12
    assert as_loud(prediction, target, 240, 80)[5:-5].abs().median() < 0.1
    again = fit_voice(target, RATE, model, steps=30)
    assert again.after == fit.after and len(fit.history) == 30


@pytest.mark.parametrize("name", sorted(VOCODERS))
def test_every_vocoder_sounds_like_the_voice_from_the_start(name):
    start = fit_voice(vowel(1.0), RATE, name, steps=1)
    assert start.before < 0.7


def test_a_fit_of_the_waveform_keeps_the_phase():
    """sin ψ is the recording's fundamental; without it a waveform is out of reach."""
    target = vowel(1.0)
    analysis = analyse_voice(target, RATE, 120)
    psi = running_phase(upsample(in_phase(target, analysis, RATE, 120), ControlRate.hop(120), RATE), RATE)
    in_phase_with, across = (float((target * wave).sum()) for wave in (torch.sin(psi), torch.cos(psi)))
    assert in_phase_with > 10 * abs(across)

    def error(prediction, target):
        return (prediction - target).square().mean() / target.square().mean()

    locked, free = (
        fit_voice(target, RATE, steps=30, loss=error, locked=locked).history[-1][1] for locked in (True, False)
    )
    assert locked < 0.3 < free


def test_ctrl_c_keeps_what_there_is():
    def stop(step, _):
        if step == 3:
            raise KeyboardInterrupt

    fit = fit_voice(vowel(0.3), RATE, steps=50, progress=stop)
    assert fit.interrupted and len(fit.history) == 3 and fit.after < fit.before


def test_mel_cepstra_tell_vowels_apart():
    pytest.importorskip("pysptk")
    one, other = vowel(0.3), vowel(0.3, f0=300.0)
    assert mel_cepstral_distortion(one, one) == 0 < mel_cepstral_distortion(one, 1.1 * one) < 2
    assert mel_cepstral_distortion(one, other) > 2


def test_a_recording_scores_as_itself_and_worse_as_another():
    pytest.importorskip("pysptk")
    one, other = vowel(1.0), vowel(1.0, f0=300.0)
    same, far = (voice_scores([sung], one, RATE) for sung in (one, other))
    assert same.keys() == far.keys() >= {"mss", "mss_published", "mcd_db", "f0_cents", "fad_log_mel"}
    distances = same.keys() - {"snr_db", "pesq", "voicing_errors"}
    assert all(abs(same[key]) < 1e-4 and far[key] > 0.05 for key in distances), (same, far)
    assert "pesq" not in same or same["pesq"] > 4.5 > far["pesq"]


def test_a_recording_too_short_for_some_scores_has_the_others():
    pytest.importorskip("pesq")
    short = vowel(0.2)
    with pytest.raises(ValueError, match="PESQ cannot hear these"):
        perceptual_quality(short, short, RATE)
    scores = voice_scores([short], short, RATE)
    assert "pesq" not in scores and scores["mss"] < 1e-4


@pytest.mark.parametrize(
    ("sound", "rate", "words"),
    [
        (torch.zeros(RATE), RATE, "silent"),
        (0.1 * torch.randn(RATE, generator=torch.Generator().manual_seed(0)), RATE, "no pitch between 65 and 1047 Hz"),
        (torch.ones(8000), 8000, "8000 Hz lacks"),
        (torch.ones(2, RATE), RATE, "one mono recording"),
        (torch.ones(100), RATE, "0.1 s long at least"),
        (torch.full((RATE,), float("nan")), RATE, "not finite"),
    ],
)
def test_what_is_no_voice_is_refused(sound, rate, words):
    with pytest.raises(ValueError, match=words):
        fit_voice(sound, rate, steps=1)


def test_wrong_options_are_refused():
    with pytest.raises(ValueError, match="steps must be"):
        fit_voice(vowel(0.2), RATE, steps=0)
    with pytest.raises(ValueError, match="there is no vocoder 'golf'"):
        fit_voice(vowel(0.2), RATE, "golf", steps=1)


@pytest.mark.parametrize("name", ["f1_1", "f1_2", "m1_1"])
def test_real_voices_in_some_steps(name):
    """The bars want minutes: `python scripts/fit_voices.py`. Here the first two seconds, 40 steps."""
    path = VOICES / f"{name}.wav"
    if not path.exists():
        pytest.skip("the recordings in shared/data/voice are not there")
    fit = fit_voice(torch.from_numpy(audio.read(path).samples[0, : 2 * RATE]).float(), RATE, steps=40)
    assert fit.after < 0.82 * fit.before and fit.after < 0.85
