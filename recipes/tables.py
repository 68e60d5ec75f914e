"""Tables in the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from diffapf.report.metrics import JUDGEMENTS
from recipes.data import Pair
from recipes.fit import Trained

PART_NAMES = {"train": "train", "validation": "validation", "test": "test", "paper": "train + test, as in the paper"}


def percent(esr: float | None) -> str:
    return "" if esr is None else f"{100 * esr:.3g} %"


def judgement(esr: float) -> str:
    return next(word for bound, word in JUDGEMENTS if not esr >= bound)


def print_run(pair: Pair, results: list[Trained]) -> None:
    """ESR of each training, on each part, by both methods."""
    table = Table(title=f"{pair.tracks.title}: error-to-signal ratio, by how the model is run", title_justify="left")
    for name, justify in (("part", "left"), ("seconds", "left"), ("TD", "right"), ("FS", "right"), ("", "left")):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    for trained in results:
        how = f"[bold]trained by {trained.method.upper()}[/bold], {trained.steps} steps"
        table.add_row(how, f"in {trained.history.seconds:.0f} s")
        for part in (name for name in PART_NAMES if f"{name}/esr_td" in trained.metrics):
            td, fs = (trained.metrics.get(f"{part}/esr_{method}") for method in ("td", "fs"))
            span = "" if part == "paper" else "{:g}–{:g}".format(*pair.seconds(part))
            table.add_row(f"  {PART_NAMES[part]}", span, percent(td), percent(fs), judgement(td or 0.0))
        table.add_section()
    Console(width=100).print(table)
    print(
        "TD: time domain, the recursion itself, as a plugin runs it. FS: frequency sampling, the usual approximation."
    )
