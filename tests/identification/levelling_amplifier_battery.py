"""The bars of the grey box: `python -m tests.identification.levelling_amplifier_battery [simulated] [real]`.

(a) simulated LA-2A, peak reduction 50 and 75: fitted to 30 s, tested on the next 10 s, beside the feed-forward fit of the
same; (b) a real LA-2A, fitted to its loud part, tested on its quiet one; (c) the other way round, an extrapolation by 8 dB.
"""

from __future__ import annotations

import math
import sys
import time
from pathlib import Path

import torch
from torch import Tensor

from data.cache import levelling_amplifier
from diffapf import audio
from diffapf.identification.compressor_fit import CompressorFit, fit_compressor
from diffapf.identification.levelling_amplifier_fit import fit_levelling_amplifier

RECORDING = Path(__file__).parents[3] / "shared" / "data" / "compressor" / "real"
Span = tuple[float, float]


def shown(name: str, fit: CompressorFit, test: Span, seconds: float) -> float:
    """Prints a line for the model and one for each row; returns the test ESR."""
    part = fit.pair.part(*test, lead_in_s=math.inf)
    esr = part.esr(fit.compressor)
    print(
        f"{name}: {fit.chosen}: train {100 * fit.train.esr(fit.compressor):.4f} %, test {100 * esr:.4f} %, {seconds:.0f} s"
    )
    for row in fit.rows:
        errors = f"{100 * row.train_esr:.4f} {100 * row.validation_esr:.4f} {100 * part.esr(row.compressor):.4f}"
        print(f"    {row.name}, {row.parameters} parameters: train, validation, test {errors}")
    for estimate in fit.estimates:
        print(f"    {estimate}")
    sys.stdout.flush()
    return esr


def both(name: str, dry: Tensor, wet: Tensor, rate: float, train: Span, test: Span, feed_forward: bool) -> None:
    began = time.perf_counter()
    grey = shown(
        f"{name}, grey box", fit := fit_levelling_amplifier(dry, wet, rate, train), test, time.perf_counter() - began
    )
    print("   ", *fit.findings, sep="\n    ")
    if feed_forward:
        began = time.perf_counter()
        plain = shown(f"{name}, feed-forward", fit_compressor(dry, wet, rate, train), test, time.perf_counter() - began)
        print(f"{name}: the grey box leaves {grey / plain:.2f} of what the feed-forward fit leaves")


def main(*which: str) -> None:
    torch.set_num_threads(1)
    if not which or "simulated" in which:
        for setting in ("LA-E", "LA-F"):
            recording = levelling_amplifier(setting, progress=False)
            dry, wet = (torch.from_numpy(signal).reshape(-1) for signal in (recording.dry, recording.wet))
            both(f"(a) {setting}", dry, wet, 44_100, (0.0, 30.0), (30.0, 40.0), feed_forward=True)
    if not which or "real" in which:
        pair = audio.read_pair(RECORDING / "la2a_limit_pr20_dry.wav", RECORDING / "la2a_limit_pr20_wet.wav")
        dry, wet = torch.from_numpy(pair.dry[0]), torch.from_numpy(pair.wet[0])
        both("(b) loud to quiet", dry, wet, pair.sample_rate, (1.5, 4.0), (0.1, 1.5), feed_forward=True)
        both("(c) quiet to loud", dry, wet, pair.sample_rate, (0.0, 2.5), (2.5, 4.0), feed_forward=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
