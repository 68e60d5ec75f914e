"""Tables of fits to recordings, for `reproduce.py`: each row is what `diffapf fit phaser` makes of a pair of files."""

from __future__ import annotations

import json
import random
import shlex
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from diffapf import audio
from diffapf.identification.phaser_fit import PUBLISHED, NotIdentifiedError
from diffapf.report.recordings import fit_recordings
from recipes.callbacks import progress_bar

Span = tuple[float, float]

COLUMNS = (
    ("the paper's class", f"{PUBLISHED}:test/esr_constant"),
    ("ours", "test/esr_constant"),
    ("drifting rate", "test/esr_drift"),
    ("phase tracked", "test/esr_tracked"),
)


@dataclass(frozen=True)
class Fit:
    """One fit: a setting, which of its windows, the parts, and the folder of its results."""

    setting: str
    window: int
    train: Span
    test: Span
    folder: Path

    @property
    def metrics(self) -> dict[str, float] | None:
        file = self.folder / "metrics.json"
        return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None


def fits_of(table: DictConfig, settings: list[str], budget: str, folder: Path) -> Iterator[Fit]:
    """Every fit of a table: its own parts first, then random windows, the same each time."""
    for setting in settings:
        entry, windows = table.settings[setting], random.Random(setting)
        length = entry.train[1] - entry.train[0]
        for window in range(table.windows[budget] if "of" in entry else 1):
            begin = windows.uniform(entry.of[0], entry.of[1] - length) if window else entry.train[0]
            train = (begin, begin + length)
            test = (train[1], train[1] + entry.test) if isinstance(entry.test, (int, float)) else tuple(entry.test)
            yield Fit(setting, window, train, test, folder / f"{setting.replace(', ', '_').replace(' ', '_')}_{window}")


def run_fits(table: DictConfig, fits: list[Fit], recordings: Path) -> list[str]:
    """Makes the fits that are not there, and returns what failed, in words."""
    failed = []
    with progress_bar() as bar:
        task = bar.add_task("Fits", total=len(fits), words="")
        for fit in fits:
            if fit.metrics is None:
                entry = table.settings[fit.setting]
                base = bar.tasks[task].completed
                try:
                    _make(
                        fit,
                        entry,
                        recordings,
                        lambda stage, done, base=base, name=fit.setting: bar.update(
                            task, completed=base + 0.99 * done, words=f"{name}: {stage}"
                        ),
                    )
                except NotIdentifiedError as error:
                    failed.append(f"{fit.setting}, window {fit.window}: {error}")
                bar.update(task, completed=base)
            bar.advance(task)
    return failed


def _make(fit: Fit, entry: DictConfig, recordings: Path, progress: Callable[[str, float], None]) -> None:
    pair = audio.read_pair(recordings / entry.dry, recordings / entry.wet)
    title, command = f"{fit.setting}, window {fit.window}", shlex.join(["python", *sys.argv])
    core = entry.get("core", "cascade")
    fit_recordings(pair, fit.folder, fit.train, fit.test, title, command, progress=progress, core=core)


def show_fits(table: DictConfig, fits: list[Fit], name: str) -> None:
    """A row for each setting: the median, and the worst of its windows in brackets, where there are several."""
    printed = Table(title=f"Table {name}: test ESR in %", title_justify="left")
    for column in ("recording", "published", *(title for title, _ in COLUMNS), "bar (ours)", "seconds", "fits"):
        printed.add_column(column, justify="left" if column == "recording" else "right")
    for setting in dict.fromkeys(fit.setting for fit in fits):
        found = [metrics for fit in fits if fit.setting == setting and (metrics := fit.metrics) is not None]
        entry = table.settings[setting]
        values = [_summary([100 * metrics[key] for metrics in found if key in metrics]) for _, key in COLUMNS]
        seconds = _summary([metrics["train/seconds"] for metrics in found])
        printed.add_row(setting, str(entry.published), *values, f"≤ {entry.bar:g}", seconds, str(len(found)))
    Console(width=150).print(printed)


def _summary(values: list[float]) -> str:
    if not values:
        return ""
    median = sorted(values)[len(values) // 2]
    return f"{median:.2g}" + (f" ({max(values):.2g})" if len(values) > 1 else "")
