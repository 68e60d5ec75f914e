"""How exact a kernel is in float32, beside the recursion itself in float32."""

from __future__ import annotations

import math
from types import ModuleType

import torch
from torch import Tensor

from diffapf.kernels import reference

RADII = [0.9, 0.99, 0.999, 0.9999]
TIMES_AS_FAR = 4


def poles(radius: float, *angles: float) -> Tensor:
    """Coefficients of pole pairs at these angles, or of one real pole, as float32 has them."""
    if not angles:
        return torch.tensor([-radius])
    polynomial = torch.ones(1, dtype=torch.float64)
    for angle in angles:
        pair = torch.tensor([1.0, -2 * radius * math.cos(angle), radius**2], dtype=torch.float64)
        product = torch.zeros(len(polynomial) + 2, dtype=torch.float64)
        for i in range(3):
            product[i : i + len(polynomial)] += pair[i] * polynomial
        polynomial = product
    return polynomial[1:].float()


def assert_as_accurate_as_sequential(
    kernels: ModuleType, a: Tensor, time: int, moving: bool = False, device: str = "cpu", **options
) -> None:
    """Of the all-pole filter and its adjoint, within four times the sequential error against float64."""
    x = torch.randn(1, time, generator=torch.Generator().manual_seed(0))
    zi, timing = torch.zeros(1, len(a)), None if moving else (0.0, 0.0)
    rows = a[None, None].repeat(1, time if moving else 1, 1)

    def outputs(module, dtype, device, **options):
        x_, a_, zi_ = (value.to(device, dtype) for value in (x, rows, zi))
        y, dx, dzi = torch.empty_like(x_), torch.empty_like(x_), torch.empty_like(zi_)
        module.allpole(x_, a_, timing, zi_, y, **options)
        module.allpole_adjoint(x_, a_, timing, y, zi_, dx, a_[:, :0].clone(), dzi, **options)
        return y.cpu().double(), dx.cpu().double()

    truth = outputs(reference, torch.float64, "cpu")
    sequential, ours = outputs(reference, torch.float32, "cpu"), outputs(kernels, torch.float32, device, **options)
    for true, theirs, our in zip(truth, sequential, ours, strict=True):
        assert (our - true).norm() <= TIMES_AS_FAR * (theirs - true).norm()
