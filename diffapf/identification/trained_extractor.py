"""Where the fit of a note sets out from: what a trained extractor hears in it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from diffapf.identification.pitch import oscillator_phase
from diffapf.notes import Notes
from diffapf.synths.acid import AcidSynth
from diffapf.synths.matcher import AcidMatcher, Batch


@dataclass(frozen=True)
class TrainedExtractor:
    """A matcher that `train.py experiment=acid` trained, and its synth."""

    matcher: AcidMatcher

    @property
    def synth(self) -> AcidSynth:
        return self.matcher.synth

    @torch.no_grad()
    def start(self, notes: Notes) -> dict[str, Tensor]:
        """Raw numbers of all controls, phase and level, as `fit_acid` takes them.

        Raises:
            ValueError: notes of another sample rate than the extractor was trained on.
        """
        if notes.sample_rate != self.matcher.sample_rate:
            raise ValueError(
                f"the model was trained on notes of {self.matcher.sample_rate:g} Hz, these have {notes.sample_rate} Hz; "
                "resample them"
            )
        batch = matched(notes)
        phase = self.matcher.start_phase(batch)
        values = self.matcher.hear(batch, phase)
        raw = {control.name: control.raw(values[control.name]) for control in self.synth.controls}
        return {**raw, "phase": phase, "level": self.matcher.level(batch)}


def matched(notes: Notes) -> Batch:
    """Notes as a matcher takes them."""
    phase = oscillator_phase(notes.audio, notes.f0_hz, notes.note_on, notes.sample_rate)
    return Batch(notes.audio, notes.f0_hz, notes.note_on, phase)


def load_start(path: str | os.PathLike) -> TrainedExtractor:
    """The extractor of a training run: its folder, or the model.yaml in it; raises ValueError for what is none."""
    path = Path(path)
    file = path / "model.yaml" if path.is_dir() else path
    if not file.is_file():
        raise ValueError(f"there is no trained extractor {file}; give the folder of a run of train.py experiment=acid")
    return TrainedExtractor(AcidMatcher.load(file).eval())
