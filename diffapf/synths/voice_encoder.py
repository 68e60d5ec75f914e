"""A network that hears a voice, and a vocoder that sings it again: analysis by synthesis.

    voice ── spectrogram, pitch ── encoder ── values of each frame ── vocoder ── prediction

The last layer's weights are zero at first, so that every frame sets out from the same values: its biases.

    PaperEncoder   the log spectrogram as an image, four convolutions and poolings along frequency, then three bidirectional
                   LSTMs: 6 M parameters
    LightEncoder   mel bands as channels, dilated 1-D convolutions: 0.4 M, and much faster

Source: Yu, Fazekas, "Differentiable time-varying linear prediction in the context of end-to-end analysis-by-synthesis",
Interspeech 2024, and its published code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool1d, pad

from diffapf.model import Model
from diffapf.synths.controls import Control, split
from diffapf.synths.extractors import ResidualBlock
from diffapf.synths.mel import LogMel
from diffapf.synths.vocoder import NATURAL, RD_FRAMES, Vocoder, Voice, vocoder
from diffapf.synths.voice_filters import AllPoleTract

FFT = 1024
QUIETEST = 1e-8
MIDDLE_HZ = 200.0
LARGEST = 2.5
"""Of atanh k that a network may give. A fit to one voice starts from filters that belong together; a network on its way may
jump from k = −1 to 1 within a frame, between which no filter is stable.
"""


@dataclass
class Sung:
    """Recorded voices of one length, on one device.

    Args:
        audio: `(voices, time)`.
        f0_hz: at each frame, `(voices, frames)`, positive where there is no voice, too.
        voiced: 1 where there is one, `(voices, frames)`.
    """

    audio: Tensor
    f0_hz: Tensor
    voiced: Tensor

    def __len__(self) -> int:
        return len(self.audio)

    def __getitem__(self, index: Any) -> Sung:
        return Sung(self.audio[index], self.f0_hz[index], self.voiced[index])


class Encoder(nn.Module):
    """`(voices, frames, channels)` of a `Sung`; hop: samples a frame."""

    def forward(self, sung: Sung) -> Tensor:
        raise NotImplementedError


class LightEncoder(Encoder):
    BANDS, CHANNELS, DILATIONS = 80, 128, (1, 2, 4, 8)

    def __init__(self, sample_rate: float, hop: int, outputs: int, dropout: float = 0.0):
        super().__init__()
        self.mel = LogMel(sample_rate, hop, FFT, self.BANDS)
        self.first = nn.Conv1d(self.BANDS + 2, self.CHANNELS, 3, padding="same")
        self.blocks = nn.Sequential(*(ResidualBlock(self.CHANNELS, dilation, dropout) for dilation in self.DILATIONS))
        self.last = nn.Conv1d(self.CHANNELS, outputs, 1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]

    def forward(self, sung: Sung) -> Tensor:
        shown = (self.mel(sung.audio) + 4) / 4
        more = torch.stack([torch.log2(sung.f0_hz / MIDDLE_HZ), sung.voiced], 1).to(shown)
        return self.last(self.blocks(self.first(torch.cat([shown, more], 1)))).mT


class PaperEncoder(Encoder):
    """The spectrogram is scaled to 0 … 1 by the extremes of all that it was trained on."""

    CHANNELS, KERNEL, POOL, HIDDEN, LAYERS, DROPOUT = (32, 64, 128, 256), (9, 3), 4, 256, 3, 0.1

    def __init__(self, sample_rate: float, hop: int, outputs: int):
        super().__init__()
        self.hop = hop
        self.lowest: Tensor
        self.highest: Tensor
        self.register_buffer("lowest", torch.tensor(float("inf")))
        self.register_buffer("highest", torch.tensor(float("-inf")))
        layers: list[nn.Module] = []
        for inputs, channels in zip((1, *self.CHANNELS), self.CHANNELS, strict=False):
            layers += [
                nn.Conv2d(inputs, channels, self.KERNEL, padding="same"),
                nn.BatchNorm2d(channels),
                nn.ReLU(),
                nn.MaxPool2d((self.POOL, 1)),
            ]
        self.image = nn.Sequential(*layers)
        height = (FFT // 2 + 1) // self.POOL ** len(self.CHANNELS)
        self.lstm = nn.LSTM(
            height * self.CHANNELS[-1] + 1,
            self.HIDDEN,
            self.LAYERS,
            batch_first=True,
            bidirectional=True,
            dropout=self.DROPOUT,
        )
        self.norm = nn.LayerNorm(2 * self.HIDDEN)
        self.last = nn.Linear(2 * self.HIDDEN, outputs)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, sung: Sung) -> Tensor:
        window = torch.hann_window(FFT, device=sung.audio.device)
        spectrum = torch.stft(sung.audio, FFT, self.hop, window=window, return_complex=True)
        shown = torch.log(spectrum.abs().square() + QUIETEST)
        if self.training:
            self.lowest = torch.minimum(self.lowest, shown.detach().amin())
            self.highest = torch.maximum(self.highest, shown.detach().amax())
        latent = self.image(((shown - self.lowest) / (self.highest - self.lowest))[:, None]).flatten(1, 2).mT
        pitch = torch.log1p(sung.f0_hz * sung.voiced)[..., None].to(latent)
        return self.last(self.norm(self.lstm(torch.cat([latent, pitch], -1))[0]))


ENCODERS: dict[str, type[LightEncoder] | type[PaperEncoder]] = {"light": LightEncoder, "paper": PaperEncoder}


class AnalysisBySynthesis(Model):
    """An encoder and a vocoder.

    Args:
        sample_rate: in Hz.
        name: of the vocoder, one of `VOCODERS`.
        encoder: "light" or "paper".
        changes: what differs from the published vocoder, as `Vocoder` takes it.

    Raises:
        ValueError: a name that there is not, or what the vocoder refuses.

    >>> model = AnalysisBySynthesis(24_000, "golf_ss", source_options={"tables": 4})
    >>> sung = Sung(torch.randn(2, 4800), torch.full((2, 21), 220.0), torch.ones(2, 21))
    >>> model(sung).shape
    torch.Size([2, 4800])
    """

    def __init__(self, sample_rate: float, name: str = "golf_ss", encoder: str = "light", **changes: Any):
        super().__init__(sample_rate)
        if encoder not in ENCODERS:
            raise ValueError(f"encoder must be one of {', '.join(ENCODERS)}, got {encoder!r}")
        self.name, self.settings = name, {"name": name, "encoder": encoder, **changes}
        self.vocoder: Vocoder = vocoder(name, sample_rate, **changes)
        channels = sum(control.channels for control in self.vocoder.controls)
        self.encoder = ENCODERS[encoder](sample_rate, self.vocoder.hop, channels)

    def configuration(self) -> dict[str, Any]:
        return self.settings

    def set_out_from(self, values: Mapping[str, Tensor]) -> None:
        """Makes every frame's values at first the mean of these, `(frames,)` or `(frames, channels)` of each control."""
        values = dict(values)
        if self._has_reflections:
            values["gain_db"] = values["gain_db"] - self._attenuation_db(values["tract"])
        bias = [control.raw(values[control.name]).reshape(-1, control.channels).mean(0) for control in self.controls]
        with torch.no_grad():
            self.encoder.last.bias.copy_(torch.cat(bias))  # type: ignore[union-attr]

    @property
    def _has_reflections(self) -> bool:
        return isinstance(self.vocoder.filter, AllPoleTract) and self.vocoder.settings["shape"] == "reflection"

    def _attenuation_db(self, numbers: Tensor) -> Tensor:
        """A network's gain is that of a filter which leaves noise as loud as it is: else a step towards the circle is one of
        many dB.
        """
        return NATURAL * self.vocoder.filter.tract.attenuation(numbers)  # type: ignore[attr-defined]

    @property
    def controls(self) -> Sequence[Control]:
        return self.vocoder.controls

    def hear(self, sung: Sung) -> dict[str, Tensor]:
        """The vocoder's values."""
        raw = self.encoder(sung)
        values = split(raw, self.controls)
        if self._has_reflections:
            values["tract"] = LARGEST * torch.tanh(values["tract"] / LARGEST)
            values["gain_db"] = values["gain_db"] + self._attenuation_db(values["tract"])
        if "rd" in values:
            place = [control.name for control in self.controls].index("rd")
            values["rd"] = self.controls[place].value(_every_tenth(raw[..., place]))
        return values

    def forward(self, sung: Sung, noise: Tensor | None = None) -> Tensor:
        """The prediction, `(voices, time)`."""
        return self.vocoder(Voice(sung.f0_hz, sung.audio.shape[-1], noise), self.hear(sung))


def _every_tenth(raw: Tensor) -> Tensor:
    """Means of ten frames around each tenth."""
    padded = pad(raw[:, None], (RD_FRAMES // 2, RD_FRAMES), mode="replicate")
    return avg_pool1d(padded, RD_FRAMES, RD_FRAMES)[:, 0]
