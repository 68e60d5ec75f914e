"""What a fit returns: parameters, cost, why it stopped, its history, and what it knows of each parameter."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from diffapf.identification.layout import Layout, Parameters
from diffapf.identification.uncertainty import Uncertainty, uncertainty

CONVERGED = "converged: two gains in a row below the tolerance"
NOTHING_PROMISED = "converged: the model promises no gain above the tolerance"
EXACT = "converged: the residuals are zero"
NO_STEP_HELPS = "no step lowers the cost, however short"
ALL_ITERATIONS = "all iterations used"
STOPPED = "stopped by the callback"
INTERRUPTED = "interrupted"


@dataclass(frozen=True)
class Iteration:
    """A line of a fit's history; number 0 is the start."""

    number: int
    cost: float
    damping: float  # λ for the next step
    rejected: int  # steps tried in vain


@dataclass(frozen=True)
class Fit:
    """What `least_squares` found: the best parameters, frozen ones included, and what is known of them."""

    parameters: Parameters
    cost: float
    count: int  # residuals
    why: str  # it stopped
    history: list[Iteration]
    information: Tensor = field(repr=False)  # JᵀWJ of the free parameters, float64
    gradient: Tensor = field(repr=False)  # JᵀWr
    at_bounds: list[str]  # labels of parameters that a bound holds
    layout: Layout = field(repr=False)
    resolution: float = field(repr=False)

    @property
    def converged(self) -> bool:
        return self.why in (CONVERGED, NOTHING_PROMISED, EXACT, NO_STEP_HELPS)

    @cached_property
    def uncertainty(self) -> Uncertainty:
        held = torch.tensor([label in set(self.at_bounds) for label in self.layout.labels])
        return uncertainty(self.information, self.cost, self.count, held, self.resolution)

    @property
    def standard_errors(self) -> Parameters:
        """Of each element of `parameters`, float64: infinite where not identified, 0 where frozen or at a bound."""
        errors = self.uncertainty.standard_errors.split([tensor.numel() for tensor in self.layout.free.values()])
        free = {name: e.reshape(t.shape) for (name, t), e in zip(self.layout.free.items(), errors, strict=True)}
        zeros = {name: torch.zeros(t.shape, dtype=torch.float64) for name, t in self.layout.frozen.items()}
        return {name: free[name] if name in free else zeros[name] for name in self.layout.order}

    @property
    def unidentified(self) -> list[str]:
        """Labels of parameters that can move, some together, without moving any residual."""
        return [name for name, lost in zip(self.layout.labels, self.uncertainty.unidentified, strict=True) if lost]
