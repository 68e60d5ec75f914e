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
from diffapf.checks import CheckedPair
from diffapf.identification.compressor_fit import CompressorFit, fit_compressor
from diffapf.identification.delay_fit import DelayFit
from diffapf.identification.equalizer_fit import EqualizerFit, fit_equalizer
from diffapf.identification.finished_stages import FinishedStages
from diffapf.identification.levelling_amplifier_fit import fit_levelling_amplifier
from diffapf.identification.phaser_fit import PhaserFit, Progress, fit_phaser
from diffapf.report import compressor_fit as of_compressor
from diffapf.report import delay_fit as of_delay
from diffapf.report import equalizer_fit as of_equalizer
from diffapf.report import levelling_amplifier_fit as of_amplifier
from diffapf.report import phaser_fit as of_phaser
from diffapf.report.checks import write_checks


@dataclass(frozen=True)
class Kind:
    """How an effect is found in recordings, and how that becomes a page; for what the functions take, see each of them.

    stereo: whether both channels of a stereo pair are fitted, `(2, time)`; otherwise the first, `(time,)`.
    late: whether it is late itself, so that a recording's latency is not taken out.
    """

    fit: Callable[..., Any]
    held_out: Callable[..., Any]
    metrics: Callable[..., dict[str, float]]
    write: Callable[..., Path]
    summary: Callable[..., str]
    stereo: bool = False
    late: bool = False


KINDS = {
    "phaser": Kind(fit_phaser, of_phaser.held_out, of_phaser.metrics, of_phaser.write_phaser_fit, of_phaser.summary),
    "compressor": Kind(
        fit_compressor,
        of_compressor.held_out,
        of_compressor.metrics,
        of_compressor.write_compressor_fit,
        of_compressor.summary,
        stereo=True,
    ),
    "equalizer": Kind(
        fit_equalizer,
        of_equalizer.held_out,
        of_equalizer.metrics,
        of_equalizer.write_equalizer_fit,
        of_equalizer.summary,
        stereo=True,
    ),
    "delay": Kind(
        of_delay.fit_of_files,
        of_equalizer.held_out,
        of_delay.metrics,
        of_delay.write_delay_fit,
        of_equalizer.summary,
        stereo=True,
        late=True,
    ),
    "la2a": Kind(
        fit_levelling_amplifier,
        of_compressor.held_out,
        of_compressor.metrics,
        of_amplifier.write_levelling_amplifier_fit,
        of_amplifier.summary,
    ),
}


@dataclass(frozen=True)
class FittedRecordings:
    """What came of two files; `metrics` as in the folder's `metrics.json`, `page` the report's path, `summary` its words."""

    fit: PhaserFit | CompressorFit | EqualizerFit | DelayFit
    metrics: dict[str, float]
    page: Path
    summary: str


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
    effect: str = "phaser",
    checked: CheckedPair | None = None,
    **options: Any,
) -> FittedRecordings:
    """Fits an effect to a pair of recordings and writes preset, metrics and report into a folder.

    Stages that are finished are kept in the folder until all are: where a fit of the same recordings and options was
    killed, or interrupted, this one goes on.

    Args:
        pair: of a stereo pair, a phaser is fitted to the first channel, and a compressor to both unless they are alike.
        train, test: parts in seconds; nothing is fitted to the test but, where it says so, the LFO's phase.
        title, command: what the page is called, and what made it.
        restart: forget what another run finished.
        say: called with what a user should know before it begins, a sentence at a time.
        effect: "phaser", "compressor", "equalizer", "delay" or "la2a".
        checked: what was found of the pair, for the page.
        progress, options: as `fit_phaser` takes them: stages, loop_delay, core; or `fit_compressor`: structures, knees; or
            `fit_equalizer`: bands; or `fit_delay`: times_ms; or `fit_levelling_amplifier`: cells, outputs.

    Raises:
        NotIdentifiedError, NotACompressorError, NoDelayError, ValueError, TypeError: as these; no page is written then.
    """
    kind = KINDS[effect]
    began = time.perf_counter()
    both = kind.stereo and has_two_channels(pair)
    notes = remarks(pair, both)
    finished = FinishedStages(folder / "stages", fingerprint(pair, effect=effect, train=train, **options))
    if restart:
        finished.forget()
    for sentence in notes:
        say(sentence)
    if finished.names:
        say(f"Going on after “{finished.names[-1]}”, which an earlier run finished.")
    dry, wet = (torch.from_numpy(signal if both else signal[0]) for signal in (pair.dry, pair.wet))
    try:
        fit = kind.fit(dry, wet, pair.sample_rate, train, progress=progress, finished=finished, **options)
    except ValueError:  # also what was not found: there is nothing to go on with
        finished.forget()
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
        raise
    held_out = kind.held_out(fit, test)
    found = kind.metrics(fit, held_out) | {"train/seconds": round(time.perf_counter() - began, 1)}
    if fit.interrupted:
        notes.append("The fit was interrupted; this is the best model until then. The same command goes on.")
    if checked is not None:  # the page has a section for them
        write_checks(folder, checked)
        notes = [note for note in notes if note not in pair.remarks]
    page = kind.write(folder, fit, held_out, found, title, command, notes)
    if not fit.interrupted:
        finished.forget()
    return FittedRecordings(fit, found, page, kind.summary(fit, found))


def fingerprint(pair: audio.Pair, **options: Any) -> str:
    """The same for the same samples, options and version, and for nothing else."""
    digest = hashlib.sha256(repr((version("diffapf"), pair.sample_rate, sorted(options.items()))).encode())
    for samples in (pair.dry, pair.wet):
        digest.update(samples.tobytes())
    return digest.hexdigest()


def has_two_channels(pair: audio.Pair) -> bool:
    """Whether there are two, of which the second says what the first doesn't."""
    return len(pair.dry) == 2 and any((signal[0] != signal[1]).any() for signal in (pair.dry, pair.wet))


def remarks(pair: audio.Pair, both: bool = False) -> list[str]:
    """What a user should know of the recordings, in sentences; both: whether both channels are used."""
    several = ["The files have several channels; the first is used."] if len(pair.dry) > 1 and not both else []
    return [*pair.remarks, *several]
