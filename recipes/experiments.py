"""Carries out an experiment that trains a model: an effect, a synth that matches notes, a vocoder, or a vocal chain."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hydra.utils import get_method
from omegaconf import DictConfig

from recipes.start_from import SETTINGS


@dataclass
class Outcome:
    """What came of it: whether Ctrl-C ended it, and how it is written and printed."""

    interrupted: bool
    write: Callable[[], Path]
    """Writes the results folder; returns the page's path."""
    show: Callable[[], None]


@dataclass(frozen=True)
class Training:
    """A kind of it, by the names of functions: each is imported when it is needed."""

    run: str
    """(config, folder) → data, which have a title, and one result or several, which know whether Ctrl-C ended them."""
    write: str
    """(folder, data, results, seconds, title) → the page's path"""
    show: str
    """(data, results)"""


DESCENT = Training("recipes.fit.run", "recipes.results.write_results", "recipes.tables.print_run")
OTHERS = {  # by the setting of their protocol
    "retrieve": Training("recipes.retrieval.run", "recipes.retrieved.write_results", "recipes.retrieved.print_run"),
    "analyse": Training(
        "recipes.resynthesis.run", "recipes.resynthesised.write_results", "recipes.resynthesised.print_run"
    ),
    "match": Training("recipes.sound_matching.run", "recipes.matched.write_results", "recipes.matched.print_run"),
}


def carry_out(cfg: DictConfig, folder: Path) -> Outcome:
    """Raises ValueError for settings of another kind of training, and as the training does."""
    training = next((training for setting, training in OTHERS.items() if cfg[setting]), DESCENT)
    given = [name for name in SETTINGS if cfg[name]]
    if given and training is not DESCENT:
        raise ValueError(f"{' and '.join(given)} belong to effects that are trained by descent: protocol=descent")
    began = time.perf_counter()
    data, results = get_method(training.run)(cfg, folder)
    seconds, title = time.perf_counter() - began, f"{cfg.name}: {data.title}"
    return Outcome(
        any(each.interrupted for each in (results if isinstance(results, list) else [results])),
        lambda: get_method(training.write)(folder, data, results, seconds, title),
        lambda: get_method(training.show)(data, results),
    )
