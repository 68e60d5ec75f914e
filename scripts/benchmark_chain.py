"""What a training step of the vocal chain costs: 12 s of a stereo mix, forward, all four losses, backward to all parameters.

    python scripts/benchmark_chain.py [--write]

The target's spectra are kept from step to step. auraloss's own module, on left and right alone, is beside it. One thread,
of which CPU time is counted; medians. `--write` records it in benchmarks/chain.md.
"""

from __future__ import annotations

import os
import sys
import time
from datetime import date
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent.parent))

from diffapf.effects.chain import VocalChain
from diffapf.filters.circle_sampling import CircleSampling
from diffapf.filters.methods import TimeDomain
from diffapf.losses import StereoLoss
from diffapf.needs import needed
from diffapf.report.folder import versions
from scripts.benchmark_reverb import record, seconds
from scripts.benchmarking.report import processor

SAMPLE_RATE, SECONDS = 44_100, 12


def methods() -> dict[str, TimeDomain | CircleSampling]:
    lengths = {f"circle, {s} s": CircleSampling(s * SAMPLE_RATE) for s in (3, 4, SECONDS)}
    return {"time domain": TimeDomain(), **lengths}


def steps() -> list[str]:
    torch.manual_seed(0)
    x, target = 0.1 * torch.randn(SECONDS * SAMPLE_RATE), 0.1 * torch.randn(2, SECONDS * SAMPLE_RATE)
    loss = StereoLoss(SAMPLE_RATE)
    heard = loss.heard(target)
    rows = []
    for name, method in methods().items():
        chain = VocalChain(SAMPLE_RATE, method=method)
        alone = seconds(lambda chain=chain: chain(x).sum().backward(), time.process_time)
        step = seconds(lambda chain=chain: loss(chain(x), heard).backward(), time.process_time)
        rows.append(f"| {name} | {1e3 * alone:.0f} | {1e3 * step:.0f} |")
    return rows


def losses() -> list[str]:
    x = (0.1 * torch.randn(2, SECONDS * SAMPLE_RATE)).requires_grad_()
    target = 0.1 * torch.randn(2, SECONDS * SAMPLE_RATE)
    ours = StereoLoss(SAMPLE_RATE)
    heard = ours.heard(target)
    sizes = ours.spectral.sizes
    theirs = needed("auraloss.freq").MultiResolutionSTFTLoss(
        sizes, [size // 4 for size in sizes], sizes, perceptual_weighting=True, sample_rate=SAMPLE_RATE
    )
    calls = {
        "all four terms": lambda: ours(x, heard).backward(),
        "both MSS": lambda: ours.spectral(x, heard.spectra).backward(),
        "both MLDR": lambda: ours.dynamic_range(x, heard.levels).backward(),
        "auraloss's MSS of left and right": lambda: theirs(x[None], target[None]).backward(),
    }
    return [f"| {name} | {1e3 * seconds(call, time.process_time):.0f} |" for name, call in calls.items()]


def table() -> str:
    torch.set_num_threads(1)
    packages = ", ".join(f"{name} {version}" for name, version in versions(("torch", "numba", "auraloss")).items())
    return "\n".join(
        [
            "# What a step of the vocal chain costs",
            "",
            f"{date.today()} · {processor()}, {os.cpu_count()} cores, busy · {packages} · one thread",
            "",
            "    python scripts/benchmark_chain.py --write",
            "",
            f"{SECONDS} s at 44.1 kHz, mono to stereo, float32. A step: chain, all four losses, all gradients. CPU time.",
            "",
            "| method | chain and its gradients, ms | step, ms |",
            "| --- | --: | --: |",
            *steps(),
            "",
            "| loss, forward and backward | ms |",
            "| --- | --: |",
            *losses(),
            "",
        ]
    )


if __name__ == "__main__":
    record(__doc__, table, "chain.md")
