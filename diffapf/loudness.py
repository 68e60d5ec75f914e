"""Loudness as broadcasters measure it, and signals turned to one.

Source: ITU-R BS.1770-4, as pyloudnorm has it; Steinmetz, Reiss, "pyloudnorm: A simple yet flexible loudness meter in
Python", 150th AES Convention, 2021.
"""

from __future__ import annotations

import math

from torch import Tensor

from diffapf.needs import needed

SHORTEST_S = 0.4  # a block of the meter


def loudness(signal: Tensor, sample_rate: float) -> float:
    """The integrated loudness in LUFS of `(time,)` or `(channels, time)`; −∞ of silence.

    Raises ValueError for signals of less than 0.4 s, or where pyloudnorm is missing.
    """
    if signal.dim() not in (1, 2) or signal.shape[-1] < SHORTEST_S * sample_rate:
        raise ValueError(
            f"loudness is of (time,) or (channels, time) and at least {SHORTEST_S} s, got {tuple(signal.shape)}"
        )
    meter = needed("pyloudnorm", "vocals").Meter(sample_rate)
    return float(meter.integrated_loudness(signal.detach().cpu().double().numpy().T))


def at_loudness(signal: Tensor, sample_rate: float, lufs: float = -18.0) -> Tensor:
    """The signal turned up or down to a loudness; raises ValueError for silence, which has none."""
    found = loudness(signal, sample_rate)
    if not math.isfinite(found):
        raise ValueError("the signal is silent: it cannot be turned up to any loudness")
    return signal * 10 ** ((lufs - found) / 20)
