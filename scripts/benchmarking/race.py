"""Rivals take turns, so that a machine whose speed drifts slows them all alike; medians and ratios are what counts."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from torch import Tensor

CALLS = 4  # of a turn, that count
MOST_ROUNDS = 250
BLOCK = 1 << 18  # samples compared at once: whole arrays of differences take longer to map than to compute
OUT_OF_REACH = 3  # times slower than the fastest peer: cannot become the best one


def seconds(function: Callable[[], object]) -> float:
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def race(
    ours: Callable[[], object], peers: dict[str, Callable[[], object]], trial: dict[str, float], budget: float
) -> tuple[list[float], dict[str, list[float]]]:
    """Seconds of each call, ours and each peer's, in about `budget` seconds; but each makes two calls, of which one counts.

    A turn is one call that doesn't count, then up to four that do. The first one pays for what the rival's memory
    management left behind, pages to be mapped anew, which is nobody's merit. A peer whose `trial`, the seconds of its
    first call, shows it out of reach has that one time, and does not spend the others' budget.
    """
    limit = OUT_OF_REACH * min(trial.values(), default=0)
    racing = {peer: call for peer, call in peers.items() if trial[peer] <= limit}
    lap = seconds(ours) + sum(trial[peer] for peer in racing)
    calls = max(1, min(CALLS, int(budget / lap) - 1))
    rounds = max(1, min(MOST_ROUNDS, int(budget / (lap * (calls + 1)))))
    times: list[list[float]] = [[] for _ in range(1 + len(racing))]
    for _ in range(rounds):
        for function, kept in zip((ours, *racing.values()), times, strict=True):
            function()
            kept.extend(seconds(function) for _ in range(calls))
    raced = dict(zip(racing, times[1:], strict=True))
    return times[0], {peer: raced.get(peer, [trial[peer]] * len(times[0])) for peer in peers}


def error_to_signal(mine: Tensor, other: Tensor) -> float:
    error = energy = 0.0
    for one, two in zip(mine.reshape(-1).split(BLOCK), other.reshape(-1).split(BLOCK), strict=True):
        difference = one - two
        error += float(difference @ difference)
        energy += float(two @ two)
    return error / energy if energy else float(error > 0)


def disagreement(ours: Sequence[Tensor], theirs: Sequence[Tensor], tolerance: float) -> str:
    """What differs between two calls' results, by the error-to-signal ratio; "" if nothing does."""
    for i, (mine, other) in enumerate(zip(ours, theirs, strict=True)):
        error = error_to_signal(mine, other)
        if not error < tolerance:
            return f"ESR {error:.1e} of {'the output' if i == 0 else f'gradient {i}'}"
    return ""
