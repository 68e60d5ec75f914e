"""The normal equations of least squares whose residuals come in blocks of time, through forward-mode derivatives.

    r_b, s_{b+1} = residuals(x, b, s_b)        cost = Σ_b r_bᵀ W_b r_b
    JᵀWJ = Σ_b J_bᵀ W_b J_b                    JᵀWr = Σ_b J_bᵀ W_b r_b,     J_b = ∂r_b/∂x

The state s is whatever one block hands to the next, as a recursive filter's registers. It depends on x too: ∂s/∂x is
carried from block to block with it, so the sums are those of the whole signal, exactly. Nothing of a block outlives it
but the state: memory grows with the parameters times a block's samples, however long the signal.

All directions of a group of parameters go through a block at once, `vmap` over `jvp`: one call of each filter's kernel. A
model may know its own tangents instead.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.func import jvp, vmap
from torch.utils._pytree import tree_flatten, tree_unflatten

from diffapf.identification.layout import Layout, Parameters
from diffapf.identification.robust import Robust

Residuals = Callable[[Parameters, int, Any], tuple[Tensor, Any]]
OwnTangents = Callable[[Parameters, Parameters, int, Any], tuple[Tensor, Tensor, Any]]


@dataclass
class Stream:
    """What `least_squares` takes as residuals, blocks, state, weights, robust and tangents; see there."""

    residuals: Residuals
    blocks: int = 1
    state: Any = None
    weights: Sequence[Tensor] | None = None
    robust: Robust | None = None
    tangents: OwnTangents | None = None


@dataclass
class NormalEquations:
    """Sums over all blocks, in float64 on the CPU."""

    cost: float
    count: int  # residuals
    gradient: Tensor  # JᵀWr, (size,)
    information: Tensor  # JᵀWJ, (size, size)
    resolution: float  # eigenvalues of JᵀWJ, scaled to a diagonal of 1, that are below this are rounding

    @property
    def finite(self) -> bool:
        sums = self.gradient.isfinite().all() & self.information.isfinite().all()
        return bool(sums) and self.cost < torch.inf


@torch.no_grad()
def cost(stream: Stream, parameters: Parameters) -> float:
    """The weighted sum of squares, without derivatives."""
    total: Tensor | float = 0.0
    state = stream.state(parameters) if callable(stream.state) else stream.state
    for block in range(stream.blocks):
        residuals, state = _block(stream, parameters, block, state)
        total = total + _weighed(stream, block, residuals)[0]
    return float(total)


@torch.no_grad()
def linearise(stream: Stream, layout: Layout, vector: Tensor) -> NormalEquations:
    """The cost and the normal equations at a point."""
    kind = _Pass if stream.tangents is None else _OwnPass
    passes = [kind(stream, layout, layout.tensors(vector), group) for group in layout.groups]
    total: Tensor | float = 0.0
    gradient: Tensor | float = 0.0
    information: Tensor | float = 0.0
    count, dtype = 0, torch.float64
    for block in range(stream.blocks):
        parts = [each.block(block) for each in passes]
        residuals = parts[0][0]
        share, weights = _weighed(stream, block, residuals)
        rows = _together([tangents.reshape(len(tangents), -1).double() for _, tangents in parts])
        weighted = rows if weights is None else rows * weights.reshape(-1)
        total = total + share
        gradient = gradient + weighted @ residuals.reshape(-1).double()
        information = information + weighted @ rows.T
        count, dtype = count + residuals.numel(), residuals.dtype
    place = torch.cat([layout.places(group) for group in layout.groups]).argsort()
    gradient, information = gradient.cpu()[place], information.cpu()[place][:, place]  # type: ignore[union-attr]
    resolution = 1e-12 if dtype == torch.float64 else 1e-10  # float32 tangents of filters have errors of −120 dB
    return NormalEquations(float(total), count, gradient, information, resolution)


def _together(rows: list[Tensor]) -> Tensor:
    return rows[0] if len(rows) == 1 else torch.cat(rows)  # `cat` would copy a single one too


def _block(stream: Stream, parameters: Parameters, block: int, state: Any) -> tuple[Tensor, Any]:
    """A block of residuals and the next state, checked."""
    pair = stream.residuals(parameters, block, state)
    if not isinstance(pair, tuple) or len(pair) != 2:
        raise TypeError(f"residuals must return a pair (a block's residuals, the next state), got {_kind(pair)}")
    residuals, state = pair
    if not isinstance(residuals, Tensor) or not residuals.is_floating_point() or residuals.dim() == 0:
        what = _kind(residuals) if not isinstance(residuals, Tensor) else f"{residuals.dtype}, {residuals.dim()}-D"
        raise TypeError(f"a block of residuals must be a real tensor with at least one dimension, got {what}")
    return residuals, state


def _kind(value: Any) -> str:
    return f"{len(value)} values" if isinstance(value, tuple) else type(value).__name__


def _weighed(stream: Stream, block: int, residuals: Tensor) -> tuple[Tensor, Tensor | None]:
    """A block's share of the cost, and the weight of each residual, None for 1; both in float64."""
    residuals = residuals.double()
    weights = None
    if stream.weights is not None:
        given = stream.weights[block].to(residuals.device, torch.float64)
        try:
            weights = given.expand(residuals.shape)
        except RuntimeError:
            shapes = f"{tuple(given.shape)}, its residuals {tuple(residuals.shape)}"
            raise ValueError(f"weights must broadcast to the residuals: block {block}'s have shape {shapes}") from None
    if stream.robust is None:
        return (residuals.square() if weights is None else weights * residuals.square()).sum(), weights
    share, slopes = stream.robust.cost_and_weights(residuals if weights is None else weights.sqrt() * residuals)
    return share, slopes if weights is None else slopes * weights


# ------------------------------------------------------------------------------------------------- states and tangents
# A state's tangents are listed leaf by leaf: None for what does not move, as numbers, integers, and tensors whose
# tangents are all exactly zero. What hangs on these alone is then not differentiated in the next block either.

Tangents = list[Tensor | None]


class _Pass:
    """One group of parameters on its way through the blocks; the others stand still."""

    def __init__(self, stream: Stream, layout: Layout, parameters: Parameters, group: Sequence[str]):
        self.stream, self.layout, self.parameters = stream, layout, parameters
        self.moving = {name: parameters[name] for name in group}
        self.directions = layout.directions(group)
        self.state = stream.state
        self.tangents: Tangents = [None] * len(tree_flatten(stream.state)[0])
        if callable(stream.state):
            start = stream.state
            _, self.state, self.tangents = _push_forward(
                lambda moving, _: (None, start(self._all(moving))), self.moving, self.directions, None, [None]
            )

    def block(self, block: int) -> tuple[Tensor, Tensor]:
        """A block's residuals, and their tangents `(directions, *shape)`."""
        (residuals, rows), self.state, self.tangents = _push_forward(
            lambda moving, state: _block(self.stream, self._all(moving), block, state),
            self.moving,
            self.directions,
            self.state,
            self.tangents,
        )
        return residuals, rows

    def _all(self, moving: Parameters) -> Parameters:
        return self.layout.complete({**self.parameters, **moving})


class _OwnPass:
    """All parameters on their way through the blocks of a model that knows its tangents."""

    def __init__(self, stream: Stream, layout: Layout, parameters: Parameters, group: Sequence[str]):
        self.stream, self.parameters = stream, layout.complete(parameters)
        self.directions, self.state = layout.directions(group), None

    def block(self, block: int) -> tuple[Tensor, Tensor]:
        assert self.stream.tangents is not None
        residuals, rows, self.state = self.stream.tangents(self.parameters, self.directions, block, self.state)
        return residuals, rows


def _push_forward(
    function: Callable, parameters: Parameters, directions: Parameters, state: Any, tangents: Tangents
) -> tuple[Any, Any, Tangents]:
    """((value, its tangents), next state, its tangents) of (value, next state) = function(parameters, state)."""
    leaves, spec = tree_flatten(state)
    moving = {place: tangent for place, tangent in enumerate(tangents) if tangent is not None}
    found: dict[str, Any] = {}

    def of_tensors(free: Parameters, carried: list[Tensor]):
        given = list(leaves)
        for place, leaf in zip(moving, carried, strict=True):
            given[place] = leaf
        value, after = function(free, tree_unflatten(given, spec))
        found["leaves"], found["spec"] = tree_flatten(after)
        real = [leaf for leaf in found["leaves"] if _is_differentiable(leaf)]
        others = [leaf for leaf in found["leaves"] if isinstance(leaf, Tensor) and not _is_differentiable(leaf)]
        return (real if value is None else [value, *real]), others

    def along(direction: Parameters, carried: list[Tensor]):
        at = (parameters, [leaves[place] for place in moving])
        return jvp(of_tensors, at, (direction, carried), has_aux=True)

    values, moved, others = vmap(along)(directions, list(moving.values()))
    values, others = [value[0] for value in values], [other[0] for other in others]  # the same in every direction
    has_value = len(values) > sum(map(_is_differentiable, found["leaves"]))
    pair = (values.pop(0), moved.pop(0)) if has_value else None
    plain, carried = iter(others), zip(values, moved, strict=True)
    after: list[Any] = []
    next_tangents: Tangents = []
    for leaf in found["leaves"]:
        tangent = None
        if _is_differentiable(leaf):
            leaf, tangent = next(carried)
            tangent = tangent if bool(tangent.any()) else None
        elif isinstance(leaf, Tensor):
            leaf = next(plain)
        after.append(leaf)
        next_tangents.append(tangent)
    return pair, tree_unflatten(after, found["spec"]), next_tangents


def _is_differentiable(leaf: Any) -> bool:
    return isinstance(leaf, Tensor) and (leaf.is_floating_point() or leaf.is_complex())
