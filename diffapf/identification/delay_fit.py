"""A ping-pong delay fitted to a dry and a wet recording.

The envelope of the response between them says where the repeats are (`echo_times.py`), within the time by which the low-pass
is late. From there the waveforms are matched by Levenberg–Marquardt: first their lowest part alone, where a period is long,
from several low-passes, then all of them. Before that the files are aligned by the sound itself, where it is in both.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from diffapf.effects.delay import HIGHEST_OF_NYQUIST, LOWPASS_HZ, PingPongDelay, checked_times
from diffapf.filters.circle_sampling import CircleSampling
from diffapf.filters.methods import TimeDomain
from diffapf.identification.echo_times import DIRECT_S, echo_envelope, peaks
from diffapf.identification.finished_stages import FinishedStages
from diffapf.identification.fit import Fit
from diffapf.identification.modules import Estimate, estimates, fit_module
from diffapf.identification.offset import offset_candidates
from diffapf.identification.prefiltered_pair import MonoPair, Part
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
SEARCHED = 4.0  # times the longest time: how far a repeat is looked for that the range does not have
LOUDER = 2.0  # times the loudest in the range: such a repeat is the delay's
LONGEST_OFFSET_S = 0.05
HEARD, CLEARER = 0.01, 2.0  # a share of the wet signal's energy, and its ratio to that without an offset
NOTHING_LEFT = 1e-9  # of the wet signal's energy: rounding
FAINT = 0.1  # times the first repeat: the sound itself is not in the recording
EXPLAINED, UNEXPLAINED = 0.1, 0.1  # of what the sound itself leaves: no delay with less, another effect with more

Progress = Callable[[str, float], None]


class NoDelayError(ValueError):
    """No ping-pong delay of the range connects the files; the message says why."""


class Mixed(nn.Module):
    """The sound itself on each of the channels, and its repeats: what a wet recording is."""

    latency = 0

    def __init__(self, delay: PingPongDelay, direct: Sequence[float]):
        super().__init__()
        self.delay, self.direct = delay, NamedSeries(direct, "")

    def forward(self, x: Tensor) -> Tensor:
        """`(time,)` → `(channels, time)`."""
        repeats = self.delay(x)[: len(self.direct)]
        return self.direct().to(x.dtype)[:, None] * x + repeats


@dataclass(frozen=True)
class DelayFit:
    """What `fit_delay` found. esr: Σ (y − ŷ)²/Σ y² of what is fitted to; without: the same of the sound itself alone."""

    mixed: Mixed
    pair: MonoPair
    train: Part
    esr: float
    without: float
    estimates: list[Estimate]
    findings: list[str]
    interrupted: bool = False  # never: there is no fit before its end

    @property
    def delay(self) -> PingPongDelay:
        return self.mixed.delay

    @property
    def direct(self) -> list[float]:
        """The sound's own gain on each channel."""
        return self.mixed.direct().tolist()


def fit_delay(
    dry: Tensor,
    wet: Tensor,
    sample_rate: float,
    train: tuple[float, float] = (0.0, math.inf),
    times_ms: tuple[float, float] = TIMES_MS,
    progress: Progress | None = None,
    finished: FinishedStages | None = None,
) -> DelayFit:
    """Fits a ping-pong delay, and the sound's own gain, to what went in and what came out.

    Args:
        dry: `(time,)`, full scale 1, from at least 2 s on; a few seconds are enough.
        wet: `(time,)` or `(2, time)`, recorded together: the sound and its repeats. Of one channel, pans stay in the centre.
            Where the sound itself is in it, it may be late or early by 50 ms.
        sample_rate: in Hz.
        train: the part to fit to, from a time to another in seconds; all by default.
        times_ms: the range of the delay, in which no start is needed.
        progress: called with the name of a stage that begins, and the fraction of the whole that is done, 0 … 1.
        finished: where the first descent is kept once it is finished, and taken from if it was.

    Raises:
        NoDelayError: the wet signal is the sound itself, or its loudest repeat is outside the range, or none explains it.
        ValueError, TypeError: signals of other shapes or lengths, silent ones, less than 2 s.

    >>> from data.voice import singing
    >>> dry = torch.from_numpy(singing(3.0))
    >>> hidden = PingPongDelay(44100, time_ms=234.567, feedback=0.4, gain=0.5, lowpass_hz=5000.0).double()
    >>> with torch.no_grad():
    ...     wet = dry + hidden(dry)
    >>> print(f"{fit_delay(dry, wet, 44100).delay.time_ms():.3f}")
    234.567
    """
    report = progress or (lambda stage, fraction: None)
    report("where repeats are", 0.0)
    times_ms = checked_times(times_ms, sample_rate)
    part = _aligned_part(dry, wet, sample_rate, train)
    heard = _Heard.of(part)
    without = heard.without()
    starts = _starts(heard, sample_rate, times_ms)
    stages = finished or FinishedStages()

    def lowest_part() -> PingPongDelay:
        low = heard.lower(COARSE)
        attempts = [(at, *lowpass) for at in starts for lowpass in LOWPASS_STARTS]
        found = []
        for number, attempt in enumerate(attempts):
            report("the lowest part of the sound", 0.05 + 0.4 * number / len(attempts))
            found.append(_descended(low, sample_rate / COARSE, *attempt, times_ms))
        return min(found, key=lambda each: each[1].cost)[0].delay

    begin = stages.effect("lowest part", lowest_part)
    report("all of it", 0.45)
    mixed = _at_full_rate(begin, heard, sample_rate, times_ms)
    fit = _descend(mixed, heard, ITERATIONS)
    report("standard errors", 0.9)
    found = [estimate for estimate in estimates(mixed, fit) if estimate.name.startswith("delay.")]
    mixed.delay.method = TimeDomain()
    esr = fit.cost / heard.energy
    _check_explained(esr, without, times_ms)
    return DelayFit(mixed, part.pair, part, esr, without, found, _findings(mixed, part, esr, without))


def _aligned_part(dry: Tensor, wet: Tensor, sample_rate: float, train: tuple[float, float]) -> Part:
    """The training part, run through from the recording's start."""
    dry, wet = channels_of("dry", dry, most=1), channels_of("wet", wet)
    if dry.shape[-1] != wet.shape[-1]:
        raise ValueError(f"dry and wet must be of one length, got {dry.shape[-1]} and {wet.shape[-1]} samples")
    wet = torch.atleast_2d(wet)
    start = max(0.0, train[0])
    pair = MonoPair(dry, wet, sample_rate, _offset(dry, wet, sample_rate))
    part = pair.part(start, min(train[1], dry.shape[-1] / sample_rate), lead_in_s=start)
    seconds = max(part.stop_s - part.start_s, 0.0)
    if seconds < SHORTEST_S - LONGEST_OFFSET_S:
        raise ValueError(f"the training part has {seconds:.2f} s: give at least {SHORTEST_S:g} s")
    for name, signal in (("dry", part.dry), ("wet", part.counted(part.wet))):
        if not signal.any():
            raise ValueError(f"the {name} signal is silent")
    return part


def _offset(dry: Tensor, wet: Tensor, sample_rate: float) -> int:
    """How late the sound itself is in the wet signal; 0 where it is not heard clearly anywhere else."""
    loudest = wet[int(wet.square().sum(-1).argmax())]
    longest = min(round(LONGEST_OFFSET_S * sample_rate), len(dry) // 4)
    offset = offset_candidates(dry, loudest, longest, most=1)[0]
    share, at_once = (_share(dry, loudest, late) for late in (offset, 0))
    return offset if share > max(HEARD, CLEARER * at_once) else 0


def _share(dry: Tensor, wet: Tensor, late: int) -> float:
    """How much of the wet signal's energy is the dry one's, so many samples late."""
    length = len(dry) - abs(late)
    before, after = dry[max(0, -late) :][:length], wet[max(0, late) :][:length]
    energies = before.square().sum() * after.square().sum()
    return float((before @ after).square() / energies.clamp_min(torch.finfo(energies.dtype).tiny))


@dataclass(frozen=True)
class _Heard:
    """The two signals of a part; what is before sample `counts_from` is run through."""

    dry: Tensor
    wet: Tensor
    counts_from: int

    @classmethod
    def of(cls, part: Part) -> _Heard:
        return cls(part.dry, part.wet, part.first - part.lead_in)

    def counted(self, signal: Tensor) -> Tensor:
        return signal[..., self.counts_from :]

    @property
    def energy(self) -> float:
        return float(self.counted(self.wet).square().sum())

    def error(self, mixed: nn.Module) -> Tensor:
        return self.counted(mixed(self.dry) - self.wet)

    def direct(self) -> Tensor:
        """The gains by which the sound alone comes nearest."""
        dry = self.counted(self.dry)
        return self.counted(self.wet) @ dry / dry.square().sum()

    def without(self) -> float:
        """What the sound alone leaves of the wet signal, as an ESR."""
        rest = self.counted(self.wet - self.direct()[:, None] * self.dry)
        left = float(rest.square().sum()) / self.energy
        if left < NOTHING_LEFT:
            raise NoDelayError("the wet signal is the dry one, at another level at most: there is no repeat")
        return left

    def lower(self, times: int) -> _Heard:
        return _Heard(_lower(self.dry, times), _lower(self.wet, times), self.counts_from // times)


def _starts(heard: _Heard, sample_rate: float, times_ms: tuple[float, float]) -> list[float]:
    """In milliseconds."""
    reached, seconds = (times_ms[0] / 1000, times_ms[1] / 1000), heard.dry.shape[-1] / sample_rate
    longest = max(LONGER * reached[1], min(SEARCHED * reached[1], seconds / 2))
    envelope = echo_envelope(heard.dry, heard.wet, sample_rate, longest)
    found = peaks(envelope[: round(LONGER * reached[1] * sample_rate)], sample_rate, reached)
    anywhere = peaks(envelope, sample_rate, (DIRECT_S, longest), most=1)
    if not found:
        raise NoDelayError(f"there is no repeat between {times_ms[0]:g} and {times_ms[1]:g} ms")
    height, highest = (envelope[round(each[0] * sample_rate)] for each in (found, anywhere))
    if highest > LOUDER * height:
        raise NoDelayError(
            f"the loudest repeat is {1000 * anywhere[0]:.0f} ms late, and times between {times_ms[0]:g} and "
            f"{times_ms[1]:g} ms were looked for: give a range that has it"
        )
    return [1000 * each for each in found]


def _check_explained(esr: float, without: float, times_ms: tuple[float, float]) -> None:
    if esr > (1 - EXPLAINED) * without:
        raise NoDelayError(
            f"no ping-pong delay between {times_ms[0]:g} and {times_ms[1]:g} ms: the best one explains "
            f"{max(0.0, 1 - esr / without):.1%} of what the sound itself leaves of the wet signal"
        )


def _findings(mixed: Mixed, part: Part, esr: float, without: float) -> list[str]:
    levels = " and ".join(f"{gain:.3g}" for gain in mixed.direct().tolist())
    findings = [
        f"a ping-pong delay of {mixed.delay.time_ms().item():.3f} ms, and the sound itself times {levels}",
        f"The repeats explain {1 - esr / without:.2%} of what the sound itself leaves of the wet signal.",
    ]
    if esr > UNEXPLAINED * without:
        findings.append(f"They leave much unexplained: there is another effect, or noise{_or_an_offset(mixed)}.")
    if part.pair.offset:
        side = "late" if part.pair.offset > 0 else "early"
        findings.append(f"The wet file is {abs(part.pair.offset)} samples {side}; compensated.")
    if len(part.pair.wet) == 1:
        findings.append(
            "The wet file has one channel: where repeats are panned cannot be heard, they stay in the centre."
        )
    return findings


def _or_an_offset(mixed: Mixed) -> str:
    faint = max(map(abs, mixed.direct().tolist())) < FAINT * mixed.delay.gain().item()
    return ", or the files are not aligned, which repeats alone don't tell" if faint else ""


def _descended(
    heard: _Heard,
    sample_rate: float,
    at_ms: float,
    lowpass_hz: float,
    q: float,
    times_ms: tuple[float, float],
) -> tuple[Mixed, Fit]:
    """From a time at which a repeat seems to be, which is later than the delay by what such a low-pass takes."""
    lowpass_hz = min(lowpass_hz, _highest_hz(sample_rate))
    time_ms = _inside(at_ms - _late_ms(lowpass_hz, q, sample_rate), times_ms)
    delay = PingPongDelay(sample_rate, time_ms, 0.3, 0.3, lowpass_hz, q, 0.4, 0.6, times_ms)
    mixed = Mixed(delay, heard.direct().tolist()).double()
    return mixed, _descend(mixed, heard, COARSE_ITERATIONS)


def _at_full_rate(begin: PingPongDelay, heard: _Heard, sample_rate: float, times_ms: tuple[float, float]) -> Mixed:
    """What was found at a lower sample rate, at the recordings' own, with the best of some low-passes: it hears few."""
    found = {spec.name: spec.value for spec in begin.parameters_spec()}
    candidates = [(found["lowpass_hz"], found["q"]), *((lowpass, q) for lowpass in FINE_HZ for q in FINE_QS)]
    zero_ms = found["time_ms"] + _late_ms(found["lowpass_hz"], found["q"], begin.sample_rate)
    best, lowest = None, math.inf
    for lowpass, q in candidates:
        delay = PingPongDelay(sample_rate, times_ms=times_ms)
        inside = {"lowpass_hz": min(lowpass, _highest_hz(sample_rate)), "q": min(max(q, QS_INSIDE[0]), QS_INSIDE[1])}
        time_ms = _inside(zero_ms - _late_ms(**inside, sample_rate=sample_rate), times_ms)
        delay.set_parameters({**found, **inside, "time_ms": time_ms})
        delay.method = CircleSampling(heard.dry.shape[-1])
        mixed = Mixed(delay, heard.direct().tolist()).double()
        with torch.no_grad():
            cost = float(heard.error(mixed).square().sum())
        if best is None or cost < lowest:
            best, lowest = mixed, cost
    assert best is not None
    return best


def _highest_hz(sample_rate: float) -> float:
    """That a low-pass begins with: not at the end of its range."""
    return 0.9 * min(LOWPASS_HZ[1], HIGHEST_OF_NYQUIST * sample_rate / 2)


def _late_ms(lowpass_hz: float, q: float, sample_rate: float) -> float:
    """By how much a low-pass is late at 0 Hz."""
    return 1000 / (2 * q * sample_rate * math.tan(math.pi * lowpass_hz / sample_rate))


def _inside(time_ms: float, times_ms: tuple[float, float]) -> float:
    """At an end of its range it would stay."""
    return min(max(time_ms, times_ms[0] + 1e-3), times_ms[1] - 1e-3)


def _descend(mixed: Mixed, heard: _Heard, iterations: int) -> Fit:
    mixed.delay.method = CircleSampling(heard.dry.shape[-1])
    centred = ["delay.odd_pan", "delay.even_pan"] if len(heard.wet) == 1 else []
    if centred:
        mixed.delay.set_parameters({"odd_pan": 0.5, "even_pan": 0.5})
    return fit_module(mixed, heard.error, frozen=centred, iterations=iterations, tolerance=TOLERANCE)


def _lower(signal: Tensor, times: int) -> Tensor:
    """At a sample rate that is lower by so many times: the lowest part of its spectrum."""
    time = signal.shape[-1] // times
    spectrum = torch.fft.rfft(signal[..., : time * times])[..., : time // 2 + 1]
    return torch.fft.irfft(spectrum, time) / times
