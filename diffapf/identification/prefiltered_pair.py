"""A pair of recordings as residuals for a compressor: its output against the wet signal, both through a high-pass.

    (1 − z⁻¹)/(1 − 0.995 z⁻¹)

takes off the bass, which a long attack and a long release change least. The compressor runs through what is before a part,
so that its gain is there when the part begins.

Source: the pre-filter of Yu et al., DAFx 2024, section 5.3.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from diffapf.effects.compressor import Compressor, CompressorState
from diffapf.effects.effect import Effect
from diffapf.filters._moving import Moving, still
from diffapf.filters.iir import fixed_filter
from diffapf.identification.compressor_tangents import moving_block, moving_numbers
from diffapf.identification.layout import Parameters

PREFILTER = (1.0, -1.0), (1.0, -0.995)
BLOCK = 32_768  # samples: with fewer Python takes its share of the time, with more the tangents leave the cache
LEAD_IN_S = 6.0  # before a part that is fitted to: longer than most releases


@dataclass(frozen=True)
class MonoPair:
    """Dry and wet `(time,)`, of which sample n + offset of the wet one belongs to sample n of the dry one."""

    dry: Tensor
    wet: Tensor
    sample_rate: float
    offset: int = 0

    def part(self, start_s: float, stop_s: float, lead_in_s: float = LEAD_IN_S) -> Part:
        """From a time to another, in seconds, as far as there are samples of both."""
        first, last = (round(time * self.sample_rate) for time in (start_s, stop_s))
        last = min(last, len(self.dry), len(self.wet) - self.offset)
        first = min(max(first, -self.offset, 0), last)
        before = round(min(lead_in_s * self.sample_rate, first))
        return Part(self, max(0, -self.offset, first - before), first, last)


@dataclass(frozen=True)
class Part:
    """The samples from `first` to `last` of a pair, of which those from `lead_in` on are run through."""

    pair: MonoPair
    lead_in: int
    first: int
    last: int

    @property
    def start_s(self) -> float:
        return self.first / self.pair.sample_rate

    @property
    def stop_s(self) -> float:
        return self.last / self.pair.sample_rate

    @property
    def dry(self) -> Tensor:
        return self.pair.dry[self.lead_in : self.last]

    @property
    def wet(self) -> Tensor:
        return self.pair.wet[self.lead_in + self.pair.offset : self.last + self.pair.offset]

    @property
    def blocks(self) -> int:
        return -(-(self.last - self.lead_in) // BLOCK)

    def weights(self) -> list[Tensor] | None:
        """0 for the lead-in, 1 for what counts; None for all 1."""
        if self.lead_in == self.first:
            return None
        counts = (torch.arange(self.lead_in, self.last) >= self.first).to(self.pair.wet.dtype)
        return list(counts.split(BLOCK))

    def residuals(self, compressor: Compressor, block: int, state: Any) -> tuple[Tensor, Any]:
        """A block of what `fit_module` makes small, and the state after it."""
        memories, registers = state or ((), None)
        span = slice(block * BLOCK, (block + 1) * BLOCK)
        y, after = compressor.run(self.dry[span], CompressorState(memories))
        error, registers = prefiltered((y - self.wet[span])[None], registers)
        return error[0], (after.memories, registers)

    def tangents(
        self, compressor: Compressor, parameters: Parameters, directions: Parameters, block: int, state: Any
    ) -> tuple[Tensor, Tensor, Any]:
        """The same with its derivatives."""
        span = slice(block * BLOCK, (block + 1) * BLOCK)
        return moving_error(
            compressor, parameters, directions, self.dry[None, span], self.wet[None, span], prefiltered, state
        )

    @torch.no_grad()
    def prediction(self, compressor: Effect) -> Tensor:
        """The output, without its lead-in."""
        return compressor(self.dry)[self.first - self.lead_in :]

    @torch.no_grad()
    def esr(self, compressor: Effect, plain: bool = False) -> float:
        """Σ (y − ŷ)²/Σ y², of pre-filtered signals or of plain ones."""
        y = compressor(self.dry)
        pair = torch.stack([y - self.wet, self.wet])
        error, target = (pair if plain else prefiltered(pair)[0])[:, self.first - self.lead_in :].square().sum(-1)
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
        state = moving_numbers(compressor, parameters, directions), [], still(dry.new_zeros(1, 1))
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
