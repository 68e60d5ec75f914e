"""A pair of recordings as residuals for a compressor: its output against the wet signal, both through a high-pass.

    (1 − z⁻¹)/(1 − 0.995 z⁻¹)

takes off the bass, which a long attack and a long release change least. The compressor runs through what is before a part,
so that its gain is there when the part begins.

Source: the pre-filter of Yu et al., DAFx 2024, section 5.3.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from diffapf.effects.compressor import Compressor, CompressorState
from diffapf.effects.effect import Effect
from diffapf.filters._moving import Moving, still
from diffapf.filters.iir import fixed_filter
from diffapf.identification.compressor_tangents import moving_block, numbers_of
from diffapf.identification.layout import Parameters
from diffapf.identification.modules import of_parameters
from diffapf.identification.moving_numbers import moving_numbers
from diffapf.identification.spans import Pair, Span
from diffapf.losses import PREFILTER

LEAD_IN_S = 6.0  # before a part that is fitted to: longer than most releases


class MonoPair(Pair):
    """A pair of one channel each, `(time,)`."""

    def part(self, start_s: float, stop_s: float, lead_in_s: float = LEAD_IN_S) -> Part:
        """From a time to another, in seconds, as far as there are samples of both."""
        first, last = self._between(start_s, stop_s)
        first = min(first, last)
        return Part(self, first, last, round(min(lead_in_s * self.sample_rate, first)))


@dataclass(frozen=True)
class Part(Span[MonoPair]):
    """A span that is run through from `before` samples before it, as far as there are any."""

    before: int

    @property
    def lead_in(self) -> int:
        return max(0, -self.pair.offset, self.first - self.before)

    @property
    def dry(self) -> Tensor:
        return self.pair.dry[self.lead_in : self.last]

    @property
    def wet(self) -> Tensor:
        return self.pair.wet[self.lead_in + self.pair.offset : self.last + self.pair.offset]

    def weights(self) -> list[Tensor] | None:
        """0 for the lead-in, 1 for what counts; None for all 1."""
        return None if self.lead_in == self.first else self._weights_from(self.first)

    @cached_property
    def energy(self) -> float:
        """Of the pre-filtered wet signal, over which the cost of a fit is an ESR."""
        return float(self.counted(prefiltered(self.wet[None])[0]).square().sum())

    def signals(self, block: int) -> tuple[Tensor, Tensor]:
        """A block of both."""
        begin, end = self.of_block(block)
        return self.pair.dry[begin:end], self.pair.wet[begin + self.pair.offset : end + self.pair.offset]

    def residuals(self, compressor: Compressor, block: int, state: Any) -> tuple[Tensor, Any]:
        """A block of what `fit_module` makes small, and the state after it."""
        memories, registers = state or ((), None)
        dry, wet = self.signals(block)
        y, after = compressor.run(dry, CompressorState(memories))
        error, registers = prefiltered((y - wet)[None], registers)
        return error[0], (after.memories, registers)

    def tangents(
        self, compressor: Compressor, parameters: Parameters, directions: Parameters, block: int, state: Any
    ) -> tuple[Tensor, Tensor, Any]:
        """The same with its derivatives."""
        dry, wet = self.signals(block)
        return moving_error(compressor, parameters, directions, dry[None], wet[None], prefiltered, state)

    @torch.no_grad()
    def prediction(self, compressor: Effect) -> Tensor:
        """The output, without its lead-in."""
        return self.counted(compressor(self.dry))

    @torch.no_grad()
    def esr(self, compressor: Effect, plain: bool = False) -> float:
        """Σ (y − ŷ)²/Σ y², of pre-filtered signals or of plain ones."""
        y = compressor(self.dry)
        pair = torch.stack([y - self.wet, self.wet])
        error, target = self.counted(pair if plain else prefiltered(pair)[0]).square().sum(-1)
        return float(error / target.clamp_min(torch.finfo(target.dtype).tiny))


def moving_error(
    compressor: Compressor,
    parameters: Parameters,
    directions: Parameters,
    dry: Tensor,
    wet: Tensor,
    filtered: Callable[[Tensor, Tensor | None], tuple[Tensor, Tensor]],
    state: Any,
) -> tuple[Tensor, Tensor, Any]:
    """A block `(1, time)` of output − target, filtered, its tangents `(directions, time)`, and the state after it."""
    if state is None:
        numbers = moving_numbers(of_parameters(compressor, numbers_of), parameters, directions)
        state = numbers, [], still(dry.new_zeros(1, 1))
    numbers, memory, registers = state
    y, memory = moving_block(compressor, numbers, dry, memory)
    error, carried = filtered(y.value - wet, registers.value)
    count = len(next(iter(directions.values())))
    rows, moved = filtered(y.along(count), registers.along(count))
    return error[0], rows, (numbers, memory, Moving(carried, moved))


def prefiltered(signals: Tensor, registers: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """`(rows, time)` through the high-pass, and its registers after it."""
    b, a = (signals.new_tensor(taps) for taps in PREFILTER)
    return fixed_filter(b, a, signals, registers)
