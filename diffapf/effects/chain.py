"""The DiffVox vocal chain: what a mono voice goes through on its way into a stereo mix.

    x ── equaliser ── compressor, expander ── v ──┬── pan ───────────────────────────────(+)── y
                                                  ├── ping-pong delay ──┬────────────────(+)
                                                  │                   send                │
                                                  └───────────────────(+)── reverb ── tone

The delay's output, after its pans, goes into the mix and, by the send, into the reverberator, whose own output has an
equaliser, the tone. From v on all is linear: it is described once, as a `Stage`, which methods run exactly (`TimeDomain`)
or as one impulse response from a mono sound to two loudspeakers (`CircleSampling`).

Source: Yu et al., "DiffVox: A Differentiable Model for Capturing and Analysing Vocal Effects Distributions", DAFx 2025. Its
look-ahead advances the gain; here the audio waits, as in real time: the output comes `latency` samples later. Its repeats
and reverberation end after 4 s and 12 s; here those in the time domain never do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from diffapf.effects.compressor import Compressor, CompressorState
from diffapf.effects.delay import PingPongDelay, Repeats, mono
from diffapf.effects.effect import Effect
from diffapf.effects.equalizer import Band, Equalizer, within_reach
from diffapf.effects.panning import pan_gains
from diffapf.effects.reverb import Reverb, ReverbState
from diffapf.filters.circle_sampling import CircleSampling
from diffapf.filters.methods import SecondOrderSections, TimeDomain
from diffapf.filters.network_response import DelayNetwork
from diffapf.parameters import Named, share

LONGEST_LOOK_AHEAD_MS = 15.0
DYNAMICS = {
    "threshold_db": -18.0,
    "ratio": 2.0,
    "attack_ms": 50.0,
    "release_ms": 50.0,
    "expander_threshold_db": -48.0,
    "expander_ratio": 0.5,
    "look_ahead_ms": 1000 / 44_100,
    "longest_look_ahead_ms": LONGEST_LOOK_AHEAD_MS,
}
TONE = {
    "peak1": Band("peak", 800.0, frequencies=(200.0, 2500.0), qs=(0.1, 3.0)),
    "peak2": Band("peak", 4000.0, frequencies=(600.0, 7000.0), qs=(0.1, 3.0)),
    "low_shelf": Band("low_shelf", 115.0, frequencies=(30.0, 450.0), qs=None),
    "high_shelf": Band("high_shelf", 8000.0, frequencies=(1500.0, 16_000.0), qs=None),
}


@dataclass
class ChainState:
    """Where a stream is: the memories of the parts."""

    equalizer: Tensor | None = None
    compressor: CompressorState = field(default_factory=CompressorState)
    stage: Any = None
    reverb: ReverbState = field(default_factory=ReverbState)


class VocalChain(Effect):
    """The vocal chain, mono in, stereo out; see the module for the signal flow.

    Each part is built from its own class's arguments, by name, beside the chain's defaults, which are the published start
    but for the reverberator: there it is silent, and nothing of it but its outputs has a gradient.

    Args:
        sample_rate: in Hz.
        equalizer: arguments of `Equalizer`; by default DiffVox's six bands.
        compressor: arguments of `Compressor`; by default with an expander and up to 15 ms of look-ahead.
        delay: arguments of `PingPongDelay`.
        reverb: arguments of `Reverb`.
        tone: arguments of the reverberator's `Equalizer`; by default DiffVox's four bands.
        pan: of the direct sound, from 0, left, to 1.
        send: of the delay into the reverberator, from 0 to 1.
        method: how the stage is run, `TimeDomain()` or `CircleSampling(length)` with a response of that many samples. In
            the time domain the delay's gradient is the true one, whatever its surrogate.

    Raises:
        ValueError, TypeError: arguments that a part refuses; the message names the part.

    >>> chain = VocalChain(44100, compressor={"ratio": 3.0}, delay={"time_ms": 250.0})
    >>> chain(torch.randn(4410)).shape, chain(torch.randn(3, 1, 4410)).shape
    (torch.Size([2, 4410]), torch.Size([3, 2, 4410]))
    """

    def __init__(
        self,
        sample_rate: float,
        equalizer: Mapping[str, Any] | None = None,
        compressor: Mapping[str, Any] | None = None,
        delay: Mapping[str, Any] | None = None,
        reverb: Mapping[str, Any] | None = None,
        tone: Mapping[str, Any] | None = None,
        pan: float = 0.5,
        send: float = 0.01,
        method: TimeDomain | CircleSampling | None = None,
    ):
        super().__init__(sample_rate)
        if method is not None and not isinstance(method, (TimeDomain, CircleSampling)):
            raise ValueError(f"method must be TimeDomain() or CircleSampling(length), got {method!r}")
        bands = {"bands": within_reach(TONE, sample_rate)}
        self.equalizer = _part("equalizer", Equalizer, sample_rate, {}, equalizer)
        self.compressor = _part("compressor", Compressor, sample_rate, DYNAMICS, compressor)
        self.delay = _part("delay", PingPongDelay, sample_rate, {}, delay)
        self.reverb = _part("reverb", Reverb, sample_rate, {}, reverb)
        self.tone = _part("tone", Equalizer, sample_rate, bands, tone)
        self.pan, self.send = _share("pan", pan), _share("send", send)
        self.method = method or TimeDomain()

    @property
    def latency(self) -> int:
        """How many samples the output comes later than the input: what the compressor's look-ahead takes."""
        return self.compressor.latency

    def configuration(self) -> dict[str, Any]:
        parts = "equalizer", "compressor", "delay", "reverb", "tone"
        return {name: getattr(self, name).configuration() for name in parts}

    def regularizer(self) -> Tensor:
        """The price of the delay's damping; 0 without."""
        return self.delay.regularizer()

    def dynamics(self, x: Tensor) -> Tensor:
        """v of the module's figure: what is panned, repeated and reverberated, of `(time,)` or `(..., 1, time)`."""
        return self.compressor(self.equalizer(mono(x)))

    def stage(self, network: DelayNetwork | None = None) -> Stage:
        """The linear part, with gradients, as methods run it; network: the reverberator's, if it is designed already."""
        return Stage(
            pan_gains(self.pan())[:, None],
            self.delay.repeats(),
            self.send(),
            network or self.reverb.network(),
            self.tone.filter(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """`(time,)` or `(..., 1, time)` → `(..., 2, time)`."""
        return self.method(self.dynamics(x), self.stage())  # type: ignore[arg-type]

    def initial_state(self) -> ChainState:
        return ChainState()

    @torch.no_grad()
    def process(self, block: Tensor, state: ChainState) -> tuple[Tensor, ChainState]:
        """The next block of a stream, in the time domain: any cut into blocks gives what `forward` gives of the whole."""
        x = mono(block)
        if x.shape[-1] == 0:
            return x.expand(*x.shape[:-2], 2, 0), state
        x, equalizer = self.equalizer.process(x, state.equalizer)
        v, compressor = self.compressor.process(x, state.compressor)
        reverb = self.reverb.designed(state.reverb, v.dtype)
        y, stage = self.stage(reverb.network).run(v, state.stage)
        return y, replace(state, equalizer=equalizer, compressor=compressor, stage=stage, reverb=reverb)


@dataclass
class Stage:
    """From a mono sound to two loudspeakers: directly, by repeats, and by reverberation of both.

    pan: `(2, 1)`, the direct sound's gains. Its state is that of repeats, network and tone.
    """

    pan: Tensor
    repeats: Repeats
    send: Tensor
    network: DelayNetwork
    tone: SecondOrderSections

    def run(self, v: Tensor, state: tuple[Any, Any, Any] | None = None) -> tuple[Tensor, tuple[Any, Any, Any]]:
        of_repeats, of_network, of_tone = state or (None, None, None)
        repeats, of_repeats = self.repeats.run(v, of_repeats)
        late, of_network = self.network.run(v + self.send.to(v.dtype) * repeats, of_network)
        late, of_tone = self.tone.run(late, of_tone)
        return self.pan.to(v.dtype) * v + repeats + late, (of_repeats, of_network, of_tone)

    def spectrum(self, n: int, radius: float) -> Tensor:
        """H at z = radius · exp(2πj k/n), k = 0 … n/2: complex128 `(2, 1, n//2 + 1)`."""
        repeats = self.repeats.spectrum(n, radius)
        late = self.network.driven(1 + self.send * repeats[:, 0], n, radius)
        return self.pan[..., None] + repeats + (self.tone.spectrum(n, radius) * late)[:, None]


def _part(name: str, kind: type, sample_rate: float, usual: Mapping[str, Any], given: Mapping[str, Any] | None) -> Any:
    if given is not None and not isinstance(given, Mapping):
        raise TypeError(f"{name} must be arguments of {kind.__name__} by their names, got {given!r}")
    try:
        return kind(sample_rate, **{**usual, **(given or {})})
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name}: {error}") from None


def _share(name: str, value: float) -> Named:
    try:
        return Named(value, "", 0.0, 1.0, mapping=share)
    except ValueError as error:
        raise ValueError(f"{name} {error}") from None
