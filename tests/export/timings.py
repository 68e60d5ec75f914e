"""How much faster than real time each kernel runs on one core: `python -m tests.export.timings`."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np

from diffapf.export import describe
from tests.export.hosts import KernelHost
from tests.export.models import AMPLIFIERS, COMPRESSORS, EQUALIZERS, PHASERS, RATE, sound
from tests.export.test_acid import PATCHES, patch

SECONDS, REPETITIONS = 10, 5
KERNELS = {
    "phaser: LFO of 3 harmonics, 4 stages, feedback": PHASERS["any curve"],
    "phaser: 6 stages, AC-coupled feedback, filters of order 3, drift": PHASERS["all"],
    "phaser: the published core, 5 stages": PHASERS["paper core"],
    "compressor: published": COMPRESSORS["published"],
    "compressor: look-ahead": COMPRESSORS["look-ahead"],
    "levelling amplifier: memory, output stage": AMPLIFIERS["memory, output stage"],
    "equaliser: six bands": EQUALIZERS["six bands"],
    "acid synth: as fitted, a key held": lambda: patch(**PATCHES["as fitted"]),
}


def main() -> None:
    print("| kernel | channels | ns a sample | times real time |\n| --- | --- | --- | --- |")
    for name, make in KERNELS.items():
        for channels in (1, 2):
            with tempfile.TemporaryDirectory() as folder:
                host = KernelHost(describe(make(), channels), Path(folder))
                spent = min(_cpu_seconds(host, channels) for _ in range(REPETITIONS))
            print(f"| {name} | {channels} | {1e9 * spent / (SECONDS * RATE):.0f} | {SECONDS / spent:.0f} |", flush=True)


def _cpu_seconds(host: KernelHost, channels: int) -> float:
    kernel = host.new(RATE)
    x = sound(channels, SECONDS) if host.description.inputs else np.zeros((channels, SECONDS * RATE), np.float32)
    host.c.kernel_note(kernel, 45, 1.0)
    before = time.process_time()
    host.process(kernel, x)
    spent = time.process_time() - before
    host.c.kernel_free(kernel)
    return spent


if __name__ == "__main__":
    main()
