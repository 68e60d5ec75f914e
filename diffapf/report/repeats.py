"""What a page shows of a delay: when each repeat comes, and how loud."""

from __future__ import annotations

import torch
from torch import Tensor

from diffapf.effects.delay import PingPongDelay

SHOWN = 12  # repeats
FAINTEST_DB = -80.0


@torch.no_grad()
def repeats(delay: PingPongDelay) -> tuple[Tensor, Tensor]:
    """When each repeat of a click comes, and its level, both sides together and without what the low-pass takes."""
    return levels_of_repeats(delay.time_ms(), delay.gain(), delay.loop_feedback())


def levels_of_repeats(time_ms: Tensor, gain: Tensor, feedback: Tensor) -> tuple[Tensor, Tensor]:
    """(seconds, dB) of a delay's first repeats, as far as they are to be heard."""
    number = torch.arange(SHOWN, dtype=torch.float64)
    levels = 20 * torch.log10((gain * feedback**number).clamp_min(10 ** (FAINTEST_DB / 20)))
    heard = levels > FAINTEST_DB
    return (time_ms / 1000 * (number + 1))[heard], levels[heard]
