"""A named parameter: unit, range, taper, default, and how an optimiser moves it; presets are read and written here."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import torch
import yaml
from torch import Tensor, nn

PRESET_VERSION = 1

# ------------------------------------------------------------------------------------------------------------ mappings
# From a step, which the optimiser moves freely and which starts at 0, to a value, which starts at its reference
# exactly.

Mapping = Callable[[Tensor, Tensor], Tensor]


def linear(reference: Tensor, step: Tensor) -> Tensor:
    """value = reference + step"""
    return reference + step


def exponential(reference: Tensor, step: Tensor) -> Tensor:
    """value = reference · e^step: positive stays positive, and a step is a ratio."""
    return reference * torch.exp(step)


def absolute(reference: Tensor, step: Tensor) -> Tensor:
    """value = |reference + step|"""
    return (reference + step).abs()


BOUND = 0.999


def bounded(reference: Tensor, step: Tensor) -> Tensor:
    """value = B · tanh(artanh(reference/B) + step), in a form that is exact for step = 0: |value| < B = 0.999."""
    t = torch.tanh(step)
    return (reference + BOUND * t) / (1 + reference / BOUND * t)


def above_one(reference: Tensor, step: Tensor) -> Tensor:
    """value = 1 + (reference − 1) · e^step ≥ 1; at 1 it stays."""
    return 1 + (reference - 1) * torch.exp(step)


def below_one(reference: Tensor, step: Tensor) -> Tensor:
    """1/value = 1 + (1/reference − 1) · e^step: 0 < value ≤ 1; at 1 it stays."""
    return 1 / (1 + (1 / reference - 1) * torch.exp(step))


def share(reference: Tensor, step: Tensor) -> Tensor:
    """value/(1 − value) = reference/(1 − reference) · e^step: 0 ≤ value ≤ 1; at 0 and 1 it stays."""
    part = reference * torch.exp(step)
    return part / (1 - reference + part)


@dataclass(frozen=True)
class Within:
    """From `minimum` to `maximum`, without ever leaving: positions p of a linear or a log taper, p/(1 − p) times e^step.

    In a form that is exact for step = 0; at either end it stays.
    """

    minimum: float
    maximum: float
    taper: str = "linear"

    def __call__(self, reference: Tensor, step: Tensor) -> Tensor:
        if self.taper == "linear":
            return reference + self._moved(reference - self.minimum, self.maximum - reference, step)
        below, above = torch.log(reference / self.minimum), torch.log(self.maximum / reference)
        return reference * torch.exp(self._moved(below, above, step))

    def allows(self, value: float) -> bool:
        return self.minimum <= value <= self.maximum

    @property
    def words(self) -> str:
        return f"must lie between {self.minimum:g} and {self.maximum:g}"

    @staticmethod
    def _moved(below: Tensor, above: Tensor, step: Tensor) -> Tensor:
        """How far, where there is room for `below` downwards and for `above` upwards."""
        there, back = below * torch.sigmoid(step), above * torch.sigmoid(-step)
        return torch.tanh(step / 2) * below * above / (there + back)


ALLOWED: dict[Mapping, tuple[Callable[[float], bool], str]] = {
    exponential: (lambda value: value > 0, "must be positive"),
    bounded: (lambda value: abs(value) < BOUND, f"must lie within ±{BOUND}"),
    above_one: (lambda value: value >= 1, "must be at least 1"),
    below_one: (lambda value: 0 < value <= 1, "must lie above 0 and be at most 1"),
    share: (lambda value: 0 <= value <= 1, "must lie between 0 and 1"),
}

# ---------------------------------------------------------------------------------------------------------- parameters


Position = TypeVar("Position", float, Tensor)


@dataclass(frozen=True)
class Range:
    """What a knob reaches, and its taper, "linear" or "log": positions from 0 to 1 to values, and back.

    Numbers, or tensors with their gradients.

    >>> Range(100.0, 10_000.0, "Hz", "log").at(0.5)
    1000.0
    """

    minimum: float
    maximum: float
    unit: str = ""
    taper: str = "linear"

    def at(self, position: Position) -> Position:
        if self.taper == "linear":
            return self.minimum + position * (self.maximum - self.minimum)
        return self.minimum * (self.maximum / self.minimum) ** position

    def position(self, value: Position) -> Position:
        if self.taper == "linear":
            return (value - self.minimum) / (self.maximum - self.minimum)
        octaves = math.log(self.maximum / self.minimum)
        return (torch.log if isinstance(value, Tensor) else math.log)(value / self.minimum) / octaves  # type: ignore


@dataclass(frozen=True)
class ParameterSpec:
    """What a user sees of a parameter: its value in real units, and the range and taper of its knob."""

    name: str
    value: float
    unit: str
    minimum: float | None
    maximum: float | None
    taper: str

    def knob(self, value: float) -> float:
        """The knob's position in [0, 1] at a value.

        >>> ParameterSpec("cutoff", 100.0, "Hz", 10.0, 1000.0, "log").knob(100.0)
        0.5
        """
        return min(max(self._range().position(value), 0.0), 1.0)

    def at(self, position: float) -> float:
        """The value at a knob's position in [0, 1]."""
        reached = self._range()
        if not 0 <= position <= 1:
            raise ValueError(f"{self.name}: a knob's position is in [0, 1], got {position}")
        return reached.at(position)

    def _range(self) -> Range:
        if self.minimum is None or self.maximum is None:
            raise ValueError(f"{self.name} has no range, so it has no knob")
        return Range(self.minimum, self.maximum, self.unit, self.taper)


def is_finite_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


class KeepsDouble(nn.Module):
    """A module whose buffers named in `in_double` stay in double precision, whatever it is converted to; they do move."""

    in_double: ClassVar[tuple[str, ...]] = ()

    def _apply(self, fn, recurse=True):  # type: ignore[override]
        kept = {name: getattr(self, name) for name in self.in_double}
        super()._apply(fn, recurse)
        for name, tensor in kept.items():
            setattr(self, name, tensor.to(getattr(self, name).device))
        return self


class Named(KeepsDouble):
    """One learnable number with a unit, a range for its knob and a taper ("linear" or "log").

    Called, it gives the value as a float64 scalar tensor: mapping(reference, scale · step). The step is the learnable
    tensor; the reference is the value that was set last, so that a value is read back exactly as it was set; the scale
    is how far an optimiser's step of 1 goes.

    >>> gain = Named(0.5, "", 0.0, 1.0)
    >>> float(gain())
    0.5
    """

    in_double = ("reference", "scale")  # so that what was set is read back as it was

    def __init__(
        self,
        default: float,
        unit: str,
        minimum: float | None = None,
        maximum: float | None = None,
        taper: str = "linear",
        mapping: Mapping | None = None,
    ):
        super().__init__()
        if taper not in ("linear", "log"):
            raise ValueError(f"taper must be 'linear' or 'log', got {taper!r}")
        self.unit, self.minimum, self.maximum, self.taper = unit, minimum, maximum, taper
        self.mapping = mapping or (exponential if taper == "log" else linear)
        self._check(default)
        self.step = nn.Parameter(torch.zeros(()))
        self.reference: Tensor
        self.scale: Tensor
        self.register_buffer("reference", torch.tensor(float(default), dtype=torch.float64))
        self.register_buffer("scale", torch.ones((), dtype=torch.float64))

    def forward(self) -> Tensor:
        step = self.step.double()
        if self.mapping is linear:
            return torch.addcmul(self.reference, self.scale, step)  # a model has dozens: one node of the graph, not two
        return self.mapping(self.reference, self.scale * step)

    def set(self, value: float) -> None:
        """Sets the value; the optimiser goes on from there."""
        self._check(value)
        with torch.no_grad():
            self.reference.fill_(float(value))
            self.step.zero_()

    def _check(self, value: float) -> None:
        if not is_finite_number(value):
            raise ValueError(f"must be a finite number, got {value!r}")
        mapping = self.mapping
        allowed, words = (
            (mapping.allows, mapping.words) if isinstance(mapping, Within) else ALLOWED.get(mapping, (None, ""))
        )
        if allowed is not None and not allowed(value):
            raise ValueError(f"{words}, got {value}")

    def rescale(self, scale: float) -> None:
        """Changes how far an optimiser's step goes; the value stays."""
        self.set(self().item())
        self.scale.fill_(scale)

    def spec(self, name: str) -> ParameterSpec:
        return ParameterSpec(name, self().item(), self.unit, self.minimum, self.maximum, self.taper)


class NamedSeries(KeepsDouble):
    """Learnable numbers of one kind, as one tensor; each has a name, `first` and upwards: `cosine.1`, `cosine.2`.

    Called, it gives the values as a float64 tensor, mapping(reference, step); see `Named`.

    Args:
        values: where they start.
        unit: of all of them.
        span: their knobs go from −span to span.
        first: the first one's name.
        mapping: reference + step by default.
        minimum: where their knobs begin, instead of −span.

    Raises:
        ValueError: values that are no finite numbers, or that the mapping does not reach.

    >>> NamedSeries([0.5, 0.0], "octaves")().tolist()
    [0.5, 0.0]
    """

    in_double = ("reference",)

    def __init__(
        self,
        values: Sequence[float],
        unit: str,
        span: float = 1.0,
        first: int = 1,
        mapping: Mapping = linear,
        minimum: float | None = None,
    ):
        super().__init__()
        self.mapping = mapping
        if not all(is_finite_number(value) for value in values):
            raise ValueError(f"must be finite numbers, got {values!r}")
        self._check(values)
        self.unit, self.span, self.first, self.minimum = unit, span, first, -span if minimum is None else minimum
        self.step = nn.Parameter(torch.zeros(len(values)))
        self.reference: Tensor
        self.register_buffer("reference", torch.tensor([float(value) for value in values], dtype=torch.float64))

    def __len__(self) -> int:
        return len(self.reference)

    def forward(self) -> Tensor:
        return self.mapping(self.reference.double(), self.step.double())

    def set(self, values: Sequence[float] | Tensor) -> None:
        """Sets all the values; the optimiser goes on from there."""
        numbers = values.tolist() if isinstance(values, Tensor) else values
        if not isinstance(numbers, Sequence) or len(numbers) != len(self) or not all(map(is_finite_number, numbers)):
            raise ValueError(f"must be {len(self)} finite numbers, got {numbers!r}")
        self._check(numbers)
        with torch.no_grad():
            self.reference.copy_(torch.tensor(numbers, dtype=torch.float64))
            self.step.zero_()

    def _check(self, values: Sequence[float]) -> None:
        allowed, words = ALLOWED.get(self.mapping, (None, ""))
        if allowed is not None and not all(map(allowed, values)):
            raise ValueError(f"{words}, got {values!r}")

    def entries(self) -> dict[str, SeriesEntry]:
        """Each number by its name."""
        return {str(self.first + i): SeriesEntry(self, i) for i in range(len(self))}


@dataclass(frozen=True)
class SeriesEntry:
    """One number of a series, as `Named` shows its own."""

    series: NamedSeries
    index: int

    def set(self, value: float) -> None:
        """Sets this number; the others stay."""
        if not is_finite_number(value):
            raise ValueError(f"must be a finite number, got {value!r}")
        values = self.series().detach()
        values[self.index] = value
        self.series.set(values)

    def spec(self, name: str) -> ParameterSpec:
        series, value = self.series, self.series()[self.index].item()
        return ParameterSpec(name, value, series.unit, series.minimum, series.span, "linear")


def named_parameters(module: nn.Module) -> dict[str, Named | SeriesEntry]:
    """All the named parameters inside a module, by their path."""
    found: dict[str, Named | SeriesEntry] = {}
    for name, part in module.named_modules():
        if isinstance(part, Named):
            found[name] = part
        elif isinstance(part, NamedSeries):
            found |= {_path(name, number): entry for number, entry in part.entries().items()}
    return found


def network_state(module: nn.Module) -> dict[str, Tensor]:
    """The tensors of a module that are no named parameters: the weights of its networks.

    A part may name buffers in `configured`: those that the preset's configuration holds already.
    """
    told: set[str] = set()
    for name, part in module.named_modules():
        if isinstance(part, (Named, NamedSeries)):
            told |= {_path(name, tensor) for tensor in part.state_dict()}
        told |= {_path(name, buffer) for buffer in getattr(part, "configured", ())}
    return {name: tensor for name, tensor in module.state_dict().items() if name not in told}


def _path(module: str, name: str) -> str:
    return f"{module}.{name}" if module else name


# -------------------------------------------------------------------------------------------------------------- presets


@dataclass(frozen=True)
class Preset:
    """What a preset file holds. `network` has the tensors of a model's networks, kept in a file beside it."""

    effect: str
    sample_rate: float
    configuration: dict[str, Any]
    parameters: dict[str, float]
    network: dict[str, Tensor]
    version: int = PRESET_VERSION


def write_preset(preset: Preset, path: str | os.PathLike) -> None:
    """Writes `path` (YAML), and the networks' tensors, if there are any, to the same name ending in .pt.

    Both are written under other names, then renamed: there is never half a preset, nor one of two halves.
    """
    path = Path(path)
    tensors = path.with_suffix(".pt")
    content = {name: value for name, value in asdict(preset).items() if name != "network"}
    if preset.network:
        content["network"] = tensors.name
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".writing-") as folder:
        parts = [path]
        if preset.network:
            torch.save(preset.network, Path(folder) / tensors.name)
            parts.insert(0, tensors)
        text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
        (Path(folder) / path.name).write_text(text, encoding="utf-8")
        for part in parts:
            (Path(folder) / part.name).replace(part)


def read_preset(path: str | os.PathLike) -> Preset:
    """Reads what `write_preset` wrote. Raises ValueError, naming the file, for anything that is not a preset."""
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"there is no preset {path}")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not a preset: {error}") from None
    needed = {"effect", "version", "sample_rate", "parameters"}
    if not isinstance(content, dict) or not needed <= content.keys():
        raise ValueError(f"{path} is not a preset: it needs {', '.join(sorted(needed))}")
    if content["version"] != PRESET_VERSION:
        raise ValueError(f"{path} has version {content['version']}; this diffapf reads version {PRESET_VERSION}")
    rate, values, configuration = content["sample_rate"], content["parameters"], content.get("configuration") or {}
    if not isinstance(rate, (int, float)) or not rate > 0:
        raise ValueError(f"{path}: sample_rate must be a positive number, in Hz, got {rate!r}")
    if not isinstance(values, dict) or not isinstance(configuration, dict):
        raise ValueError(f"{path}: parameters and configuration must be lists of name: value")
    network = _read_network(path, content.get("network"))
    return Preset(content["effect"], rate, configuration, values, network)


def _read_network(path: Path, name: str | None) -> dict[str, Tensor]:
    if name is None:
        return {}
    tensors = path.parent / str(name)
    if not tensors.is_file():
        raise ValueError(f"{path} needs the tensors in {tensors}, which is not there: keep the two files together")
    try:
        return torch.load(tensors, weights_only=True)
    except Exception as error:  # a damaged file can raise anything
        raise ValueError(f"{path}: its tensors in {tensors} cannot be read ({type(error).__name__})") from None
