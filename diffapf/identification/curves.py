"""A periodic curve through a table of costs, as a Fourier series, with the rate at which it repeats; and their uncertainty.

    u(θ) = c₀ + Σ_{k ≤ H} c_k cos 2πkθ + s_k sin 2πkθ,   θᵢ = f (tᵢ − t₀),   J(f, c, s) = Σᵢ C[i, u(θᵢ)] + ridge

C[i, ·] is read between its columns by cubics. Free sines make a phase redundant; t₀ is the middle of the recording, where
rate and phase are told apart best. The minimum is found by Newton steps that are damped as Levenberg's and Marquardt's.

The uncertainty is the sandwich estimate, which assumes neither that costs are log likelihoods nor that frames are
independent within a cluster: Cov = H⁻¹ (Σ_clusters g gᵀ) H⁻¹, H the Hessian of J and g a cluster's part of its gradient.

Source: Huber, "The behavior of maximum likelihood estimates under nonstandard conditions", 5th Berkeley Symposium, 1967;
in clusters: Liang and Zeger, Biometrika 73, 1986.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from diffapf.modulation import turned

CLUSTERS = 40


@dataclass
class PeriodicCurve:
    """The series at `rate_hz` about `origin` seconds; θ in cycles.

    coefficients: `(2H + 1,)`: c₀, c₁ … c_H, s₁ … s_H.
    covariance: `(2H + 2, 2H + 2)`: of the coefficients and, last, the rate.
    cost: J without its ridge.
    """

    coefficients: Tensor
    rate_hz: float
    origin: float
    covariance: Tensor
    cost: float = math.inf

    @classmethod
    def through(
        cls, path: Tensor, rate: float, origin: float, phase_at_0: float = 0.0, harmonics: int = 6
    ) -> PeriodicCurve:
        """The series nearest to a closed path `(phases,)` at equally spaced phases; `phase_at_0` (cycles) is at time 0."""
        phases = torch.arange(len(path), dtype=torch.float64) / len(path)
        basis = fourier_basis(phases - (rate * origin + phase_at_0), harmonics)
        normal = basis.mT @ basis + 1e-4 * len(path) * torch.diag(_roughness(harmonics))
        unknowns = 2 * harmonics + 2
        coefficients = torch.linalg.solve(normal, basis.mT @ path.double())
        return cls(coefficients, rate, origin, torch.zeros(unknowns, unknowns, dtype=torch.float64))

    @property
    def harmonics(self) -> int:
        return len(self.coefficients) // 2

    def phase(self, times: Tensor) -> Tensor:
        """In cycles, at times in seconds."""
        return self.rate_hz * (times - self.origin)

    def at(self, phase: Tensor) -> Tensor:
        """u at phases in cycles."""
        return fourier_basis(phase, self.harmonics) @ self.coefficients

    def deviation(self, phase: Tensor) -> Tensor:
        """The standard uncertainty of u at phases in cycles."""
        basis = fourier_basis(phase, self.harmonics)
        return ((basis @ self.covariance[:-1, :-1]) * basis).sum(-1).clamp(min=0).sqrt()

    @property
    def rate_deviation(self) -> float:
        """The standard uncertainty of the rate in Hz."""
        return math.sqrt(max(0.0, float(self.covariance[-1, -1])))

    def crest(self) -> tuple[float, Tensor]:
        """The phase in cycles at which the first harmonic is highest, and its gradient by the coefficients."""
        cosine, sine = float(self.coefficients[1]), float(self.coefficients[1 + self.harmonics])
        gradient = torch.zeros_like(self.coefficients)
        scale = 2 * math.pi * max(cosine**2 + sine**2, 1e-300)
        gradient[1], gradient[1 + self.harmonics] = -sine / scale, cosine / scale
        return math.atan2(sine, cosine) / (2 * math.pi), gradient

    def phase_from_crest(self, seconds: float) -> tuple[float, float]:
        """The phase in cycles, 0 … 1, counted from the crest, at a time, and its standard uncertainty."""
        crest, by_coefficients = self.crest()
        gradient = torch.cat([-by_coefficients, by_coefficients.new_tensor([seconds - self.origin])])
        variance = float(gradient @ self.covariance @ gradient)
        return (self.rate_hz * (seconds - self.origin) - crest) % 1.0, math.sqrt(max(0.0, variance))

    def scaled(self, scale: float, shift: float) -> PeriodicCurve:
        """scale · u + shift, at the same rate."""
        factors = torch.full_like(self.covariance[0], scale)
        factors[-1] = 1.0
        coefficients = scale * self.coefficients
        coefficients[0] += shift
        covariance = factors[:, None] * self.covariance * factors
        return PeriodicCurve(coefficients, self.rate_hz, self.origin, covariance, self.cost)

    def turned(self, cycles: float) -> Tensor:
        """The coefficients of u(θ + cycles)."""
        cosine, sine = self.coefficients[1:].split(self.harmonics)
        return torch.cat([self.coefficients[:1], *turned(cosine, sine, cycles)])


def fourier_basis(phase: Tensor, harmonics: int) -> Tensor:
    """1, cos 2πkθ …, sin 2πkθ …, `(..., 2H + 1)`, in double precision.

    >>> fourier_basis(torch.tensor([0.0, 0.5]), 1).round().abs()
    tensor([[1., 1., 0.],
            [1., 1., 0.]], dtype=torch.float64)
    """
    angle = 2 * math.pi * phase.double()[..., None] * torch.arange(1, harmonics + 1, device=phase.device)
    return torch.cat([torch.ones_like(phase.double())[..., None], angle.cos(), angle.sin()], -1)


def fourier_slopes(phase: Tensor, harmonics: int) -> Tensor:
    """The derivative of `fourier_basis` by θ."""
    k = 2 * math.pi * torch.arange(1, harmonics + 1, dtype=torch.float64, device=phase.device)
    angle = phase.double()[..., None] * k
    return torch.cat([torch.zeros_like(phase.double())[..., None], -k * angle.sin(), k * angle.cos()], -1)


def fit_curve(
    cost: Tensor, times: Tensor, start: PeriodicCurve, even: bool = False, ridge: float = 1e-4, steps: int = 12
) -> PeriodicCurve:
    """The curve and the rate of least J.

    Args:
        cost: C, `(frames, values)`.
        times: of the frames, in seconds.
        start: a curve near it, about the middle of `times`.
        even: whether the curve must fall as it rises: u(θ) = u(2 θ₀ − θ). For recordings of few periods.
        ridge: of harmonic k: this times (k² − 1)² times the curvature of J; it decides where no frame does.
        steps: Newton steps at most.
    """
    cost, times, origin = cost.double(), times.double(), start.origin
    expand = _expand_even if even else _expand_free
    reduced = (
        _reduced_even(start)
        if even
        else torch.cat([start.coefficients, start.coefficients.new_tensor([start.rate_hz])])
    )
    roughness = torch.cat([_roughness(start.harmonics), torch.zeros(1, dtype=torch.float64)])
    penalty = ridge * _curvature(cost, times, origin, expand(reduced)[0]) * roughness

    def objective(unknown: Tensor) -> float:
        values = read_between(cost, _curve(unknown, times, origin))[0]
        return float(values.sum() + 0.5 * (penalty * unknown**2).sum())

    def normal_equations(reduced: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        unknown, jacobian = expand(reduced)
        gradients, hessian = _derivatives(cost, times, origin, unknown)
        ridged = gradients.sum(0) + penalty * unknown
        return gradients @ jacobian, ridged @ jacobian, jacobian.mT @ (hessian + torch.diag(penalty)) @ jacobian

    damping, best = 1e-3, objective(expand(reduced)[0])
    for _ in range(steps):
        _, gradient, hessian = normal_equations(reduced)
        gain = 0.0
        while damping < 1e6 and gain <= 0:
            damped = hessian + damping * torch.diag(hessian.diagonal().clamp(min=1e-12))
            candidate = reduced - torch.linalg.solve(damped, gradient)
            gain = best - objective(expand(candidate)[0])
            damping = damping / 8 if gain > 0 else damping * 8
        if gain <= 0:
            break
        reduced, best = candidate, best - gain
        if gain < 1e-6 * best:
            break
    unknown, jacobian = expand(reduced)
    gradients, _, hessian = normal_equations(reduced)
    covariance = jacobian @ sandwich(gradients, hessian) @ jacobian.mT
    explained = float(read_between(cost, _curve(unknown, times, origin))[0].sum())
    return PeriodicCurve(unknown[:-1], float(unknown[-1]), origin, covariance, explained)


# What Newton's steps move: all the unknowns; or, for an even curve, c₀ … c_H, the phase φ of its axis, and the rate:
# Σ c_k cos 2πk(θ + φ).


def _expand_free(unknown: Tensor) -> tuple[Tensor, Tensor]:
    return unknown, torch.eye(len(unknown), dtype=unknown.dtype)


def _expand_even(reduced: Tensor) -> tuple[Tensor, Tensor]:
    harmonics = len(reduced) - 3
    k = torch.arange(1, harmonics + 1, dtype=torch.float64)
    c, axis = reduced[1 : 1 + harmonics], reduced[-2]
    cosine, sine = (2 * math.pi * k * axis).cos(), (2 * math.pi * k * axis).sin()
    jacobian = torch.zeros(2 * harmonics + 2, len(reduced), dtype=torch.float64)
    first = torch.arange(1, harmonics + 1)
    jacobian[0, 0] = jacobian[-1, -1] = 1.0
    jacobian[first, first], jacobian[first + harmonics, first] = cosine, -sine
    jacobian[first, -2], jacobian[first + harmonics, -2] = -2 * math.pi * k * c * sine, -2 * math.pi * k * c * cosine
    return torch.cat([reduced[:1], c * cosine, -c * sine, reduced[-1:]]), jacobian


def _reduced_even(curve: PeriodicCurve) -> Tensor:
    """The even curve nearest to one, about its crest."""
    crest, _ = curve.crest()
    even = curve.turned(crest)[: 1 + curve.harmonics]
    return torch.cat([even, even.new_tensor([-crest, curve.rate_hz])])


def _roughness(harmonics: int) -> Tensor:
    """What the ridge holds against each coefficient: nothing against a plain sine wave, k⁴ against high harmonics."""
    order = torch.arange(1, harmonics + 1, dtype=torch.float64)
    rough = (order**2 - 1) ** 2
    return torch.cat([torch.zeros(1, dtype=torch.float64), rough, rough])


def _curve(unknown: Tensor, times: Tensor, origin: float) -> Tensor:
    return fourier_basis(unknown[-1] * (times - origin), len(unknown) // 2 - 1) @ unknown[:-1]


def _derivatives(cost: Tensor, times: Tensor, origin: float, unknown: Tensor) -> tuple[Tensor, Tensor]:
    """Each frame's gradient of J without its ridge, `(frames, 2H + 2)`, and the Hessian (its positive part)."""
    phase = unknown[-1] * (times - origin)
    harmonics = len(unknown) // 2 - 1
    basis = fourier_basis(phase, harmonics)
    by_rate = (times - origin) * (fourier_slopes(phase, harmonics) @ unknown[:-1])
    jacobian = torch.cat([basis, by_rate[:, None]], 1)
    _, slope, bend = read_between(cost, basis @ unknown[:-1])
    return slope[:, None] * jacobian, jacobian.mT @ (bend.clamp(min=0)[:, None] * jacobian)


def _curvature(cost: Tensor, times: Tensor, origin: float, unknown: Tensor) -> Tensor:
    bend = read_between(cost, _curve(unknown, times, origin))[2]
    return bend.clamp(min=0).sum().clamp(min=torch.finfo(torch.float64).tiny)


def read_between(cost: Tensor, place: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Each frame's cost at a place between the columns, `(frames,)`, and its first and second derivative.

    Value and slope are a Catmull–Rom cubic's, whose slope is continuous; the second derivative is that of the neighbours'
    second differences, linearly between them. Beyond the ends the cost grows quadratically and never falls.
    """
    values = cost.shape[1]
    inside = place.clamp(1, values - 2.001)
    beyond = place - inside
    lower = inside.floor().long()
    part = inside - lower
    rows = torch.arange(len(place), device=place.device)
    columns = torch.arange(-1, 3, device=place.device) + lower[:, None]
    a, b, c, d = cost[rows[:, None], columns].unbind(1)
    first, second, third = (c - a) / 2, a - 2.5 * b + 2 * c - d / 2, (d - a) / 2 + 1.5 * (b - c)
    value = b + part * (first + part * (second + part * third))
    slope = first + part * (2 * second + 3 * part * third)
    bend = torch.lerp(a - 2 * b + c, b - 2 * c + d, part)
    outside = bend.clamp(min=0)
    outward = torch.where((beyond == 0) | (slope * beyond > 0), slope, 0.0)
    return value + beyond * (outward + beyond * outside / 2), outward + beyond * outside, bend


def sandwich(gradients: Tensor, hessian: Tensor, clusters: int = CLUSTERS) -> Tensor:
    """The module's Cov for each frame's gradients `(frames, unknowns)`, frames in order of time.

    Clusters are equal stretches of time, at least two frames each.
    """
    length = max(2, math.ceil(len(gradients) / clusters))
    sums = torch.stack([part.sum(0) for part in gradients.split(length)])
    inverse = torch.linalg.pinv(hessian, hermitian=True)
    return inverse @ (sums.mT @ sums) @ inverse
