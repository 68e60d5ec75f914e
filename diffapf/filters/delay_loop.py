"""A delay line with feedback whose delay is any number of samples: what combs and echoes are made of.

    u = v + f · w,   w = P u,   P = E · D        of two crossed lines: u₁ = v₁ + f w₂, u₂ = v₂ + f w₁

D delays by a windowed sinc, E is a filter of second-order sections, or none. The taps are the definition in both domains.
No sample of w hears one of u that is less than the delay without its reach before it: so many samples at once are filters
one after another, of which every derivative is made. The loop is stable where |f| · max|E| · LOUDEST < 1.

Source: Yu et al., "DiffVox: A Differentiable Model for Capturing and Analysing Vocal Effects Distributions", DAFx 2025, for
the damped delay.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from diffapf.filters._checks import unwrapped
from diffapf.filters.circle_sampling import spectrum_of_taps
from diffapf.filters.fir import fir
from diffapf.filters.fractional_delay import windowed_sinc
from diffapf.filters.methods import SecondOrderSections

REACH = 16  # samples on either side that the interpolation reads
LOUDEST = 1.014  # gain of the interpolation, at any frequency and fraction
LARGEST_TURN = 0.98  # of a turn, interpolation aside: 0.98 · 1.014 < 1

LoopState = tuple[Tensor, Tensor | None]


@dataclass
class DelayLoop:
    """The module's loop.

    samples: the delay, a scalar in float64 from REACH on; longest: what it may be moved to in a stream; feedback: f, a
    scalar; sos: E, `(S, 6)`; damping: of the delay's gradient, in nepers for each radian a sample; None: the true one.

    Its state is what entered the lines, `(..., lines, longest + REACH)`, oldest first, and E's registers.
    """

    samples: Tensor
    longest: int
    feedback: Tensor
    sos: Tensor | None = None
    damping: Tensor | None = None

    def run(self, v: Tensor, state: LoopState | None = None) -> tuple[Tensor, LoopState]:
        """`(..., lines, time)`, one line or two crossed ones → w, of the same shape, and the state after it."""
        if v.shape[-2] not in (1, 2):
            raise ValueError(f"v must have one line or two, (..., 1 or 2, time), got {tuple(v.shape)}")
        past, registers = state or (v.new_zeros(*v.shape[:-1], self.longest + REACH), None)
        if past.shape != (wanted := (*v.shape[:-1], self.longest + REACH)):
            raise ValueError(
                f"the state must be of such signals, with a past of shape {wanted}, got {tuple(past.shape)}"
            )
        taps, whole, feedback = self._taps().to(v.dtype), self._whole(), self.feedback.to(v.dtype)
        begin = past.shape[-1] - whole - REACH  # of what the taps read, oldest first
        left = [v[..., :0]]
        for block in v.split(whole - REACH + 1, -1) if v.shape[-1] else ():
            read = past[..., begin : begin + block.shape[-1] + 2 * REACH - 1]
            w = fir(read, taps)[..., 2 * REACH - 1 :]  # type: ignore[call-overload]
            if self.sos is not None:
                w, registers = SecondOrderSections(self.sos).run(w, registers)
            left.append(w)
            u = block + feedback * w.flip(-2)
            past = torch.cat([past, u], -1)[..., block.shape[-1] :]
        return torch.cat(left, -1), (past, registers)

    def turn(self, n: int, radius: float) -> Tensor:
        """P at z = radius · exp(2πj k/n), k = 0 … n/2: complex128."""
        P = self._delay(n, radius)
        return P if self.sos is None else P * SecondOrderSections(self.sos).spectrum(n, radius)

    def _delay(self, n: int, radius: float) -> Tensor:
        """D; with a damping, the true one's value and the damped one's gradient."""
        exact = spectrum_of_taps(self._taps(), self._whole() - REACH + 1, n, radius)
        if self.damping is None:
            return exact
        omega = torch.arange(n // 2 + 1, dtype=torch.float64, device=exact.device) * (2 * math.pi / n)
        nepers = -self.damping * omega - math.log(radius) * self.samples
        damped = torch.exp(torch.complex(nepers, -omega * self.samples))  # the gradient of `polar` fails at denormals
        return damped + (exact - damped).detach()

    def _whole(self) -> int:
        """Its whole samples, which no derivative moves."""
        whole = int(unwrapped(self.samples).detach().floor())
        if not REACH <= whole <= self.longest:
            raise ValueError(f"the delay must lie between {REACH} and {self.longest} samples, got {whole}")
        return whole

    def _taps(self) -> Tensor:
        """Of what is left, behind those: the first one's delay is REACH − 1 less."""
        return windowed_sinc(self.samples - self._whole(), REACH)
