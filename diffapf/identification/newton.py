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

import torch
from torch import Tensor, nn

from diffapf.identification.fit import (
    ALL_ITERATIONS,
    CONVERGED,
    INTERRUPTED,
    NO_STEP_HELPS,
    NOTHING_PROMISED,
    STOPPED,
    Iteration,
)
from diffapf.identification.hessians import STRATEGIES, hessian
from diffapf.identification.layout import Bounds, Layout, Parameters
from diffapf.identification.modules import _check_names, _is_named, _with
from diffapf.identification.step import bounded_step, pushed_outwards

FACTOR = 8.0  # by which λ falls and rises
LEAST_DAMPING, MOST_DAMPING = 1e-15, 1e12
LEAST_CURVATURE = 1e-12  # of the largest eigenvalue
SMALL_GAINS = 2  # in a row, and the descent is over

Callback = Callable[[int, float, float, Parameters], bool | None]


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
    _check(loss, strategy, iterations, tolerance, damping)
    longest = layout.bounds({name: (-step, step) for name, step in (longest_steps or {}).items()})
    descent = _Descent(loss, layout, layout.bounds(bounds), longest, strategy, tolerance, damping, callback)
    return descent.run(layout.vector(parameters), iterations)


def minimise_module(
    module: nn.Module, loss: Callable[[nn.Module], Tensor], *, frozen: Collection[str] = (), **options
) -> Minimum:
    """Moves a module's trainable parameters to where a loss is least, by `newton`, and leaves them there.

    Args:
        module: its parameters with `requires_grad=False` stay as they are.
        loss: `loss(module)` → scalar.
        frozen: names of parameters, or of modules whose parameters all stay.
        options: as `newton` takes them.

    >>> layer = nn.Linear(1, 1)
    >>> found = minimise_module(layer, lambda layer: (layer(torch.tensor([[1.0], [2.0]])) - 3.0).square().sum())
    >>> round(layer.bias.item(), 4)
    3.0
    """
    if not isinstance(module, nn.Module):
        raise TypeError(f"module must be a torch.nn.Module, got {type(module).__name__}")
    parameters = dict(module.named_parameters())
    _check_names("frozen", frozen, parameters)
    stay = [name for name, tensor in parameters.items() if not tensor.requires_grad or _is_named(name, frozen)]
    found = newton(_with(module, loss), parameters, frozen=stay, **options)
    with torch.no_grad():
        for name, tensor in parameters.items():
            tensor.copy_(found.parameters[name])
    return found


@dataclass
class _Place:
    """A point, its loss, and the derivatives there."""

    vector: Tensor
    loss: float
    gradient: Tensor
    hessian: Tensor

    @property
    def finite(self) -> bool:
        return math.isfinite(self.loss) and bool(self.gradient.isfinite().all() & self.hessian.isfinite().all())


@dataclass
class _Descent:
    """The loop."""

    loss: Callable[[Parameters], Tensor]
    layout: Layout
    bounds: tuple[Tensor, Tensor]
    longest: tuple[Tensor, Tensor]
    strategy: str
    tolerance: float
    damping: float
    callback: Callback | None
    small_gains: int = 0
    rejected: int = 0
    history: list[Iteration] = field(default_factory=list)
    best: _Place = field(init=False)

    def run(self, vector: Tensor, iterations: int) -> Minimum:
        self.best = self._start(vector)
        why = None
        try:
            why = self._report(0)
            for number in range(1, iterations + 1):
                if why:
                    break
                why = self._iteration()
                why = self._report(number) or why
        except KeyboardInterrupt:
            why = INTERRUPTED
        best = self.best
        held = pushed_outwards(best.gradient, self.bounds[0] - best.vector, self.bounds[1] - best.vector)
        return Minimum(
            self.layout.parameters(best.vector),
            best.loss,
            why or ALL_ITERATIONS,
            self.history,
            best.gradient,
            best.hessian,
            [name for name, at in zip(self.layout.labels, held, strict=True) if at],
        )

    def _start(self, vector: Tensor) -> _Place:
        outside = ~((vector >= self.bounds[0]) & (vector <= self.bounds[1]))
        if outside.any():
            names = [name for name, out in zip(self.layout.labels, outside, strict=True) if out]
            raise ValueError(f"the start must be finite and within its bounds; {', '.join(names)} is not")
        place = self._place(vector)
        if not place.finite:
            raise ValueError(
                "the loss at the start, or its derivatives, are not finite: start where the model is stable"
            )
        return place

    def _of_vector(self, vector: Tensor) -> Tensor:
        """The loss of the free parameters as one vector, through which it is differentiated."""
        parts = vector.split([tensor.numel() for tensor in self.layout.free.values()])
        pairs = zip(self.layout.free.items(), parts, strict=True)
        free = {name: part.reshape(like.shape).to(like.device, like.dtype) for (name, like), part in pairs}
        value = self.loss(self.layout.complete(free))
        if not isinstance(value, Tensor) or value.dim() or not value.is_floating_point():
            raise TypeError("loss must return a real tensor without dimensions")
        return value

    def _place(self, vector: Tensor) -> _Place:
        value, gradient, matrix = hessian(self._of_vector, vector, self.strategy)
        return _Place(vector, float(value), gradient.double().cpu(), matrix.double().cpu())

    def _iteration(self) -> str | None:
        """Tries steps until one helps, and takes it. Returns why there is none, or why it was the last."""
        best = self.best
        curvature = magnitude(best.hessian)
        room = (
            torch.maximum(self.bounds[0] - best.vector, self.longest[0]),
            torch.minimum(self.bounds[1] - best.vector, self.longest[1]),
        )
        self.rejected = 0
        while self.damping <= MOST_DAMPING:
            step = bounded_step(curvature, best.gradient, self.damping, *room)
            promised = -1.0 if step is None else -float(step @ (best.gradient + curvature @ step / 2))
            place = None if step is None or promised <= 0 else self._reached(best.vector + step)
            if place is not None:
                self.damping = max(self.damping / FACTOR, LEAST_DAMPING)
                self.best = place
                return self._after(best.loss - place.loss, abs(best.loss))
            self.damping = max(self.damping * FACTOR, LEAST_DAMPING)
            self.rejected += 1
            if 0 <= promised <= self.tolerance * abs(best.loss):  # shorter steps promise less still
                return NOTHING_PROMISED
        return NO_STEP_HELPS

    def _reached(self, vector: Tensor) -> _Place | None:
        vector = torch.minimum(torch.maximum(vector, self.bounds[0]), self.bounds[1])  # x + (bound − x) rounds
        with torch.no_grad():
            if not float(self._of_vector(vector)) < self.best.loss:  # nor if it is NaN
                return None
        place = self._place(vector)
        return place if place.finite else None

    def _after(self, gain: float, before: float) -> str | None:
        self.small_gains = self.small_gains + 1 if gain < self.tolerance * before else 0
        return None if self.small_gains < SMALL_GAINS else CONVERGED

    def _report(self, number: int) -> str | None:
        self.history.append(Iteration(number, self.best.loss, self.damping, self.rejected))
        if self.callback is None:
            return None
        stop = self.callback(number, self.best.loss, self.damping, self.layout.parameters(self.best.vector))
        return STOPPED if stop else None


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


def _check(loss: object, strategy: str, iterations: object, tolerance: object, damping: object) -> None:
    if not callable(loss):
        raise TypeError(f"loss must be a function of the parameters, got {type(loss).__name__}")
    if strategy not in STRATEGIES:
        raise ValueError(f"strategy must be one of {', '.join(STRATEGIES)}, got {strategy!r}")
    if isinstance(iterations, bool) or not isinstance(iterations, int) or iterations < 0:
        raise ValueError(f"iterations must be a number of steps, at least 0, got {iterations!r}")
    for name, value in (("tolerance", tolerance), ("damping", damping)):
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
            raise ValueError(f"{name} must be a finite number, at least 0, got {value!r}")
