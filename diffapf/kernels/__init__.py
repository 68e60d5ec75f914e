"""Recurrences on raw arrays: no autograd, no modules, no argument checks.

`reference.py` defines them; `cpu.py` is fast on a CPU, `gpu/` on a GPU. `run` takes the first kernel of the table that
applies. Imported on the first call, because Numba and Triton take longer to import than all of the library.
"""

from __future__ import annotations

import functools
import importlib
import warnings
from types import ModuleType

from torch import Tensor


@functools.cache
def _cpu() -> ModuleType | None:
    try:
        return importlib.import_module(f"{__name__}.cpu")
    except ImportError as missing:
        warnings.warn(
            f"diffapf runs without its fast kernels, about a thousand times slower, because {missing}. "
            "Install numba for Python's version.",
            stacklevel=2,
        )
        return None


@functools.cache
def _gpu() -> ModuleType | None:
    try:
        return importlib.import_module(f"{__name__}.gpu")
    except ImportError:
        return None


@functools.cache
def _reference(device: str) -> ModuleType:
    if device != "cpu":
        warnings.warn(
            f"diffapf has no fast kernel for this on the device {device!r}: it runs there as a PyTorch loop, slowly. "
            "Move the tensors to the CPU" + (", or install triton." if device == "cuda" and _gpu() is None else "."),
            stacklevel=2,
        )
    return importlib.import_module(f"{__name__}.reference")


def _on_cpu(name: str, inputs: tuple) -> ModuleType | None:
    return _cpu() if inputs[0].device.type == "cpu" else None


def _on_gpu(name: str, inputs: tuple) -> ModuleType | None:
    module = _gpu() if inputs[0].device.type == "cuda" else None
    return module if module is not None and module.applies(name, inputs) else None


TABLE = (_on_cpu, _on_gpu, lambda name, inputs: _reference(inputs[0].device.type))


def run(name: str, *inputs, out: tuple[Tensor, ...]) -> None:
    """Runs the recurrence `name` of reference.py, on contiguous tensors, and writes into those of `out`."""
    module = next(module for applies in TABLE if (module := applies(name, inputs)) is not None)
    getattr(module, name)(*inputs, *out)
