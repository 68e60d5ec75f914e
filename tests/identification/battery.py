"""Random phasers and what is found of them: `python -m tests.identification.battery [number] [first seed]`.

Rates 0.1–6 Hz, sweep ratios 3–15, 4 and 6 stages, feedback −0.7 … 0.7, cosine, triangle and asymmetric LFOs, on chirps and
on guitar (plucked strings where there are no recordings), 8 s, 60 dB of signal to noise.
"""

from __future__ import annotations

import math
import sys
import time
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import Tensor

from diffapf.identification.phaser import PhaserStart, identify_phaser
from tests.identification.synthetic import WAVES, Truth, chirps, plucks

SAMPLE_RATE = 44_100
SECONDS = 8.0
FOLDER = Path(__file__).parents[3] / "shared" / "data" / "phaser"


def random_phaser(seed: int) -> Truth:
    random = np.random.default_rng(seed)
    ratio = math.exp(random.uniform(math.log(3), math.log(15)))
    low = math.exp(random.uniform(math.log(60), math.log(5000 / ratio)))
    return Truth(
        rate_hz=math.exp(random.uniform(math.log(0.1), math.log(6))),
        phase_cycles=random.uniform(),
        low_hz=low,
        high_hz=ratio * low,
        wave=list(WAVES)[seed % len(WAVES)],
        stages=(4, 6)[seed // 3 % 2],
        feedback=random.uniform(-0.7, 0.7),
        through=random.uniform(0.6, 1.1),
    )


def random_dry(seed: int, seconds: float = SECONDS, folder: Path = FOLDER) -> Tensor:
    if seed % 2 == 0:
        return chirps(seconds, SAMPLE_RATE)
    path = folder / "real" / "dry.flac"
    if not path.exists():
        return plucks(seconds, SAMPLE_RATE, seed)
    first = int(np.random.default_rng(seed).uniform(0, 15) * SAMPLE_RATE)
    return torch.from_numpy(soundfile.read(path, round(seconds * SAMPLE_RATE), first, dtype="float32")[0])


def errors(truth: Truth, start: PhaserStart, seconds: float = SECONDS) -> dict[str, float]:
    """Cycles of phase lost over the recording, rms error of the log break frequency at each time, error of the feedback."""
    times = torch.linspace(0, seconds, 2000, dtype=torch.float64)
    phase = start.rate_hz * times + start.phase_cycles
    k = torch.arange(1, len(start.log_coefficients) // 2 + 1)
    angle = 2 * math.pi * k * phase[:, None]
    found = torch.cat([torch.ones_like(phase)[:, None], angle.cos(), angle.sin()], 1) @ start.log_coefficients
    true = truth.break_frequency(times).log()
    return {
        "cycles": (start.rate_hz - truth.rate_hz) * seconds,
        "curve": float((found - true).square().mean().sqrt()),
        "feedback": start.feedback - truth.feedback,
    }


def main(number: int = 20, first: int = 0) -> None:
    torch.set_num_threads(1)
    print(f"{'seed':>4} {'truth':46} rate Hz      z   cycles  curve    z      g  error     z")
    for seed in range(first, first + number):
        truth = random_phaser(seed)
        dry = random_dry(seed)
        wet = truth.apply(dry, SAMPLE_RATE, seed=seed)
        began = time.process_time()
        start = identify_phaser(dry, wet, SAMPLE_RATE)
        seconds = time.process_time() - began
        error = errors(truth, start)
        name = (
            f"{truth.rate_hz:.3f} Hz {truth.low_hz:.0f}–{truth.high_hz:.0f} Hz {truth.wave} K={truth.stages} "
            f"{truth.feedback:+.2f} {'chirps' if seed % 2 == 0 else 'guitar'}"
        )
        print(
            f"{seed:4} {name:48} {start.rate_hz:8.5f} {(start.rate_hz - truth.rate_hz) / start.rate_uncertainty_hz:+5.1f} "
            f"{error['cycles']:+8.4f} {error['curve']:6.3f} {error['curve'] / float(start.curve_uncertainty.mean()):4.1f} "
            f"{start.feedback:+6.3f} {error['feedback']:+6.3f} {error['feedback'] / start.feedback_uncertainty:+5.1f} "
            f"K={start.stages} d={start.loop_delay} offset={start.offset} left {start.residual:.4f} {seconds:.1f} s CPU"
            f"{' even' if start.even else ''}{'' if start.identified else ' ' + start.verdict}",
            flush=True,
        )


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
