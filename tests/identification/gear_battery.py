"""Third-party circuits as a user's gear, fitted by the command with its defaults.

`python -m tests.identification.gear_battery`

Prints a line for each circuit that is installed: the ESR on the quarter held out, seconds, the LFO's rate, and by how much
(of a value) the parameters of `train.py … data=recordings` differ. Names choose: `… gear_battery "JUCE compressor"`.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile

from data.programme import programme
from data.signals import plucked_guitar
from diffapf.cli import main
from tests.identification import ladspa

RATE = 44_100
SECONDS = 24.0
ROOT = Path(__file__).parents[2]
EXPERIMENTS = {"equalizer": "peq"}  # where it has another name

Effect = Callable[[np.ndarray], np.ndarray]


def juce(*plugins: tuple[str, dict[str, float]]) -> Effect:
    def play(x: np.ndarray) -> np.ndarray:
        import pedalboard

        board = pedalboard.Pedalboard([getattr(pedalboard, name)(**knobs) for name, knobs in plugins])
        return board(x.astype(np.float32), RATE)

    return play


def swh(file: str, label: str, **controls: float) -> Effect:
    def play(x: np.ndarray) -> np.ndarray:
        library = ladspa.find(file)
        if library is None:
            raise ImportError(f"{file} is not installed")
        named = {name.replace("_", " "): value for name, value in controls.items()}
        return ladspa.run(library, label, named, x.astype(np.float32), RATE)

    return play


# The phaser's LFO holds each of 4096 values for a whole number of samples, 11 at 0.5 Hz: on clicks at a divisor of this
# period its output repeats to the bit, and |sin| makes its rate about twice its label.
LFO_PERIOD = 11 * 4096

# name: what fits it, dry, circuit, the bar for its ESR, the LFO's rate in Hz
GEAR = {
    "JUCE compressor": (
        "compressor",
        programme,
        juce(("Compressor", {"threshold_db": -24, "ratio": 4, "attack_ms": 5, "release_ms": 120})),
        4e-3,
        None,
    ),
    "JUCE shelves and peak": (
        "equalizer",
        programme,
        juce(
            ("LowShelfFilter", {"cutoff_frequency_hz": 150, "gain_db": 4, "q": 0.707}),
            ("PeakFilter", {"cutoff_frequency_hz": 1200, "gain_db": -6, "q": 1.2}),
            ("HighShelfFilter", {"cutoff_frequency_hz": 5000, "gain_db": 3, "q": 0.707}),
        ),
        1e-4,
        None,
    ),
    "JUCE phaser": (
        "phaser",
        plucked_guitar,
        juce(("Phaser", {"rate_hz": 0.7, "depth": 0.5, "centre_frequency_hz": 1300, "feedback": 0.25, "mix": 0.5})),
        5e-3,
        0.7,
    ),
    "swh sc4m": (
        "compressor",
        programme,
        swh(
            "sc4m_1916.so",
            "sc4m",
            RMS=0.0,
            Attack=10.0,
            Release=150.0,
            Threshold=-24.0,
            Ratio=4.0,
            Knee=3.0,
            Makeup=0.0,
        ),
        4e-3,
        None,
    ),
    "swh lfoPhaser": (
        "phaser",
        plucked_guitar,
        swh("phasers_1217.so", "lfoPhaser", LFO_rate=0.5, LFO_depth=0.5, Feedback=0.3, Spread=1.0),
        5e-3,
        RATE / LFO_PERIOD,
    ),
}


def fit(name: str, late: float) -> str:
    effect, signal, circuit, bar, rate = GEAR[name]
    dry = signal(SECONDS)
    dry = 0.5 * dry / np.abs(dry).max()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        soundfile.write(folder / "dry.wav", dry, RATE, subtype="FLOAT")
        soundfile.write(folder / "wet.wav", moved(circuit(dry), late), RATE, subtype="FLOAT")
        began, cpu = time.perf_counter(), time.process_time()
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as said:
            code = main(["fit", effect, str(folder / "dry.wav"), str(folder / "wet.wav"), "-o", str(folder / "fit")])
        took = f"{time.perf_counter() - began:.0f} s, {time.process_time() - cpu:.0f} CPU-s"
        if code:
            return f"| {name} | not fitted: {said.getvalue().strip().splitlines()[-1]} | {took} |"
        metrics = json.loads((folder / "fit" / "metrics.json").read_text())
        found = parameters_of(folder / "fit")
        trained = by_training(effect, folder)
    esr = metrics.get("test/esr_plain", metrics.get("test/esr_constant"))
    difference = max(abs(trained[name] - value) / max(abs(value), 1e-9) for name, value in found.items())
    of_rate = f", LFO rate off by {100 * abs(found['lfo.rate_hz'] / rate - 1):.4f} %" if rate else ""
    return f"| {name} | {100 * esr:.3g} % (asked {100 * bar:g} %){of_rate} | {took} | {difference:.1g} |"


def moved(wet: np.ndarray, late: float) -> np.ndarray:
    """By so many samples, in the frequency domain; as much longer as its beginning is late."""
    if not late:
        return wet
    length = 2 ** math.ceil(math.log2(len(wet) + 2 * abs(late)))
    turned = np.exp(-2j * np.pi * late * np.arange(length // 2 + 1) / length)
    return np.fft.irfft(np.fft.rfft(wet, length) * turned, length)[: len(wet) + max(0, math.ceil(late))]


def by_training(effect: str, folder: Path) -> dict[str, float]:
    """What the training of these recordings finds."""
    experiment = EXPERIMENTS.get(effect, effect)
    files = (f"data.dry={folder / 'dry.wav'}", f"data.wet={folder / 'wet.wav'}", f"run={folder / 'run'}")
    command = [sys.executable, str(ROOT / "train.py"), f"experiment={experiment}", "data=recordings", *files]
    subprocess.run(command, check=True, capture_output=True, cwd=folder, env=os.environ)
    return parameters_of(folder / "run")


def parameters_of(folder: Path) -> dict[str, float]:
    return {entry["name"]: entry["value"] for entry in json.loads((folder / "parameters.json").read_text())}


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("gear", nargs="*", default=[*GEAR], help="names (all)")
    arguments.add_argument("--late", type=float, default=0.0, help="samples by which wet is late (0)")
    options = arguments.parse_args()
    for gear in options.gear:
        try:
            print(fit(gear, options.late), flush=True)
        except ImportError as missing:
            print(f"| {gear} | left out: {missing} | – |", flush=True)
