"""The derivative of the glottal flow: the Liljencrants–Fant (LF) model with one shape parameter, and tables of it.

Over a period of 1, with the largest negative value −1 at T_e, where the glottis closes:

    open phase    t < T_e   −e^(α(t − T_e)) sin(ω t)/sin(ω T_e),               ω = π/T_p
    return phase  t ≥ T_e   −(e^(−ε(t − T_e)) − e^(−ε T_b))/D,                 T_b = 1 − T_e

    R_a = −0.01 + 0.048 R_d,  R_k = 0.224 + 0.118 R_d,  R_g = R_k/4 (0.5 + 1.2 R_k)/(0.11 R_d − R_a (0.5 + 1.2 R_k))
    T_a = R_a,  T_p = 1/(2 R_g),  T_e = T_p (1 + R_k)

R_d runs from 0.3, a tense voice with strong harmonics, to 2.7, a breathy one that is almost a sine. ε and α make the
return phase begin with −1 and the net flow of a period zero: exactly (ε T_a = 1 − e^(−ε T_b) = D), or in a closed form
(ε = 1/T_a, and α of a triangle for the open phase's area) that leaves some flow.

Source: Fant, Liljencrants, Lin, "A four-parameter model of glottal flow", STL-QPSR 26, 1985; Fant, "The LF-model revisited",
STL-QPSR 36, 1995; Yu, Fazekas, "GOLF: A singing voice synthesiser with glottal flow wavetables and LPC filters", TISMIR 7,
2024.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

TENSE, BREATHY = 0.3, 2.7  # R_d
TABLES = 100
POINTS = 2048
HALVINGS = 100
STEEPEST = 200.0  # of α, a period
SOLUTIONS = ("exact", "closed")


@dataclass(frozen=True)
class GlottalPulse:
    """The times of a pulse, in periods, and its exponents, a period: float64, of R_d's shape."""

    t_a: Tensor
    t_p: Tensor
    t_e: Tensor
    alpha: Tensor
    epsilon: Tensor
    scale: Tensor
    """D of the return phase."""

    def at(self, t: Tensor) -> Tensor:
        """The derivative of the flow, `(..., points)`, at `(points,)` in [0, 1)."""
        t_p, t_e, alpha, epsilon, scale = (
            each[..., None] for each in (self.t_p, self.t_e, self.alpha, self.epsilon, self.scale)
        )
        omega = math.pi / t_p
        rising = -torch.exp(alpha * (t - t_e)) * torch.sin(omega * t) / torch.sin(omega * t_e)
        returning = -(torch.exp(-epsilon * (t - t_e)) - torch.exp(-epsilon * (1 - t_e))) / scale
        return torch.where(t < t_e, rising, returning)


def glottal_pulse(rd: Tensor | float, solution: str = "exact") -> GlottalPulse:
    """The LF pulse of a shape R_d, `(...)`.

    Raises:
        ValueError: R_d outside 0.3 … 2.7, for which the regressions were made; an unknown solution.

    >>> pulse = glottal_pulse(1.0)
    >>> [round(float(each), 3) for each in (pulse.t_e, pulse.t_p, pulse.alpha, pulse.epsilon)]
    [0.65, 0.484, 2.807, 26.313]
    """
    rd = torch.as_tensor(rd, dtype=torch.float64)
    slack = 1e-6
    if not bool(((rd >= TENSE - slack) & (rd <= BREATHY + slack)).all()):
        raise ValueError(f"R_d must be from {TENSE} (tense) to {BREATHY} (breathy), got {rd.tolist()}")
    if solution not in SOLUTIONS:
        raise ValueError(f"solution must be one of {', '.join(SOLUTIONS)}, got {solution!r}")
    t_a, t_p, t_e = _times(rd)
    if solution == "closed":
        epsilon = 1 / t_a
        return GlottalPulse(t_a, t_p, t_e, _alpha_of_a_triangle(t_p, t_e, epsilon), epsilon, _lost(epsilon, t_e))
    epsilon = _root(lambda e: _lost(e, t_e) - e * t_a, 1e-9 * torch.ones_like(rd), 2 / t_a)
    alpha = _root(lambda a: _net_flow(a, t_p, t_e, t_a, epsilon), -STEEPEST + 0 * rd, STEEPEST + 0 * rd)
    return GlottalPulse(t_a, t_p, t_e, alpha, epsilon, epsilon * t_a)


def glottal_tables(count: int = TABLES, points: int = POINTS, solution: str = "exact") -> Tensor:
    """Periods of flow derivative, `(count, points)`, float64: R_d from 0.3 to 2.7 in even steps of its logarithm.

    The glottis closes at the same place in all, each has no mean and a root mean square of 1.
    """
    if count < 2 or points < 8:
        raise ValueError(f"tables need at least 2 shapes and 8 points, got {count} and {points}")
    rd = shapes(count)
    periods = glottal_pulse(rd, solution).at(torch.arange(points, dtype=torch.float64) / points)
    closures = periods.argmin(-1)
    aligned = torch.stack(
        [period.roll(int(closures.max() - closure)) for period, closure in zip(periods, closures, strict=True)]
    )
    centred = aligned - aligned.mean(-1, keepdim=True)
    return centred / centred.square().mean(-1, keepdim=True).sqrt()


def shapes(count: int = TABLES) -> Tensor:
    """R_d of each table.

    >>> shapes(3)
    tensor([0.3000, 0.9000, 2.7000], dtype=torch.float64)
    """
    return torch.logspace(math.log10(TENSE), math.log10(BREATHY), count, dtype=torch.float64)


def table_position(rd: Tensor) -> Tensor:
    """Where between the first table, 0, and the last, 1, a shape lies.

    >>> table_position(torch.tensor([0.3, 0.9, 2.7]))
    tensor([0.0000, 0.5000, 1.0000])
    """
    return torch.log(rd / TENSE) / math.log(BREATHY / TENSE)


def _times(rd: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(T_a, T_p, T_e)."""
    r_a, r_k = -0.01 + 0.048 * rd, 0.224 + 0.118 * rd
    half = 0.5 + 1.2 * r_k
    t_p = 1 / (2 * (r_k / 4) * half / (0.11 * rd - r_a * half))
    return r_a, t_p, t_p * (1 + r_k)


def _lost(epsilon: Tensor, t_e: Tensor) -> Tensor:
    """1 − e^(−ε T_b)."""
    return -torch.expm1(-epsilon * (1 - t_e))


def _net_flow(alpha: Tensor, t_p: Tensor, t_e: Tensor, t_a: Tensor, epsilon: Tensor) -> Tensor:
    """The integrals of both phases."""
    omega, t_b = math.pi / t_p, 1 - t_e
    sine, power = torch.sin(omega * t_e), alpha**2 + omega**2
    opening = alpha * sine - omega * torch.cos(omega * t_e) + omega * torch.exp(-alpha * t_e)
    closing = (_lost(epsilon, t_e) - epsilon * t_b * torch.exp(-epsilon * t_b)) / (epsilon**2 * t_a)
    return -opening / (sine * power) - closing


def _alpha_of_a_triangle(t_p: Tensor, t_e: Tensor, epsilon: Tensor) -> Tensor:
    left = torch.exp(-epsilon * (1 - t_e))
    returned = ((left - 1) / epsilon + (1 - t_e) * left) / (1 - left)
    area = (t_e - t_p) / 2 - returned
    return torch.log(-math.pi * torch.sin(math.pi * t_e / t_p) * area / (2 * t_p)) / (t_p / 2 - t_e)


def _root(function, low: Tensor, high: Tensor) -> Tensor:
    """By bisection, of a function that changes its sign once between low and high."""
    at_low = function(low)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        below = torch.sign(function(middle)) == torch.sign(at_low)
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return (low + high) / 2
