"""A pair of recordings as residuals for a compressor: its output against the wet signal, both through a high-pass.

    (1 − z⁻¹)/(1 − 0.995 z⁻¹)

takes off the bass, which a long attack and a long release change least. The compressor runs through what is before a part,
so that its gain is there when the part begins. Its latency, of a look-ahead, is no part of it: recordings are aligned.

Source: the pre-filter of Yu et al., DAFx 2024, section 5.3.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from diffapf.effects.compressor import Compressor, CompressorState
from diffapf.effects.effect import Effect
from diffapf.filters._moving import Moving, still
from diffapf.filters.iir import fixed_filter
from diffapf.identification.compressor_tangents import moving_channels, numbers_of
from diffapf.identification.layout import Parameters
from diffapf.identification.modules import of_parameters
from diffapf.identification.moving_numbers import moving_numbers
from diffapf.identification.spans import Pair, Span
from diffapf.losses import PREFILTER

LEAD_IN_S = 6.0  # before a part that is fitted to: longer than most releases


class MonoPair(Pair):
    """A pair of one channel each, `(time,)`, or of several that are fitted as one, `(channels, time)`."""

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
        return self.pair.dry[..., self.lead_in : self.last]

    @property
    def wet(self) -> Tensor:
        return self.pair.wet[..., self.lead_in + self.pair.offset : self.last + self.pair.offset]

    def weights(self) -> list[Tensor] | None:
        """0 for the lead-in, 1 for what counts; None for all 1."""
        return None if self.lead_in == self.first else self._weights_from(self.first)

    @cached_property
    def energy(self) -> float:
        """Of the pre-filtered wet signal, over which the cost of a fit is an ESR."""
        return float(self.counted(prefiltered(torch.atleast_2d(self.wet))[0]).square().sum())

    def signals(self, block: int, latency: int = 0) -> tuple[Tensor, Tensor]:
        """A block of both; for an effect of some latency what it needs to give that block, after the blocks before."""
        begin, end = self.of_block(block)
        wet = self.pair.wet[..., begin + self.pair.offset : end + self.pair.offset]
        return self._dry(begin + (latency if block else 0), end + latency), wet

    def _dry(self, begin: int, end: int) -> Tensor:
        """From a sample to another, silence after the last."""
        dry = self.pair.dry[..., begin:end]
        return pad(dry, (0, end - begin - dry.shape[-1]))

    def residuals(self, compressor: Compressor, block: int, state: Any) -> tuple[Tensor, Any]:
        """A block of what `fit_module` makes small, `(channels, time)`, and the state after it."""
        memories, registers = state or ((), None)
        dry, wet = self.signals(block, compressor.latency)
        y, after = compressor.run(dry, CompressorState(memories))
        error, registers = prefiltered(torch.atleast_2d(y[..., -wet.shape[-1] :] - wet), registers)
        return error, (after.memories, registers)

    def tangents(
        self, compressor: Compressor, parameters: Parameters, directions: Parameters, block: int, state: Any
    ) -> tuple[Tensor, Tensor, Any]:
        """The same with its derivatives."""
        dry, wet = (torch.atleast_2d(signal) for signal in self.signals(block, compressor.latency))
        return moving_error(compressor, parameters, directions, dry, wet, prefiltered, state)

    @torch.no_grad()
    def prediction(self, compressor: Effect) -> Tensor:
        """The output, without its lead-in and latency."""
        return self.counted(self._output(compressor))

    def _output(self, compressor: Effect) -> Tensor:
        return compressor(self._dry(self.lead_in, self.last + compressor.latency))[..., compressor.latency :]

    @torch.no_grad()
    def esr(self, compressor: Effect, plain: bool = False) -> float:
        """Σ (y − ŷ)²/Σ y², of pre-filtered signals or of plain ones."""
        wet = torch.atleast_2d(self.wet)
        pair = torch.cat([torch.atleast_2d(self._output(compressor)) - wet, wet])
        error, target = self.counted(pair if plain else prefiltered(pair)[0]).square().sum(-1).chunk(2)
        return float(error.sum() / target.sum().clamp_min(torch.finfo(target.dtype).tiny))


def moving_error(
    compressor: Compressor,
    parameters: Parameters,
    directions: Parameters,
    dry: Tensor,
    wet: Tensor,
    filtered: Callable[[Tensor, Tensor | None], tuple[Tensor, Tensor]],
    state: Any,
) -> tuple[Tensor, Tensor, Any]:
    """A block of output − target, filtered, its tangents and the state after it.

    dry, wet: `(channels, time)`, of which dry may have more: the output counts from there on where wet begins, at the end.
    The error is `(channels, time)`, its tangents `(directions, channels, time)`.
    """
    if state is None:
        numbers = moving_numbers(of_parameters(compressor, numbers_of), parameters, directions)
        state = numbers, [], [still(dry.new_zeros(1, 1))] * len(dry)
    numbers, memory, registers = state
    outputs, memory = moving_channels(compressor, numbers, dry, memory)
    count, late = len(next(iter(directions.values()))), dry.shape[-1] - wet.shape[-1]
    errors, tangents, after = [], [], []
    for y, target, register in zip(outputs, wet.split(1), registers, strict=True):
        error, carried = filtered(y.value[:, late:] - target, register.value)
        rows, moved = filtered(y.along(count)[:, late:], register.along(count))
        errors.append(error)
        tangents.append(rows)
        after.append(Moving(carried, moved))
    return torch.cat(errors), _side_by_side(tangents), (numbers, memory, after)


def _side_by_side(tangents: list[Tensor]) -> Tensor:
    """Of each channel `(directions, time)`, as `(directions, channels, time)`."""
    return (
        tangents[0][:, None] if len(tangents) == 1 else torch.stack(tangents, 1)
    )  # `stack` would copy a single one too


def prefiltered(signals: Tensor, registers: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """`(rows, time)` through the high-pass, and its registers after it."""
    b, a = (signals.new_tensor(taps) for taps in PREFILTER)
    return fixed_filter(b, a, signals, registers)
