"""Newton–Raphson: the least of any smooth loss of a few parameters, by exact Hessians, damped until a step helps.

    (|H| + λ diag |H|) d = −∇L,   lowest ≤ x + d ≤ highest

|H| has the eigenvalues of the Hessian, scaled to a diagonal of ±1, by their magnitude: where the loss curves down, the step
goes down the slope and not to the saddle. Near a minimum |H| = H, and the descent is quadratic. λ falls and rises as in
`least_squares.py`, whose Hessian is JᵀJ alone: that one needs half of the derivatives, and a loss that is a sum of squares.

Source: Greenstadt, "On the relative efficiencies of gradient methods", Math. Comp. 1967 (magnitudes); Nocedal and Wright,
"Numerical Optimization", 2nd ed., section 3.4; Yu and Fazekas, "Sound matching an analogue levelling amplifier using the
Newton–Raphson method", AES AIMLA 2025 (a compressor so fitted).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from diffapf.identification.descent import Callback, Descent, check_numbers
from diffapf.identification.fit import CONVERGED, NO_STEP_HELPS, NOTHING_PROMISED, Iteration
from diffapf.identification.hessians import STRATEGIES, hessian
from diffapf.identification.layout import Bounds, Layout, Parameters

LEAST_CURVATURE = 1e-12  # of the largest eigenvalue


@dataclass(frozen=True)
class Minimum:
    """What `newton` found: the best parameters, frozen ones included, and the loss about them."""

    parameters: Parameters
    loss: float
    why: str  # it stopped
    history: list[Iteration]
    gradient: Tensor = field(repr=False)  # of the free parameters, float64
    hessian: Tensor = field(repr=False)
    at_bounds: list[str]  # labels of parameters that a bound holds

    @property
    def converged(self) -> bool:
        return self.why in (CONVERGED, NOTHING_PROMISED, NO_STEP_HELPS)


def newton(
    loss: Callable[[Parameters], Tensor],
    parameters: Mapping[str, Tensor],
    *,
    bounds: Bounds | None = None,
    frozen: Collection[str] = (),
    longest_steps: Mapping[str, float] | None = None,
    strategy: str = "autograd rev-rev",
    iterations: int = 50,
    tolerance: float = 1e-6,
    damping: float = 1e-3,
    callback: Callback | None = None,
) -> Minimum:
    """Finds the parameters x for which the loss is least, by damped Newton–Raphson steps.

    Args:
        loss: `loss(parameters)` → a real scalar, twice differentiable. `parameters` is a dict, as given.
        parameters: where to start: real tensors by name, of any shapes.
        bounds: (lowest, highest) by name, numbers or tensors of the parameter's shape; None: no bound.
        frozen: names of parameters that stay.
        longest_steps: by name, how far each element goes in a step at most; None: any way.
        strategy: how the Hessian is taken; see `hessians.py`.
        iterations: steps at most.
        tolerance: relative gains of the loss below this, two in a row, end the descent.
        damping: λ at the start; 0: none until a step does not help.
        callback: `callback(iteration, loss, damping, parameters)` after each step, and before the first; True ends it.
            Ctrl-C ends it too: the best parameters so far are returned.

    Returns:
        A `Minimum`: parameters, loss, why it stopped, history, gradient and Hessian.

    Raises:
        ValueError, TypeError: arguments outside what is said here; a start out of bounds, or whose loss or its derivatives
            are not finite.

    >>> start = {"x": torch.tensor([-1.2, 1.0], dtype=torch.float64)}
    >>> found = newton(lambda p: (1 - p["x"][0]) ** 2 + 100 * (p["x"][1] - p["x"][0] ** 2) ** 2, start)
    >>> found.parameters["x"].round(decimals=6).tolist()
    [1.0, 1.0]
    """
    layout = Layout(parameters, frozen)
    _check(loss, strategy)
    check_numbers(iterations, tolerance, damping)
    longest = layout.bounds({name: (-step, step) for name, step in (longest_steps or {}).items()})
    descent = _Newton(layout, layout.bounds(bounds), longest, tolerance, damping, callback, loss, strategy)
    why = descent.run(layout.vector(parameters), iterations)
    place = descent.model
    return Minimum(
        layout.parameters(descent.vector),
        place.cost,
        why,
        descent.history,
        place.slope,
        place.hessian,
        descent.at_bounds,
    )


@dataclass(frozen=True)
class _Place:
    """A loss and its derivatives at a point; halved, they are those of a quadratic model."""

    cost: float
    slope: Tensor  # ∇L
    hessian: Tensor

    @property
    def gradient(self) -> Tensor:
        return self.slope / 2

    @cached_property
    def information(self) -> Tensor:
        return magnitude(self.hessian) / 2

    @property
    def finite(self) -> bool:
        return math.isfinite(self.cost) and bool(self.slope.isfinite().all() & self.hessian.isfinite().all())


@dataclass
class _Newton(Descent[_Place]):
    loss: Callable[[Parameters], Tensor]
    strategy: str

    def at_start(self, vector: Tensor) -> _Place:
        place = self._place(vector)
        if not place.finite:
            raise ValueError(
                "the loss at the start, or its derivatives, are not finite: start where the model is stable"
            )
        return place

    def below(self, limit: float, vector: Tensor) -> _Place | None:
        with torch.no_grad():
            if not float(self._of_vector(vector)) < limit:  # nor if it is NaN
                return None
        place = self._place(vector)
        return place if place.finite else None

    def promises_nothing(self, gain: float) -> bool:
        return super().promises_nothing(gain) or gain == self.tolerance * abs(
            self.model.cost
        )  # both are 0 at a loss of 0

    def _place(self, vector: Tensor) -> _Place:
        value, gradient, matrix = hessian(self._of_vector, vector, self.strategy)
        return _Place(float(value), gradient.double().cpu(), matrix.double().cpu())

    def _of_vector(self, vector: Tensor) -> Tensor:
        """The loss of the free parameters as one vector, through which it is differentiated."""
        parts = vector.split([tensor.numel() for tensor in self.layout.free.values()])
        pairs = zip(self.layout.free.items(), parts, strict=True)
        free = {name: part.reshape(like.shape).to(like.device, like.dtype) for (name, like), part in pairs}
        value = self.loss(self.layout.complete(free))
        if not isinstance(value, Tensor) or value.dim() or not value.is_floating_point():
            raise TypeError("loss must return a real tensor without dimensions")
        return value


def magnitude(matrix: Tensor) -> Tensor:
    """|H|: scaled to a diagonal of ±1, eigenvalues by their magnitude, scaled back.

    >>> magnitude(torch.diag(torch.tensor([2.0, -3.0]))).diagonal()
    tensor([2., 3.])
    """
    scale = matrix.diagonal().abs().sqrt()
    scale = torch.where(scale > 0, scale, 1.0)
    values, vectors = torch.linalg.eigh(matrix / (scale[:, None] * scale))
    values = values.abs()
    values = values.clamp_min(LEAST_CURVATURE * float(values.max().clamp_min(torch.finfo(values.dtype).tiny)))
    return (vectors * values) @ vectors.T * (scale[:, None] * scale)


def _check(loss: object, strategy: str) -> None:
    if not callable(loss):
        raise TypeError(f"loss must be a function of the parameters, got {type(loss).__name__}")
    if strategy not in STRATEGIES:
        raise ValueError(f"strategy must be one of {', '.join(STRATEGIES)}, got {strategy!r}")
