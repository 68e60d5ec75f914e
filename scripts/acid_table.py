"""Table 3 of the DAFx 2024 paper, ours beside theirs: MSS of notes that were not trained on, by method, window and phase."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import date
from statistics import mean
from textwrap import wrap

from omegaconf import DictConfig

from diffapf.report.folder import versions
from scripts.benchmarking.report import processor
from scripts.compressor_table import rows_in_markdown

Done = Mapping[tuple[str, str, int], dict[str, float]]
OTHERS = {"mss_note": "MSS a note", "log_mel_l1": "log-mel L1", "mfcc_l1": "MFCC L1", "fad_log_mel": "FAD (log-mel)"}
COSTS = {"steps": "steps", "cpu_seconds": "CPU s", "seconds": "wall s"}
WORDS = (
    "MSS of auraloss 0.4 per batch, run by frequency sampling, with the window of the training (128 of one by TD), / in the "
    "time domain. Locked: the oscillator starts where the note's period is; random: anywhere, as published, the mean of "
    "some draws; only these compare with the paper. Of MSS, means of all repetitions (folds, seeds) that are done; cells "
    "that are missing have not been run. CPU s: of a training; wall s: on a machine busy with other work."
)


def show_acid(table: DictConfig, done: Done) -> None:
    """Prints the tables as Markdown; done: metrics by setting, training and fold."""
    print("\n".join(tables(table, done)))


def record(title: str, command: str, table: DictConfig, done: Done) -> str:
    """The tables as a page of benchmarks/, with where and by what they were made."""
    known = ", ".join(
        f"{name} {number}" for name, number in versions(("torch", "numba", "auraloss", "librosa")).items()
    )
    return "\n".join(
        [
            f"# {title}",
            "",
            f"    {command}",
            "",
            f"{date.today()} · {processor()}, {os.cpu_count()} cores · {known}",
            "",
            *wrap(f"{table.words} {WORDS}", 120),
            *tables(table, done),
            "",
        ]
    )


def tables(table: DictConfig, done: Done) -> list[str]:
    lines = ["", "## MSS of held-out notes, run by FS / by TD", "", *rows_in_markdown(scores(table, done))]
    if "published" in table:
        lines += ["", "published: Table 3, the authors' 68 test notes. same notes: the authors' outputs, for these 54."]
    lines += ["", "## Other metrics, run by TD", "", *rows_in_markdown(others(done))]
    return [*lines, "", f"## MSS by {table.repeated}, run by TD", "", *rows_in_markdown(of_repetitions(table, done))]


def scores(table: DictConfig, done: Done) -> list[list[str]]:
    settings = list(dict.fromkeys(setting for setting, _, _ in done))
    known = table.get("published", {})
    rows = [["", *(f"{filter}, {what}" for filter in known for what in ("published", "same notes")), *settings]]
    for training in table.trainings:
        theirs = [both(source.get(filter, {}).get(training)) for filter in known for source in (known, table.authors)]
        ours = [
            both([average(done, setting, training, f"test/mss_{how}") for how in ("fs", "td")]) for setting in settings
        ]
        if any(ours):
            rows.append([training, *theirs, *ours])
    return rows


def others(done: Done) -> list[list[str]]:
    rows = [["", *OTHERS.values()]]
    for setting, training in dict.fromkeys((setting, training) for setting, training, _ in done):
        values = [average(done, setting, training, f"test/{name}_td") for name in OTHERS]
        rows.append([f"{setting}, {training}", *("" if value is None else f"{value:.3g}" for value in values)])
    return rows


def of_repetitions(table: DictConfig, done: Done) -> list[list[str]]:
    found = sorted({repetition for _, _, repetition in done})
    rows = [["", *(f"{table.repeated} {repetition}" for repetition in found), "mean", *COSTS.values()]]
    for setting, training in dict.fromkeys((setting, training) for setting, training, _ in done):
        values = [done.get((setting, training, repetition), {}).get("test/mss_td") for repetition in found]
        of_all = average(done, setting, training, "test/mss_td")
        costs = [average(done, setting, training, f"train/{name}") for name in COSTS]
        cells = ["" if value is None else f"{value:.3f}" for value in (*values, of_all)]
        rows.append([f"{setting}, {training}", *cells, *("" if cost is None else f"{cost:.0f}" for cost in costs)])
    return rows


def average(done: Done, setting: str, training: str, name: str) -> float | None:
    """Over the folds that are done."""
    found = [metrics[name] for key, metrics in done.items() if key[:2] == (setting, training) and name in metrics]
    return mean(found) if found else None


def both(values: list[float | None] | None) -> str:
    if values is None or all(value is None for value in values):
        return ""
    return " / ".join("–" if value is None else f"{value:.3f}" for value in values)
