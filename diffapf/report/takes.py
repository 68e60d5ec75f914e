"""Takes of one box, its knobs at other settings in each: all are checked, each is fitted, and a page compares them."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from diffapf.audio import AudioError
from diffapf.checks import check_pair
from diffapf.findings import ERROR, sentences
from diffapf.pair_files import PairFiles
from diffapf.report import write_report
from diffapf.report.curves import series
from diffapf.report.folder import run_record, write_json
from diffapf.report.metrics import judge

LIST = "takes.json"
PLOTS = 8  # of parameters over a knob


@dataclass(frozen=True)
class Take:
    """A take that was fitted: its files, and what its results folder says."""

    files: PairFiles
    folder: Path
    esr: float
    parameters: Mapping[str, Mapping[str, Any]]

    @property
    def sentence(self) -> str:
        esr = judge(self.esr)
        return f"{self.files.title}: ESR {esr.percent} held out, {esr.word}; {self.folder.name}/report.html"


@dataclass(frozen=True)
class FittedTakes:
    """What came of a folder of pairs: those that were fitted, the page that compares them, and whether Ctrl-C ended it."""

    takes: list[Take]
    page: Path
    interrupted: bool

    @property
    def summary(self) -> str:
        return "\n".join(take.sentence for take in self.takes)


def fit_takes(
    pairs: Sequence[PairFiles],
    folder: Path,
    fit: Callable[[PairFiles, Path], bool],
    title: str,
    command: str,
    restart: bool = False,
    say: Callable[[str], None] = lambda sentence: None,
) -> FittedTakes:
    """Checks all pairs, then fits one after another, each into a folder of its own, and writes the page beside these.

    Takes that an earlier run finished, and whose files are the same, are not fitted again.

    Args:
        pairs: as `find_pairs` gives them.
        fit: fits a pair into a folder as `diffapf.report.results` states it; returns whether Ctrl-C ended it.
        title, command: what the page is called, and what made it.
        restart: forget what another run finished.
        say: is told what is fitted, a sentence at a time.

    Raises:
        AudioError: pairs that cannot be fitted, every one of them named, before any is.
        ValueError: what `fit` raises, with the pair that it was of.
    """
    began = time.perf_counter()
    check_all(pairs)
    finished = _Finished(folder / LIST, restart)
    takes, interrupted = [], False
    for number, (name, files) in enumerate(zip(_names(pairs), pairs, strict=True), 1):
        if name in finished.of(files):
            say(f"{files.title} was fitted by an earlier run.")
        else:
            say(f"{number} of {len(pairs)}: {files.title}")
            try:
                interrupted = fit(files, folder / name)
            except ValueError as error:
                raise ValueError(f"{files.title}: {error}") from None
        takes.append(_read(files, folder / name))
        if interrupted:
            break
        finished.add(name, files)
    notes = ["This was interrupted; the same command goes on."] if interrupted else []
    return FittedTakes(takes, _write(folder, takes, title, command, time.perf_counter() - began, notes), interrupted)


def check_all(pairs: Sequence[PairFiles]) -> None:
    """Raises AudioError for pairs that cannot be fitted, with all that is wrong."""
    wrong = [line for files in pairs for line in sentences(check_pair(files.dry, files.wet).findings, ERROR)]
    if wrong:
        raise AudioError("\n".join(dict.fromkeys(wrong)))


def _names(pairs: Sequence[PairFiles]) -> Iterator[str]:
    """Of their folders: the wet file's, with a number where that is not the only one."""
    stems = [files.wet.stem for files in pairs]
    for number, stem in enumerate(stems, 1):
        yield stem if stems.count(stem) == 1 else f"{stem}_{number}"


class _Finished:
    """The takes that were fitted, with what their files were then, in a list that is replaced as a whole."""

    def __init__(self, path: Path, restart: bool):
        self.path = path
        self.known: dict[str, Any] = {}
        if path.is_file() and not restart:
            self.known = json.loads(path.read_text(encoding="utf-8"))
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, self.known)

    def of(self, files: PairFiles) -> set[str]:
        return {name for name, of in self.known.items() if of == _state(files)}

    def add(self, name: str, files: PairFiles) -> None:
        self.known[name] = _state(files)
        write_json(self.path, self.known)


def _state(files: PairFiles) -> list[Any]:
    """Of the files, to know them by: paths, sizes, times."""
    return [[str(path.absolute()), path.stat().st_size, path.stat().st_mtime_ns] for path in (files.dry, files.wet)]


def _read(files: PairFiles, folder: Path) -> Take:
    metrics, run = (json.loads((folder / f"{name}.json").read_text(encoding="utf-8")) for name in ("metrics", "run"))
    listed = json.loads((folder / "parameters.json").read_text(encoding="utf-8"))
    headline = next((metrics[name] for name in run["headline"] if name in metrics), math.nan)
    return Take(files, folder, headline, {each["name"]: each for each in listed})


# ---------------------------------------------------------------------------------------------------------------- the page


def _write(folder: Path, takes: Sequence[Take], title: str, command: str, seconds: float, notes: Sequence[str]) -> Path:
    errors = torch.tensor([take.esr for take in takes], dtype=torch.float64)
    metrics = {"takes": len(takes), "test/esr": float(errors.mean()), "worst:test/esr": float(errors.max())}
    knobs = dict.fromkeys(knob for take in takes for knob in take.files.settings)
    write_json(folder / "metrics.json", metrics)
    write_json(folder / "curves.json", [curve for knob in knobs for curve in _over(knob, takes)])
    subtitle = f"{len(takes)} takes" + (f" · knobs: {', '.join(knobs)}" if knobs else "")
    sentences_of = [take.sentence for take in takes]
    headline = ("test/esr", "worst:test/esr", "takes")
    write_json(folder / "run.json", run_record(title, subtitle, command, seconds, headline, sentences_of, notes))
    return write_report(folder)


def _over(knob: str, takes: Sequence[Take]) -> list[dict[str, Any]]:
    """The parameters that follow a knob most, over its settings."""
    set_to = [take for take in takes if knob in take.files.settings]
    at = torch.tensor([take.files.settings[knob] for take in set_to], dtype=torch.float64)
    if len(at.unique()) < 2:
        return []
    common = set.intersection(*(set(take.parameters) for take in set_to))
    found = []
    for name in sorted(common):
        values = torch.tensor([take.parameters[name]["value"] for take in set_to], dtype=torch.float64)
        if values.std() > 0:
            found.append((float(torch.corrcoef(torch.stack([at, values]))[0, 1].abs()), name, values))
    found.sort(key=lambda each: -each[0])
    return [
        {
            "title": f"{name} over {knob}",
            "x": {"label": knob, "unit": ""},
            "y": {"label": name, "unit": set_to[0].parameters[name]["unit"]},
            "series": [series("fitted", at, values, "points")],
            "caption": "A point for each take.",
        }
        for _, name, values in found[:PLOTS]
    ]
