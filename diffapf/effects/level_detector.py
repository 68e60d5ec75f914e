"""How loud a signal is, sample by sample: rectified, linked over channels, averaged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from diffapf.effects.time_constants import smoothing_rate
from diffapf.filters.methods import OnePole
from diffapf.parameters import Named

RECTIFIERS = {  # and what they give
    "square": "power",
    "absolute": "amplitude",
    "half_wave": "amplitude",
    "signed": "amplitude",
}
LINKS = (None, "max", "mean")
AVERAGES = (None, "one_pole", "boxcar")


class LevelDetector(nn.Module):
    """The level of `(..., time)`: rectifier, floor, link, average.

    Args:
        sample_rate: in Hz.
        rectifier: "square" (x²), "absolute" (|x|), "half_wave" (max(x, 0)) or "signed" (x: what is smoothed falls faster
            below zero; the curve takes a negative level for silence).
        link: "max" or "mean" over the channels, the dimension before time: one level for all; None: each its own.
        average: "one_pole", "boxcar" (a moving mean) or None.
        average_ms: the one-pole's time, learnable, or the boxcar's length.
        floor_db: what is below counts as that, so that silence has a logarithm.
        time_convention: c of `time_constants`.
    """

    def __init__(
        self,
        sample_rate: float,
        rectifier: str,
        link: str | None,
        average: str | None,
        average_ms: float,
        floor_db: float,
        time_convention: float,
    ):
        super().__init__()
        self.sample_rate, self.rectifier, self.link, self.average = sample_rate, rectifier, link, average
        self.floor_db, self.time_convention = floor_db, time_convention
        self.boxcar_ms = average_ms if average == "boxcar" else None
        self.average_ms = Named(average_ms, "ms", 0.01, 100.0, taper="log") if average == "one_pole" else None

    @property
    def unit(self) -> str:
        return RECTIFIERS[self.rectifier]

    def forward(self, x: Tensor, smooth: Any, run: Any) -> Tensor:
        """The level of `(..., channels, time)`, of one channel where they are linked; `smooth` and `run` apply filters."""
        level = self.linked(self.rectified(x))
        if self.average_ms is not None:
            rate = smoothing_rate(self.average_ms(), self.sample_rate, self.time_convention)
            return smooth(level, OnePole(rate.to(level.dtype)))
        if self.boxcar_ms is not None:
            return run(level, Boxcar(max(1, round(self.boxcar_ms * self.sample_rate / 1000))))
        return level

    def rectified(self, x: Tensor) -> Tensor:
        if self.rectifier == "square":
            return x.square().clamp_min_(10 ** (self.floor_db / 10))
        if self.rectifier == "signed":
            return x
        return (x.abs() if self.rectifier == "absolute" else x).clamp_min(10 ** (self.floor_db / 20))

    def linked(self, level: Tensor) -> Tensor:
        if self.link is None or level.dim() == 1:
            return level
        return level.amax(-2, keepdim=True) if self.link == "max" else level.mean(-2, keepdim=True)


@dataclass
class Boxcar:
    """The mean of the last `length` samples, zeros before the first; its state is the last length − 1 samples."""

    length: int

    def run(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        past = self.length - 1
        known = pad(x, (past, 0)) if state is None else torch.cat([state, x], -1)
        return moving_sum(known, self.length) / self.length, known[..., known.shape[-1] - past :]


def moving_sum(x: Tensor, length: int) -> Tensor:
    """Σ x[n … n + length − 1], for all n that have so many: `(..., time − length + 1)`.

    By sums within pieces of that length, from both ends: an error cannot grow along the signal, as in a running sum.
    """
    time = x.shape[-1]
    pieces = pad(x, (0, -time % length)).unflatten(-1, (-1, length))
    from_left = pieces.cumsum(-1)
    from_right = pieces.flip(-1).cumsum(-1).flip(-1)
    sums = from_right.flatten(-2)[..., : time - length + 1]
    ends = pad(from_left[..., 1:, :-1], (1, 0)).flatten(-2)  # what reaches into the next piece
    return sums + pad(ends, (0, length))[..., : sums.shape[-1]]
