"""Forward mode by the operators' own rules: a value and its tangents, without `torch.func`.

`vmap` over `jvp` takes milliseconds for a block of audio, whatever its length, and gives every signal a tangent in every
direction. Here an operator costs its two kernels, and what only the first directions move has tangents in those alone: with
the parameters in the order of the signal, an early stage is differentiated by the early parameters.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from diffapf.filters._rows import RowFunction


@dataclass(frozen=True)
class Moving:
    """Rows, `(rows, …)`, and their tangents in the first of all directions, `(directions · rows, …)`; the others' are 0."""

    value: Tensor
    tangents: Tensor

    @property
    def directions(self) -> int:
        return self.tangents.shape[0] // self.value.shape[0]

    def along(self, directions: int) -> Tensor:
        """The tangents in so many directions, at least those that it has."""
        rows = directions * self.value.shape[0]
        known = len(self.tangents)
        if rows == known:
            return self.tangents
        tangents = self.tangents.new_empty(rows, *self.tangents.shape[1:])  # `pad` would fill all of it, then copy
        tangents[:known] = self.tangents
        tangents[known:] = 0.0
        return tangents

    def map(self, function: Callable[[Tensor], Tensor], slope: Callable[[Tensor, Tensor], Tensor]) -> Moving:
        """An elementwise function of it; `slope(value, function(value))` is its derivative."""
        value = function(self.value)
        moved = (
            self.tangents * slope(self.value, value).repeat(self.directions, 1) if self.directions else self.tangents
        )
        return Moving(value, moved)

    def __add__(self, other: Moving) -> Moving:
        directions = max(self.directions, other.directions)
        return Moving(self.value + other.value, self.along(directions) + other.along(directions))

    @property
    def or_still(self) -> Moving | Tensor:
        """Itself, or the plain rows where no direction moves them: what `push` takes without zeros."""
        return self if self.directions else self.value

    def __getitem__(self, part: Any) -> Moving:
        """A part of each row."""
        return Moving(self.value[:, part], self.tangents[:, part])


def still(value: Tensor) -> Moving:
    """Rows that no direction moves."""
    return Moving(value, value[:0])


def moving(value: Tensor, tangents: Tensor) -> Moving:
    """Rows and their tangents `(directions, rows, …)`, of which the last ones may be 0."""
    moved = tangents.flatten(1).ne(0).any(1).nonzero()
    directions = int(moved[-1]) + 1 if len(moved) else 0
    return Moving(value, tangents[:directions].flatten(0, 1))


@torch.no_grad()
def push(function: type[RowFunction], *arguments: Any) -> Any:
    """What an operator makes of moving rows: a `Moving` for each of its results.

    Signals that stand still may come as plain tensors, which saves their zeros.
    """
    values = [argument.value if isinstance(argument, Moving) else argument for argument in arguments]
    result = function.forward(*values)
    results = result if isinstance(result, tuple) else (result,)
    directions = max(argument.directions for argument in arguments if isinstance(argument, Moving))
    moved: Any = [None] * len(results)
    if directions:
        context = _Context()
        function.setup_context(context, values, result)
        tangents = [argument.along(directions) if isinstance(argument, Moving) else None for argument in arguments]
        moved = function.tangent(context, context.saved, *tangents)
        moved = moved if isinstance(moved, tuple) else (moved,)
    found = tuple(
        still(value) if tangents is None else Moving(value, tangents)
        for value, tangents in zip(results, moved, strict=True)
    )
    return found if isinstance(result, tuple) else found[0]


class _Context:
    """What rules save."""

    saved: tuple[Tensor, ...] = ()

    def save_for_backward(self, *tensors: Tensor) -> None:
        pass

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        pass

    def save_for_forward(self, *tensors: Tensor) -> None:
        self.saved = tensors
