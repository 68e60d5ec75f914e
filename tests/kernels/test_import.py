"""Numba is imported by the first call, not by the library; and the library does without it, and says so."""

from __future__ import annotations

import subprocess
import sys

import pytest


def run_python(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)


def test_importing_the_library_does_not_import_numba():
    program = """
import importlib, pkgutil, sys
import diffapf, diffapf.filters
for module in pkgutil.iter_modules(diffapf.filters.__path__, "diffapf.filters."):
    importlib.import_module(module.name)
print("numba" in sys.modules)
"""
    assert run_python(program).stdout.strip() == "False"


@pytest.fixture(scope="module")
def without_numba() -> subprocess.CompletedProcess[str]:
    return run_python("""
import sys
sys.modules["numba"] = None
import torch
from diffapf import allpass_cascade, allpole, fir
x = torch.tensor([1.0, 0.0, 0.0, 0.0], requires_grad=True)
y = allpass_cascade(fir(allpole(x, torch.tensor([-0.5])), torch.tensor([1.0, -0.5])), torch.tensor(0.5), stages=1)
y.sum().backward()
print(y.tolist(), x.grad.tolist())
""")


def test_without_numba_filters_and_gradients_are_right(without_numba):
    """The all-pole and the FIR filter cancel; what is left is one all-pass."""
    allpass = [0.5, -0.75, -0.375, -0.1875]
    sums = [sum(allpass[: 4 - n]) for n in range(4)]
    assert without_numba.stdout.strip() == f"{allpass} {sums}"


def test_without_numba_it_says_once_why_it_is_slow(without_numba):
    assert without_numba.stderr.count("diffapf runs without its fast kernels") == 1
    assert "Install numba" in without_numba.stderr
