"""Hidden equalisers found again: `python -m tests.identification.equalizer_battery [settings] [seconds]`.

Random settings of six bands on a voice and on music, 10 s each: the recordings of ../shared/data where they are, the
embedded ones elsewhere. Right: the response within 0.1 dB at every band of 1/48 octave from 20 Hz to 18 kHz in which the dry
signal is above −90 dB and the wet one above −80 dB of its loudest band. `16-bit`: dithered, and −60 dB.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from statistics import median

import numpy as np
import torch

from data.channel_strip import FULL, SENSIBLE, Ranges, equalised, setting
from data.programme import programme
from data.signals import SAMPLE_RATE
from data.voice import singing
from diffapf import audio
from diffapf.identification.band_powers import Bands, decibels
from diffapf.identification.equalizer_fit import fit_equalizer

SHARED = Path(__file__).parents[3] / "shared/data"
RECORDED = {"voice": "vocal_pairs/AClassicEducation_NightOwl_dry.flac", "music": "compressor/dry.flac"}
EMBEDDED = {"voice": singing, "music": programme}
LARGEST_ERROR_DB = 0.1


def material(kind: str, seconds: float) -> np.ndarray:
    recorded = SHARED / RECORDED[kind]
    if not recorded.is_file():
        return EMBEDDED[kind](seconds)
    return audio.read(recorded).samples[0, : round(seconds * SAMPLE_RATE)].astype(np.float64)


def worst_error_db(found, hidden, dry: np.ndarray, wet: np.ndarray, quiet_db: float) -> float:
    """The largest difference of the responses where the material has energy."""
    bands = Bands.of_octaves(20.0, 18_000.0, 48, SAMPLE_RATE)
    before, after = (decibels(bands.powers(torch.from_numpy(signal))) for signal in (dry, wet))
    heard = (before > before.max() - 90.0) & (after > after.max() + quiet_db)
    centres = bands.centres[heard]
    target = torch.from_numpy(hidden.magnitude_db(centres.numpy(), SAMPLE_RATE))
    return float((found.magnitude_db(centres).detach() - target).abs().max())


def dithered(x: np.ndarray, bits: int, rng: np.random.Generator) -> np.ndarray:
    step = 2.0 ** (1 - bits)
    return step * np.round(x / step + rng.uniform(-0.5, 0.5, len(x)) + rng.uniform(-0.5, 0.5, len(x)))


def row(kind: str, name: str, ranges: Ranges, count: int, seconds: float, bits: int | None = None) -> str:
    played = material(kind, seconds)
    errors, times, walls = [], [], []
    for seed in range(count):
        hidden = setting(name, seed + 1000, ranges)
        wet = equalised(played, hidden, SAMPLE_RATE)
        scale = min(1.0, 0.9 / np.abs(wet).max())  # so that it doesn't clip
        dry, wet = scale * played, scale * wet
        if bits is not None:
            wet = dithered(wet, bits, np.random.default_rng(seed))
        began, began_at = time.process_time(), time.perf_counter()
        fit = fit_equalizer(torch.from_numpy(dry), torch.from_numpy(wet), SAMPLE_RATE)
        times.append(time.process_time() - began)
        walls.append(time.perf_counter() - began_at)
        errors.append(worst_error_db(fit.equalizer, hidden, dry, wet, -80.0 if bits is None else -60.0))
    right = sum(error <= LARGEST_ERROR_DB for error in errors)
    wrong = ", ".join(f"{seed}: {error:.2g} dB" for seed, error in enumerate(errors) if error > LARGEST_ERROR_DB)
    depth = "" if bits is None else f", {bits} bits"
    return (
        f"{kind}, {name}{depth}: {right} of {count} right, median {median(errors):.1e} dB, "
        f"{median(times):.1f} CPU-s each, at most {max(times):.1f} CPU-s and {max(walls):.1f} s of the wall clock"
        f"{f'; wrong: {wrong}' if wrong else ''}"
    )


def main(count: int = 20, seconds: float = 10.0) -> None:
    for kind in EMBEDDED:
        for name, ranges in (("sensible", SENSIBLE), ("full", FULL)):
            print(row(kind, name, ranges, count, seconds), flush=True)
    print(row("voice", "full", FULL, count, seconds, bits=16), flush=True)


if __name__ == "__main__":
    main(*(number(text) for number, text in zip((int, float), sys.argv[1:], strict=False)))
