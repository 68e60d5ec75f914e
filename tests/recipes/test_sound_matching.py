"""`python train.py experiment=acid …` on a few simulated notes: what it learns, what it leaves behind, mistakes."""

from __future__ import annotations

import csv
import json
import math

import numpy as np
import pytest
import soundfile
import torch

pytest.importorskip("librosa", reason="librosa is not installed")
pytest.importorskip("auraloss", reason="auraloss is not installed")

from data.acid_loops import acid_notes
from diffapf.identification.pitch import oscillator_phase
from diffapf.notes import read_labelled
from diffapf.synths.matcher import AcidMatcher, Batch
from recipes.notes import Augmentation, MatchedNotes, prepared, resampled
from recipes.optimizers import adamw
from recipes.sound_matching import predict

COUNT = 10
SHORT = [
    "trainer.max_steps=6",
    "trainer.validate_every=3",
    "batch=4",
    "baselines=[]",
    "repeats=2",
    "data.source.augmentation.copies=1",
    "data.folds=2",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with notes.wav and notes.csv: ten notes of the embedded synth."""
    folder = tmp_path_factory.mktemp("notes")
    made = acid_notes(loops=1)
    soundfile.write(folder / "notes.wav", made.audio[:COUNT].reshape(-1), made.sample_rate, subtype="FLOAT")
    with (folder / "notes.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["index", "midi_pitch", "note_on_samples"])
        for i in range(COUNT):
            pitch = 69 + 12 * math.log2(float(np.median(made.f0_hz[i])) / 440)
            table.writerow([i, round(pitch), int(made.note_on[i])])
    return folder


@pytest.fixture(scope="module")
def notes(folder):
    return read_labelled(folder / "notes.wav", folder / "notes.csv")


@pytest.fixture
def short_match(command, folder, tmp_path):
    def run(*overrides: str, name: str = "run"):
        arguments = ["experiment=acid", "data=acid_recordings", f"data.path={folder}", f"run={tmp_path / name}"]
        return command("train.py", *arguments, *SHORT, *overrides), tmp_path / name

    return run


def test_a_run_leaves_metrics_model_and_report(short_match, notes):
    result, run = short_match("baselines=[fs]")
    assert result.returncode == 0, result.stderr
    metrics = json.loads((run / "metrics.json").read_text())
    wanted = {
        "test/mss_td",
        "test/mss_fs",
        "test/mss_note_td",
        "test/mfcc_l1_td",
        "fs:test/mss_td",
        "train/cpu_seconds",
    }
    assert wanted <= metrics.keys()
    assert all(math.isfinite(value) for value in metrics.values())
    for name in ("report.html", "model.yaml", "model.pt", "model_fs.yaml", "history.csv", "audio/test/prediction.wav"):
        assert (run / name).is_file(), name
    titles = {curve["title"] for curve in json.loads((run / "curves.json").read_text())}
    assert {"Cutoff", "Gain", "Q"} <= titles
    assert "FAD (VGGish) is left out" in (run / "run.json").read_text() or "test/fad_vggish_td" in metrics
    assert_it_is_what_was_tested(run, notes)


def assert_it_is_what_was_tested(run, notes):
    matcher = AcidMatcher.load(run / "model.yaml").eval()
    from diffapf.notes import folds

    test = notes.subset(folds(COUNT, 0, 2)[1])
    heard = predict(matcher, prepared(test, matcher)).flatten().numpy()
    written, rate = soundfile.read(run / "audio" / "test" / "prediction.wav", dtype="float32")
    assert rate == notes.sample_rate
    np.testing.assert_allclose(written[: len(heard)], heard, atol=1e-5)


def test_a_stopped_run_goes_on(short_match):
    result, run = short_match("trainer.max_steps=3")
    assert result.returncode == 0, result.stderr
    result, run = short_match("trainer.max_steps=6")
    assert result.returncode == 0, result.stderr
    assert json.loads((run / "metrics.json").read_text())["train/steps"] == 6
    assert [line.split(",")[0] for line in (run / "history.csv").read_text().splitlines()] == ["step", "3", "6"]


@pytest.mark.parametrize("filter", ["coefficients", "ladder"])
def test_it_learns_its_notes(notes, filter):
    """In forty steps, most of what there is to learn of four notes."""
    torch.manual_seed(0)
    matcher = AcidMatcher(notes.sample_rate, filter=filter)
    batch = prepared(notes.subset(range(4)), matcher)
    loss = __import__("auraloss.freq", fromlist=["freq"]).MultiResolutionSTFTLoss()
    optimizer, schedule = adamw(matcher.parameters(), 40, 1e-3, 0.01, warm_up=10)
    found = []
    for _ in range(40):
        optimizer.zero_grad()
        value = loss(matcher(batch)[:, None], batch.audio[:, None])
        value.backward()
        torch.nn.utils.clip_grad_norm_(matcher.parameters(), 0.5)
        optimizer.step()
        schedule.step()
        found.append(float(value.detach()))
    assert min(found[-5:]) < 0.8 * found[0], found


@pytest.mark.parametrize("extractor", ["light", "paper"])
@pytest.mark.parametrize("phase", ["target", "random"])
def test_a_saved_matcher_is_the_same(notes, tmp_path, extractor, phase):
    torch.manual_seed(0)
    matcher = AcidMatcher(notes.sample_rate, extractor, phase, filter="lowpass", noise=True).eval()
    matcher.save(tmp_path / "matcher.yaml")
    batch = prepared(notes.subset([0]), matcher)
    torch.testing.assert_close(
        predict(AcidMatcher.load(tmp_path / "matcher.yaml").eval(), batch), predict(matcher, batch)
    )


def test_a_random_phase_is_drawn_anew(notes):
    matcher = AcidMatcher(notes.sample_rate, phase="random").eval()
    batch = prepared(notes.subset([0, 1]), matcher)
    assert not torch.equal(predict(matcher, batch, seed=0), predict(matcher, batch, seed=1))
    torch.testing.assert_close(predict(matcher, batch, seed=1), predict(matcher, batch, seed=1), rtol=0, atol=0)


def test_resampled_notes_are_of_the_pitch_they_say(notes):
    random = np.random.default_rng(0)
    more = resampled(notes.subset([0, 1, 2]), Augmentation(copies=2), random)
    assert more.audio.shape == (6, notes.audio.shape[1])
    n = torch.arange(more.audio.shape[1])
    assert not (more.audio * (n >= more.note_on[:, None])).any()
    for i in range(6):
        ratio = float(more.f0_hz[i, 0] / notes.f0_hz[i % 3, 0])
        assert 2 ** (-5 / 12) < ratio < 2 ** (5 / 12)
        # an oscillator of that pitch stays in step with the fundamental: both halves have the same phase
        half = int(more.note_on[i]) // 2
        phases = [
            oscillator_phase(torch.where(part, more.audio[i], 0.0), more.f0_hz[i], more.note_on[i], more.sample_rate)
            for part in (n < half, n >= half)
        ]
        assert abs(math.remainder(float(phases[0] - phases[1]), 2 * math.pi)) < 1.5


def test_no_tested_note_is_trained_on(notes):
    from diffapf.notes import folds

    tested = []
    for fold in range(5):
        train, test = folds(COUNT, fold)
        data = MatchedNotes(notes, {"train": train, "validation": [], "test": test}, "notes")
        data.prepare(AcidMatcher(notes.sample_rate), seed=0)
        assert not set(train) & set(test)
        assert isinstance(data.of_part["test"], Batch) and "validation" not in data.of_part
        tested += test
    assert sorted(tested) == list(range(COUNT))


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["data.path=nowhere"], ["data.path=nowhere", "no such file"]),
        (["data.path="], ["data.path is missing"]),
        (["fs_window=100"], ["fs_window", "128", "100"]),
        (["model.filter=diode"], ["filter", "ladder", "diode"]),
        (["model.phase=left"], ["phase", "target", "left"]),
        (["model=acid_lstm", "method=fs"], ["LSTM", "td"]),
        (["method.name=tf"], ["tf", "td, fs"]),
        (["trainer.max_steps=0"], ["trainer.max_steps", "0"]),
        (["weight_average=1"], ["weight_average", "1"]),
        (["optimizer.hold=2"], ["optimizer.hold", "2"]),
        (["data.fold=7"], ["7"]),
    ],
)
def test_mistakes_are_named(short_match, overrides, words):
    result, run = short_match(*overrides)
    assert result.returncode == 2, result.stderr
    assert all(word in result.stderr for word in words), result.stderr
    assert not (run / "model.yaml").exists()


def test_a_synth_descends_on_no_pair(command, tmp_path):
    result = command("train.py", "experiment=acid", "protocol=descent", f"run={tmp_path / 'run'}")
    assert result.returncode == 2 and "no recipe trains" in result.stderr


def test_a_phaser_matches_no_notes(command, tmp_path):
    result = command("train.py", "experiment=phaser", "protocol=matching", f"run={tmp_path / 'run'}")
    assert result.returncode == 2 and "model=acid" in result.stderr
