"""A pair of recordings as a stream of residuals, for effects that describe their filter (`filter_of_block`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from diffapf.identification.spans import Pair, Span

LEAD_IN_S = 0.5  # of dry signal before a stretch, which fills the filter's memory
UNKNOWN_S = 0.05  # at the file's beginning, where the memory of a longer recording is missing


@dataclass(frozen=True)
class AlignedPair(Pair):
    """`origin` is the place of the dry signal's first sample on the clock of the effect's LFO."""

    origin: int = 0

    def stretch(self, start_s: float, stop_s: float) -> Stretch:
        """From a time to another, in seconds, as far as there are samples."""
        return Stretch(self, *self._between(start_s, stop_s))

    @property
    def whole(self) -> Stretch:
        return Stretch(self, max(0, -self.offset), self.samples)


@dataclass(frozen=True)
class Stretch(Span[AlignedPair]):
    """A span through whose blocks the filter's memory goes."""

    @property
    def lead_in(self) -> int:
        return max(0, self.first - round(LEAD_IN_S * self.pair.sample_rate))

    @property
    def weights(self) -> list[Tensor]:
        """1 for the samples that count, 0 for the lead-in, and where a file begins in the middle of a signal."""
        return self._weights_from(max(self.first, round(UNKNOWN_S * self.pair.sample_rate)))

    def target(self, block: int) -> Tensor:
        begin, end = (n + self.pair.offset for n in self.of_block(block))
        before = min(max(-begin, 0), end - begin)  # in the lead-in of a wet file that begins later
        return pad(self.pair.wet[..., begin + before : max(end, 0)], (before, 0))

    def predict(self, effect: Any, block: int, memory: Any) -> tuple[Tensor, Any]:
        """The effect's output over a block, and its filter's memory after it."""
        begin, end = self.of_block(block)
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
        return self.counted(torch.cat(parts, -1))

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
        weights = self.counted(torch.cat(self.weights))
        return float((weights * signal.square()).sum())
