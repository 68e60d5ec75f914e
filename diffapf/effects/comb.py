"""A comb whose delay is any number of samples, and may be learned.

    y[n] = x[n] + gain · x[n−d] + feedback · y[n−d]

The delay is a windowed sinc of 32 taps (`filters/delay_loop.py`), in the time domain and in frequency; `filters/comb.py` is
the comb of whole samples.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from diffapf.effects.delay import checked_times, nearest, samples_of
from diffapf.effects.effect import Effect
from diffapf.filters._rows import REAL, check_signal
from diffapf.filters.circle_sampling import CircleSampling
from diffapf.filters.delay_loop import LARGEST_TURN, DelayLoop, LoopState
from diffapf.filters.methods import TimeDomain
from diffapf.parameters import Named, Within, is_finite_number


class Comb(Effect):
    """A comb, on each channel alike; see the module.

    Args:
        sample_rate: in Hz.
        time_ms: d, learnable, of any fraction; 5 by default, or as near as its range is.
        gain: of what comes late once; 0: feedback alone.
        feedback: of what comes late again and again, within ±0.98; 0: gain alone.
        times_ms: the range of time_ms, which is never left; at least 16 samples.
        method: `TimeDomain()`, or `CircleSampling(length)` with a response of that many samples.

    Raises:
        ValueError: an argument outside what is said here; the message names it.

    >>> Comb(44100, time_ms=2.5, feedback=-0.7)(torch.randn(2, 1000)).shape
    torch.Size([2, 1000])
    """

    def __init__(
        self,
        sample_rate: float,
        time_ms: float | None = None,
        gain: float = 0.0,
        feedback: float = 0.5,
        times_ms: tuple[float, float] = (1.0, 50.0),
        method: TimeDomain | CircleSampling | None = None,
    ):
        super().__init__(sample_rate)
        if method is not None and not isinstance(method, (TimeDomain, CircleSampling)):
            raise ValueError(f"method must be TimeDomain() or CircleSampling(length), got {method!r}")
        if not is_finite_number(gain):
            raise ValueError(f"gain must be a finite number, got {gain!r}")
        self.times_ms = checked_times(times_ms, sample_rate)
        time_ms = nearest(5.0, self.times_ms) if time_ms is None else time_ms
        try:
            self.time_ms = Named(time_ms, "ms", *self.times_ms, taper="log", mapping=Within(*self.times_ms, "log"))
        except ValueError as error:
            raise ValueError(f"time_ms {error}") from None
        self.gain = Named(gain, "", -1.0, 1.0)
        try:
            ends = (-LARGEST_TURN, LARGEST_TURN)
            self.feedback = Named(feedback, "", *ends, mapping=Within(*ends))
        except ValueError as error:
            raise ValueError(f"feedback {error}") from None
        self.method = method or TimeDomain()

    def configuration(self) -> dict[str, Any]:
        return {"times_ms": list(self.times_ms)}

    def filter(self) -> CombFilter:
        """The filter, with gradients, as methods run it."""
        samples = self.time_ms() * (self.sample_rate / 1000)
        longest = samples_of(self.times_ms[1], self.sample_rate)
        return CombFilter(DelayLoop(samples, longest, self.feedback()), self.gain())

    def forward(self, x: Tensor) -> Tensor:
        """`(..., time)` → the same shape."""
        check_signal("x", x, dtypes=REAL)
        return self.method(x[..., None, :], self.filter())[..., 0, :]  # type: ignore[arg-type]

    def initial_state(self) -> LoopState | None:
        return None

    @torch.no_grad()
    def process(self, block: Tensor, state: LoopState | None) -> tuple[Tensor, LoopState]:
        """The next block of a stream, in the time domain: any cut into blocks gives what `forward` gives of the whole."""
        check_signal("x", block, dtypes=REAL)
        y, state = self.filter().run(block[..., None, :], state)
        return y[..., 0, :], state


@dataclass
class CombFilter:
    """y = x + w, where w = D (gain · x + feedback · y): a loop into which (gain + feedback) x goes."""

    loop: DelayLoop
    gain: Tensor

    def run(self, x: Tensor, state: LoopState | None = None) -> tuple[Tensor, LoopState]:
        w, state = self.loop.run((self.gain + self.loop.feedback).to(x.dtype) * x, state)
        return x + w, state

    def spectrum(self, n: int, radius: float) -> Tensor:
        """H at z = radius · exp(2πj k/n), k = 0 … n/2: complex128 `(1, 1, n//2 + 1)`."""
        P = self.loop.turn(n, radius)
        return ((1 + self.gain * P) / (1 - self.loop.feedback * P))[None, None]
