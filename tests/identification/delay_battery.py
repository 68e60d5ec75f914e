"""Hidden delay times found again: `python -m tests.identification.delay_battery [settings] [seconds] [gradient settings]`.

Random ping-pong delays on a voice and on music, beside the sound itself, with noise 40 dB below: the recordings of
../shared/data where they are, the embedded ones elsewhere; starts 120 to 200 ms away, which
`fit_delay` needs not. Right: within 0.05 ms. The last rows
descend by the gradient of the time itself, which is free with feedback and gain, the low-pass and the pans known: the
published surrogate and the true one, by Adam (0.03) on spectrograms' and on waveforms' loss over 3 s.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from statistics import median

import numpy as np
import torch
from torch import Tensor

from data.echo import EchoSetting, echo_setting, echoes
from data.signals import SAMPLE_RATE
from diffapf import CircleSampling, PingPongDelay
from diffapf.identification.delay_fit import TIMES_MS, fit_delay
from diffapf.identification.echo_times import descend_envelope, echo_envelope
from tests.identification.equalizer_battery import EMBEDDED, material

LARGEST_ERROR_MS = 0.05
NOISE_DB = -40.0
SECONDS_OF_DESCENT, STEPS, RATE = 3.0, 80, 0.03
WINDOWS = (128, 512, 2048)

Method = Callable[[Tensor, Tensor, EchoSetting, float], float]


def pair(kind: str, seed: int, seconds: float) -> tuple[Tensor, Tensor, EchoSetting, float]:
    """Dry, wet, what is hidden, and a start within the range."""
    setting, dry, rng = echo_setting(seed + 1000), material(kind, seconds), np.random.default_rng(seed)
    wet = dry + echoes(dry, setting, SAMPLE_RATE)
    wet += 10 ** (NOISE_DB / 20) * np.sqrt(np.square(wet).mean()) * rng.standard_normal(wet.shape)
    away = rng.uniform(120.0, 200.0) * rng.choice([-1, 1])
    start = setting.time_ms + away
    start = start if TIMES_MS[0] < start < TIMES_MS[1] else setting.time_ms - away
    return torch.from_numpy(dry), torch.from_numpy(wet), setting, start


def without_start(dry: Tensor, wet: Tensor, setting: EchoSetting, start_ms: float) -> float:
    return float(fit_delay(dry, wet, SAMPLE_RATE).delay.time_ms())


def envelope_alone(dry: Tensor, wet: Tensor, setting: EchoSetting, start_ms: float) -> float:
    reached = TIMES_MS[0] / 1000, TIMES_MS[1] / 1000
    envelope = echo_envelope(dry, wet, SAMPLE_RATE, 3.5)
    return 1000 * descend_envelope(envelope, SAMPLE_RATE, start_ms / 1000, reached)


def by_gradient(surrogate: str, loss: Callable[[Tensor, Tensor], Tensor]) -> Method:
    def descend(dry: Tensor, wet: Tensor, setting: EchoSetting, start_ms: float) -> float:
        time = round(SECONDS_OF_DESCENT * SAMPLE_RATE)
        x, y = dry[:time].float(), wet[:, :time].float()
        known = {**vars(setting), "time_ms": start_ms, "feedback": 0.4, "gain": 0.4}
        delay = PingPongDelay(SAMPLE_RATE, **known, surrogate=surrogate, method=CircleSampling(time))
        for part in (delay.lowpass_hz, delay.q, delay.odd_pan, delay.even_pan):
            part.requires_grad_(False)
        optimizer = torch.optim.Adam([each for each in delay.parameters() if each.requires_grad], RATE)
        best, lowest = start_ms, float("inf")
        for _ in range(STEPS):
            optimizer.zero_grad()
            total = loss(x + delay(x), y) + delay.regularizer()
            if float(total.detach()) < lowest:
                best, lowest = float(delay.time_ms()), float(total.detach())
            total.backward()
            optimizer.step()
        return best

    return descend


def of_spectra(found: Tensor, wanted: Tensor) -> Tensor:
    """Spectral convergence and log magnitudes, the mean over three resolutions."""
    total = found.new_zeros(())
    for n in WINDOWS:
        window = torch.hann_window(n)
        ours, theirs = (
            torch.stft(each, n, n // 4, window=window, return_complex=True).abs().square().clamp_min(1e-8).sqrt()
            for each in (found, wanted)
        )
        total = total + (ours - theirs).norm() / theirs.norm() + (ours.log() - theirs.log()).abs().mean()
    return total / len(WINDOWS)


def of_waveforms(found: Tensor, wanted: Tensor) -> Tensor:
    return (found - wanted).square().sum() / wanted.square().sum()


def row(name: str, kind: str, method: Method, count: int, seconds: float) -> str:
    errors, times = [], []
    for seed in range(count):
        signals = pair(kind, seed, seconds)
        began = time.process_time()
        errors.append(abs(method(*signals) - signals[2].time_ms))
        times.append(time.process_time() - began)
    right = sum(error <= LARGEST_ERROR_MS for error in errors)
    return (
        f"{kind}, {name}: {right} of {count} right, median {median(errors):.1e} ms, at most {max(errors):.1e} ms, "
        f"{median(times):.1f} CPU-s each"
    )


def main(count: int = 10, seconds: float = 6.0, of_gradients: int = 4) -> None:
    for kind in EMBEDDED:
        print(row("fit_delay", kind, without_start, count, seconds), flush=True)
        print(row("smeared envelope alone, from a start", kind, envelope_alone, count, seconds), flush=True)
    for kind in EMBEDDED:
        for surrogate in ("damped", "none"):
            for name, loss in (("spectra", of_spectra), ("waveforms", of_waveforms)):
                method = by_gradient(surrogate, loss)
                print(row(f"surrogate {surrogate!r}, {name}", kind, method, of_gradients, seconds), flush=True)


if __name__ == "__main__":
    main(*(number(text) for number, text in zip((int, float, int), sys.argv[1:], strict=False)))
