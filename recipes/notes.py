"""What a sound matcher trains on: notes, and which of them train, validate and test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader

from data import cache
from diffapf import audio
from diffapf.identification.trained_extractor import matched
from diffapf.needs import needed
from diffapf.notes import Notes, cut_loops, folds, read_folder_or_file, read_labelled
from diffapf.synths.matcher import AcidMatcher, Batch

VALIDATION = TEST = 0.2  # of simulated notes, as published
SPLIT_SEED = 42


@dataclass
class Augmentation:
    """What training sees besides its notes, each a share of the steps.

    Args:
        resampled: the notes played faster or slower, as a sampler plays them.
        semitones: by how much at most.
        copies: of each note.
        simulated: notes of the embedded synth.
        loops: how many loops of them.
    """

    resampled: float = 0.0
    semitones: float = 5.0
    copies: int = 8
    simulated: float = 0.0
    loops: int = 100


class MatchedNotes(LightningDataModule):
    """Notes as Lightning data: an epoch is `steps` batches; validation and test are a batch each.

    Args:
        notes: all of them.
        parts: indices of "train", "validation" (may be empty) and "test".
        title: what reports call them.
        batch: notes a step.
        augmentation: see there.
    """

    def __init__(
        self,
        notes: Notes,
        parts: dict[str, Sequence[int]],
        title: str,
        batch: int = 14,
        augmentation: Augmentation | None = None,
    ):
        super().__init__()
        self.notes, self.title, self.batch = notes, title, batch
        self.augmentation = augmentation or Augmentation()
        self.parts = {name: torch.as_tensor(list(indices), dtype=torch.int64) for name, indices in parts.items()}
        if not len(self.parts["train"]) or not len(self.parts["test"]):
            raise ValueError(f"{title}: {len(notes)} notes are too few to train on some and test on others")
        self.pools: list[tuple[float, Batch]] = []
        self.steps = 1

    def prepare(self, matcher: AcidMatcher, seed: int) -> None:
        """Everything that is the same at each step, once: phases, spectrograms, resampled copies."""
        self.of_part = {name: prepared(self.notes.subset(list(i)), matcher) for name, i in self.parts.items() if len(i)}
        more = self.augmentation
        self.pools = [(1 - more.resampled - more.simulated, self.of_part["train"])]
        self.random = np.random.default_rng(seed)
        if more.resampled:
            training = self.notes.subset(self.parts["train"].tolist())
            self.pools.append((more.resampled, prepared(resampled(training, more, self.random), matcher)))
        if more.simulated:
            self.pools.append((more.simulated, prepared(simulated_notes(more.loops), matcher)))

    def train_dataloader(self) -> DataLoader:
        return _loader(self._batches())

    def val_dataloader(self) -> DataLoader:
        return _loader([self.of_part[name] for name in ("validation",) if name in self.of_part])

    def _batches(self) -> list[Batch]:
        return [self._batch() for _ in range(self.steps)]

    def _batch(self) -> Batch:
        shares = [share for share, _ in self.pools]
        pool = self.pools[self.random.choice(len(shares), p=shares)][1]
        return pool[torch.from_numpy(self.random.choice(len(pool), min(self.batch, len(pool)), replace=False))]


def _loader(batches: Sequence[Batch]) -> DataLoader:
    return DataLoader(batches, batch_size=None, collate_fn=lambda batch: batch)  # type: ignore[arg-type]


def prepared(notes: Notes, matcher: AcidMatcher) -> Batch:
    """Notes as a batch, with their phases and spectrograms."""
    with torch.no_grad():
        return replace(matched(notes), shown=matcher.shown(notes.audio))


def resampled(notes: Notes, augmentation: Augmentation, random: np.random.Generator) -> Notes:
    """Copies of notes, each of another pitch and duration; what is longer then is cut, what is shorter ends in zeros."""
    soxr = needed("soxr")
    audio, f0, note_on = [], [], []
    time = notes.audio.shape[-1]
    for _ in range(augmentation.copies):
        ratio = 2 ** (random.uniform(-augmentation.semitones, augmentation.semitones) / 12)
        sound = torch.from_numpy(soxr.resample(notes.audio.numpy().T.copy(), ratio, 1.0).T.copy())
        until = (notes.note_on / ratio).long().clamp(1, time)
        at = (torch.arange(time) * ratio).long().clamp(max=time - 1)
        audio.append(_of_length(sound, time) * (torch.arange(time) < until[:, None]))
        f0.append(notes.f0_hz[:, at] * ratio)
        note_on.append(until)
    names = notes.names * augmentation.copies
    return replace(
        notes, audio=torch.cat(audio), f0_hz=torch.cat(f0), note_on=torch.cat(note_on), names=names, remarks=()
    )


def _of_length(sound: Tensor, time: int) -> Tensor:
    return torch.nn.functional.pad(sound[:, :time], (0, max(0, time - sound.shape[-1])))


# --------------------------------------------------------------------------------------------------------------- sources


def simulated_notes(loops: int) -> Notes:
    """Of the embedded synth."""
    made = cache.acid_notes(loops)
    audio, f0, note_on = (torch.from_numpy(part) for part in (made.audio, made.f0_hz, made.note_on))
    return Notes(audio, f0, note_on.long(), made.sample_rate, [f"note {i}" for i in range(len(audio))])


def simulated(loops: int, **more: Any) -> MatchedNotes:
    """The embedded synth's notes, split at random as published: 60 % to train on, 20 % to validate and to test on."""
    notes = simulated_notes(loops)
    order = np.random.default_rng(SPLIT_SEED).permutation(len(notes))
    held = round(VALIDATION * len(notes))
    parts = {"train": order[2 * held :], "validation": order[:held], "test": order[held : 2 * held]}
    return MatchedNotes(notes, parts, "Simulated TB-303", **more)  # type: ignore[arg-type]


def recordings(path: str, labels: str | None, bpm: float | None, fold: int, of: int, **more: Any) -> MatchedNotes:
    """Recorded notes: a file with its labels beside it, loops at a tempo, or a folder of single notes; one fold is tested.

    Without `labels`, those in a CSV file of the same name or beside it, notes.csv for notes.wav, are taken.
    """
    if not path:
        raise ValueError("data.path is missing: give a file of notes or loops, or a folder, data.path=my_notes")
    place = Path(path)
    if not place.exists():
        raise ValueError(f"data.path={path}: there is no such file or folder")
    beside = (place / "notes.csv") if place.is_dir() else place.with_suffix(".csv")
    if labels or beside.is_file():
        notes = read_labelled(place / "notes.wav" if place.is_dir() else place, labels or beside)
    elif bpm:
        loop = audio.read(place)
        notes = cut_loops(torch.from_numpy(loop.samples), loop.sample_rate, bpm)
    else:
        notes = read_folder_or_file(place)
    train, test = folds(len(notes), fold, of)
    parts = {"train": train, "validation": [], "test": test}
    return MatchedNotes(notes, parts, f"{place.name}, fold {fold} of {of}", **more)
