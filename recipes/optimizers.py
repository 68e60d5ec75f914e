"""Optimisers as the configs name them: (parameters, steps) → (optimiser, schedule)."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR, LRScheduler


def adam(
    parameters: Iterable[nn.Parameter], steps: int, lr: float, decay: str = "cosine"
) -> tuple[torch.optim.Optimizer, LRScheduler]:
    """Adam with its usual moments. `decay`: "cosine" to 0 over all steps, or "none"."""
    if not isinstance(lr, (int, float)) or not lr > 0:
        raise ValueError(f"optimizer.lr must be a positive number, got {lr!r}")
    schedules = {
        "cosine": lambda step: (1 + torch.cos(torch.tensor(torch.pi * min(step / steps, 1.0))).item()) / 2,
        "none": lambda step: 1.0,
    }
    if decay not in schedules:
        raise ValueError(f"optimizer.decay must be one of {sorted(schedules)}, got {decay!r}")
    optimizer = torch.optim.Adam(parameters, lr, fused=True)  # twenty scalars: the loop over them would cost more
    return optimizer, LambdaLR(optimizer, schedules[decay])
