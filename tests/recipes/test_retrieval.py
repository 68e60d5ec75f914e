"""Parameter retrieval: chunks with a lead-in, a run that comes nearer, its page, and what a user is told."""

from __future__ import annotations

import json
from pathlib import Path

import hydra
import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.errors import InstantiationException
from torch.nn.functional import pad

from data.voice import singing
from diffapf import Effect, VocalChain, audio
from diffapf.effects.vocal_presets import independent, row_of
from diffapf.losses import LogESR, StereoLoss
from recipes.data import of_preset
from recipes.experiments import carry_out
from recipes.retrieval import Chunk, Retrieval, chunks_of, delay_time_ms, run
from recipes.retrieved import truth_of

CONFIGS = Path(__file__).parents[2] / "configs"
RATE = 44_100
QUICK = ["trainer.max_steps=6", "trainer.validate_every=3", "retrieve.delay_at=[0,0.5]"]
QUICK += ["retrieve.sampled=0.3", "data.source.seconds=2.4", "data.source.train=[0,1.6]"]
QUICK += ["data.source.validation=[0,1.6]", "data.source.test=[1.6,2.4]"]


def composed(*overrides: str):
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        cfg = compose("train", ["experiment=vocal_chain", "run=here", *overrides])
    cfg.logger = None
    return cfg


def test_chunks_have_lead_ins_and_cover_a_part_once():
    dry, wet = torch.arange(100.0)[None], torch.ones(2, 100)
    chunks = chunks_of(dry, wet, slice(30, 95), 1, 40.0, 10.0, 5)
    counted = [sample for c in chunks for sample in c.dry[0, c.skip : c.wet.shape[1]].tolist()]
    assert counted == list(range(30, 95))
    assert [c.skip for c in chunks] == [10, 10, 10] and [c.wet.shape[1] for c in chunks] == [40, 40, 15]
    assert chunks[0].dry[0].tolist() == list(range(20, 65)) and chunks[-1].dry[0, -5:].tolist() == [95, 96, 97, 98, 99]
    (whole,) = chunks_of(dry, wet, slice(0, 40), 1, 40.0, 10.0, 0)
    assert whole.skip == 0


def test_chunks_that_are_silent_are_left_out():
    wet = torch.ones(2, 100)
    wet[:, 40:70] = 1e-4
    chunks = chunks_of(torch.ones(1, 100), wet, slice(0, 100), 1, 40.0, 10.0, 0)
    assert len(chunks) == 2
    with pytest.raises(ValueError, match="nothing to learn from"):
        chunks_of(torch.ones(1, 100), 1e-4 * wet, slice(0, 100), 1, 40.0, 10.0, 0)


def test_a_run_comes_nearer_and_its_folder_says_how_far(tmp_path):
    cfg = composed(*QUICK)
    cfg.run = str(tmp_path)
    outcome = carry_out(cfg, tmp_path)
    page = outcome.write()
    outcome.show()
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["train/mss_circle"] < metrics["untrained:train/mss_td"]
    assert {"test/mss_td", "test/mss_mid_side_td", "test/mldr_td", "test/mldr_mid_side_flattened_td"} <= metrics.keys()
    assert isinstance(Effect.load(tmp_path / "model.yaml"), VocalChain)
    text = page.read_text(encoding="utf-8")
    for words in ("Equaliser", "Decay", "Energy left", "Delay", "of the untrained chain"):
        assert words in text
    parameters = {each["name"]: each for each in json.loads((tmp_path / "parameters.json").read_text())}
    assert parameters["delay.time_ms"]["truth"] == pytest.approx(533.866, abs=1e-3)
    history = (tmp_path / "history.csv").read_text().splitlines()
    assert len(history) == 4 and "param/delay.time_ms" in history[0]


def test_another_matrix_is_tried_where_the_first_leads_nowhere(tmp_path):
    cfg = composed(*QUICK, "trainer.max_steps=1", "trainer.validate_every=1", "retrieve.matrices=2")
    _, found = run(cfg, tmp_path)
    assert {path.name for path in (tmp_path / "checkpoints").iterdir()} == {"circle", "circle-2"}
    kept = run(composed(*QUICK, "trainer.max_steps=1", "trainer.validate_every=1"), tmp_path / "alone")[1]
    assert found.share <= kept.share


def test_the_delay_is_looked_for_where_repeats_stand_out():
    dry = torch.from_numpy(singing(6.0))[None]
    hidden = VocalChain(RATE, delay={"time_ms": 271.3, "gain": 0.1, "feedback": 0.5}).double()
    with torch.no_grad():
        wet = hidden(pad(dry, (0, hidden.latency)))[:, hidden.latency :]
    start = VocalChain(RATE, compressor={"threshold_db": -30.0}).double()
    chunk = Chunk(0, pad(dry, (0, start.latency)), wet, 0)
    assert delay_time_ms(start, chunk) == pytest.approx(271.3, abs=0.2)
    recipe = Retrieval(start, lambda parameters, steps: None, StereoLoss(RATE))
    recipe.look_for_delay(chunk)
    assert start.delay.time_ms().item() == pytest.approx(271.3, abs=0.2) and start.delay.feedback().item() == 0.3
    start.set_parameters({"delay.time_ms": 271.4, "delay.feedback": 0.6})
    recipe.look_for_delay(chunk)  # near enough to descend from
    assert start.delay.time_ms().item() == 271.4 and start.delay.feedback().item() == 0.6


def test_the_equaliser_is_matched_again_by_what_the_chain_plays():
    """Descent from the start has each peak do the other's work, and ends there."""
    dry = torch.from_numpy(singing(4.0))[None]
    hidden = VocalChain(RATE).double()
    peaks = {"peak1": {"frequency_hz": 2300.0, "gain_db": -9.0, "q": 2.0}}
    peaks["peak2"] = {"frequency_hz": 670.0, "gain_db": -8.0, "q": 4.0}
    hidden.set_parameters({f"equalizer.bands.{band}.{name}": v for band in peaks for name, v in peaks[band].items()})
    with torch.no_grad():
        wet = hidden(pad(dry, (0, hidden.latency)))[:, hidden.latency :]
    start = VocalChain(RATE).double()
    recipe = Retrieval(start, lambda parameters, steps: None, StereoLoss(RATE))
    before = {spec.name: spec.value for spec in start.parameters_spec()}
    recipe.match_equalizer(Chunk(0, pad(dry, (0, start.latency)), wet, 0))
    frequencies = torch.tensor([350.0, 670.0, 1400.0, 2300.0, 4600.0], dtype=torch.float64)
    with torch.no_grad():
        found, wanted = (chain.equalizer.magnitude_db(frequencies) for chain in (start, hidden))
    assert float((found - wanted).diff().abs().max()) < 1.0
    moved = [spec.name for spec in start.parameters_spec() if spec.value != before[spec.name]]
    assert moved and all(name.startswith("equalizer") for name in moved)


def test_the_reverberator_takes_what_is_nearer_but_for_its_decay(monkeypatch):
    """What is nearer is found in tests/identification/test_reverb_match.py."""
    chain, heard = VocalChain(RATE), []
    other = VocalChain(RATE, reverb={"mixing": [0.1] * 15, "leaving": [0.2] * 12, "decay_s": 1.0}).reverb
    monkeypatch.setattr("recipes.retrieval.rematched_reverb", lambda *given: heard.extend(given) or other)
    recipe = Retrieval(chain, lambda parameters, steps: None, StereoLoss(RATE))
    dry, decay = torch.randn(1, 4096), chain.reverb.decay_s()
    recipe.match_reverb(Chunk(0, pad(dry, (0, chain.latency)), torch.randn(2, 4096), 0))
    assert heard[1].shape == (4096,) and heard[2].shape == (2, 4096)
    assert torch.equal(chain.reverb.mixing(), other.mixing()) and torch.equal(chain.reverb.leaving(), other.leaving())
    assert torch.equal(chain.reverb.decay_s(), decay)


def test_waveforms_alone_are_compared_at_first():
    torch.manual_seed(0)
    chunk = Chunk(0, torch.randn(1, 4096 + 670), torch.randn(2, 4096), 0)
    chain = VocalChain(RATE, reverb={"taps": 3})
    recipe = Retrieval(chain, lambda parameters, steps: None, StereoLoss(RATE), first=LogESR(0.2), steps_of_first=1)
    with torch.no_grad():
        prediction = chain(chunk.dry)[:, chain.latency :]
    assert float(recipe._of_chunk(chunk)) == pytest.approx(float(LogESR(0.2)(prediction, chunk.wet)))
    recipe.steps_of_first = 0
    assert float(recipe._of_chunk(chunk)) == pytest.approx(float(StereoLoss(RATE)(prediction, chunk.wet)), rel=1e-5)


def test_a_prior_is_where_it_starts_and_what_it_stays_near(tmp_path):
    mean = np.zeros(130)
    mean[24] = 0.5
    np.savez(tmp_path / "g.npz", mean=mean, cov=np.eye(130))
    cfg = composed(*QUICK, f"retrieve.prior={tmp_path / 'g.npz'}", "retrieve.prior_weight=1000", "trainer.max_steps=2")
    _, found = run(cfg, tmp_path)
    row = torch.zeros(151, dtype=torch.float64)
    row[independent()] = torch.from_numpy(mean)
    torch.testing.assert_close(row_of(found.start).detach()[18:], row[18:], rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("words", "overrides"),
    [
        ("a vocal chain's .* got a equalizer", ["model=equalizer"]),
        ("trainer.max_steps must be a positive whole number", ["trainer.max_steps=0"]),
        ("retrieve.lead_in must be at least 0", ["retrieve.lead_in=12"]),
        ("retrieve.sampled must be positive", ["retrieve.sampled=0"]),
        ("got 'VC-Z'; there are VC-A", ["data.source.setting=VC-Z"]),
        ("data.presets is missing", ["data=vocal_preset"]),
        ("retrieve.delay_at must be shares", ["retrieve.delay_at=[1]"]),
        ("retrieve.equalizer_at must be shares", ["retrieve.equalizer_at=[-0.1]"]),
        ("retrieve.reverb_at must be shares", ["retrieve.reverb_at=[2]"]),
        ("retrieve.matrices must be a positive whole", ["retrieve.matrices=0"]),
        ("retrieve.decibels must be positive", ["retrieve.decibels=0"]),
        ("retrieve.waveform_first must be a share", ["retrieve.waveform_first=2"]),
        ("retrieve.style must be mfcc, or a file", ["protocol=style", "retrieve.style=afx"]),
        ("got 'organ'; there are voice, drums", ["data.material=organ"]),
    ],
)
def test_mistakes_are_named(words, overrides, tmp_path):
    with pytest.raises((ValueError, InstantiationException), match=words):
        run(composed(*overrides), tmp_path)


def test_behind_a_published_preset_all_is_known(tmp_path):
    np.save(tmp_path / "raw_params.npy", np.zeros((2, 151)))
    pair = of_preset(str(tmp_path), 1, "drums", 1.0, train=[0, 0.5], test=[0.5, 1.0])
    assert pair.tracks.wet.shape == (2, RATE) and truth_of(pair)["delay.time_ms"] == pytest.approx(550)
    with pytest.raises(ValueError, match=r"got 2; .* has rows 0 to 1"):
        of_preset(str(tmp_path), 2, "drums", 1.0)


def test_a_wet_recording_in_mono_is_refused(tmp_path):
    for name in ("dry", "wet"):
        audio.write(tmp_path / f"{name}.wav", 0.1 * np.ones(2 * RATE), RATE)
    cfg = composed("data=vocal_recordings", f"data.dry={tmp_path}/dry.wav", f"data.wet={tmp_path}/wet.wav")
    with pytest.raises(ValueError, match="the wet recording is mono"):
        run(cfg, tmp_path)


def test_another_experiment_does_not_retrieve(tmp_path):
    from recipes.identified import fit

    cfg = composed("protocol=identify", "data=recordings")
    with pytest.raises(ValueError, match="a vocalchain is not found in this way"):
        fit(cfg, tmp_path, [])
    assert hydra.utils.instantiate(cfg.model, sample_rate=RATE).latency == 670
