"""A pair of tracks as residuals of least squares: in blocks of the time domain, or whole where there are no blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from diffapf.identification.aligned_pair import UNKNOWN_S
from diffapf.identification.layout import Parameters
from diffapf.identification.prefiltered_pair import moving_error
from diffapf.identification.spans import BLOCK
from diffapf.losses import Prefiltered
from recipes.data import Excerpt
from recipes.kinds import Kind


@dataclass(frozen=True)
class Residuals:
    """Prediction − target of an excerpt, behind the loss's filter if it has one."""

    kind: Kind
    excerpt: Excerpt
    sample_rate: float
    filtered: Prefiltered | None = None

    @property
    def blocks(self) -> int:
        return -(-self.excerpt.dry.shape[-1] // BLOCK)

    @property
    def weights(self) -> list[Tensor]:
        """1 for the samples that count, 0 for the lead-in, and where a file begins in the middle of a signal."""
        return list(self._counts().split(BLOCK))

    @property
    def energy(self) -> float:
        """Of the target, over which the cost of a fit is an ESR."""
        wet = self.excerpt.wet if self.filtered is None else self.filtered.filtered(self.excerpt.wet)[0]
        return float((self._counts() * wet.square()).sum())

    def of_block(self, effect: Any, block: int, state: Any) -> tuple[Tensor, Any]:
        """By the recursion, with its memory and that of the loss's filter."""
        memory, past = state or (None, None)
        span = slice(block * BLOCK, (block + 1) * BLOCK)
        dry, wet = self.excerpt.dry[..., span], self.excerpt.wet[..., span]
        y, memory = self.kind.run_block(effect, dry, self.excerpt.start + span.start, memory)
        error = y - wet
        if self.filtered is not None:
            error, past = self.filtered.filtered(error, past)
        return error, (memory, past)

    @property
    def has_tangents(self) -> bool:
        """Whether `tangents` can be used: for effects that know their own, behind a filter of one pole."""
        return self.filtered is not None and len(self.filtered.a) == len(self.filtered.b) == 2

    def tangents(
        self, effect: Any, parameters: Parameters, directions: Parameters, block: int, state: Any
    ) -> tuple[Tensor, Tensor, Any]:
        """`of_block` with its derivatives."""
        assert self.filtered is not None
        span = slice(block * BLOCK, (block + 1) * BLOCK)
        dry, wet = self.excerpt.dry[:, span], self.excerpt.wet[:, span]
        return moving_error(effect, parameters, directions, dry, wet, self.filtered.filtered, state)

    def of_whole(self, effect: Any) -> Tensor:
        """By the effect's own method."""
        error = self.kind.run(effect, self.excerpt.dry, self.excerpt.start) - self.excerpt.wet
        if self.filtered is not None:
            error = self.filtered.filtered(error)[0]
        return error * self._counts()

    def _counts(self) -> Tensor:
        unknown = max(self.excerpt.skip, round(UNKNOWN_S * self.sample_rate) - self.excerpt.start)
        return (torch.arange(self.excerpt.dry.shape[-1]) >= unknown).to(self.excerpt.wet.dtype)
