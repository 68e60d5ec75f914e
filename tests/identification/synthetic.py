"""Dry signals, phasers with a known truth to find, and a vowel, in float64 from the equations: no effect of the library."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy import signal
from torch import Tensor

from diffapf import allpass_cascade

VOICE_RATE = 24_000

WAVES: dict[str, Callable[[Tensor], Tensor]] = {  # −1 … 1, of the phase in cycles; highest at phase 0, roughly
    "cosine": lambda phase: torch.cos(2 * math.pi * phase),
    "triangle": lambda phase: 1 - 4 * (phase - phase.round()).abs(),
    "asymmetric": lambda phase: torch.cos(2 * math.pi * phase + 0.6 * torch.sin(2 * math.pi * phase + 0.7)),
}


@dataclass(frozen=True)
class Truth:
    rate_hz: float = 1.3
    phase_cycles: float = 0.37
    low_hz: float = 200.0
    high_hz: float = 2000.0
    wave: str = "cosine"
    stages: int = 4
    feedback: float = 0.0
    loop_delay: int = 0
    through: float = 1.0

    def break_frequency(self, seconds: Tensor) -> Tensor:
        place = (1 + WAVES[self.wave](self.rate_hz * seconds.double() + self.phase_cycles)) / 2
        return self.low_hz * (self.high_hz / self.low_hz) ** place

    def apply(self, dry: Tensor, sample_rate: float, noise_db: float = -60.0, seed: int = 0) -> Tensor:
        """Wet, with noise at `noise_db` below it."""
        x = dry.double()
        x = 0.4 * x + 0.1 * torch.cat([x[:1] * 0, x[:-1]])  # an input filter
        t = torch.tan(math.pi / sample_rate * self.break_frequency(torch.arange(len(x)) / sample_rate))
        w = allpass_cascade(x, (1 - t) / (1 + t), self.stages, c0=self.feedback, loop_delay=self.loop_delay)
        y = self.through * x + w
        noise = torch.randn(len(y), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        return (y + 10 ** (noise_db / 20) * y.square().mean().sqrt() * noise).float()


def chirps(seconds: float, sample_rate: float, length: float = 0.03) -> Tensor:
    """A train of logarithmic chirps, 20 Hz … 0.45 of the sample rate, as the paper's."""
    count = round(length * sample_rate)
    place = np.arange(count) / count
    ratio = 0.45 * sample_rate / 20
    one = 0.5 * np.sin(2 * math.pi * 20 * length / math.log(ratio) * (ratio**place - 1))
    return torch.from_numpy(np.resize(one, round(seconds * sample_rate)).astype(np.float32))


def plucks(seconds: float, sample_rate: float, seed: int = 0) -> Tensor:
    """Chords of plucked strings (Karplus and Strong), a new one every 0.4 s, each ringing on."""
    random = np.random.default_rng(seed)
    length = round(seconds * sample_rate)
    out = np.zeros(length)
    for start in range(0, length, round(0.4 * sample_rate)):
        for note in random.choice([82.4, 110.0, 146.8, 196.0, 246.9, 329.6], 3, replace=False):
            period = round(sample_rate / note)
            string = random.uniform(-1, 1, period)
            for first in range(start, min(length, start + 2 * round(sample_rate)), period):
                part = out[first : first + period]
                part += 0.1 * string[: len(part)]
                string = 0.497 * (string + np.roll(string, 1))
    return torch.from_numpy(out.astype(np.float32))


def vowel(seconds: float = 0.8, f0: float = 180.0) -> torch.Tensor:
    """Pulses with vibrato through three resonances, and some breath: by scipy, not by a vocoder of ours."""
    n = np.arange(round(seconds * VOICE_RATE))
    pitch = f0 * 2 ** (0.3 / 12 * np.sin(2 * np.pi * 5.5 * n / VOICE_RATE))
    turns = np.cumsum(pitch / VOICE_RATE)
    source = (np.floor(turns) > np.floor(np.roll(turns, 1))).astype(float)
    source = signal.lfilter([1, -0.9], [1, -1.6, 0.64], source)
    source += 0.01 * np.random.default_rng(0).standard_normal(len(n))
    for hz, bandwidth in ((700, 90), (1150, 100), (2600, 150)):
        radius = np.exp(-np.pi * bandwidth / VOICE_RATE)
        source = signal.lfilter([1.0], [1, -2 * radius * np.cos(2 * np.pi * hz / VOICE_RATE), radius**2], source)
    return torch.from_numpy(0.3 * source / np.abs(source).max()).float()
