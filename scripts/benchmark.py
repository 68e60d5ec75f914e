"""Times the filters and the phaser's training step beside the peers, in one run: `python scripts/benchmark.py`.

Rivals take turns with us, four calls each, so a machine whose speed drifts slows both; medians and ratios are what counts.
A filter that does not agree with its peer is not timed.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent.parent))

from diffapf import Phaser, allpole
from diffapf.filters import methods
from diffapf.filters.control_rate import ControlRate
from diffapf.filters.design import allpass_logit
from diffapf.losses import esr
from diffapf.modulation import upsample


@dataclass
class Row:
    """One case: seconds a call, ours and the peer's, and how many samples a call filters."""

    case: str
    peer: str
    ours: list[float]
    theirs: list[float]
    samples: int

    @property
    def ratio(self) -> float:
        """How many times faster ours is: the median over pairs of calls."""
        return statistics.median(t / o for t, o in zip(self.theirs, self.ours, strict=True))


def race(ours: Callable[[], object], theirs: Callable[[], object], rounds: int) -> tuple[list[float], list[float]]:
    """Seconds of each call: in turns of four calls, each after one that doesn't count.

    That one pays for what the rival's memory management left behind, pages to be mapped anew, which is nobody's merit.
    """
    times: tuple[list[float], list[float]] = ([], [])
    for function in (ours, theirs):
        function()
    for _ in range(rounds):
        for function, kept in zip((ours, theirs), times, strict=True):
            function()
            for _ in range(4):
                began = time.perf_counter()
                function()
                kept.append(time.perf_counter() - began)
    return times


def check(ours: Tensor, theirs: Tensor, case: str) -> None:
    error = float(esr(ours.double(), theirs.double()))
    if not error < 1e-9:
        raise SystemExit(f"{case}: the outputs differ (ESR {error:.1e}); not timed")


def allpole_rows(peer: Callable, rounds: int) -> list[Row]:
    """Time-varying all-pole filters against torchlpc.sample_wise_lpc, forward and with backward."""
    rows = []
    for order, batch, length, dtype in (
        (2, 8, 48_000, torch.float32),
        (2, 8, 48_000, torch.float64),
        (1, 8, 48_000, torch.float32),
        (2, 1, 48_000, torch.float32),
        (6, 1, 220_500, torch.float64),
        (22, 8, 4_096, torch.float32),
    ):
        generator = torch.Generator().manual_seed(order)
        x = torch.randn(batch, length, dtype=dtype, generator=generator).requires_grad_()
        a = (torch.rand(batch, length, order, dtype=dtype, generator=generator) - 0.5) / order
        a.requires_grad_()
        g = torch.randn(batch, length, dtype=dtype, generator=generator)
        case = f"all-pole, order {order}, B = {batch}, T = {length}, {str(dtype)[6:]}"
        check(allpole(x, a), peer(x, a), case)
        still = x.detach(), a.detach()

        def training(function: Callable, x: Tensor = x, a: Tensor = a, g: Tensor = g) -> object:
            return torch.autograd.grad(function(x, a), (x, a), g)

        forward = race(lambda s=still: allpole(*s), lambda s=still: peer(*s), rounds)
        both = race(lambda t=training: t(allpole), lambda t=training: t(peer), rounds)
        rows.append(Row(f"{case}, forward", "torchlpc", *forward, batch * length))
        rows.append(Row(f"{case}, forward + backward", "torchlpc", *both, batch * length))
    return rows


def published_graph(phaser: Phaser, peer: Callable) -> Callable[[Tensor], Tensor]:
    """The paper's core as its equations (11) and its code have it, on the peer's all-pole filter.

    Numerator and denominator of the all-passes at the control rate, interpolated to audio rate, multiplied with the
    biquad there; the FIR part in PyTorch, the all-pole part by the peer.
    """

    def run(x: Tensor) -> Tensor:
        time_, hop = x.shape[-1], phaser.hop
        seconds = torch.arange(time_ // hop + 1, dtype=torch.float64) * hop / phaser.sample_rate
        p = torch.tanh(allpass_logit(phaser.break_frequencies(seconds), phaser.sample_rate))
        b = torch.stack([p**4, -4 * p**3, 6 * p**2, -4 * p, torch.ones_like(p)], -1)
        denominator = b.flip(-1) - phaser.feedback().abs() * b
        frames = torch.cat([b / denominator[:, :1], denominator / denominator[:, :1]], -1).T[None]
        b, denominator = torch.nn.functional.interpolate(frames, time_, mode="linear", align_corners=True)[0].split(5)
        biquad_b, biquad_a = phaser.biquad()
        numerator = times(biquad_b, (phaser.through() * denominator + b).T)
        denominator = times(biquad_a, denominator.T)
        past = torch.nn.functional.pad(x, (6, 0)).unfold(-1, 7, 1).flip(-1)
        return peer((past * numerator).sum(-1), denominator[None, :, 1:])

    def times(biquad: Tensor, polynomial: Tensor) -> Tensor:
        return sum(torch.nn.functional.pad(biquad[i] * polynomial, (i, 2 - i)) for i in range(3))  # type: ignore

    return run


class PeerAllPole:
    """Our paper core with nothing but its all-pole filter replaced by the peer's, which needs audio-rate coefficients."""

    def __init__(self, peer: Callable):
        self.peer = peer

    def __call__(
        self, x: Tensor, a: Tensor, zi: Tensor | None, return_zf: bool, hop: ControlRate
    ) -> tuple[Tensor, None]:
        return self.peer(x, audio_rate(a, hop, x.shape[-1])), None


def audio_rate(frames: Tensor, rate: ControlRate, length: int) -> Tensor:
    """Coefficients `(batch, frames, taps)` at audio rate."""
    return upsample(frames.mT, rate, length).mT


def phaser_rows(peer: Callable, rounds: int) -> list[Row]:
    """A training step on 5 s at 44.1 kHz in float64: both cores against the paper's core on the peer's all-pole filter."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 220_500, dtype=torch.float64, generator=generator)
    target = torch.randn(1, 220_500, dtype=torch.float64, generator=generator)

    def phaser(core: str) -> Phaser:
        torch.manual_seed(0)
        return Phaser(44_100, core=core, feedback=0.3, align_corners=core == "paper").double()

    def step(model: Phaser, run: Callable[[Tensor], Tensor] | None = None) -> Callable[[], Tensor]:
        optimizer = torch.optim.Adam(model.parameters(), 1e-4, fused=True)

        def training_step() -> Tensor:
            optimizer.zero_grad()
            prediction = (run or model)(x)
            esr(prediction, target).backward()
            optimizer.step()
            return prediction.detach()

        return training_step

    def swapped() -> Callable[[], Tensor]:
        training_step = step(phaser("paper"))

        def with_the_peers_filter() -> Tensor:
            ours, methods.allpole = methods.allpole, PeerAllPole(peer)  # type: ignore[assignment]
            try:
                return training_step()
            finally:
                methods.allpole = ours

        return with_the_peers_filter

    def published() -> Callable[[], Tensor]:
        model = phaser("paper")
        return step(model, published_graph(model, peer))

    rows = []
    for name, theirs in (
        ("the published graph on torchlpc", published),
        ("our paper core, all-pole by torchlpc", swapped),
    ):
        check(step(phaser("paper"))(), theirs()(), name)
        for core in ("cascade", "paper"):
            times = race(step(phaser(core)), theirs(), rounds)
            rows.append(Row(f"phaser training step, 5 s, float64, core={core}", name, *times, x.numel()))
    return rows


def machine() -> str:
    names = [f"{package} {importlib.import_module(package).__version__}" for package in ("torch", "numba")]
    names.append(f"torchlpc {importlib.metadata.version('torchlpc')}")
    processor = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
        processor = models[0].split(":")[1].strip() if models else processor
    threads = f"{torch.get_num_threads()} threads"
    return f"{time.strftime('%Y-%m-%d')} · {processor}, {os.cpu_count()} cores, {threads} · " + ", ".join(names)


def as_markdown(rows: list[Row], title: str) -> str:
    lines = [f"# CPU benchmark\n\n{title}\n\nMedians of calls in turns of four; ratio: the median over pairs.\n"]
    lines += [
        "| case | ours, ns a sample | peer, ns a sample | peer | times faster |",
        "| --- | --: | --: | --- | --: |",
    ]
    for row in rows:
        ours, theirs = (statistics.median(seconds) / row.samples * 1e9 for seconds in (row.ours, row.theirs))
        lines.append(f"| {row.case} | {ours:.2f} | {theirs:.2f} | {row.peer} | {row.ratio:.1f} |")
    return "\n".join(lines) + "\n"


def show(rows: list[Row], title: str) -> None:
    table = Table(title=title, title_justify="left")
    for name in ("case", "ours ns/sample", "peer ns/sample", "peer", "times faster"):
        table.add_column(name, justify="left" if name in ("case", "peer") else "right")
    for row in rows:
        ours, theirs = (statistics.median(seconds) / row.samples * 1e9 for seconds in (row.ours, row.theirs))
        table.add_row(row.case, f"{ours:.2f}", f"{theirs:.2f}", row.peer, f"{row.ratio:.1f}")
    Console(width=150).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    parser.add_argument("--write", type=Path, help="also write the table as Markdown, for example benchmarks/cpu.md")
    options = parser.parse_args()
    try:
        from torchlpc import sample_wise_lpc
    except ImportError as missing:
        parser.exit(2, f"error: the peers are not installed ({missing}): pip install -e '.[peers]'\n")
    rounds = 2 if options.quick else 10
    rows = allpole_rows(sample_wise_lpc, rounds) + phaser_rows(sample_wise_lpc, rounds)
    show(rows, machine())
    if options.write:
        options.write.parent.mkdir(parents=True, exist_ok=True)
        options.write.write_text(as_markdown(rows, machine()), encoding="utf-8")


if __name__ == "__main__":
    main()
