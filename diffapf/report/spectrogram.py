"""Spectrograms of the tracks of a part: log frequency, dB, one scale for all of them."""

from __future__ import annotations

from dataclasses import dataclass

import matplotlib
import numpy as np

from diffapf.report.audio import Part, Track
from diffapf.report.png import data_uri, indexed_png
from diffapf.report.results import Curve
from diffapf.report.ticks import Tick, frequency_ticks, log_position, time_ticks

RANGE_DB = 90
"""What lies this far under the loudest bin is black."""

_COLUMNS, _ROWS = 640, 224
_COLOURS = 64  # steps of 1.4 dB: more cannot be told apart, and cost size
_LOWEST_HZ, _HIGHEST_HZ = 40.0, 20000.0
_WINDOW_SECONDS = 0.046
_LONGEST_PATH = 2000


@dataclass(frozen=True)
class Overlay:
    """A curve drawn on a spectrogram: an SVG path in a box of 100 by 100 that is stretched over the picture."""

    name: str
    path: str
    dashed: bool


@dataclass(frozen=True)
class Spectrogram:
    """A picture with its axes, and the curves on it."""

    track: str
    image: str
    time_ticks: list[Tick]
    frequency_ticks: list[Tick]
    overlays: list[Overlay]


def spectrograms(part: Part, curves: list[Curve]) -> list[Spectrogram]:
    """One spectrogram per track of a part; `curves` are those among which `over` names one of these tracks."""
    lowest, highest = _LOWEST_HZ, min(_HIGHEST_HZ, part.rate / 2)
    powers = [_log_frequency_power(track, part.rate, lowest, highest) for track in part.tracks]
    # The recordings set the scale: a prediction that exploded must not darken them.
    recorded = [p for p, track in zip(powers, part.tracks, strict=True) if track.name in ("dry", "target")]
    loudest = max(float(power.max()) for power in recorded or powers) or 1.0
    return [
        Spectrogram(
            track.name,
            data_uri(_image(power / loudest)),
            time_ticks(part.seconds),
            frequency_ticks(lowest, highest),
            _overlays(curves, f"{part.name}/{track.name}", part.seconds, lowest, highest),
        )
        for power, track in zip(powers, part.tracks, strict=True)
    ]


def is_drawable(curve: Curve) -> bool:
    """Whether a curve has the axes of a spectrogram, seconds and hertz."""
    return curve.x.unit == "s" and curve.y.unit == "Hz"


def colour_scale() -> str:
    """The colours from the quietest to the loudest, as the stops of a CSS gradient."""
    return ", ".join("#" + bytes(colour).hex() for colour in _palette()[::9])


def _log_frequency_power(track: Track, rate: int, lowest: float, highest: float) -> np.ndarray:
    """Power of shape (rows, columns), the highest frequency in the first row, each column amid its span of time."""
    samples = np.nan_to_num(track.samples, nan=0.0, posinf=0.0, neginf=0.0)
    size = 2 ** round(np.log2(_WINDOW_SECONDS * rate))
    padded = np.pad(samples, ((size // 2, size), (0, 0)))
    starts = ((np.arange(_COLUMNS) + 0.5) * len(samples) / _COLUMNS).astype(int)
    window = np.hanning(size)
    rows = _frequency_weights(size, rate, lowest, highest)
    power = np.zeros((_COLUMNS, size + 1))
    for channel in padded.T:
        frames = np.lib.stride_tricks.sliding_window_view(channel, size)[starts]
        power += np.abs(np.fft.rfft(frames * window, 2 * size)) ** 2
    return rows @ power.T


def _frequency_weights(size: int, rate: int, lowest: float, highest: float) -> np.ndarray:
    """A matrix (rows, bins) of triangles: interpolation where rows are finer than bins, an average where coarser."""
    bins = np.arange(size + 1)
    edges = np.geomspace(highest, lowest, _ROWS) / rate * 2 * size
    width = np.maximum(1.0, -np.gradient(edges))
    triangles = np.maximum(0.0, 1 - np.abs(bins - edges[:, None]) / width[:, None])
    return triangles / np.maximum(triangles.sum(1, keepdims=True), 1e-12)


def _image(power: np.ndarray) -> bytes:
    level = 10 * np.log10(np.maximum(power, 1e-30))
    indices = np.clip(np.round((level / RANGE_DB + 1) * (_COLOURS - 1)), 0, _COLOURS - 1)
    return indexed_png(indices.astype(np.uint8), _palette())


def _palette() -> np.ndarray:
    colours = matplotlib.colormaps["inferno"](np.linspace(0, 1, _COLOURS))[:, :3]
    return np.round(255 * colours).astype(np.uint8)


def _overlays(curves: list[Curve], track: str, seconds: float, lowest: float, highest: float) -> list[Overlay]:
    return [
        Overlay(series.name, _path(series.x, series.y, seconds, lowest, highest), series.style == "dashed")
        for curve in curves
        if curve.over == track and is_drawable(curve)
        for series in curve.series
    ]


def _path(x: np.ndarray, y: np.ndarray, seconds: float, lowest: float, highest: float) -> str:
    """The points that lie on the picture, joined; a gap where they leave it."""
    stride = -(-len(x) // _LONGEST_PATH)
    commands, joined = [], False
    for time, frequency in zip(x[::stride], y[::stride], strict=True):
        inside = 0 <= time <= seconds and lowest <= frequency <= highest  # false for NaN
        if inside:
            position = 100 - 100 * log_position(frequency, lowest, highest)
            commands.append(f"{'L' if joined else 'M'}{100 * time / seconds:.2f} {position:.2f}")
        joined = inside
    return "".join(commands)
