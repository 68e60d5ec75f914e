"""A compressor as a kernel: kernels/compressor.c."""

from __future__ import annotations

import math

from diffapf.effects.compressor import Compressor
from diffapf.effects.look_ahead import REACH
from diffapf.export.description import HIGHEST_RATE, Description, Knob

SMOOTHED = {"gain": "GAIN", "gain_db": "GAIN_DB", "amplitude": "AMPLITUDE", "power": "POWER", "level_db": "LEVEL_DB"}
LINKS = {None: "NO_LINK", "max": "MAXIMUM", "mean": "MEAN"}
AVERAGES = {None: "NO_AVERAGE", "one_pole": "ONE_POLE", "boxcar": "BOXCAR"}


def describe_compressor(compressor: Compressor, channels: int) -> Description:
    """The kernel of a compressor of any structure."""
    detector, look_ahead = compressor.detector, compressor.look_ahead
    boxcar_ms = detector.boxcar_ms or 0.0
    longest_ms = look_ahead.longest_ms if look_ahead else 0.0
    latency = math.ceil(longest_ms * HIGHEST_RATE / 1000) + REACH if look_ahead else 0
    settings: dict[str, float | str] = {
        "RECTIFIER": detector.rectifier.upper(),
        "LINK": LINKS[detector.link],
        "AVERAGE": AVERAGES[detector.average],
        "SMOOTHED": SMOOTHED[compressor.smoothed],
        "BALLISTICS": compressor.smoother.kind.upper(),
        "FLOOR_DB": float(detector.floor_db),
        "TIME_CONVENTION": float(compressor.smoother.time_convention),
        "BOXCAR_MS": float(boxcar_ms),
        "LONGEST_BOXCAR": max(1, math.ceil(boxcar_ms * HIGHEST_RATE / 1000)),
        "LONGEST_LOOK_AHEAD_MS": float(longest_ms),
        "LONGEST_LOOK_AHEAD": latency,
        "HIGHEST_RATE": HIGHEST_RATE,
    }
    knobs = tuple(Knob.of(spec) for spec in compressor.parameters_spec())
    return Description("compressor", knobs, settings, channels=channels, latent=look_ahead is not None)
