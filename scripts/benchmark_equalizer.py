"""What the six bands cost: a training step of ours, of six calls of torchaudio's lfilter, and of one long FFT.

    python scripts/benchmark_equalizer.py

Ten seconds of stereo at 44.1 kHz in float32, forward and backward to the signal and all parameters; one thread, the three in
turns, so that they share what else the machine does. Least and median times of `TURNS`.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent.parent))

from diffapf import Equalizer, FrequencySampling

SAMPLE_RATE, SECONDS, TURNS = 44_100, 10, 15


def steps() -> dict[str, Callable[[], None]]:
    """Each a whole step, coefficients included."""
    from torchaudio.functional import lfilter

    x = 0.1 * torch.randn(2, round(SECONDS * SAMPLE_RATE))
    x.requires_grad_()
    exact, sampled = Equalizer(SAMPLE_RATE), Equalizer(SAMPLE_RATE, method=FrequencySampling())

    def six_calls() -> Tensor:
        y = x
        for section in exact.filter().sos.float():
            y = lfilter(y, section[3:], section[:3], clamp=False)
        return y

    def step(run: Callable[[], Tensor]) -> Callable[[], None]:
        return lambda: run().square().mean().backward()

    return {
        "this": step(lambda: exact(x)),
        "six lfilter of torchaudio": step(six_calls),
        "one long FFT": step(lambda: sampled(x)),
    }


def measured() -> dict[str, list[float]]:
    calls = steps()
    times: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(TURNS + 1):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if turn:  # the first compiles
                times[name].append(time.perf_counter() - start)
    return times


def table() -> str:
    torch.set_num_threads(1)
    times = measured()
    least, median = ({name: of(each) for name, each in times.items()} for of in (min, statistics.median))
    rows = [
        f"| {name} | {1e3 * least[name]:.0f} | {1e3 * median[name]:.0f} | {median[name] / median['this']:.1f} |"
        for name in times
    ]
    return "\n".join(["| step | least, ms | median, ms | times this |", "| --- | --: | --: | --: |", *rows])


if __name__ == "__main__":
    print(table())
