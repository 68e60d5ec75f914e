"""Levenberg–Marquardt: least squares by Gauss–Newton steps, damped until they help.

    (JᵀJ + λ diag JᵀJ) d = −Jᵀr,   lowest ≤ x + d ≤ highest

A step that lowers the cost is taken and λ falls, any other is not and λ rises (`descent.py`): between Gauss–Newton, which
is quadratic near the end, and short steps down the scaled gradient, which help from anywhere. Derivatives are forward
mode's (`normal_equations.py`), for models of few parameters and long signals.

Source: Marquardt, "An algorithm for least-squares estimation of nonlinear parameters", SIAM Journal 1963; Nocedal and
Wright, "Numerical Optimization", 2nd ed., chapter 10.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from diffapf.identification.descent import Callback, Descent, check_numbers
from diffapf.identification.fit import Fit
from diffapf.identification.layout import Bounds, Groups, Layout, Parameters
from diffapf.identification.normal_equations import NormalEquations, OwnTangents, Stream, cost, linearise
from diffapf.identification.robust import Robust


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
    check_numbers(iterations, tolerance, damping)
    if not damping:
        raise ValueError("damping must be positive: it starts there and adapts")
    longest = layout.bounds({name: (-step, step) for name, step in (longest_steps or {}).items()})
    descent = _LeastSquares(layout, layout.bounds(bounds), longest, tolerance, damping, callback, stream, feasible)
    why = descent.run(layout.vector(parameters), iterations)
    equations = descent.model
    return Fit(
        parameters=layout.parameters(descent.vector),
        cost=equations.cost,
        count=equations.count,
        why=why,
        history=descent.history,
        information=equations.information,
        gradient=equations.gradient,
        at_bounds=descent.at_bounds,
        layout=layout,
        resolution=equations.resolution,
    )


@dataclass
class _LeastSquares(Descent[NormalEquations]):
    stream: Stream
    feasible: Callable[[Parameters], bool] | None

    def at_start(self, vector: Tensor) -> NormalEquations:
        if not self._feasible(vector):
            raise ValueError("the start is not feasible: `feasible(parameters)` must be true of it")
        equations = linearise(self.stream, self.layout, vector)
        if not equations.finite:
            what = "derivatives" if math.isfinite(equations.cost) else "residuals"
            raise ValueError(f"the {what} at the start are not all finite: start where the model is stable")
        return equations

    def below(self, limit: float, vector: Tensor) -> NormalEquations | None:
        if not self._feasible(vector):
            return None
        # the first step mostly helps, and own tangents cost little more than the cost
        likely = self.stream.tangents is not None and not self.rejected
        if not likely and not cost(self.stream, self.layout.parameters(vector)) < limit:  # nor if it is NaN
            return None
        equations = linearise(self.stream, self.layout, vector)
        return equations if equations.finite and equations.cost < limit else None

    def exact(self) -> bool:
        return self.model.cost == 0

    def _feasible(self, vector: Tensor) -> bool:
        return self.feasible is None or self.feasible(self.layout.parameters(vector))


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
