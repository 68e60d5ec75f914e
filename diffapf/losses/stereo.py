"""What DiffVox's chains are fitted by: spectra and dynamics, of left and right and of mid and side.

    MSS(stereo) + ½ MSS(mid/side) + ½ MLDR(stereo) + ¼ MLDR(mid/side)

None of these hears a phase. Where a prediction may come near the waveform itself, its error, ln ESR, is added: it tells
repeats and reflections by where they are.

Source: Yu et al., "DiffVox: A Differentiable Model for Capturing and Analysing Vocal Effects Distributions", DAFx 2025.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from diffapf.losses.dynamic_range import DynamicRangeLoss
from diffapf.losses.error_to_signal import log_esr
from diffapf.losses.spectral import Spectra, SpectralLoss

TERMS = ("mss", "mss_mid_side", "mldr", "mldr_mid_side")


@dataclass(frozen=True)
class Heard:
    """What is compared of a target."""

    signal: Tensor
    spectra: Spectra
    levels: Tensor


class StereoLoss(nn.Module):
    """The four terms, weighed; of `(..., 2, time)`.

    Args:
        sample_rate: in Hz.
        weights: of MSS, MSS of mid and side, MLDR, MLDR of mid and side.
        sizes, weighted: as `SpectralLoss` takes them.
        flattened: as `DynamicRangeLoss` takes it.
        waveform: the weight of ln(1 + ESR/10⁻⁶), which is not among the terms; 0: as published.

    >>> loss = StereoLoss(44100, weighted=False)
    >>> x = torch.randn(2, 44100)
    >>> {name: term.item() for name, term in loss.terms(x, loss.heard(x)).items()}
    {'mss': 0.0, 'mss_mid_side': 0.0, 'mldr': 0.0, 'mldr_mid_side': 0.0}
    """

    def __init__(
        self,
        sample_rate: float,
        weights: Sequence[float] = (1.0, 0.5, 0.5, 0.25),
        sizes: Sequence[int] = (128, 512, 2048),
        weighted: bool = True,
        flattened: bool = False,
        waveform: float = 0.0,
    ):
        super().__init__()
        if len(weights) != len(TERMS):
            raise ValueError(f"weights must be of {', '.join(TERMS)}, got {weights!r}")
        self.weights, self.waveform = tuple(weights), waveform
        self.spectral = SpectralLoss(sample_rate, sizes, weighted)
        self.dynamic_range = DynamicRangeLoss(sample_rate, flattened=flattened)

    def forward(self, prediction: Tensor, target: Tensor | Heard) -> Tensor:
        """The weighed sum; target: a signal, or what `heard` made of it."""
        heard = self.heard(target) if isinstance(target, Tensor) else target
        terms = self.terms(prediction, heard).values()
        loss = torch.stack([weight * term for weight, term in zip(self.weights, terms, strict=True)]).sum()
        if self.waveform:
            loss = loss + self.waveform * log_esr(prediction, heard.signal)
        return loss

    def terms(self, prediction: Tensor, target: Tensor | Heard) -> dict[str, Tensor]:
        """Each by its name."""
        heard = self.heard(target) if isinstance(target, Tensor) else target
        spectral = self.spectral.terms(prediction, heard.spectra)
        return dict(zip(TERMS, (*spectral, *self.dynamic_range.terms(prediction, heard.levels)), strict=True))

    @torch.no_grad()
    def heard(self, target: Tensor) -> Heard:
        """What the loss compares with, to be made once."""
        return Heard(target, self.spectral.heard(target), self.dynamic_range.levels(target))
