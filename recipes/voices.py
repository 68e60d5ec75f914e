"""What a vocoder's encoder trains on: recordings of a voice, cut into pieces, some whole recordings held out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from lightning import LightningDataModule
from rich.console import Console
from rich.progress import Progress
from torch import Tensor
from torch.utils.data import DataLoader

from data import cache
from diffapf import audio
from diffapf.identification.voice_analysis import VoiceAnalysis, analyse_voice
from diffapf.report.voice_fit import at_the_models_rate
from diffapf.synths.voice_encoder import Sung

SONG_SECONDS = 10.0  # of the pieces that a simulated song is cut into, each a recording
SUFFIXES = (".wav", ".flac")
HELD_OUT = 0.1  # of the recordings, to validate and to test: at least one each


@dataclass(frozen=True)
class Recorded:
    """A recording at the models' sample rate, `(time,)`, and what WORLD hears in it."""

    name: str
    audio: Tensor
    analysis: VoiceAnalysis

    def sung(self, first: int, frames: int, hop: int) -> Sung:
        """So many hops from a frame on, as a batch of one."""
        samples, inside = slice(first * hop, (first + frames) * hop), slice(first, first + frames + 1)
        heard = self.analysis
        return Sung(self.audio[None, samples], heard.f0_hz[None, inside].float(), heard.voiced[None, inside].float())

    def whole(self, hop: int) -> Sung:
        return self.sung(0, len(self.audio) // hop, hop)


class Voices(LightningDataModule):
    """Recordings as Lightning data: an epoch is `steps` batches of pieces; validation and test are whole recordings.

    Args:
        recordings: all of them, in an order in which the last are tested.
        title: what reports call them.
        hop: samples a frame.
        batch: pieces a step.
        seconds: of a piece.
    """

    def __init__(
        self, recordings: Sequence[Recorded], title: str, hop: int, batch: int, seconds: float, sample_rate: float
    ):
        super().__init__()
        held = max(1, round(HELD_OUT * len(recordings)))
        if len(recordings) < 2 * held + 1:
            raise ValueError(
                f"{title}: {len(recordings)} recordings are too few to train on one, validate on one and test on one"
            )
        self.recordings, self.title, self.hop, self.batch = list(recordings), title, hop, batch
        self.frames = round(seconds * sample_rate / hop)
        self.of_part = {
            "train": self.recordings[: -2 * held],
            "validation": self.recordings[-2 * held : -held],
            "test": self.recordings[-held:],
        }
        self.pieces = [
            (recorded, first)
            for recorded in self.of_part["train"]
            for first in range(0, len(recorded.audio) // hop - self.frames + 1, max(1, self.frames // 4))
        ]
        if not self.pieces:
            raise ValueError(f"{title}: no recording is as long as a piece, {seconds:g} s (data.seconds)")
        self.steps, self.random = 1, np.random.default_rng(0)

    def train_dataloader(self) -> DataLoader:
        return _loader(list(self._batches()))

    def val_dataloader(self) -> DataLoader:
        return _loader([recorded.whole(self.hop) for recorded in self.of_part["validation"]])

    def _batches(self) -> Iterator[Sung]:
        for _ in range(self.steps):
            chosen = self.random.choice(len(self.pieces), min(self.batch, len(self.pieces)), replace=False)
            pieces = [self.pieces[i][0].sung(self.pieces[i][1], self.frames, self.hop) for i in chosen]
            yield Sung(
                *(torch.cat([getattr(piece, name) for piece in pieces]) for name in ("audio", "f0_hz", "voiced"))
            )


def _loader(batches: Sequence[Sung]) -> DataLoader:
    return DataLoader(batches, batch_size=None, collate_fn=lambda batch: batch)  # type: ignore[arg-type]


# --------------------------------------------------------------------------------------------------------------- sources


def singer(name: str, seconds_of_song: float, hop: int, batch: int, seconds: float, sample_rate: float) -> Voices:
    """A simulated singer's song."""
    song = cache.song(name, seconds=seconds_of_song)
    if song.sample_rate != sample_rate:
        raise ValueError(f"the singers sing at {song.sample_rate} Hz, got model.sample_rate={sample_rate:g}")
    length = round(SONG_SECONDS * sample_rate)
    parts = [torch.from_numpy(part).float() for part in np.split(song.audio, range(length, len(song.audio), length))]
    named = [(f"{name} {i + 1}", part) for i, part in enumerate(parts) if len(part) >= round(seconds * sample_rate)]
    return Voices(_heard(named, sample_rate, hop), f"Simulated {name}", hop, batch, seconds, sample_rate)


def recordings(path: str, hop: int, batch: int, seconds: float, sample_rate: float) -> Voices:
    """A folder of recordings of one voice, dry; in the order of their names, the last ones are held out."""
    if not path:
        raise ValueError("data.path is missing: give a folder of recordings of one voice, data.path=my_voice")
    folder = Path(path)
    if not folder.is_dir():
        raise ValueError(f"data.path={path}: there is no such folder")
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES)
    if not files:
        raise ValueError(f"data.path={path}: there are no {' or '.join(SUFFIXES)} files in it")
    named = [(file.name, at_the_models_rate(audio.read(file))[0]) for file in files]
    return Voices(_heard(named, sample_rate, hop), folder.name, hop, batch, seconds, sample_rate)


def _heard(named: Sequence[tuple[str, Tensor]], sample_rate: float, hop: int) -> list[Recorded]:
    """With WORLD's analyses, which take a quarter of real time and are kept."""
    found = []
    with Progress(console=Console(stderr=True), transient=True) as bar:
        for name, sound in bar.track(named, description="Tracking pitch"):
            try:
                found.append(Recorded(name, sound, _kept_analysis(sound, sample_rate, hop)))
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
    return found


def _kept_analysis(sound: Tensor, sample_rate: float, hop: int) -> VoiceAnalysis:
    key = hashlib.sha256(sound.numpy().tobytes() + f"{sample_rate:g} {hop}".encode()).hexdigest()[:24]
    path = cache.cache_folder() / f"voice_{key}.pt"
    names = ("f0_hz", "voiced", "power", "aperiodicity")
    if path.is_file():
        return VoiceAnalysis(*(torch.load(path)[name] for name in names))
    analysis = analyse_voice(sound, sample_rate, hop)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    torch.save({name: getattr(analysis, name) for name in names}, part)
    part.replace(path)
    return analysis
