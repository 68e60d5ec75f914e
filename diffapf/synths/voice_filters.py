"""The filters of vocoders: all-pole ones, and those that multiply spectra, which others are built on.

sample-wise, frame-wise   all-pole (`vocal_tract.py`)
zero-phase                log-magnitudes of 256 bins, a FIR filter a hop
cepstrum                  240 of a minimum-phase filter, each times its quefrency, by spectra
mel-spectrum              80 mel bands, spread over the bins, zero-phase, by spectra
mel-cepstrum              25, warped by α = 0.46, minimum phase, by spectra
none                      harmonics have levels of their own
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import interpolate

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


class SpectralFilter(VoiceFilter, Protocol):
    """One that has a response over bins from 0 Hz to half the rate."""

    def log_magnitude(self, numbers: Tensor) -> Tensor:
        """ln |H| of its control's numbers, `(frames, channels)` → `(frames, bins)`."""
        ...

    def nearest(self, log_magnitude: Tensor) -> Tensor:
        """The numbers whose response is nearest to this one, `(frames, bins)` → `(frames, channels)`."""
        ...


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

    def log_magnitude(self, numbers: Tensor) -> Tensor:
        return numbers

    def nearest(self, log_magnitude: Tensor) -> Tensor:
        return at_bins(log_magnitude, BINS)


class _OfSpectra:
    """What has a response over the bins of an FFT of 1024 samples."""

    controls: tuple[Control, ...]

    def __init__(self, sample_rate: float, hop: int):
        self.sample_rate, self.hop = sample_rate, hop

    def response(self, numbers: Tensor) -> Tensor:
        raise NotImplementedError

    def __call__(self, x: Tensor, values: Mapping[str, Tensor]) -> Tensor:
        return spectral_filter(x, self.response(values["tract"]), self.hop)

    def log_magnitude(self, numbers: Tensor) -> Tensor:
        return torch.log(self.response(numbers).abs())


class Cepstrum(_OfSpectra):
    """ln H = c₀ + 2 Σ cₖ e^(−jωk): of a real cepstrum the minimum phase.

    Its numbers are c₀ and k cₖ, which are alike in size: a cepstrum falls as 1/k, and a step of all cₖ alike would be one
    of hundreds of dB where they add up.
    """

    controls = (Control("tract", channels=QUEFRENCIES + 1, moves=True),)

    def response(self, numbers: Tensor) -> Tensor:
        cepstrum = torch.cat([numbers[..., :1], 2 * numbers[..., 1:] / _quefrencies(numbers)], -1)
        return _exponential(torch.fft.rfft(cepstrum, FFT))

    def nearest(self, log_magnitude: Tensor) -> Tensor:
        cepstrum = torch.fft.irfft(at_bins(log_magnitude, FFT // 2 + 1), FFT)[..., : QUEFRENCIES + 1]
        return torch.cat([cepstrum[..., :1], cepstrum[..., 1:] * _quefrencies(cepstrum)], -1)


class MelSpectrum(_OfSpectra):
    """√ of the bins' power, from that of mel bands by the pseudo-inverse of their triangles."""

    controls = (Control("tract", channels=MELS, moves=True),)

    def __init__(self, sample_rate: float, hop: int):
        super().__init__(sample_rate, hop)
        self.bands = mel_weights(sample_rate, FFT, MELS)
        self.spread = torch.linalg.pinv(self.bands)

    def response(self, numbers: Tensor) -> Tensor:
        power = torch.exp(numbers) @ self.spread.to(numbers).mT
        return torch.sqrt(power.clamp(min=1e-10))

    def nearest(self, log_magnitude: Tensor) -> Tensor:
        power = torch.exp(2 * at_bins(log_magnitude, FFT // 2 + 1))
        return torch.log(power @ self.bands.to(power).mT)


class MelCepstrum(_OfSpectra):
    """ln H = Σ cₘ w^m,  w = (e^(−jω) − α)/(1 − α e^(−jω)): the all-pass that bends frequency like mels."""

    controls = (Control("tract", channels=MEL_CEPSTRA, moves=True),)

    def response(self, numbers: Tensor) -> Tensor:
        phase = self._phase(numbers)
        return _exponential(torch.complex(numbers @ torch.cos(phase), numbers @ torch.sin(phase)))

    def nearest(self, log_magnitude: Tensor) -> Tensor:
        wanted = at_bins(log_magnitude, FFT // 2 + 1)
        return wanted @ torch.linalg.pinv(torch.cos(self._phase(wanted)))

    def _phase(self, numbers: Tensor) -> Tensor:
        """Of w^m, `(cepstra, bins)`."""
        omega = torch.linspace(0, torch.pi, FFT // 2 + 1, dtype=numbers.dtype, device=numbers.device)
        delay = torch.exp(-1j * omega)
        bent = torch.angle((delay - WARP) / (1 - WARP * delay))
        return torch.arange(MEL_CEPSTRA, dtype=numbers.dtype, device=numbers.device)[:, None] * bent


def at_bins(log_magnitude: Tensor, bins: int) -> Tensor:
    """Frames of `(frames, bins)`, 0 Hz to half the rate, at so many bins, linearly."""
    return interpolate(log_magnitude[:, None], bins, mode="linear", align_corners=True)[:, 0]


def _quefrencies(like: Tensor) -> Tensor:
    return torch.arange(1, QUEFRENCIES + 1, dtype=like.dtype, device=like.device)


def _exponential(logarithm: Tensor) -> Tensor:
    """e^logarithm, of a magnitude of at most e^8: a network's cepstra may for once add up to any."""
    return torch.exp(torch.complex(logarithm.real.clamp(max=LOUDEST), logarithm.imag))
