"""Carries out an experiment that trains a model: an effect, a synth that matches notes, a vocoder, or a vocal chain."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig

from recipes.start_from import SETTINGS


@dataclass
class Outcome:
    """What came of it: whether Ctrl-C ended it, and how it is written and printed."""

    interrupted: bool
    write: Callable[[], Path]
    """Writes the results folder; returns the page's path."""
    show: Callable[[], None]


def carry_out(cfg: DictConfig, folder: Path) -> Outcome:
    """Raises ValueError for settings of another kind of training, and as the training does."""
    given = [name for name in SETTINGS if cfg[name]]
    if given and (cfg.retrieve or cfg.analyse or cfg.match):
        raise ValueError(f"{' and '.join(given)} belong to effects that are trained by descent: protocol=descent")
    if cfg.retrieve:
        return _retrieve(cfg, folder)
    if cfg.analyse:
        return _analyse(cfg, folder)
    return _match(cfg, folder) if cfg.match else _descend(cfg, folder)


def _descend(cfg: DictConfig, folder: Path) -> Outcome:
    from recipes.fit import timed_run
    from recipes.results import write_results
    from recipes.tables import print_run

    pair, results, seconds = timed_run(cfg, folder)
    title = f"{cfg.name}: {pair.tracks.title}"
    return Outcome(
        any(trained.interrupted for trained in results),
        lambda: write_results(folder, pair, results, seconds, title),
        lambda: print_run(pair, results),
    )


def _match(cfg: DictConfig, folder: Path) -> Outcome:
    from recipes.matched import print_run, write_results
    from recipes.sound_matching import timed_run

    data, results, seconds = timed_run(cfg, folder)
    title = f"{cfg.name}: {data.title}"
    return Outcome(
        any(matched.course.interrupted for matched in results),
        lambda: write_results(folder, data, results, seconds, title),
        lambda: print_run(data, results),
    )


def _retrieve(cfg: DictConfig, folder: Path) -> Outcome:
    from recipes.retrieval import timed_run
    from recipes.retrieved import print_run, write_results

    pair, found, seconds = timed_run(cfg, folder)
    title = f"{cfg.name}: {pair.tracks.title}"
    return Outcome(
        found.course.interrupted,
        lambda: write_results(folder, pair, found, seconds, title),
        lambda: print_run(pair, found),
    )


def _analyse(cfg: DictConfig, folder: Path) -> Outcome:
    from recipes.resynthesis import timed_run
    from recipes.resynthesised import print_run, write_results

    data, result, seconds = timed_run(cfg, folder)
    title = f"{cfg.name}: {data.title}, {result.model.name}"
    return Outcome(
        result.course.interrupted,
        lambda: write_results(folder, data, result, seconds, title),
        lambda: print_run(data, result),
    )
