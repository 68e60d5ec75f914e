"""What a phaser's fit adds to the model, a piece at a time: each begins by changing nothing.

A piece is a function of the phaser that has been reached, to one that has more to learn; or to None, where there is nothing
for it to explain, or where the core has no such part.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor

from diffapf.effects.free_filters import FreeFilter
from diffapf.effects.phaser import Phaser
from diffapf.filters.design import polynomial_product
from diffapf.identification.aligned_pair import Stretch
from diffapf.modulation import FourierLFO

MOST_HARMONICS = 16
THIRD_POLE = 0.95  # of the input filter, at first on a zero
HIGHPASS_HZ = 30.0
WITHOUT_FEEDBACK = 0.05  # |feedback| below which nothing in the loop is to be found
KNOT_S = 1.0
PAPER_HOP_S = 0.01  # published, for the fast settings of the pedal's rate
LEAST_FEEDBACK = 0.01  # where the published training starts: at 0 its magnitude has no derivative


def padded(values: list[float], count: int) -> list[float]:
    """The first values, and zeros where there are not so many."""
    return [*values, *[0.0] * count][:count]


def with_poles(polynomial: Tensor, poles: Sequence[float]) -> Tensor:
    for pole in poles:
        polynomial = polynomial_product(polynomial, polynomial.new_tensor([1.0, -pole]))
    return polynomial


def changed(phaser: Phaser, **configuration: Any) -> Phaser:
    """A phaser of another configuration, with all parameters that both have."""
    values = {spec.name: spec.value for spec in phaser.parameters_spec()}
    other = Phaser(phaser.sample_rate, **(phaser.configuration() | configuration)).double()
    names = {spec.name for spec in other.parameters_spec()}
    other.set_parameters({name: value for name, value in values.items() if name in names})
    return other


def with_harmonics(phaser: Phaser, count: int) -> Phaser:
    lfo = cast(FourierLFO, phaser.lfo).configuration()
    longer = {name: padded(lfo[name], count) for name in ("cosines", "sines")}
    return changed(phaser, lfo=lfo | longer)


@torch.no_grad()
def with_filter_order(phaser: Phaser, order: int) -> Phaser:
    """The input filter with more poles, on as many zeros."""
    other = changed(phaser, filter_order=order)
    b, a = phaser.biquad()
    poles = [THIRD_POLE] * (order + 1 - len(a))
    cast(FreeFilter, other.biquad).set(with_poles(b, poles), with_poles(a, poles))
    return other


@torch.no_grad()
def with_dry_filter(phaser: Phaser) -> Phaser:
    """The through path with a filter of its own, which begins as the input filter."""
    other = changed(phaser, dry_filter=True)
    b, a = phaser.biquad()
    cast(FreeFilter, other.dry_filter).set(phaser.through() * b, a)
    other.through.set(1.0)
    return other


def with_drift(phaser: Phaser, stretch: Stretch) -> Phaser:
    """The LFO with a knot about every second of a stretch, the first and the last held."""
    intervals = max(2, round((stretch.stop_s - stretch.start_s) / KNOT_S))
    return knotted(phaser, stretch.start_s, (stretch.stop_s - stretch.start_s) / intervals, intervals + 1)


def knotted(phaser: Phaser, start_s: float, spacing: float, count: int) -> Phaser:
    drift = {"drift": [0.0] * count, "drift_start": start_s, "drift_spacing": spacing}
    return changed(phaser, lfo=cast(FourierLFO, phaser.lfo).configuration() | drift)


def with_highpass(phaser: Phaser) -> Phaser | None:
    """AC-coupled feedback; None where there is no feedback, or a loop that is none of an analogue circuit."""
    if abs(phaser.feedback().item()) < WITHOUT_FEEDBACK or phaser.loop_delay or phaser.core == "paper":
        return None
    return changed(phaser, feedback_highpass_hz=HIGHPASS_HZ)


def with_dry_filter_if_worthwhile(phaser: Phaser) -> Phaser | None:
    """None where a third pole was no gain: then two filters are not either."""
    return None if phaser.filter_order == 2 or phaser.core == "paper" else with_dry_filter(phaser)


def with_delay(phaser: Phaser) -> Phaser:
    return changed(phaser, delay_us=0.0)


def with_paper_core(phaser: Phaser) -> Phaser:
    """The published core, which knows no negative feedback."""
    other = changed(phaser, core="paper", hop_seconds=PAPER_HOP_S)
    other.feedback.set(max(LEAST_FEEDBACK, phaser.feedback().item()))
    return other


PIECES: dict[str, Callable[[Phaser], Phaser | None]] = {
    "+ AC-coupled feedback": with_highpass,
    "+ input filter of order 3": lambda phaser: with_filter_order(phaser, 3),
    "+ a filter of its own for the dry path": with_dry_filter_if_worthwhile,
    (HARMONICS := f"+ {MOST_HARMONICS} harmonics of the LFO"): lambda phaser: with_harmonics(phaser, MOST_HARMONICS),
    (DELAY := "+ a delay by a part of a sample"): with_delay,
}
# Small changes that the output follows linearly: one linearisation tells what a descent would gain.
LINEAR = (HARMONICS, DELAY)
