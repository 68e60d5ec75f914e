"""The modes of a rectangular metal plate, simply supported at its edges and under tension.

    ω²_mn = (T/μ) γ + (D/μ) γ²,   γ = (mπ/Lx)² + (nπ/Ly)²,   μ = ρh,   D = Eh³/(12 (1 − ν²))
    σ = α + β ω²
    h(t) = Σ C Φ(in) Φ(out) exp(−σt) sin(ω't)/ω',   ω'² = ω² − σ²,   Φ(x, y) = sin(mπx/Lx) sin(nπy/Ly)

Source: the 1st DAFx Parameter Estimation Challenge, whose plates have Lx = 1 m, ν = 0.25 and these decays.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from diffapf.parameters import is_finite_number

MOST_MODES = 100_000


@dataclass(frozen=True)
class Modes:
    """Modes of anything that rings: h(t) = Im Σ_k g_k exp((−σ_k + 2πi f_k) t).

    Args:
        frequency_hz: f, `(K,)`, 0 or more.
        decay: σ, `(K,)`, in 1/s, positive; a mode's T60 is 6.91/σ.
        gain: g, `(K,)`: a real one of sines, a complex one of sines and, its imaginary part, cosines.

    Raises:
        ValueError, TypeError: what is no such tensor; the message names it.
    """

    frequency_hz: Tensor
    decay: Tensor
    gain: Tensor

    def __post_init__(self):
        for field, dtype in zip(fields(self), (torch.float64, torch.float64, torch.complex128), strict=True):
            value = getattr(self, field.name)
            if not isinstance(value, Tensor):
                raise TypeError(f"{field.name} must be a tensor, got {type(value).__name__}")
            if value.dim() != 1 or len(value) == 0 or value.shape != self.frequency_hz.shape:
                shapes = " and ".join(str(tuple(getattr(self, each.name).shape)) for each in fields(self))
                raise ValueError(f"frequency_hz, decay and gain must have one shape, (modes,); got {shapes}")
            if not value.isfinite().all() or (value.is_complex() and dtype != torch.complex128):
                raise ValueError(f"{field.name} must be finite{'' if dtype.is_complex else ', real'} numbers")
            object.__setattr__(self, field.name, value.detach().to(dtype))
        if (self.frequency_hz < 0).any():
            raise ValueError(f"frequency_hz must not be negative, got {float(self.frequency_hz.min()):g}")
        if not (self.decay > 0).all():
            raise ValueError(f"decay must be positive, in 1/s, got {float(self.decay.min()):g}")

    def __len__(self) -> int:
        return len(self.frequency_hz)

    def louder(self, factor: float) -> Modes:
        return Modes(self.frequency_hz, self.decay, factor * self.gain)


@dataclass(frozen=True)
class MetalPlate:
    """A plate as it is bought and hung; the defaults are steel of 1 m × 2 m × 0.5 mm, a usual reverb plate.

    Args:
        width_m, height_m: Lx and Ly.
        thickness_mm: h.
        tension: T, in N/m.
        density: ρ, in kg/m³.
        young_gpa: Young's modulus E.
        poisson: ν.
        driven_at, heard_at: (x, y) as shares of width and height, in (0, 1).
        t60_s: of a mode at 0 Hz, and of one at 500 Hz, which is shorter.
        highest_hz: modes above are left out.

    Raises:
        ValueError: an argument outside what is said here; the message names it.

    >>> len(MetalPlate(thickness_mm=5.0, highest_hz=200.0).modes())
    20
    """

    width_m: float = 1.0
    height_m: float = 2.0
    thickness_mm: float = 0.5
    tension: float = 100.0
    density: float = 7850.0
    young_gpa: float = 200.0
    poisson: float = 0.25
    driven_at: tuple[float, float] = (0.335, 0.467)
    heard_at: tuple[float, float] = (0.71, 0.62)
    t60_s: tuple[float, float] = (6.0, 2.0)
    highest_hz: float = 10_000.0

    def __post_init__(self):
        for name in ("width_m", "height_m", "thickness_mm", "density", "young_gpa", "highest_hz"):
            value = getattr(self, name)
            if not (is_finite_number(value) and value > 0):
                raise ValueError(f"{name} must be a positive number, got {value!r}")
        if not (is_finite_number(self.tension) and self.tension >= 0):
            raise ValueError(f"tension must be 0 or more, in N/m, got {self.tension!r}")
        if not (is_finite_number(self.poisson) and -1 < self.poisson < 0.5):
            raise ValueError(f"poisson must be between −1 and 0.5, got {self.poisson!r}")
        for name in ("driven_at", "heard_at"):
            place = getattr(self, name)
            if len(place) != 2 or not all(is_finite_number(share) and 0 < share < 1 for share in place):
                raise ValueError(f"{name} must be two shares of width and height between 0 and 1, got {place!r}")
        if len(self.t60_s) != 2 or not self.t60_s[0] >= self.t60_s[1] > 0:
            raise ValueError(f"t60_s must be two times in seconds, the second not longer; got {self.t60_s!r}")

    def modes(self) -> Modes:
        """Its modes up to the highest frequency, by frequency; raises ValueError where there are none, or over 100 000."""
        m, n = self._numbers()
        by_x, by_y = m * math.pi / self.width_m, n * math.pi / self.height_m
        omega_2 = self._omega_2(by_x.square() + by_y.square())
        slope = math.log(1000.0)
        alpha, at_500 = (slope / t60 for t60 in self.t60_s)
        decay = alpha + (at_500 - alpha) * omega_2 / (2 * math.pi * 500.0) ** 2
        damped = (omega_2 - decay.square()).clamp_min(0.0).sqrt()
        kept = ((damped > 0) & (omega_2.sqrt() <= 2 * math.pi * self.highest_hz)).nonzero()[:, 0]
        if not 0 < len(kept) <= MOST_MODES:
            raise ValueError(
                f"the plate has {len(kept)} modes below {self.highest_hz:g} Hz; 1 to {MOST_MODES} are played"
            )
        kept = kept[damped[kept].argsort()]
        shapes = torch.ones_like(damped)
        for x, y in (self.driven_at, self.heard_at):
            shapes = shapes * torch.sin(m * math.pi * x) * torch.sin(n * math.pi * y)
        gain = 16 * shapes / (self._mass() * (self.width_m * self.height_m) ** 2) / damped
        return Modes(damped[kept] / (2 * math.pi), decay[kept], gain[kept])

    def _mass(self) -> float:
        """μ, in kg/m²."""
        return self.density * self.thickness_mm / 1000

    def _omega_2(self, gamma: Tensor) -> Tensor:
        stiffness = 1e9 * self.young_gpa * (self.thickness_mm / 1000) ** 3 / (12 * (1 - self.poisson**2))
        return (self.tension * gamma + stiffness * gamma.square()) / self._mass()

    def _numbers(self) -> tuple[Tensor, Tensor]:
        """(m, n) of all modes whose half waves along one side alone would not be too high."""
        sides = []
        for side in (self.width_m, self.height_m):
            count = 1
            while count < MOST_MODES and self._below((count + 1) * math.pi / side):
                count += 1
            sides.append(torch.arange(1.0, count + 1, dtype=torch.float64))
        if len(sides[0]) * len(sides[1]) > 4 * MOST_MODES:
            raise ValueError(f"the plate has over {MOST_MODES} modes below {self.highest_hz:g} Hz; lower highest_hz")
        m, n = torch.meshgrid(*sides, indexing="ij")
        return m.flatten(), n.flatten()

    def _below(self, wave_number: float) -> bool:
        gamma = torch.tensor(wave_number, dtype=torch.float64).square()
        return float(self._omega_2(gamma)) <= (2 * math.pi * self.highest_hz) ** 2
