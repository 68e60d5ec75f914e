"""The best path through a folded table of costs: one value a phase, and no wild jumps between neighbours."""

from __future__ import annotations

import torch
from torch import Tensor


def circular_path(table: Tensor, smoothness: float = 3e-3, closed: bool = True) -> Tensor:
    """The path p[θ] that minimises Σ_θ table[θ, p[θ]] + λ Σ_θ (p[θ+1] − p[θ])², by Viterbi's algorithm.

    λ is `smoothness` times how much the table distinguishes values: the median over phases of mean − minimum. A closed
    path's end meets its beginning: three rounds are walked and the middle one is kept.

    Args:
        table: `(phases, values)`.
        smoothness: of the path, as above.
        closed: whether the last phase is the first's neighbour.

    Returns:
        The values' places, `(phases,)` int64.

    >>> circular_path(torch.tensor([[0.0, 9.0], [0.0, 9.0], [9.0, 0.0]]))
    tensor([0, 0, 1])
    """
    phases, values = table.shape
    spread = (table.mean(1) - table.amin(1)).median()
    place = torch.arange(values, dtype=table.dtype, device=table.device)
    penalty = smoothness * spread * (place[:, None] - place) ** 2
    rounds = 3 if closed else 1
    total, came_from = table[0], []
    for step in range(1, rounds * phases):
        total, origin = (total + penalty).min(1)
        total = total + table[step % phases]
        came_from.append(origin)
    path = [int(total.argmin())]
    for origin in reversed(came_from):
        path.append(int(origin[path[-1]]))
    first = phases if closed else 0
    return torch.tensor(path[::-1][first : first + phases])


def between_values(table: Tensor, path: Tensor) -> Tensor:
    """A path refined between the values: the vertex of the parabola through each phase's value and its neighbours.

    >>> between_values(torch.tensor([[4.0, 1.0, 0.0, 1.0, 4.0]]) + 0.5, torch.tensor([2]))
    tensor([2.])
    """
    inner = path.clamp(1, table.shape[1] - 2)
    before, here, after = (table.gather(1, (inner + shift)[:, None])[:, 0] for shift in (-1, 0, 1))
    bend = before - 2 * here + after
    shift = torch.where(bend > 0, (before - after) / (2 * bend), 0.0).clamp(-0.5, 0.5)
    return torch.where(path == inner, inner + shift, path.to(table.dtype))


def along(path: Tensor, phase: Tensor) -> Tensor:
    """A closed path `(phases,)` at any phases in cycles, linearly interpolated."""
    place = (phase - phase.floor()) * len(path)
    lower = place.floor()
    first = lower.long() % len(path)
    return torch.lerp(path[first], path[(first + 1) % len(path)], (place - lower).to(path.dtype))
