"""Vocoders: a voice as harmonics and noise, through a filter that moves, at a control rate.

    source-filter     y = room(tract(g (h s + fir(noise))))
    harmonic + noise  y = room(tract(g h s) + fir(noise))

    s     the harmonics' source (`voice_sources.py`)           h, g   levels, linear between frames
    fir   zero-phase filters of the noise, one a hop           tract  the filter (`vocal_tract.py`, `voice_filters.py`)
    room  x[n] + Σ hⱼ x[n−j], j = 1 … 127, the same all the time

The published models are choices of these: `VOCODERS`.

Source: Yu, Fazekas, "GOLF", TISMIR 7, 2024; "Differentiable time-varying linear prediction in the context of end-to-end
analysis-by-synthesis", Interspeech 2024; the baselines' sources are named beside each in `VOCODERS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from diffapf.filters.control_rate import ControlRate
from diffapf.filters.frame_wise import zero_phase_fir
from diffapf.modulation import upsample
from diffapf.synths.controls import Control
from diffapf.synths.vocal_tract import room
from diffapf.synths.voice_filters import VoiceFilter, voice_filter
from diffapf.synths.voice_sources import voice_source

SAMPLE_RATE = 24_000.0
HOP = 240  # samples
RD_FRAMES = 10  # control frames between values of R_d: a voice's tension moves slowly
ROOM_TAPS = 127
NATURAL = 8.685889638  # dB: a step of a natural logarithm
STRUCTURES = ("source-filter", "harmonic + noise")

LEVEL = Control("level_db", moves=True, scale=NATURAL)
GAIN = Control("gain_db", moves=True, scale=NATURAL)

VOCODERS: dict[str, dict[str, Any]] = {
    "golf_ss": {"source": "glottal", "filter": "sample-wise"},
    "golf_ff": {"source": "glottal", "filter": "frame-wise"},
    "golf_v1": {"source": "glottal", "filter": "frame-wise", "structure": "harmonic + noise"},
    "pulf": {"source": "pulses", "filter": "frame-wise", "structure": "harmonic + noise", "order": 26},
    # Engel, Hantrakul, Gu, Roberts, "DDSP: Differentiable Digital Signal Processing", ICLR 2020
    "ddsp": {"source": "harmonics", "filter": "none", "structure": "harmonic + noise"},
    # Wu et al., "DDSP-based singing vocoders: a new subtractive-based synthesizer", ISMIR 2022
    "sawsing": {
        "source": "sawtooth",
        "filter": "zero-phase",
        "structure": "harmonic + noise",
        "noise_bins": 80,
        "source_options": {"count": 150},
    },
    # Liu, Chen, Yu, "Neural homomorphic vocoder", Interspeech 2020
    "nhv": {"source": "pulses", "filter": "cepstrum", "structure": "harmonic + noise"},
    # Morise, Yokomori, Ozawa, "WORLD", IEICE 2016; Nercessian, "Differentiable WORLD synthesizer-based neural vocoder", 2022
    "world": {"source": "pulses", "filter": "mel-spectrum"},
    # Imai, Sumita, Furuichi, "Mel log spectrum approximation (MLSA) filter", 1983; Yoshimura et al., ICASSP 2023
    "mlsa": {"source": "pulses", "filter": "mel-cepstrum"},
}
SAMPLE_WISE = {"golf_ff": "golf_ss"}
"""Vocoders whose values another one takes as they are, to run them sample by sample: the published -fs."""


@dataclass
class Voice:
    """What is sung, whoever sings.

    Args:
        f0_hz: the pitch at each frame, `(..., frames)`, Hz, positive where there is none, too.
        length: samples.
        noise: of variance 1, `(..., length)`; None: new at every call.
    """

    f0_hz: Tensor
    length: int
    noise: Tensor | None = None


class Vocoder(nn.Module):
    """See the module; :func:`vocoder` makes the published ones.

    Args:
        sample_rate: in Hz.
        source, filter: of `voice_sources.SOURCES` and `voice_filters.FILTERS`.
        structure: "source-filter" or "harmonic + noise".
        order: of the all-pole filter.
        shape: what numbers are to it: see `vocal_tract.py`.
        noise_bins: of the noise's filters, from 0 Hz to half the sample rate.
        hop: samples a control frame.
        source_options: more of the source's.

    Raises:
        ValueError: an argument outside what is said here; the message names it.

    >>> golf = vocoder("golf_ss")
    >>> [(control.name, control.channels) for control in golf.controls]
    [('rd', 1), ('level_db', 1), ('noise', 256), ('gain_db', 1), ('tract', 22)]
    >>> values = {control.name: torch.zeros(11, control.channels).squeeze(-1) for control in golf.controls}
    >>> golf(Voice(torch.full((11,), 220.0), 2400), values | {"rd": torch.ones(2)}).shape
    torch.Size([2400])
    """

    def __init__(
        self,
        sample_rate: float = SAMPLE_RATE,
        source: str = "glottal",
        filter: str = "sample-wise",
        structure: str = STRUCTURES[0],
        order: int = 22,
        shape: str = "reflection",
        noise_bins: int = 256,
        hop: int = HOP,
        source_options: Mapping[str, Any] | None = None,
    ):
        super().__init__()
        if not sample_rate > 0:
            raise ValueError(f"sample_rate must be positive, in Hz, got {sample_rate}")
        if structure not in STRUCTURES:
            raise ValueError(f"structure must be one of {', '.join(STRUCTURES)}, got {structure!r}")
        if noise_bins < 2:
            raise ValueError(f"noise_bins must be at least 2, got {noise_bins}")
        if not isinstance(hop, int) or hop < 1:
            raise ValueError(f"hop must be a positive whole number of samples, got {hop!r}")
        self.sample_rate, self.hop, self.structure = sample_rate, hop, structure
        self.settings: dict[str, Any] = {
            "source": source,
            "filter": filter,
            "structure": structure,
            "order": order,
            "shape": shape,
            "noise_bins": noise_bins,
            "hop": hop,
            "source_options": dict(source_options or {}),
        }
        self.source = voice_source(source, sample_rate, hop, **(source_options or {}))
        self.filter: VoiceFilter = voice_filter(filter, sample_rate, hop, order, shape)
        self.noise = Control("noise", channels=noise_bins, moves=True)
        self.room = nn.Parameter(torch.zeros(ROOM_TAPS))

    @property
    def controls(self) -> tuple[Control, ...]:
        """All move: a value each hop, of "rd" each ten hops."""
        return (*self.source.controls, LEVEL, self.noise, GAIN, *self.filter.controls)

    def frames(self, name: str, length: int) -> int:
        """How many values of a control a sound of so many samples has."""
        hop = self.hop * (RD_FRAMES if name == "rd" else 1)
        return -(-length // hop) + 1

    def prepared(self, voice: Voice) -> Tensor:
        """What the source makes of the pitch alone; to be kept where only values change."""
        return self.source.prepared(self._pitch(voice))

    def _pitch(self, voice: Voice) -> Tensor:
        """At each sample."""
        if not bool((voice.f0_hz > 0).all()):
            raise ValueError(
                f"f0_hz must be positive everywhere, got {float(voice.f0_hz.min())}: fill in where there is none"
            )
        return upsample(voice.f0_hz, ControlRate.hop(self.hop), voice.length)

    def forward(self, voice: Voice, values: Mapping[str, Tensor], prepared: Tensor | None = None) -> Tensor:
        """The sound, `(..., length)`.

        values: of each of `controls`, `(..., frames)` or `(..., frames, channels)`, the last frame held.
        """
        harmonics, noise = self.parts(voice, values, prepared)
        gain = self._audio_rate(values["gain_db"], voice.length)
        if self.structure == STRUCTURES[0]:
            return room(self.filter(gain * (harmonics + noise), values), self.room)
        return room(self.filter(gain * harmonics, values) + noise, self.room)

    def parts(
        self, voice: Voice, values: Mapping[str, Tensor], prepared: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The harmonics at their level, and the noise, both before the filter."""
        source_values = {name: self._every_hop(value) if name == "rd" else value for name, value in values.items()}
        weights = self.source.weights(source_values, values["gain_db"])
        level = torch.exp(values["level_db"] / NATURAL)[..., None]
        if prepared is None:
            harmonics = self.source.sound(self._pitch(voice), weights * level)
        else:
            harmonics = self.source(prepared, weights * level, voice.length)
        noise = torch.randn_like(harmonics) if voice.noise is None else voice.noise
        return harmonics, zero_phase_fir(noise, values["noise"], self.hop)

    def _every_hop(self, rd: Tensor) -> Tensor:
        return upsample(rd, ControlRate.hop(RD_FRAMES), RD_FRAMES * (rd.shape[-1] - 1) + 1)

    def _audio_rate(self, decibels: Tensor, length: int) -> Tensor:
        return upsample(torch.exp(decibels / NATURAL), ControlRate.hop(self.hop), length)


def vocoder(name: str, sample_rate: float = SAMPLE_RATE, **changes: Any) -> Vocoder:
    """A published vocoder, or what differs from it in some settings; raises ValueError for a name that there is not."""
    if name not in VOCODERS:
        raise ValueError(f"there is no vocoder {name!r}; there are {', '.join(VOCODERS)}")
    return Vocoder(sample_rate, **{**VOCODERS[name], **changes})
