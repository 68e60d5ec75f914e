"""The all-pole filter and its adjoint: orders 1 and 2 are scanned, higher ones run by chunks."""

from __future__ import annotations

from torch import Tensor

from diffapf.kernels.gpu import chunks, first_and_second_order
from diffapf.kernels.gpu.launch import SIZES, Sizes
from diffapf.kernels.reference import Timing


def allpole(x: Tensor, a: Tensor, timing: Timing, zi: Tensor, y: Tensor, sizes: Sizes = SIZES) -> None:
    kernels = first_and_second_order if zi.shape[1] <= 2 else chunks
    kernels.allpole(x, a, timing, zi, y, sizes)


def allpole_adjoint(
    g: Tensor, a: Tensor, timing: Timing, y: Tensor, zi: Tensor, dx: Tensor, da: Tensor, dzi: Tensor,
    sizes: Sizes = SIZES,
) -> None:  # fmt: skip
    kernels = first_and_second_order if zi.shape[1] <= 2 else chunks
    kernels.allpole_adjoint(g, a, timing, y, zi, dx, da, dzi, sizes)
