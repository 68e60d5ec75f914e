"""A user's mistakes end with exit code 2 and a line that says what came and what is needed, not with a traceback."""

import pytest

from tests.recipes.conftest import tone


def fails(result, *words: str) -> None:
    assert result.returncode == 2, result.stdout + result.stderr
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ") and "Traceback" not in result.stderr
    for word in words:
        assert word in last, last


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ([], ["name an experiment", "phaser"]),
        (["experiment=phasor"], ["no experiment 'phasor'", "did you mean experiment=phaser?"]),
        (["experiment=compressor", "data=FF-Q"], ["no data 'FF-Q'", "FF-A"]),
        (["experiment=compressor", "protocol=paper"], ["protocol=paper is a phaser's", "protocol=compressor_paper"]),
        (
            ["experiment=phaser", "protocol=compressor_paper"],
            ["protocol=compressor_paper is a compressor's", "protocol=paper"],
        ),
        (["experiment=compressor", "start.trials=4"], ["start.trials must be 0", "LFO", "4"]),
        (["experiment=compressor", "model.ratio=0.5"], ["ratio", "at least 1", "0.5"]),
        (["experiment=compressor", "optimizer=sgd", "optimizer.momentum=1"], ["optimizer.momentum", "1"]),
        (["experiment=compressor", "optimizer=newton", "optimizer.strategy=rev"], ["optimizer.strategy", "rev-rev"]),
        (["experiment=compressor", "programme.seconds=10"], ["data.train", "10 s"]),
        (["experiment=phaser", "data=SS-Q"], ["no data 'SS-Q'", "SS-A"]),
        (["experiment=phaser", "optimizer.learning_rate=1"], ["learning_rate"]),
        (["experiment=phaser", "optimizer.lr=-1"], ["optimizer.lr", "positive", "-1"]),
        (["experiment=phaser", "optimizer.lr=fast"], ["optimizer.lr", "fast"]),
        (["experiment=phaser", "model.core=paprika"], ["core", "paprika", "cascade"]),
        (["experiment=phaser", "data=recordings"], ["data.dry is missing"]),
        (["experiment=phaser", "trainer.max_steps=0"], ["trainer.max_steps", "0"]),
        (["experiment=phaser", "dtype=int8"], ["dtype", "int8", "float64"]),
        (["experiment=phaser", "optimizer=lm", "method=fs"], ["optimizer=lm", "method=td", "method=fs"]),
        (["experiment=phaser", "optimizer=lm", "protocol=paper"], ["optimizer=lm", "protocol=paper is Adam's"]),
        (["experiment=phaser", "optimizer=lm", "model.align_corners=true"], ["optimizer=lm", "model.align_corners"]),
        (["experiment=phaser", "optimizer=lm", "loss.pre_emphasis=0.9"], ["loss.pre_emphasis", "0.9"]),
        (["experiment=phaser", "optimizer=lm", "optimizer.iterations=0"], ["optimizer.iterations", "0"]),
        (["experiment=phaser", "optimizer=lm", "optimizer.damping=-1"], ["optimizer.damping", "positive", "-1"]),
        (
            ["experiment=phaser", "data=recordings", "model.lfo.rate_hz=1.2"],
            ["model.lfo.rate_hz=1.2 has no effect", "protocol=descent"],
        ),
        (["experiment=phaser", "data=recordings", "optimizer=lm"], ["optimizer=lm has no effect", "protocol=descent"]),
    ],
)
def test_mistakes_in_settings(command, tmp_path, overrides, words):
    fails(command("train.py", *overrides, f"run={tmp_path / 'run'}"), *words)


def mistaken_file(folder, kind):
    path = folder / "bad.wav"
    if kind == "empty":
        path.touch()
    elif kind == "text":
        path.write_text("no audio here")
    elif kind == "rate":
        tone(path, rate=48_000)
    elif kind == "nan":
        tone(path, bad=float("nan"))
    return path


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("missing", ["there is no file", "bad.wav"]),
        ("empty", ["bad.wav is empty"]),
        ("text", ["bad.wav is not audio"]),
        ("rate", ["44100", "48000"]),
        ("nan", ["NaN"]),
    ],
)
def test_mistakes_in_recordings(command, tmp_path, kind, words):
    dry, wet = tone(tmp_path / "dry.wav"), mistaken_file(tmp_path, kind)
    overrides = ["experiment=phaser", "data=recordings", f"data.dry={dry}", f"data.wet={wet}"]
    fails(command("train.py", *overrides, f"run={tmp_path / 'run'}"), *words)


def test_mistakes_in_a_folder_of_pairs(command, tmp_path):
    takes = tmp_path / "takes"
    takes.mkdir()
    overrides = ["experiment=phaser", "data=recordings", f"data.folder={takes}", f"run={tmp_path / 'run'}"]
    fails(command("train.py", *overrides), "has no pairs")
    tone(takes / "a_dry.wav"), tone(takes / "a_wet.wav", rate=48_000)
    fails(command("train.py", *overrides), "a_wet.wav", "48000")
    fails(command("train.py", *overrides, f"data.dry={takes / 'a_dry.wav'}"), "leave out data.dry")


def test_a_format_that_there_is_not(command, tmp_path):
    fails(command("train.py", "experiment=phaser", "export=[vst2]", f"run={tmp_path / 'run'}"), "vst2", "vst3")


def test_a_part_beyond_the_file(command, tmp_path):
    dry, wet = tone(tmp_path / "dry.wav"), tone(tmp_path / "wet.wav", seconds=2.0)
    overrides = ["experiment=phaser", "data=recordings", f"data.dry={dry}", f"data.wet={wet}", "data.train=[0,16]"]
    fails(command("train.py", *overrides, f"run={tmp_path / 'run'}"), "data.train", "2 s")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["table=phasers"], ["table=phasers", "phaser"]),
        (["table=phaser", "budget=huge"], ["budget=huge", "quick"]),
        (["table=phaser", "cluster=cloud"], ["cluster=cloud", "slurm"]),
        (["table=phaser", "settings=[SS-Z]"], ["SS-Z", "SS-A"]),
        (["table=acid", "trainings=[FS]"], ["FS", "FS 128"]),
        (["tables=phaser"], ["tables"]),
    ],
)
def test_mistakes_in_a_table(command, tmp_path, arguments, words):
    fails(command("scripts/reproduce.py", *arguments, f"folder={tmp_path}"), *words)
