"""A reverberator: a feedback delay network whose decay depends on frequency.

    x ── B ──(+)──┬── delays ──┬── C ── y
             ▲    │            │
             └── U ◀── absorption

What enters a line comes out after its delay, and goes on round through the line's absorption filter and U, which is
orthogonal and loses nothing. A turn of line i, mᵢ samples, has the gain γ(f)^(mᵢ/m₁): everything decays alike, by γ in the
time of line 1.

The filters are linear-phase FIR filters, as long as their lines allow, and the one definition in both domains: run exactly
(`TimeDomain`), or sampled in frequency on a circle where nothing comes round again (`CircleSampling`). Each one's gain is
below 1, so it is stable whatever the parameters are.

With its defaults it has the lines, the 49 gains and the ranges of the DiffVox vocal chain, whose tone filter is none of
this: an equaliser after it.

Source: Yu et al., "DiffVox: A Differentiable Model for Capturing and Analysing Vocal Effects Distributions", DAFx 2025; Jot
and Chaigne, "Digital delay networks for designing artificial reverberators", AES 90th Convention, 1991.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from diffapf.effects.effect import Effect
from diffapf.effects.rotation import numbers_above_diagonal
from diffapf.filters._rows import REAL, check_signal
from diffapf.filters.absorption import below_one, interpolated, linear_phase
from diffapf.filters.circle_sampling import CircleSampling
from diffapf.filters.methods import TimeDomain
from diffapf.filters.network_response import DelayNetwork
from diffapf.parameters import NamedSeries, is_finite_number, share

LINES_S = tuple(m / 44_100 for m in (997, 1153, 1327, 1559, 1801, 2099))
GAINS = 49
HIGHEST_HZ = 22_050.0  # of the gains, whatever the sample rate
CHANNELS = 2


@dataclass
class ReverbState:
    """Where a stream is: what entered the lines; and the network, with the numbers that it was designed from."""

    entered: Tensor | None = None
    numbers: Tensor | None = None
    network: DelayNetwork | None = None


class Reverb(Effect):
    """A stereo reverberator, wet alone; see the module for the signal flow.

    Args:
        sample_rate: in Hz.
        decay_s: the time in which the sound comes down by 60 dB: a number, or one for each of `gains` frequencies, evenly
            from 0 to 22.05 kHz; below `longest_decay_s`, two ninths of which is the default.
        mixing: the numbers above the diagonal of T, row by row, where U = exp(T − Tᵀ), or U itself, `(lines, lines)`,
            orthogonal with the determinant 1: any other may be unstable. Random, always the same, by default.
        entering: B, from two channels into the lines, line by line; 1/6 each by default.
        leaving: C, from the lines into two channels, channel by channel; by default every other line is heard left.
        lines_s: the lines' delays in seconds, which are rounded to samples.
        longest_decay_s: what no decay reaches.
        gains: how many frequencies the decay is given at.
        taps: of each absorption filter at most, odd; None: all that its line has room for.
        method: `TimeDomain()`, or `CircleSampling(length)` with a response of that many samples.

    Raises:
        ValueError: an argument outside what is said here; the message names it.

    >>> reverb = Reverb(44100, decay_s=1.5)
    >>> reverb(torch.randn(2, 4410)).shape, reverb(torch.randn(4410)).shape
    (torch.Size([2, 4410]), torch.Size([2, 4410]))
    """

    def __init__(
        self,
        sample_rate: float,
        decay_s: float | Sequence[float] | None = None,
        mixing: Sequence[float] | Tensor | None = None,
        entering: Sequence[float] | None = None,
        leaving: Sequence[float] | None = None,
        lines_s: Sequence[float] = LINES_S,
        longest_decay_s: float = 9.0,
        gains: int = GAINS,
        taps: int | None = None,
        method: TimeDomain | CircleSampling | None = None,
    ):
        super().__init__(sample_rate)
        if not lines_s or not all(is_finite_number(each) and each * sample_rate >= 1 for each in lines_s):
            raise ValueError(f"lines_s must be seconds of a sample at least, one for each line, got {lines_s!r}")
        if not is_finite_number(longest_decay_s) or not longest_decay_s > 0:
            raise ValueError(f"longest_decay_s must be positive, in seconds, got {longest_decay_s!r}")
        if not isinstance(gains, int) or isinstance(gains, bool) or gains < 2:
            raise ValueError(f"gains must be an integer from 2 on, got {gains!r}")
        if taps is not None and (not isinstance(taps, int) or isinstance(taps, bool) or taps < 1 or taps % 2 == 0):
            raise ValueError(f"taps must be an odd positive integer, or None, got {taps!r}")
        if method is not None and not isinstance(method, (TimeDomain, CircleSampling)):
            raise ValueError(f"method must be TimeDomain() or CircleSampling(length), got {method!r}")
        self.lines_s, self.longest_decay_s, self.taps = tuple(lines_s), longest_decay_s, taps
        self.delays = [round(each * sample_rate) for each in lines_s]
        self.longest_gain = _gain_of(longest_decay_s, lines_s[0])
        lines = len(lines_s)
        drawn = torch.randn(lines * (lines - 1) // 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        mixing = (drawn / math.sqrt(lines)).tolist() if mixing is None else mixing
        if isinstance(mixing, Tensor):
            mixing = numbers_above_diagonal(mixing, lines)
        entering = [1 / lines] * (lines * CHANNELS) if entering is None else entering
        alternating = [float(i % 2 == side) for side in range(CHANNELS) for i in range(lines)]
        leaving = alternating if leaving is None else leaving
        decay_s = 2 / 9 * longest_decay_s if decay_s is None else decay_s
        decays = [decay_s] * gains if isinstance(decay_s, (int, float)) else decay_s
        sizes = {"mixing": len(drawn), "entering": lines * CHANNELS, "leaving": lines * CHANNELS, "decay_s": gains}
        for name, values in (("mixing", mixing), ("entering", entering), ("leaving", leaving), ("decay_s", decays)):
            if len(values) != sizes[name] or not all(is_finite_number(value) for value in values):
                raise ValueError(f"{name} must be {sizes[name]} finite numbers, got {values!r}")
        if not all(0 < each < longest_decay_s for each in decays):
            raise ValueError(f"decay_s must lie between 0 and longest_decay_s = {longest_decay_s}, got {decay_s!r}")
        shares = [_gain_of(each, lines_s[0]) / self.longest_gain for each in decays]
        self.decay = NamedSeries(shares, "", mapping=share, minimum=0.0)
        self.mixing = NamedSeries(mixing, "", 2.0)
        self.entering = NamedSeries(entering, "")
        self.leaving = NamedSeries(leaving, "", 4.0)
        self.method = method or TimeDomain()

    def configuration(self) -> dict[str, Any]:
        return {
            "lines_s": list(self.lines_s),
            "longest_decay_s": self.longest_decay_s,
            "gains": len(self.decay),
            "taps": self.taps,
        }

    def decay_s(self) -> Tensor:
        """The time in which the sound comes down by 60 dB, at each of the frequencies."""
        return -3 * self.lines_s[0] / torch.log10(self.longest_gain * self.decay())

    def network(self, absorption: Sequence[Tensor] | None = None) -> DelayNetwork:
        """The delay lines, their filters and matrices, with gradients, in float64; absorption: if it is designed already."""
        lines = len(self.delays)
        U = torch.zeros(lines, lines, dtype=torch.float64, device=self.mixing.reference.device)
        U = U.index_put(tuple(torch.triu_indices(lines, lines, 1, device=U.device)), self.mixing())
        U = torch.matrix_exp(U - U.mT)
        B, C = self.entering().reshape(lines, CHANNELS), self.leaving().reshape(CHANNELS, lines)
        return DelayNetwork(self.delays, U, absorption or self._absorption(), B, C)

    def _absorption(self) -> list[Tensor]:
        room = [2 * m - 1 for m in self.delays]
        taps = [each if self.taps is None else min(self.taps, each) for each in room]
        points = max(4 << max(taps).bit_length(), 2 * len(self.decay))  # so that little of what is cut off folds back
        bins = torch.arange(points // 2 + 1, dtype=torch.float64, device=self.decay.reference.device)
        where = bins * (self.sample_rate / points * (len(self.decay) - 1) / HIGHEST_HZ)
        gain = interpolated(self.longest_gain * self.decay(), where)
        first = self.lines_s[0] * self.sample_rate
        return [below_one(linear_phase(gain ** (m / first), count)) for m, count in zip(self.delays, taps, strict=True)]

    def forward(self, x: Tensor) -> Tensor:
        """`(time,)` or `(..., 1 or 2, time)` → `(..., 2, time)`."""
        return self.method(_stereo(x), self.network())  # type: ignore[arg-type]

    def run(self, x: Tensor, state: ReverbState | None = None) -> tuple[Tensor, ReverbState]:
        """The next block of a signal in the time domain, differentiable, also through the state."""
        y, entered = self.network().run(_stereo(x), state.entered if state else None)
        return y, ReverbState(entered)

    def initial_state(self) -> ReverbState:
        return ReverbState()

    @torch.no_grad()
    def process(self, block: Tensor, state: ReverbState) -> tuple[Tensor, ReverbState]:
        """The next block of a stream, in the time domain: any cut into blocks gives what `forward` gives of the whole."""
        x = _stereo(block)
        state = self.designed(state, x.dtype)
        y, entered = state.network.run(x, state.entered)  # type: ignore[union-attr]
        return y, replace(state, entered=entered)

    def designed(self, state: ReverbState, dtype: torch.dtype) -> ReverbState:
        """The state, with a network that is designed again where a parameter has changed."""
        series = (self.decay, self.mixing, self.entering, self.leaving)
        numbers = torch.cat(
            [tensor for part in series for tensor in (part.reference, part.step)]
        )  # their values cost more
        if state.network is not None and state.numbers is not None and torch.equal(numbers, state.numbers):
            return state
        return ReverbState(state.entered, numbers, self.network().to(dtype))


def _gain_of(decay_s: float, turn_s: float) -> float:
    """Of a turn, where 60 dB take so many seconds."""
    return 10 ** (-3 * turn_s / decay_s)


def _stereo(x: Tensor) -> Tensor:
    check_signal("x", x, dtypes=REAL)
    if x.dim() == 1:
        x = x[None]
    if x.shape[-2] not in (1, CHANNELS):
        raise ValueError(f"x must be mono or stereo, (time,) or (..., 1 or 2, time), got {tuple(x.shape)}")
    return x.expand(*x.shape[:-2], CHANNELS, x.shape[-1])
