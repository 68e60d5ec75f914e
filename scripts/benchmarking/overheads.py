"""What a user pays beside the filtering: importing the library, and memory. Each in processes of its own."""

from __future__ import annotations

import functools
import math
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from scripts.benchmarking.cell import Measurement
from scripts.benchmarking.memory import PAGES
from scripts.benchmarking.peers import Peers
from scripts.benchmarking.results import Row

ROOT = Path(__file__).parents[2]
TIMES_IMPORTED = 5
IMPORT = "import time, torch; began = time.perf_counter(); import diffapf; print(time.perf_counter() - began)"


def overheads() -> Iterator[Measurement]:
    yield Measurement("import", "`import diffapf` beyond `import torch`", import_time)
    for case, label in (
        ("LPV", "LPV all-pole, M = 2, B = 8, T = 480000, float32"),
        ("control rate", "all-pole at the control rate, hop 240, M = 22, B = 8, T = 480000, float32"),
    ):
        measure = functools.partial(memory, case)
        yield Measurement("peak memory / (inputs + output + gradients)", label, measure)


def import_time(measurement: Measurement, peers: Peers) -> list[Row]:
    run_python("-c", IMPORT)  # the first may have to compile Python's own files
    times = [run_python("-c", IMPORT) for _ in range(TIMES_IMPORTED)]
    return [row(measurement, "ms", 1000 * statistics.median(times))]


def memory(case: str, measurement: Measurement, peers: Peers) -> list[Row]:
    rivals = [peer for peer in ("torchlpc", "philtorch") if case == "LPV" and peer in peers]
    ours, *theirs = (run_python("-m", "scripts.benchmarking.memory", case, name) for name in ("ours", *rivals))
    rows = [row(measurement, "×", ours, peer, value) for peer, value in zip(rivals, theirs, strict=True)]
    return rows or [row(measurement, "×", ours)]


def row(measurement: Measurement, unit: str, ours: float, peer: str = "", theirs: float = math.nan) -> Row:
    place = (0, 0, 0, "", "")
    return Row(measurement.group, measurement.label, *place, unit, ours, peer, theirs, theirs / ours, math.nan)


def run_python(*arguments: str) -> float:
    """The number that a fresh Python prints."""
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    environment = {**os.environ, **PAGES, "PYTHONPATH": paths}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments)} failed:\n{done.stderr}")
    return float(done.stdout.split()[-1])
