"""Metrics as a reader meets them: the ESR in percent and dB with a word of judgement, laid out as a table."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

from diffapf.report.text import decibels, duration, percent, significant, spelled, with_unit

JUDGEMENTS = (
    (0.001, "excellent"),
    (0.01, "great"),
    (0.035, "good"),
    (0.1, "might sound fine"),
    (0.3, "poor"),
    (math.inf, "far off"),
)
"""An ESR below the number deserves the word: those of Neural Amp Modeler, and one at either end."""

METHODS = {
    "td": "time domain (TD)",
    "fs": "frequency sampling (FS)",
    "constant": "constant LFO rate",
    "drift": "drifting rate",
    "tracked": "LFO phase tracked",
    "prefiltered": "pre-filtered",
    "plain": "not filtered",
    "": "ESR",
}
PARTS = {"train": "Training", "val": "Validation", "validation": "Validation", "test": "Test"}
_PART_ORDER = {"Test": 0, "Validation": 1, "Training": 2}
_UNITS = {"hz": "Hz", "db": "dB", "ms": "ms", "percent": "%", "samples": "samples", "cents": "cents"}
_ESR = re.compile(r"(?:(?P<baseline>[^:]*):)?(?P<part>[^/]+)/esr(?:_(?P<method>.+))?")


@dataclass(frozen=True)
class Esr:
    """An error-to-signal ratio and what to think of it."""

    percent: str
    decibels: str
    word: str


@dataclass(frozen=True)
class Tile:
    """A headline number: an `esr`, or a plain `value`."""

    label: str
    esr: Esr | None
    value: str


@dataclass(frozen=True)
class Row:
    """A part of the data, with an ESR or None per column."""

    part: str
    cells: list[Esr | None]


@dataclass(frozen=True)
class EsrTable:
    """All ESR metrics; `columns` are methods, and `groups` the rows of each model."""

    columns: list[str]
    groups: dict[str, list[Row]]
    has_baselines: bool


def judge(fraction: float) -> Esr:
    """An ESR as text with its word from `JUDGEMENTS`."""
    word = next(
        (word for limit, word in JUDGEMENTS if fraction < limit), "invalid" if math.isnan(fraction) else "far off"
    )
    return Esr(percent(fraction), decibels(fraction), word)


def esr_table(metrics: dict[str, float]) -> EsrTable | None:
    """Lay out the metrics `[<baseline>:]<part>/esr[_<method>]`; None where there are none."""
    cells = {key: judge(value) for name, value in metrics.items() if (key := _esr_key(name)) is not None}
    if not cells:
        return None
    methods = _ordered(METHODS, (method for _, _, method in cells))
    trainings = sorted({baseline for baseline, _, _ in cells})
    parts = sorted({part for _, part, _ in cells}, key=lambda part: (_PART_ORDER.get(part_name(part), 3), part))
    groups = {
        model_name(baseline): [
            Row(part_name(part), [cells.get((baseline, part, method)) for method in methods])
            for part in parts
            if any((baseline, part, method) in cells for method in methods)
        ]
        for baseline in trainings
    }
    return EsrTable([METHODS.get(method, method) for method in methods], groups, has_baselines=trainings != [""])


def headline(metrics: dict[str, float], chosen: list[str]) -> list[Tile]:
    """The numbers at the top: the chosen ones, or the ESR of the test. A run that was cut short may lack some."""
    names = chosen or [name for name in metrics if name.startswith("test/") and _esr_key(name) is not None]
    return [_tile(name, metrics[name]) for name in names if name in metrics]


def other_metrics(metrics: dict[str, float]) -> dict[str, str]:
    """The metrics that are no ESR, as text."""
    return {name: significant(value, 5) for name, value in metrics.items() if _esr_key(name) is None}


def part_name(part: str) -> str:
    """How a part of the data is called on the page."""
    return PARTS.get(part, part)


def model_name(baseline: str) -> str:
    """How a model is called on the page: a baseline by the method it was trained in, or as it calls itself."""
    if not baseline:
        return "this model"
    return f"baseline trained in {METHODS[baseline]}" if baseline in METHODS else f"baseline {baseline}"


def _esr_key(name: str) -> tuple[str, str, str] | None:
    match = _ESR.fullmatch(name)
    return (match["baseline"] or "", match["part"], match["method"] or "") if match else None


def _tile(name: str, value: float) -> Tile:
    key = _esr_key(name)
    if key is None:
        return Tile(*_plain(name, value))
    baseline, part, method = key
    label = f"{part_name(part)} ESR" + (f", {METHODS.get(method, method)}" if method else "")
    return Tile(f"{label}, {model_name(baseline)}" if baseline else label, judge(value), "")


def _plain(name: str, value: float) -> tuple[str, None, str]:
    """Label and value of `part/some_quantity_unit`."""
    part, _, quantity = name.rpartition("/")
    *words, last = quantity.split("_")
    label, text = quantity, significant(value)
    if quantity == "seconds":
        label, text = "time", duration(value)
    elif words and last in _UNITS:
        label, text = "_".join(words), with_unit(text, _UNITS[last])
    prefix = f"{part_name(part)} " if part and part != "param" else ""
    return prefix + spelled(label), None, text


def _ordered(known: Iterable[str], given: Iterable[str]) -> list[str]:
    names = set(given)
    return [*(name for name in known if name in names), *sorted(names.difference(known))]
