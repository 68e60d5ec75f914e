"""A dry and a wet recording, and spans of it in blocks: what the fits of all effects have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import torch
from torch import Tensor

from diffapf.identification.lateness import advanced

BLOCK = 32_768  # samples: with fewer Python takes its share of the time, with more the derivatives leave the cache


AnyPair = TypeVar("AnyPair", bound="Pair")


@dataclass(frozen=True)
class Pair:
    """A dry and a wet signal `(..., time)`, of which sample n + offset of the wet one belongs to sample n of the dry one."""

    dry: Tensor
    wet: Tensor
    sample_rate: float
    offset: int = 0

    @property
    def samples(self) -> int:
        """How many samples of the dry signal have one of the wet signal."""
        return min(self.dry.shape[-1], self.wet.shape[-1] - self.offset)

    def read_later(self: AnyPair, samples: float) -> AnyPair:
        """The pair with a wet signal that was late by so many samples, a part of one as well."""
        return replace(self, wet=advanced(self.wet, samples))

    def _between(self, start_s: float, stop_s: float) -> tuple[int, int]:
        """The first sample and the one after the last, as far as there are samples of both."""
        first, last = (round(time * self.sample_rate) for time in (start_s, stop_s))
        return max(first, -self.offset, 0), min(last, self.samples)


def channels_of(name: str, signal: Tensor, most: int = 2) -> Tensor:
    """A signal in float64, `(time,)` or `(2, time)`; raises ValueError for other shapes, and for what is not finite."""
    signal = torch.as_tensor(signal).double()
    if signal.dim() != 1 and not (most == 2 and signal.shape[:-1] == (2,)):
        shapes = "one channel, (time,)" + (", or two, (2, time)" if most == 2 else "")
        raise ValueError(f"{name} must be {shapes}, got shape {tuple(signal.shape)}")
    if not signal.isfinite().all():
        raise ValueError(f"{name} must be finite, but has samples that are not")
    return signal


@dataclass(frozen=True)
class Span(ABC, Generic[AnyPair]):
    """The samples from `first` to `last` of a pair, as blocks; those from `lead_in` on are run through."""

    pair: AnyPair
    first: int
    last: int

    @property
    @abstractmethod
    def lead_in(self) -> int:
        """The first sample that is run through."""

    @property
    def start_s(self) -> float:
        return self.first / self.pair.sample_rate

    @property
    def stop_s(self) -> float:
        return self.last / self.pair.sample_rate

    @property
    def blocks(self) -> int:
        return -(-(self.last - self.lead_in) // BLOCK)

    def of_block(self, block: int) -> tuple[int, int]:
        """A block's first sample and the one after its last."""
        begin = self.lead_in + block * BLOCK
        return begin, min(begin + BLOCK, self.last)

    def counted(self, signal: Tensor) -> Tensor:
        """What is run through, without its lead-in."""
        return signal[..., self.first - self.lead_in :]

    def _weights_from(self, first: int) -> list[Tensor]:
        """Of each block's samples: 1 from `first` on, 0 before."""
        return list((torch.arange(self.lead_in, self.last) >= first).to(self.pair.wet.dtype).split(BLOCK))
