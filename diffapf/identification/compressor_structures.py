"""The structures of compressors that a fit chooses from: options of `Compressor`, by what they are called in a report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Options = Mapping[str, Any]

BOXCARS = (128, 256, 512)  # samples

KNEE_DB = 6.0  # where a soft knee starts

_ABSOLUTE: dict[str, Any] = {"rectifier": "absolute", "average": None}


def structures(sample_rate: float) -> dict[str, Options]:
    """Every family, the paper's first; of each there is one with a hard knee and one with a soft knee."""
    families: dict[str, Options] = {
        "mean square → curve → smoothed gain": {},
        "mean square → curve → smoothed gain in dB": {"smoothed": "gain_db"},
        "|x| → curve → smoothed gain": _ABSOLUTE | {"floor_db": -160.0},
        "|x| → curve → smoothed gain in dB": _ABSOLUTE | {"floor_db": -160.0, "smoothed": "gain_db"},
        "smoothed |x| → curve": _ABSOLUTE | {"floor_db": -200.0, "smoothed": "amplitude"},
        "smoothed x² → curve": {"average": None, "floor_db": -200.0, "smoothed": "power"},
        "smoothed RMS → curve": {"smoothed": "amplitude"},
        "smoothed max(x, 0) → curve": {
            "rectifier": "half_wave",
            "average": None,
            "floor_db": -200.0,
            "smoothed": "amplitude",
        },
        "smoothed level in dB → curve": {"smoothed": "level_db"},
        "mean square → curve → gain in dB, decoupled": {"smoothed": "gain_db", "ballistics": "decoupled"},
        "level in dB, decoupled → curve": {"smoothed": "level_db", "ballistics": "decoupled"},
    }
    return families | {
        f"smoothed RMS of {length} samples → curve": {
            "average": "boxcar",
            "average_ms": length / sample_rate * 1000,
            "smoothed": "amplitude",
        }
        for length in BOXCARS
    }
