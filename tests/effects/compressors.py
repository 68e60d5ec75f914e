"""Compressors for the tests, and the compressor's equations as plain NumPy loops, to compare with."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.func import functional_call

from diffapf import Compressor
from tests.filters.oracles import normal

Array = NDArray[np.float64]
SAMPLE_RATE = 8000

# Times and thresholds at which a few hundred samples of noise are compressed and released.
AUDIBLE = {
    "threshold_db": -12.0,
    "ratio": 4.0,
    "attack_ms": 1.5,
    "release_ms": 9.0,
    "makeup_db": 3.0,
    "average_ms": 0.6,
}

# One of each structure.
STRUCTURES: dict[str, dict[str, Any]] = {
    "published": {},
    "published, gain in dB": {"smoothed": "gain_db"},
    "tied": {"release_ms": None},
    "absolute, no average": {"rectifier": "absolute", "average": None, "floor_db": -160.0},
    "peak level": {"rectifier": "absolute", "average": None, "smoothed": "amplitude", "floor_db": -200.0},
    "half-wave peak": {"rectifier": "half_wave", "average": None, "smoothed": "amplitude", "floor_db": -200.0},
    "signed peak": {"rectifier": "signed", "average": None, "smoothed": "amplitude"},
    "power": {"average": None, "smoothed": "power"},
    "power of an absolute value": {"rectifier": "absolute", "smoothed": "power"},
    "RMS amplitude": {"smoothed": "amplitude"},
    "boxcar RMS, knee": {"average": "boxcar", "average_ms": 2.0, "smoothed": "amplitude", "knee_db": 6.0},
    "level in dB": {"smoothed": "level_db", "knee_db": 3.0},
    "decoupled level in dB": {"smoothed": "level_db", "ballistics": "decoupled"},
    "decoupled gain in dB": {"smoothed": "gain_db", "ballistics": "decoupled", "knee_db": 3.0},
    "limiter": {"ratio": math.inf, "rectifier": "absolute", "average": None},
    "expander": {"expander_threshold_db": -25.0, "expander_ratio": 0.5, "knee_db": 2.0, "smoothed": "gain_db"},
    "linked by the loudest": {"link": "max", "mix": 0.6},
    "linked by the mean": {"link": "mean", "smoothed": "amplitude"},
    "look-ahead": {"look_ahead_ms": 1.3, "longest_look_ahead_ms": 2.0},
    "look-ahead in dB, mix": {"look_ahead_ms": 0.7, "longest_look_ahead_ms": 1.2, "smoothed": "gain_db", "mix": 0.4},
    "another convention": {"time_convention": 1.0},
}


def small_compressor(sample_rate: float = SAMPLE_RATE, **arguments: Any) -> Compressor:
    return Compressor(sample_rate, **{**AUDIBLE, **arguments}).double()


def bursts(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    """Noise that swells and fades, so that there are attacks and releases."""
    phase = torch.arange(shape[-1], dtype=torch.float64) / 60
    return ((0.02 + 0.5 * torch.sin(phase).square()) * normal(*shape, seed=seed)).to(dtype)


def as_function(compressor: Compressor) -> tuple[Callable[..., Tensor], tuple[Tensor, ...]]:
    """The compressor as a function of the audio and its learnable numbers, and where these are now."""
    learnable = {name: value for name, value in compressor.named_parameters() if value.requires_grad}
    values = tuple(value.detach().clone().requires_grad_() for value in learnable.values())

    def function(x: Tensor, *values: Tensor) -> Tensor:
        return functional_call(compressor, dict(zip(learnable, values, strict=True)), (x,))

    return function, values


# ------------------------------------------------------------------------------------------------------- the reference


def compressor_loop(arguments: dict[str, Any], x: Array, side_chain: Array | None = None) -> Array:
    """What a compressor with these arguments gives for `(channels, time)`, from its equations, a sample at a time."""
    a = {"link": None, "average": "one_pole", "rectifier": "square", "smoothed": "gain", "ballistics": "branching"}
    a |= {"knee_db": 0.0, "mix": 1.0, "floor_db": -80.0, "time_convention": 2.2, "look_ahead_ms": None}
    a |= {"expander_threshold_db": None, **AUDIBLE, **arguments}
    level = rectified(a, x if side_chain is None else side_chain)
    gains = np.stack([gain_of(a, row) for row in level])
    if a["look_ahead_ms"] is not None:
        x, gains = looked_ahead(a, x, gains)
    mix = a["mix"]
    return x * (1 - mix + mix * 10 ** (a["makeup_db"] / 20) * 10 ** (gains / 20))


def rectified(a: dict[str, Any], x: Array) -> Array:
    kinds = {"square": x**2, "absolute": np.abs(x), "half_wave": np.maximum(x, 0.0), "signed": x}
    level, power = kinds[a["rectifier"]], a["rectifier"] == "square"
    if a["rectifier"] != "signed":
        level = np.maximum(level, 10 ** (a["floor_db"] / (10 if power else 20)))
    if a["link"]:
        level = np.broadcast_to({"max": np.max, "mean": np.mean}[a["link"]](level, 0, keepdims=True), level.shape)
    if a["average"] == "one_pole":
        return np.stack([one_pole(row, rate(a, "average_ms"), 0.0) for row in level])
    if a["average"] == "boxcar":
        length = round(a["average_ms"] * SAMPLE_RATE / 1000)
        return np.stack([np.convolve(row, np.full(length, 1 / length))[: len(row)] for row in level])
    return level


def gain_of(a: dict[str, Any], level: Array) -> Array:
    """The gain in dB of one row."""
    amplitude = np.sqrt(level) if a["rectifier"] == "square" else level
    smoothed = a["smoothed"]
    with np.errstate(divide="ignore"):
        if smoothed == "gain":
            linear = 10 ** (curve_loop(a, 20 * np.log10(amplitude)) / 20)
            return 20 * np.log10(smoothed_loop(a, linear, 1.0, of_gain=True))
        if smoothed == "gain_db":
            return smoothed_loop(a, curve_loop(a, 20 * np.log10(amplitude)), 0.0, of_gain=True)
        if smoothed == "level_db":
            loudness = np.maximum(20 * np.log10(amplitude), a["floor_db"])
            return curve_loop(a, smoothed_loop(a, loudness, a["floor_db"], of_gain=False))
        exponent = 2 if smoothed == "power" else 1
        level = smoothed_loop(a, amplitude**exponent, 0.0, of_gain=False)
        return curve_loop(a, 20 / exponent * np.log10(np.maximum(level, 0.0)))


def curve_loop(a: dict[str, Any], loudness: Array) -> Array:
    def ramp(u: float) -> float:
        width = a["knee_db"]
        return (u + width / 2) ** 2 / (2 * width) if 2 * abs(u) < width else max(u, 0.0)

    gain = [-(1 - 1 / a["ratio"]) * ramp(value - a["threshold_db"]) for value in loudness]
    if a["expander_threshold_db"] is not None:
        below = [(1 / a["expander_ratio"] - 1) * ramp(a["expander_threshold_db"] - value) for value in loudness]
        gain = [one - other for one, other in zip(gain, below, strict=True)]
    return np.array(gain)


def smoothed_loop(a: dict[str, Any], signal: Array, past: float, of_gain: bool) -> Array:
    attack = rate(a, "attack_ms")
    if a["release_ms"] is None:
        return one_pole(signal, attack, past)
    release, peak, y = rate(a, "release_ms"), past, []
    for now in signal:
        if a["ballistics"] == "decoupled":
            released = peak + release * (now - peak)
            peak = min(now, released) if of_gain else max(now, released)
            past += attack * (peak - past)
        else:
            attacks = now < past if of_gain else now > past
            past += (attack if attacks else release) * (now - past)
        y.append(past)
    return np.array(y)


def one_pole(signal: Array, alpha: float, past: float) -> Array:
    y = []
    for now in signal:
        past += alpha * (now - past)
        y.append(past)
    return np.array(y)


def rate(a: dict[str, Any], name: str) -> float:
    return 1 - math.exp(-a["time_convention"] * 1000 / (a[name] * SAMPLE_RATE))


def looked_ahead(a: dict[str, Any], x: Array, gains: Array) -> tuple[Array, Array]:
    """The audio late by the latency; the gain, linear unless it is smoothed in dB, late by less, between samples."""
    reach, decibels = 8, a["smoothed"] == "gain_db"
    latency = math.ceil(a.get("longest_look_ahead_ms", a["look_ahead_ms"]) * SAMPLE_RATE / 1000) + reach
    late = latency - a["look_ahead_ms"] * SAMPLE_RATE / 1000
    rest = 0.0 if decibels else 1.0
    signal = gains if decibels else 10 ** (gains / 20)
    found = np.empty_like(signal)
    for n in range(x.shape[1]):
        at = n - late
        around = np.arange(math.floor(at) - 2 * reach, math.floor(at) + 2 * reach + 1)
        t = at - around
        window = np.where((t >= -reach - 1e-9) & (t < reach + 1 - 1e-9), np.cos(np.pi / 2 * t / (reach + 1)) ** 2, 0.0)
        near = (around >= math.ceil(at) - reach) & (around <= math.ceil(at) + reach - 1)
        taps = np.where(near, np.sinc(t) * window, 0.0)
        values = np.where(around < 0, rest, signal[:, np.clip(around, 0, None) % x.shape[1]])
        found[:, n] = values @ (taps / taps.sum())
    delayed = np.pad(x, ((0, 0), (latency, 0)))[:, : x.shape[1]]
    return delayed, found if decibels else 20 * np.log10(found)
