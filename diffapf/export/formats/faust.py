"""Faust: the source text of what Faust says exactly, phasers and equalisers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from diffapf.effects.equalizer import SHAPES
from diffapf.export.description import Description, Knob, NotExportableError
from diffapf.export.files import KERNELS
from diffapf.export.formats.job import Format, Job


def make(job: Job) -> list[Path]:
    source = job.result / f"{job.description.symbol}.dsp"
    source.write_text(text(job.description), encoding="utf-8")
    return [source]


def text(description: Description) -> str:
    """The program.

    Raises:
        NotExportableError: the model has no such text, or a part of it has none.
    """
    _check(description)
    environment = Environment(
        loader=FileSystemLoader(KERNELS), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    symbols = [knob.symbol for knob in description.knobs]
    values: dict[str, Any] = {**description.settings, **description.tables}
    if description.kernel == "equalizer":
        values["rows"] = _bands(description.tables["bands"], symbols)
    else:
        rate_hz = next(knob.value for knob in description.knobs if knob.symbol == "rate_hz")
        values["start_cycles"] = values["LFO_PHASE_CYCLES"] - rate_hz * values["LFO_ORIGIN"]
    return environment.get_template(f"{description.kernel}.dsp").render(
        name=description.name,
        knobs=description.knobs,
        symbols=symbols,
        channels=description.channels,
        slider=slider,
        free_filter=free_filter,
        **values,
    )


def _check(description: Description) -> None:
    if not (KERNELS / f"{description.kernel}.dsp").is_file():
        raise NotExportableError(
            f"{description.name} cannot be exported as faust: phasers of all-passes and equalisers can; use another format"
        )
    for setting, what in (("LFO_DRIFT_KNOTS", "an LFO that drifts"), ("SHAPER_WIDTH", "an LFO that a network shapes")):
        if description.settings.get(setting):
            raise NotExportableError(f"{what} is not written in Faust: use c, or another format")


def slider(knob: Knob, place: int) -> str:
    """A slider with the knob's name, unit and taper."""
    unit = f"[unit:{knob.unit}]" if knob.unit else ""
    scale = "[scale:log]" if knob.logarithmic else ""
    numbers = ", ".join(map(decimal, (knob.value, knob.minimum, knob.maximum, 1e-4 * (knob.maximum - knob.minimum))))
    return f'hslider("[{place:02d}]{knob.name}{unit}{scale}", {numbers})'


def decimal(value: float) -> str:
    """A number as Faust reads it, without an exponent, and with every digit that counts."""
    return f"{value:.20f}".rstrip("0") + "0"


def _bands(rows: Sequence[float], symbols: list[str]) -> list[str]:
    """The bands as calls: a shape with its frequency, Q and gain."""
    found = []
    for i in range(0, len(rows), 5):
        shape, frequency, q, gain, fixed_q = rows[i : i + 5]
        numbers = [symbols[int(frequency)], decimal(fixed_q) if q < 0 else symbols[int(q)]]
        found.append(f"{SHAPES[int(shape)]}({', '.join(numbers + ([symbols[int(gain)]] if gain >= 0 else []))})")
    return found


# ---------------------------------------------------------------------------------------- filters at any sample rate


def free_filter(b: Sequence[float], a: Sequence[float]) -> str:
    """b/a, of one rate, at r times that: coefficients as polynomials in r.

    With z⁻¹ = (1 − s)/(1 + s) at the old rate, s is r (1 − z⁻¹)/(1 + z⁻¹) at the new one.
    """
    numerator, denominator = (list(map(_at_rate, _by_powers_of_r(polynomial))) for polynomial in (b, a))
    over = [f"({term}) / ({denominator[0]})" for term in (*numerator, *denominator[1:])]
    return f"fi.iir(({', '.join(over[: len(b)])}), ({', '.join(over[len(b) :])}))"


def _by_powers_of_r(polynomial: Sequence[float]) -> list[list[float]]:
    """Of each coefficient of the new polynomial in z⁻¹ the factors of 1, r, r², …"""
    order = len(polynomial) - 1
    analogue = [0.0] * (order + 1)
    for i, number in enumerate(polynomial):
        for k, term in enumerate(_expanded(i, order)):
            analogue[k] += number * term
    return [[analogue[k] * _expanded(k, order)[j] for k in range(order + 1)] for j in range(order + 1)]


def _expanded(power: int, order: int) -> list[float]:
    """(1 − x)^power (1 + x)^(order − power) in powers of x."""
    terms = [1.0]
    for sign in [-1.0] * power + [1.0] * (order - power):
        terms = [low + sign * high for low, high in zip([*terms, 0.0], [0.0, *terms], strict=True)]
    return terms


def _at_rate(factors: list[float]) -> str:
    return " + ".join(f"({decimal(factor)}) * {' * '.join(['1.0', *['r'] * k])}" for k, factor in enumerate(factors))


FAUST = Format("faust", make, everywhere=True, instruments=False)
