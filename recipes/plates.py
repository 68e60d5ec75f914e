"""The impulse responses that plates are fitted to, and the fit."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import hydra
from omegaconf import DictConfig

from data.cache import plate_response
from data.signals import SAMPLE_RATE
from diffapf import audio
from diffapf.report.plate_fit import FittedResponse, fit_response
from recipes.callbacks import progress_bar

STEPS = 100  # of the bar


def response(setting: str, path: str = "") -> audio.Recording:
    """A recorded impulse response, or without a path that of an embedded plate."""
    if path:
        return audio.read(path)
    return audio.Recording(plate_response(setting)[None], SAMPLE_RATE, Path(setting))


def fit(cfg: DictConfig, folder: Path, options: dict[str, Any]) -> FittedResponse:
    """The plate of a config's response, as a results folder; raises ValueError where the data are no response."""
    recording = hydra.utils.instantiate(cfg.data.source)
    if not isinstance(recording, audio.Recording):
        raise ValueError("a plate is fitted to an impulse response: data=plate, and data.response=… for your own")
    with progress_bar() as bar:
        task = bar.add_task("Fit", total=STEPS, words="reading")
        return fit_response(
            recording,
            folder,
            title=f"{cfg.name}: {recording.path.name}",
            command=shlex.join(["python", *sys.argv]),
            progress=lambda stage, done: bar.update(task, completed=STEPS * done, words=stage),
            **options,
        )
