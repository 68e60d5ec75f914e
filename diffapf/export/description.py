"""What a kernel needs to know of a model: knobs, settings and tables; and how they are written as C, `model.h`."""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from diffapf.parameters import ParameterSpec

UNIT_SUFFIXES = ("_hz", "_db", "_ms", "_us", "_us2")
ROOMS = ("lfo", "sweep", "curve", "smoother", "detector", "look_ahead", "cell", "output", "bands")

HIGHEST_RATE = 192_000
"""Sample rate in Hz for which kernels have room where they keep the past; above they refuse to play."""


class NotExportableError(ValueError):
    """A model, or a format for it, that is refused: the message says why, and what can be done."""


@dataclass(frozen=True)
class Knob:
    """A parameter that a player turns; `parameter`: its name in the model, where it has one there.

    >>> from diffapf.parameters import ParameterSpec
    >>> knob = Knob.of(ParameterSpec("lfo.rate_hz", 25.0, "Hz", 0.01, 20.0, "log"))
    >>> knob.symbol, knob.name, knob.maximum
    ('rate_hz', 'Rate', 25.0)
    """

    symbol: str
    name: str
    unit: str
    minimum: float
    maximum: float
    value: float
    logarithmic: bool = False
    parameter: str = ""

    @classmethod
    def of(cls, spec: ParameterSpec) -> Knob:
        """The knob of a named parameter; its range reaches the value, wherever a fit went."""
        if spec.minimum is None or spec.maximum is None:
            raise NotExportableError(f"{spec.name} has no range, so it has no knob")
        path = spec.name.split(".")
        symbol = symbol_of("_".join(path[1:] if path[0] in ROOMS else path))
        suffix = next((suffix for suffix in UNIT_SUFFIXES if symbol.endswith(suffix)), "")
        words = symbol.removesuffix(suffix).replace("_", " ")
        return cls(
            symbol,
            words[:1].upper() + words[1:],
            spec.unit,
            min(spec.minimum, spec.value),
            max(spec.maximum, spec.value),
            spec.value,
            spec.taper == "log",
            spec.name,
        )


@dataclass(frozen=True)
class Description:
    """A model as a kernel.

    Args:
        kernel: the file in kernels/, without .c.
        knobs: in the order of the plugin's parameters.
        settings: macros: numbers, or names that the kernel knows.
        tables, single_tables: arrays of numbers, in double and in single precision.
        channels: of input and output, which the effect treats alike; of an instrument, 1 of output alone.
        instrument: played by keys.
        latent: the output comes later than the input.
        remarks: what a user is told, in sentences.
        name: what the plugin is called.
    """

    kernel: str
    knobs: tuple[Knob, ...]
    settings: Mapping[str, float | int | str]
    tables: Mapping[str, Sequence[float]] = field(default_factory=dict)
    single_tables: Mapping[str, Sequence[float]] = field(default_factory=dict)
    channels: int = 1
    instrument: bool = False
    latent: bool = False
    remarks: tuple[str, ...] = ()
    name: str = ""

    def __post_init__(self) -> None:
        symbols = [knob.symbol for knob in self.knobs]
        twice = sorted({symbol for symbol in symbols if symbols.count(symbol) > 1})
        if twice:
            raise NotExportableError(f"two parameters would be called {', '.join(twice)} in C: rename a band")

    def named(self, name: str) -> Description:
        """The same under another name; raises NotExportableError for one that C and Turtle cannot hold."""
        if not name.strip() or not name.isprintable() or not name.isascii() or set(name) & set('"\\<>&?'):
            raise NotExportableError(f"a plugin's name is of letters, digits and blanks, without quotes, got {name!r}")
        return replace(self, name=name)

    @property
    def inputs(self) -> int:
        return 0 if self.instrument else self.channels

    @property
    def symbol(self) -> str:
        """The name as file names and C take it."""
        return symbol_of(self.name)

    @property
    def identity(self) -> int:
        """A number that plugins of other names do not have, for formats that ask for one."""
        return zlib.crc32(f"diffapf {self.name} {self.channels}".encode()) & 0x7FFFFFFF

    def header(self) -> str:
        """`model.h`; numbers are written so that they are read back exactly."""
        lines = [
            f"/* {self.name}: written by diffapf export. The signal path is in {self.kernel}.c. */",
            "#ifndef MODEL_H",
            "#define MODEL_H",
            '#include "kernel.h"',
            "",
            f'#define MODEL_NAME "{self.name}"',
            f'#define MODEL_SYMBOL "{self.symbol}"',
            f"#define MODEL_ID {self.identity}",
            f"#define INPUTS {self.inputs}",
            f"#define OUTPUTS {self.channels}",
            f"#define CHANNELS {self.channels}",
            *(["#define INSTRUMENT"] if self.instrument else []),
            *(["#define LATENT"] if self.latent else []),
            *(f"#define {name} {_macro(value)}" for name, value in self.settings.items()),
            "",
            f"#define KNOBS {len(self.knobs)}",
            *(f"#define KNOB_{knob.symbol.upper()} {i}" for i, knob in enumerate(self.knobs)),
            "static const Knob knobs[KNOBS] = {",
            *(f"    {_knob(knob)}," for knob in self.knobs),
            "};",
            *(f"static const double {name}[] = {{{_numbers(values)}}};" for name, values in self.tables.items()),
            *(f"static const float {name}[] = {{{_numbers(values)}}};" for name, values in self.single_tables.items()),
            "",
            "#endif",
        ]
        return "\n".join(lines) + "\n"


def symbol_of(name: str) -> str:
    """A name as an identifier.

    >>> symbol_of("Small Stone, 2"), symbol_of("1176")
    ('small_stone_2', 'n1176')
    """
    symbol = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    return f"n{symbol}" if not symbol or symbol[0].isdigit() else symbol


def _macro(value: float | int | str) -> str:
    return value if isinstance(value, str) else f"({_number(value)})"


def _number(value: float) -> str:
    if not math.isfinite(value):
        raise NotExportableError(f"a number of the model is not finite: {value}")
    return repr(value)


def _numbers(values: Sequence[float]) -> str:
    return ", ".join(map(_number, values)) if len(values) else "0"


def _knob(knob: Knob) -> str:
    numbers = ", ".join(_number(float(value)) for value in (knob.minimum, knob.maximum, knob.value))
    return f'{{"{knob.symbol}", "{knob.name}", "{knob.unit}", {numbers}, {int(knob.logarithmic)}}}'
