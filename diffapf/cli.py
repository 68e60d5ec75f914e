"""The command `diffapf`: fit a model to recordings."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from diffapf import audio
from diffapf.identification.phaser_fit import NotIdentifiedError, PhaserFit, fit_phaser
from diffapf.report.metrics import judge
from diffapf.report.phaser_fit import write_phaser_fit

WRONG_INPUT, INTERRUPTED = 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        return options.run(options)
    except (ValueError, TypeError, OSError) as error:
        print(f"diffapf: {error}", file=sys.stderr)
        return WRONG_INPUT
    except KeyboardInterrupt:
        print("diffapf: interrupted before there was anything to keep", file=sys.stderr)
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="diffapf", description="Differentiable audio effects: models from recordings."
    )
    commands = parser.add_subparsers(title="commands", required=True)
    fit = commands.add_parser("fit", help="fit a model to a dry and a wet recording")
    effects = fit.add_subparsers(title="effects", required=True)
    words = "Fits a phaser to what went into one and what came out: some seconds of music will do."
    phaser = effects.add_parser("phaser", help="a phaser with an LFO of its own", description=words)
    phaser.add_argument("dry", type=Path, help="what went in: an audio file")
    phaser.add_argument("wet", type=Path, help="what came out, recorded together with it")
    phaser.add_argument("-o", "--output", type=Path, required=True, help="a folder for preset, metrics and report")
    phaser.add_argument(
        "--train", type=_span, help="the part to fit to, START:STOP in seconds (the first three quarters)"
    )
    phaser.add_argument("--test", type=_span, help="the part to test on, which nothing is fitted to (what follows)")
    phaser.add_argument(
        "--stages", type=int, action="append", help="number of all-passes; may be repeated (4, 6 and 8)"
    )
    phaser.add_argument("--loop-delay", type=int, choices=(0, 1), action="append", help="samples in the loop (0 and 1)")
    phaser.set_defaults(run=_fit_phaser)
    return parser


def _span(text: str) -> tuple[float, float]:
    start, _, stop = text.partition(":")
    try:
        return float(start or 0.0), float(stop)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be START:STOP in seconds, as 0:16, got {text!r}") from None


def _fit_phaser(options: argparse.Namespace) -> int:
    began = time.perf_counter()
    _check_folder(options.output)
    pair = audio.read_pair(options.dry, options.wet)
    rate, notes = pair.sample_rate, list(pair.remarks)
    if len(pair.dry) > 1:
        notes.append("The files have several channels; the first is used.")
    train, test = _parts(options, pair)
    dry, wet = torch.from_numpy(pair.dry[0]), torch.from_numpy(pair.wet[0])
    structures = {name: given for name in ("stages", "loop_delay") if (given := getattr(options, name)) is not None}
    console = Console(stderr=True)
    for note in notes:
        console.print(note, markup=False)
    with _bar(console) as bar:
        task = bar.add_task("reading", total=1.0)

        def show(stage: str, done: float) -> None:
            bar.update(task, description=stage, completed=done)

        try:
            fit = fit_phaser(dry, wet, rate, train, progress=show, **structures)
        except NotIdentifiedError as error:
            raise ValueError(f"{options.wet} was not fitted: {error}") from None
        held_out = fit.pair.stretch(*test)
        bar.update(task, description="report", completed=1.0)
        if fit.interrupted:
            notes.append("The fit was interrupted; this is the best model until then.")
        title = f"Phaser fitted to {options.wet.name}"
        command = shlex.join(["diffapf", *sys.argv[1:]])
        page = write_phaser_fit(options.output, fit, held_out, title, command, time.perf_counter() - began, notes)
    _say(fit, options.output, page)
    return INTERRUPTED if fit.interrupted else 0


def _bar(console: Console) -> Progress:
    columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn()
    return Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console)


def _parts(options: argparse.Namespace, pair: audio.Pair) -> tuple[tuple[float, float], tuple[float, float]]:
    """(train, test) in seconds."""
    usual = audio.default_parts(pair.duration)
    train = options.train or (0.0, usual["validation"][1])
    test = options.test or ((train[1], pair.duration) if train[1] < pair.duration else usual["test"])
    for name, span in (("--train", train), ("--test", test)):
        audio.part_slice(span, pair.sample_rate, pair.wet.shape[-1], name)
    return train, test


def _check_folder(folder: Path) -> None:
    """Before minutes of work: the folder can be written to, and nothing in it would be lost."""
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file; --output needs a folder")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / "model.yaml").exists():
        raise ValueError(f"{folder} has other files in it; --output needs a new folder, or that of an earlier fit")
    nearest = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not os.access(nearest, os.W_OK):
        raise ValueError(f"{nearest} cannot be written to")


def _say(fit: PhaserFit, folder: Path, page: Path) -> None:
    found = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    print(f"{fit.start.verdict}")
    for name, words in (
        ("constant", "at a constant rate"),
        ("drift", "rate drifting on"),
        ("tracked", "phase tracked"),
    ):
        esr = judge(found[f"test/esr_{name}"])
        print(f"test ESR {esr.percent:>10}  {words} ({esr.word})")
    print(f"model   {folder / 'model.yaml'}\nreport  {page}")


if __name__ == "__main__":
    sys.exit(main())
