"""A pair of recordings as a stream of residuals, for effects that describe their filter (`filter_of_block`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

BLOCK = 32_768  # samples: with fewer Python takes its share of the time, with more the derivatives leave the cache
LEAD_IN_S = 0.5  # of dry signal before a stretch, which fills the filter's memory
UNKNOWN_S = 0.05  # at the file's beginning, where the memory of a longer recording is missing


@dataclass(frozen=True)
class AlignedPair:
    """A dry and a wet signal `(..., time)`, of which sample n + offset of the wet one belongs to sample n of the dry one.

    `origin` is the place of the dry signal's first sample on the clock of the effect's LFO.
    """

    dry: Tensor
    wet: Tensor
    sample_rate: float
    offset: int = 0
    origin: int = 0

    @property
    def samples(self) -> int:
        """How many samples of the dry signal have one of the wet signal."""
        return min(self.dry.shape[-1], self.wet.shape[-1] - self.offset)

    def stretch(self, start_s: float, stop_s: float) -> Stretch:
        """From a time to another, in seconds, as far as there are samples."""
        first, last = (round(time * self.sample_rate) for time in (start_s, stop_s))
        return Stretch(self, max(first, -self.offset, 0), min(last, self.samples))

    @property
    def whole(self) -> Stretch:
        return Stretch(self, max(0, -self.offset), self.samples)


@dataclass(frozen=True)
class Stretch:
    """The samples from `first` to `last` of a recording, as blocks whose filter's memory goes from one to the next."""

    pair: AlignedPair
    first: int
    last: int

    @property
    def start_s(self) -> float:
        return self.first / self.pair.sample_rate

    @property
    def stop_s(self) -> float:
        return self.last / self.pair.sample_rate

    @property
    def lead_in(self) -> int:
        """The first sample that is filtered."""
        return max(0, self.first - round(LEAD_IN_S * self.pair.sample_rate))

    @property
    def blocks(self) -> int:
        return -(-(self.last - self.lead_in) // BLOCK)

    def _samples(self, block: int) -> tuple[int, int]:
        begin = self.lead_in + block * BLOCK
        return begin, min(begin + BLOCK, self.last)

    @property
    def weights(self) -> list[Tensor]:
        """1 for the samples that count, 0 for the lead-in, and where a file begins in the middle of a signal."""
        first = max(self.first, round(UNKNOWN_S * self.pair.sample_rate))
        spans = map(self._samples, range(self.blocks))
        return [(torch.arange(begin, end) >= first).to(self.pair.wet.dtype) for begin, end in spans]

    def target(self, block: int) -> Tensor:
        begin, end = (n + self.pair.offset for n in self._samples(block))
        before = min(max(-begin, 0), end - begin)  # in the lead-in of a wet file that begins later
        return pad(self.pair.wet[..., begin + before : max(end, 0)], (before, 0))

    def predict(self, effect: Any, block: int, memory: Any) -> tuple[Tensor, Any]:
        """The effect's output over a block, and its filter's memory after it."""
        begin, end = self._samples(block)
        dry = self.pair.dry[..., begin:end]
        return effect.filter_of_block(self.pair.origin + begin, end - begin, dry.dtype).run(dry, memory)

    def residuals(self, effect: Any, block: int, memory: Any) -> tuple[Tensor, Any]:
        y, memory = self.predict(effect, block, memory)
        return y - self.target(block), memory

    @torch.no_grad()
    def prediction(self, effect: Any) -> Tensor:
        """The effect's output over the stretch, without its lead-in."""
        memory, parts = None, []
        for block in range(self.blocks):
            y, memory = self.predict(effect, block, memory)
            parts.append(y)
        return torch.cat(parts, -1)[..., self.first - self.lead_in :]

    @property
    def energy(self) -> float:
        """Σ w y², over which the cost of a fit is an ESR."""
        return self._weighed(self._wet)

    def esr(self, effect: Any) -> float:
        """Σ w (y − ŷ)²/Σ w y²."""
        return self._weighed(self.prediction(effect) - self._wet) / self.energy

    @property
    def _wet(self) -> Tensor:
        return self.pair.wet[..., self.first + self.pair.offset : self.last + self.pair.offset]

    def _weighed(self, signal: Tensor) -> float:
        weights = torch.cat(self.weights)[self.first - self.lead_in :]
        return float((weights * signal.square()).sum())
