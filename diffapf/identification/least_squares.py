"""Levenberg–Marquardt: least squares by Gauss–Newton steps, damped until they help.

    (JᵀJ + λ diag JᵀJ) d = −Jᵀr,   lowest ≤ x + d ≤ highest

A step that lowers the cost is taken and λ divided by 8, any other is not and λ multiplied by 8: between Gauss–Newton,
which is quadratic near the end, and short steps down the scaled gradient, which help from anywhere. Derivatives are
forward mode's (`normal_equations.py`), for models of few parameters and long signals.

Source: Marquardt, "An algorithm for least-squares estimation of nonlinear parameters", SIAM Journal 1963; Nocedal and
Wright, "Numerical Optimization", 2nd ed., chapter 10.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from diffapf.identification.fit import (
    ALL_ITERATIONS,
    CONVERGED,
    EXACT,
    INTERRUPTED,
    NO_STEP_HELPS,
    NOTHING_PROMISED,
    STOPPED,
    Fit,
    Iteration,
)
from diffapf.identification.layout import Bounds, Groups, Layout, Parameters
from diffapf.identification.normal_equations import NormalEquations, OwnTangents, Stream, cost, linearise
from diffapf.identification.robust import Robust
from diffapf.identification.step import bounded_step, promised_gain, pushed_outwards

FACTOR = 8.0  # by which λ falls and rises
LEAST_DAMPING, MOST_DAMPING = 1e-15, 1e12
SMALL_GAINS = 2  # in a row, and the descent is over

Callback = Callable[[int, float, float, Parameters], bool | None]


def least_squares(
    residuals: Callable[..., Any],
    parameters: Mapping[str, Tensor],
    *,
    blocks: int | None = None,
    state: Any = None,
    bounds: Bounds | None = None,
    frozen: Collection[str] = (),
    groups: Groups | None = None,
    weights: Tensor | Sequence[Tensor] | None = None,
    robust: Robust | None = None,
    tangents: OwnTangents | None = None,
    longest_steps: Mapping[str, float] | None = None,
    feasible: Callable[[Parameters], bool] | None = None,
    iterations: int = 50,
    tolerance: float = 1e-6,
    damping: float = 1e-3,
    callback: Callback | None = None,
) -> Fit:
    """Finds the parameters x for which the sum of squares Σ w r(x)² is least, by Levenberg–Marquardt.

    Args:
        residuals: `residuals(parameters)` → r, a real tensor of any shape; or with `blocks`,
            `residuals(parameters, block, state)` → (r of this block, the next block's state). Differentiable in
            forward mode. `parameters` is a dict, as given.
        parameters: where to start: real tensors by name, of any shapes. Their dtypes are what residuals are computed
            in; sums and solutions are float64.
        blocks: the number of blocks; 32 768 samples each is a good length for filters.
        state: the first block's state: tensors and anything else, in any nest of tuples, lists and dicts. Or a function
            of the parameters that returns it: so the state may also hold what all blocks share, computed only once.
        bounds: (lowest, highest) by name, numbers or tensors of the parameter's shape; None: no bound.
        frozen: names of parameters that stay.
        groups: lists of names; those of a list are differentiated together, and apart from all others. It costs another
            pass, and saves the derivatives of what a group has no part in, as of a filter before the one that it moves.
        weights: w ≥ 0, one tensor for each block (a single one without `blocks`), that broadcasts to its residuals.
        robust: a `Robust`, for residuals of which some frames are spoilt.
        tangents: `tangents(parameters, directions, block, state)` → (r, its tangents `(directions, *r.shape)`, next state),
            for a model that knows them cheaper than `torch.func` does; the first state is None. directions has the tangents
            of the parameters that are not frozen, `(directions, *shape)`. Groups don't matter then.
        longest_steps: by name, how far each element goes in a step at most; None: any way.
        feasible: `feasible(parameters)` → whether they may be tried at all, as for a filter's stability. What is not
            feasible, or gives a residual that is not finite, is a step that doesn't help.
        iterations: steps at most.
        tolerance: relative gains of the cost below this, two in a row, end the descent.
        damping: λ at the start.
        callback: `callback(iteration, cost, damping, parameters)` after each step, and before the first; True ends it.
            Ctrl-C ends it too, once the start has been evaluated: the best parameters so far are returned.

    Returns:
        A `Fit`: parameters, cost, why it stopped, history, JᵀJ, standard errors.

    Raises:
        ValueError, TypeError: arguments outside what is said here; a start that is not feasible, or out of bounds, or
            whose residuals or their derivatives are not finite.

    Source: Marquardt 1963; Nocedal and Wright, chapter 10.

    >>> t = torch.arange(50) / 10
    >>> def residuals(x):
    ...     return x["gain"] * torch.exp(-x["rate"] * t) - 3 * torch.exp(-0.7 * t)
    >>> fit = least_squares(residuals, {"gain": torch.tensor(1.0), "rate": torch.tensor(1.0)})
    >>> fit.parameters
    {'gain': tensor(3.), 'rate': tensor(0.7000)}
    """
    layout = Layout(parameters, frozen, groups)
    stream = _stream(residuals, blocks, state, weights, robust, tangents)
    _check_numbers(iterations, tolerance, damping)
    longest = layout.bounds({name: (-step, step) for name, step in (longest_steps or {}).items()})
    descent = _Descent(stream, layout, layout.bounds(bounds), longest, feasible, tolerance, damping, callback)
    return descent.run(layout.vector(parameters), iterations)


@dataclass
class _Descent:
    """The loop. What has been reached is in `vector` and `equations`, which always belong together."""

    stream: Stream
    layout: Layout
    bounds: tuple[Tensor, Tensor]
    longest: tuple[Tensor, Tensor]
    feasible: Callable[[Parameters], bool] | None
    tolerance: float
    damping: float
    callback: Callback | None
    small_gains: int = 0
    rejected: int = 0
    history: list[Iteration] = field(default_factory=list)
    best: tuple[Tensor, NormalEquations] = field(init=False)

    def run(self, vector: Tensor, iterations: int) -> Fit:
        self.best = vector, self._start(vector)
        try:
            why = self._report(0)
            for number in range(1, iterations + 1):
                if why or self.best[1].cost == 0:
                    break
                why = self._iteration()
                why = self._report(number) or why
        except KeyboardInterrupt:
            why = INTERRUPTED
        return self._fit(why or (ALL_ITERATIONS if self.best[1].cost else EXACT))

    def _start(self, vector: Tensor) -> NormalEquations:
        parameters = self.layout.parameters(vector)
        lowest, highest = self.bounds
        outside = ~((vector >= lowest) & (vector <= highest))
        if outside.any():
            names = [name for name, out in zip(self.layout.labels, outside, strict=True) if out]
            raise ValueError(f"the start must be finite and within its bounds; {', '.join(names)} is not")
        if self.feasible is not None and not self.feasible(parameters):
            raise ValueError("the start is not feasible: `feasible(parameters)` must be true of it")
        equations = linearise(self.stream, self.layout, vector)
        if not equations.finite:
            what = "derivatives" if math.isfinite(equations.cost) else "residuals"
            raise ValueError(f"the {what} at the start are not all finite: start where the model is stable")
        return equations

    def _iteration(self) -> str | None:
        """Tries steps until one helps, and takes it. Returns why there is none, or why it was the last."""
        vector, equations = self.best
        information, gradient, before = equations.information, equations.gradient, equations.cost
        self.rejected = 0
        while self.damping <= MOST_DAMPING:
            step = bounded_step(information, gradient, self.damping, *self._room(vector))
            promised = -1.0 if step is None else promised_gain(information, gradient, step)
            reached = None if step is None or promised <= 0 else self._reached(vector + step, before)
            if reached is not None:
                self.damping = max(self.damping / FACTOR, LEAST_DAMPING)
                self.best = reached
                return self._after(before, reached[1].cost)
            self.damping *= FACTOR
            self.rejected += 1
            if 0 <= promised < self.tolerance * before:  # shorter steps promise less still
                return NOTHING_PROMISED
        return NO_STEP_HELPS

    def _room(self, vector: Tensor) -> tuple[Tensor, Tensor]:
        """How far a step may go, down and up."""
        return (
            torch.maximum(self.bounds[0] - vector, self.longest[0]),
            torch.minimum(self.bounds[1] - vector, self.longest[1]),
        )

    def _reached(self, vector: Tensor, limit: float) -> tuple[Tensor, NormalEquations] | None:
        """The point and its normal equations if it may be tried, costs less than the limit, and can be left again."""
        vector = torch.minimum(torch.maximum(vector, self.bounds[0]), self.bounds[1])  # x + (bound − x) rounds
        parameters = self.layout.parameters(vector)
        if self.feasible is not None and not self.feasible(parameters):
            return None
        # most steps help, and own tangents cost little more than the cost
        if self.stream.tangents is None and not cost(self.stream, parameters) < limit:  # nor if it is NaN
            return None
        equations = linearise(self.stream, self.layout, vector)
        return (vector, equations) if equations.finite and equations.cost < limit else None

    def _after(self, before: float, now: float) -> str | None:
        gain = (before - now) / before
        self.small_gains = self.small_gains + 1 if gain < self.tolerance else 0
        return None if self.small_gains < SMALL_GAINS else CONVERGED

    def _report(self, number: int) -> str | None:
        vector, equations = self.best
        self.history.append(Iteration(number, equations.cost, self.damping, self.rejected))
        if self.callback is None:
            return None
        stop = self.callback(number, equations.cost, self.damping, self.layout.parameters(vector))
        return STOPPED if stop else None

    def _fit(self, why: str) -> Fit:
        vector, equations = self.best
        held = pushed_outwards(equations.gradient, self.bounds[0] - vector, self.bounds[1] - vector)
        return Fit(
            parameters=self.layout.parameters(vector),
            cost=equations.cost,
            count=equations.count,
            why=why,
            history=self.history,
            information=equations.information,
            gradient=equations.gradient,
            at_bounds=[name for name, at in zip(self.layout.labels, held, strict=True) if at],
            layout=self.layout,
            resolution=equations.resolution,
        )


# ----------------------------------------------------------------------------------------------------------- arguments


def _stream(
    residuals: Callable,
    blocks: int | None,
    state: Any,
    weights: Any,
    robust: Robust | None,
    tangents: OwnTangents | None,
) -> Stream:
    if not callable(residuals):
        raise TypeError(f"residuals must be a function of the parameters, got {type(residuals).__name__}")
    if robust is not None and not isinstance(robust, Robust):
        raise TypeError(f"robust must be a Robust(scale, …), got {type(robust).__name__}")
    if blocks is None:
        if state is not None:
            raise ValueError("a state goes from block to block: give blocks, the number of them, too")
        weights = None if weights is None else [weights]
        _check_weights(weights)
        return Stream(
            lambda parameters, block, state: (residuals(parameters), None), 1, None, weights, robust, tangents
        )
    if isinstance(blocks, bool) or not isinstance(blocks, int) or blocks < 1:
        raise ValueError(f"blocks must be a positive number of blocks, got {blocks!r}")
    if weights is not None and (isinstance(weights, Tensor) or len(weights) != blocks):
        got = "one tensor" if isinstance(weights, Tensor) else str(len(weights))
        raise ValueError(f"weights must be a list of tensors, one for each of the {blocks} blocks, got {got}")
    _check_weights(weights)
    return Stream(residuals, blocks, state, weights, robust, tangents)


def _check_weights(weights: Sequence[Tensor] | None) -> None:
    for block, tensor in enumerate(weights or ()):
        if not isinstance(tensor, Tensor):
            raise TypeError(f"weights must be tensors, got {type(tensor).__name__} for block {block}")
        if not ((tensor >= 0) & (tensor < torch.inf)).all():
            raise ValueError(f"weights must be finite and not negative; those of block {block} are not")


def _check_numbers(iterations: int, tolerance: float, damping: float) -> None:
    if isinstance(iterations, bool) or not isinstance(iterations, int) or iterations < 0:
        raise ValueError(f"iterations must be a number of steps, at least 0, got {iterations!r}")
    for name, value in (("tolerance", tolerance), ("damping", damping)):
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
            raise ValueError(f"{name} must be a finite number, at least 0, got {value!r}")
    if not damping:
        raise ValueError("damping must be positive: it starts there and adapts")
