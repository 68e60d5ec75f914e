"""A feed-forward compressor, limiter and expander.

    x ────────┬──────────────────────────── delay ──── × ──(mix)── y
              │                                        │
          side chain ── level ── static curve ── attack, release ── make-up

Attack and release smooth the gain, linear or in dB, after the curve, or the level, as an amplitude, a power or in dB, before
it: the two differ more than anything else between compressors. Each part is a module in a file of its own: `level_detector`,
`static_curve`, `attack_release`, `look_ahead`; times and rates in `time_constants`.

By default it is the published model, with its start: x² (at least −80 dB) averaged by a one-pole, a hard knee, ballistics on
the linear gain from 1.

Source: Yu, Mitcheltree, Carson, Bilbao, Reiss, Fazekas, "Differentiable All-pole Filters for Time-varying Audio Systems",
DAFx 2024, section 4.3; Giannoulis, Massberg, Reiss, "Digital Dynamic Range Compressor Design", J. Audio Eng. Soc. 60, 2012.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from diffapf.effects.attack_release import BALLISTICS, AttackRelease
from diffapf.effects.effect import Effect
from diffapf.effects.level_detector import AVERAGES, LINKS, RECTIFIERS, LevelDetector
from diffapf.effects.look_ahead import LookAhead
from diffapf.effects.static_curve import StaticCurve
from diffapf.effects.time_constants import milliseconds_of
from diffapf.filters._rows import REAL, check_signal
from diffapf.filters.apply_gain import apply_gain
from diffapf.filters.gain_curve import DECIBELS_OF_E
from diffapf.filters.methods import FrequencySampling, TimeDomain
from diffapf.parameters import Named, is_finite_number, share

SMOOTHED = ("gain", "gain_db", "amplitude", "power", "level_db")
AVERAGE_MS = milliseconds_of(0.3, 44_100)  # where the published training starts


@dataclass
class CompressorState:
    """Where a stream is: the memories of the parts that have one, in the order of the signal."""

    memories: tuple[Any, ...] = ()


class Compressor(Effect):
    """A compressor; see the module for the signal flow. With ratio=inf a limiter.

    Args:
        sample_rate: in Hz.
        threshold_db, ratio: of the static curve; ratio ≥ 1.
        attack_ms, release_ms: see `time_convention`; release_ms None: the attack's, one linear smoother.
        makeup_db: gain after it all.
        knee_db: the width of a knee; None: hard.
        expander_threshold_db, expander_ratio: an expander below, 0 < expander_ratio ≤ 1; None: none.
        rectifier: "square", "absolute", "half_wave" or "signed"; see `LevelDetector`.
        link: None, "max" or "mean" of the channels' levels, the dimension before time.
        average: before the ballistics, "one_pole", "boxcar" or None.
        average_ms: the one-pole's time, or the boxcar's length, which is not learned.
        smoothed: what attack and release act on: "gain", "gain_db", "amplitude", "power" or "level_db".
        ballistics: "branching" or "decoupled".
        look_ahead_ms: how much earlier than the audio the gain comes; None: not at all.
        longest_look_ahead_ms: what the latency is made for; the look-ahead by default.
        mix: the compressed part, 0 to 1, the rest dry; None: all, and nothing to learn.
        floor_db: levels below count as that.
        time_convention: c in α = 1 − exp(−c · 1000/(t · sample_rate)), positive: 2.2, 1 or 2π; see `time_constants`.
        method: `TimeDomain()` or `FrequencySampling()`; the latter needs release_ms=None.

    Raises:
        ValueError: an argument outside what is said here; the message names it.

    >>> compressor = Compressor(44100, threshold_db=-30.0, ratio=4.0, attack_ms=5.0, release_ms=100.0)
    >>> compressor(torch.randn(2, 4410)).shape
    torch.Size([2, 4410])
    """

    def __init__(
        self,
        sample_rate: float,
        threshold_db: float = -10.0,
        ratio: float = 2.0,
        attack_ms: float = 50.0,
        release_ms: float | None = 50.0,
        makeup_db: float = 0.0,
        knee_db: float | None = None,
        expander_threshold_db: float | None = None,
        expander_ratio: float | None = None,
        rectifier: str = "square",
        link: str | None = None,
        average: str | None = "one_pole",
        average_ms: float = AVERAGE_MS,
        smoothed: str = "gain",
        ballistics: str = "branching",
        look_ahead_ms: float | None = None,
        longest_look_ahead_ms: float | None = None,
        mix: float | None = None,
        floor_db: float = -80.0,
        time_convention: float = 2.2,
        method: TimeDomain | FrequencySampling | None = None,
    ):
        super().__init__(sample_rate)
        _check_one_of("rectifier", rectifier, RECTIFIERS)
        _check_one_of("link", link, LINKS)
        _check_one_of("average", average, AVERAGES)
        _check_one_of("smoothed", smoothed, SMOOTHED)
        _check_one_of("ballistics", ballistics, BALLISTICS)
        for name, value in (("threshold_db", threshold_db), ("makeup_db", makeup_db), ("floor_db", floor_db)):
            _check(name, value, is_finite_number(value), "a finite number, in dB")
        _check("ratio", ratio, _is_number(ratio) and ratio >= 1, "at least 1, or infinite for a limiter")
        positive = {"attack_ms": attack_ms, "average_ms": average_ms, "time_convention": time_convention}
        optional = {"release_ms": release_ms, "knee_db": knee_db, "look_ahead_ms": look_ahead_ms}
        optional["longest_look_ahead_ms"] = longest_look_ahead_ms
        positive |= {name: value for name, value in optional.items() if value is not None}
        for name, value in positive.items():
            _check(name, value, is_finite_number(value) and value > 0, "a positive number")
        if (expander_threshold_db is None) != (expander_ratio is None):
            raise ValueError("an expander needs expander_threshold_db and expander_ratio: give both or neither")
        if expander_ratio is not None:
            _check("expander_threshold_db", expander_threshold_db, is_finite_number(expander_threshold_db), "in dB")
            _check(
                "expander_ratio", expander_ratio, _is_number(expander_ratio) and 0 < expander_ratio <= 1, "in (0, 1]"
            )
        if mix is not None:
            _check("mix", mix, _is_number(mix) and 0 <= mix <= 1, "between 0 and 1")
        if longest_look_ahead_ms is not None and (look_ahead_ms is None or look_ahead_ms > longest_look_ahead_ms):
            raise ValueError(
                f"longest_look_ahead_ms must be at least look_ahead_ms, got {longest_look_ahead_ms} and {look_ahead_ms}"
            )
        self.smoothed = smoothed
        self.detector = LevelDetector(sample_rate, rectifier, link, average, average_ms, floor_db, time_convention)
        self.curve = StaticCurve(threshold_db, ratio, knee_db, expander_threshold_db, expander_ratio)
        self.smoother = AttackRelease(sample_rate, attack_ms, release_ms, ballistics, time_convention)
        self.look_ahead = None
        if look_ahead_ms is not None:
            self.look_ahead = LookAhead(sample_rate, look_ahead_ms, longest_look_ahead_ms or look_ahead_ms)
        self.makeup_db = Named(makeup_db, "dB", -24.0, 24.0)
        self.mix = None if mix is None else Named(mix, "", 0.0, 1.0, mapping=share)
        self.method = method or TimeDomain()

    @property
    def latency(self) -> int:
        """How many samples the output comes later than the input: 0 without look-ahead."""
        return 0 if self.look_ahead is None else self.look_ahead.latency

    def configuration(self) -> dict[str, Any]:
        def value(number: Named | None) -> float | None:
            return None if number is None else number().item()

        detector, curve, smoother, look_ahead = self.detector, self.curve, self.smoother, self.look_ahead
        average_ms = detector.boxcar_ms if detector.average_ms is None else detector.average_ms().item()
        return {
            "ratio": math.inf if curve.ratio is None else curve.ratio().item(),
            "release_ms": value(smoother.release_ms),
            "knee_db": value(curve.knee_db),
            "expander_threshold_db": value(curve.expander_threshold_db),
            "expander_ratio": value(curve.expander_ratio),
            "rectifier": detector.rectifier,
            "link": detector.link,
            "average": detector.average,
            "average_ms": AVERAGE_MS if average_ms is None else average_ms,
            "smoothed": self.smoothed,
            "ballistics": smoother.kind,
            "look_ahead_ms": None
            if look_ahead is None
            else min(look_ahead.look_ahead_ms().item(), look_ahead.longest_ms),
            "longest_look_ahead_ms": None if look_ahead is None else look_ahead.longest_ms,
            "mix": value(self.mix),
            "floor_db": detector.floor_db,
            "time_convention": smoother.time_convention,
        }

    def forward(self, x: Tensor, side_chain: Tensor | None = None) -> Tensor:
        """Compresses `(..., time)` by its own level, or by that of a side chain of the same shape."""
        return self._compress(x, side_chain, self.method, TimeDomain())

    def run(
        self, x: Tensor, state: CompressorState | None = None, side_chain: Tensor | None = None
    ) -> tuple[Tensor, CompressorState]:
        """The next block of a signal in the time domain, differentiable, also through the state."""
        block = _Block(state.memories if state else ())
        y = self._compress(x, side_chain, block, block)
        return y, CompressorState(tuple(block.after))

    def initial_state(self) -> CompressorState:
        return CompressorState()

    @torch.no_grad()
    def process(
        self, block: Tensor, state: CompressorState, side_chain: Tensor | None = None
    ) -> tuple[Tensor, CompressorState]:
        """The next block of a stream, in the time domain: any cut into blocks gives what `forward` gives of the whole."""
        if isinstance(block, Tensor) and block.dim() and block.shape[-1] == 0:
            return block, state
        return self.run(block, state, side_chain)

    def gain_db(self, x: Tensor, side_chain: Tensor | None = None) -> Tensor:
        """The gain in dB at each sample, without make-up, mix and look-ahead; 0 is no compression."""
        check_signal("x", x, dtypes=REAL)
        side_chain = self._side_chain(x, side_chain)
        gain = self._gain(side_chain, self.method, TimeDomain())
        return gain if self.smoothed == "gain_db" else DECIBELS_OF_E * torch.log(gain)

    def _side_chain(self, x: Tensor, side_chain: Tensor | None) -> Tensor:
        if side_chain is None:
            return x
        check_signal("side_chain", side_chain, x)
        if side_chain.shape != x.shape:
            raise ValueError(f"side_chain must have x's shape {tuple(x.shape)}, got {tuple(side_chain.shape)}")
        return side_chain

    def _compress(self, x: Tensor, side_chain: Tensor | None, smooth: Any, run: Any) -> Tensor:
        """`smooth` applies what is linear or ballistic, by a method; `run` what is no recursion."""
        check_signal("x", x, dtypes=REAL)
        gain = self._gain(self._side_chain(x, side_chain), smooth, run)
        decibels = self.smoothed == "gain_db"
        if self.look_ahead is not None:
            gain = run(gain, self.look_ahead.gain_delay(0.0 if decibels else 1.0, x.dtype))
            x = run(x, self.look_ahead.audio_delay())
        wet, dry = 10 ** (self.makeup_db() / 20), torch.zeros_like(self.makeup_db.reference)
        if self.mix is not None:
            dry, wet = 1 - self.mix(), self.mix() * wet
        return apply_gain(x, gain, dry.to(x.dtype), wet.to(x.dtype), decibels)

    def _gain(self, side_chain: Tensor, smooth: Any, run: Any) -> Tensor:
        """What attack and release, and the curve, make of the level."""
        level, unit = self.detector(side_chain, smooth, run), self.detector.unit
        if self.smoothed in ("gain", "gain_db"):
            decibels = self.smoothed == "gain_db"
            gain = self.curve(level, unit, decibels)
            return smooth(gain, self.smoother.filter(gain.dtype, 0.0 if decibels else 1.0, of_gain=True))
        level, unit, rest = self._converted(level, unit)
        level = smooth(level, self.smoother.filter(level.dtype, rest, of_gain=False))
        return self.curve(level, unit, decibels=False)

    def _converted(self, level: Tensor, unit: str) -> tuple[Tensor, str, float]:
        """The level as attack and release take it, its unit, and where it rests."""
        if self.smoothed == "level_db":
            factor = 10.0 if unit == "power" else 20.0
            floor = 10 ** (self.detector.floor_db / factor)
            return factor * torch.log10(level.clamp_min(floor)), "dB", self.detector.floor_db
        if self.smoothed == unit:
            return level, unit, 0.0
        tiny = torch.finfo(level.dtype).tiny  # the square root has no slope at 0
        return (level.square() if self.smoothed == "power" else level.clamp_min(tiny).sqrt()), self.smoothed, 0.0


class _Block:
    """A method that takes up each part's memory where the block before left it."""

    def __init__(self, before: tuple[Any, ...]):
        self.before, self.after = list(before), []  # type: ignore[var-annotated]

    def __call__(self, x: Tensor, part: Any) -> Tensor:
        y, memory = part.run(x, self.before.pop(0) if self.before else None)
        self.after.append(memory)
        return y


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _check(name: str, value: object, fits: bool, needed: str) -> None:
    if not fits:
        raise ValueError(f"{name} must be {needed}, got {value!r}")


def _check_one_of(name: str, value: object, choices: Collection[object]) -> None:
    if not (value is None or isinstance(value, str)) or value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}")
