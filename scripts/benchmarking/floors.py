"""What the machine allows at best: how fast it moves memory, and how long a chain of dependent operations takes."""

from __future__ import annotations

import functools

import numba
import numpy as np
import torch

from scripts.benchmarking.race import seconds

LARGEST = 1 << 29  # bytes of a copy, read and written: more tells nothing new
CHAIN = 4096  # samples: in the nearest cache


class Machine:
    """The floors of this machine, each measured when it is first asked for."""

    def __init__(self) -> None:
        self.threads = torch.get_num_threads()

    def moving(self, number: int) -> float:
        """Seconds to read and write so many bytes in all, at the speed of a copy of that size: small ones stay in caches."""
        return number / self.bandwidth(min(number, LARGEST).bit_length())

    @functools.cache  # noqa: B019  (there is one machine)
    def bandwidth(self, bits: int) -> float:
        """Bytes a second, read and written, of a copy of 1.5 · 2^(bits−1) of them, without what any call costs."""
        count = 3 << max(bits - 2, 0)
        source = torch.zeros(max(count // 2, 1), dtype=torch.uint8)
        target = torch.zeros_like(source)
        call = _shortest(lambda: target[:1].copy_(source[:1]))
        taken = _shortest(lambda: target[:].copy_(source[:]))
        return count / max(taken - call, 0.05 * taken)

    @functools.cache  # noqa: B019
    def chain(self, dtype: torch.dtype) -> float:
        """Seconds for each of y[n] = x[n] − a·y[n−1], where each waits for the one before."""
        number = np.dtype(str(dtype).removeprefix("torch."))
        x, a = np.ones(CHAIN, number), number.type(0.5)
        repeats = 50
        return _shortest(lambda: _recursion(x, a, repeats)) / (CHAIN * repeats)


def _shortest(function) -> float:
    function()
    once = max(seconds(function), 1e-7)
    return min(seconds(function) for _ in range(max(5, min(1000, int(0.02 / once)))))


@numba.njit(fastmath={"contract"})
def _recursion(x, a, repeats):
    y = x[0]
    for _ in range(repeats):
        for n in range(x.size):
            y = x[n] - a * y
    return y
