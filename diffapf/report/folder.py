"""Writing a results folder: what recipes and commands have in common. `results.py` says what it holds."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from torch import Tensor

from diffapf import audio
from diffapf.parameters import ParameterSpec

HEARD_SECONDS = 10.0  # of each part, on the page
PAPER = (
    "C.-Y. Yu, C. Mitcheltree, A. Carson, S. Bilbao, J. D. Reiss, G. Fazekas, “Differentiable All-pole Filters for "
    "Time-varying Audio Systems”, DAFx 2024."
)


def write_json(path: Path, content: Any) -> None:
    """Written under another name and renamed: there is never half a file."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")
    part.replace(path)


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


def series(name: str, x: Tensor, y: Tensor, style: str = "line") -> dict[str, Any]:
    """A line of a curve in `curves.json`."""
    return {"name": name, "x": x.tolist(), "y": y.tolist(), "style": style}


def write_tracks(folder: Path, tracks: Mapping[str, Tensor], sample_rate: int) -> None:
    """A part's tracks, `(channels, time)`, and what the prediction leaves of the target."""
    folder.mkdir(parents=True, exist_ok=True)
    difference = {"difference": tracks["target"] - tracks["prediction"]}
    for name, track in (dict(tracks) | difference).items():
        audio.write(folder / f"{name}.wav", track, sample_rate, subtype="FLOAT")
