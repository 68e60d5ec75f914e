"""An experiment without a start of its own: the model is found in the recordings, as `diffapf fit` finds it."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import hydra
from omegaconf import DictConfig, OmegaConf

from diffapf import audio
from diffapf.findings import Finding
from diffapf.report.plate_fit import FittedResponse
from diffapf.report.recordings import FittedRecordings, fit_recordings
from recipes import plates
from recipes.callbacks import console, progress_bar
from recipes.data import Pair, Tracks
from recipes.start_from import SETTINGS

WITHOUT_EFFECT = (
    "model",
    "method",
    "loss",
    "trainer",
    "optimizer",
    "logger",
    "start",
    "curriculum",
    "baselines",
    "dtype",
    *SETTINGS,
)
OPTIONS = {  # of `identify`, for each effect
    "phaser": ("stages", "loop_delay", "core"),
    "compressor": ("knees",),
    "equalizer": (),
    "la2a": (),
    "plate": ("modes",),
}
STEPS = 100  # of the bar


def fit(cfg: DictConfig, folder: Path, overrides: Sequence[str]) -> FittedRecordings | FittedResponse:
    """Identification, then Levenberg–Marquardt in stages, or a plate's modes; overrides: what the user has set, as typed.

    Raises ValueError for settings that only a training by descent heeds, or another effect, and where none was found.
    """
    effect = cfg.identify_as or cfg.model._target_.rpartition(".")[2].lower()
    if effect not in OPTIONS:
        raise ValueError(
            f"a {effect} is not found in this way: there are {', '.join(OPTIONS)}; of a vocal chain protocol=chunks"
        )
    _check(overrides, effect)
    settings: dict = OmegaConf.to_container(cfg.identify, resolve=True)  # type: ignore[assignment]
    options = {name: settings[name] for name in OPTIONS[effect] if settings[name] is not None}
    if effect == "plate":
        return plates.fit(cfg, folder, options)
    pair = hydra.utils.instantiate(cfg.data.source)
    if not isinstance(pair, Pair):
        raise ValueError(f"a {effect} is fitted to a dry and a wet recording: data=recordings data.dry=… data.wet=…")
    tracks = pair.tracks
    with progress_bar() as bar:
        task = bar.add_task("Fit", total=STEPS, words="reading")
        return fit_recordings(
            audio.Pair(tracks.dry.numpy(), tracks.wet.numpy(), pair.sample_rate, _findings(tracks)),
            folder,
            _fitted_part(pair),
            pair.seconds("test"),
            title=f"{cfg.name}: {tracks.title}",
            command=shlex.join(["python", *sys.argv]),
            say=lambda sentence: console.print(sentence, markup=False),
            progress=lambda stage, done: bar.update(task, completed=STEPS * done, words=stage),
            effect=effect,
            checked=tracks.checked,
            **options,
        )


def _findings(tracks: Tracks) -> tuple[Finding, ...]:
    return tuple(tracks.checked.findings) if tracks.checked else ()


def _check(overrides: Sequence[str], effect: str) -> None:
    for override in overrides:
        name = override.lstrip("+~").partition("=")[0]
        if name.partition(".")[0] in WITHOUT_EFFECT:
            raise ValueError(
                f"{override} has no effect where the model is found in the recordings (protocol=identify, the default of "
                "data=recordings): leave it out, or train by descent with protocol=descent"
            )
        if name.startswith("identify.") and name.partition(".")[2] not in OPTIONS[effect]:
            wanted = ", ".join(f"identify.{option}" for option in OPTIONS[effect]) or "none"
            raise ValueError(f"{override} is no setting of a {effect}'s identification, which takes {wanted}")


def _fitted_part(pair: Pair) -> tuple[float, float]:
    """Training and validation part together: the fit takes a validation part of its own from the end of what it gets."""
    (begin, middle), (validation, end) = pair.seconds("train"), pair.seconds("validation")
    if middle != validation:
        raise ValueError(
            f"data.validation must begin where data.train ends, at {middle:g} s, got {validation:g} s: the fit chooses on "
            "the last quarter of both together (or train by descent with protocol=descent)"
        )
    return begin, end
