"""Recurrences on raw arrays: no autograd, no modules, no argument checks.

`reference.py` defines them; `cpu/` is fast on a CPU, `gpu/` on a GPU, `batched.py` anywhere. `run` takes the first kernel of
the table that applies. Imported on the first call, because Numba and Triton take longer to import than all of the library.
"""

from __future__ import annotations

import functools
import importlib
import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from types import ModuleType

import torch
from torch import Tensor

from diffapf.kernels.pages import LARGE, ask_for_large_pages


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


@functools.cache
def _cpu_kernel(name: str) -> Callable | None:
    return getattr(_cpu(), name, None)


def _on_cpu(name: str, inputs: tuple) -> Callable | None:
    return _cpu_kernel(name) if inputs[0].is_cpu else None


def _on_gpu(name: str, inputs: tuple) -> Callable | None:
    module = _gpu() if inputs[0].is_cuda else None
    return getattr(module, name) if module is not None and module.applies(name, inputs) else None


def _batched(name: str, inputs: tuple) -> Callable | None:
    return getattr(importlib.import_module(f"{__name__}.batched"), name, None)


def _anywhere(name: str, inputs: tuple) -> Callable:
    return getattr(_reference(inputs[0].device.type), name)


TABLE = (_on_cpu, _on_gpu, _batched, _anywhere)

SEGMENTS_AT_ONCE = 4  # of few rows together: two for each of two threads
SHORTEST_SEGMENT = 4096  # samples, of which a carried state usually needs a part


def segments_of(rows: int, time: int, at_once: int = SEGMENTS_AT_ONCE) -> int:
    """Into how many segments in time kernels cut each row: the same on any number of threads, so that results are."""
    return max(1, min(at_once // max(rows, 1), time // SHORTEST_SEGMENT))


def samples_of_block(time: int, states: Tensor) -> int:
    """The length of all blocks of a signal but the last, in whole vectors, where `states` `(rows, blocks + 1, …)` are those
    between blocks.
    """
    blocks = states.shape[1] - 1
    return 8 * -(-time // (8 * blocks)) if blocks else 0


def run(name: str, *inputs, out: tuple[Tensor, ...]) -> None:
    """Runs the recurrence `name` of reference.py and writes into the tensors of `out`, which are contiguous."""
    if torch.compiler.is_compiling():
        _run_in_graph(name, *_parts(inputs), list(out))
        return
    for argument in inputs:
        if isinstance(argument, Tensor) and not (argument.is_contiguous() and _is_what_is_stored(argument)):
            inputs = tuple(_stored(each) if isinstance(each, Tensor) else each for each in inputs)
            break
    if inputs[0].is_cpu:
        for tensor in out:
            if tensor.nbytes >= LARGE:
                ask_for_large_pages(tensor)
    for applies in TABLE:
        kernel = applies(name, inputs)
        if kernel is not None:
            kernel(*inputs, *out)
            return


def recorded() -> AbstractContextManager:
    """The launches on a CPU that follow, as a `cpu.launch.Recording`; None where there are no kernels to be launched."""
    cpu = _cpu()
    return nullcontext() if cpu is None else cpu.launch.recorded()


def _is_what_is_stored(tensor: Tensor) -> bool:
    """PyTorch has tensors that are the conjugate or the negative of what is stored, and zeros that are nowhere."""
    return not (tensor.is_neg() or tensor.is_conj() or tensor._is_zerotensor())


def _stored(tensor: Tensor) -> Tensor:
    """The tensor as its elements in a row."""
    if tensor._is_zerotensor():
        return torch.zeros(tensor.shape, dtype=tensor.dtype, device=tensor.device)
    return tensor.resolve_conj().resolve_neg().contiguous()


# torch.compile cannot look into a kernel: there a call is an operator of PyTorch, which it takes as it is. In the operator's
# arguments all tensors come first, and what is no tensor (one argument at most: a timing) apart, with its place.


def _parts(inputs: tuple) -> tuple[list[Tensor], int, list[float] | None]:
    places = [place for place, value in enumerate(inputs) if not isinstance(value, Tensor)]
    tensors = [value for value in inputs if isinstance(value, Tensor)]
    if not places:
        return tensors, -1, None
    timing = inputs[places[0]]
    return tensors, places[0], None if timing is None else list(timing)


@torch.library.custom_op("diffapf::run", mutates_args=("out",))
def _run_in_graph(
    name: str, tensors: Sequence[Tensor], place: int, timing: Sequence[float] | None, out: Sequence[Tensor]
) -> None:
    inputs: list = list(tensors)
    if place >= 0:
        inputs.insert(place, None if timing is None else tuple(timing))
    run(name, *inputs, out=tuple(out))


@_run_in_graph.register_fake
def _(name, tensors, place, timing, out) -> None:
    return None
