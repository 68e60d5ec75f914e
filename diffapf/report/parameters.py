"""Parameters with their units, and where each lies in its range."""

from __future__ import annotations

import math
from dataclasses import dataclass

from diffapf.report.results import Parameter
from diffapf.report.text import significant, spelled, with_error, with_unit


@dataclass(frozen=True)
class Bar:
    """A range with the value on it; positions in percent from the left end."""

    value: float
    minimum: str
    maximum: str
    truth: float | None
    error: tuple[float, float] | None


@dataclass(frozen=True)
class Entry:
    """One parameter as text, and its bar if it has a range."""

    label: str
    name: str
    value: str
    truth: str
    bar: Bar | None


@dataclass(frozen=True)
class Group:
    """Parameters whose names begin alike: `lfo.rate` and `lfo.depth` are the group "lfo"."""

    title: str
    entries: list[Entry]


def parameter_groups(parameters: list[Parameter]) -> list[Group]:
    """Parameters in the order they came in, gathered by the first part of their names."""
    groups: dict[str, list[Parameter]] = {}
    for parameter in parameters:
        groups.setdefault(parameter.name.rpartition(".")[0], []).append(parameter)
    return [
        Group(spelled(title, each[0].unit), [_entry(parameter) for parameter in each]) for title, each in groups.items()
    ]


def _entry(parameter: Parameter) -> Entry:
    own_name = spelled(parameter.name.rpartition(".")[2], parameter.unit)
    return Entry(
        label=parameter.label or own_name,
        name=parameter.name,
        value=with_unit(with_error(parameter.value, parameter.standard_error), parameter.unit),
        truth="" if parameter.truth is None else with_unit(significant(parameter.truth), parameter.unit),
        bar=_bar(parameter),
    )


def _bar(parameter: Parameter) -> Bar | None:
    """The bar, or None for a parameter without a range that its taper can show."""
    value, low, high = parameter.value, parameter.minimum, parameter.maximum
    if low is None or high is None or not low < high or (parameter.taper == "log" and low <= 0):
        return None
    if not math.isfinite(value):
        return None

    def position(value: float) -> float:
        """In percent; what lies outside the range is shown at its end."""
        value = min(max(value, low), high)
        warp = math.log if parameter.taper == "log" else float
        return round(100 * (warp(value) - warp(low)) / (warp(high) - warp(low)), 2)

    truth, error = parameter.truth, parameter.standard_error
    return Bar(
        value=position(value),
        minimum=significant(low, 3),
        maximum=significant(high, 3),
        truth=position(truth) if truth is not None and math.isfinite(truth) else None,
        error=(position(value - error), position(value + error)) if error and math.isfinite(error) else None,
    )
