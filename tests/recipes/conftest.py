"""Short recordings of a known phaser, and the commands run as a user runs them."""

import runpy
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from data.signals import chirp_train
from diffapf import LFO, Phaser

ROOT = Path(__file__).parents[2]
SHORT = [
    "protocol=descent",
    "trainer.max_steps=20",
    "trainer.validate_every=10",
    "start.trials=2",
    "start.steps=3",
    "baselines=[]",
]


@pytest.fixture(scope="session")
def recording(tmp_path_factory) -> Path:
    """A folder with dry.wav and wet.wav, 6 s: chirps through a phaser at 1 Hz."""
    folder = tmp_path_factory.mktemp("recording")
    dry = chirp_train(6.0)
    with torch.no_grad():
        wet = Phaser(44_100, lfo=LFO(1.0, phase=0.5)).double()(torch.from_numpy(dry)).numpy()
    for name, track in (("dry", dry), ("wet", 0.5 * wet)):
        soundfile.write(folder / f"{name}.wav", track, 44_100, subtype="FLOAT")
    return folder


@dataclass
class Finished:
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def command(tmp_path, monkeypatch, capfd):
    """Runs a script of the repository as `python script arguments` does, but in this process: it starts in no time."""

    def run(script: str, *arguments: object, **environment: str) -> Finished:
        monkeypatch.chdir(tmp_path)
        for name, value in {"WANDB_MODE": "offline", **environment}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", [str(ROOT / script), *map(str, arguments)])
        capfd.readouterr()
        code = 0
        try:
            runpy.run_path(str(ROOT / script), run_name="__main__")
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        return Finished(code, *capfd.readouterr())

    return run


@pytest.fixture
def short_fit(command, recording, tmp_path):
    """`train.py` on the short recording, with a few steps."""

    def run(*overrides: str, folder: str = "run", **environment: str) -> tuple[Finished, Path]:
        result = command(
            "train.py",
            "experiment=phaser",
            "data=recordings",
            f"data.dry={recording / 'dry.wav'}",
            f"data.wet={recording / 'wet.wav'}",
            f"run={tmp_path / folder}",
            *SHORT,
            *overrides,
            **environment,
        )
        return result, tmp_path / folder

    return run


def tone(path: Path, rate: int = 44_100, seconds: float = 2.0, bad: float | None = None) -> Path:
    samples = 0.5 * np.sin(np.arange(round(seconds * rate)) * 0.05)
    if bad is not None:
        samples[100] = bad
    soundfile.write(path, samples, rate, subtype="FLOAT")
    return path
