"""The results folder: what it holds, and how it is read.

| file | holds | needed |
| --- | --- | --- |
| `run.json` | `Run`: title, command, created (ISO 8601), seconds, versions, and optional fields | yes |
| `metrics.json` | `{"test/esr_td": 0.0012, "fs:test/esr_td": 0.02, "train/seconds": 183}`, ESR as fractions | yes |
| `history.csv` | `step,seconds,train/esr,val/esr,fs:train/esr,…`; cells may be empty | no |
| `parameters.json` | list of `Parameter` | no |
| `curves.json` | list of `Curve` | no |
| `checks.json` | `{"findings": [Finding, …], "curves": [Curve, …]}` of the recordings | no |
| `audio/<part>/<track>.flac` or `.wav` | `dry`, `target`, `prediction`, `difference`, and any other names | no |

A column `param/<name>` of the history is the way of a parameter of `parameters.json`, in its unit.

A name before a colon (`fs:`) is a baseline: a model that was trained another way. Numbers may be `NaN`, `Infinity` or
null; the page shows them as such.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from diffapf.findings import Finding
from diffapf.report.audio import Part, read_parts

PARAMETER = "param"
"""Before the slash of a history's columns of parameters."""


@dataclass(frozen=True)
class Run:
    """What was run, when, and for how long; `findings` are sentences on what came out, `notes` on what to beware of."""

    title: str
    command: str
    created: str
    seconds: float
    versions: dict[str, str]
    subtitle: str = ""
    findings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    citations: list[str] = field(default_factory=list)
    headline: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class History:
    """The training history: one array per column of `history.csv`, NaN where a cell is empty."""

    step: np.ndarray
    columns: dict[str, np.ndarray]


@dataclass(frozen=True)
class Parameter:
    """One named parameter in real units, with its range and taper where it has them."""

    name: str
    value: float
    unit: str = ""
    label: str = ""
    minimum: float | None = None
    maximum: float | None = None
    taper: str = "linear"
    standard_error: float | None = None
    truth: float | None = None


@dataclass(frozen=True)
class Axis:
    """An axis of a curve; `scale` is "linear" or "log"."""

    label: str
    unit: str = ""
    scale: str = "linear"


@dataclass(frozen=True)
class Series:
    """One line of a curve; `style` is "line", "dashed" or "points"."""

    name: str
    x: np.ndarray
    y: np.ndarray
    style: str = "line"


@dataclass(frozen=True)
class Curve:
    """One plot. `over` names a track's spectrogram ("test/prediction") to draw it on: then x is in s and y in Hz."""

    title: str
    x: Axis
    y: Axis
    series: list[Series]
    caption: str = ""
    over: str = ""


@dataclass(frozen=True)
class Results:
    """A results folder in memory; what was not there is empty or None."""

    run: Run
    metrics: dict[str, float]
    history: History | None
    parameters: list[Parameter]
    curves: list[Curve]
    parts: list[Part]
    findings: list[Finding] = field(default_factory=list)
    checked_curves: list[Curve] = field(default_factory=list)


def read_results(folder: Path) -> Results:
    """Read a results folder; raises FileNotFoundError or ValueError with the name of what is wrong."""
    if not folder.is_dir():
        raise FileNotFoundError(f"no results folder at {folder}")
    for name in ("run.json", "metrics.json"):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder} is no results folder: {name} is missing")
    return Results(
        run=_read_run(folder / "run.json"),
        metrics=_read_metrics(folder / "metrics.json"),
        history=_read_history(folder / "history.csv"),
        parameters=_read_list(folder / "parameters.json", _parameter),
        curves=_read_list(folder / "curves.json", _curve),
        parts=read_parts(folder / "audio"),
        **_read_checks(folder / "checks.json"),
    )


def _read_checks(path: Path) -> dict[str, list[Any]]:
    """What was found of the recordings, and the curves of it."""
    if not path.is_file():
        return {}
    content = _read_json(path, dict)
    return {
        "findings": [
            _build(Finding, record, ("check", "level", "cause"), f"{path.name}, finding {index}")
            for index, record in enumerate(content.get("findings", []))
        ],
        "checked_curves": [
            _curve(record, f"{path.name}, curve {index}") for index, record in enumerate(content.get("curves", []))
        ],
    }


def _read_run(path: Path) -> Run:
    run = _build(Run, _read_json(path, dict), ("title", "command", "created", "seconds", "versions"), path.name)
    return replace(run, seconds=_number(run.seconds, f"{path.name}: seconds"))


def _read_metrics(path: Path) -> dict[str, float]:
    metrics = _read_json(path, dict)
    return {name: _number(value, f"{path.name}: {name}") for name, value in metrics.items()}


def _read_history(path: Path) -> History | None:
    if not path.is_file():
        return None
    with path.open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        if "step" not in (rows.fieldnames or ()):
            raise ValueError(f"{path.name}: the header needs a column 'step', and is {rows.fieldnames}")
        names = [name for name in rows.fieldnames or () if name]
        table = [[_cell(row[name], f"{path.name}, line {rows.line_num}: {name}") for name in names] for row in rows]
    columns = dict(zip(names, np.array(table, dtype=float).reshape(-1, len(names)).T, strict=True))
    return History(step=columns.pop("step"), columns=columns)


def _cell(text: str | None, where: str) -> float:
    # None: a row that ends early, as the last one does when a run was killed while writing it.
    return _number(text.strip() or None if text is not None else None, where)


def _parameter(record: Any, where: str) -> Parameter:
    parameter = _build(Parameter, record, ("name", "value"), where)
    where = f"{where} ({parameter.name})"
    _one_of(parameter.taper, ("linear", "log"), f"{where}: taper")
    optional = ("minimum", "maximum", "standard_error", "truth")
    names = ["value", *(name for name in optional if getattr(parameter, name) is not None)]
    return replace(parameter, **{name: _number(getattr(parameter, name), f"{where}: {name}") for name in names})


def _curve(record: Any, where: str) -> Curve:
    curve = _build(Curve, record, ("title", "x", "y", "series"), where)
    where = f"{where} ({curve.title})"
    x, y = (_axis(getattr(curve, name), f"{where}: {name}") for name in ("x", "y"))
    series = [_series(entry, f"{where}: series {index}") for index, entry in enumerate(curve.series)]
    return Curve(curve.title, x, y, series, curve.caption, curve.over)


def _axis(record: Any, where: str) -> Axis:
    axis = _build(Axis, record, ("label",), where)
    _one_of(axis.scale, ("linear", "log"), f"{where}: scale")
    return axis


def _series(record: Any, where: str) -> Series:
    series = _build(Series, record, ("name", "x", "y"), where)
    x, y = (np.array([_number(v, f"{where}: {axis}") for v in getattr(series, axis)]) for axis in ("x", "y"))
    if len(x) != len(y):
        raise ValueError(f"{where} ({series.name}): x has {len(x)} values and y has {len(y)}; they need as many")
    _one_of(series.style, ("line", "dashed", "points"), f"{where}: style")
    return Series(series.name, x, y, series.style)


def _read_list(path: Path, read: Any) -> list[Any]:
    if not path.is_file():
        return []
    return [read(record, f"{path.name}, entry {index}") for index, record in enumerate(_read_json(path, list))]


def _read_json(path: Path, kind: type) -> Any:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path.name} is not valid JSON: {error}") from error
    if not isinstance(content, kind):
        raise ValueError(f"{path.name} holds a {type(content).__name__}; it needs a {kind.__name__}")
    return content


def _build(kind: Any, record: Any, needed: Iterable[str], where: str) -> Any:
    """Make the dataclass `kind` of a JSON object; a field that is null keeps its default, unknown ones are ignored."""
    if not isinstance(record, dict):
        raise ValueError(f"{where}: is a {type(record).__name__}; it needs to be an object")
    missing = [name for name in needed if name not in record]
    if missing:
        raise ValueError(f"{where}: {', '.join(missing)} is missing")
    known = {f.name for f in fields(kind)}
    given = {name: value for name, value in record.items() if name in known}
    return kind(**{name: value for name, value in given.items() if value is not None or name in needed})


def _number(value: Any, where: str) -> float:
    if value is None:
        return math.nan
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{where}: {value!r} is not a number") from None


def _one_of(value: str, allowed: tuple[str, ...], where: str) -> None:
    if value not in allowed:
        raise ValueError(f"{where} is {value!r}; it needs to be one of {', '.join(allowed)}")
