"""The comb filter as its D interleaved first-order filters."""

from __future__ import annotations

import torch
from torch import Tensor

from diffapf.kernels.gpu.first_and_second_order import allpole
from diffapf.kernels.gpu.launch import SIZES, Sizes, cdiv


def comb(x: Tensor, alpha: Tensor, delay: int, y: Tensor, sizes: Sizes = SIZES) -> None:
    """y[n] = x[n] − α y[n−delay], from rest.

    Interleaved row (d, row) holds the samples d, d + delay, …; rows come last, so that all its parts share a row's α.
    """
    rows, time = x.shape
    steps = cdiv(time, delay)
    padded = torch.nn.functional.pad(x, (0, steps * delay - time))
    parts = padded.view(rows, steps, delay).permute(2, 0, 1).reshape(delay * rows, steps)
    filtered = torch.empty_like(parts)
    allpole(parts, alpha[:, None, None], (0.0, 0.0), parts.new_zeros(delay * rows, 1), filtered, sizes)
    y.copy_(filtered.view(delay, rows, steps).permute(1, 2, 0).reshape(rows, steps * delay)[:, :time])
