"""What moves an effect: oscillators and shapes at the control rate, and the way from there to the audio rate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from diffapf.filters.control_rate import ControlRate
from diffapf.filters.fir import fir
from diffapf.parameters import KeepsDouble, Named, NamedSeries, is_finite_number, linear


def upsample(frames: Tensor, rate: ControlRate, length: int) -> Tensor:
    """Control signals `(..., frames)` at audio rate, `(..., length)`, by linear interpolation; the last frame is held.

    A FIR filter with one moving tap, on ones: the same kernel that interpolates coefficients, with all its derivatives.

    >>> upsample(torch.tensor([0.0, 1.0]), ControlRate.hop(2), 4)
    tensor([0.0000, 0.5000, 1.0000, 1.0000])
    """
    ones = torch.ones_like(frames[..., :1]).expand(*frames.shape[:-1], length)
    return fir(ones, frames[..., None], hop=rate)  # type: ignore[return-value]


class LFO(KeepsDouble):
    """A damped cosine at the control rate, s(m) = A e^(−σ² m) cos(2π f (t − t₀) + φ), m the frame, t its time in seconds.

    f, φ, A and σ are learnable. The damping σ makes f learnable by gradient from a wrong start; it should go to 0, and is
    left out in evaluation (`module.eval()`).

    φ is the phase at t₀. To train on a part of a file, `centre` puts t₀ in its middle, where phase and rate are
    independent, and scales the steps of f so that both are equally steep.

    Source: DAFx 2024, eq. 9; Hayes, Saitis, Fazekas, "Sinusoidal frequency estimation by gradient descent", ICASSP 2023.

    Args:
        rate_hz: f, in Hz.
        phase: φ at time 0, in radians.
        amplitude: A.
        damping: σ, per square root of a frame; 0: none, and not learned.
    """

    in_double = ("origin",)  # far from t₀, phase needs every digit

    def __init__(
        self,
        rate_hz: float = 1.0,
        phase: float = 0.0,
        amplitude: float = 1.0,
        damping: float = 0.0,
    ):
        super().__init__()
        self.rate_hz = Named(rate_hz, "Hz", 0.01, 20.0, taper="log", mapping=linear)
        self.phase = Named(phase, "rad", -math.pi, math.pi)
        self.amplitude = Named(amplitude, "", 0.0, 2.0)
        self.damping = Named(damping, "1/√frame", 0.0, 1.0)
        self.damping.step.requires_grad_(damping != 0.0)
        self.origin: Tensor
        self.register_buffer("origin", torch.zeros((), dtype=torch.float64))

    def centre(self, start: float, stop: float) -> None:
        """Moves t₀ to the middle of a part of `start` … `stop` seconds and scales the rate for it; same oscillation."""
        _centre(self, start, stop)

    def turn(self, cycles: float) -> None:
        """Turns the oscillation by a part of its period; a positive one comes earlier."""
        self.phase.set(self.phase().item() + 2 * math.pi * cycles)

    def move_origin(self, seconds: float) -> None:
        """Sets t₀; φ changes with it so that the oscillation stays the same. φ is kept within ±π."""
        with torch.no_grad():
            phase = self.phase() + 2 * math.pi * self.rate_hz() * (seconds - self.origin)
            turns = torch.round(phase / (2 * math.pi))
            self.phase.set((phase - 2 * math.pi * turns).item())
            self.origin.fill_(seconds)

    def forward(self, seconds: Tensor) -> Tensor:
        """s at the control frames' times, `(frames,)`, in seconds (float64: phase needs it)."""
        cycles = self.rate_hz() * (seconds - self.origin)
        s = self.amplitude() * torch.cos(2 * math.pi * cycles + self.phase()).to(self.amplitude.step.dtype)
        if self.training:
            frame = torch.arange(len(seconds), dtype=s.dtype, device=s.device)
            s = s * torch.exp(-self.damping().square() * frame)
        return s


def turned(cosine: Tensor, sine: Tensor, cycles: Tensor | float) -> tuple[Tensor, Tensor]:
    """The coefficients, k = 1 … H, of Σₖ cₖ cos kθ + sₖ sin kθ, each `(H,)`, as a series in θ − 2π cycles."""
    turn = 2 * math.pi * cycles * torch.arange(1, len(cosine) + 1, dtype=torch.float64, device=cosine.device)
    return cosine * turn.cos() + sine * turn.sin(), sine * turn.cos() - cosine * turn.sin()


class FourierLFO(KeepsDouble):
    """A periodic curve of any shape: s(t) = Σₖ cₖ cos kθ + sₖ sin kθ, θ = 2π (f (t − t₀) + φ + d(t)), in octaves.

    d, the drift of a clock that is not a crystal, in cycles, is linear between knots; before the first and after the last
    it goes on as between the two nearest ones. The first and the last knot are held: where they are equal, f is the mean
    rate between them.

    Args:
        rate_hz: f, in Hz.
        cosines, sines: c and s, k = 1 … H, in octaves, of equal length.
        phase: φ, in cycles. It stays: cosines and sines have a phase. But if `even`, the sines stay, as a curve that falls
            as it rises has none, and the phase moves.
        drift: d at its knots, in cycles; none by default. The first and the last stay as they are.
        drift_start, drift_spacing: the first knot's time and the knots' distance, in seconds.
        origin: t₀, in seconds.

    Raises:
        ValueError: an argument outside what is said here; the message names it.
        TypeError: numbers that are no sequence, or `even` no boolean.

    >>> lfo = FourierLFO(2.0, cosines=[1.0, 0.5], sines=[0.0, 0.0])
    >>> lfo(torch.tensor([0.0, 0.25], dtype=torch.float64)).tolist()
    [1.5, -0.5]
    """

    configured: ClassVar = ("origin", "drift_ends")
    in_double = configured

    def __init__(
        self,
        rate_hz: float = 1.0,
        cosines: Sequence[float] = (1.0,),
        sines: Sequence[float] = (0.0,),
        phase: float = 0.0,
        even: bool = False,
        drift: Sequence[float] = (),
        drift_start: float = 0.0,
        drift_spacing: float = 1.0,
        origin: float = 0.0,
    ):
        super().__init__()
        for name, values in (("cosines", cosines), ("sines", sines), ("drift", drift)):
            if not isinstance(values, Sequence) or isinstance(values, str):
                raise TypeError(f"{name} must be a sequence of numbers, got {values!r}")
            if not all(map(is_finite_number, values)):
                raise ValueError(f"{name} must be finite numbers, got {values!r}")
        numbers = {"rate_hz": rate_hz, "phase": phase, "drift_start": drift_start, "origin": origin}
        for name, value in numbers.items():
            if not is_finite_number(value):
                raise ValueError(f"{name} must be a finite number, got {value!r}")
        if not isinstance(even, bool):
            raise TypeError(f"even must be True or False, got {even!r}")
        if len(cosines) != len(sines) or not len(cosines):
            raise ValueError(f"cosines and sines must be as many, at least one, got {len(cosines)} and {len(sines)}")
        if len(drift) in (1, 2):
            raise ValueError(f"drift needs no knot or at least three, of which two are held, got {len(drift)}")
        if not is_finite_number(drift_spacing) or not drift_spacing > 0:
            raise ValueError(f"drift_spacing must be positive, in seconds, got {drift_spacing!r}")
        self.rate_hz = Named(rate_hz, "Hz", 0.01, 20.0, taper="log", mapping=linear)
        self.cosine, self.sine = NamedSeries(cosines, "octaves", 4.0), NamedSeries(sines, "octaves", 4.0)
        self.phase = Named(phase, "cycles", -0.5, 0.5)
        self.even = even
        self.phase.step.requires_grad_(even)
        self.sine.step.requires_grad_(not even)
        self.drift = NamedSeries(drift[1:-1], "cycles", 0.1) if len(drift) else None
        self.drift_start, self.drift_spacing = drift_start, drift_spacing
        self.origin: Tensor
        self.drift_ends: Tensor
        self.register_buffer("origin", torch.tensor(float(origin), dtype=torch.float64))
        ends = [float(drift[0]), float(drift[-1])] if len(drift) else [0.0, 0.0]
        self.register_buffer("drift_ends", torch.tensor(ends, dtype=torch.float64))

    @property
    def harmonics(self) -> int:
        return len(self.cosine)

    def configuration(self) -> dict[str, Any]:
        """The constructor's arguments."""
        knots: list[float] = []
        if self.drift is not None:
            knots = self._knots().tolist()
        return {
            "rate_hz": self.rate_hz().item(),
            "cosines": self.cosine().tolist(),
            "sines": self.sine().tolist(),
            "phase": self.phase().item(),
            "even": self.even,
            "drift": knots,
            "drift_start": self.drift_start,
            "drift_spacing": self.drift_spacing,
            "origin": self.origin.item(),
        }

    def centre(self, start: float, stop: float) -> None:
        """Moves t₀ to the middle of a part of `start` … `stop` seconds and scales the rate for it; same oscillation."""
        _centre(self, start, stop)

    def turn(self, cycles: float) -> None:
        """Turns the oscillation by a part of its period; a positive one comes earlier."""
        self.phase.set(self.phase().item() + cycles)

    def move_origin(self, seconds: float) -> None:
        """Sets t₀; the phase, or that of each harmonic, changes with it so that the oscillation stays the same."""
        if not is_finite_number(seconds):
            raise ValueError(f"an origin must be a finite number of seconds, got {seconds!r}")
        with torch.no_grad():
            if self.even:
                phase = self.phase() + self.rate_hz() * (seconds - self.origin)
                self.phase.set((phase - phase.round()).item())
                self.origin.fill_(seconds)
                return
            cosine, sine = turned(self.cosine(), self.sine(), self.rate_hz() * (seconds - self.origin))
            self.cosine.set(cosine)
            self.sine.set(sine)
            self.origin.fill_(seconds)

    def cycles(self, seconds: Tensor) -> Tensor:
        """θ/2π at times in seconds (float64: phase needs it)."""
        cycles = self.rate_hz() * (seconds - self.origin) + self.phase()
        if self.drift is None:
            return cycles
        knots = self._knots()
        position = (seconds - self.drift_start) / self.drift_spacing
        left = position.floor().long().clamp(0, len(knots) - 2)
        return cycles + knots[left] + (position - left) * (knots[left + 1] - knots[left])

    def _knots(self) -> Tensor:
        """d at all its knots, those held too."""
        inner = self.drift_ends[:0] if self.drift is None else self.drift()
        return torch.cat([self.drift_ends[:1], inner, self.drift_ends[1:]])

    def forward(self, seconds: Tensor) -> Tensor:
        """s at the control frames' times, `(frames,)`, in seconds (float64: phase needs it)."""
        k = torch.arange(1, self.harmonics + 1, dtype=torch.float64, device=seconds.device)
        angles = 2 * math.pi * self.cycles(seconds)[:, None] * k
        return torch.cos(angles) @ self.cosine() + torch.sin(angles) @ self.sine()


def _centre(lfo: LFO | FourierLFO, start: float, stop: float) -> None:
    lfo.move_origin((start + stop) / 2)
    lfo.rate_hz.rescale(1 / (math.pi * (stop - start)))


class WaveShaper(nn.Module):
    """The shape of an LFO's swing, w(s): a small network on the oscillator's value, 1 → 8 → 8 → 8 → 1, tanh inside.

    `residual=True` starts from w(s) = s and learns what to add; False is the published network, which starts anywhere.

    Source: DAFx 2024, section 4.1.
    """

    def __init__(self, width: int = 8, hidden: int = 3, residual: bool = True):
        super().__init__()
        sizes = [1] + [width] * hidden
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(sizes):
            layers += [nn.Linear(inputs, outputs), nn.Tanh()]
        output = nn.Linear(width, 1)
        if residual:
            nn.init.zeros_(output.weight)
            nn.init.zeros_(output.bias)
        self.network = nn.Sequential(*layers, output)
        self.width, self.hidden, self.residual = width, hidden, residual

    def forward(self, s: Tensor) -> Tensor:
        w = self.network(s[..., None])[..., 0]
        return s + w if self.residual else w
