"""What the reverberator costs: a training step by each method, and blocks of a stream.

    python scripts/benchmark_reverb.py [--write]

A step is 12 s of stereo at 44.1 kHz, forward and backward to all parameters. "network": the impulse response alone, 2^17
points, by the library and by `torch.linalg.solve`. "bank": 5 s of a plate's modes, and what memory that takes at its peak.
One thread; medians. `--write` records it in benchmarks/reverb.md.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent.parent))

from diffapf.effects.plate import Plate
from diffapf.effects.reverb import Reverb
from diffapf.effects.simply_supported_plate import Modes
from diffapf.filters.circle_sampling import CircleSampling
from diffapf.filters.methods import TimeDomain
from diffapf.kernels import cpu, reference
from diffapf.report.folder import versions
from scripts.benchmarking.memory import peak_memory, restart_peak
from scripts.benchmarking.report import processor

ROOT = Path(__file__).parent.parent
SAMPLE_RATE, SECONDS, TURNS = 44_100, 12, 7
POINTS = 1 << 17
BLOCKS, MODES, RINGING = (64, 512, 4096, 44_100), 4000, 5
CHANNELS = {Reverb: 2, Plate: 1}


def methods() -> dict[str, tuple[TimeDomain | CircleSampling, int | None]]:
    """Each with the taps of its filters at most."""
    return {
        "time domain, 2m − 1 taps": (TimeDomain(), None),
        "time domain, 97 taps": (TimeDomain(), 97),
        "circle, 2^17 samples (3 s)": (CircleSampling(POINTS), None),
        f"circle, {SECONDS} s": (CircleSampling(SECONDS * SAMPLE_RATE), None),
    }


def seconds(call: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """The median; the first call compiles."""
    call()
    times = []
    for _ in range(TURNS):
        start = clock()
        call()
        times.append(clock() - start)
    return statistics.median(times)


def steps(dtype: torch.dtype) -> list[str]:
    x = torch.randn(2, SECONDS * SAMPLE_RATE, dtype=dtype)
    rows = []
    for name, (method, taps) in methods().items():
        reverb = Reverb(SAMPLE_RATE, taps=taps, method=method)

        def forward(reverb: Reverb = reverb) -> Tensor:
            with torch.no_grad():
                return reverb(x)

        both = seconds(lambda reverb=reverb: reverb(x).sum().backward())
        alone = seconds(forward)
        rows.append(f"| {name}, {str(dtype)[6:]} | {1e3 * alone:.0f} | {1e3 * both:.0f} | {SECONDS / alone:.0f} |")
    return rows


def streams() -> list[str]:
    return [
        _stream(name, effect, torch.randn(CHANNELS[type(effect)], size))
        for name, effect in streamed().items()
        for size in BLOCKS
    ]


def streamed() -> dict[str, Reverb | Plate]:
    reverbs = {f"reverb, {taps or '2m − 1'} taps": Reverb(SAMPLE_RATE, taps=taps) for taps in (None, 97)}
    return {**reverbs, f"plate, {MODES} modes, mono": plate()}


def plate() -> Plate:
    modes = Modes(torch.linspace(20.0, 0.4 * SAMPLE_RATE, MODES), torch.linspace(1.0, 900.0, MODES), torch.randn(MODES))
    return Plate(SAMPLE_RATE, modes)


def _stream(name: str, effect: Reverb | Plate, block: Tensor) -> str:
    size = block.shape[-1]
    state: Any = effect.process(block, effect.initial_state())[1]  # type: ignore[arg-type]
    repeats = max(4096 // size, 1)

    def play(state: Any = state) -> None:
        for _ in range(repeats):
            _, state = effect.process(block, state)

    each = seconds(play, time.process_time) / repeats
    return f"| {name} | {size} | {1e3 * each:.2f} | {size / SAMPLE_RATE / each:.1f} |"


def response() -> str:
    network = Reverb(SAMPLE_RATE).network()
    v = torch.ones(2, len(network.delays), POINTS // 2 + 1, dtype=torch.complex128)
    F = 0.9 * torch.randn(1, *v.shape[1:], dtype=torch.complex128).sgn()
    U, q = network.U.detach()[None], torch.empty_like(v)
    ours, theirs = (
        seconds(lambda run=run: run(v, U, F, q)) for run in (cpu.network_response, reference.network_response)
    )
    systems = f"{v.shape[2]} systems of 6 equations, 2 right sides"
    return f"{systems}: {1e3 * ours:.0f} ms; torch.linalg.solve {1e3 * theirs:.0f} ms."


@torch.no_grad()
def bank() -> str:
    """The first call's memory, as long as nothing larger has run."""
    sounding = plate()
    before = restart_peak()
    each = seconds(lambda: sounding.impulse_response(RINGING))
    taken, naive = (peak_memory() - before) / 1e6, 16 * MODES * RINGING * SAMPLE_RATE / 1e9
    return (
        f"A bank of {MODES} modes × {RINGING} s, float64: {1e3 * each:.0f} ms, "
        f"{taken:.0f} MB at most, with what libraries load. An array of modes × time would be {naive:.0f} GB."
    )


def table() -> str:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    of_bank = bank()
    packages = ", ".join(f"{name} {version}" for name, version in versions(("torch", "numba")).items())
    return "\n".join(
        [
            "# What the reverberator costs",
            "",
            f"{date.today()} · {processor()}, {os.cpu_count()} cores · {packages} · one thread",
            "",
            "    python scripts/benchmark_reverb.py --write",
            "",
            f"A step: {SECONDS} s of stereo, forward and backward to all parameters. Medians of {TURNS}.",
            "",
            "| method | forward, ms | and backward, ms | forward, times real time |",
            "| --- | --: | --: | --: |",
            *steps(torch.float32),
            *steps(torch.float64),
            "",
            response(),
            "",
            of_bank,
            "",
            "Blocks of a stream, float32, in CPU time:",
            "",
            "| effect | samples | ms a block | times real time |",
            "| --- | --: | --: | --: |",
            *streams(),
            "",
        ]
    )


def record(description: str, table: Callable[[], str], file: str) -> None:
    """A benchmark's command: prints its table, and writes it into benchmarks/ if asked to."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help=f"record it in benchmarks/{file}")
    arguments = parser.parse_args()
    text = table()
    print(text)
    if arguments.write:
        (ROOT / "benchmarks" / file).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    record(__doc__, table, "reverb.md")
