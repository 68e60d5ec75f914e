"""Optimisers as the configs name them: (parameters, steps) → (optimiser, schedule)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from diffapf.identification import Fit, Minimum, fit_module, minimise_module
from diffapf.identification.hessians import STRATEGIES


def adam(
    parameters: Iterable[nn.Parameter], steps: int, lr: float, decay: str = "cosine"
) -> tuple[torch.optim.Optimizer, LRScheduler]:
    """Adam with its usual moments. `decay`: "cosine" to 0 over all steps, or "none"."""
    _check_positive("lr", lr)
    decayed = _decay(decay, steps)
    optimizer = torch.optim.Adam(parameters, lr, fused=True)  # twenty scalars: the loop over them would cost more
    return optimizer, LambdaLR(optimizer, decayed)


def adamw(
    parameters: Iterable[nn.Parameter], steps: int, lr: float, weight_decay: float, warm_up: int = 0, hold: float = 1.0
) -> tuple[torch.optim.Optimizer, LRScheduler]:
    """AdamW; its rate rises over `warm_up` steps, and falls by a cosine after the fraction `hold` of all; 1: never."""
    _check_positive("lr", lr)
    if not isinstance(hold, (int, float)) or not 0 <= hold <= 1:
        raise ValueError(f"optimizer.hold must be a fraction of all steps, 0 to 1, got {hold!r}")

    def rate(step: int) -> float:
        risen = min(1.0, (step + 1) / warm_up) if warm_up else 1.0
        late = max(0.0, step / steps - hold) / max(1 - hold, 1e-9)
        return risen * (1 + math.cos(math.pi * min(late, 1.0))) / 2

    optimizer = torch.optim.AdamW(parameters, lr, weight_decay=weight_decay, fused=True)
    return optimizer, LambdaLR(optimizer, rate)


def sgd(
    parameters: Iterable[nn.Parameter], steps: int, lr: float, momentum: float, decay: str = "none"
) -> tuple[torch.optim.Optimizer, LRScheduler]:
    """Gradient descent with momentum. `decay`: "cosine" to 0 over all steps, or "none"."""
    _check_positive("lr", lr)
    if not isinstance(momentum, (int, float)) or not 0 <= momentum < 1:
        raise ValueError(f"optimizer.momentum must be at least 0 and less than 1, got {momentum!r}")
    decayed = _decay(decay, steps)
    optimizer = torch.optim.SGD(parameters, lr, momentum)
    return optimizer, LambdaLR(optimizer, decayed)


def _check_positive(name: str, value: object) -> None:
    if not isinstance(value, (int, float)) or not value > 0:
        raise ValueError(f"optimizer.{name} must be a positive number, got {value!r}")


def _decay(decay: str, steps: int) -> Callable[[int], float]:
    schedules: dict[str, Callable[[int], float]] = {
        "cosine": lambda step: (1 + math.cos(math.pi * min(step / steps, 1.0))) / 2,
        "none": lambda step: 1.0,
    }
    if decay not in schedules:
        raise ValueError(f"optimizer.decay must be one of {sorted(schedules)}, got {decay!r}")
    return schedules[decay]


class LevenbergMarquardt(torch.optim.Optimizer):
    """Least squares as an optimiser: a step is some iterations, and the damping goes on from one step to the next.

    Its closure returns what is fitted: (module, residuals, options), as `fit_module` takes them.
    """

    def step(self, closure: Callable[[], tuple[nn.Module, Callable, dict[str, Any]]]) -> Fit:  # type: ignore[override]
        module, residuals, options = closure()
        group = self.param_groups[0]
        settings = {name: group[name] for name in ("iterations", "tolerance", "damping")}
        fit = fit_module(module, residuals, **settings, **options)
        group["damping"] = min(max(fit.history[-1].damping, LEAST_DAMPING), MOST_DAMPING)
        return fit


LEAST_DAMPING, MOST_DAMPING = 1e-9, 1.0  # of a new window, which the last one's end says little of


def levenberg_marquardt(
    parameters: Iterable[nn.Parameter], steps: int, iterations: int, tolerance: float, damping: float
) -> tuple[torch.optim.Optimizer, None]:
    """Levenberg–Marquardt, `iterations` a step; see `diffapf.identification.least_squares`."""
    _check_iterations(iterations, tolerance, damping)
    return LevenbergMarquardt(parameters, {"iterations": iterations, "tolerance": tolerance, "damping": damping}), None


class NewtonRaphson(torch.optim.Optimizer):
    """Newton's method as an optimiser, as `LevenbergMarquardt` is; its closure returns (module, loss, options)."""

    def step(self, closure: Callable[[], tuple[nn.Module, Callable, dict[str, Any]]]) -> Minimum:  # type: ignore[override]
        module, loss, options = closure()
        group = self.param_groups[0]
        settings = {name: group[name] for name in ("iterations", "tolerance", "damping", "strategy")}
        found = minimise_module(module, loss, **settings, **options)
        group["damping"] = min(max(found.history[-1].damping, LEAST_DAMPING), MOST_DAMPING)
        return found


def newton_raphson(
    parameters: Iterable[nn.Parameter], steps: int, iterations: int, tolerance: float, damping: float, strategy: str
) -> tuple[torch.optim.Optimizer, None]:
    """Newton–Raphson with exact Hessians, `iterations` a step; see `diffapf.identification.newton`."""
    _check_iterations(iterations, tolerance, damping)
    if strategy not in STRATEGIES:
        raise ValueError(f"optimizer.strategy must be one of {', '.join(STRATEGIES)}, got {strategy!r}")
    settings = {"iterations": iterations, "tolerance": tolerance, "damping": damping, "strategy": strategy}
    return NewtonRaphson(parameters, settings), None


def _check_iterations(iterations: object, tolerance: object, damping: object) -> None:
    if not isinstance(iterations, int) or iterations < 1:
        raise ValueError(f"optimizer.iterations must be a positive whole number, got {iterations!r}")
    _check_positive("tolerance", tolerance)
    _check_positive("damping", damping)
