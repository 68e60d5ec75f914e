"""The command `diffapf`, as a user types it, and mistypes it."""

from __future__ import annotations

import csv
import json

import pytest
import torch

from diffapf import Compressor, Effect, LevellingAmplifier, Phaser, audio
from diffapf.cli import main
from diffapf.identification import compressor_fit, levelling_amplifier_fit, phaser_fit
from diffapf.identification.compressor_structures import structures
from diffapf.identification.levelling_amplifier_structures import CELLS, OUTPUTS
from tests.identification.synthetic import Truth, plucks

RATE = 16_000
LEVEL_OF, GAIN_OF = "smoothed |x| → curve", "|x| → curve → smoothed gain"
LEVEL = structures(RATE)[LEVEL_OF]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recordings")
    dry = plucks(5, RATE)
    wet = Truth(1.7, 0.2, wave="triangle").apply(dry, RATE)
    with torch.no_grad():
        squashed = Compressor(RATE, threshold_db=-35.0, ratio=4.0, attack_ms=2.0, release_ms=80.0, **LEVEL)(dry)
        levelled = LevellingAmplifier(RATE, threshold_db=-30.0)(dry)
    signals = (
        ("levelled", levelled),
        ("dry", dry),
        ("wet", wet),
        ("plain", 0.5 * dry),
        ("squashed", squashed),
        ("short", squashed[: RATE // 2]),
    )
    for name, signal in signals:
        audio.write(folder / f"{name}.wav", signal[None], RATE, subtype="FLOAT")
    return folder


def fit(files, wet, *options, effect="phaser"):
    return main(["fit", effect, str(files / "dry.wav"), str(files / wet), *map(str, options)])


def test_two_files_become_a_model_and_a_report(files, tmp_path, capsys):
    assert fit(files, "wet.wav", "-o", tmp_path / "pedal", "--stages", 4, "--loop-delay", 0) == 0
    said = capsys.readouterr().out
    assert "a phaser of 4 stages at 1.7" in said and "report.html" in said and "phase tracked" in said
    description = json.loads((tmp_path / "pedal" / "run.json").read_text())
    assert description["command"].startswith("diffapf fit phaser ") and description["command"].endswith(
        "--loop-delay 0"
    )
    assert any("Chosen by validation" in finding for finding in description["findings"])
    metrics = json.loads((tmp_path / "pedal" / "metrics.json").read_text())
    assert metrics["test/esr_constant"] < 1e-4
    assert (tmp_path / "pedal" / "report.html").stat().st_size > 10_000
    model = Phaser.load(tmp_path / "pedal" / "model.yaml")
    dry, wet = (torch.from_numpy(audio.read(files / f"{name}.wav").samples) for name in ("dry", "wet"))
    with torch.no_grad():
        error = (model(dry) - wet)[:, RATE:]
    assert error.square().sum() / wet[:, RATE:].square().sum() < 1e-4
    errors = {
        entry["name"]: entry["standard_error"]
        for entry in json.loads((tmp_path / "pedal" / "parameters.json").read_text())
    }
    assert 0 < errors["lfo.rate_hz"] < 1e-3


def test_a_fit_that_was_killed_goes_on(files, tmp_path, capsys, monkeypatch):
    options = "wet.wav", "-o", tmp_path / "pedal", "--stages", 4, "--loop-delay", 0

    def killed(*_):
        raise SystemExit

    monkeypatch.setattr(phaser_fit, "tracked", killed)  # once the first model is fitted
    with pytest.raises(SystemExit):
        fit(files, *options)
    with pytest.raises(SystemExit):
        fit(files, *options, "--restart")
    assert "Going on" not in capsys.readouterr().err
    monkeypatch.undo()
    monkeypatch.setattr(phaser_fit, "EXPLAINED", 1.0)
    assert fit(files, *options) == 0
    assert "Going on after “as published" in capsys.readouterr().err
    assert {file.name for file in (tmp_path / "pedal").iterdir()} >= {"model.yaml", "report.html"}
    assert not (tmp_path / "pedal" / "stages").exists()


@pytest.fixture
def two_structures(monkeypatch):
    monkeypatch.setattr(
        compressor_fit, "_all_structures", lambda rate: {name: structures(rate)[name] for name in (GAIN_OF, LEVEL_OF)}
    )


@pytest.mark.usefixtures("two_structures")
def test_two_files_become_a_compressor_and_a_report(files, tmp_path, capsys):
    folder = tmp_path / "box"
    assert fit(files, "squashed.wav", "-o", folder, "--knee", "hard", effect="compressor") == 0
    said = capsys.readouterr().out
    assert f"a compressor: {LEVEL_OF}, hard knee" in said and "proof of the structure" in said
    assert "curve.ratio = 4 ±" in said and "10–90 %" in said and "report.html" in said
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["test/esr_prefiltered"] < 1e-9 and metrics["test/esr_plain"] < 1e-9
    assert metrics[f"{GAIN_OF}, hard knee:validation/esr_prefiltered"] > 1e-6
    dry, wet = (torch.from_numpy(audio.read(files / f"{name}.wav").samples) for name in ("dry", "squashed"))
    with torch.no_grad():
        assert (Effect.load(folder / "model.yaml").double()(dry) - wet).abs().max() < 1e-4
    labels = {
        entry["label"]: entry for entry in json.loads((folder / "parameters.json").read_text()) if "label" in entry
    }
    assert labels["smoother.attack_ms (10–90 %, c = 2.2)"]["value"] == pytest.approx(2.0, rel=1e-3)
    assert labels["smoother.attack_ms (63 %, c = 1)"]["value"] == pytest.approx(2.0 / 2.2, rel=1e-3)
    curves = {curve["title"]: curve for curve in json.loads((folder / "curves.json").read_text())}
    target, model = (line["y"] for line in curves["Gain reduction"]["series"])
    assert max(abs(a - b) for a, b in zip(target, model, strict=True) if a == a) < 0.05
    assert max(value for value in target if value == value) > 3
    history = list(csv.DictReader((folder / "history.csv").open()))
    assert float(history[-1]["param/smoother.attack_ms"]) == pytest.approx(2.0, rel=1e-3)
    assert float(history[-1]["train/esr"]) == pytest.approx(metrics["train/esr_prefiltered"], rel=1e-6)
    assert [int(row["step"]) for row in history] == list(range(len(history)))
    assert "attack while training" in (folder / "report.html").read_text()
    assert "Static curve" in curves and (folder / "report.html").stat().st_size > 10_000
    assert not (folder / "stages").exists()


def test_two_files_become_a_levelling_amplifier_and_a_report(files, tmp_path, capsys, monkeypatch):
    cells = {name: CELLS[name] for name in ("one release", "a release with a memory")}
    monkeypatch.setattr(levelling_amplifier_fit, "CELLS", cells)
    monkeypatch.setattr(levelling_amplifier_fit, "OUTPUTS", {"plain output": OUTPUTS["plain output"]})
    folder = tmp_path / "optical"
    assert fit(files, "levelled.wav", "-o", folder, effect="la2a") == 0
    said = capsys.readouterr().out
    assert "a levelling amplifier: a release with a memory, plain output" in said and "report.html" in said
    assert "cell.feedback = " in said and "one release, plain output, " in said
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["test/esr_prefiltered"] < 1e-4
    dry, wet = (torch.from_numpy(audio.read(files / f"{name}.wav").samples) for name in ("dry", "levelled"))
    with torch.no_grad():
        late = Effect.load(folder / "model.yaml").double()(dry)
    assert (late[:, 1:] - wet[:, :-1]).square().sum() / wet.square().sum() < 1e-4
    curves = {curve["title"]: curve for curve in json.loads((folder / "curves.json").read_text())}
    target, model = (line["y"] for line in curves["Gain reduction"]["series"])
    assert max(abs(a - b) for a, b in zip(target, model, strict=True) if a == a and b == b) < 0.5
    assert "Static curve" in curves and (folder / "report.html").stat().st_size > 10_000
    assert json.loads((folder / "run.json").read_text())["title"] == "Levelling amplifier fitted to levelled.wav"


@pytest.mark.usefixtures("two_structures")
def test_a_stereo_pair_becomes_one_compressor(files, tmp_path, capsys):
    dry = torch.from_numpy(audio.read(files / "dry.wav").samples)
    dry = torch.cat([dry, 0.7 * dry.flip(1)])
    with torch.no_grad():
        linked = Compressor(RATE, threshold_db=-35.0, ratio=4.0, attack_ms=2.0, release_ms=80.0, link="max", **LEVEL)
        wet = linked.double()(dry)
    names = [str(tmp_path / f"{name}.wav") for name in ("stereo", "pressed")]
    for name, signal in zip(names, (dry, wet), strict=True):
        audio.write(name, signal, RATE, subtype="FLOAT")
    assert main(["fit", "compressor", *names, "-o", str(tmp_path / "box"), "--knee", "hard"]) == 0
    said = capsys.readouterr()
    assert "linked by the louder channel" in said.out and "curve.ratio = 4 ±" in said.out
    assert "the first is used" not in said.err
    metrics = json.loads((tmp_path / "box" / "metrics.json").read_text())
    assert metrics["test/esr_prefiltered"] < 1e-9
    curves = {curve["title"]: curve for curve in json.loads((tmp_path / "box" / "curves.json").read_text())}
    assert [line["name"] for line in curves["Gain reduction"]["series"]] == [
        "target, left",
        "target, right",
        "model, left",
        "model, right",
    ]
    assert audio.read(tmp_path / "box" / "audio" / "test" / "prediction.wav").samples.shape[0] == 2
    with torch.no_grad():
        assert (Effect.load(tmp_path / "box" / "model.yaml").double()(dry) - wet).abs().max() < 1e-4


@pytest.mark.usefixtures("two_structures")
def test_two_channels_that_are_alike_are_one(files, tmp_path, capsys):
    for name in ("dry", "squashed"):
        audio.write(
            tmp_path / f"{name}.wav", audio.read(files / f"{name}.wav").samples.repeat(2, 0), RATE, subtype="FLOAT"
        )
    assert fit(tmp_path, "squashed.wav", "-o", tmp_path / "box", "--knee", "hard", effect="compressor") == 0
    said = capsys.readouterr()
    assert "the first is used" in said.err and "detectors" not in said.out


WRONG_COMPRESSORS = {
    "never compressed": (("plain.wav", "-o", "out"), "never compressed"),
    "a phaser": (("wet.wav", "-o", "out"), "not a compressor"),
    "too short": (("squashed.wav", "-o", "out", "--train", "0:0.5"), "too short"),
    "less than a second": (("short.wav", "-o", "out"), "short.wav"),
    "a part beyond the end": (("squashed.wav", "-o", "out", "--train", "0:60"), "--train"),
}


@pytest.mark.usefixtures("two_structures")
@pytest.mark.parametrize("mistake", WRONG_COMPRESSORS)
def test_what_is_no_compressor_is_said_with_exit_code_2(mistake, files, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    arguments, words = WRONG_COMPRESSORS[mistake]
    assert fit(files, *arguments, "--knee", "hard", effect="compressor") == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


WRONG = {
    "a missing file": (("gone.wav", "-o", "out"), "gone.wav"),
    "no phaser": (("plain.wav", "-o", "out", "--stages", 4, "--loop-delay", 0), "nothing sweeps as a phaser does"),
    "a part beyond the end": (("wet.wav", "-o", "out", "--train", "0:60"), "--train"),
    "a folder with other things in it": (("wet.wav", "-o", "."), "other files"),
    "a file for a folder": (("wet.wav", "-o", "dry.wav"), "is a file"),
}


@pytest.mark.parametrize("mistake", WRONG)
def test_mistakes_are_named_and_nothing_is_left_behind(mistake, files, monkeypatch, capsys):
    monkeypatch.chdir(files)
    before = sorted(files.iterdir())
    arguments, words = WRONG[mistake]
    assert fit(files, *arguments) == 2
    assert words in capsys.readouterr().err
    assert sorted(files.iterdir()) == before


@pytest.mark.parametrize(
    "arguments", [[], ["fit"], ["fit", "phaser"], ["fit", "phaser", "a", "b", "-o", "c", "--train", "x"]]
)
def test_what_is_missing_is_said_with_exit_code_2(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage" in capsys.readouterr().err
