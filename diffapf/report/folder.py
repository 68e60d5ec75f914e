"""Writing a results folder: what recipes and commands have in common. `results.py` says what it holds."""

from __future__ import annotations

import csv
import json
import platform
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from diffapf import audio
from diffapf.effects.effect import Effect
from diffapf.identification.prefiltered_pair import Part
from diffapf.identification.spans import Span
from diffapf.model import Model
from diffapf.parameters import ParameterSpec
from diffapf.report import write_report
from diffapf.report.results import PARAMETER

HEARD_SECONDS = 10.0  # of each part, on the page
USUAL_PACKAGES = ("diffapf", "torch", "numba", "numpy")
PAPER = (
    "C.-Y. Yu, C. Mitcheltree, A. Carson, S. Bilbao, J. D. Reiss, G. Fazekas, “Differentiable All-pole Filters for "
    "Time-varying Audio Systems”, DAFx 2024."
)


def write_json(path: Path, content: Any) -> None:
    """Written under another name and renamed: there is never half a file."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")
    part.replace(path)


def run_record(
    title: str,
    subtitle: str,
    command: str,
    seconds: float,
    headline: Sequence[str],
    findings: Sequence[str] = (),
    notes: Sequence[str] = (),
    packages: Sequence[str] = (),
) -> dict[str, Any]:
    """The content of `run.json`, of a run that ends now; packages: those of which the version counts beside the usual."""
    return {
        "title": title,
        "subtitle": subtitle,
        "command": command,
        "created": datetime.now().astimezone().isoformat(timespec="seconds"),
        "seconds": round(seconds, 1),
        "versions": versions((*USUAL_PACKAGES, *packages)),
        "findings": list(findings),
        "notes": list(notes),
        "citations": [PAPER],
        "headline": list(headline),
    }


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Of Python and those of the packages that are installed."""
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def parameter_record(spec: ParameterSpec, **more: float | None) -> dict[str, Any]:
    """An entry of `parameters.json`; more: its standard_error, its truth."""
    known = {name: value for name, value in more.items() if value is not None}
    names = ("name", "value", "unit", "minimum", "maximum", "taper")
    return {name: getattr(spec, name) for name in names} | known


def of_parameters(values: Mapping[str, float]) -> dict[str, float]:
    """Parameters as columns of a history, which the page draws as their way."""
    return {f"{PARAMETER}/{name}": value for name, value in values.items()}


def fit_subtitle(train: Span, test: Span) -> str:
    """The parts of a fit, and how it was made."""
    spans = (f"{name} {part.start_s:.3g}–{part.stop_s:.3g} s" for name, part in (("train", train), ("test", test)))
    return f"{', '.join(spans)} · Levenberg–Marquardt in the time domain"


def heard_tracks(effect: Effect, part: Part) -> dict[str, Tensor]:
    """What is heard of a part."""
    heard = round(HEARD_SECONDS * part.pair.sample_rate)
    tracks = {"dry": part.counted(part.dry), "target": part.counted(part.wet), "prediction": part.prediction(effect)}
    return {name: torch.atleast_2d(track)[:, :heard] for name, track in tracks.items()}


def write_folder(
    folder: Path,
    model: Model,
    *,
    metrics: Mapping[str, Any],
    parameters: Sequence[Mapping[str, Any]],
    curves: Sequence[Mapping[str, Any]],
    tracks: Mapping[str, Mapping[str, Tensor]],
    sample_rate: int,
    run: Mapping[str, Any],
    history: Sequence[Mapping[str, float]] = (),
) -> Path:
    """Writes a results folder and its page, whose path it returns.

    tracks: by part and name, `(channels, time)`; history: rows with a "step", of which not all need have all columns.
    """
    folder.mkdir(parents=True, exist_ok=True)
    model.save(folder / "model.yaml")
    for part, of_part in tracks.items():
        write_tracks(folder / "audio" / part, of_part, sample_rate)
    for name, content in (("metrics", metrics), ("parameters", parameters), ("curves", curves), ("run", run)):
        write_json(folder / f"{name}.json", content)
    if history:
        _write_history(folder / "history.csv", history)
    return write_report(folder)


def _write_history(path: Path, rows: Sequence[Mapping[str, float]]) -> None:
    names = dict.fromkeys(name for row in rows for name in row)
    first = [name for name in ("step", "seconds") if name in names]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*first, *sorted(name for name in names if name not in first)])
        writer.writeheader()
        writer.writerows(rows)


def write_tracks(folder: Path, tracks: Mapping[str, Any], sample_rate: int) -> None:
    """A part's tracks, and what the prediction leaves of the target, where it has both."""
    folder.mkdir(parents=True, exist_ok=True)
    both = {"target", "prediction"} <= tracks.keys()
    difference = {"difference": tracks["target"] - tracks["prediction"]} if both else {}
    for name, track in (dict(tracks) | difference).items():
        audio.write(folder / f"{name}.wav", track, sample_rate, subtype="FLOAT")
