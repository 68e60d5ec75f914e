"""Epoch folding: the period of something hidden, found from what each moment says against each value it could have.

Given is a table of costs C[i, p]: how badly value p explains the frame at time tᵢ. A frame in which nothing can be told
costs the same for all p, and so abstains: no frame is ever asked to decide. For a rate f, frames are sorted by their phase
f tᵢ into bins; frames of a bin must share one value:

    cost(f) = Σ_bins min_p Σ_{i in bin} C[i, p]

Neither the phase nor the waveform is assumed. The number of bins is the same for all rates, so at f/2, where each half of
the bins sees the waveform once, resolution is lost and the fundamental wins.

With fewer than 2½ periods hardly any phase is seen twice, and low rates explain everything. A waveform that falls as it
rose is then assumed (`scan_even`): phases θ and −θ share a bin, and each period is seen twice.

Source: epoch folding is pulsar astronomy's: Leahy et al., "On searches for pulsed emission", The Astrophysical Journal
266, 1983; the table of costs in place of photon counts is this project's.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

BINS = 32
EVEN_BINS = 24
EVEN_PHASES = 24
AT_ONCE = 1 << 22  # numbers of a matrix of folding weights that exist at once


def frame_weights(energy: Tensor, floor_db: float = -60.0) -> Tensor:
    """How much a frame's residual energy counts: energy^(−½), so that no loud chord outvotes the rest of a recording.

    A residual in proportion to the signal then counts as its amplitude. Frames below `floor_db` of the loudest get no more
    weight than those at it.
    """
    floor = 10 ** (floor_db / 10) * energy.max().clamp(min=torch.finfo(energy.dtype).tiny)
    return energy.clamp(min=floor).rsqrt()


def folding_weights(phase: Tensor, bins: int = BINS) -> Tensor:
    """How phases in cycles, `(..., frames)`, are split linearly between the two nearest bins: `(..., bins, frames)`.

    >>> folding_weights(torch.tensor([0.0, 0.125, 0.5]), bins=4)
    tensor([[1.0000, 0.5000, 0.0000],
            [0.0000, 0.5000, 0.0000],
            [0.0000, 0.0000, 1.0000],
            [0.0000, 0.0000, 0.0000]])
    """
    return _split((phase - phase.floor()) * bins, bins, circular=True)


def even_weights(phase: Tensor, bins: int = EVEN_BINS) -> Tensor:
    """The same for a waveform that is even about phase 0: bin 0 is phase 0, the last is ½."""
    return _split(2 * (phase - phase.round()).abs() * (bins - 1), bins, circular=False)


def _split(place: Tensor, bins: int, circular: bool) -> Tensor:
    lower = place.floor().clamp(max=bins - 1)
    part = (place - lower).float()
    lower = lower.long()
    upper = (lower + 1) % bins if circular else (lower + 1).clamp(max=bins - 1)
    weights = part.new_zeros(*place.shape[:-1], bins, place.shape[-1])
    weights.scatter_add_(-2, lower[..., None, :], (1 - part)[..., None, :])
    return weights.scatter_add_(-2, upper[..., None, :], part[..., None, :])


def scan_rates(cost: Tensor, times: Tensor, rates: Tensor, bins: int = BINS) -> Tensor:
    """cost(f) of the module's equation for each rate.

    Args:
        cost: C, `(frames, values)`, or `(tables, frames, values)`: several tables at once.
        times: of the frames, in seconds.
        rates: `(rates,)` in Hz.

    Returns:
        `(rates,)` or `(tables, rates)`.
    """

    def weights(some: Tensor) -> Tensor:
        return folding_weights(some[:, None] * times, bins)

    return _best_values(cost, weights, rates, bins)


def scan_even(cost: Tensor, times: Tensor, rates: Tensor, phases: int = EVEN_PHASES) -> Tensor:
    """The cost of each rate and each phase (in cycles, k/(2·phases)) of an even waveform: `(rates, phases)`."""
    phase = torch.arange(phases, dtype=torch.float64) / (2 * phases)
    pairs = torch.cartesian_prod(rates.double(), phase)

    def weights(some: Tensor) -> Tensor:
        return even_weights(some[:, :1] * times + some[:, 1:])

    return _best_values(cost, weights, pairs, EVEN_BINS).reshape(len(rates), phases)


def _best_values(cost: Tensor, weights: Callable[[Tensor], Tensor], hypotheses: Tensor, bins: int) -> Tensor:
    tables = cost.float()[None] if cost.ndim == 2 else cost.float()
    number, frames, values = tables.shape
    flat = tables.transpose(0, 1).reshape(frames, -1)
    totals = []
    for some in hypotheses.split(max(1, AT_ONCE // (bins * frames))):
        folded = weights(some) @ flat  # (some, bins, tables · values)
        totals.append(folded.unflatten(-1, (number, values)).amin(-1).double().sum(1))
    return torch.cat(totals).mT[0 if cost.ndim == 2 else slice(None)]


def rate_grid(duration: float, highest: float, fewest_periods: float = 0.6, steps: int = 8) -> Tensor:
    """Rates in Hz for recordings of `duration` seconds: `steps` to each period more that fits in."""
    return torch.arange(fewest_periods / duration, highest, 1 / (steps * duration), dtype=torch.float64)


def refine_rate(cost: Tensor, times: Tensor, rate: float, step: float, points: int = 41, bins: int = BINS) -> float:
    """The rate of least cost within one step of `rate`, in Hz: the parabola through the best of a finer grid."""
    rates = rate + step * torch.linspace(-1, 1, points, dtype=torch.float64)
    costs = scan_rates(cost, times, rates[rates > 0], bins)
    return vertex(rates[rates > 0], costs)[0]


def vertex(at: Tensor, values: Tensor) -> tuple[float, float]:
    """Where the parabola through the lowest of `values` and its neighbours has its vertex, and its second derivative.

    `at` need not be evenly spaced. At an end of the range: the end itself, and infinity.

    >>> vertex(torch.tensor([0.0, 1.0, 3.0]), torch.tensor([4.0, 1.0, 1.0]))
    (2.0, 2.0)
    """
    best = int(values.argmin())
    if not 0 < best < len(values) - 1:
        return float(at[best]), math.inf
    (a, b, c), (u, v, w) = at[best - 1 : best + 2].tolist(), values[best - 1 : best + 2].tolist()
    left, right = (v - u) / (b - a), (w - v) / (c - b)
    bend = 2 * (right - left) / (c - a)
    if bend <= 0:
        return b, 0.0
    slope = (left * (c - b) + right * (b - a)) / (c - a)
    return b - slope / bend, bend
