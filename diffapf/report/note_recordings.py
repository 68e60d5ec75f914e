"""Recorded notes as a results folder: presets that play them, figures, and the page made of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from diffapf.identification.acid_fit import AcidFit, fit_acid, smooth_knots
from diffapf.identification.trained_extractor import TrainedExtractor
from diffapf.notes import Notes, read_folder_or_file, read_labelled
from diffapf.report.acid_fit import summary, write_acid_fit
from diffapf.synths.acid import AcidSynth

HIGHEST_HZ = 20_000.0
STEPS, STEPS_FROM_A_START = 400, 40


@dataclass(frozen=True)
class FittedNotes:
    """What came of recorded notes: `page` the report's path, `summary` its words."""

    fit: AcidFit
    page: Path
    summary: str


def read_notes(paths: Sequence[str | os.PathLike], labels: str | os.PathLike | None = None) -> Notes:
    """Files of a note each, folders of them; or with labels one file of notes of equal length."""
    if labels is None:
        return read_folder_or_file(*paths)
    if len(paths) != 1:
        raise ValueError(f"--labels are for one file of notes, got {len(paths)} files")
    return read_labelled(paths[0], labels)


def fit_notes(
    notes: Notes,
    folder: Path,
    title: str,
    command: str,
    filter: str | None = None,
    knots: int | None = None,
    steps: int | None = None,
    model: TrainedExtractor | None = None,
    progress: Callable[[str, float], None] | None = None,
) -> FittedNotes:
    """Fits patches to notes and writes them with metrics and report into a folder.

    Args:
        title, command: what the page is called, and what made it.
        filter: "lowpass", "ladder", or "coefficients", whose numbers stand at every control frame; by default the model's,
            or "lowpass".
        knots: of the cutoff over the longest note; by default one in 21 ms.
        steps: of the descent; by default 400, or 40 from a start.
        model: a trained extractor, whose synth is fitted, and from which the descent sets out.
        progress: called with words and the share that is done.

    Raises:
        ValueError: as `fit_acid`; nothing is written then.
    """
    steps = steps or (STEPS if model is None else STEPS_FROM_A_START)
    synth = _synth(notes.sample_rate, filter) if model is None else _synth_of(model, filter)

    def moved_on(step: int, loss: float) -> None:
        if progress is not None:
            progress(f"fitting, MSS {loss:.3f}", step / steps)

    fit = fit_acid(
        notes,
        synth,
        steps,
        knots=None if synth.settings["filter"] == "coefficients" else smooth_knots(synth, notes, knots),
        start=None if model is None else model.start(notes),
        progress=moved_on,
    )
    remarks = ["The fit was interrupted; this is the best until then."] if fit.interrupted else []
    return FittedNotes(fit, write_acid_fit(folder, fit, title, command, remarks), summary(fit))


def _synth(rate: int, filter: str | None) -> AcidSynth:
    highest_hz = min(HIGHEST_HZ, 0.45 * rate)
    return AcidSynth(rate, filter or "lowpass", highest_hz=highest_hz, shaped=True, noise=True, output_fir=True)


def _synth_of(model: TrainedExtractor, filter: str | None) -> AcidSynth:
    trained = model.synth.settings["filter"]
    if filter not in (None, trained):
        raise ValueError(f"the model plays filter={trained}, got filter={filter}: leave one of them out")
    return model.synth
