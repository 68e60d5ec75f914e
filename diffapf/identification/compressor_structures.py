"""The structures of compressors that a fit chooses from: options of `Compressor`, by what they are called in a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Options = Mapping[str, Any]

BOXCARS = (128, 256, 512)  # samples

KNEE_DB = 6.0  # where a soft knee starts

LONGEST_LOOK_AHEAD_MS = 10.0


@dataclass(frozen=True)
class Piece:
    """What a structure may have besides: options, and where its parameters start; others start where they are."""

    options: Options
    starts: Sequence[Mapping[str, float]] = ({},)


PIECES = {
    "parallel mix": Piece({"mix": 0.8}, ({"mix": 0.8}, {"mix": 0.5})),
    "look-ahead": Piece(
        {"look_ahead_ms": 1.0, "longest_look_ahead_ms": LONGEST_LOOK_AHEAD_MS},
        # what was fitted without it has an attack that comes too soon
        [{"look_ahead.look_ahead_ms": time, "smoother.attack_ms": time} for time in (0.5, 2.0, 5.0)],
    ),
}

LINKS = {None: "each channel its own", "max": "linked by the louder channel", "mean": "linked by the channels' mean"}


def links(present: str | None) -> dict[str, Piece]:
    """How else the channels of a stereo pair may be linked."""
    return {words: Piece({"link": link}) for link, words in LINKS.items() if link != present}


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
        "smoothed x, signed → curve": {"rectifier": "signed", "average": None, "smoothed": "amplitude"},
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
