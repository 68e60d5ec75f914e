"""The multi-resolution STFT loss of a stereo signal: of left and right, and of mid and side.

    MSS = mean over resolutions of ‖|Y| − |X|‖/‖Y‖ + mean |ln |X| − ln |Y||,   |X| = √max(X X*, 10⁻⁸)

The norms are over channels and batch together. Mid and side are L + R and L − R, whose MSS are averaged. These are
auraloss's numbers; but the spectra of mid and side are sums of those of left and right, a target's are kept, and the
gradient is written down: a third of the time.

Source: auraloss 0.4, `MultiResolutionSTFTLoss` and `SumAndDifferenceSTFTLoss`; Steinmetz, Reiss, "auraloss: Audio-focused
loss functions in PyTorch", DMRN+15, 2020; Yamamoto, Song, Kim, "Parallel WaveGAN", ICASSP 2020.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import pad

from diffapf.filters.fir import fir
from diffapf.needs import needed

QUIETEST = 1e-8  # of a power
OVERLAP = 4


@dataclass(frozen=True)
class Spectra:
    """A target's magnitudes and their logarithms, at each resolution: left and right, mid, side."""

    magnitudes: list[tuple[Tensor, ...]]
    logarithms: list[tuple[Tensor, ...]]


class SpectralLoss(nn.Module):
    """MSS of `(..., 2, time)`; see the module.

    Args:
        sample_rate: in Hz.
        sizes: of the FFTs in samples, each with a Hann window of that length every quarter of it.
        weighted: whether both signals are heard through auraloss's A-weighting, 101 taps.
        mid_side: the weight of the MSS of mid and side, beside 1 for that of left and right.

    Raises:
        ValueError: auraloss is needed and not there; signals that are not stereo, of other shapes than the target's, or no
            longer than half the largest FFT.

    >>> loss = SpectralLoss(44100, weighted=False)
    >>> left, right = torch.randn(2, 4410)
    >>> both = torch.stack([left, right])
    >>> loss(both, both).item()
    0.0
    """

    def __init__(
        self,
        sample_rate: float,
        sizes: Sequence[int] = (128, 512, 2048),
        weighted: bool = True,
        mid_side: float = 0.5,
    ):
        super().__init__()
        self.sample_rate, self.sizes, self.mid_side = sample_rate, tuple(sizes), mid_side
        self.weighting: Tensor | None
        self.register_buffer("weighting", _a_weighting(sample_rate) if weighted else None, persistent=False)

    def forward(self, prediction: Tensor, target: Tensor | Spectra) -> Tensor:
        """The stereo signal's MSS, and that of mid and side by its weight; target: a signal, or what `heard` made of it."""
        stereo, mid_side = self.terms(prediction, target)
        return stereo + self.mid_side * mid_side

    def terms(self, prediction: Tensor, target: Tensor | Spectra) -> tuple[Tensor, Tensor]:
        """Both MSS, each by itself."""
        if isinstance(target, Tensor):
            if target.shape != prediction.shape:
                raise ValueError(
                    f"prediction {tuple(prediction.shape)} and target {tuple(target.shape)} must have one shape"
                )
            target = self.heard(target)
        spectra = self._spectra(prediction)
        found = [
            [Distance.apply(x, y, z) for x, y, z in zip(*of_one_size, strict=True)]
            for of_one_size in zip(spectra, target.magnitudes, target.logarithms, strict=True)
        ]
        stereo, mid, side = (torch.stack(each).mean() for each in zip(*found, strict=True))
        return stereo, (mid + side) / 2

    @torch.no_grad()
    def heard(self, target: Tensor) -> Spectra:
        """What the loss compares with, to be made once: 24 times the target's own size."""
        spectra = self._spectra(target)
        magnitudes = [
            tuple(squared_magnitude(x).clamp_(min=QUIETEST).sqrt_() for x in of_one_size) for of_one_size in spectra
        ]
        return Spectra(magnitudes, [tuple(torch.log(each) for each in of_one_size) for of_one_size in magnitudes])

    def _spectra(self, signal: Tensor) -> list[tuple[Tensor, Tensor, Tensor]]:
        """(left and right, mid, side) at each resolution: complex `(..., frames, bins)`."""
        if signal.dim() < 2 or signal.shape[-2] != 2:
            raise ValueError(f"a signal must be stereo, (..., 2, time), got {tuple(signal.shape)}")
        if signal.shape[-1] <= max(self.sizes) // 2:
            raise ValueError(f"a signal must be longer than {max(self.sizes) // 2} samples, got {signal.shape[-1]}")
        rows = signal.reshape(-1, signal.shape[-1])
        if self.weighting is not None:
            taps = self.weighting.to(rows.dtype)
            late = len(taps) // 2
            rows = fir(pad(rows, (0, late)), taps)[:, late:]  # type: ignore[call-overload]
        found = []
        for size in self.sizes:
            both = ShortTimeSpectra.apply(rows, size, size // OVERLAP, size)
            left, right = both.unflatten(0, (-1, 2)).unbind(1)
            found.append((both, left + right, left - right))
        return found


class ShortTimeSpectra(torch.autograd.Function):
    """`torch.stft` of `(rows, time)`, `size` samples every `hop`, centred, under a Hann window of `length` samples, as
    `(rows, frames, bins)`; but that a frame begins with its window, which changes phases and no magnitude.

    Its gradient is one real transform and a few sums of frames; PyTorch's is of the whole circle, a frame at a time.
    """

    @staticmethod
    def forward(ctx, rows, size, hop, length):
        ctx.numbers = size, hop, length, rows.shape[-1]
        padded = pad(rows, (size // 2, size // 2), mode="reflect")
        window = _hann(length, hop, rows)
        first = (size - length) // 2
        frames = padded[:, first : first + rows.shape[-1] // hop * hop + len(window)].unfold(-1, len(window), hop)
        return torch.fft.rfft(frames * window, size)

    @staticmethod
    @once_differentiable
    def backward(ctx, g):
        size, hop, length, time = ctx.numbers
        window = _hann(length, hop, g.real)
        overlap = len(window) // hop
        frames = (_adjoint_of_rfft(g, size)[..., : len(window)] * window).unflatten(-1, (overlap, hop))
        padded = frames.new_zeros(len(g), time + size)
        first = (size - length) // 2
        blocks = padded[:, first : first + (g.shape[1] + overlap - 1) * hop].unflatten(-1, (-1, hop))
        for k in range(overlap):
            blocks[:, k : k + g.shape[1]] += frames[:, :, k]
        half = size // 2
        out = padded[:, half : half + time]
        out[:, 1 : half + 1] += padded[:, :half].flip(-1)
        out[:, time - half - 1 : time - 1] += padded[:, half + time :].flip(-1)
        return out, None, None, None


def _adjoint_of_rfft(g: Tensor, size: int) -> Tensor:
    """Re Σₖ g[k] e^(2πjkn/size) over k = 0 … size/2: `irfft` counts all bins twice but the first and the last."""
    twice = g.clone()
    twice[..., 0] *= 2
    twice[..., -1] *= 2
    return torch.fft.irfft(twice, size, norm="forward").mul_(0.5)


def _hann(length: int, hop: int, like: Tensor) -> Tensor:
    """With zeros after it, to whole hops."""
    return pad(torch.hann_window(length, dtype=like.dtype, device=like.device), (0, -length % hop))


class Distance(torch.autograd.Function):
    """(X, |Y|, ln |Y|) → one resolution's MSS. ∂/∂X = X/|X|² (|X| (|X| − |Y|)/(‖|X| − |Y|‖ ‖Y‖) ± 1/N)."""

    @staticmethod
    def forward(ctx, spectrum, magnitude, logarithm):
        power = squared_magnitude(spectrum)
        quiet = power <= QUIETEST
        power.clamp_(min=QUIETEST)
        found = power.sqrt()
        difference = found - magnitude
        error, reference = torch.linalg.vector_norm(difference), torch.linalg.vector_norm(magnitude)
        sides = torch.log(found).sub_(logarithm)
        distance = error / reference + sides.abs().mean()
        if ctx.needs_input_grad[0]:
            scale = 1 / (error * reference).clamp_min(torch.finfo(error.dtype).tiny)
            slope = difference.mul_(found).mul_(scale).add_(sides.sign_(), alpha=1 / sides.numel())
            slope.div_(power).masked_fill_(quiet, 0.0)
            ctx.save_for_backward(spectrum, slope)
        return distance

    @staticmethod
    @once_differentiable
    def backward(ctx, g):
        spectrum, slope = ctx.saved_tensors
        return spectrum * (slope * g), None, None


def squared_magnitude(spectrum: Tensor) -> Tensor:
    return spectrum.real.square().addcmul_(spectrum.imag, spectrum.imag)


def _a_weighting(sample_rate: float) -> Tensor:
    """auraloss's taps, which a least-squares design makes."""
    return (
        needed("auraloss.perceptual", "vocals").FIRFilter("aw", fs=sample_rate).fir.weight.detach().flatten().double()
    )
