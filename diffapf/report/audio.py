"""The audio of a results folder: reading the first seconds of each part, and embedding them in a page.

Tracks are embedded as 16-bit FLAC. A lossy codec is not an option: its own ESR (MP3 4e-4 to 9e-3, Opus 2e-3 to 2e-2)
is larger than a good model's, so one would listen to the codec.
"""

from __future__ import annotations

import base64
import io
import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soundfile

from diffapf.report.text import with_unit

CLIP_SECONDS = 10.0
"""How much of each part is embedded."""

PAGE_BYTES = 2_800_000
"""Of all tracks as FLAC; with more, all parts are cut: a page of 5 MB has room for these in base64, and for its pictures."""

MAXIMUM_BOOST = 100.0
"""The largest gain that the player puts on a difference: +40 dB."""

_LOUDEST = 4.0
"""A part is turned down to fit 16 bits by 12 dB at most: one track that exploded must not silence the others."""

_FIRST_TRACKS = ("dry", "target", "prediction", "difference")
_FIRST_PARTS = ("test", "validation", "val", "train")


@dataclass(frozen=True)
class Track:
    """One recording, `samples` of shape (time, channels)."""

    name: str
    samples: np.ndarray

    @property
    def is_difference(self) -> bool:
        """Whether this is an error signal, which is listened to with gain."""
        return self.name.startswith("difference")

    @property
    def peak(self) -> float:
        """The largest finite magnitude."""
        return float(np.abs(_finite(self.samples)).max())


@dataclass(frozen=True)
class Part:
    """The tracks of one part of the data (train, validation, test, …), cut to their first seconds."""

    name: str
    rate: int
    tracks: list[Track]
    full_seconds: float

    @property
    def seconds(self) -> float:
        """The length that is embedded."""
        return len(self.tracks[0].samples) / self.rate

    @property
    def gain(self) -> float:
        """The gain that all tracks are embedded with, so that none clips."""
        peak = max((track.peak for track in self.tracks if not track.is_difference), default=0.0)
        return 1 / min(peak, _LOUDEST) if peak > 1 else 1.0

    @property
    def remarks(self) -> list[str]:
        """What a listener must know about the tracks, in sentences."""
        remarks = []
        if self.full_seconds > self.seconds:
            remarks.append(f"These are the first {self.seconds:.0f} s of {self.full_seconds:.1f} s.")
        if self.gain < 1:
            level = with_unit(f"{-20 * math.log10(self.gain):.1f}", "dB")
            remarks.append(f"All tracks are turned down by {level}: they exceed full scale.")
        for track in self.tracks:
            if not np.isfinite(track.samples).all():
                remarks.append(f"“{track.name}” has samples that are not finite; they are silent here.")
            if not track.is_difference and track.peak > _LOUDEST:
                remarks.append(f"“{track.name}” is clipped: its peak is {20 * math.log10(track.peak):+.0f} dBFS.")
        return remarks


@dataclass(frozen=True)
class Embedded:
    """A track as base64 FLAC; `gain` times the decoded samples is what is heard, and `peak` its largest magnitude."""

    flac: str
    gain: float
    peak: float


def read_parts(folder: Path) -> list[Part]:
    """Read `folder/<part>/<track>.flac|.wav`, test first; an absent folder has no parts."""
    if not folder.is_dir():
        return []
    folders = sorted((entry for entry in folder.iterdir() if entry.is_dir()), key=lambda f: _rank(f.name, _FIRST_PARTS))
    return _within_page([part for part in map(_read_part, folders) if part is not None])


def _within_page(parts: list[Part]) -> list[Part]:
    """Their beginnings, where noise, which no codec makes small, would need more than a page has."""
    needed = sum(len(_flac(_finite(track.samples), part.rate)) for part in parts for track in part.tracks)
    if needed <= PAGE_BYTES:
        return parts
    return [_cut(part, PAGE_BYTES / needed) for part in parts]


def _cut(part: Part, share: float) -> Part:
    length = max(1, int(share * len(part.tracks[0].samples)))
    return replace(part, tracks=[Track(track.name, track.samples[:length]) for track in part.tracks])


def embed(part: Part, track: Track) -> Embedded:
    """Encode one track of a part."""
    # A difference is stored near full scale and turned down by the player: boosted by 40 dB, a quiet one would
    # otherwise bring the noise of 16 bits with it.
    normalise = track.is_difference and track.peak > 0
    scale = min(0.999 / track.peak, MAXIMUM_BOOST) if normalise else part.gain
    flac = _flac(_finite(track.samples) * scale, part.rate)
    return Embedded(base64.b64encode(flac).decode("ascii"), gain=part.gain / scale, peak=track.peak * part.gain)


def _read_part(folder: Path) -> Part | None:
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in (".flac", ".wav"))
    if not files:
        return None
    names = [f"audio/{folder.name}/{file.name}" for file in files]
    clips = [_read_clip(file, name) for file, name in zip(files, names, strict=True)]
    rates = [rate for _, rate, _ in clips]
    if len(set(rates)) > 1:
        rates_of = ", ".join(f"{name}: {rate} Hz" for name, rate in zip(names, rates, strict=True))
        raise ValueError(f"the tracks of one part need one sample rate ({rates_of})")
    # All tracks loop together, so all are as long as the shortest.
    length = min(len(samples) for samples, _, _ in clips)
    tracks = [Track(file.stem, samples[:length]) for file, (samples, _, _) in zip(files, clips, strict=True)]
    tracks = sorted(_with_difference(tracks), key=lambda track: _rank(track.name, _FIRST_TRACKS))
    return Part(folder.name, rates[0], tracks, full_seconds=max(seconds for _, _, seconds in clips))


def _read_clip(file: Path, name: str) -> tuple[np.ndarray, int, float]:
    """Samples (time, channels) of the first seconds, the rate, and the length of the whole file in seconds."""
    try:
        with soundfile.SoundFile(file) as sound:
            samples = sound.read(round(CLIP_SECONDS * sound.samplerate), always_2d=True)
            rate, seconds = sound.samplerate, sound.frames / sound.samplerate
    except soundfile.LibsndfileError as error:
        raise ValueError(f"{name} cannot be read as audio: {error}") from error
    if len(samples) == 0:
        raise ValueError(f"{name} has no samples")
    return samples, rate, seconds


def _with_difference(tracks: list[Track]) -> list[Track]:
    by_name = {track.name: track.samples for track in tracks}
    if "difference" in by_name or not {"target", "prediction"} <= set(by_name):
        return tracks
    return [*tracks, Track("difference", by_name["target"] - by_name["prediction"])]


def _flac(samples: np.ndarray, rate: int) -> bytes:
    integers = np.clip(np.round(samples * 2**15), -(2**15), 2**15 - 1).astype(np.int16)
    file = io.BytesIO()
    soundfile.write(file, integers, rate, format="FLAC", subtype="PCM_16")
    return file.getvalue()


def _finite(samples: np.ndarray) -> np.ndarray:
    return np.nan_to_num(samples, nan=0.0, posinf=0.0, neginf=0.0)


def _rank(name: str, first: tuple[str, ...]) -> tuple[int, str]:
    return (first.index(name) if name in first else len(first), name)
