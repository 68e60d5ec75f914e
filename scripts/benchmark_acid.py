"""What a step of the acid synth costs, by each filter and method, what part of a training step the filter is, and how fast
a patch plays.

    python scripts/benchmark_acid.py [--quick] [--write]

As published (DAFx 2024, table 4): 34 notes of 6000 samples, 188 control frames, 220 Hz, one thread, float32; the synth,
the sum of its output, and gradients to all controls. "torchlpc": the same synth, its filter only replaced by coefficients
interpolated to audio rate (`torch.nn.functional.interpolate`), torchlpc and an FIR filter of three products. All columns of
a row take turns; medians, and ratios to TD are medians over turns. `--quick` leaves out windows from 1024 samples on.
`--write` records it in benchmarks/acid_step.md.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate, pad

sys.path.insert(0, str(Path(__file__).parent.parent))

from diffapf.filters.control_rate import ControlRate
from diffapf.filters.methods import Biquads, FrequencySampling, TimeDomain
from diffapf.losses.multi_resolution import MultiResolutionLoss
from diffapf.report.folder import versions
from diffapf.synths.acid import AcidSynth, Note
from diffapf.synths.events import NoteEvent
from diffapf.synths.extractors import Heard, LightExtractor
from diffapf.synths.patch import AcidPatch
from diffapf.synths.player import Player
from scripts.benchmarking.report import processor

ROOT = Path(__file__).parent.parent
SAMPLE_RATE, HOP, F0_HZ = 48_000, 32, 220.0
WINDOWS = (128, 256, 512, 1024, 2048, 4096)
QUICK_BELOW = 1024
TRAINED_WINDOWS = (128, 512)
ROWS = {"Coeff": "coefficients", "LP": "lowpass", "ladder": "ladder", "LSTM 64": "lstm"}
PLAYED = {"LP": "lowpass", "ladder": "ladder", "Coeff": "coefficients"}
BLOCKS, SIXTEENTH_S = (1000, 64, 1), 0.125
PUBLISHED = {  # ms on an M1 Pro: TD, then FS
    "Coeff": (32, 57, 102, 201, 390, 833, 1795),
    "LP": (29, 58, 98, 195, 376, 804, 1667),
    "LSTM 64": (1322,),
}
Step = Callable[[], object]
Times = dict[str, list[float]]


@dataclass(frozen=True)
class Size:
    """Of a batch."""

    notes: int = 34
    time: int = 6000

    @property
    def frames(self) -> int:
        return 1 + self.time // HOP


class Torchlpc:
    """A method: sections in the time domain by torchlpc."""

    def __call__(self, x: Tensor, filter: Biquads) -> Tensor:
        from torchlpc import sample_wise_lpc

        for b, a in filter.sections:
            b0, b1, b2 = self._at_audio_rate(b, x.shape[-1]).unbind(1)
            w = sample_wise_lpc(x, self._at_audio_rate(a[..., 1:], x.shape[-1]).transpose(1, 2).contiguous())
            x = b0 * w + b1 * pad(w[:, :-1], (1, 0)) + b2 * pad(w[:, :-2], (2, 0))
        return x

    def _at_audio_rate(self, frames: Tensor, time: int) -> Tensor:
        return interpolate(frames.transpose(1, 2), time, mode="linear", align_corners=True)


# --------------------------------------------------------------------------------------------------------------- steps


def notes(size: Size) -> Note:
    f0 = torch.full((size.notes, size.time), F0_HZ)
    return Note(f0, torch.full((size.notes,), size.time), torch.linspace(-3, 3, size.notes))


def numbers(synth: AcidSynth, size: Size) -> dict[str, Tensor]:
    """Raw ones of all controls, which gradients go to."""
    torch.manual_seed(0)
    raw = {}
    for control in synth.controls:
        own = (size.frames,) * control.moves + (control.channels,) * (control.channels > 1)
        raw[control.name] = (0.5 * torch.randn(size.notes, *own)).requires_grad_()
    return raw


def synth_step(filter: str, method: Any, size: Size) -> Step:
    synth = player(filter)
    synth.method = method
    raw, note = numbers(synth, size), notes(size)
    leaves = [*raw.values(), *synth.parameters()]

    def step() -> object:
        values = {control.name: control.value(raw[control.name]) for control in synth.controls}
        return torch.autograd.grad(synth(note, values).sum(), leaves)

    return step


def player(filter: str) -> AcidSynth:
    """With the paper's controls."""
    return AcidSynth(SAMPLE_RATE, filter, HOP, level="power", highest_hz=8000.0, normalised=False)


def filter_step(method: Any, size: Size) -> Step:
    """Logits to audio and back, with the gradient of the sound too."""
    synth = player("coefficients")
    logits = numbers(synth, size)["logits"]
    x = torch.randn(size.notes, size.time, requires_grad=True)
    back = torch.ones_like(x)
    return lambda: torch.autograd.grad(
        method(x, synth._filter({"logits": logits}, ControlRate.hop(HOP))), (logits, x), back
    )


def training_step(method: Any, size: Size) -> Step:
    """The light network, the synth, the loss, its gradients and AdamW; mel spectrograms are cached in training."""
    synth, note, loss = player("coefficients"), notes(size), MultiResolutionLoss()
    synth.method = method
    torch.manual_seed(0)
    network = LightExtractor(synth.controls)
    optimizer = torch.optim.AdamW(network.parameters(), 2e-3, fused=True)
    of_frames = (size.notes, size.frames)
    heard = Heard(
        torch.randn(size.notes, network.channels, size.frames),
        torch.full(of_frames, F0_HZ),
        torch.randn(of_frames),
        torch.randn(of_frames),
        torch.ones(of_frames),
    )
    target = 0.1 * torch.randn(size.notes, size.time)

    def step() -> None:
        optimizer.zero_grad()
        loss(synth(note, network(heard)), target).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 0.5)
        optimizer.step()

    return step


def columns(row: str, size: Size, quick: bool) -> dict[str, Step]:
    filter = ROWS[row]
    steps = {"TD": synth_step(filter, TimeDomain(), size)}
    if filter == "lstm":
        return steps
    if has_torchlpc():
        steps["torchlpc"] = synth_step(filter, Torchlpc(), size)
    windows = [window for window in WINDOWS if not quick or window < QUICK_BELOW]
    return steps | {f"FS {w}": synth_step(filter, FrequencySampling(w // HOP), size) for w in windows}


def training_columns(size: Size) -> dict[str, Step]:
    steps = {"step, TD": training_step(TimeDomain(), size), "filter, TD": filter_step(TimeDomain(), size)}
    if has_torchlpc():
        steps["step, torchlpc"] = training_step(Torchlpc(), size)
        steps["filter, torchlpc"] = filter_step(Torchlpc(), size)
    of_windows = {f"step, FS {w}": training_step(FrequencySampling(w // HOP), size) for w in TRAINED_WINDOWS}
    return steps | of_windows


def has_torchlpc() -> bool:
    try:
        import torchlpc  # noqa: F401
    except (ImportError, OSError, RuntimeError):
        return False
    return True


# -------------------------------------------------------------------------------------------------------------- playing


def playing_speeds(filter: str, seconds: float) -> dict[str, float]:
    """Seconds of sound that a patch makes in a second, as a whole and in blocks."""
    patch = AcidPatch(SAMPLE_RATE, filter=filter, shaped=True, noise=True, output_fir=True)
    events = [NoteEvent(SIXTEENTH_S * i, SIXTEENTH_S, 40 + i % 12) for i in range(max(1, round(seconds / SIXTEENTH_S)))]
    player = Player(patch, events)
    Player(patch, events[:2]).render()  # compiles
    speeds = {"whole": player.length / SAMPLE_RATE / (milliseconds(player.render) / 1000)}
    for block in BLOCKS:
        blocks = player.length // block if block > 1 else min(player.length, SAMPLE_RATE)  # of single samples, a second
        ms = milliseconds(lambda block=block, blocks=blocks: in_blocks(player, block, blocks))  # type: ignore[misc]
        speeds[str(block)] = block * blocks / SAMPLE_RATE / (ms / 1000)
    return speeds


def in_blocks(player: Player, block: int, blocks: int) -> None:
    state = player.initial_state()
    for _ in range(blocks):
        _, state = player.process(block, state)


# ---------------------------------------------------------------------------------------------------------------- race


def race(steps: dict[str, Step], budget: float) -> Times:
    """Milliseconds of each: turns of one call each, after one that does not count; slow ones have fewer, but three."""
    trials = {name: milliseconds(step) for name, step in steps.items()}
    trials |= {name: min(trials[name], milliseconds(step)) for name, step in steps.items() if trials[name] < 1000}
    turns = {name: int(min(max(1000 * budget / trial / len(steps), 3), 200)) for name, trial in trials.items()}
    times: Times = {name: [] for name in steps}
    for turn in range(max(turns.values())):
        for name, step in steps.items():
            if turn < turns[name]:
                times[name].append(milliseconds(step))
    return times


def milliseconds(step: Step) -> float:
    began = time.perf_counter()
    step()
    return 1000 * (time.perf_counter() - began)


def ratio(times: Times, name: str, to: str) -> float:
    return statistics.median(one / other for one, other in zip(times[name], times[to], strict=False))


# --------------------------------------------------------------------------------------------------------------- table


def step_table(found: dict[str, Times]) -> list[str]:
    names = list(dict.fromkeys(name for times in found.values() for name in times))
    lines = [f"| ms (times TD) | {' | '.join(names)} |", f"| --- |{' --: |' * len(names)}"]
    for row, times in found.items():
        lines.append(f"| {row} | {' | '.join(cell(times, name) for name in names)} |")
        if row in PUBLISHED:
            known = dict(zip(["TD", *(f"FS {window}" for window in WINDOWS)], PUBLISHED[row], strict=False))
            published = {
                name: f"{ms}" if name == "TD" else f"{ms} ({ms / known['TD']:.1f})" for name, ms in known.items()
            }
            lines.append(f"| {row}, published | {' | '.join(published.get(name, '') for name in names)} |")
    return lines


def cell(times: Times, name: str) -> str:
    if name not in times:
        return ""
    median = statistics.median(times[name])
    return f"{median:.0f}" if name == "TD" else f"{median:.0f} ({ratio(times, name, 'TD'):.1f})"


def training_table(times: Times) -> list[str]:
    share = ratio(times, "filter, TD", "step, TD")
    lines = ["| Coeff | ms |", "| --- | --: |"]
    lines += [f"| {name} | {statistics.median(values):.1f} |" for name, values in times.items()]
    lines += ["", f"The filter is {100 * share:.1f} % of the step."]
    if "filter, torchlpc" in times:
        faster, whole = (ratio(times, f"{part}, torchlpc", f"{part}, TD") for part in ("filter", "step"))
        lines[-1] += f" It is {faster:.1f} times faster than with torchlpc; the whole step {whole:.2f} times."
    return lines


def playing_table(played: dict[str, dict[str, float]]) -> list[str]:
    lines = [f"| × real time | {' | '.join(next(iter(played.values())))} |", "| --- |" + " --: |" * (1 + len(BLOCKS))]
    return lines + [
        f"| {row} | {' | '.join(f'{rate:.0f}' for rate in rates.values())} |" for row, rates in played.items()
    ]


def report(
    found: dict[str, Times], training: Times, played: dict[str, dict[str, float]], size: Size, quick: bool
) -> str:
    known = ", ".join(
        f"{name} {number}" for name, number in versions(("torch", "numba", "torchlpc", "auraloss")).items()
    )
    lines = [
        "# A step of the acid synth",
        "",
        f"{date.today()} · {processor()}, {os.cpu_count()} cores, busy · {known} · one thread, float32",
        "",
        f"    python scripts/benchmark_acid.py{' --quick' if quick else ''} --write",
        "",
        f"{size.notes} notes of {size.time} samples, {size.frames} frames, {F0_HZ:g} Hz; the synth, the sum of its output,",
        "and gradients to all controls. TD: in the time domain. torchlpc: the same synth with torchlpc, interpolation to",
        "audio rate and an FIR filter for its filter. FS: frequency sampling by windows of so many samples. Medians.",
        "Published: DAFx 2024, table 4, an M1 Pro: what compares is the factor over TD.",
        "",
        *step_table(found),
        "",
        "## A training step",
        "",
        "Light extractor, synth, multi-resolution loss, clipping, AdamW. The filter: logits to audio and back.",
        "",
        *training_table(training),
        "",
        "## Playing",
        "",
        "A patch by a `Player`, sixteenths at 120 BPM: as a whole, and in blocks of so many samples.",
        "",
        *playing_table(played),
    ]
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="leave out windows from 1024 samples on")
    parser.add_argument("--budget", type=float, default=20.0, metavar="SECONDS", help="of each row")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--notes", type=int, default=Size.notes)
    parser.add_argument("--samples", type=int, default=Size.time)
    parser.add_argument("--played", type=float, default=60.0, metavar="SECONDS", help="of sound, to time a player by")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    size = Size(options.notes, options.samples)
    training = race(training_columns(size), options.budget)
    found = {}
    for row in options.rows:
        found[row] = race(columns(row, size, options.quick), options.budget)
        print(row, {name: round(statistics.median(values), 1) for name, values in found[row].items()}, flush=True)
    played = {row: playing_speeds(filter, options.played) for row, filter in PLAYED.items()}
    text = report(found, training, played, size, options.quick)
    print(text)
    if options.write:
        (ROOT / "benchmarks" / "acid_step.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
