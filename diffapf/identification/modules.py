"""Least squares and Newton on the trainable parameters of any module, with values and standard errors in real units."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.func import functional_call

from diffapf.identification.fit import Fit
from diffapf.identification.layout import Parameters
from diffapf.identification.least_squares import least_squares
from diffapf.identification.newton import Minimum, newton
from diffapf.parameters import Named, SeriesEntry, named_parameters

AnyModule = TypeVar("AnyModule", bound=nn.Module)


def fit_module(
    module: AnyModule,
    residuals: Callable[..., Any],
    *,
    state: Any = None,
    frozen: Collection[str] = (),
    groups: Sequence[Collection[str]] | None = None,
    tangents: Callable[..., Any] | None = None,
    feasible: Callable[[AnyModule], bool] | None = None,
    **options: Any,
) -> Fit:
    """Moves a module's trainable parameters to where Σ r² is least, by Levenberg–Marquardt, and leaves them there.

    Args:
        module: its parameters with `requires_grad=False` stay as they are. They keep their dtypes: `module.double()`
            for all digits.
        residuals: `residuals(module)` → r; or with `blocks`, `residuals(module, block, state)` → (r of this block, the
            next block's state). The module may be called, and so may its methods.
        state: the first block's, or a function of the module that returns it.
        frozen: names of parameters, or of modules whose parameters all stay, as "lfo" or "lfo.rate_hz".
        groups: lists of such names, of what is differentiated together.
        tangents: `tangents(module, parameters, directions, block, state)`; as `least_squares` takes it.
        feasible: `feasible(module)` → whether the module may be tried with the parameters that it has then.
        options: as `least_squares` takes them: blocks, bounds, weights, robust, longest_steps, iterations, tolerance,
            damping, callback. Bounds are those of the tensors; of a named parameter `gain` the tensor is `gain.step`.

    Returns:
        A `Fit`, whose parameters are named as in `module.named_parameters()`; `estimates` has them in real units.

    Raises:
        ValueError, TypeError: as `least_squares`.

    >>> x = torch.randn(100, 2, generator=torch.Generator().manual_seed(0))
    >>> layer = nn.Linear(2, 1)
    >>> fit = fit_module(layer, lambda layer: layer(x)[:, 0] - (3 * x[:, 0] - x[:, 1] + 0.5))
    >>> [round(value, 4) for value in (*layer.weight[0].tolist(), layer.bias.item())]
    [3.0, -1.0, 0.5]
    """
    parameters, stay = _parameters(module, frozen)
    for group in groups or ():
        _check_names("groups", group, parameters)
    fit = least_squares(
        of_parameters(module, residuals),
        parameters,
        state=of_parameters(module, state) if callable(state) else state,
        frozen=stay,
        groups=[[name for name in parameters if _is_named(name, group)] for group in groups or ()],
        tangents=None if tangents is None else partial(tangents, module),
        feasible=None if feasible is None else of_parameters(module, feasible),
        **options,
    )
    _move(parameters, fit.parameters)
    return fit


def minimise_module(
    module: AnyModule, loss: Callable[[AnyModule], Tensor], *, frozen: Collection[str] = (), **options: Any
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
    parameters, stay = _parameters(module, frozen)
    found = newton(of_parameters(module, loss), parameters, frozen=stay, **options)
    _move(parameters, found.parameters)
    return found


def of_parameters(module: nn.Module, function: Callable) -> Callable:
    """function(module, …) as a function of the module's parameters."""
    call = _Call(module, function)

    def call_with(parameters: Parameters, *arguments: Any) -> Any:
        tensors: dict[str, Tensor] = {f"module.{name}": tensor for name, tensor in parameters.items()}
        return functional_call(call, tensors, arguments)

    return call_with


class _Call(nn.Module):
    """A function of a module as a module's forward, for `functional_call`."""

    def __init__(self, module: nn.Module, function: Callable):
        super().__init__()
        self.module, self.function = module, function

    def forward(self, *arguments: Any) -> Any:
        return self.function(self.module, *arguments)


@dataclass(frozen=True)
class Estimate:
    """A named parameter's value and standard error, in its unit."""

    name: str
    value: float
    error: float
    unit: str

    def __str__(self) -> str:
        return f"{self.name} = {self.value:.6g} ± {self.error:.2g} {self.unit}".rstrip()


def estimates(module: nn.Module, fit: Fit) -> list[Estimate]:
    """Every named parameter of a module that `fit_module` has fitted, in real units: value ± standard error.

    The error is that of the step times |∂value/∂step| of the parameter's mapping; 0 for what was frozen, infinite for
    what the residuals don't identify.
    """
    return [_estimate(name, part, fit) for name, part in named_parameters(module).items()]


def _estimate(name: str, part: Named | SeriesEntry, fit: Fit) -> Estimate:
    spec = part.spec(name)
    if isinstance(part, SeriesEntry):
        path = name.rpartition(".")[0]
        return Estimate(name, spec.value, float(fit.standard_errors[f"{path}.step"][part.index]), spec.unit)
    return Estimate(name, spec.value, _error(part, float(fit.standard_errors[f"{name}.step"])), spec.unit)


def _error(parameter: Named, error_of_step: float) -> float:
    with torch.enable_grad():
        step = parameter.step.detach().requires_grad_()
        (slope,) = torch.autograd.grad(functional_call(parameter, {"step": step}), step)
    return abs(float(slope)) * error_of_step if math.isfinite(error_of_step) else math.inf


def _parameters(module: nn.Module, frozen: Collection[str]) -> tuple[Parameters, list[str]]:
    """A module's own, and the names of those that stay."""
    if not isinstance(module, nn.Module):
        raise TypeError(f"module must be a torch.nn.Module, got {type(module).__name__}")
    parameters: Parameters = dict(module.named_parameters())
    _check_names("frozen", frozen, parameters)
    return parameters, [n for n, tensor in parameters.items() if not tensor.requires_grad or _is_named(n, frozen)]


@torch.no_grad()
def _move(parameters: Parameters, found: Parameters) -> None:
    for name, tensor in parameters.items():
        tensor.copy_(found[name])


def _is_named(parameter: str, names: Collection[str]) -> bool:
    return any(parameter == name or parameter.startswith(f"{name}.") for name in names)


def _check_names(what: str, names: Collection[str], parameters: Collection[str]) -> None:
    if isinstance(names, str):
        raise TypeError(f"{what} must be lists of names, got the string {names!r}")
    unknown = [name for name in names if not any(_is_named(parameter, [name]) for parameter in parameters)]
    if unknown:
        raise ValueError(f"{what} names {unknown}, but the module's parameters are {sorted(parameters)}")
