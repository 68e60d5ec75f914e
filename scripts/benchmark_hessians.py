"""What a Hessian of a compressor costs, by each strategy: time, and the memory beyond what the process held before.

    python scripts/benchmark_hessians.py [--seconds 12] [--parameters 5] [--write]

As published (AES AIMLA 2025, table 1): five parameters (no RMS stage), 12 s frames, 44.1 kHz; sum of squares, here without
the pre-filter, which `func rev-rev` does not go through (`lfilter` under `jacrev(jacrev)`).
Theirs were on a GPU, frame by frame of a batch, ours is one thread of a CPU: only the order of the strategies compares. Each
strategy runs in a process of its own, whose peak is its memory. `--write` records it in benchmarks/hessians.md.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

PUBLISHED = {  # MB, ms
    "autograd rev-rev": (1066, 26.5),
    "func rev-rev": (2358, 28.1),
    "func fwd-rev": (3534, 28.1),
    "func rev-fwd": (6306, 64.7),
    "func fwd-fwd": (5364, 38.9),
}


def measure(strategy: str, seconds: float, parameters: int, repeats: int) -> dict[str, float]:
    """Milliseconds of a Hessian (median), of a gradient, and megabytes at the peak of the former."""
    import torch

    from data.programme import programme
    from diffapf import Compressor
    from diffapf.identification import hessian
    from diffapf.identification.modules import of_parameters

    torch.set_num_threads(1)
    detector = {"rectifier": "absolute", "average": None} if parameters == 5 else {}
    x = torch.from_numpy(programme(seconds)).float()[None]
    with torch.no_grad():
        target = Compressor(44_100, -20.0, 4.0, 5.0, 200.0, **detector)(x)
    model = Compressor(44_100, -16.0, 3.0, 8.0, 120.0, **detector)
    loss = torch.nn.MSELoss(reduction="sum")
    names = [name for name, _ in model.named_parameters()]
    of_whole = of_parameters(model, lambda module: loss(module(x), target))

    def of(vector: torch.Tensor) -> torch.Tensor:
        return of_whole(dict(zip(names, vector, strict=True)))

    short = x[..., :100]
    of_short = of_parameters(model, lambda module: loss(module(short), target[..., :100]))
    zero = torch.zeros(len(names))
    hessian(lambda v: of_short(dict(zip(names, v, strict=True))), zero, strategy)  # compiles, and loads what is needed
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        hessian(of, zero, strategy)
        times.append(1000 * (time.perf_counter() - began))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return {"milliseconds": statistics.median(times), "megabytes": peak / 1024}


def in_its_own_process(strategy: str, options: argparse.Namespace) -> dict[str, float]:
    command = [sys.executable, "-W", "ignore", __file__, "--one", strategy]
    for name in ("seconds", "parameters", "repeats"):
        command += [f"--{name}", str(getattr(options, name))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def table(found: dict[str, dict[str, float]], options: argparse.Namespace) -> str:
    from diffapf.report.folder import versions
    from scripts.benchmarking.report import processor

    first = found["autograd rev-rev"]
    known = ", ".join(f"{name} {number}" for name, number in versions(("torch", "numba")).items())
    lines = [
        "# Hessians of a compressor",
        "",
        f"{date.today()} · {processor()}, {os.cpu_count()} cores, busy · {known} · one thread, float32",
        "",
        f"    python scripts/benchmark_hessians.py --seconds {options.seconds:g} --parameters {options.parameters} "
        f"--repeats {options.repeats} --write",
        "",
        f"{options.parameters} parameters, {options.seconds:g} s at 44.1 kHz. A name: outer, then inner mode. Published:",
        "Yu and Fazekas, AES AIMLA 2025, table 1, a frame of 12 s of a batch on a GPU: what compares is the factor over",
        "the first row.",
        "",
        "| strategy | ms | factor | MB | factor | published ms | factor | published MB | factor |",
        "| --- | --: | --: | --: | --: | --: | --: | --: | --: |",
    ]
    for name, row in found.items():
        megabytes, milliseconds = PUBLISHED[name]
        cells = [
            f"{row['milliseconds']:.0f}",
            f"{row['milliseconds'] / first['milliseconds']:.2f}",
            f"{row['megabytes']:.0f}",
            f"{row['megabytes'] / first['megabytes']:.2f}",
            f"{milliseconds}",
            f"{milliseconds / 26.5:.2f}",
            f"{megabytes}",
            f"{megabytes / 1066:.2f}",
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=12.0)
    parser.add_argument("--parameters", type=int, choices=(5, 6), default=5)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--one", choices=PUBLISHED, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one, options.seconds, options.parameters, options.repeats)))
        return
    text = table({strategy: in_its_own_process(strategy, options) for strategy in PUBLISHED}, options)
    print(text)
    if options.write:
        (ROOT / "benchmarks" / "hessians.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
