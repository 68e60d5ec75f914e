"""Filters that stand still within a frame: what a recursion that moves at every sample is compared with, and FIR filters.

    frame_wise_allpole   each windowed stretch of the signal through its own fixed filter, from rest, then overlap-add
    zero_phase_fir       each hop of the signal through its own symmetric FIR filter; what rings on is added
    spectral_filter      each frame's spectrum times its own response

Frame n stands at sample n · hop. There is one for each hop of the signal, or one more.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from diffapf.filters._fft import fast_length
from diffapf.filters.allpole import allpole


def frame_wise_allpole(x: Tensor, a: Tensor, hop: int, window: int | None = None) -> Tensor:
    """x `(..., time)` through the fixed all-pole filter of each frame, a `(..., frames, M)` without the leading 1.

    Stretches of `window` samples (4 hops), centred on the frames, are filtered from rest, weighted by a Hann window, added,
    and divided by the sum of the windows.

    Source: Yu, Fazekas, "GOLF", TISMIR 7, 2024.
    """
    window = 4 * hop if window is None else window
    frames = _frames_needed(x.shape[-1], hop)
    a = _held(a, frames)
    stretches = pad(x, (window // 2, window // 2 + frames * hop - x.shape[-1])).unfold(-1, window, hop)[..., :frames, :]
    filtered: Tensor = allpole(stretches, a.expand(*x.shape[:-1], *a.shape[-2:]))  # type: ignore[assignment]
    weights = torch.hann_window(window, dtype=x.dtype, device=x.device)
    total = _overlap_add(filtered * weights, hop)
    norm = _overlap_add(weights.expand(frames, window), hop)
    span = slice(window // 2, window // 2 + x.shape[-1])
    return total[..., span] / norm[..., span].clamp_min(torch.finfo(x.dtype).eps)


def zero_phase_fir(x: Tensor, log_magnitudes: Tensor, hop: int) -> Tensor:
    """x `(..., time)` through FIR filters of these natural log-magnitudes, `(..., frames, bins)`, 0 Hz to half the rate.

    A filter has 2 (bins − 1) taps under a Hann window, and is applied to the hop of samples that begins at its frame.
    """
    frames = -(-x.shape[-1] // hop)
    taps = torch.fft.irfft(torch.exp(_held(log_magnitudes, frames)))
    count = taps.shape[-1]
    taps = torch.fft.fftshift(taps, -1) * torch.hann_window(count, dtype=x.dtype, device=x.device)
    length = fast_length(hop + count - 1)
    pieces = pad(x, (0, frames * hop - x.shape[-1])).unflatten(-1, (frames, hop))
    ringing = torch.fft.irfft(torch.fft.rfft(pieces, length) * torch.fft.rfft(taps, length), length)
    return _overlap_add(ringing, hop)[..., count // 2 : count // 2 + x.shape[-1]]


def spectral_filter(x: Tensor, response: Tensor, hop: int) -> Tensor:
    """x `(..., time)` through the response of each frame, `(..., frames, bins)`: STFT, Hann of 2 (bins − 1) samples."""
    size = 2 * (response.shape[-1] - 1)
    window = torch.hann_window(size, dtype=x.dtype, device=x.device)
    rows = x.reshape(-1, x.shape[-1])
    spectrum = torch.stft(rows, size, hop, window=window, pad_mode="constant", return_complex=True)
    response = _held(response, spectrum.shape[-1])
    response = response.expand(*x.shape[:-1], *response.shape[-2:]).reshape(-1, *response.shape[-2:])
    return torch.istft(spectrum * response.mT, size, hop, window=window, length=x.shape[-1]).reshape(x.shape)


def _frames_needed(time: int, hop: int) -> int:
    return time // hop + 1


def _held(frames: Tensor, count: int) -> Tensor:
    """As many frames as that: the last one is held."""
    there = frames.shape[-2]
    if there >= count:
        return frames[..., :count, :]
    last = frames[..., -1:, :].expand(*frames.shape[:-2], count - there, -1)
    return torch.cat([frames, last], -2)


def _overlap_add(pieces: Tensor, hop: int) -> Tensor:
    """Pieces `(..., frames, length)`, each `hop` after the one before, added up, and zeros to a whole hop."""
    frames, length = pieces.shape[-2:]
    hops = -(-length // hop)
    parts = pad(pieces, (0, hops * hop - length)).unflatten(-1, (hops, hop))
    total = parts.new_zeros(*pieces.shape[:-2], frames + hops - 1, hop)
    for k in range(hops):
        total[..., k : k + frames, :] += parts[..., k, :]
    return total.flatten(-2)
