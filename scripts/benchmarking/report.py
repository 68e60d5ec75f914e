"""The results as a table on the screen and as Markdown."""

from __future__ import annotations

import itertools
import math
import os
import platform
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numba
import torch
from rich.console import Console
from rich.table import Table

from scripts.benchmarking.peers import Peers
from scripts.benchmarking.results import BAR, Row, below_the_bar, best, geometric_means

HEAD = ("case", "ours", "best peer", "its name", "times faster", "floor", "ours / floor")
WORDS = (0, 3)  # columns of HEAD
METHOD = (
    "Rivals take turns of up to four calls, each turn after one call that doesn't count; medians of calls, and the ratio is "
    "the median over pairs. A peer is timed where its output and gradients are ours (error-to-signal ratio below 1e-9 in "
    "float64, 1e-6 in float32). The floor: the bytes that must move, at the speed of a copy of as many bytes, or, where a "
    "recursion waits for itself at every sample (moving coefficients beyond the first order), the chain of one dependent "
    "multiply-add a sample, rows interleaved, whichever takes longer. It leaves out the call itself and the first touch of "
    "fresh memory."
)


@dataclass
class Report:
    """What was measured, and what is to be told beside it."""

    title: str
    rows: list[Row]
    skipped: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def groups(self) -> Iterable[tuple[str, list[Row]]]:
        found: dict[str, list[Row]] = {}
        for row in best(self.rows):
            found.setdefault(f"{row.group} ({row.unit})", []).append(row)
        return found.items()

    def summary(self) -> list[str]:
        lines = [
            f"{title}: {mean:.1f} times faster in the geometric mean of {n} cells" for title, n, mean in self.means()
        ]
        below = below_the_bar(self.rows)
        if lines:
            lines.append(f"below {BAR}x: {len(below)} cells" + (" (1.5x of the floor is as good)" if below else ""))
        return lines + [f"{row.case}: {row.ratio:.1f}x ({row.peer}), {row.above_floor:.1f}x the floor" for row in below]

    def means(self) -> list[tuple[str, int, float]]:
        return geometric_means(self.rows)


def cells_of(row: Row) -> tuple[str, ...]:
    return (
        row.label,
        number(row.ours),
        number(row.theirs),
        row.peer,
        number(row.ratio, 1),
        number(row.floor),
        number(row.above_floor, 1),
    )


def number(value: float, digits: int = 2) -> str:
    return "" if math.isnan(value) else f"{value:.{digits}f}"


def show(report: Report, console: Console) -> None:
    for group, rows in report.groups():
        table = Table(title=group, title_justify="left")
        for column, name in enumerate(HEAD):
            table.add_column(name, justify="left" if column in WORDS else "right")
        for row in rows:
            table.add_row(*cells_of(row))
        console.print(table)
    lines = itertools.chain([report.title], report.summary(), report.notes, (f"skipped: {it}" for it in report.skipped))
    for line in lines:
        console.print(line, markup=False, highlight=False)


def as_markdown(report: Report, figure: str = "") -> str:
    parts = ["# CPU benchmark", report.title, METHOD]
    parts += [f"![Cost a sample against T, B and M]({figure})"] if figure else []
    parts += ["## Summary", bullets(report.summary())] if report.means() else []
    for group, rows in report.groups():
        parts += [f"## {group}", table(rows)]
    parts += ["## Not measured", bullets(report.skipped)] if report.skipped else []
    parts += ["## Notes", bullets(report.notes)] if report.notes else []
    return "\n\n".join(parts) + "\n"


def bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def table(rows: Iterable[Row]) -> str:
    rules = ["---" if column in WORDS else "--:" for column in range(len(HEAD))]
    return "\n".join("| " + " | ".join(line) + " |" for line in (HEAD, rules, *(cells_of(row) for row in rows)))


def machine(peers: Peers) -> str:
    """The date, the processor, its threads, and everybody's version."""
    versions = [f"torch {torch.__version__}", f"numba {numba.__version__}", *peers.versions()]
    threads = f"{torch.get_num_threads()} threads"
    return f"{time.strftime('%Y-%m-%d')} · {processor()}, {os.cpu_count()} cores, {threads} · {', '.join(versions)}"


def processor() -> str:
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    models = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()
