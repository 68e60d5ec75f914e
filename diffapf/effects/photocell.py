"""A levelling amplifier's lamp and photocell as a module: from the audio to the gain."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from diffapf.effects.time_constants import smoothing_rate
from diffapf.filters.optical_cell import optical_cell
from diffapf.parameters import Named
from diffapf.parameters import share as part_of_two


class Photocell(nn.Module):
    """The gain of `(..., time)`; see `filters/optical_cell.py` for the equations.

    Args:
        sample_rate: in Hz.
        lamp: "power" or "electroluminescent".
        slow: "parallel", "memory", "traps" or None, for one stage of release.
        threshold_db: T, where the lamp's drive is 1.
        exponent: p of a power law.
        brightness: B of an electroluminescent panel.
        feedback: φ.
        curve: q.
        attack_ms, release_ms: 63 % of the way.
        speed: s; None: equally fast in any light.
        share: w, the slow stage's part.
        slow_attack_ms, slow_release_ms: its times; traps fill in the one where c₁ = 1, and empty in the other.
    """

    def __init__(
        self,
        sample_rate: float,
        lamp: str,
        slow: str | None,
        threshold_db: float,
        exponent: float,
        brightness: float,
        feedback: float,
        curve: float,
        attack_ms: float,
        release_ms: float,
        speed: float | None,
        share: float,
        slow_attack_ms: float,
        slow_release_ms: float,
    ):
        super().__init__()
        self.sample_rate, self.lamp, self.slow = sample_rate, lamp, slow
        self.threshold_db = Named(threshold_db, "dB", -60.0, 20.0)
        self.exponent, self.brightness = None, None
        if lamp == "power":
            self.exponent = Named(exponent, "", 0.1, 10.0, "log")
        else:
            self.brightness = Named(brightness, "", 0.1, 1000.0, "log")
        self.feedback = Named(feedback, "", 0.0, 1.0)
        self.curve = Named(curve, "", 0.1, 10.0, "log")
        self.attack_ms = Named(attack_ms, "ms", 0.1, 500.0, "log")
        self.release_ms = Named(release_ms, "ms", 1.0, 5000.0, "log")
        self.speed = None if speed is None else Named(speed, "", 0.001, 10.0, "log")
        self.share, self.slow_attack_ms, self.slow_release_ms = None, None, None
        if slow is not None:
            self.share = Named(share, "", 0.0, 1.0, mapping=part_of_two)
            self.slow_attack_ms = Named(slow_attack_ms, "ms", 1.0, 5000.0, "log")
            self.slow_release_ms = Named(slow_release_ms, "ms", 10.0, 20_000.0, "log")

    def numbers(self) -> dict[str, Tensor]:
        """What `optical_cell` takes, by name; of what is not there, nothing."""
        known = {
            "threshold": 10 ** (self.threshold_db() / 20),
            "lamp_number": (self.exponent or self.brightness)(),  # type: ignore[misc]
            "feedback": self.feedback(),
            "curve": self.curve(),
            "attack": smoothing_rate(self.attack_ms(), self.sample_rate, 1.0),
            "release": smoothing_rate(self.release_ms(), self.sample_rate, 1.0),
        }
        if self.speed is not None:
            known["speed"] = self.speed()
        if self.share is not None and self.slow_attack_ms is not None and self.slow_release_ms is not None:
            known["share"] = self.share()
            known["slow_attack"] = smoothing_rate(self.slow_attack_ms(), self.sample_rate, 1.0)
            known["slow_release"] = smoothing_rate(self.slow_release_ms(), self.sample_rate, 1.0)
        return known

    def run(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The gain, and (c₁, c₂) after it."""
        numbers = {name: value.to(x.dtype) for name, value in self.numbers().items()}
        kinds = {"lamp": self.lamp, "slow": self.slow or "memory"}
        return optical_cell(x, **numbers, **kinds, zi=state, return_zf=True)  # type: ignore[arg-type, return-value]

    @torch.no_grad()
    def static_gain(self, level_db: Tensor) -> Tensor:
        """The gain at a level that lasts, in dB: where the loop's gain is what its light makes of it, by bisection."""
        numbers = {name: value.to(level_db.dtype) for name, value in self.numbers().items()}
        low, high = torch.full_like(level_db, -200.0), torch.zeros_like(level_db)
        for _ in range(60):
            gain_db = (low + high) / 2
            reached = _settled_gain_db(level_db + numbers["feedback"] * gain_db, numbers, self.lamp, self.slow)
            low, high = torch.where(reached > gain_db, gain_db, low), torch.where(reached > gain_db, high, gain_db)
        return (low + high) / 2


def _settled_gain_db(drive_db: Tensor, numbers: dict[str, Tensor], lamp: str, slow: str | None) -> Tensor:
    u = 10 ** (drive_db / 20) / numbers["threshold"]
    p = numbers["lamp_number"]
    light = u**p if lamp == "power" else p * torch.exp(-u.rsqrt())
    if slow == "traps":
        filled = numbers["slow_attack"] * light
        light = light + numbers["share"] * (filled / (filled + numbers["slow_release"]) - light)
    return -20 * torch.log10(1 + light ** numbers["curve"])
