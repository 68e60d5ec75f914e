"""A compressor's output and its tangents, block after block, by the operators' own rules: for Levenberg–Marquardt.

The parameters come in the order of the signal (average, curve, attack and release, look-ahead, make-up, mix), so that each
stage has the tangents of what lies before it; see `filters/_moving.py`. The numbers that operators take are differentiated
once for all blocks.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from diffapf.effects.compressor import Compressor
from diffapf.effects.level_detector import Boxcar
from diffapf.effects.look_ahead import REACH
from diffapf.effects.time_constants import smoothing_rate
from diffapf.filters._moving import Moving, push, still
from diffapf.filters.apply_gain import ApplyGain
from diffapf.filters.ballistics import Ballistics
from diffapf.filters.control_rate import FIXED
from diffapf.filters.fir import FIR
from diffapf.filters.gain_curve import DECIBELS_OF_E, UNITS, GainCurve
from diffapf.identification.moving_numbers import Numbers


def numbers_of(compressor: Compressor) -> dict[str, Tensor]:
    """What the operators take, with one row: channels are taken one by one."""
    detector, curve, smoother = compressor.detector, compressor.curve, compressor.smoother
    threshold = curve.threshold_db()
    zero = torch.zeros_like(threshold)
    numbers = [
        threshold,
        zero + 1 if curve.ratio is None else 1 - 1 / curve.ratio(),
        zero if curve.knee_db is None else curve.knee_db(),
    ]
    if curve.expander_threshold_db is not None and curve.expander_ratio is not None:
        numbers += [curve.expander_threshold_db(), 1 / curve.expander_ratio() - 1]
    dry, wet = zero, 10 ** (compressor.makeup_db() / 20)
    if compressor.mix is not None:
        dry, wet = 1 - compressor.mix(), compressor.mix() * wet
    found = {"curve": torch.stack(numbers), "gain": torch.stack([dry, wet])}
    if compressor.look_ahead is not None:
        delay = compressor.look_ahead.gain_delay(0.0, torch.float64)
        found["whole"], found["taps"] = delay.whole(), delay.taps()
    times = {"average": detector.average_ms, "attack": smoother.attack_ms, "release": smoother.release_ms}
    for name, time in times.items():
        if time is not None:
            found[name] = smoothing_rate(time(), compressor.sample_rate, smoother.time_convention)
    return {name: value[None] for name, value in found.items()}


def moving_channels(
    compressor: Compressor, numbers: Numbers, x: Tensor, memory: list[Any]
) -> tuple[list[Moving], list[Any]]:
    """The outputs for a block `(channels, time)`, each of one row, and the memory for the next; the first one's is empty."""
    path = _Path(compressor, numbers, list(memory))
    level = compressor.detector.linked(compressor.detector.rectified(x))
    gains = [path.gain(row) for row in level.split(1)]
    late = path.late(x)
    kind = (1 / DECIBELS_OF_E if compressor.smoothed == "gain_db" else 0.0,)
    gains *= len(x) // len(gains)  # linked channels have one
    return [
        push(ApplyGain, row, gain, numbers["gain"], kind) for row, gain in zip(late.split(1), gains, strict=True)
    ], path.after


class _Path:
    """As `Compressor._compress` goes, with the parts' memories."""

    def __init__(self, compressor: Compressor, numbers: Numbers, before: list[Any]):
        self.compressor, self.numbers, self.before = compressor, numbers, before
        self.after: list[Any] = []

    def gain(self, level: Tensor) -> Moving:
        """Of one channel's level, as late as look-ahead has it."""
        return self._delayed(self._of_level(still(level)))

    def late(self, x: Tensor) -> Tensor:
        """The audio, as late as look-ahead has it."""
        look_ahead = self.compressor.look_ahead
        if look_ahead is None:
            return x
        y, memory = look_ahead.audio_delay().run(x, self.before.pop(0) if self.before else None)
        self.after.append(memory)
        return y

    def _delayed(self, gain: Moving) -> Moving:
        look_ahead = self.compressor.look_ahead
        if look_ahead is None:
            return gain
        rest = 0.0 if self.compressor.smoothed == "gain_db" else 1.0
        past = look_ahead.latency + REACH
        taps = Moving(self.numbers["taps"].value[:, None], self.numbers["taps"].tangents[:, None])
        directions = max(gain.directions, taps.directions)
        before = self.before.pop(0) if self.before else still(torch.full_like(gain.value[:, :1], rest).expand(1, past))
        value = torch.cat([before.value, gain.value], 1)
        known = Moving(value, torch.cat([before.along(directions), gain.along(directions)], 1))
        self.after.append(known[value.shape[1] - past :])
        first = past - int(self.numbers["whole"].value) - REACH  # of what the taps read, oldest first
        read = known[first : first + gain.value.shape[1] + 2 * REACH - 1]
        by_gain = FIR.forward(read.tangents.contiguous(), taps.value, FIXED)
        by_taps = FIR.forward(read.value.repeat(directions, 1), taps.along(directions), FIXED)
        return Moving(FIR.forward(read.value.contiguous(), taps.value, FIXED), by_gain + by_taps)

    def _of_level(self, level: Moving) -> Moving:
        detector, smoothed = self.compressor.detector, self.compressor.smoothed
        if detector.average_ms is not None:
            rate = self.numbers["average"]
            level = self._smoothed(level, rate, rate, 0.0)
        elif detector.boxcar_ms is not None:
            length = max(1, round(detector.boxcar_ms * detector.sample_rate / 1000))
            value, memory = Boxcar(length).run(level.value, self.before.pop(0) if self.before else None)
            self.after.append(memory)
            level = still(value)
        if smoothed in ("gain", "gain_db"):
            decibels = smoothed == "gain_db"
            return self._attack_release(self._curve(level, detector.unit, decibels), 0.0 if decibels else 1.0, True)
        rest = detector.floor_db if smoothed == "level_db" else 0.0
        level = self._attack_release(self._converted(level), rest, False)
        return self._curve(level, "dB" if smoothed == "level_db" else smoothed, False)

    def _curve(self, level: Moving, unit: str, decibels: bool) -> Moving:
        kind = UNITS[unit], 0.0 if decibels else 1 / DECIBELS_OF_E
        return push(GainCurve, level.or_still, self.numbers["curve"], kind)

    def _converted(self, level: Moving) -> Moving:
        """The level as attack and release take it."""
        detector, smoothed = self.compressor.detector, self.compressor.smoothed
        if smoothed == "level_db":
            factor = 10.0 if detector.unit == "power" else 20.0
            floor = 10 ** (detector.floor_db / factor)
            return level.map(
                lambda value: factor * torch.log10(value.clamp_min(floor)),
                lambda value, _: (value >= floor) * factor / math.log(10) / value,
            )
        if smoothed == detector.unit:
            return level
        if smoothed == "power":
            return level.map(torch.square, lambda value, _: 2 * value)
        tiny = torch.finfo(level.value.dtype).tiny
        return level.map(lambda value: value.clamp_min(tiny).sqrt(), lambda _, root: 0.5 / root)

    def _attack_release(self, level: Moving, rest: float, of_gain: bool) -> Moving:
        attack = self.numbers["attack"]
        release = self.numbers.get("release", attack)
        if self.compressor.smoother.kind == "branching" or release is attack:
            falls, rises = (attack, release) if of_gain else (release, attack)
            return self._smoothed(level, falls, rises, rest)
        instant = still(torch.ones_like(attack.value))
        held = self._smoothed(level, *((instant, release) if of_gain else (release, instant)), rest)
        return self._smoothed(held, attack, attack, rest)

    def _smoothed(self, level: Moving, falls: Moving, rises: Moving, rest: float) -> Moving:
        start = self.before.pop(0) if self.before else still(torch.full_like(falls.value, rest))
        y = push(Ballistics, level.or_still, falls, rises, start)
        self.after.append(y[-1])
        return y
