"""What a recipe trains on: a dry and a wet track, and the parts of them to train, validate and test on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning import LightningDataModule
from torch import Tensor
from torch.nn.functional import pad
from torch.utils.data import DataLoader

from data.cache import levelling_amplifier, small_stone
from data.channel_strip import SETTINGS
from data.channel_strip import equalised as through_channel_strip
from data.programme import programme
from data.signals import SAMPLE_RATE
from data.vocal_chain import MATERIALS
from data.vocal_chain import SETTINGS as VOCAL_CHAINS
from data.vocal_chain import through as through_vocal_chain
from data.voice import singing
from diffapf.audio import default_parts, part_slice
from diffapf.checks import CheckedPair, check_pair
from diffapf.effects.compressor import Compressor
from diffapf.effects.vocal_presets import chain_of, read_presets

CUT_IN_SECONDS = 0.05
"""What a part that is cut from a longer file spends on reaching the state it was cut at: no loss is taken there."""


@dataclass
class Excerpt:
    """A stretch of the recording that is run, `start` samples into it; its loss is taken from sample `skip` on."""

    dry: Tensor
    wet: Tensor
    start: int
    skip: int


@dataclass
class Tracks:
    """A dry and a wet track `(channels, time)`, float64, and what is known of them."""

    dry: Tensor
    wet: Tensor
    sample_rate: int
    title: str
    remarks: tuple[str, ...] = ()
    checked: CheckedPair | None = None
    """What was found of recordings."""
    truth: Any = None
    """What is behind a simulated recording: a circuit's setting, or an effect; what the recipes' kinds can show of it."""
    parts: dict[str, slice] = field(default_factory=dict)
    delay_is_learned: bool = False
    """Whether descent learns by what part of a sample wet is late, beside the effect."""

    def excerpt(self, part: slice, lead_in: float = 0.0) -> Excerpt:
        """A part as it is run: after `lead_in` seconds of dry signal where there are as many, and without loss there."""
        before = min(part.start, round(lead_in * self.sample_rate))
        start = part.start - before
        cut_in = round(CUT_IN_SECONDS * self.sample_rate) if start > 0 else 0
        return Excerpt(self.dry[:, start : part.stop], self.wet[:, start : part.stop], start, max(before, cut_in))


class Pair(LightningDataModule):
    """One pair of tracks as Lightning data: an epoch is the training part, `steps` times; validation is its part once.

    Args:
        tracks: the recording.
        parts: seconds of "train", "validation" and "test".
    """

    def __init__(self, tracks: Tracks, parts: dict[str, Sequence[float]]):
        super().__init__()
        self.tracks = tracks
        length = tracks.dry.shape[1]
        for name, seconds in parts.items():
            span = (float(seconds[0]), float(seconds[1]))
            tracks.parts[name] = part_slice(span, tracks.sample_rate, length, f"data.{name}")
        self.steps = 1
        self.training_lead_in, self.lead_in = 0.0, 1.0  # seconds, before the training part and before the others

    @property
    def sample_rate(self) -> int:
        return self.tracks.sample_rate

    @property
    def title(self) -> str:
        return self.tracks.title

    def seconds(self, part: str) -> tuple[float, float]:
        span = self.tracks.parts[part]
        return span.start / self.sample_rate, span.stop / self.sample_rate

    def train_dataloader(self) -> DataLoader:
        return _loader([self.training_excerpt()] * self.steps)

    def val_dataloader(self) -> DataLoader:
        return _loader([self.tracks.excerpt(self.tracks.parts["validation"], self.lead_in)])

    def training_excerpt(self) -> Excerpt:
        return self.tracks.excerpt(self.tracks.parts["train"], self.training_lead_in)


def _loader(excerpts: list[Excerpt]) -> DataLoader:
    return DataLoader(excerpts, batch_size=None, collate_fn=lambda excerpt: excerpt)  # type: ignore[arg-type]


def simulated(setting: str, train: Sequence[float], validation: Sequence[float], test: Sequence[float]) -> Pair:
    """The embedded Small Stone at one of its settings: chirps for 60 s, then 10 s of guitar."""
    recording = small_stone(setting)
    tracks = Tracks(
        torch.from_numpy(recording.dry)[None],
        torch.from_numpy(recording.wet)[None],
        recording.sample_rate,
        f"Simulated Small Stone, {setting}",
        truth=recording.truth,
    )
    return Pair(tracks, {"train": train, "validation": validation, "test": test})


def compressed(
    setting: str,
    seconds: float,
    train: Sequence[float],
    validation: Sequence[float],
    test: Sequence[float],
    **arguments: Any,
) -> Pair:
    """The programme through a compressor of the model's own class, as in the paper; arguments: the compressor's."""
    compressor = Compressor(SAMPLE_RATE, **arguments).double()
    dry = torch.from_numpy(programme(seconds))[None]
    with torch.no_grad():
        wet = compressor(dry)
    tracks = Tracks(dry, wet, SAMPLE_RATE, f"A compressor's own output, {setting}", truth=compressor)
    return Pair(tracks, {"train": train, "validation": validation, "test": test})


def levelling(
    setting: str, seconds: float, train: Sequence[float], validation: Sequence[float], test: Sequence[float]
) -> Pair:
    """The simulated LA-2A at one of its settings, playing the programme."""
    recording = levelling_amplifier(setting, seconds=seconds)
    tracks = Tracks(
        torch.from_numpy(recording.dry)[None],
        torch.from_numpy(recording.wet)[None],
        recording.sample_rate,
        f"Simulated LA-2A, {setting}",
        truth=recording.truth,
    )
    return Pair(tracks, {"train": train, "validation": validation, "test": test})


def equalised(
    setting: str, seconds: float, train: Sequence[float], validation: Sequence[float], test: Sequence[float]
) -> Pair:
    """The singing voice through a channel strip at one of its settings."""
    if setting not in SETTINGS:
        raise ValueError(f"data.source.setting: got {setting!r}; there are {', '.join(SETTINGS)}")
    dry = singing(seconds)
    tracks = Tracks(
        torch.from_numpy(dry)[None],
        torch.from_numpy(through_channel_strip(dry, SETTINGS[setting], SAMPLE_RATE))[None],
        SAMPLE_RATE,
        f"A voice through a channel strip, {setting}",
        truth=SETTINGS[setting],
    )
    return Pair(tracks, {"train": train, "validation": validation, "test": test})


def mixed(
    setting: str,
    material: str,
    seconds: float,
    **parts: Sequence[float],
) -> Pair:
    """A voice, or drums, through a vocal chain at one of its settings, into a stereo mix; parts as `Pair` takes them."""
    if setting not in VOCAL_CHAINS:
        raise ValueError(f"data.setting: got {setting!r}; there are {', '.join(VOCAL_CHAINS)}")
    dry = dry_track(material, seconds)
    tracks = Tracks(
        torch.from_numpy(dry)[None],
        torch.from_numpy(through_vocal_chain(dry, VOCAL_CHAINS[setting])),
        SAMPLE_RATE,
        f"{material.capitalize()} through a vocal chain, {setting}",
        truth=VOCAL_CHAINS[setting],
    )
    return Pair(tracks, parts)


def of_preset(
    presets: str,
    row: int,
    material: str,
    seconds: float,
    **parts: Sequence[float],
) -> Pair:
    """A voice, or drums, through a published preset: a chain of the model's own class; parts as `Pair` takes them."""
    if not presets:
        raise ValueError("data.presets is missing: give a folder with raw_params.npy, data.presets=…")
    rows = read_presets(presets).rows
    if not 0 <= row < len(rows):
        raise ValueError(f"data.row: got {row}; {presets} has rows 0 to {len(rows) - 1}")
    chain = chain_of(rows[row], SAMPLE_RATE)
    dry = torch.from_numpy(dry_track(material, seconds))[None]
    with torch.no_grad():
        wet = chain(pad(dry, (0, chain.latency)))[:, chain.latency :]
    title = f"{material.capitalize()} through preset {row} of {Path(presets).name}"
    return Pair(Tracks(dry, wet, SAMPLE_RATE, title, truth=chain), parts)


def dry_track(material: str, seconds: float) -> np.ndarray:
    """What goes into vocal chains, `(time,)`."""
    if material not in MATERIALS:
        raise ValueError(f"data.material: got {material!r}; there are {', '.join(MATERIALS)}")
    return MATERIALS[material](seconds)


def recordings(
    dry: str,
    wet: str,
    train: Sequence[float] | None = None,
    validation: Sequence[float] | None = None,
    test: Sequence[float] | None = None,
    learn_delay: bool = True,
) -> Pair:
    """Any pair of audio files, its latency taken out as far as the checks know it. Parts are in seconds; by default the
    first three quarters train, and the rest tests.

    Without a validation part of its own, the last tenth of the training part validates, and trains nothing. learn_delay:
    what is left of the latency, a part of a sample, is a parameter of a training by descent.
    """
    for name, path in (("dry", dry), ("wet", wet)):
        if not path:
            raise ValueError(f"data.{name} is missing: give the path of an audio file, data.{name}=my_{name}.wav")
    checked = check_pair(dry, wet)
    pair = checked.aligned()
    wet_track = torch.from_numpy(pair.wet)
    tracks = Tracks(
        torch.from_numpy(pair.dry).expand_as(wet_track),
        wet_track,
        pair.sample_rate,
        f"{Path(wet).name} from {Path(dry).name}",
        remarks=pair.remarks,
        checked=checked,
        delay_is_learned=learn_delay,
    )
    parts: dict[str, Sequence[float]] = dict(default_parts(tracks.wet.shape[1] / tracks.sample_rate))
    if train is not None:
        begin, end = train
        held_out = end - (end - begin) / 10
        parts |= {"train": (begin, held_out), "validation": (held_out, end)}
        parts["test"] = (end, tracks.wet.shape[1] / tracks.sample_rate)
    if validation is not None:
        parts["validation"] = validation
        if train is not None:
            parts["train"] = train
    if test is not None:
        parts["test"] = test
    found = Pair(tracks, parts)
    for name in parts:
        tracks.parts[name] = part_slice(
            pair.of_covered(*found.seconds(name)), tracks.sample_rate, tracks.wet.shape[1], name
        )
    return found
