"""The paper's compressors FF-A, B and C, found again: `python -m tests.identification.compressor_battery [starts]`.

Each is fitted to the embedded programme from the paper's start, to the same with noise at −60 dB, and from random starts to
15 s. Right: a pre-filtered ESR of at most 1e-8 %, every parameter within 0.01 %.
"""

from __future__ import annotations

import sys
import time

import torch

from data.programme import programme
from diffapf import Compressor
from diffapf.effects.time_constants import milliseconds_of
from diffapf.identification.compressor_fit import STARTS, descend, search
from diffapf.identification.prefiltered_pair import MonoPair, Part

SAMPLE_RATE = 44_100
SETTINGS = {"FF-A": (3.0, 1.0, 100.0), "FF-B": (5.0, 30.0, 30.0), "FF-C": (8.0, 0.1, 200.0)}  # ratio, attack, release
LARGEST_ESR, LARGEST_ERROR = 1e-10, 1e-4
DECIBELS_OF_E = 8.686  # of which an error in dB is a share


def truth_of(setting: str) -> Compressor:
    average_ms = milliseconds_of(0.03, SAMPLE_RATE)
    return Compressor(SAMPLE_RATE, -20.0, *SETTINGS[setting], average_ms=average_ms).double()


@torch.no_grad()
def part_of(setting: str, seconds: float, noise_db: float | None = None) -> Part:
    dry = torch.from_numpy(programme(seconds))
    wet = truth_of(setting)(dry)
    if noise_db is not None:
        noise = torch.randn(len(wet), dtype=wet.dtype, generator=torch.Generator().manual_seed(1))
        wet = wet + 10 ** (noise_db / 20) * wet.square().mean().sqrt() * noise
    return MonoPair(dry, wet, SAMPLE_RATE).part(0.0, seconds)


def worst_error(found: Compressor, truth: Compressor) -> float:
    """The largest relative error of a parameter."""
    pairs = zip(found.parameters_spec(), truth.parameters_spec(), strict=True)
    return max(abs(one.value - other.value) / (abs(other.value) or DECIBELS_OF_E) for one, other in pairs)


def from_the_papers_start(setting: str, seconds: float, noise_db: float | None) -> str:
    part, compressor = part_of(setting, seconds, noise_db), Compressor(SAMPLE_RATE).double()
    began = time.perf_counter()
    fit = descend(compressor, part)
    took = time.perf_counter() - began
    error = worst_error(compressor, truth_of(setting))
    noise = "" if noise_db is None else f" and {noise_db:g} dB of noise"
    return (
        f"{setting}, {seconds:g} s{noise}: ESR {100 * part.esr(compressor):.1e} %, worst parameter {100 * error:.1e} %, "
        f"{len(fit.history) - 1} iterations, {took:.2f} s"
    )


def from_random_starts(setting: str, count: int) -> str:
    part, truth = part_of(setting, 15.0), truth_of(setting)
    generator = torch.Generator().manual_seed(7)

    def between(low: float, high: float) -> float:
        return low * (high / low) ** float(torch.rand((), generator=generator))

    right, worst, began = 0, 0.0, time.process_time()
    for _ in range(count):
        start = {
            "curve.threshold_db": -between(5.0, 40.0),
            "curve.ratio": between(1.3, 20.0),
            "smoother.attack_ms": between(0.05, 200.0),
            "smoother.release_ms": between(5.0, 1000.0),
            "detector.average_ms": milliseconds_of(between(0.003, 0.9), SAMPLE_RATE),
        }
        compressor = search(Compressor(SAMPLE_RATE).double(), part, [start, *STARTS])
        descend(compressor, part)
        error = worst_error(compressor, truth)
        right += part.esr(compressor) < LARGEST_ESR and error < LARGEST_ERROR
        worst = max(worst, error)
    seconds = (time.process_time() - began) / count
    found = f"{right} right, worst parameter {100 * worst:.1e} %"
    return f"{setting}, {count} random starts: {found}, {seconds:.2f} s of CPU each"


def main(starts: int = 60) -> None:
    torch.set_num_threads(1)
    for setting in SETTINGS:
        for seconds, noise_db in ((40.0, None), (19.0, None), (40.0, -60.0)):
            print(from_the_papers_start(setting, seconds, noise_db), flush=True)
    for setting in SETTINGS:
        print(from_random_starts(setting, starts), flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
