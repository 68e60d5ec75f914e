"""Attack and release: how fast a compressor follows its level, or its gain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from diffapf.effects.time_constants import smoothing_rate
from diffapf.filters.ballistics import ballistics
from diffapf.filters.methods import OnePole
from diffapf.parameters import Named

BALLISTICS = ("branching", "decoupled")


class AttackRelease(nn.Module):
    """The smoother of a level, which rises in an attack, or of a gain, which falls.

    "branching": one pole, whose rate is the attack's or the release's (`filters/ballistics.py`).
    "decoupled": y₁ = max(x, the release's pole on y₁), then the attack's pole (Giannoulis et al. 2012, eq. 17; of a gain the
    minimum): a release begins at once, also during an attack.

    Args:
        sample_rate: in Hz.
        attack_ms, release_ms: learnable; release_ms None: the attack's, so that it is one linear one-pole.
        kind: "branching" or "decoupled".
        time_convention: c of `time_constants`.
    """

    def __init__(
        self, sample_rate: float, attack_ms: float, release_ms: float | None, kind: str, time_convention: float
    ):
        super().__init__()
        self.sample_rate, self.kind, self.time_convention = sample_rate, kind, time_convention
        self.attack_ms = Named(attack_ms, "ms", 0.01, 500.0, taper="log")
        self.release_ms = None if release_ms is None else Named(release_ms, "ms", 1.0, 5000.0, taper="log")

    def filter(self, dtype: torch.dtype, rest: float, of_gain: bool) -> Any:
        """The smoother, for signals of a dtype, from the value that it rests at."""
        attack = smoothing_rate(self.attack_ms(), self.sample_rate, self.time_convention).to(dtype)
        if self.release_ms is None:
            return OnePole(attack, rest)
        release = smoothing_rate(self.release_ms(), self.sample_rate, self.time_convention).to(dtype)
        return (Branching if self.kind == "branching" else Decoupled)(attack, release, rest, of_gain)


@dataclass
class Branching:
    """Two rates, of which each sample takes one."""

    attack: Tensor
    release: Tensor
    rest: float
    of_gain: bool
    hop = None

    def run(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        falls, rises = (self.attack, self.release) if self.of_gain else (self.release, self.attack)
        return ballistics(x, falls, rises, self.rest if state is None else state, return_zf=True)  # type: ignore

    def response(self, omega: Tensor) -> Tensor:
        raise ValueError(
            "a smoother with an attack and a release of its own is not linear and has no frequency response: "
            "FrequencySampling needs release_ms=None, which ties them"
        )


class Decoupled(Branching):
    """An instant attack with the release, then the attack's pole."""

    def run(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        instant = torch.ones_like(self.attack)
        held, peak = Branching(instant, self.release, self.rest, self.of_gain).run(x, state and state[0])
        y, smoothed = OnePole(self.attack, self.rest).run(held, state and state[1])
        return y, (peak, smoothed)
