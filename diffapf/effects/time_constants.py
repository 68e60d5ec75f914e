"""From the times on a compressor's knobs to the rates of its one-poles.

α = 1 − exp(−c · 1000/(t · sample_rate)), t in ms: within t the smoother goes 1 − e^(−c) of its way. Makers differ in c:
1 is the time constant (63 %), 2.2 the rise from 10 to 90 %, 2π what JUCE's ballistics take. A time in one convention is that
in another times the ratio of their c.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

CONVENTIONS = (2.2, 1.0, 2 * math.pi)


def smoothing_rate(milliseconds: Tensor, sample_rate: float, convention: float = 2.2) -> Tensor:
    """α of a time in ms.

    >>> smoothing_rate(torch.tensor(50.0), 44_100)
    tensor(0.0010)
    """
    return -torch.expm1(-1000 * convention / (milliseconds * sample_rate))


def milliseconds_of(rate: float, sample_rate: float, convention: float = 2.2) -> float:
    """The time in ms of a rate 0 < α < 1.

    >>> round(milliseconds_of(0.3, 44_100), 4)
    0.1399
    """
    return -1000 * convention / (sample_rate * math.log1p(-rate))
