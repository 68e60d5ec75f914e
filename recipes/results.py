"""Writes a run's results folder: metrics, parameters, curves, audio, presets, and the report page made of them."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import Any

from torch import Tensor

from diffapf.report.checks import write_checks
from diffapf.report.folder import HEARD_SECONDS, parameter_record, run_record, write_folder
from recipes.callbacks import side_by_side
from recipes.data import Pair
from recipes.fit import METHODS, Trained, predict
from recipes.kinds import kind_of


def write_results(folder: Path, pair: Pair, results: list[Trained], seconds: float, title: str) -> Path:
    """Writes everything into `folder` and returns the report's path. The first result is the run's own."""
    main = results[0]
    metrics = dict(main.metrics)
    for baseline in results[1:]:
        metrics |= {f"{baseline.method}:{name}": value for name, value in baseline.metrics.items()}
    parameters = main.effect.parameters_spec()
    metrics |= {f"param/{spec.name.replace('.', '_')}": spec.value for spec in parameters}
    for trained in results[1:]:
        trained.effect.save(folder / f"model_{trained.method}.yaml")
    if pair.tracks.checked is not None:
        write_checks(folder, pair.tracks.checked)
    kind = kind_of(main.effect)
    truths = kind.truths(pair)
    return write_folder(
        folder,
        main.effect,
        metrics=metrics,
        parameters=[parameter_record(spec, truth=truths.get(spec.name)) for spec in parameters],
        curves=kind.curves(main.effect, pair),
        tracks={part: _tracks(pair, part, results) for part in ("train", "test")},
        sample_rate=pair.sample_rate,
        run=_description(pair, results, seconds, title),
        history=side_by_side({trained.method: trained.history for trained in results}),
    )


def _description(pair: Pair, results: list[Trained], seconds: float, title: str) -> dict[str, Any]:
    main = results[0]
    notes = [] if pair.tracks.checked is not None else list(pair.tracks.remarks)  # the page has them in a section
    if any(trained.interrupted for trained in results):
        notes.append("The training was interrupted; this is the best model until then.")
    parts = ", ".join("{} {:g}–{:g} s".format(name, *pair.seconds(name)) for name in ("train", "validation", "test"))
    return run_record(
        title,
        f"{pair.tracks.title} · {parts} · {main.steps} steps by {main.method.upper()}",
        shlex.join(["python", *sys.argv]),
        seconds,
        headline=("test/esr_td", "test/esr_fs"),
        notes=notes,
        packages=("lightning",),
    )


def _tracks(pair: Pair, part: str, results: list[Trained]) -> dict[str, Tensor]:
    """What is heard of a part."""
    span = pair.tracks.parts[part]
    heard = slice(span.start, min(span.stop, span.start + round(HEARD_SECONDS * pair.sample_rate)))
    tracks = {"dry": pair.tracks.dry[:, heard], "target": pair.tracks.wet[:, heard]}
    for trained in results:
        name = "prediction" if trained is results[0] else f"prediction ({trained.method.upper()} trained)"
        tracks[name] = predict(trained, pair, heard, METHODS["td"]())[0]
    return tracks


def relative(path: Path) -> str:
    """The path as a user would type it from here."""
    return os.path.relpath(path)
