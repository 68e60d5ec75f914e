"""Fixed phasers over a dry signal: a grid of break frequencies, for a structure and a feedback, as Gram matrices.

    w = Aᴷ/(1 − g z⁻ᵈ Aᴷ) x,  A = (p − z⁻¹)/(1 − p z⁻¹),  p = (1 − t)/(1 + t),  t = tan(π f_b/f_s)

Break frequencies are evenly spaced in their logarithm. A curve is in places of the grid, or in natural logarithms of Hz.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from diffapf.filters.allpass import allpass_cascade
from diffapf.filters.design import allpass_logit
from diffapf.filters.fir import fir
from diffapf.identification.aligned_pair import UNKNOWN_S
from diffapf.identification.curves import PeriodicCurve
from diffapf.identification.folding import frame_weights
from diffapf.identification.regression import TAPS, block_grams
from diffapf.identification.sweep import Volume

BREAK_FREQUENCIES = 40
LOWEST_HZ, HIGHEST_HZ = 20.0, 8000.0
HIGHEST_OF_RATE = 0.4  # of the sample rate: the highest break frequency there
ZOOM_MARGIN = 0.4  # natural logarithm, beyond the sweep that was found
SHORTEST_BLOCK_S = 0.005
MOST_BLOCKS = 4000
CHUNK = 8192  # samples whose filtered signals exist at once: they stay in the processor's cache
PREEMPHASIS_HZ = 44_100 * math.log(1 / 0.8)  # 1 − 0.8 z⁻¹ at 44.1 kHz, as a rate of decay


@dataclass(frozen=True)
class Structure:
    """What a phaser is made of: K all-passes, and 0 or 1 samples of delay in the loop around them."""

    stages: int
    loop_delay: int


def preemphasised(signal: Tensor, sample_rate: float) -> Tensor:
    """Less of the lows: music's energy lies below the notches."""
    return fir(signal, signal.new_tensor([1.0, -math.exp(-PREEMPHASIS_HZ / sample_rate)]))  # type: ignore[return-value]


class StaticPhasers:
    """Two recordings aligned, pre-emphasised and cut to whole blocks, and the grid of break frequencies for them.

    Args:
        dry, wet: `(time,)`.
        sample_rate: in Hz.
        offset: by how many samples wet is late.
    """

    def __init__(self, dry: Tensor, wet: Tensor, sample_rate: float, offset: int = 0):
        late, early = max(offset, 0), max(-offset, 0)
        x, y = (preemphasised(signal, sample_rate) for signal in (dry, wet))
        x, y = x[early : len(x) - late], y[late : len(y) - early]
        self.block = max(round(SHORTEST_BLOCK_S * sample_rate), math.ceil(len(y) / MOST_BLOCKS))
        length = len(y) // self.block * self.block
        self.x, self.y = x[:length], y[:length]
        self.offset, self.sample_rate = offset, sample_rate
        middles = torch.arange(length // self.block, dtype=torch.float64) + 0.5
        self.times = (early + middles * self.block) / sample_rate
        self.weights = frame_weights(self._energy())
        self.weights[: round(UNKNOWN_S * sample_rate / self.block)] = 0.0
        self.grid(math.log(LOWEST_HZ), math.log(min(HIGHEST_HZ, HIGHEST_OF_RATE * sample_rate)))

    def _energy(self) -> Tensor:
        """Of each block, wet, and dry at wet's level: where wet alone is silent, that is news."""
        x, y = (signal.unflatten(0, (-1, self.block)).square().sum(1) for signal in (self.x, self.y))
        return y + x * (y.sum() / x.sum().clamp(min=torch.finfo(x.dtype).tiny))

    def grid(self, log_lowest: float, log_highest: float) -> None:
        """Sets the grid of break frequencies between two natural logarithms of Hz."""
        self.log_lowest, self.log_step = log_lowest, (log_highest - log_lowest) / (BREAK_FREQUENCIES - 1)
        place = torch.arange(BREAK_FREQUENCIES, dtype=torch.float64)
        self.frequencies = torch.exp(log_lowest + self.log_step * place)

    @property
    def log_highest(self) -> float:
        return self.log_lowest + self.log_step * (BREAK_FREQUENCIES - 1)

    def zoom(self, curve: PeriodicCurve) -> PeriodicCurve:
        """Spans the grid over a sweep and little more; returns its curve, given and returned in places."""
        curve = self.in_log_hz(curve)
        values = curve.at(torch.arange(64) / 64)
        highest = math.log(HIGHEST_OF_RATE * self.sample_rate)
        self.grid(float(values.min()) - ZOOM_MARGIN, min(float(values.max()) + ZOOM_MARGIN, highest))
        return curve.scaled(1 / self.log_step, -self.log_lowest / self.log_step)

    def in_log_hz(self, curve: PeriodicCurve) -> PeriodicCurve:
        """A curve in places of the grid as one in natural logarithms of Hz."""
        return curve.scaled(self.log_step, self.log_lowest)

    @property
    def duration(self) -> float:
        """In seconds."""
        return len(self.y) / self.sample_rate

    def volume(self, structure: Structure, feedback: float) -> Volume:
        """The Gram matrices of all break frequencies, streamed: no filtered signal exists as a whole."""
        p = torch.tanh(allpass_logit(self.frequencies, self.sample_rate)).float()[:, None]
        blocks_at_once = max(1, CHUNK // self.block)
        grams = []
        memory, past_x, past_w = None, self.x.new_zeros(TAPS - 1), self.x.new_zeros(len(p), TAPS - 1)
        chunk = blocks_at_once * self.block
        for x, y in zip(self.x.split(chunk), self.y.split(chunk), strict=True):
            w, memory = allpass_cascade(
                x.expand(len(p), -1),
                p,
                structure.stages,
                c0=feedback,
                loop_delay=structure.loop_delay,
                zi=memory,
                return_zf=True,
            )
            x, w = torch.cat([past_x, x]), torch.cat([past_w, w], 1)
            grams.append(block_grams(x, w, y, self.block))
            past_x, past_w = x[1 - TAPS :], w[:, 1 - TAPS :]
        return Volume(torch.cat(grams), self.times, self.weights)
