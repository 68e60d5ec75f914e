"""What effects and instruments have in common: a sample rate, named parameters, presets."""

from __future__ import annotations

import os
from typing import Any, ClassVar, TypeVar

import torch
from torch import nn

from diffapf.parameters import (
    ParameterSpec,
    Preset,
    named_parameters,
    network_state,
    read_preset,
    write_preset,
)

AnyModel = TypeVar("AnyModel", bound="Model")


class Model(nn.Module):
    """A module with named parameters that is kept as a preset.

    Subclasses give `configuration()`, the constructor's structural arguments, from which `load` builds an equal one.
    """

    kinds: ClassVar[dict[str, type[Model]]] = {}

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        Model.kinds[cls.__name__.lower()] = cls

    def __init__(self, sample_rate: float):
        super().__init__()
        if not sample_rate > 0:
            raise ValueError(f"sample_rate must be positive, in Hz, got {sample_rate}")
        self.sample_rate = sample_rate

    def parameters_spec(self) -> list[ParameterSpec]:
        """Every named parameter: its path, unit, range, taper and present value."""
        return [parameter.spec(name) for name, parameter in named_parameters(self).items()]

    def set_parameters(self, values: dict[str, float]) -> None:
        """Sets named parameters by their paths, in real units; raises ValueError for a name that there is not."""
        named = named_parameters(self)
        unknown = values.keys() - named.keys()
        if unknown:
            raise ValueError(f"{type(self).__name__} has no parameter {sorted(unknown)}; it has {sorted(named)}")
        for name, value in values.items():
            try:
                named[name].set(value)
            except ValueError as error:
                raise ValueError(f"{name} {error}") from None

    def configuration(self) -> dict[str, Any]:
        raise NotImplementedError

    def save(self, path: str | os.PathLike) -> None:
        """Writes a preset: values in real units, exactly; networks beside it."""
        values = {spec.name: spec.value for spec in self.parameters_spec()}
        name = type(self).__name__.lower()
        write_preset(Preset(name, self.sample_rate, self.configuration(), values, network_state(self)), path)

    @classmethod
    def load(cls: type[AnyModel], path: str | os.PathLike, sample_rate: float | None = None) -> AnyModel:
        """The model that a preset describes, at its sample rate or at another one, in Hz: values are physical.

        Raises ValueError, naming the file, for what is no preset, or not one of this class.
        """
        preset = read_preset(path)
        rate = preset.sample_rate if sample_rate is None else sample_rate
        known = {name: kind for name, kind in Model.kinds.items() if issubclass(kind, cls)}
        if preset.effect not in known:
            raise ValueError(f"{path} is a preset of {preset.effect!r}, not of {sorted(known)}")
        try:
            model = known[preset.effect](rate, **preset.configuration)
            if any(tensor.dtype == torch.float64 for tensor in preset.network.values() if tensor.dim()):
                model.double()
            model.set_parameters(preset.parameters)
            model.load_state_dict({**model.state_dict(), **preset.network})
        except (TypeError, ValueError, RuntimeError) as error:
            raise ValueError(f"{path} does not fit this diffapf: {error}") from None
        return model
