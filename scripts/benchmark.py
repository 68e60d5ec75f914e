"""Times the filters and the phaser's training step beside the peers, in one run: `python scripts/benchmark.py`.

Rivals take turns with us, so a machine whose speed drifts slows both; medians and ratios are what counts. A peer whose
results aren't ours is not timed, and the exit status is then 1. Ctrl-C shows what was measured until then; with
`--write FILE.md` it also stands in FILE.csv, from which `--resume FILE.csv` goes on. The parts: `scripts/benchmarking`.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

sys.path.insert(0, str(Path(__file__).parents[1]))

from scripts.benchmarking.cell import Case, Measurement
from scripts.benchmarking.compressor import compressor_cases
from scripts.benchmarking.figure import draw
from scripts.benchmarking.filters import filter_cases
from scripts.benchmarking.floors import Machine
from scripts.benchmarking.overheads import overheads
from scripts.benchmarking.peers import NAMES, Peers
from scripts.benchmarking.phaser import phaser_cases
from scripts.benchmarking.report import Report, as_markdown, machine, show
from scripts.benchmarking.results import Row, read_csv, write_csv

BUDGET, QUICK_BUDGET = 1.0, 0.6  # seconds of a race


def main(argv: Sequence[str] | None = None) -> int:
    parser = arguments()
    options = parser.parse_args(argv)
    peers = Peers()
    if not peers.modules:
        parser.exit(2, f"error: none of the peers is installed ({', '.join(NAMES)}): pip install -e '.[peers]'\n")
    cases = [case for case in all_cases(options.quick) if options.only.search(case.name)]
    if not cases:
        parser.exit(2, f"error: no case's name contains {options.only.pattern!r}; --list shows them\n")
    if options.list:
        print(*(case.name for case in cases), sep="\n")
        return 0
    console = Console(width=150)
    report = Report(machine(peers), options.resume or [])
    report.notes += [f"{name} is not installed: {reason}" for name, reason in peers.missing.items()]
    report.skipped += [f"{case.name} ({case.skipped})" for case in cases if case.skipped]
    for note in report.notes:
        console.print(note, markup=False)
    kept = options.write.with_suffix(".csv") if options.write else None
    finished = measure(
        cases, peers, report, options.budget or (QUICK_BUDGET if options.quick else BUDGET), kept, console
    )
    show(report, console)
    if options.write:
        write(report, options.write)
    if not finished:
        return 130
    return 1 if any("differ from ours" in note for note in report.notes) else 0


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--quick", action="store_true", help="two minutes: a part of the grid, each case in less time")
    parser.add_argument(
        "--only", type=expression, default=".", metavar="REGEX", help="the cases whose name contains it"
    )
    parser.add_argument("--list", action="store_true", help="show the cases' names and end")
    parser.add_argument("--budget", type=positive, metavar="SECONDS", help=f"of each case, {BUDGET} unless told")
    parser.add_argument(
        "--write", type=markdown, metavar="FILE.md", help="also write Markdown, and beside it FILE.csv and FILE.png"
    )
    parser.add_argument(
        "--resume", type=results, metavar="FILE.csv", help="results to go on from: leaves their cases out"
    )
    return parser


def expression(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as wrong:
        raise argparse.ArgumentTypeError(f"{text!r} is no regular expression: {wrong}") from None


def positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not value > 0:
        raise argparse.ArgumentTypeError(f"needs a positive number of seconds, got {text!r}")
    return value


def markdown(text: str) -> Path:
    if not text.endswith(".md"):
        raise argparse.ArgumentTypeError(f"needs a file name that ends in .md, got {text!r}")
    return Path(text)


def results(text: str) -> list[Row]:
    try:
        return read_csv(Path(text))
    except (OSError, ValueError) as wrong:
        raise argparse.ArgumentTypeError(f"cannot go on from {text}: {wrong}") from None


def all_cases(quick: bool) -> list[Case | Measurement]:
    return [*filter_cases(quick), *phaser_cases(quick), *compressor_cases(quick), *overheads()]


def measure(
    cases: list[Case | Measurement], peers: Peers, report: Report, budget: float, kept: Path | None, console: Console
) -> bool:
    """Runs the cases that the report does not have yet; False if it was interrupted."""
    known = {row.case for row in report.rows}
    waiting = [case for case in cases if not case.skipped and case.name not in known]
    here = Machine()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:.0f} %"),
        TimeRemainingColumn(),
    )
    try:
        with Progress(*columns, console=console, transient=True) as progress:
            task = progress.add_task("", total=sum(budget + case.effort for case in waiting))
            for case in waiting:
                progress.update(task, description=case.name)
                if not console.is_terminal:
                    console.print(case.name, markup=False, highlight=False)
                rows, notes = case.run(peers, here, budget)
                report.rows += rows
                report.notes += notes
                progress.advance(task, budget + case.effort)
                if kept:
                    write_csv(report.rows, kept)
    except KeyboardInterrupt:
        console.print("interrupted: this is what was measured")
        return False
    return True


def write(report: Report, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    write_csv(report.rows, file.with_suffix(".csv"))
    picture = file.with_suffix(".png")
    file.write_text(as_markdown(report, picture.name if draw(report.rows, picture) else ""), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
