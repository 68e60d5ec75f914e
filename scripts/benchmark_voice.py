"""What a vocoder costs: its filter beside torchlpc's, and a song from its parameters.

    python scripts/benchmark_voice.py [--write]

The filter is sample-wise, of order 22, of 8 voices of 2 s at 24 kHz, forward and backward, from reflections each 10 ms.
Ours makes filters at eight sub-frames; torchlpc's are made at the frames and interpolated to every sample, as published, and
the time of its recursion alone is beside it. One thread; CPU time; medians of alternating calls. `--write` records it in
benchmarks/voice_step.md.
"""

from __future__ import annotations

import os
import sys
import time
from datetime import date
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import interpolate

sys.path.insert(0, str(Path(__file__).parent.parent))

from diffapf.needs import needed
from diffapf.report.folder import versions
from diffapf.synths.vocal_tract import VocalTract
from diffapf.synths.vocoder import Voice, vocoder
from scripts.benchmarking.report import processor

RATE, HOP, ORDER, VOICES, SECONDS = 24_000, 240, 22, 8, 2
RECORD = Path(__file__).parent.parent / "benchmarks" / "voice_step.md"
CALLS = 9


def alternating(*calls) -> list[float]:
    """Median CPU seconds of each."""
    for call in calls:
        call()
    taken: list[list[float]] = [[] for _ in calls]
    for _ in range(CALLS):
        for call, kept in zip(calls, taken, strict=True):
            began = time.thread_time()
            call()
            kept.append(time.thread_time() - began)
    return [sorted(each)[CALLS // 2] for each in taken]


def filters() -> list[str]:
    torch.manual_seed(0)
    time_ = SECONDS * RATE
    numbers = (0.2 * torch.randn(VOICES, time_ // HOP + 1, ORDER)).requires_grad_()
    x = torch.randn(VOICES, time_, requires_grad=True)
    ours, published = VocalTract(HOP, ORDER), VocalTract(HOP, ORDER, subframes=1)
    recursion = needed("torchlpc", "peers").sample_wise_lpc

    def at_every_sample() -> Tensor:
        frames = published.coefficients(numbers).mT
        return interpolate(frames, time_ + 1, mode="linear", align_corners=True)[..., :-1].mT.contiguous()

    a = at_every_sample().detach().requires_grad_()

    def step(filtered) -> None:
        filtered().square().sum().backward()

    rivals = {
        "ours, from reflections (float64 inside)": lambda: step(lambda: ours(x, numbers)),
        "torchlpc, from reflections, coefficients at every sample": lambda: step(
            lambda: recursion(x, at_every_sample())
        ),
        "torchlpc, its recursion alone": lambda: step(lambda: recursion(x, a)),
    }
    seconds = alternating(*rivals.values())
    return [
        f"| {name} | {1e3 * each:.1f} | {each / seconds[0]:.1f} |" for name, each in zip(rivals, seconds, strict=True)
    ]


@torch.no_grad()
def songs() -> list[str]:
    length, rows = 10 * RATE, []
    for name in ("golf_ss", "golf_ff", "ddsp"):
        model = vocoder(name)
        values = {
            control.name: control.value(
                0.1 * torch.randn(model.frames(control.name, length), control.channels).squeeze(-1)
            )
            for control in model.controls
        }
        voice = Voice(torch.full((length // HOP + 1,), 220.0), length)
        (seconds,) = alternating(lambda: model(voice, values))  # noqa: B023
        rows.append(f"| {name} | {1e3 * seconds:.0f} | {length / RATE / seconds:.0f} |")
    return rows


def main() -> None:
    torch.set_num_threads(1)
    lines = [
        "# A voice's filter, and a song",
        "",
        f"{date.today()} · {processor()}, {os.cpu_count()} cores, one thread · "
        + ", ".join(f"{name} {version}" for name, version in versions(("torch", "numba", "torchlpc")).items()),
        "",
        f"`python scripts/benchmark_voice.py`. Order {ORDER}, {VOICES} voices of {SECONDS} s at 24 kHz, forward and "
        "backward; CPU time.",
        "",
        "| filter | ms | of ours |",
        "| --- | --: | --: |",
        *filters(),
        "",
        "A song of 10 s from its parameters:",
        "",
        "| vocoder | ms | times faster than real time |",
        "| --- | --: | --: |",
        *songs(),
    ]
    print("\n".join(lines))
    if "--write" in sys.argv:
        RECORD.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
