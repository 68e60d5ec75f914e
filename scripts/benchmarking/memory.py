"""How much memory a training step of a filter takes at its peak, beside what it is given and what it returns.

Run by itself, `python -m scripts.benchmarking.memory CASE FILTER`, in a process whose peak is nobody else's. Prints the peak
as a multiple of inputs, output and gradients.
"""

from __future__ import annotations

import contextlib
import resource
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from diffapf import ControlRate, allpole
from scripts.benchmarking.filters import HOP, training
from scripts.benchmarking.peers import Peers

PAGES = {
    "MALLOC_MMAP_THRESHOLD_": "65536"
}  # the environment in which each array has pages of its own, mapped and returned


def main() -> None:
    case, name = sys.argv[1:]
    function, a_shape = CASES[case](name)
    small = problem(100, (1, *a_shape(100)[1:]))
    training(function, *small)()  # compiled, and threads started
    inputs, g = problem(480_000, a_shape(480_000))
    call = training(function, inputs, g)
    before = restart_peak()
    results = call()
    peak = (peak_memory() - before) + size(*inputs, g)
    print(peak / size(*inputs, g, *results))


def lpv(name: str) -> tuple[Callable, Callable]:
    filters = {"ours": allpole, **Peers().moving_allpole(2)}
    return filters[name], lambda length: (8, length, 2)


def control_rate(name: str) -> tuple[Callable, Callable]:
    return lambda x, a: allpole(x, a, hop=ControlRate.hop(HOP)), lambda length: (8, length // HOP + 1, 22)


CASES = {"LPV": lpv, "control rate": control_rate}


def problem(length: int, a_shape: tuple[int, ...]) -> tuple[tuple[Tensor, Tensor], Tensor]:
    x = torch.ones(a_shape[0], length)
    return (x, torch.full(a_shape, 0.5 / a_shape[-1])), torch.ones_like(x)


def size(*tensors: Tensor) -> int:
    return sum(tensor.numel() * tensor.itemsize for tensor in tensors)


def restart_peak() -> int:
    """Bytes that the process holds; from here on the peak counts, where the system can be told so (Linux)."""
    with contextlib.suppress(OSError):  # then the imports' peak stays, and the difference may be too small
        Path("/proc/self/clear_refs").write_text("5")
    return peak_memory()


def peak_memory() -> int:
    status = Path("/proc/self/status")
    if status.exists():
        return 1024 * next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    main()
