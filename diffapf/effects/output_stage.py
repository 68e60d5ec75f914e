"""What follows the gain in an amplifier: make-up, a little delay, coupling and transformer as one-poles, saturation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from diffapf.filters.allpole import allpole
from diffapf.parameters import Named, NamedSeries

MICROSECONDS = 1e-6


@dataclass
class OutputState:
    """The last two samples, newest last, and the one-poles' outputs; None at first."""

    past: Tensor | None = None
    poles: Tensor | None = None


class OutputStage(nn.Module):
    """y = γ (u − τ u′ + σ u″ + Σᵢ hᵢ Lᵢ u + Σⱼ kⱼ uʲ), Lᵢ a one-pole low-pass; linear in γ, γτ, γσ, γh, γk.

    The derivatives are differences of three samples, of which the middle one is the present: the output is one sample late.

    Args:
        sample_rate: in Hz.
        makeup_db: γ.
        delay_us: τ, of less than a sample, such as converters have between two recordings; None: no differences, no latency.
        smear_us2: σ, half of the variance in µs² of what smears the signal; negative sharpens.
        corners_hz, filters: the one-poles' corners, and their weights h.
        saturation: k₂, k₃, …
    """

    def __init__(
        self,
        sample_rate: float,
        makeup_db: float,
        delay_us: float | None,
        smear_us2: float,
        corners_hz: Sequence[float],
        filters: Sequence[float],
        saturation: Sequence[float],
    ):
        super().__init__()
        self.sample_rate, self.corners_hz = sample_rate, tuple(corners_hz)
        self.makeup_db = Named(makeup_db, "dB", -24.0, 24.0)
        self.delay_us = None if delay_us is None else Named(delay_us, "µs", -25.0, 25.0)
        self.smear_us2 = None if delay_us is None else Named(smear_us2, "µs²", -500.0, 500.0)
        self.filters = NamedSeries(filters, "") if len(filters) else None
        self.saturation = NamedSeries(saturation, "", first=2) if len(saturation) else None

    @property
    def latency(self) -> int:
        return 0 if self.delay_us is None else 1

    @property
    def powers(self) -> range:
        return range(2, 2 + (0 if self.saturation is None else len(self.saturation)))

    def weights(self) -> Tensor:
        """Of the linear columns and then of the powers."""
        parts = [torch.ones(1, dtype=torch.float64)]
        if self.delay_us is not None and self.smear_us2 is not None:
            parts += [self.delay_us()[None], self.smear_us2()[None]]
        parts += [series() for series in (self.filters, self.saturation) if series is not None]
        return 10 ** (self.makeup_db() / 20) * torch.cat([part.to(parts[-1].device) for part in parts])

    def set_weights(self, weights: Tensor) -> None:
        """The inverse; the first weight must be positive."""
        gain, *others = weights.tolist()
        others = [other / gain for other in others]
        self.makeup_db.set(20 * math.log10(gain))
        if self.delay_us is not None and self.smear_us2 is not None:
            self.delay_us.set(others.pop(0))
            self.smear_us2.set(others.pop(0))
        for series in (self.filters, self.saturation):
            if series is not None:
                series.set(others[: len(series)])
                del others[: len(series)]

    def linear_columns(self, u: Tensor, state: OutputState | None = None) -> tuple[Tensor, OutputState]:
        """`(..., columns, time)` of u `(..., time)`: the present sample first, and the state after it."""
        state = state or OutputState()
        columns, past, poles = [u], state.past, state.poles
        if self.delay_us is not None:
            past = u.new_zeros(*u.shape[:-1], 2) if past is None else past
            known = torch.cat([past, u], -1)
            before, present, after = known[..., :-2], known[..., 1:-1], known[..., 2:]
            rate = MICROSECONDS * self.sample_rate
            columns = [present, (before - after) * (rate / 2), (before - 2 * present + after) * rate**2]
            past = known[..., -2:]
        columns_so_far = torch.stack(columns, -2)
        if self.corners_hz:
            corners = u.new_tensor(self.corners_hz)
            rates = -torch.expm1(-2 * math.pi * corners / self.sample_rate)
            driven = rates[:, None] * columns[0].unsqueeze(-2)
            zi = None if poles is None else poles[..., None]
            low, poles = allpole(driven, (rates - 1)[:, None].expand(*driven.shape[:-1], 1), zi, return_zf=True)
            poles = poles[..., 0]
            columns_so_far = torch.cat([columns_so_far, low], -2)
        return columns_so_far, OutputState(past, poles)

    def columns(self, u: Tensor, state: OutputState | None = None) -> tuple[Tensor, OutputState]:
        """All of them, whose sum with the weights is the output."""
        linear, state = self.linear_columns(u, state)
        present = linear[..., :1, :]
        return torch.cat([linear, *(present**power for power in self.powers)], -2), state

    def run(self, u: Tensor, state: OutputState | None = None) -> tuple[Tensor, OutputState]:
        columns, state = self.columns(u, state)
        return (self.weights().to(u.dtype)[:, None] * columns).sum(-2), state
