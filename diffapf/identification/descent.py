"""The loop of a damped descent in a box: what Levenberg–Marquardt and Newton–Raphson have in common.

    (A + λ diag A) d = −g,   lowest ≤ x + d ≤ highest,   of a cost ≈ c + 2 gᵀd + dᵀA d about x

A step that lowers the cost is taken and λ divided by 5, any other is not and λ doubled: so steps are about the longest that
help. Along the narrow valleys of these models a λ that is too large costs many more iterations than it saves trials.

Source of the factors' asymmetry: Transtrum, Sethna, "Improvements to the Levenberg-Marquardt algorithm for nonlinear
least-squares minimization", arXiv:1201.5885.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

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
    Iteration,
)
from diffapf.identification.layout import Layout, Parameters
from diffapf.identification.step import bounded_step, promised_gain, pushed_outwards

RISE, FALL = 2.0, 5.0  # of λ
LEAST_DAMPING, MOST_DAMPING = 1e-15, 1e12
SMALL_GAINS = 2  # in a row, and the descent is over

Callback = Callable[[int, float, float, Parameters], bool | None]


class Quadratic(Protocol):
    """The cost at a point, and what it is about it: A and g."""

    @property
    def cost(self) -> float: ...

    @property
    def information(self) -> Tensor: ...

    @property
    def gradient(self) -> Tensor: ...


Model = TypeVar("Model", bound=Quadratic)


@dataclass
class Descent(ABC, Generic[Model]):
    """The loop. What has been reached is in `vector` and `model`, which always belong together.

    Subclasses say what is known of a place: `at_start` and `below`.
    """

    layout: Layout
    bounds: tuple[Tensor, Tensor]
    longest: tuple[Tensor, Tensor]
    tolerance: float
    damping: float
    callback: Callback | None
    small_gains: int = field(default=0, init=False)
    rejected: int = field(default=0, init=False)
    history: list[Iteration] = field(default_factory=list, init=False)
    vector: Tensor = field(init=False)
    model: Model = field(init=False)

    @abstractmethod
    def at_start(self, vector: Tensor) -> Model:
        """The model about the start; a ValueError where there is none."""

    @abstractmethod
    def below(self, limit: float, vector: Tensor) -> Model | None:
        """The model about a point if it may be tried, costs less than the limit, and can be left again."""

    def exact(self) -> bool:
        """Whether no cost is lower than what has been reached."""
        return False

    def promises_nothing(self, gain: float) -> bool:
        return 0 <= gain < self.tolerance * abs(self.model.cost)

    def run(self, vector: Tensor, iterations: int) -> str:
        """Descends, and returns why it stopped."""
        lowest, highest = self.bounds
        outside = ~((vector >= lowest) & (vector <= highest))
        if outside.any():
            raise ValueError(
                f"the start must be finite and within its bounds; {', '.join(self._labels(outside))} is not"
            )
        self.vector, self.model = vector, self.at_start(vector)
        try:
            why = self._report(0)
            for number in range(1, iterations + 1):
                if why or self.exact():
                    break
                why = self._iteration()
                why = self._report(number) or why
        except KeyboardInterrupt:
            why = INTERRUPTED
        return why or (EXACT if self.exact() else ALL_ITERATIONS)

    @property
    def at_bounds(self) -> list[str]:
        """Labels of the parameters that a bound holds."""
        lowest, highest = self.bounds
        return self._labels(pushed_outwards(self.model.gradient, lowest - self.vector, highest - self.vector))

    def _labels(self, chosen: Tensor) -> list[str]:
        return [name for name, is_chosen in zip(self.layout.labels, chosen, strict=True) if is_chosen]

    def _iteration(self) -> str | None:
        """Tries steps until one helps, and takes it. Returns why there is none, or why it was the last."""
        information, gradient, before = self.model.information, self.model.gradient, self.model.cost
        room = self._room()
        self.rejected = 0
        while self.damping <= MOST_DAMPING:
            step = bounded_step(information, gradient, self.damping, *room)
            promised = -1.0 if step is None else promised_gain(information, gradient, step)
            reached = None if step is None or promised <= 0 else self._reached(self.vector + step, before)
            if reached is not None:
                self.damping = max(self.damping / FALL, LEAST_DAMPING)
                self.vector, self.model = reached
                return self._after(before, self.model.cost)
            self.damping = max(self.damping * RISE, LEAST_DAMPING)
            self.rejected += 1
            if self.promises_nothing(promised):  # shorter steps promise less still
                return NOTHING_PROMISED
        return NO_STEP_HELPS

    def _room(self) -> tuple[Tensor, Tensor]:
        """How far a step may go, down and up."""
        return (
            torch.maximum(self.bounds[0] - self.vector, self.longest[0]),
            torch.minimum(self.bounds[1] - self.vector, self.longest[1]),
        )

    def _reached(self, vector: Tensor, limit: float) -> tuple[Tensor, Model] | None:
        vector = torch.minimum(torch.maximum(vector, self.bounds[0]), self.bounds[1])  # x + (bound − x) rounds
        model = self.below(limit, vector)
        return None if model is None else (vector, model)

    def _after(self, before: float, now: float) -> str | None:
        self.small_gains = self.small_gains + 1 if before - now < self.tolerance * abs(before) else 0
        return None if self.small_gains < SMALL_GAINS else CONVERGED

    def _report(self, number: int) -> str | None:
        self.history.append(Iteration(number, self.model.cost, self.damping, self.rejected))
        if self.callback is None:
            return None
        stop = self.callback(number, self.model.cost, self.damping, self.layout.parameters(self.vector))
        return STOPPED if stop else None


def check_numbers(iterations: object, tolerance: object, damping: object) -> None:
    if isinstance(iterations, bool) or not isinstance(iterations, int) or iterations < 0:
        raise ValueError(f"iterations must be a number of steps, at least 0, got {iterations!r}")
    for name, value in (("tolerance", tolerance), ("damping", damping)):
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
            raise ValueError(f"{name} must be a finite number, at least 0, got {value!r}")
