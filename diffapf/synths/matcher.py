"""Sound matching: an extractor that hears notes, and the acid synth that plays them again.

    note ── log-mel, pitch, phase ── extractor ── controls ── synth ── prediction

The oscillator stands where the note's does (phase="target": its fundamental's phase, plus one learned offset, that of the
oscillator's wave and the filter's lag), or anywhere (phase="random", as published); then the extractor is told both.

Source: Yu et al., DAFx 2024, sections 4.2 and 5.2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn

from diffapf.filters.methods import FrequencySampling, TimeDomain
from diffapf.model import Model
from diffapf.synths.acid import AcidSynth, Note
from diffapf.synths.extractors import Extractor, Heard, LightExtractor, PaperExtractor
from diffapf.synths.mel import LogMel
from diffapf.synths.noise import LENGTH as NOISE_LENGTH
from diffapf.synths.oscillators import running_phase

EXTRACTORS: dict[str, type[Extractor]] = {"light": LightExtractor, "paper": PaperExtractor}
PHASES = ("target", "random")
FIRST_OFFSET = -2.0  # radians: where training leaves it, for notes of pulses downward
HEADROOM = 5.0  # the distortion's limit over the root mean square


@dataclass
class Batch:
    """Notes to be matched, on the same device.

    Args:
        audio: `(notes, time)`.
        f0_hz: `(notes, time)`.
        note_on: `(notes,)`, samples.
        phase: of the notes' fundamentals, `(notes,)`; see `oscillator_phase`.
        shown: of the audio to the extractor, where it is known; see `AcidMatcher.shown`.
    """

    audio: Tensor
    f0_hz: Tensor
    note_on: Tensor
    phase: Tensor
    shown: Tensor | None = None

    def __len__(self) -> int:
        return len(self.audio)

    def __getitem__(self, index: Any) -> Batch:
        values = (getattr(self, field.name) for field in fields(self))
        return Batch(*(None if value is None else value[index] for value in values))  # type: ignore[arg-type]


class AcidMatcher(Model):
    """extractor: "light" or "paper"; phase: "target" or "random"; more: of `AcidSynth`."""

    def __init__(
        self,
        sample_rate: float,
        extractor: str = "light",
        phase: str = "target",
        method: TimeDomain | FrequencySampling | None = None,
        **synth: Any,
    ):
        super().__init__(sample_rate)
        if extractor not in EXTRACTORS:
            raise ValueError(f"extractor must be one of {', '.join(EXTRACTORS)}, got {extractor!r}")
        if phase not in PHASES:
            raise ValueError(f"phase must be one of {', '.join(PHASES)}, got {phase!r}")
        self.synth = AcidSynth(sample_rate, method=method, **synth)
        self.settings = {"extractor": extractor, "phase": phase, **self.synth.settings}
        self.extractor = EXTRACTORS[extractor](self.synth.controls, self.synth.hop)
        self.phase = phase
        self.offset = nn.Parameter(torch.tensor(FIRST_OFFSET))
        self.offset.requires_grad_(phase == "target")
        self.mels = nn.ModuleList(
            LogMel(sample_rate, self.synth.hop, n_fft, bands) for n_fft, bands in self.extractor.RESOLUTIONS
        )

    def configuration(self) -> dict[str, Any]:
        return self.settings

    def shown(self, audio: Tensor) -> Tensor:
        """What the extractor is shown of notes, `(notes, channels, frames)`: all its bands, then the waveform."""
        if self.extractor.AT_EQUAL_POWER:
            audio = audio / audio.square().mean(-1, keepdim=True).sqrt().clamp(min=1e-7)
        spectra = torch.cat([mel(audio) for mel in self.mels], 1)
        if not self.extractor.SEES_WAVES:
            return spectra
        return torch.cat([spectra, self._waves(audio, spectra.shape[-1])], 1)

    def _waves(self, audio: Tensor, frames: int) -> Tensor:
        """The samples around each frame, hop of them, `(notes, hop, frames)`."""
        hop = self.synth.hop
        padded = torch.nn.functional.pad(audio, (hop // 2, frames * hop))
        return padded.unfold(-1, hop, hop)[:, :frames].transpose(1, 2)

    def start_phase(self, batch: Batch) -> Tensor:
        """The oscillator's, `(notes,)`; where it is random, drawn anew."""
        if self.phase == "target":
            return batch.phase + self.offset
        return math.pi * (2 * torch.rand(len(batch), dtype=torch.float64, device=batch.audio.device) - 1)

    def hear(self, batch: Batch, start_phase: Tensor) -> dict[str, Tensor]:
        """The controls' values for an oscillator that starts at a phase."""
        shown = self.shown(batch.audio) if batch.shown is None else batch.shown
        frames = torch.arange(shown.shape[-1], device=batch.audio.device) * self.synth.hop
        at_frames = frames.clamp(max=batch.audio.shape[-1] - 1)
        psi = running_phase(batch.f0_hz, self.synth.sample_rate)[:, at_frames]
        gate = (frames < batch.note_on[:, None]).to(shown.dtype)
        heard = Heard(shown, batch.f0_hz[:, at_frames], psi + start_phase[:, None], psi + batch.phase[:, None], gate)
        return self.extractor(heard)

    def level(self, batch: Batch) -> Tensor:
        """Of the output: HEADROOM times the note's root mean square, so that its power need not be learned."""
        return HEADROOM * batch.audio.square().mean(-1).sqrt()

    def note(self, batch: Batch, start_phase: Tensor) -> Note:
        """What the synth is told besides controls."""
        noise_start = torch.randint(NOISE_LENGTH, (len(batch),), device=batch.audio.device)
        return Note(batch.f0_hz, batch.note_on, start_phase, self.level(batch), noise_start)

    def forward(self, batch: Batch) -> Tensor:
        """The prediction, `(notes, time)`, by the synth's method."""
        start = self.start_phase(batch)
        return self.synth(self.note(batch, start), self.hear(batch, start))
