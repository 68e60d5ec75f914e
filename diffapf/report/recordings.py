"""A dry and a wet recording as a results folder: the fit, its figures, and the page made of them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from diffapf import audio
from diffapf.identification.phaser_fit import PhaserFit, fit_phaser
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
    **options: Any,
) -> FittedRecordings:
    """Fits a phaser to a pair of recordings and writes preset, metrics and report into a folder.

    Args:
        pair: of several channels the first is used.
        train, test: parts in seconds; nothing is fitted to the test but, where it says so, the LFO's phase.
        title, command: what the page is called, and what made it.
        options: as `fit_phaser` takes them: stages, loop_delay, progress.

    Raises:
        NotIdentifiedError, ValueError, TypeError: as `fit_phaser`; nothing is written then.
    """
    began = time.perf_counter()
    dry, wet = torch.from_numpy(pair.dry[0]), torch.from_numpy(pair.wet[0])
    fit = fit_phaser(dry, wet, pair.sample_rate, train, **options)
    held_out = fit.pair.stretch(*test)
    found = metrics(fit, held_out) | {"train/seconds": round(time.perf_counter() - began, 1)}
    notes = remarks(pair)
    if fit.interrupted:
        notes.append("The fit was interrupted; this is the best model until then.")
    return FittedRecordings(fit, found, write_phaser_fit(folder, fit, held_out, found, title, command, notes))


def remarks(pair: audio.Pair) -> list[str]:
    """What a user should know of the recordings, in sentences."""
    several = ["The files have several channels; the first is used."] if len(pair.dry) > 1 else []
    return [*pair.remarks, *several]
