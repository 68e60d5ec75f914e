"""Log-mel spectrograms of notes, a frame at each control frame."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from diffapf.needs import needed

FLOOR = 1e-7


class LogMel(nn.Module):
    """ln max(mel power, 10⁻⁷): `(notes, time)` → `(notes, bands, 1 + time // hop)`.

    HTK mels from 0 Hz to half the sample rate without area norm, a periodic Hann window of n_fft samples, frames centred.

    Source: DAFx 2024, section 4.2 and its published code.
    """

    def __init__(self, sample_rate: float, hop: int = 32, n_fft: int = 1024, bands: int = 128):
        super().__init__()
        self.n_fft, self.hop = n_fft, hop
        self.window: Tensor
        self.weights: Tensor
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)
        self.register_buffer("weights", mel_weights(sample_rate, n_fft, bands), persistent=False)

    def forward(self, audio: Tensor) -> Tensor:
        spectrum = torch.stft(audio, self.n_fft, self.hop, window=self.window, pad_mode="reflect", return_complex=True)
        return torch.log((self.weights @ spectrum.abs().square()).clamp(min=FLOOR))


def mel_weights(sample_rate: float, n_fft: int, bands: int) -> Tensor:
    """Triangles over the bins, `(bands, n_fft // 2 + 1)`."""
    return torch.from_numpy(
        needed("librosa.filters").mel(sr=sample_rate, n_fft=n_fft, n_mels=bands, htk=True, norm=None)
    )
