"""A program that keeps what it frees does not map it again."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

STEPS = """
import resource, torch
from diffapf.memory import keep_freed_memory

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def step():
    return sum(float(torch.ones(500_000, dtype=torch.float64).sum()) for _ in range(4)) + sum(
        float(each[0]) for each in [torch.ones(500_000, dtype=torch.float64) for _ in range(4)])

keep_freed_memory()
step()
before = faults()
for _ in range(10):
    step()
print(faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another malloc than glibc's")
def test_steps_find_the_memory_of_the_step_before():
    done = subprocess.run([sys.executable, "-c", STEPS], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 4 * 500_000 * 8 // 4096  # pages of one step
