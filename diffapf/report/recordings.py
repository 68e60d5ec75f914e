"""A dry and a wet recording as a results folder: the fit, its figures, and the page made of them."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from diffapf import audio
from diffapf.identification.finished_stages import FinishedStages
from diffapf.identification.phaser_fit import PhaserFit, Progress, fit_phaser
from diffapf.report.metrics import judge
from diffapf.report.phaser_fit import metrics, write_phaser_fit

ESRS = {"constant": "at a constant rate", "drift": "rate drifting on", "tracked": "phase tracked"}


@dataclass(frozen=True)
class FittedRecordings:
    """What came of two files; `metrics` as in the folder's `metrics.json`, `page` the report's path."""

    fit: PhaserFit
    metrics: dict[str, float]
    page: Path

    @property
    def summary(self) -> str:
        """The verdict and the test's errors, in words for a terminal."""
        lines = [self.fit.start.verdict]
        for name, words in ESRS.items():
            esr = judge(self.metrics[f"test/esr_{name}"])
            lines.append(f"test ESR {esr.percent:>10}  {words} ({esr.word})")
        return "\n".join(lines)


def fit_recordings(
    pair: audio.Pair,
    folder: Path,
    train: tuple[float, float],
    test: tuple[float, float],
    title: str,
    command: str,
    restart: bool = False,
    say: Callable[[str], None] = lambda sentence: None,
    progress: Progress | None = None,
    **options: Any,
) -> FittedRecordings:
    """Fits a phaser to a pair of recordings and writes preset, metrics and report into a folder.

    Stages that are finished are kept in the folder until all are: where a fit of the same recordings and options was
    killed, or interrupted, this one goes on.

    Args:
        pair: of several channels the first is used.
        train, test: parts in seconds; nothing is fitted to the test but, where it says so, the LFO's phase.
        title, command: what the page is called, and what made it.
        restart: forget what another run finished.
        say: called with what a user should know before it begins, a sentence at a time.
        progress, options: as `fit_phaser` takes them: stages, loop_delay, core.

    Raises:
        NotIdentifiedError, ValueError, TypeError: as `fit_phaser`; nothing is written then.
    """
    began = time.perf_counter()
    notes = remarks(pair)
    finished = FinishedStages(folder / "stages", fingerprint(pair, train=train, **options))
    if restart:
        finished.forget()
    for sentence in notes:
        say(sentence)
    if finished.names:
        say(f"Going on after “{finished.names[-1]}”, which an earlier run finished.")
    dry, wet = torch.from_numpy(pair.dry[0]), torch.from_numpy(pair.wet[0])
    fit = fit_phaser(dry, wet, pair.sample_rate, train, progress=progress, finished=finished, **options)
    held_out = fit.pair.stretch(*test)
    found = metrics(fit, held_out) | {"train/seconds": round(time.perf_counter() - began, 1)}
    if fit.interrupted:
        notes.append("The fit was interrupted; this is the best model until then. The same command goes on.")
    page = write_phaser_fit(folder, fit, held_out, found, title, command, notes)
    if not fit.interrupted:
        finished.forget()
    return FittedRecordings(fit, found, page)


def fingerprint(pair: audio.Pair, **options: Any) -> str:
    """The same for the same samples, options and version, and for nothing else."""
    digest = hashlib.sha256(repr((version("diffapf"), pair.sample_rate, sorted(options.items()))).encode())
    for samples in (pair.dry, pair.wet):
        digest.update(samples.tobytes())
    return digest.hexdigest()


def remarks(pair: audio.Pair) -> list[str]:
    """What a user should know of the recordings, in sentences."""
    several = ["The files have several channels; the first is used."] if len(pair.dry) > 1 else []
    return [*pair.remarks, *several]
