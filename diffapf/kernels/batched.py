"""Recurrences of `reference.py` in PyTorch's own batched operations: fast on any device, where few are needed for a block.

**The delay network in blocks** of b samples. What the blocks before contribute to this one's w is a convolution by FFT, the
taps cut into partitions of b. What the block contributes to itself is the network again, linear and the same in each block:
a convolution with w's response to an impulse in each line, of which b samples are made once, by Newton's iteration for the
inverse of a power series. So a block of thousands of samples costs four FFTs a line, and two where no loop is shorter.
"""

from __future__ import annotations

import torch
from torch import Tensor

from diffapf.kernels.reference import (
    for_rows,
    harmonic_sum,
    harmonic_sum_adjoint,
    network_response,
    step_up,
    step_up_adjoint,
)

__all__ = ["delay_network", "harmonic_sum", "harmonic_sum_adjoint", "network_response", "step_up", "step_up_adjoint"]

LONGEST_BLOCK = 2048


def delay_network(x: Tensor, U: Tensor, f: Tensor, zi: Tensor, q: Tensor, w: Tensor) -> None:
    rows, lines, time = x.shape
    shared, taps = max(U.shape[0], f.shape[0]), f.shape[2]
    if 0 in x.shape or taps == 0:
        w.zero_()
        q.copy_(x)
        return
    U, f = for_rows(U, shared), for_rows(f, shared)
    block = min(LONGEST_BLOCK, 1 << (time - 1).bit_length())
    with torch.autocast(x.device.type, enabled=False):
        partitions = _partitions(f, block)
        inside = _response_inside(U, f[..., : block - 1], block) if _shortest_loop(f) < block else None
        sets = rows // shared, shared, lines
        x, zi, q, w = (each.reshape(*sets, each.shape[-1]) for each in (x, zi, q, w))
        past = torch.nn.functional.pad(zi.flip(-1), (len(partitions) * block - taps, 0))
        spectra = list(torch.fft.rfft(past.unflatten(-1, (-1, block)), 2 * block).unbind(-2))  # oldest first
        for start in range(0, time, block):
            size = min(block, time - start)
            now = slice(start, start + size)
            total = sum(E * A for E, A in zip(partitions, reversed(spectra), strict=True))
            of_past = torch.fft.irfft(total, 2 * block)[..., block : block + size]
            v = x[..., now] + U @ of_past
            if inside is None:
                w[..., now], q[..., now] = of_past, v
            else:
                driven = (inside * torch.fft.rfft(v, 2 * block)[..., None, :, :]).sum(-2)
                w_now = of_past + torch.fft.irfft(driven, 2 * block)[..., :size]
                w[..., now], q[..., now] = w_now, x[..., now] + U @ w_now
            spectra = [*spectra[1:], torch.fft.rfft(q[..., now], 2 * block)]


def _shortest_loop(f: Tensor) -> int:
    """The least delay of any tap that is not 0."""
    found = f.flatten(0, 1).ne(0).any(0).nonzero()
    return int(found[0]) + 1 if len(found) else f.shape[-1] + 1


def _partitions(f: Tensor, block: int) -> list[Tensor]:
    """The spectra by which the blocks 1, 2, … before are multiplied: all taps that reach from one block into the other.

    Sample t of a block and sample s of the one j blocks before are j·block + t − s apart.
    """
    delays = f.shape[-1] + 1  # of which delay 0 has no tap
    count = -(-(delays - 1) // block)
    reach = torch.nn.functional.pad(f, (1, (count + 1) * block - delays))
    segments = reach.unfold(-1, 2 * block, block).unbind(-2)
    return [torch.fft.rfft(segment) for segment in segments]


def _response_inside(U: Tensor, f: Tensor, block: int) -> Tensor:
    """The spectrum of w's response, within a block, to an impulse in each line of v: `(·, lines, lines, block + 1)`.

    r = 1 + U f r is the response of q, of which each turn doubles the samples: r + r (1 − r + U f r).
    """
    lines, n = U.shape[-1], 1
    f = torch.nn.functional.pad(f, (1, block - 1 - f.shape[-1]))
    unit = torch.eye(lines, dtype=U.dtype, device=U.device)[None, :, :, None]
    r = unit.expand(U.shape[0], -1, -1, -1)
    while n < block:
        n *= 2
        R = torch.fft.rfft(r, 2 * n)
        loop = torch.fft.rfft(f[..., :n], 2 * n)
        left = torch.fft.irfft(_products(U[..., None] * loop[:, None], R), 2 * n)[..., :n]
        left[..., : n // 2] = 0  # where r is right already
        r = torch.nn.functional.pad(r, (0, n // 2))
        r = r + torch.fft.irfft(_products(R, torch.fft.rfft(left, 2 * n)), 2 * n)[..., :n]
    R = torch.fft.rfft(r, 2 * block)
    w = torch.fft.irfft(torch.fft.rfft(f, 2 * block)[:, :, None] * R, 2 * block)[..., :block]
    return torch.fft.rfft(w, 2 * block)


def _products(left: Tensor, right: Tensor) -> Tensor:
    """Of matrices, a frequency each, which is the last dimension."""
    return (left.movedim(-1, 1) @ right.movedim(-1, 1)).movedim(1, -1)
