"""Times the filters and the phaser's training step beside the peers, in one run: `python scripts/benchmark.py`.

Rivals take turns with us, call by call, so a machine whose speed drifts slows both; medians and ratios are what counts.
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
    """Seconds of each call, in turns, after two calls of each that don't count."""
    times: tuple[list[float], list[float]] = ([], [])
    for round_ in range(-2, rounds):
        for function, kept in zip((ours, theirs), times, strict=True):
            began = time.perf_counter()
            function()
            if round_ >= 0:
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


class PeerAllPole:
    """The paper's core on the peer's filter: its coefficients at audio rate, its FIR part in PyTorch, as published."""

    def __init__(self, peer: Callable):
        self.peer = peer

    def fir(self, x: Tensor, b: Tensor, zi: Tensor | None, return_zf: bool, hop: ControlRate) -> tuple[Tensor, None]:
        taps = b.shape[-1]
        past = torch.nn.functional.pad(x, (taps - 1, 0)).unfold(-1, taps, 1).flip(-1)
        return (past * audio_rate(b, hop, x.shape[-1])).sum(-1), None

    def allpole(
        self, x: Tensor, a: Tensor, zi: Tensor | None, return_zf: bool, hop: ControlRate
    ) -> tuple[Tensor, None]:
        return self.peer(x, audio_rate(a, hop, x.shape[-1])), None


class PeerAllPoleOurFIR(PeerAllPole):
    """The same with our FIR part: only the all-pole filter is the peer's."""

    fir = staticmethod(methods.fir)  # type: ignore[assignment]


def audio_rate(frames: Tensor, rate: ControlRate, length: int) -> Tensor:
    """Coefficients `(batch, frames, taps)` at audio rate. `F.interpolate` where its spacing is asked for."""
    if rate.start == 0 and abs(rate.step * (length - 1) - (frames.shape[1] - 1)) < 1e-9:
        return torch.nn.functional.interpolate(frames.mT, length, mode="linear", align_corners=True).mT
    return upsample(frames.mT, rate, length).mT


def phaser_rows(peer: Callable, rounds: int) -> list[Row]:
    """A training step on 5 s at 44.1 kHz in float64: both cores against the paper's core on the peer's all-pole filter."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 220_500, dtype=torch.float64, generator=generator)
    target = torch.randn(1, 220_500, dtype=torch.float64, generator=generator)

    def step(core: str) -> Callable[[], Tensor]:
        torch.manual_seed(0)
        phaser = Phaser(44_100, core=core, feedback=0.3, align_corners=core == "paper").double()
        optimizer = torch.optim.Adam(phaser.parameters(), 1e-4)

        def training_step() -> Tensor:
            optimizer.zero_grad()
            prediction = phaser(x)
            esr(prediction, target).backward()
            optimizer.step()
            return prediction.detach()

        return training_step

    def by_peer(training_step: Callable[[], Tensor], parts: PeerAllPole) -> Callable[[], Tensor]:
        def swapped() -> Tensor:
            ours = methods.fir, methods.allpole
            methods.fir, methods.allpole = parts.fir, parts.allpole  # type: ignore[assignment]
            try:
                return training_step()
            finally:
                methods.fir, methods.allpole = ours  # type: ignore[assignment]

        return swapped

    rows = []
    for parts, name in (
        (PeerAllPole(peer), "paper core as published, on torchlpc"),
        (PeerAllPoleOurFIR(peer), "our paper core, its all-pole by torchlpc"),
    ):
        check(step("paper")(), by_peer(step("paper"), parts)(), name)
        for core in ("cascade", "paper"):
            times = race(step(core), by_peer(step("paper"), parts), rounds)
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
    lines = [f"# CPU benchmark\n\n{title}\n\nMedians of calls taken in turns; the ratio is the median over pairs.\n"]
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
    rounds = 7 if options.quick else 25
    rows = allpole_rows(sample_wise_lpc, rounds) + phaser_rows(sample_wise_lpc, rounds)
    show(rows, machine())
    if options.write:
        options.write.parent.mkdir(parents=True, exist_ok=True)
        options.write.write_text(as_markdown(rows, machine()), encoding="utf-8")


if __name__ == "__main__":
    main()
