"""How control-rate filters are applied to audio: exactly, in the time domain, or by sampling their frequency response.

An effect describes its filter once, as an object with
    run(x, state=None) -> (y, state)    the recursion, coefficients moving at every sample
    response(omega) -> H                the frequency response of each control frame, complex `(..., frames, bins)`
and a method applies it. So a model can be trained by one method and tested by the other. A filter whose coefficients stand
still has `hop = None`, one response `(bins,)`, and the value `rest` that it starts from: see `OnePole`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from diffapf.filters.allpole import allpole
from diffapf.filters.ballistics import ballistics
from diffapf.filters.circle_sampling import spectrum_of_taps
from diffapf.filters.control_rate import ControlRate
from diffapf.filters.design import polynomial_response
from diffapf.filters.fir import fir
from diffapf.filters.iir import lfilter
from diffapf.filters.sos import sosfilt


class ControlRateFilter(Protocol):
    @property
    def hop(self) -> int | None: ...

    def run(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]: ...

    def response(self, omega: Tensor) -> Tensor: ...


class TransferFunction:
    """B(z)/A(z) with coefficients that move: FIR part first, then the all-pole part, as in the DAFx 2024 paper (eq. 11).

    b `(frames, N+1)` and a `(frames, M)` (without the leading 1); `rate` says where the frames lie, `hop` how far apart.
    """

    def __init__(self, b: Tensor, a: Tensor, hop: int, rate: ControlRate | None = None):
        self.b, self.a, self.hop = b, a, hop
        self.rate = rate or ControlRate.hop(hop)

    def run(self, x: Tensor, state: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        past_x, past_y = state or (None, None)
        b, a = (c.expand(*x.shape[:-1], *c.shape) for c in (self.b, self.a))
        v, past_x = fir(x, b, past_x, return_zf=True, hop=self.rate)
        y, past_y = allpole(v, a, past_y, return_zf=True, hop=self.rate)
        return y, (past_x, past_y)

    def response(self, omega: Tensor) -> Tensor:
        a = torch.nn.functional.pad(self.a, (1, 0), value=1.0)
        return polynomial_response(self.b, omega) / polynomial_response(a, omega)


@dataclass
class Biquads:
    """Second-order sections in series with coefficients that move: in each the all-pole part first, then the FIR part.

    The direct form II of `lfilter`. Each section is (b, a), both `(..., frames, 3)` with the signal's leading dimensions,
    and a[..., 0] = 1; frames as in `TransferFunction`. The state is each section's.
    """

    sections: Sequence[tuple[Tensor, Tensor]]
    hop: int
    rate: ControlRate | None = None

    def run(self, x: Tensor, state: Sequence[Tensor] | None = None) -> tuple[Tensor, list[Tensor]]:
        after = []
        for k, (b, a) in enumerate(self.sections):
            zi = None if state is None else state[k]
            x, zf = lfilter(b, a, x, zi, form="df2", return_zf=True, hop=self.rate or ControlRate.hop(self.hop))
            after.append(zf)
        return x, after

    def response(self, omega: Tensor) -> Tensor:
        return math.prod(polynomial_response(b, omega) / polynomial_response(a, omega) for b, a in self.sections)  # type: ignore


@dataclass
class SecondOrderSections:
    """Sections in series as `sosfilt` has them: fixed, `sos` `(S, 6)`, or one cascade a frame of `hop` samples, or a sample.

    Moving, sos is `(..., frames, S, 6)`. In float64 inside: at 16 Hz, float32 coefficients are 1 % off.
    """

    sos: Tensor
    hop: int | None = None
    rest = 0.0

    def run(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        sos = self.sos if self.sos.dim() == 2 else self.sos.expand(*x.shape[:-1], *self.sos.shape[-3:])
        return sosfilt(sos.double(), x, state, return_zf=True, hop=self.hop)  # type: ignore[return-value]

    def response(self, omega: Tensor) -> Tensor:
        sections = (
            polynomial_response(b, omega) / polynomial_response(a, omega)
            for b, a in (section.split(3, -1) for section in self.sos.unbind(-2))
        )
        return math.prod(sections)  # type: ignore[return-value, arg-type]

    def spectrum(self, n: int, radius: float) -> Tensor:
        """H of a fixed cascade at z = radius · exp(2πj k/n), k = 0 … n/2: complex128."""
        sections = (
            spectrum_of_taps(b, 0, n, radius) / spectrum_of_taps(a, 0, n, radius)
            for b, a in (section.split(3) for section in self.sos.double())
        )
        return math.prod(sections)  # type: ignore[return-value, arg-type]


@dataclass
class OnePole:
    """y[n] = α x[n] + (1 − α) y[n−1] from y[−1] = rest; α `rate` is one number. Its own state is y."""

    rate: Tensor
    rest: float = 0.0
    hop = None

    def run(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return ballistics(x, self.rate, self.rate, self.rest if state is None else state, return_zf=True)  # type: ignore

    def response(self, omega: Tensor) -> Tensor:
        return self.rate / (1 - (1 - self.rate) * torch.exp(-1j * omega))


class TimeDomain:
    """Runs the recursion itself: what a plugin computes in real time."""

    def __call__(self, x: Tensor, control_rate_filter: ControlRateFilter) -> Tensor:
        return control_rate_filter.run(x)[0]

    def __repr__(self) -> str:
        return "TimeDomain()"


class FrequencySampling:
    """Multiplies each frame's spectrum by the frame's frequency response: the baseline, which ignores the recursion.

    A Hann window of `overlap` hops, FFT length 2^(ceil(log2 window) + 1), frames centred on the control frames, constant
    padding, and the inverse STFT with the same window.

    A filter that stands still is applied to the whole signal by one FFT in float64, periodically, as if the signal began
    again at its end.

    Source: DAFx 2024, sections 4.1 and 4.3, and its published code.
    """

    def __init__(self, overlap: int = 4):
        if overlap < 2:
            raise ValueError(f"overlap must be at least 2 windows over each sample, got {overlap}")
        self.overlap = overlap

    def __call__(self, x: Tensor, control_rate_filter: ControlRateFilter) -> Tensor:
        hop = control_rate_filter.hop
        if hop is None:
            return _periodic(x, control_rate_filter)
        length = self.overlap * hop
        n_fft = 2 ** ((length - 1).bit_length() + 1)
        window = torch.hann_window(length, dtype=x.dtype, device=x.device)
        signal = x.reshape(-1, x.shape[-1])
        spectrum = torch.stft(signal, n_fft, hop, length, window, pad_mode="constant", return_complex=True)
        omega = torch.linspace(0, torch.pi, n_fft // 2 + 1, dtype=x.dtype, device=x.device)
        response = control_rate_filter.response(omega)
        last = response.shape[-2] - 1  # held, as in the time domain
        if last + 1 != spectrum.shape[-1]:
            response = response[..., torch.arange(spectrum.shape[-1], device=x.device).clamp(max=last), :]
        if response.dim() > 2:
            response = response.expand(*x.shape[:-1], *response.shape[-2:])
        filtered = spectrum * response.transpose(-2, -1).reshape(-1, *spectrum.shape[-2:])
        return torch.istft(filtered, n_fft, hop, length, window, length=x.shape[-1]).reshape(x.shape)

    def __repr__(self) -> str:
        return f"FrequencySampling(overlap={self.overlap})"


def _periodic(x: Tensor, fixed_filter: Any) -> Tensor:
    time = x.shape[-1]
    if time == 0:
        return x
    spectrum = torch.fft.rfft(x.double() - fixed_filter.rest)
    omega = torch.arange(spectrum.shape[-1], dtype=torch.float64, device=x.device) * (2 * torch.pi / time)
    filtered = torch.fft.irfft(spectrum * fixed_filter.response(omega), time)
    return (filtered + fixed_filter.rest).to(x.dtype)
