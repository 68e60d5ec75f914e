"""A ping-pong delay fitted to a dry and a wet recording.

The envelope of the response between them says where the repeats are (`echo_times.py`), within the time by which the low-pass
is late. From there the waveforms are matched by Levenberg–Marquardt: first their lowest part alone, where a period is long,
from several low-passes, then all of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from diffapf.effects.delay import PingPongDelay
from diffapf.filters.circle_sampling import CircleSampling
from diffapf.identification.echo_times import echo_envelope, peaks
from diffapf.identification.fit import Fit
from diffapf.identification.modules import Estimate, estimates, fit_module
from diffapf.identification.spans import channels_of
from diffapf.parameters import NamedSeries

TIMES_MS = (100.0, 1000.0)
LONGER = 1.1  # than the longest time: how much of the response is looked at
COARSE = 4  # times lower sample rate, for the first descent
LOWPASS_STARTS = ((1500.0, 0.707), (4500.0, 0.707))  # Hz, Q
FINE_HZ, FINE_QS = (3000.0, 5000.0, 8000.0, 12_000.0), (0.707, 1.2)
QS_INSIDE = (0.55, 1.9)  # at an end of its range a number stays
COARSE_ITERATIONS, ITERATIONS = 12, 20
TOLERANCE = 1e-3  # relative gain of the cost: far below what a sample's part in d would still gain
SHORTEST_S = 2.0


class Mixed(nn.Module):
    """The sound itself on each of the channels, and its repeats: what a wet recording is."""

    def __init__(self, delay: PingPongDelay, direct: Sequence[float]):
        super().__init__()
        self.delay, self.direct = delay, NamedSeries(direct, "")

    def forward(self, x: Tensor) -> Tensor:
        """`(time,)` → `(channels, time)`."""
        repeats = self.delay(x)[: len(self.direct)]
        return self.direct().to(x.dtype)[:, None] * x + repeats


@dataclass(frozen=True)
class DelayFit:
    """What `fit_delay` found. esr: Σ (y − ŷ)²/Σ y² of what is fitted to; direct: the sound's own gain on each channel."""

    delay: PingPongDelay
    direct: list[float]
    esr: float
    estimates: list[Estimate]


def fit_delay(
    dry: Tensor,
    wet: Tensor,
    sample_rate: float,
    times_ms: tuple[float, float] = TIMES_MS,
) -> DelayFit:
    """Fits a ping-pong delay, and the sound's own gain, to what went in and what came out.

    Args:
        dry: `(time,)`, full scale 1, from at least 2 s on; a few seconds are enough.
        wet: `(time,)` or `(2, time)`, recorded together: the sound and its repeats. Of one channel, pans stay in the centre.
        sample_rate: in Hz.
        times_ms: the range of the delay, in which no start is needed.

    Raises:
        ValueError, TypeError: signals of other shapes or lengths, silent ones, less than 2 s; no repeat in the range.

    >>> from data.voice import singing
    >>> dry = torch.from_numpy(singing(3.0))
    >>> hidden = PingPongDelay(44100, time_ms=234.567, feedback=0.4, gain=0.5, lowpass_hz=5000.0).double()
    >>> with torch.no_grad():
    ...     wet = dry + hidden(dry)
    >>> print(f"{fit_delay(dry, wet, 44100).delay.time_ms():.3f}")
    234.567
    """
    dry, wet = channels_of("dry", dry, most=1), torch.atleast_2d(channels_of("wet", wet))
    if dry.shape[-1] != wet.shape[-1]:
        raise ValueError(f"dry and wet must be of one length, got {dry.shape[-1]} and {wet.shape[-1]} samples")
    if dry.shape[-1] < SHORTEST_S * sample_rate:
        raise ValueError(f"dry and wet have {dry.shape[-1] / sample_rate:.2f} s: give at least {SHORTEST_S:g} s")
    for name, signal in (("dry", dry), ("wet", wet)):
        if not signal.any():
            raise ValueError(f"the {name} signal is silent")
    starts = _starts(dry, wet, sample_rate, times_ms)
    low_dry, low_wet = (_lower(signal, COARSE) for signal in (dry, wet))
    coarse = [
        _descended(low_dry, low_wet, sample_rate / COARSE, at, lowpass, q, times_ms)
        for at in starts
        for lowpass, q in LOWPASS_STARTS
    ]
    begin, _ = min(coarse, key=lambda found: found[1].cost)
    mixed = _at_full_rate(begin, dry, wet, sample_rate, times_ms)
    fit = _descend(mixed, dry, wet, ITERATIONS)
    found = [estimate for estimate in estimates(mixed, fit) if estimate.name.startswith("delay.")]
    return DelayFit(mixed.delay, mixed.direct().tolist(), fit.cost / float(wet.square().sum()), found)


def _starts(dry: Tensor, wet: Tensor, sample_rate: float, times_ms: tuple[float, float]) -> list[float]:
    """In milliseconds."""
    reached = times_ms[0] / 1000, times_ms[1] / 1000
    found = peaks(echo_envelope(dry, wet, sample_rate, LONGER * reached[1]), sample_rate, reached)
    if not found:
        raise ValueError(f"there is no repeat between {times_ms[0]:g} and {times_ms[1]:g} ms")
    return [1000 * each for each in found]


def _descended(
    dry: Tensor,
    wet: Tensor,
    sample_rate: float,
    at_ms: float,
    lowpass_hz: float,
    q: float,
    times_ms: tuple[float, float],
) -> tuple[Mixed, Fit]:
    """From a time at which a repeat seems to be, which is later than the delay by what such a low-pass takes."""
    time_ms = _inside(at_ms - _late_ms(lowpass_hz, q, sample_rate), times_ms)
    delay = PingPongDelay(sample_rate, time_ms, 0.3, 0.3, lowpass_hz, q, 0.4, 0.6, times_ms)
    gains = (wet @ dry / dry.square().sum()).tolist()
    mixed = Mixed(delay, gains).double()
    return mixed, _descend(mixed, dry, wet, COARSE_ITERATIONS)


def _at_full_rate(begin: Mixed, dry: Tensor, wet: Tensor, sample_rate: float, times_ms: tuple[float, float]) -> Mixed:
    """What was found at a lower sample rate, at the recordings' own, with the best of some low-passes: it hears few."""
    found = {spec.name: spec.value for spec in begin.delay.parameters_spec()}
    candidates = [(found["lowpass_hz"], found["q"]), *((lowpass, q) for lowpass in FINE_HZ for q in FINE_QS)]
    zero_ms = found["time_ms"] + _late_ms(found["lowpass_hz"], found["q"], begin.delay.sample_rate)
    best, lowest = begin, math.inf
    for lowpass, q in candidates:
        delay = PingPongDelay(sample_rate, times_ms=times_ms)
        highest = delay.lowpass_hz.maximum
        assert highest is not None
        inside = {"lowpass_hz": min(lowpass, 0.9 * highest), "q": min(max(q, QS_INSIDE[0]), QS_INSIDE[1])}
        time_ms = _inside(zero_ms - _late_ms(**inside, sample_rate=sample_rate), times_ms)
        delay.set_parameters({**found, **inside, "time_ms": time_ms})
        mixed = Mixed(delay, begin.direct().tolist()).double()
        delay.method = CircleSampling(dry.shape[-1])
        with torch.no_grad():
            cost = float((mixed(dry) - wet).square().sum())
        if cost < lowest:
            best, lowest = mixed, cost
    return best


def _late_ms(lowpass_hz: float, q: float, sample_rate: float) -> float:
    """By how much a low-pass is late at 0 Hz."""
    return 1000 / (2 * q * sample_rate * math.tan(math.pi * lowpass_hz / sample_rate))


def _inside(time_ms: float, times_ms: tuple[float, float]) -> float:
    """At an end of its range it would stay."""
    return min(max(time_ms, times_ms[0] + 1e-3), times_ms[1] - 1e-3)


def _descend(mixed: Mixed, dry: Tensor, wet: Tensor, iterations: int) -> Fit:
    mixed.delay.method = CircleSampling(dry.shape[-1])
    centred = ["delay.odd_pan", "delay.even_pan"] if len(wet) == 1 else []
    if centred:
        mixed.delay.set_parameters({"odd_pan": 0.5, "even_pan": 0.5})
    return fit_module(
        mixed, lambda module: module(dry) - wet, frozen=centred, iterations=iterations, tolerance=TOLERANCE
    )


def _lower(signal: Tensor, times: int) -> Tensor:
    """At a sample rate that is lower by so many times: the lowest part of its spectrum."""
    time = signal.shape[-1] // times
    spectrum = torch.fft.rfft(signal[..., : time * times])[..., : time // 2 + 1]
    return torch.fft.irfft(spectrum, time) / times
