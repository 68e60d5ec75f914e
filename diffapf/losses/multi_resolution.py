"""The multi-resolution STFT loss of auraloss's defaults, of mono signals; a target's spectra are kept.

    MSS = mean over resolutions of ‖|Y| − |X|‖/‖Y‖ + mean |ln |X| − ln |Y||,   |X| = √max(X X*, 10⁻⁸)

Source: auraloss 0.4, `MultiResolutionSTFTLoss`; see `spectral.py`, whose distance this is.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from diffapf.losses.spectral import QUIETEST, Distance, ShortTimeSpectra, squared_magnitude

RESOLUTIONS = ((1024, 120, 600), (2048, 240, 1200), (512, 50, 240))
"""FFT, hop and Hann window in samples."""


class MultiResolutionLoss(nn.Module):
    """MSS of `(..., time)`, all signals together.

    Raises:
        ValueError: signals of two shapes, or no longer than half the largest FFT.

    >>> loss, sound = MultiResolutionLoss(), torch.randn(4800)
    >>> loss(sound, loss.heard(sound)).item()
    0.0
    """

    def __init__(self, resolutions: Sequence[tuple[int, int, int]] = RESOLUTIONS):
        super().__init__()
        self.resolutions = tuple(resolutions)

    def forward(self, prediction: Tensor, target: Tensor | list[tuple[Tensor, Tensor]]) -> Tensor:
        """target: a signal, or what `heard` made of it."""
        if isinstance(target, Tensor):
            if target.shape != prediction.shape:
                raise ValueError(
                    f"prediction {tuple(prediction.shape)} and target {tuple(target.shape)} must have one shape"
                )
            target = self.heard(target)
        distances = [
            Distance.apply(spectrum, *of_target)
            for spectrum, of_target in zip(self._spectra(prediction), target, strict=True)
        ]
        return torch.stack(distances).mean()

    @torch.no_grad()
    def heard(self, target: Tensor) -> list[tuple[Tensor, Tensor]]:
        """The target's magnitudes and their logarithms, at each resolution."""
        magnitudes = [squared_magnitude(spectrum).clamp_(min=QUIETEST).sqrt_() for spectrum in self._spectra(target)]
        return [(each, torch.log(each)) for each in magnitudes]

    def _spectra(self, signal: Tensor) -> list[Tensor]:
        longest = max(size for size, _, _ in self.resolutions) // 2
        if signal.shape[-1] <= longest:
            raise ValueError(f"a signal must be longer than {longest} samples, got {signal.shape[-1]}")
        rows = signal.reshape(-1, signal.shape[-1])
        return [ShortTimeSpectra.apply(rows, size, hop, length) for size, hop, length in self.resolutions]
