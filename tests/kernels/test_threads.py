"""Kernels divide rows among threads: with the same result, from any thread, and after a fork."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import Tensor

from diffapf.kernels import cpu
from diffapf.kernels.cpu import launch

# ROWS · TIME · TAPS is well beyond WORTH_A_THREAD, and ROWS divides by no number of threads.
ROWS, TIME, TAPS, STAGES = 7, 30_000, 2, 4


def normal(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float64)


# Each kernel: its inputs and the shapes of its outputs.
PROBLEMS = {
    "allpole": (
        (normal(ROWS, TIME), 0.1 * normal(ROWS, 5, TAPS), (0.0, 1e-4), normal(ROWS, TAPS)),
        [(ROWS, TIME)],
    ),
    "allpole_adjoint": (
        (normal(ROWS, TIME), 0.1 * normal(ROWS, TIME, TAPS), None, normal(ROWS, TIME), normal(ROWS, TAPS)),
        [(ROWS, TIME), (ROWS, TIME, TAPS), (ROWS, TAPS)],
    ),
    "fir_outer": (
        (normal(ROWS, TIME), normal(ROWS, TIME + TAPS - 1), (0.0, 0.0)),
        [(ROWS, 1, TAPS)],
    ),
    "allpass": (
        (normal(ROWS, TIME, 1), 0.9 * torch.tanh(normal(ROWS, TIME)), 0.1 * normal(ROWS, 4), normal(ROWS, STAGES + 3)),
        [(ROWS, TIME, STAGES + 2), (ROWS, TIME)],
    ),
}


def call(kernel: str) -> list[Tensor]:
    inputs, shapes = PROBLEMS[kernel]
    outputs = [torch.empty(shape, dtype=torch.float64) for shape in shapes]
    getattr(cpu, kernel)(*inputs, *outputs)
    return outputs


@pytest.fixture
def set_threads() -> Iterator[Callable[[int], None]]:
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.fixture
def teams(monkeypatch) -> list[int]:
    """The number of threads of each kernel call after the first that was divided."""
    sizes: list[int] = []
    team = launch._team
    monkeypatch.setattr(launch, "_team", lambda *call: sizes.append(call[-1]) or team(*call))
    return sizes


@pytest.fixture(params=["OpenMP", "Python"])
def threads_of(request, monkeypatch) -> str:
    """Whose threads they are."""
    if request.param == "Python":
        monkeypatch.setattr(launch, "_openmp", lambda: None)
    elif launch._openmp() is None:
        pytest.skip("this PyTorch has no OpenMP of GNU's kind")
    return request.param


@pytest.mark.parametrize("kernel", PROBLEMS)
def test_two_threads_compute_what_one_does(kernel, set_threads, teams, threads_of):
    set_threads(1)
    alone = call(kernel)
    assert not teams, "one thread is asked for, and more are used"
    set_threads(2)
    together = call(kernel)
    assert teams, "the problem is too small to be divided: this test shows nothing"
    for one, two in zip(alone, together, strict=True):
        torch.testing.assert_close(two, one, rtol=1e-13, atol=1e-13)


def test_small_problems_wake_no_thread(set_threads, teams):
    set_threads(2)
    y = torch.empty(8, 64, dtype=torch.float64)
    cpu.allpole(normal(8, 64), normal(8, 1, 2) * 0.1, (0.0, 0.0), normal(8, 2), y)
    assert not teams


def test_calls_from_several_threads_do_not_disturb_each_other(set_threads, threads_of):
    set_threads(2)
    expected = {kernel: call(kernel) for kernel in PROBLEMS}
    calls = [*PROBLEMS] * 4
    with ThreadPoolExecutor(4) as callers:
        for kernel, outputs in zip(calls, callers.map(call, calls), strict=True):
            assert all(map(torch.equal, outputs, expected[kernel])), f"{kernel} differs"


def call_and_compare(expected: dict[str, list[np.ndarray]]) -> None:
    """For the child: the kernels and NumPy only, because PyTorch's own threads (OpenMP) do not survive a fork."""
    for kernel, outputs in expected.items():
        for output, wanted in zip(call(kernel), outputs, strict=True):
            np.testing.assert_array_equal(output.numpy(), wanted)
    assert launch._pool is not None, "the child used no threads: this test shows nothing"


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_computes_with_threads_of_its_own(set_threads, teams):
    """The parent has threads, which the child has not: a child that waited for them would wait for ever."""
    set_threads(2)
    expected = {kernel: [output.numpy() for output in call(kernel)] for kernel in PROBLEMS}
    assert teams, "the parent used no threads: this test shows nothing"
    child = multiprocessing.get_context("fork").Process(target=call_and_compare, args=(expected,))
    child.start()
    child.join(30)
    finished = child.exitcode is not None
    if not finished:
        child.kill()
        child.join()
    assert finished, "the child hangs"
    assert child.exitcode == 0, "the child's results are wrong: see its traceback above"


FORKED_BEFORE_THE_KERNELS = """
import multiprocessing
import torch

torch.set_num_threads(2)
x, a, zi = torch.ones(8, 100_000), torch.zeros(8, 1, 2), torch.zeros(8, 2)
y = x + 1.0  # PyTorch's threads are there, and the child will not have them: it must do no such thing itself

def filter_in_child():
    from diffapf.kernels import cpu
    cpu.allpole(x, a, (0.0, 0.0), zi, y)

child = multiprocessing.get_context("fork").Process(target=filter_in_child)
child.start()
child.join(60)
print("exit code", child.exitcode)
child.kill()
"""


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="this system has no fork")
def test_a_child_forked_before_the_kernels_were_imported_does_not_hang():
    program = [sys.executable, "-c", FORKED_BEFORE_THE_KERNELS]
    result = subprocess.run(program, capture_output=True, text=True, timeout=120, check=True)
    assert "exit code 0" in result.stdout, result.stdout + result.stderr
