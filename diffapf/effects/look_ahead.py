"""Look-ahead: the audio waits, so that the gain is there before it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from diffapf.filters._checks import unwrapped
from diffapf.filters.fir import fir
from diffapf.filters.fractional_delay import windowed_sinc
from diffapf.parameters import Named

REACH = 8  # samples on either side that the interpolation reads


class LookAhead(nn.Module):
    """Delays the audio by `latency` samples, a whole number, and the gain by so much less that it comes earlier.

    The gain's delay has any fraction, by a windowed sinc of 16 taps, so that the time can be learned.

    Args:
        sample_rate: in Hz.
        look_ahead_ms: how much earlier the gain comes, learnable; more than the longest counts as that.
        longest_ms: the longest; the latency is that, rounded up, and 8 samples.
    """

    def __init__(self, sample_rate: float, look_ahead_ms: float, longest_ms: float):
        super().__init__()
        self.sample_rate, self.longest_ms = sample_rate, longest_ms
        self.look_ahead_ms = Named(look_ahead_ms, "ms", 0.01, longest_ms, taper="log")

    @property
    def latency(self) -> int:
        """In samples."""
        return math.ceil(self.longest_ms * self.sample_rate / 1000) + REACH

    def audio_delay(self) -> Delay:
        return Delay(self.latency)

    def gain_delay(self, rest: float, dtype: torch.dtype) -> FractionalDelay:
        ahead = self.look_ahead_ms().clamp(max=self.longest_ms) * self.sample_rate / 1000
        return FractionalDelay(self.latency - ahead, self.latency, rest, dtype)


@dataclass
class Delay:
    """By whole samples, from silence; its state is the samples that are on their way."""

    samples: int

    def run(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        known = pad(x, (self.samples, 0)) if state is None else torch.cat([state, x], -1)
        return known[..., : x.shape[-1]], known[..., x.shape[-1] :]


@dataclass
class FractionalDelay:
    """By a number of samples from REACH to `longest`, from `rest`; its state is the samples that it may still read."""

    samples: Tensor
    longest: int
    rest: float
    dtype: torch.dtype

    def run(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        past = self.longest + REACH
        known = pad(x, (past, 0), value=self.rest) if state is None else torch.cat([state, x], -1)
        first = past - int(self.whole()) - REACH  # of what the taps read, oldest first
        read = known[..., first : first + x.shape[-1] + 2 * REACH - 1]
        y = fir(read, self.taps().to(self.dtype))[..., 2 * REACH - 1 :]  # type: ignore[call-overload]
        return y, known[..., known.shape[-1] - past :]

    def whole(self) -> Tensor:
        """Its whole samples, which no derivative moves."""
        return unwrapped(self.samples).detach().floor()

    def taps(self) -> Tensor:
        """Of what is left, behind those."""
        return windowed_sinc(self.samples - self.whole(), REACH)
