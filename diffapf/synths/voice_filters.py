"""The filters of vocoders: all-pole ones, and those that multiply spectra, which others are built on.

sample-wise, frame-wise   all-pole (`vocal_tract.py`)
zero-phase                log-magnitudes of 256 bins, a FIR filter a hop
cepstrum                  240 of a minimum-phase filter, by spectra
mel-spectrum              80 mel bands, spread over the bins, zero-phase, by spectra
mel-cepstrum              25, warped by α = 0.46, minimum phase, by spectra
none                      harmonics have levels of their own
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor

from diffapf.filters.frame_wise import spectral_filter, zero_phase_fir
from diffapf.synths.controls import Control
from diffapf.synths.mel import mel_weights
from diffapf.synths.vocal_tract import VocalTract

FILTERS = ("sample-wise", "frame-wise", "zero-phase", "cepstrum", "mel-spectrum", "mel-cepstrum", "none")
BINS = 256
FFT = 1024
QUEFRENCIES = 240
MELS = 80
MEL_CEPSTRA, WARP = 25, 0.46
LOUDEST = 8.0  # natural logarithm of a response's magnitude, 70 dB


class VoiceFilter(Protocol):
    """A filter of x `(..., time)` by the value of its one control, if it has any."""

    @property
    def controls(self) -> tuple[Control, ...]: ...

    def __call__(self, x: Tensor, values: Mapping[str, Tensor]) -> Tensor: ...


def voice_filter(name: str, sample_rate: float, hop: int, order: int, shape: str) -> VoiceFilter:
    """Raises ValueError for a name that there is not."""
    if name in ("sample-wise", "frame-wise"):
        return AllPoleTract(VocalTract(hop, order, shape, frame_wise=name == "frame-wise"))
    if name == "none":
        return Nothing()
    if name == "zero-phase":
        return ZeroPhase(hop)
    kinds = {"cepstrum": Cepstrum, "mel-spectrum": MelSpectrum, "mel-cepstrum": MelCepstrum}
    if name not in kinds:
        raise ValueError(f"filter must be one of {', '.join(FILTERS)}, got {name!r}")
    return kinds[name](sample_rate, hop)


class AllPoleTract:
    def __init__(self, tract: VocalTract):
        self.tract = tract
        self.controls = (Control("tract", channels=tract.channels, moves=True),)

    def __call__(self, x: Tensor, values: Mapping[str, Tensor]) -> Tensor:
        return self.tract(x, values["tract"])


class Nothing:
    controls: tuple[Control, ...] = ()

    def __call__(self, x: Tensor, values: Mapping[str, Tensor]) -> Tensor:
        return x


class ZeroPhase:
    controls = (Control("tract", channels=BINS, moves=True),)

    def __init__(self, hop: int):
        self.hop = hop

    def __call__(self, x: Tensor, values: Mapping[str, Tensor]) -> Tensor:
        return zero_phase_fir(x, values["tract"], self.hop)


class _OfSpectra:
    """What has a response over the bins of an FFT of 1024 samples."""

    controls: tuple[Control, ...]

    def __init__(self, sample_rate: float, hop: int):
        self.sample_rate, self.hop = sample_rate, hop

    def response(self, numbers: Tensor) -> Tensor:
        raise NotImplementedError

    def __call__(self, x: Tensor, values: Mapping[str, Tensor]) -> Tensor:
        return spectral_filter(x, self.response(values["tract"]), self.hop)


class Cepstrum(_OfSpectra):
    """ln H = c₀ + 2 Σ cₖ e^(−jωk): of a real cepstrum the minimum phase."""

    controls = (Control("tract", channels=QUEFRENCIES + 1, moves=True),)

    def response(self, numbers: Tensor) -> Tensor:
        folded = torch.cat([numbers[..., :1], 2 * numbers[..., 1:]], -1)
        return _exponential(torch.fft.rfft(folded, FFT))


class MelSpectrum(_OfSpectra):
    """√ of the bins' power, from that of mel bands by the pseudo-inverse of their triangles."""

    controls = (Control("tract", channels=MELS, moves=True),)

    def __init__(self, sample_rate: float, hop: int):
        super().__init__(sample_rate, hop)
        self.spread = torch.linalg.pinv(mel_weights(sample_rate, FFT, MELS))

    def response(self, numbers: Tensor) -> Tensor:
        power = torch.exp(numbers) @ self.spread.to(numbers).mT
        return torch.sqrt(power.clamp(min=1e-10))


class MelCepstrum(_OfSpectra):
    """ln H = Σ cₘ w^m,  w = (e^(−jω) − α)/(1 − α e^(−jω)): the all-pass that bends frequency like mels."""

    controls = (Control("tract", channels=MEL_CEPSTRA, moves=True),)

    def response(self, numbers: Tensor) -> Tensor:
        omega = torch.linspace(0, torch.pi, FFT // 2 + 1, dtype=numbers.dtype, device=numbers.device)
        delay = torch.exp(-1j * omega)
        bent = torch.angle((delay - WARP) / (1 - WARP * delay))
        m = torch.arange(MEL_CEPSTRA, dtype=numbers.dtype, device=numbers.device)[:, None]
        return _exponential(torch.complex(numbers @ torch.cos(m * bent), numbers @ torch.sin(m * bent)))


def _exponential(logarithm: Tensor) -> Tensor:
    """e^logarithm, of a magnitude within e^±8: a network's cepstra may for once add up to any."""
    return torch.exp(torch.complex(LOUDEST * torch.tanh(logarithm.real / LOUDEST), logarithm.imag))
