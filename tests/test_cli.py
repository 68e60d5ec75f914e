"""The command `diffapf`, as a user types it, and mistypes it."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import soundfile
import torch

from diffapf import (
    Compressor,
    Effect,
    Equalizer,
    LevellingAmplifier,
    MetalPlate,
    Phaser,
    PingPongDelay,
    Plate,
    audio,
)
from diffapf.cli import main
from diffapf.identification import acid_fit, compressor_fit, levelling_amplifier_fit, phaser_fit
from diffapf.identification.compressor_structures import structures
from diffapf.identification.levelling_amplifier_structures import CELLS, OUTPUTS
from diffapf.synths.patch import AcidPatch
from tests.identification.synthetic import Truth, plucks, vowel

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


def test_two_files_become_an_equalizer_and_a_report(files, tmp_path, capsys):
    equalizer = Equalizer(RATE)
    equalizer.set_parameters({"bands.peak1.gain_db": 6.0, "bands.highpass.frequency_hz": 90.0, "bands.lowpass.q": 2.0})
    dry = torch.from_numpy(audio.read(files / "dry.wav").samples)
    with torch.no_grad():
        audio.write(tmp_path / "equalised.wav", equalizer(dry), RATE, subtype="FLOAT")
    arguments = [
        "fit",
        "equalizer",
        str(files / "dry.wav"),
        str(tmp_path / "equalised.wav"),
        "-o",
        str(tmp_path / "eq"),
    ]
    assert main(arguments) == 0
    said = capsys.readouterr().out
    assert "an equaliser, within" in said and "bands.peak1.gain_db = " in said
    assert json.loads((tmp_path / "eq" / "metrics.json").read_text())["test/esr_plain"] < 1e-4
    curves = json.loads((tmp_path / "eq" / "curves.json").read_text())
    assert [curve["title"] for curve in curves] == ["Frequency response", "Bands"]
    assert (tmp_path / "eq" / "report.html").stat().st_size > 10_000
    assert isinstance(Effect.load(tmp_path / "eq" / "model.yaml"), Equalizer)


@pytest.fixture(scope="module")
def delayed(tmp_path_factory):
    """A mono dry file, and what delays and others make of it."""
    folder = tmp_path_factory.mktemp("delays")
    dry = plucks(4, RATE)
    hidden = PingPongDelay(RATE, 234.567, 0.4, 0.5, 3000.0, odd_pan=0.9, even_pan=0.2).double()
    longer = PingPongDelay(RATE, 1300.0, 0.2, 0.5, times_ms=(100.0, 1500.0)).double()
    with torch.no_grad():
        wet, far = dry + hidden(dry), dry + longer(dry)
    noise = 0.1 * torch.randn(2, len(dry), generator=torch.Generator().manual_seed(0))
    late = torch.cat([torch.zeros(2, 321), wet[:, :-321]], 1)
    signals = {
        "dry": dry,
        "late": late,
        "quieter": 0.5 * dry,
        "silent": 0 * dry,
        "noise": noise,
        "far": far,
        "stereo": late,
    }
    for name, signal in signals.items():
        audio.write(folder / f"{name}.wav", torch.atleast_2d(signal), RATE, subtype="FLOAT")
    audio.write(folder / "rate.wav", wet, 2 * RATE, subtype="FLOAT")
    hidden.save(folder / "hidden.yaml")
    return folder


def test_two_files_become_a_delay_and_a_report(delayed, tmp_path, capsys):
    assert fit(delayed, "late.wav", "-o", tmp_path / "echo", effect="delay") == 0
    said = capsys.readouterr().out
    assert "a ping-pong delay of 234.567 ms, and the sound itself times 1 and 1" in said
    assert "321 samples late; compensated" in said and "delay.time_ms = " in said and "report.html" in said
    metrics = json.loads((tmp_path / "echo" / "metrics.json").read_text())
    assert metrics["test/esr_plain"] < 1e-6 and metrics["direct/right"] == pytest.approx(1.0, abs=1e-3)
    found, hidden = (
        PingPongDelay.load(file).double() for file in (tmp_path / "echo" / "model.yaml", delayed / "hidden.yaml")
    )
    values = {spec.name: spec.value for spec in found.parameters_spec()}
    assert values == pytest.approx({spec.name: spec.value for spec in hidden.parameters_spec()}, rel=5e-3)
    errors = {
        each["name"]: each["standard_error"] for each in json.loads((tmp_path / "echo" / "parameters.json").read_text())
    }
    assert 0 < errors["time_ms"] < 1e-2
    (curve,) = json.loads((tmp_path / "echo" / "curves.json").read_text())
    recording, model = (torch.tensor(line["y"]) for line in curve["series"])
    loud = recording > -30
    assert recording.max() == 0 and (recording - model)[loud].abs().max() < 0.5
    assert audio.read(tmp_path / "echo" / "audio" / "test" / "prediction.wav").samples.shape[0] == 2
    assert (tmp_path / "echo" / "report.html").stat().st_size > 10_000
    assert not (tmp_path / "echo" / "stages").exists()


WRONG_DELAYS = {
    "no repeat": (("dry.wav", "quieter.wav"), "there is no repeat"),
    "another sound": (("dry.wav", "noise.wav"), "noise.wav was not fitted: "),
    "a silent file": (("dry.wav", "silent.wav"), "silent.wav is silent"),
    "a delay beyond the range": (("dry.wav", "far.wav"), "times between 100 and 1000 ms were looked for"),
    "rates that differ": (("dry.wav", "rate.wav"), "the sample rates differ"),
    "a stereo dry file": (("stereo.wav", "late.wav"), "the dry file is stereo"),
    "a range that is none": (("dry.wav", "late.wav", "--times", "500:200"), "times_ms must be two times"),
}


@pytest.mark.parametrize("mistake", WRONG_DELAYS)
def test_what_is_no_delay_is_said_with_exit_code_2(mistake, delayed, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(delayed)
    (*arguments,), words = WRONG_DELAYS[mistake]
    assert main(["fit", "delay", *arguments, "-o", str(tmp_path / "out")]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_response_becomes_a_plate_and_a_report(tmp_path, capsys):
    steel = MetalPlate(height_m=1.3, thickness_mm=3.0, t60_s=(3.0, 0.5), highest_hz=3500.0)
    with torch.no_grad():
        response = Plate.of_metal(8000, steel).impulse_response(1.5)
    response /= response.abs().max()
    for name, channels in (("mono", response[None]), ("stereo", torch.stack([response, -response]))):
        audio.write(tmp_path / f"{name}.wav", channels, 8000, subtype="FLOAT")
    audio.write(tmp_path / "short.wav", response[:4000], 8000, subtype="FLOAT")
    audio.write(tmp_path / "silent.wav", 0 * response, 8000, subtype="FLOAT")
    folder = tmp_path / "plate"
    assert main(["fit", "plate", str(tmp_path / "mono.wav"), "-o", str(folder), "--modes", "700"]) == 0
    said = capsys.readouterr().out
    assert "a plate of" in said and "it rings for 3.00 s at 0 Hz and 0.50 s at 500 Hz" in said and "report.html" in said
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["response/esr"] < 1e-5 and metrics["response/mss"] < 0.1 and metrics["modes"] <= 700
    plate = Effect.load(folder / "model.yaml")
    with torch.no_grad():
        assert (plate.impulse_response(1.5) - response).square().sum() < 1e-4 * response.square().sum()
    assert {curve["title"] for curve in json.loads((folder / "curves.json").read_text())} == {"Decay", "Energy left"}
    assert (folder / "audio" / "response" / "prediction.wav").is_file()
    assert (folder / "report.html").stat().st_size > 10_000
    for name, words in (("stereo", "stereo"), ("short", "1 s"), ("silent", "silent"), ("none", "no file")):
        assert main(["fit", "plate", str(tmp_path / f"{name}.wav"), "-o", str(tmp_path / "other")]) == 2
        assert words in capsys.readouterr().err and not (tmp_path / "other").exists()


def test_a_recording_becomes_a_voice_that_is_sung_otherwise(tmp_path, capsys):
    pytest.importorskip("pyworld", reason="pyworld is not installed: pip install 'diffapf[voices]'")
    voice = vowel(0.5)
    audio.write(tmp_path / "voice.wav", torch.stack([voice, voice]), 24_000)
    audio.write(tmp_path / "telephone.wav", voice[::3], 8000)
    audio.write(tmp_path / "silent.wav", 0 * voice, 24_000)
    folder = tmp_path / "fitted"
    assert main(["fit", "voice", str(tmp_path / "voice.wav"), "-o", str(folder), "--steps", "2"]) == 0
    said = capsys.readouterr().out
    assert "is stereo: the mean of both channels" in said and "cents off in the mean" in said
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["voice/mss"] < metrics["voice/mss_start"] and metrics["voice/f0_cents"] < 20
    assert main(["sing", str(folder), str(tmp_path / "higher.wav"), "--set", "transpose=12"]) == 0
    assert audio.read(tmp_path / "higher.wav").samples.shape == (1, 12_000)
    for name, words in (("telephone", "8000 Hz"), ("silent", "silent"), ("none", "no file")):
        assert main(["fit", "voice", str(tmp_path / f"{name}.wav"), "-o", str(tmp_path / "other")]) == 2
        assert words in capsys.readouterr().err and not (tmp_path / "other").exists()
    for model, setting, words in (
        ("fitted", "vibrato=1", "no parameter"),
        ("nothing", "transpose=1", "there is no preset"),
    ):
        assert main(["sing", str(tmp_path / model), str(tmp_path / "not.wav"), "--set", setting]) == 2
        assert words in capsys.readouterr().err and not (tmp_path / "not.wav").exists()


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
    "a phaser": (("wet.wav", "-o", "out", "--train", "0:2"), "not a compressor"),
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


# ------------------------------------------------------------------------------------------------------------ acid synth


@pytest.fixture(scope="module")
def acid(tmp_path_factory):
    """A folder of two notes that a patch plays, both in one file with labels, the patch, and MIDI files."""
    pytest.importorskip("auraloss"), pytest.importorskip("librosa")
    mido = pytest.importorskip("mido")
    folder = tmp_path_factory.mktemp("acid")
    patch = AcidPatch(48_000, knots={"cutoff_hz": 2})
    patch.set_parameters({"cutoff.1": 2.0, "cutoff.2": 0.0, "level": 0.5})
    patch.save(folder / "patch.yaml")
    with torch.no_grad():
        sounds = [patch(torch.full((4000,), hz)) for hz in (98.0, 131.0)]
    for name, sound in zip("ab", sounds, strict=True):
        audio.write(folder / "notes" / f"{name}.wav", sound, 48_000)
    audio.write(folder / "both.wav", torch.cat(sounds), 48_000)
    (folder / "both.csv").write_text("index,midi_pitch,note_on_samples\n0,43,4000\n1,48,4000\n")
    (folder / "zero.csv").write_text("index,midi_pitch,note_on_samples\n0,43,0\n1,48,4000\n")
    text = (folder / "patch.yaml").read_text()
    (folder / "low_q.yaml").write_text(text.replace("  q: 1.5", "  q: 0.4"))
    audio.write(folder / "silent.wav", torch.zeros(4000), 48_000)
    audio.write(folder / "short.wav", sounds[0][:900], 48_000)
    for name, keys in {"tune": (40, 52), "none": (), "high": (127,)}.items():
        file = mido.MidiFile(ticks_per_beat=480)
        file.tracks.append(mido.MidiTrack())
        for key in keys:
            file.tracks[0].append(mido.Message("note_on", note=key, velocity=100))
            file.tracks[0].append(mido.Message("note_off", note=key, time=60))
        file.save(folder / f"{name}.mid")
    return folder


def test_notes_become_patches_and_a_midi_file_a_sound(acid, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["fit", "acid", str(acid / "notes"), "-o", str(out), "--steps", "3", "--knots", "3"]) == 0
    said = capsys.readouterr().out
    assert "2 notes: MSS" in said and "with another phase" in said and "report.html" in said
    assert {file.name for file in out.iterdir()} >= {"model.yaml", "metrics.json", "report.html", "audio", "patches"}
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["notes/mss"] < metrics["notes/mss_start"] and "a/mss" in metrics
    assert [curve["title"] for curve in json.loads((out / "curves.json").read_text())] == [
        "Cutoff",
        "Level",
        "Resonance",
    ]
    assert AcidPatch.load(out / "patches" / "b.yaml").knots == {"cutoff_hz": 3, "gain_db": 16}

    wav = tmp_path / "song" / "song.wav"
    render = ["render", str(out / "patches" / "a.yaml"), str(acid / "tune.mid"), str(wav)]
    assert main([*render, "--sample-rate", "44100", "--transpose", "12"]) == 0
    assert "2 notes, 0.1 s" in capsys.readouterr().out
    song = audio.read(wav)
    assert song.sample_rate == 44_100 and song.samples.shape[-1] == round(0.125 * 44_100)
    assert abs(song.samples).max() > 0.01

    assert main(["render", str(out), str(acid / "tune.mid"), str(wav)]) == 0
    assert audio.read(wav).sample_rate == 48_000


def test_labelled_notes_and_a_fit_that_is_interrupted(acid, tmp_path, capsys, monkeypatch):
    def stop(search):
        raise KeyboardInterrupt

    monkeypatch.setattr(acid_fit._Search, "turn", stop)  # after a tenth of the steps
    both = [str(acid / "both.wav"), "--labels", str(acid / "both.csv"), "-o", str(tmp_path / "out"), "--steps", "20"]
    assert main(["fit", "acid", *both, "--filter", "ladder"]) == 130
    assert {file.name for file in (tmp_path / "out" / "patches").iterdir()} == {"note-0.yaml", "note-1.yaml"}
    assert "was interrupted" in (tmp_path / "out" / "run.json").read_text()


WRONG_ACID = {
    "a missing note": (["fit", "acid", "gone.wav", "-o", "out"], "there is no file gone.wav"),
    "silence": (["fit", "acid", "silent.wav", "-o", "out"], "silent: "),
    "a short note": (["fit", "acid", "short.wav", "-o", "out"], "it needs 44 ms"),
    "missing labels": (["fit", "acid", "both.wav", "--labels", "gone.csv", "-o", "out"], "gone.csv cannot be read"),
    "a note without length": (
        ["fit", "acid", "both.wav", "--labels", "zero.csv", "-o", "out"],
        "at least 1, got 43, 0",
    ),
    "a low Q": (
        ["render", "low_q.yaml", "tune.mid", "out.wav"],
        "low_q.yaml does not fit this diffapf: q must lie from 0.5",
    ),
    "labels for a folder of files": (
        ["fit", "acid", "both.wav", "short.wav", "--labels", "both.csv", "-o", "out"],
        "--labels are for one file of notes, got 2",
    ),
    "one knot": (["fit", "acid", "both.wav", "-o", "out", "--knots", "1"], "--knots must be at least 2, got 1"),
    "no trained model": (
        ["fit", "acid", "both.wav", "-o", "out", "--model", "patch.yaml"],
        "patch.yaml is a preset of 'acidpatch', not of ['acidmatcher']",
    ),
    "a missing model": (["fit", "acid", "both.wav", "-o", "out", "--model", "gone"], "no trained extractor gone"),
    "a missing patch": (["render", "gone.yaml", "tune.mid", "out.wav"], "there is no preset gone.yaml"),
    "a missing tune": (["render", "patch.yaml", "gone.mid", "out.wav"], "there is no MIDI file gone.mid"),
    "no notes": (["render", "patch.yaml", "none.mid", "out.wav"], "none.mid has no notes to play"),
    "no MIDI": (["render", "patch.yaml", "both.csv", "out.wav"], "both.csv is not a MIDI file"),
    "too high": (
        ["render", "patch.yaml", "high.mid", "out.wav", "--transpose", "24"],
        "MIDI pitch 151, 50175.4 Hz; the oscillator plays from 5 Hz up",
    ),
    "a low rate": (
        ["render", "patch.yaml", "tune.mid", "out.wav", "--sample-rate", "0"],
        "sample_rate must be positive",
    ),
    "an unknown ending": (["render", "patch.yaml", "tune.mid", "out.mp3"], "extension .mp3"),
}


@pytest.mark.parametrize("mistake", WRONG_ACID)
def test_mistakes_with_notes_are_named(mistake, acid, monkeypatch, capsys):
    monkeypatch.chdir(acid)
    before = sorted(acid.iterdir())
    arguments, words = WRONG_ACID[mistake]
    assert main(arguments) == 2
    assert words in " ".join(capsys.readouterr().err.split())
    assert sorted(acid.iterdir()) == before


def test_an_effects_preset_is_not_played(acid, tmp_path, capsys):
    Phaser(48_000).save(tmp_path / "phaser.yaml")
    assert main(["render", str(tmp_path / "phaser.yaml"), str(acid / "tune.mid"), str(tmp_path / "a.wav")]) == 2
    assert "is a preset of Phaser, no patch: diffapf fit acid makes one" in capsys.readouterr().err


def test_process_and_info(tmp_path, capsys):
    soundfile.write(tmp_path / "in.wav", 0.1 * np.ones((500, 2)), 48_000)
    Compressor(44_100).save(tmp_path / "model.yaml")
    assert (
        main(["process", str(tmp_path), str(tmp_path / "in.wav"), str(tmp_path / "out.wav"), "--set", "curve.ratio=3"])
        == 0
    )
    assert soundfile.info(tmp_path / "out.wav").frames == 500
    assert main(["info", str(tmp_path)]) == 0
    assert "threshold_db" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"input": "nothing.wav"}, "no file"),
        ({"model": "nothing"}, "no preset"),
        ({"--set": "ratoi=3"}, "no parameter"),
    ],
)
def test_process_says_what_is_wrong(tmp_path, capsys, change, words):
    soundfile.write(tmp_path / "in.wav", 0.1 * np.ones(500), 48_000)
    Compressor(44_100).save(tmp_path / "model.yaml")
    model, source = (
        tmp_path / change.get(name, given) for name, given in (("model", "model.yaml"), ("input", "in.wav"))
    )
    target = tmp_path / "out.wav"
    assert main(["process", str(model), str(source), str(target), "--set", change.get("--set", "curve.ratio=3")]) == 2
    assert words in capsys.readouterr().err
    assert not target.exists()


def test_recordings_are_checked_and_shown(files, tmp_path, capsys):
    assert main(["check", str(files / "dry.wav"), str(files / "wet.wav"), "-o", str(tmp_path / "checked")]) == 0
    said = capsys.readouterr().out
    assert "latency" in said and "polarity" in said and "report.html" in said
    page = (tmp_path / "checked" / "report.html").read_text(encoding="utf-8")
    assert "The recordings" in page and "Alignment" in page and "filter&#39;s of dry" in page
    assert main(["check", str(files / "dry.wav"), str(files / "short.wav")]) == 2
    assert "too short to learn from" in capsys.readouterr().out
    assert main(["check", str(files / "dry.wav")]) == 2 and main(["check"]) == 2
    assert "give what came out as well" in capsys.readouterr().err


def test_a_folder_of_pairs_is_checked(files, tmp_path, capsys):
    for name, source in (("dry", "dry"), ("wet_mix=1", "wet"), ("wet_mix=0", "plain")):
        (tmp_path / f"{name}.wav").write_bytes((files / f"{source}.wav").read_bytes())
    assert main(["check", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "wet_mix=0.wav from dry.wav (mix=0)" in said and "dB, and nothing else; was the effect bypassed" in said


def test_a_signal_to_record_is_written(tmp_path, capsys):
    file = tmp_path / "capture.wav"
    assert main(["check", "--write-test-signal", str(file), "--sample-rate", "16000"]) == 0
    assert audio.read(file).duration == 40 and "diffapf check" in capsys.readouterr().out
