"""The command `diffapf`: fit a model to recordings."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from diffapf import audio
from diffapf.identification.compressor_fit import NotACompressorError
from diffapf.identification.phaser_fit import NotIdentifiedError
from diffapf.report.recordings import fit_recordings

WRONG_INPUT, INTERRUPTED = 2, 130
TITLES = {"phaser": "Phaser", "compressor": "Compressor", "la2a": "Levelling amplifier"}


def main(arguments: Sequence[str] | None = None) -> int:
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    options = parser().parse_args(arguments)
    options.command = shlex.join(["diffapf", *arguments])
    try:
        return options.run(options)
    except (ValueError, TypeError, OSError) as error:
        print(f"diffapf: {error}", file=sys.stderr)
        return WRONG_INPUT
    except KeyboardInterrupt:
        print("diffapf: interrupted before there was anything to keep", file=sys.stderr)
        return INTERRUPTED


def parser() -> argparse.ArgumentParser:
    root = argparse.ArgumentParser(prog="diffapf", description="Differentiable audio effects: models from recordings.")
    commands = root.add_subparsers(title="commands", required=True)
    fit = commands.add_parser("fit", help="fit a model to a dry and a wet recording")
    effects = fit.add_subparsers(title="effects", required=True)
    phaser = _fitted(
        effects,
        "phaser",
        "a phaser with an LFO of its own",
        "Fits a phaser to what went into one and what came out: some seconds of music will do.",
    )
    phaser.add_argument(
        "--stages", type=int, action="append", help="number of all-passes; may be repeated (4, 6 and 8)"
    )
    phaser.add_argument("--loop-delay", type=int, choices=(0, 1), action="append", help="samples in the loop (0 and 1)")
    phaser.add_argument(
        "--core", choices=("cascade", "paper"), default="cascade", help="paper: the published order-6 filter (cascade)"
    )
    phaser.set_defaults(of_effect=("stages", "loop_delay", "core"))
    compressor = _fitted(
        effects,
        "compressor",
        "a compressor, or a levelling amplifier as one",
        "Fits a compressor, of the structure that fits best, to what went into one and what came out of it, mono or stereo.",
    )
    compressor.add_argument(
        "--knee",
        choices=("hard", "soft"),
        action="append",
        dest="knees",
        help="which knees to try; may be repeated (both)",
    )
    compressor.set_defaults(of_effect=("knees",))
    amplifier = _fitted(
        effects,
        "la2a",
        "a levelling amplifier with an optical cell, as a grey box",
        "Fits a levelling amplifier such as the LA-2A, photocell and output stage, to what went in and what came out.",
    )
    amplifier.set_defaults(of_effect=())
    return root


def _fitted(effects: argparse._SubParsersAction, effect: str, summary: str, words: str) -> argparse.ArgumentParser:
    """The command that fits an effect, with what all of these take."""
    command = effects.add_parser(effect, help=summary, description=words)
    command.add_argument("dry", type=Path, help="what went in: an audio file")
    command.add_argument("wet", type=Path, help="what came out, recorded together with it")
    command.add_argument("-o", "--output", type=Path, required=True, help="a folder for preset, metrics and report")
    command.add_argument(
        "--train", type=_span, help="the part to fit to, START:STOP in seconds (the first three quarters)"
    )
    command.add_argument("--test", type=_span, help="the part to test on, which nothing is fitted to (what follows)")
    command.add_argument("--restart", action="store_true", help="do not go on where an earlier run was stopped")
    command.set_defaults(run=_fit, effect=effect)
    return command


def _span(text: str) -> tuple[float, float]:
    start, _, stop = text.partition(":")
    try:
        return float(start or 0.0), float(stop)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be START:STOP in seconds, as 0:16, got {text!r}") from None


def _fit(options: argparse.Namespace) -> int:
    _check_folder(options.output)
    pair = audio.read_pair(options.dry, options.wet)
    train, test = _parts(options, pair)
    of_effect = {name: given for name in options.of_effect if (given := getattr(options, name)) is not None}
    console = Console(stderr=True)
    with _bar(console) as bar:
        task = bar.add_task("reading", total=1.0)
        try:
            found = fit_recordings(
                pair,
                options.output,
                train,
                test,
                title=f"{TITLES[options.effect]} fitted to {options.wet.name}",
                command=options.command,
                restart=options.restart,
                say=lambda sentence: console.print(sentence, markup=False),
                progress=lambda stage, done: bar.update(task, description=stage, completed=done),
                effect=options.effect,
                **of_effect,
            )
        except (NotIdentifiedError, NotACompressorError) as error:
            raise ValueError(f"{options.wet} was not fitted: {error}") from None
    print(f"{found.summary}\nmodel   {options.output / 'model.yaml'}\nreport  {found.page}")
    return INTERRUPTED if found.fit.interrupted else 0


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
    ours = (folder / name for name in ("model.yaml", "stages"))
    if folder.is_dir() and any(folder.iterdir()) and not any(file.exists() for file in ours):
        raise ValueError(f"{folder} has other files in it; --output needs a new folder, or that of an earlier fit")
    nearest = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not os.access(nearest, os.W_OK):
        raise ValueError(f"{nearest} cannot be written to")


if __name__ == "__main__":
    sys.exit(main())
