"""A ping-pong delay: repeats on two sides in turns, each through a low-pass once more than the one before.

    x ── gain ──(+)── delay, low-pass ──┬── odd repeats, panned ──(+)── y
                 ▲                      ▼                          ▲
               feedback              feedback                      │
                 └──┬── delay, low-pass ◀                          │
                    └───────────────────── even repeats, panned ───┘

With P = E·D, low-pass times delay:  H_odd = g P/(1 − f² P²),  H_even = g f P²/(1 − f² P²): the k-th repeat is P k times.
The delay is any number of samples, by a windowed sinc, and may be learned; the same taps are run exactly (`TimeDomain`) and
sampled in frequency (`CircleSampling`). A low-pass is louder than 1 where its Q is above √½: f is limited so that a turn
never is, and presets that are stable sound as they are told.

Source: Yu et al., "DiffVox: A Differentiable Model for Capturing and Analysing Vocal Effects Distributions", DAFx 2025. Its
repeats end with the 4 s that it samples: `ends_s=4`, and `CircleSampling`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from diffapf.effects.effect import Effect
from diffapf.effects.panning import pan_gains
from diffapf.filters._checks import unwrapped
from diffapf.filters._rows import REAL, check_signal
from diffapf.filters.biquads import loudest_lowpass, lowpass
from diffapf.filters.circle_sampling import CircleSampling
from diffapf.filters.delay_loop import LARGEST_TURN, REACH, DelayLoop, LoopState
from diffapf.filters.design import integer_power
from diffapf.filters.methods import TimeDomain
from diffapf.parameters import Named, Within, is_finite_number, share

LOWPASS_HZ, QS = (200.0, 16_000.0), (0.5, 2.0)
HIGHEST_OF_NYQUIST = 0.95
SURROGATES = ("none", "damped")
SURROGATE_BIN_HZ = 0.25  # in which the published damping counts: the bins of 4 s


class PingPongDelay(Effect):
    """A ping-pong delay, mono in, stereo out, wet alone; see the module.

    Args:
        sample_rate: in Hz.
        time_ms: from the sound to its first repeat, and from repeat to repeat; learnable, of any fraction; 400 by default,
            or as near as its range is.
        feedback: f, from repeat to repeat, 0 to 1; more than `loop_feedback` is not played.
        gain: of the first repeat, 0 to 1.
        lowpass_hz, q: of the low-pass in the loop, 200 Hz to 16 kHz, or as far as the sample rate lets it, and 0.5 to 2;
            8 kHz by default, or so far.
        odd_pan, even_pan: where the repeats are, from 0, left, to 1; see `panning.py`.
        times_ms: the range of time_ms, which is never left; at least 16 samples.
        taper: how an optimiser moves time, frequency and Q within their ranges: "log", or "linear", as published.
        ends_s: repeats begin no later than this, as published with 4, and are as loud as they are told: none grows for ever.
            In `CircleSampling` only: in the time domain they do not end, and are limited. None: as in the time domain.
        surrogate: the gradient of the time: "none", the true one; "damped", that of exp(η·k − 2πj dk/N) where the value is
            the true delay's (straight-through; k counts bins of 0.25 Hz). η < 0 is learned, −`damping`, with
            `regularizer()` in the loss. It hears low notes only, of which a period is long: it finds a time from a few ms
            away. Needs `CircleSampling`. `fit_delay` finds it from anywhere.
        method: `TimeDomain()`, or `CircleSampling(length)` with a response of that many samples.

    Raises:
        ValueError: an argument outside what is said here; the message names it.

    >>> delay = PingPongDelay(44100, time_ms=100.25, feedback=0.5, gain=0.8)
    >>> delay(torch.randn(44100)).shape, delay(torch.randn(3, 1, 4410)).shape
    (torch.Size([2, 44100]), torch.Size([3, 2, 4410]))
    """

    def __init__(
        self,
        sample_rate: float,
        time_ms: float | None = None,
        feedback: float = 0.1,
        gain: float = 0.1,
        lowpass_hz: float | None = None,
        q: float = 0.707,
        odd_pan: float = 0.5,
        even_pan: float = 0.5,
        times_ms: tuple[float, float] = (100.0, 1000.0),
        taper: str = "log",
        ends_s: float | None = None,
        surrogate: str = "none",
        method: TimeDomain | CircleSampling | None = None,
    ):
        super().__init__(sample_rate)
        if taper not in ("log", "linear"):
            raise ValueError(f"taper must be 'log' or 'linear', got {taper!r}")
        if surrogate not in SURROGATES:
            raise ValueError(f"surrogate must be one of {', '.join(map(repr, SURROGATES))}, got {surrogate!r}")
        if method is not None and not isinstance(method, (TimeDomain, CircleSampling)):
            raise ValueError(f"method must be TimeDomain() or CircleSampling(length), got {method!r}")
        if ends_s is not None and not (is_finite_number(ends_s) and ends_s > 0):
            raise ValueError(f"ends_s must be positive, in seconds, or None, got {ends_s!r}")
        self.ends_s = ends_s
        self.times_ms, self.taper, self.surrogate = checked_times(times_ms, sample_rate), taper, surrogate
        highest = min(LOWPASS_HZ[1], HIGHEST_OF_NYQUIST * sample_rate / 2)
        frequencies = (min(LOWPASS_HZ[0], highest / 2), highest)
        time_ms = nearest(400.0, self.times_ms) if time_ms is None else time_ms
        lowpass_hz = nearest(8000.0, frequencies) if lowpass_hz is None else lowpass_hz
        self.time_ms = _named("time_ms", time_ms, "ms", self.times_ms, taper)
        self.lowpass_hz = _named("lowpass_hz", lowpass_hz, "Hz", frequencies, taper)
        self.q = _named("q", q, "", QS, taper)
        self.feedback, self.gain = _share("feedback", feedback), _share("gain", gain)
        self.odd_pan, self.even_pan = _share("odd_pan", odd_pan), _share("even_pan", even_pan)
        self.damping = Named(0.01, "", 1e-4, 1.0, taper="log") if surrogate == "damped" else None
        self.method = method or TimeDomain()

    def configuration(self) -> dict[str, Any]:
        names = "taper", "ends_s", "surrogate"
        return {"times_ms": list(self.times_ms), **{name: getattr(self, name) for name in names}}

    def loop_feedback(self) -> Tensor:
        """f as it is played: at most what no low-pass of this Q makes louder than a turn may be, 0.98."""
        return torch.minimum(self.feedback(), LARGEST_TURN / loudest_lowpass(self.q()))

    def regularizer(self) -> Tensor:
        """(1 − e^η)², the published price of the damping; 0 without."""
        if self.damping is None:
            return torch.zeros((), dtype=torch.float64)
        return torch.expm1(-self.damping()).square()

    def repeats(self) -> Repeats:
        """The filter, with gradients, as methods run it."""
        loop = DelayLoop(
            self.time_ms() * (self.sample_rate / 1000),
            samples_of(self.times_ms[1], self.sample_rate),
            self.loop_feedback(),
            torch.cat(lowpass(self.lowpass_hz(), self.q(), self.sample_rate))[None],
            None if self.damping is None else self.damping() * (self.sample_rate / (2 * math.pi * SURROGATE_BIN_HZ)),
        )
        pans = pan_gains(torch.stack([self.odd_pan(), self.even_pan()]))
        if self.ends_s is None:
            return Repeats(loop, self.gain(), pans)
        count = int(self.ends_s * self.sample_rate) // (int(unwrapped(loop.samples)) + 1)
        return Repeats(loop, self.gain(), pans, self.feedback(), count)

    def forward(self, x: Tensor) -> Tensor:
        """`(time,)` or `(..., 1, time)` → `(..., 2, time)`."""
        if self.damping is not None and isinstance(self.method, TimeDomain):
            raise ValueError(
                "the damped surrogate is a spectrum: give method=CircleSampling(length), or surrogate='none'"
            )
        return self.method(mono(x), self.repeats())  # type: ignore[arg-type]

    def run(self, x: Tensor, state: LoopState | None = None) -> tuple[Tensor, LoopState]:
        """The next block of a signal in the time domain, differentiable, also through the state."""
        return self.repeats().run(mono(x), state)

    def initial_state(self) -> LoopState | None:
        return None

    @torch.no_grad()
    def process(self, block: Tensor, state: LoopState | None) -> tuple[Tensor, LoopState]:
        """The next block of a stream, in the time domain: any cut into blocks gives what `forward` gives of the whole."""
        return self.run(block, state)


@dataclass
class Repeats:
    """The repeats of one input on two outputs.

    pans: `(2, 2)`, an output's gains of odd and of even ones; feedback: that of its spectrum, which has `count` repeats;
    None: the loop's, and all of them.
    """

    loop: DelayLoop
    gain: Tensor
    pans: Tensor
    feedback: Tensor | None = None
    count: int | None = None

    def run(self, x: Tensor, state: LoopState | None = None) -> tuple[Tensor, LoopState]:
        odd = self.gain.to(x.dtype) * x
        repeats, state = self.loop.run(torch.cat([odd, torch.zeros_like(odd)], -2), state)
        return self.pans.to(x.dtype) @ repeats, state

    def spectrum(self, n: int, radius: float) -> Tensor:
        """H at z = radius · exp(2πj k/n), k = 0 … n/2: complex128 `(2, 1, n//2 + 1)`."""
        P = self.loop.turn(n, radius)
        again = (self.loop.feedback if self.feedback is None else self.feedback) * P
        odd = self.gain * P / (1 - again.square())
        even = again * odd
        if self.count is not None:
            pairs = self.count // 2
            beyond = integer_power(again.square(), pairs) if pairs else torch.ones_like(P)
            even = even * (1 - beyond)
            odd = odd * (1 - (beyond * again.square() if self.count % 2 else beyond))
        left, right = self.pans[:, :, None].unbind(0)
        return torch.stack([each[0] * odd + each[1] * even for each in (left, right)])[:, None]


def samples_of(milliseconds: float, sample_rate: float) -> int:
    """Whole samples that are not less."""
    return math.ceil(milliseconds * sample_rate / 1000)


def nearest(value: float, reached: tuple[float, float]) -> float:
    """The value, or the end of a range that is nearest to it."""
    return min(max(value, reached[0]), reached[1])


def checked_times(times_ms: tuple[float, float], sample_rate: float) -> tuple[float, float]:
    """The range of a delay; raises ValueError where it is none, or less than the interpolation reads."""
    least = 1000 * REACH / sample_rate
    if len(times_ms) != 2 or not all(map(is_finite_number, times_ms)) or not least <= times_ms[0] < times_ms[1]:
        raise ValueError(f"times_ms must be two times from {least:.3g} ms on, the lower first, got {times_ms!r}")
    return times_ms[0], times_ms[1]


def _named(name: str, value: float, unit: str, reached: tuple[float, float], taper: str) -> Named:
    try:
        return Named(value, unit, *reached, taper="log", mapping=Within(*reached, taper))
    except ValueError as error:
        raise ValueError(f"{name} {error}") from None


def _share(name: str, value: float) -> Named:
    try:
        return Named(value, "", 0.0, 1.0, mapping=share)
    except ValueError as error:
        raise ValueError(f"{name} {error}") from None


def mono(x: Tensor) -> Tensor:
    """`(..., 1, time)` of `(time,)` or that; raises ValueError for other channels."""
    check_signal("x", x, dtypes=REAL)
    if x.dim() == 1:
        return x[None]
    if x.shape[-2] != 1:
        raise ValueError(f"x must be mono, (time,) or (..., 1, time), got {tuple(x.shape)}")
    return x
