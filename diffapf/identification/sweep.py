"""A filter that sweeps: one set of gains for all time and a periodic curve through a grid of fixed filters, in turns.

    y[n] ≈ Σᵢ bᵢ x[n−i] + Σᵢ cᵢ w_u[n−i],  u = u(f t): which filter of the grid, between two of them as well

Any effect that is a filter moved by an LFO and mixed with its input is of this form: phaser, flanger, auto-wah. The audio
is met once, as Gram matrices of each block for each filter of the grid (`regression.py`); everything after that is small.

1. Each frame's own gains: a table of costs that assumes nothing. Its folding gives the rate.
2. With the curve known the gains for all time are least squares; with the gains known the table is sharper. Four turns,
   the curve a path through the folded table; then three, the curve a Fourier series.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from diffapf.identification.curves import PeriodicCurve, fit_curve, read_between
from diffapf.identification.folding import (
    even_weights,
    folding_weights,
    rate_grid,
    refine_rate,
    scan_even,
    scan_rates,
    vertex,
)
from diffapf.identification.paths import along, between_values, circular_path
from diffapf.identification.regression import residual_energy, solve_gains

BLOCKS_A_FRAME = 4
HIGHEST_RATE = 12.0
FEWEST_PERIODS = 2.5
PATH_TURNS = 4
CURVE_TURNS = 3
MOST_SLOW_PERIODS = 4.0
FREED = 0.5  # of what an even curve leaves, for a free one to be believed
GAIN_RIDGE = 1e-6
SLOWNESS = 0.1  # of the path through time, a frame


@dataclass
class Volume:
    """Gram matrices `(blocks, filters, 7, 7)` of the blocks whose middles are at `times` seconds, and their weights."""

    grams: Tensor
    times: Tensor
    weights: Tensor

    @property
    def duration(self) -> float:
        """In seconds."""
        return duration_of(self.times)

    @property
    def energy(self) -> float:
        """Of y, weighted."""
        return float((self.grams[:, 0, -1, -1] * self.weights).sum())


@dataclass
class Sweep:
    """What was found: the curve (in places of the grid), the gains `(6,)`, and how well they explain.

    cost: `(blocks, filters)`: each block's weighted residual energy for these gains.
    block_costs: `(blocks,)`: along the curve, the cost's share of each block.
    residual: weighted residual energy over that of y, `energy`.
    """

    curve: PeriodicCurve
    gains: Tensor
    cost: Tensor
    block_costs: Tensor
    energy: float

    @property
    def residual(self) -> float:
        return float(self.block_costs.sum()) / self.energy


def duration_of(times: Tensor) -> float:
    """What evenly spaced blocks cover, in seconds."""
    return len(times) * float(times[1] - times[0])


def frame_table(volume: Volume) -> tuple[Tensor, Tensor]:
    """Each frame's cost for each filter, its gains solved for it alone, `(frames, filters)`, and the frames' times."""
    frames = len(volume.grams) // BLOCKS_A_FRAME
    grams = _by_frames(volume.grams, frames).sum(1)
    cost = residual_energy(grams, solve_gains(grams)) * _by_frames(volume.weights, frames).mean(1)[:, None]
    return cost, _by_frames(volume.times, frames).mean(1)


def _by_frames(blocks: Tensor, frames: int) -> Tensor:
    return blocks[: frames * BLOCKS_A_FRAME].unflatten(0, (frames, BLOCKS_A_FRAME))


def find_sweep(volume: Volume) -> tuple[Sweep, bool]:
    """The sweep of a volume about which nothing is known, and whether its curve had to be assumed even."""
    cost, times = frame_table(volume)
    rates = rate_grid(volume.duration, HIGHEST_RATE)
    rate = vertex(rates, scan_rates(cost, times, rates))[0]
    if rate * volume.duration < FEWEST_PERIODS:
        return find_slow_sweep(volume, cost, times)
    rate = refine_rate(cost, times, rate, _step(volume))
    path = _folded_path(cost, times, rate)
    return find_sweep_at(volume, rate, path), False


def find_sweep_at(volume: Volume, rate: float, path: Tensor) -> Sweep:
    """The sweep whose rate (Hz) and path (at equally spaced phases, phase 0 at time 0) are known roughly."""
    for turn in range(PATH_TURNS):
        _, cost = _shared_gains(volume, along(path, rate * volume.times))
        rate = refine_rate(cost, volume.times, rate, _step(volume) / 2**turn)
        path = _folded_path(cost, volume.times, rate)
    return polish(volume, PeriodicCurve.through(path, rate, float(volume.times.mean())))


def polish(volume: Volume, curve: PeriodicCurve, even: bool = False) -> Sweep:
    """The sweep next to a curve: gains and Fourier series in turns."""
    for _ in range(CURVE_TURNS):
        gains, cost = _shared_gains(volume, curve.at(curve.phase(volume.times)))
        curve = fit_curve(cost, volume.times, curve, even)
    # a cubic between costs near zero may dip below it
    block_costs = read_between(cost.double(), curve.at(curve.phase(volume.times)))[0].clamp(min=0)
    return Sweep(curve, gains, cost, block_costs, volume.energy)


def find_slow_sweep(volume: Volume, cost: Tensor, times: Tensor) -> tuple[Sweep, bool]:
    """For fewer than 2½ periods: a path through time gives the gains, and an even waveform is folded.

    The curve is freed again where 2½ periods or more fit best after all, or where it explains far more when it is free.
    """
    frames = len(times)
    for _ in range(PATH_TURNS):
        place = between_values(cost, circular_path(cost, SLOWNESS, closed=False))
        blocks = place.repeat_interleave(BLOCKS_A_FRAME)
        blocks = torch.cat([blocks, blocks[-1:].expand(len(volume.times) - len(blocks))])
        _, shared = _shared_gains(volume, blocks)
        cost = _by_frames(shared, frames).sum(1)
    rates = rate_grid(volume.duration, MOST_SLOW_PERIODS / volume.duration, steps=16)
    costs = scan_even(cost, times, rates)
    best, axis = divmod(int(costs.argmin()), costs.shape[1])
    rate, phase = float(rates[best]), axis / (2 * costs.shape[1])
    table = even_weights(rate * times + phase) @ cost
    half = between_values(table, circular_path(table, closed=False))
    path = torch.cat([half, half[1:-1].flip(0)])
    curve = PeriodicCurve.through(path, rate, float(volume.times.mean()), phase)
    even = polish(volume, curve, even=True)
    free = polish(volume, even.curve)
    enough = rate * volume.duration >= FEWEST_PERIODS
    return (free, False) if enough or free.residual < FREED * even.residual else (even, True)


def rate_costs(sweep: Sweep, times: Tensor, even: bool) -> tuple[Tensor, Tensor]:
    """Rates in Hz and what each would leave unexplained with the gains that were found: the curve to judge a rate by.

    For an even curve: of up to 4 periods, each rate at its best phase.
    """
    duration = duration_of(times)
    cost = sweep.cost / sweep.energy
    if not even:
        rates = rate_grid(duration, HIGHEST_RATE)
        return rates, scan_rates(cost, times, rates)
    rates = rate_grid(duration, MOST_SLOW_PERIODS / duration, steps=16)
    frames = len(times) // BLOCKS_A_FRAME
    frame_cost, times = _by_frames(cost, frames).sum(1), _by_frames(times, frames).mean(1)
    return rates, scan_even(frame_cost, times, rates).amin(1)


def fixed_residuals(volume: Volume) -> tuple[float, float]:
    """What the best filter of the grid leaves unexplained if nothing moves, and if its level alone moves, block by block.

    Both are weighted residual energies over that of y. A sweep must explain far more than either.
    """
    grams = (volume.grams * volume.weights[:, None, None, None]).sum(0)
    gains = solve_gains(grams, GAIN_RIDGE)
    left = residual_energy(grams, gains)
    best = int(left.argmin())
    blocks, shape = volume.grams[:, best].double(), gains[best]
    power = (blocks[:, :-1, :-1] @ shape) @ shape
    explained = (blocks[:, :-1, -1] @ shape) ** 2 / power.clamp(min=torch.finfo(torch.float32).tiny)
    levelled = ((blocks[:, -1, -1] - explained).clamp(min=0) * volume.weights).sum()
    return float(left[best]) / volume.energy, float(levelled) / volume.energy


def _step(volume: Volume) -> float:
    return 1 / (8 * volume.duration)


def _folded_path(cost: Tensor, times: Tensor, rate: float) -> Tensor:
    table = folding_weights(rate * times) @ cost
    return between_values(table, circular_path(table))


def _shared_gains(volume: Volume, place: Tensor) -> tuple[Tensor, Tensor]:
    """The gains for all time along places of the grid `(blocks,)`, and each block's cost for each filter with them.

    Between two filters the mean of their Gram matrices stands for the one in between.
    """
    place = place.clamp(0, volume.grams.shape[1] - 1.001)
    lower = place.long()
    part = ((place - lower) * volume.weights).to(volume.grams.dtype)
    blocks = torch.arange(len(place))
    mixed = torch.einsum("n,nij->ij", volume.weights - part, volume.grams[blocks, lower])
    mixed += torch.einsum("n,nij->ij", part, volume.grams[blocks, lower + 1])
    gains = solve_gains(mixed, GAIN_RIDGE)
    return gains, residual_energy(volume.grams, gains) * volume.weights[:, None]
