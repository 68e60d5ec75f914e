"""What the kernels of a direct form and of its adjoint write."""

from __future__ import annotations

import torch
from torch import Tensor

from diffapf.filters.iir import FORMS


def of_each(module, form: str, x: Tensor, b: Tensor, a: Tensor, timing, zi: Tensor, g: Tensor, gzf: Tensor) -> tuple:
    """y, zf, w where the form has it, and dx, db, da and dzi of the gradients g of y and gzf of zf."""
    kernel = FORMS[form].kernel
    output = [torch.full_like(like, torch.nan) for like in (x, zi, *([x] if FORMS[form].keeps_w else []))]
    getattr(module, kernel)(x, b, a, timing, zi, *output)
    gradients = [torch.full_like(like, torch.nan) for like in (x, b, a, zi)]
    signal = output[2 if FORMS[form].keeps_w else 0]
    getattr(module, f"{kernel}_adjoint")(g, gzf, x, b, a, timing, zi, signal, *gradients)
    return *output, *gradients
