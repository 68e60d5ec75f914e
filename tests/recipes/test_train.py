"""`python train.py …` end to end, with a few steps: what it leaves behind, and that it can be stopped and gone on with."""

import errno
import json
import math
import random
import re
import signal
import subprocess
import sys
import time

import pytest
import torch

from diffapf import Effect
from diffapf.identification.lateness import advanced
from tests.recipes.conftest import ROOT, SHORT


def test_a_run_leaves_metrics_preset_report_and_checkpoints(short_fit):
    result, folder = short_fit("baselines=[fs]", "trainer.baseline_steps=4", "trainer.validate_every=4")
    assert result.returncode == 0, result.stderr
    metrics = json.loads((folder / "metrics.json").read_text())
    wanted = {"test/esr_td", "test/esr_fs", "train/esr_td", "train/seconds", "param/lfo_rate_hz", "fs:test/esr_td"}
    assert wanted <= metrics.keys()
    assert all(math.isfinite(value) for value in metrics.values())
    assert metrics["train/steps"] == 20 and metrics["fs:train/steps"] == 4
    for name in ("report.html", "model.yaml", "model.pt", "history.csv", "audio/test/prediction.wav"):
        assert (folder / name).is_file(), name
    assert {path.name for path in (folder / "checkpoints" / "td").iterdir()} == {"best.ckpt", "last.ckpt"}
    last = result.stdout.strip().splitlines()[-4:]
    assert last[0].startswith("Next, try:") and last[1].endswith("plugins/diffapf_phaser")
    assert last[2].endswith("metrics.json") and last[3].endswith("report.html")


def test_the_saved_model_is_what_was_tested(short_fit, recording):
    import soundfile

    result, folder = short_fit()
    assert result.returncode == 0, result.stderr
    model = Effect.load(folder / "model.yaml").eval()
    dry, wet = (torch.from_numpy(soundfile.read(recording / f"{name}.wav")[0]) for name in ("dry", "wet"))
    with torch.no_grad():
        prediction = model(dry)
    metrics = json.loads((folder / "metrics.json").read_text())
    wet = advanced(wet, torch.tensor(metrics["train/late_samples"]))
    begin = round(4.5 * 44_100)
    error = ((prediction - wet)[begin:] ** 2).sum() / (wet[begin:] ** 2).sum()
    assert abs(float(error) / metrics["test/esr_td"] - 1) < 1e-3


def test_training_learns_the_phaser(short_fit):
    result, folder = short_fit("trainer.max_steps=250", "start.trials=4", "start.steps=25", "model.lfo.rate_hz=1.02")
    assert result.returncode == 0, result.stderr
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["test/esr_td"] < 0.01
    assert abs(metrics["param/lfo_rate_hz"] - 1.0) < 0.003


def test_the_same_seed_gives_the_same_model(short_fit):
    values = []
    for folder in ("one", "two"):
        result, run = short_fit(folder=folder)
        assert result.returncode == 0, result.stderr
        values.append(json.loads((run / "metrics.json").read_text())["test/esr_td"])
    assert values[0] == values[1]


def test_a_finished_run_goes_on_from_its_last_step(short_fit):
    assert short_fit()[0].returncode == 0
    result, folder = short_fit("trainer.max_steps=30")
    assert result.returncode == 0, result.stderr
    steps = [int(line.split(",")[0]) for line in (folder / "history.csv").read_text().splitlines()[1:]]
    assert steps == [10, 20, 30]
    assert "Trying LFO phases" not in result.stderr


def start(recording, folder, *overrides) -> subprocess.Popen:
    return subprocess.Popen(
        [
            *(sys.executable, str(ROOT / "train.py"), "experiment=phaser", "data=recordings"),
            *(f"data.dry={recording / 'dry.wav'}", f"data.wet={recording / 'wet.wav'}", f"run={folder}"),
            *SHORT,
            *overrides,
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_for(path, seconds: float = 120.0) -> None:
    until = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < until, f"{path} did not appear"
        time.sleep(0.05)


def test_ctrl_c_tests_and_reports_the_best_so_far(recording, tmp_path):
    process = start(recording, tmp_path / "run", "trainer.max_steps=100000")
    wait_for(tmp_path / "run" / "checkpoints" / "td" / "last.ckpt")
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    assert "Stopping after this step" in output
    assert "interrupted" in (tmp_path / "run" / "run.json").read_text()
    assert (tmp_path / "run" / "report.html").is_file()
    assert (tmp_path / "run" / "plugins" / "diffapf_phaser" / "phaser.c").is_file()


def test_a_folder_of_pairs_is_trained_pair_by_pair(short_fit, recording, tmp_path):
    takes = tmp_path / "takes"
    takes.mkdir()
    for name in ("dry", "wet_depth=1", "wet_depth=2"):
        (takes / f"{name}.wav").symlink_to(recording / f"{name[:3]}.wav")
    few = ["trainer.max_steps=2", "trainer.validate_every=2", "start.trials=0", "export=[]"]
    result, folder = short_fit("data.dry=", "data.wet=", f"data.folder={takes}", *few)
    assert result.returncode == 0, result.stderr
    for take in ("wet_depth=1", "wet_depth=2"):
        assert (folder / take / "model.yaml").is_file() and (folder / take / "checks.json").is_file()
        assert not (folder / take / "plugins").exists()
    assert json.loads((folder / "metrics.json").read_text())["takes"] == 2
    assert result.stdout.strip().splitlines()[-1].endswith("run/report.html")


def test_a_run_that_is_killed_at_any_moment_goes_on_to_the_same_end(recording, short_fit, tmp_path):
    steps = "trainer.max_steps=80"
    began = time.monotonic()
    whole, folder = short_fit(steps, folder="whole")
    assert whole.returncode == 0, whole.stderr
    lasted = time.monotonic() - began
    process = start(recording, tmp_path / "run", steps)
    wait_for(tmp_path / "run" / "checkpoints" / "td" / "last.ckpt")
    moment = random.uniform(0, 0.7 * lasted)
    time.sleep(moment)
    process.kill()
    process.communicate()
    result, killed = short_fit(steps)
    assert result.returncode == 0, result.stderr
    metrics, as_whole = (json.loads((place / "metrics.json").read_text()) for place in (killed, folder))
    assert metrics["train/steps"] == 80
    assert abs(metrics["test/esr_td"] / as_whole["test/esr_td"] - 1) < 0.01, (
        f"killed {moment:.2f} s after its first checkpoint"
    )


def test_a_full_disk_keeps_the_last_good_checkpoint(short_fit, monkeypatch):
    from lightning.fabric.utilities import cloud_io

    assert short_fit()[0].returncode == 0

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(cloud_io.torch, "save", full)
    result, folder = short_fit("trainer.max_steps=40")
    assert result.returncode == 2
    assert "No space left on device. The last good checkpoint is kept" in result.stderr
    assert torch.load(folder / "checkpoints" / "td" / "last.ckpt", weights_only=False)["global_step"] == 20


def test_a_folder_that_is_a_file(short_fit, tmp_path):
    (tmp_path / "run").touch()
    result, _ = short_fit()
    assert result.returncode == 2 and "is a file; give a folder" in result.stderr


def test_fine_tuning_sets_out_from_an_earlier_model(short_fit, tmp_path):
    assert short_fit("start.trials=0", folder="earlier")[0].returncode == 0
    earlier = Effect.load(tmp_path / "earlier" / "model.yaml")
    values = {spec.name: spec.value for spec in earlier.parameters_spec()}
    for where in (f"ckpt={tmp_path / 'earlier'}", f"preset={tmp_path / 'earlier' / 'model.yaml'}"):
        name = where[:4]
        result, folder = short_fit(
            where,
            "freeze=[lfo.rate,feedback]",
            "start.trials=0",
            "trainer.max_steps=2",
            "trainer.validate_every=1",
            folder=name,
        )
        assert result.returncode == 0, result.stderr
        after = {spec.name: spec.value for spec in Effect.load(folder / "model.yaml").parameters_spec()}
        moved = {key for key in values if abs(after[key] - values[key]) > 1e-9 * max(1, abs(values[key]))}
        assert "lfo.rate_hz" not in moved and "feedback" not in moved and moved
        near = {key: abs(after[key] - values[key]) for key in values if key not in ("lfo.phase",)}
        assert max(near.values()) < 0.1 * max(abs(value) for value in values.values())


WRONG_STARTS = {
    "freeze=[lfo.rat]": "there is no parameter 'lfo.rat'; did you mean lfo.rate",
    "ckpt=nowhere": "there is no checkpoint nowhere",
    "preset=nowhere.yaml": "there is no preset nowhere.yaml",
}


@pytest.mark.parametrize("setting", WRONG_STARTS)
def test_a_start_that_there_is_not(short_fit, setting):
    result, _ = short_fit(setting)
    assert result.returncode == 2 and WRONG_STARTS[setting] in result.stderr


def test_stereo_and_named_parts(command, recording, tmp_path):
    import numpy as np
    import soundfile

    wet, rate = soundfile.read(recording / "wet.wav")
    soundfile.write(tmp_path / "stereo.wav", np.stack([wet, -wet], 1), rate, subtype="FLOAT")
    arguments = [f"data.dry={recording / 'dry.wav'}", f"data.wet={tmp_path / 'stereo.wav'}", f"run={tmp_path / 'run'}"]
    result = command(
        "train.py", "experiment=phaser", "data=recordings", *arguments, *SHORT, "data.train=[1,4]", "data.test=[4,5.5]"
    )
    assert result.returncode == 0, result.stderr
    description = json.loads((tmp_path / "run" / "run.json").read_text())
    assert "train 1–3.7 s, validation 3.7–4 s, test 4–5.5 s" in description["subtitle"]
    findings = json.loads((tmp_path / "run" / "checks.json").read_text())["findings"]
    assert any("mono" in finding["cause"] for finding in findings if finding["check"] == "channels")


def test_recordings_become_a_model_without_a_start(command, recording, tmp_path):
    files = [f"data.{name}={recording / f'{name}.wav'}" for name in ("dry", "wet")]
    options = ["data.train=[0,4]", "identify.stages=4", "identify.loop_delay=0", f"run={tmp_path / 'run'}"]
    result = command("train.py", "experiment=phaser", "data=recordings", *files, *options)
    assert result.returncode == 0, result.stderr
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["test/esr_constant"] < 1e-4
    assert "a phaser of 4 stages at 1" in result.stdout
    assert result.stdout.strip().splitlines()[-1].endswith("report.html")
    description = json.loads((tmp_path / "run" / "run.json").read_text())
    assert "train 0–4 s, test 4–6 s" in description["subtitle"]
    assert Effect.load(tmp_path / "run" / "model.yaml").stages == 4


def test_least_squares_in_a_few_steps_that_go_on(short_fit):
    """Four of its steps are worth more than hundreds of Adam's; the damping is part of the checkpoint."""
    settings = ["optimizer=lm", "model=phaser_fourier", "model.filter_order=2", "model.delay_us=0", "start.steps=20"]
    for steps in (2, 4):
        result, folder = short_fit(*settings, f"trainer.max_steps={steps}", "trainer.validate_every=1")
        assert result.returncode == 0, result.stderr
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["test/esr_td"] < 1e-4 and metrics["train/steps"] == 4
    assert not any(name.startswith("fs:") for name in metrics)
    last = torch.load(folder / "checkpoints" / "td" / "last.ckpt", weights_only=False)
    assert 0 < last["optimizer_states"][0]["param_groups"][0]["damping"] < 1e-3


def test_logging_to_wandb_works_offline(short_fit):
    result, folder = short_fit("logger=wandb", "logger.offline=true")
    assert result.returncode == 0, result.stderr
    assert re.search(r"offline-run", "\n".join(map(str, folder.rglob("*"))))
