"""A results folder as a training writes it: small, and with every part that the page knows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

RATE = 22050
SECONDS = 1.5


def write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")


RUN = {
    "title": "A phaser",
    "subtitle": "from a recording",
    "command": "python train.py experiment=phaser",
    "created": "2025-05-04T09:30:00",
    "seconds": 192.0,
    "versions": {"diffapf": "0.1.0"},
    "findings": ["A phaser of 4 stages."],
    "notes": ["The recording was early."],
    "citations": ["An Author, A Paper, 2024."],
}


def write_results(folder: Path) -> None:
    """Write a full results folder: two parts, three tracks of different noise in each."""
    folder.mkdir()
    write_json(folder / "run.json", RUN)
    metrics = {"test/esr_td": 0.0041, "test/esr_fs": 0.2, "fs:test/esr_td": 0.06, "train/esr_td": 5e-4, "test/mss": 0.3}
    write_json(folder / "metrics.json", metrics)
    history = "step,seconds,train/esr,val/esr,fs:train/esr\n0,0.1,1.1,1.2,1.3\n1,0.2,0.5,,0.6\n2,0.3,0.1,0.2,\n"
    (folder / "history.csv").write_text(history)
    rate = {
        "name": "lfo.rate",
        "value": 0.3,
        "unit": "Hz",
        "minimum": 0.1,
        "maximum": 10,
        "taper": "log",
        "truth": 0.31,
    }
    write_json(folder / "parameters.json", [rate, {"name": "mix", "value": 0.5}])
    notch = {
        "title": "Notch",
        "x": {"label": "Time", "unit": "s"},
        "y": {"label": "Frequency", "unit": "Hz", "scale": "log"},
        "series": [{"name": "first notch", "x": [0, 0.5, 1.0], "y": [200, 2000, 200]}],
        "over": "test/prediction",
    }
    shape = {
        "title": "LFO shape",
        "x": {"label": "Phase", "unit": "cycles"},
        "y": {"label": "Depth", "unit": ""},
        "series": [{"name": "lamp", "x": [0, 0.5, 1], "y": [0, 1, None], "style": "dashed"}],
        "caption": "The lamp is slow.",
    }
    write_json(folder / "curves.json", [notch, shape])
    noise = np.random.default_rng(0).uniform(-0.4, 0.4, (3, round(RATE * SECONDS)))
    for part in ("test", "train"):
        (folder / "audio" / part).mkdir(parents=True)
        for name, samples in zip(("dry", "target", "prediction"), noise, strict=True):
            soundfile.write(folder / "audio" / part / f"{name}.wav", samples, RATE, subtype="FLOAT")


@pytest.fixture
def run() -> dict:
    """The content of run.json, to be changed."""
    return dict(RUN)


@pytest.fixture
def results_folder(tmp_path: Path) -> Path:
    """A full results folder, to be changed."""
    write_results(tmp_path / "results")
    return tmp_path / "results"


@pytest.fixture(scope="session")
def shared_results_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A full results folder, to be left as it is."""
    folder = tmp_path_factory.mktemp("report") / "results"
    write_results(folder)
    return folder
