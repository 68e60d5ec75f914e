"""Networks that hear a note and say what plays it: modulation extractors.

Both take a batch of `Heard` notes, and give raw numbers of a synth's controls: `(notes, globals)`, and
`(notes, frames, moving)`.

    PaperExtractor   log-mel spectrogram as an image, six dilated 2-D convolutions: 0.7 M parameters
    LightExtractor   mel bands as channels beside the oscillator's phase and pitch, dilated 1-D convolutions: 0.13 M, and
                     sixty times faster

Source: Yu et al., DAFx 2024, section 4.2 and its published code; Mitcheltree et al., "Modulation extraction for LFO-driven
audio effects", DAFx 2023.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm

from diffapf.synths.controls import Control, split

REFERENCE_HZ = 110.0


@dataclass
class Heard:
    """What an extractor is told of notes.

    Args:
        shown: of the notes, `(notes, channels, frames)`; see `AcidMatcher.shown`.
        f0_hz: at each frame, `(notes, frames)`.
        phase: of the oscillator at each frame, radians.
        target_phase: of the note's fundamental at each frame, radians.
        gate: 1 while the note is on, at each frame.
    """

    shown: Tensor
    f0_hz: Tensor
    phase: Tensor
    target_phase: Tensor
    gate: Tensor


class Extractor(nn.Module):
    """controls: of the synth that will play, in its order; hop: its samples a frame."""

    RESOLUTIONS: ClassVar[tuple[tuple[int, int], ...]] = ((1024, 128),)
    """Samples of a window and mel bands, of each spectrogram that it is shown, one under the other."""
    AT_EQUAL_POWER: ClassVar[bool] = False
    """Whether it is shown notes that were made equally loud."""
    SEES_WAVES: ClassVar[bool] = False
    """Whether it is shown the waveform too, a hop of samples a frame."""

    def __init__(self, controls: Sequence[Control], hop: int = 32):
        super().__init__()
        self.bands = sum(bands for _, bands in self.RESOLUTIONS)
        self.channels = self.bands + hop * self.SEES_WAVES
        self.of_notes = tuple(control for control in controls if not control.moves)
        self.of_frames = tuple(control for control in controls if control.moves)

    @property
    def moving_channels(self) -> int:
        return sum(control.channels for control in self.of_frames)

    def raw(self, heard: Heard) -> tuple[Tensor, Tensor]:
        raise NotImplementedError

    def forward(self, heard: Heard) -> dict[str, Tensor]:
        """The values of all controls."""
        of_notes, of_frames = self.raw(heard)
        return split(of_notes, self.of_notes) | split(of_frames, self.of_frames)


class GlobalHeads(nn.Module):
    """A head for each control of a note, on the time-mean of the latent: 64 → 32, dropout, PReLU, 32 → 1."""

    def __init__(self, latent: int, count: int, hidden: int = 32, dropout: float = 0.25):
        super().__init__()
        self.heads = nn.ModuleList(
            nn.Sequential(nn.Linear(latent, hidden), nn.Dropout(dropout), nn.PReLU(hidden), nn.Linear(hidden, 1))
            for _ in range(count)
        )

    def forward(self, mean: Tensor) -> Tensor:
        return torch.cat([head(mean) for head in self.heads], -1)


class PaperExtractor(Extractor):
    """The published network."""

    KERNEL, DILATIONS, CHANNELS = (5, 7), (1, 1, 2, 4, 8, 16), 64

    def __init__(self, controls: Sequence[Control], hop: int = 32):
        super().__init__(controls, hop)
        blocks, channels = [], 1
        for dilation in self.DILATIONS:
            blocks.append(ImageBlock(channels, self.CHANNELS, self.KERNEL, dilation))
            channels = self.CHANNELS
        self.blocks = nn.Sequential(*blocks)
        self.moving = nn.Linear(channels, self.moving_channels)
        self.heads = GlobalHeads(channels, len(self.of_notes))

    def raw(self, heard: Heard) -> tuple[Tensor, Tensor]:
        latent = self.blocks(heard.shown[:, None]).mean(-2).transpose(1, 2)
        return self.heads(latent.mean(1)), self.moving(latent)


class ImageBlock(nn.Module):
    """Layer-norm over bins and frames, a convolution dilated in time, max-pooling by 2 along frequency, PReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: tuple[int, int], dilation: int):
        super().__init__()
        self.convolution = nn.Conv2d(inputs, outputs, kernel, padding="same", dilation=(1, dilation))
        self.pool, self.activation = nn.MaxPool2d((2, 1)), nn.PReLU(outputs)

    def forward(self, image: Tensor) -> Tensor:
        return self.activation(self.pool(self.convolution(layer_norm(image, image.shape[-2:]))))


class LightExtractor(Extractor):
    """Sees, besides the mel bands, cos and sin of both phases and of twice them, the pitch, and the gate.

    Some bands are of windows shorter than a period, and it sees the waveform: the coefficients of a frame of 0.7 ms can
    shape single pulses. In 400 steps notes that were never heard are played better by 0.05 and 0.06 MSS.
    """

    RESOLUTIONS = ((1024, 128), (256, 32))
    AT_EQUAL_POWER = SEES_WAVES = True
    EXTRA, DILATIONS, CHANNELS = 10, (1, 2, 4, 8, 16), 64

    def __init__(self, controls: Sequence[Control], hop: int = 32, dropout: float = 0.04):
        super().__init__(controls, hop)
        self.first = nn.Conv1d(self.channels + self.EXTRA, self.CHANNELS, 3, padding="same")
        self.blocks = nn.Sequential(*(ResidualBlock(self.CHANNELS, dilation, dropout) for dilation in self.DILATIONS))
        self.moving = nn.Conv1d(self.CHANNELS, self.moving_channels, 1)
        with torch.no_grad():
            self.moving.weight *= 0.3  # a network that moves little at first
        self.heads = GlobalHeads(self.CHANNELS, len(self.of_notes))

    def raw(self, heard: Heard) -> tuple[Tensor, Tensor]:
        phases = (heard.phase, heard.target_phase)
        turns = [part(k * phase) for phase in phases for k in (1, 2) for part in (torch.cos, torch.sin)]
        octaves = torch.log2(heard.f0_hz / REFERENCE_HZ)
        extra = torch.stack([*turns, octaves, heard.gate], 1).to(heard.shown.dtype)
        bands, waves = heard.shown[:, : self.bands], heard.shown[:, self.bands :]
        latent = self.blocks(self.first(torch.cat([(bands + 4) / 4, waves, extra], 1)))
        return self.heads(latent.mean(-1)), self.moving(latent).transpose(1, 2)


class ResidualBlock(nn.Module):
    """h + ½ conv(dropout(PReLU(h)))"""

    def __init__(self, channels: int, dilation: int, dropout: float):
        super().__init__()
        self.body = nn.Sequential(
            nn.PReLU(channels),
            nn.Dropout1d(dropout),
            nn.Conv1d(channels, channels, 5, padding="same", dilation=dilation),
        )

    def forward(self, h: Tensor) -> Tensor:
        return h + 0.5 * self.body(h)
