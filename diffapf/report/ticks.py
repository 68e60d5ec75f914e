"""Tick marks of the axes that are drawn in HTML: labels that keep their size while the picture scales."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Tick:
    """A label and where it stands, in percent of the axis."""

    position: float
    label: str


def time_ticks(seconds: float, most: int = 6) -> list[Tick]:
    """Ticks from 0 on at the finest round step that gives at most `most` of them.

    >>> [tick.label for tick in time_ticks(10)]
    ['0', '2', '4', '6', '8', '10']
    """
    steps = (m * 10.0**e for e in range(-4, 6) for m in (1, 2, 5))
    step = next(step for step in steps if seconds / step < most)
    count = math.floor(seconds / step * (1 + 1e-9))
    return [Tick(round(100 * i * step / seconds, 3), f"{i * step:g}") for i in range(count + 1)]


def frequency_ticks(lowest: float, highest: float) -> list[Tick]:
    """Ticks at 1, 2 and 5 times the powers of ten on a logarithmic axis, in Hz; its top is left free for the unit.

    >>> [tick.label for tick in frequency_ticks(40, 8000)]
    ['50', '100', '200', '500', '1k', '2k', '5k']
    """
    marks = (m * 10**e for e in range(1, 6) for m in (1, 2, 5))
    inside = [mark for mark in marks if lowest <= mark <= 0.8 * highest]
    return [Tick(round(100 * log_position(f, lowest, highest), 3), short_frequency(f)) for f in inside]


def log_position(value: float, lowest: float, highest: float) -> float:
    """Where a value lies on a logarithmic axis: 0 at its lowest, 1 at its highest end."""
    return math.log(value / lowest) / math.log(highest / lowest)


def short_frequency(hertz: float) -> str:
    """20 000 as "20k"."""
    return f"{hertz / 1000:g}k" if hertz >= 1000 else f"{hertz:g}"
