"""The filters of the acid synth: from what a player or a network moves at the control rate to second-order sections.

    coefficients   any biquad: five numbers a frame, made stable by the biquad triangle
    lowpass        the cookbook's low-pass: cutoff a frame, one Q
    ladder         four poles as two low-passes: cutoff a frame, one resonance

Each names its controls and gives the sections of each frame, `(..., frames, 3)`. Between frames coefficients are linear.
A network in their place is in `lstm_filter`.

Source: Yu et al., DAFx 2024, section 4.2 and its published code (ε = 10⁻³); Stilson, Smith, "Analyzing the Moog VCF with
considerations for digital implementation", ICMC 1996 (the ladder's poles).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from diffapf.filters.biquads import lowpass
from diffapf.filters.control_rate import ControlRate
from diffapf.filters.methods import Biquads, ControlRateFilter
from diffapf.filters.stability import biquad_triangle
from diffapf.parameters import Range
from diffapf.synths.controls import Control

Section = tuple[Tensor, Tensor]
Values = Mapping[str, Tensor]

MARGIN = 1e-3
"""ε: how far off the edge of stability coefficients are kept."""
PUBLISHED_RATE = 48_000.0
LOWEST_CUTOFF_HZ = 100.0
Q = Range(0.7071, 8.0, "", "log")
RESONANCE = Range(0.0, 3.92)  # at 4 a ladder oscillates


class AcidFilter(Protocol):
    @property
    def controls(self) -> tuple[Control, ...]: ...

    def moving(self, values: Values, sample_rate: float, hop: int, rate: ControlRate) -> ControlRateFilter: ...


class OfSections:
    """A filter that is second-order sections at each frame."""

    def sections(self, values: Values, sample_rate: float) -> list[Section]:
        raise NotImplementedError

    def moving(self, values: Values, sample_rate: float, hop: int, rate: ControlRate) -> ControlRateFilter:
        return Biquads(self.sections(values, sample_rate), hop, rate)


@dataclass(frozen=True)
class Coefficients(OfSections):
    """Five logits a frame: a1, a2 by `biquad_triangle`, and b.

    normalised: b is a deviation from ¼, ½, ¼ times the denominator's gain at 0 Hz, and a is around a low-pass of 1 kHz, so
    that a network starts from a low-pass of gain 1; False: b as it is, as published.
    """

    normalised: bool = True
    START = (-1.8, -0.9)

    @property
    def controls(self) -> tuple[Control, ...]:
        return (Control("logits", channels=5, moves=True),)

    def sections(self, values: Values, sample_rate: float) -> list[Section]:
        l1, l2, *raw = values["logits"].unbind(-1)
        if not self.normalised:
            a1, a2 = biquad_triangle(l1, l2, MARGIN)
            return [(torch.stack(raw, -1), _with_leading_one(a1, a2))]
        a1, a2 = biquad_triangle(l1 + self.START[0], l2 + self.START[1], MARGIN)
        start = torch.tensor([0.25, 0.5, 0.25], dtype=a1.dtype, device=a1.device)
        b = (torch.stack(raw, -1) + start) * (1 + a1 + a2)[..., None]
        return [(b, _with_leading_one(a1, a2))]


@dataclass(frozen=True)
class LowPass(OfSections):
    """The cookbook's low-pass, its feedback scaled by 1 − ε at 48 kHz.

    highest_hz: what the cutoff reaches; published: 8 kHz.
    """

    highest_hz: float = 20_000.0

    @property
    def controls(self) -> tuple[Control, ...]:
        return cutoff(self.highest_hz), Control("q", Q, start=1.5)

    def sections(self, values: Values, sample_rate: float) -> list[Section]:
        return [_damped(lowpass(values["cutoff_hz"], values["q"][..., None], sample_rate), sample_rate)]


@dataclass(frozen=True)
class Ladder(OfSections):
    """Four equal one-poles in a loop of gain −k, the poles of which are found in closed form, so that it is stable.

    At cutoff 1 the poles are s = −1 + k^¼ e^(±jπ/4) and −1 + k^¼ e^(±3jπ/4); each pair is a low-pass at cutoff · |s| with
    Q = |s|/(2 |Re s|), not above 0.49 of the sample rate.
    """

    highest_hz: float = 20_000.0

    @property
    def controls(self) -> tuple[Control, ...]:
        return cutoff(self.highest_hz), Control("resonance", RESONANCE, start=1.0)

    def sections(self, values: Values, sample_rate: float) -> list[Section]:
        offset = values["resonance"].clamp(min=1e-6)[..., None] ** 0.25 / math.sqrt(2)
        found = []
        for side in (1, -1):
            real, imaginary = 1 - side * offset, offset
            radius = torch.hypot(real, imaginary)
            frequency = (values["cutoff_hz"] * radius).clamp(max=0.49 * sample_rate)
            found.append(_damped(lowpass(frequency, radius / (2 * real), sample_rate), sample_rate))
        return found


def cutoff(highest_hz: float) -> Control:
    return Control("cutoff_hz", Range(LOWEST_CUTOFF_HZ, highest_hz, "Hz", "log"), moves=True, start=2000.0)


def _damped(section: Section, sample_rate: float) -> Section:
    """ε adds to the square of the cutoff in radians a sample: it goes with 1/rate², or patches would change with it."""
    b, a = section
    margin = MARGIN * (PUBLISHED_RATE / sample_rate) ** 2
    return b, _with_leading_one(*(a[..., 1:] * (1 - margin)).unbind(-1))


def _with_leading_one(a1: Tensor, a2: Tensor) -> Tensor:
    return torch.stack([torch.ones_like(a1), a1, a2], -1)
