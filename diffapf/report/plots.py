"""Curves as inline SVG whose colours are the page's CSS variables, so that one drawing fits light and dark.

Matplotlib draws with stand-in colours, which are then replaced; text stays text, in the page's font. Titles and legends
are the page's business: HTML wraps, scales and escapes better.
"""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.scale import LogScale
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from diffapf.report.metrics import METHODS, part_name
from diffapf.report.results import PARAMETER, Axis, Curve, History, Parameter, Series
from diffapf.report.text import significant, spelled
from diffapf.report.ticks import short_frequency

_INK, _LINE = "#a10001", "#a10002"
_STAND_INS = {_INK: "var(--muted)", _LINE: "var(--line)"}

_COLOURS = {
    "--blue": "#3b82e0",
    "--orange": "#e2711d",
    "--green": "#1e9e77",
    "--magenta": "#c2479e",
    "--violet": "#8a63d2",
    "--ochre": "#a8841a",
    "--grey": "#858b96",
}
"""The page's variables, and what stands for them in a picture, which no variable reaches: tones for both grounds."""

_OWN_COLOURS = {"dry": "--grey", "target": "--blue", "prediction": "--orange", "difference": "--magenta"}

_MOST_VECTOR_POINTS = 4000
"""A curve with more points than this is a picture between vector axes."""

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # names come from the user: a dollar sign is a dollar sign
    "font.size": 9,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _LINE,
    "xtick.color": _LINE,
    "ytick.color": _LINE,
    "xtick.labelcolor": _INK,
    "ytick.labelcolor": _INK,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": _LINE,
    "grid.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "xtick.major.size": 3,
    "ytick.major.size": 0,
    "lines.linewidth": 1.6,
}


@dataclass(frozen=True)
class Legend:
    """A series in the legend of a plot: its name, its colour as a CSS value, and its style."""

    name: str
    colour: str
    style: str


@dataclass(frozen=True)
class Plot:
    """A drawn curve: inline SVG, and what the page writes around it."""

    title: str
    svg: str
    legend: list[Legend]
    caption: str


def colours(names: Sequence[str]) -> list[str]:
    """The CSS variables of tracks or series: those that every effect has keep theirs, others get what is left.

    >>> colours(["prediction", "measured", "target"])
    ['--orange', '--green', '--blue']
    """
    own = {_OWN_COLOURS[name] for name in names if name in _OWN_COLOURS}
    free = itertools.cycle([colour for colour in _COLOURS if colour not in own] or _COLOURS)
    return [_OWN_COLOURS[name] if name in _OWN_COLOURS else next(free) for name in names]


def plot_curve(curve: Curve) -> Plot:
    """Draw one curve."""
    return _plot(curve, colours([series.name for series in curve.series]))


def plot_history(history: History) -> list[Plot]:
    """Draw the training history: one plot per quantity, one colour per part of the data, baselines dashed."""
    columns = {name: values for name, values in history.columns.items() if name != "seconds" and not _of(name)}
    quantities = dict.fromkeys(_split(name)[2] for name in columns)
    return [
        _plot_quantity(quantity, history.step, {n: v for n, v in columns.items() if _split(n)[2] == quantity})
        for quantity in quantities
    ]


def plot_trajectories(history: History, parameters: Sequence[Parameter]) -> list[Plot]:
    """Draw the way of each parameter whose columns the history has: the model's, the baselines', and the truth, if known."""
    found = []
    for parameter in {parameter.name: parameter for parameter in parameters}.values():
        series = [
            Series(f"{_short(_split(column)[0])} baseline" if ":" in column else "model", *_known(history.step, values))
            for column, values in history.columns.items()
            if _of(column) == parameter.name and np.isfinite(values).any()
        ]
        if series:
            found.append(plot_curve(_trajectory(parameter, series)))
    return found


def _trajectory(parameter: Parameter, series: list[Series]) -> Curve:
    name = spelled(parameter.name.rpartition(".")[2], parameter.unit)
    if parameter.truth is not None:
        ends = np.array([min(s.x[0] for s in series), max(s.x[-1] for s in series)])
        series = [*series, Series("true", ends, np.full(2, parameter.truth), "dashed")]
    logarithmic = parameter.taper == "log" and all((s.y > 0).all() for s in series)
    axis = Axis(name, parameter.unit, "log" if logarithmic else "linear")
    return Curve(f"{name} while training", Axis("step"), axis, series)


def _known(step: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where cells are filled."""
    filled = np.isfinite(values)
    return step[filled], values[filled]


def _of(column: str) -> str:
    """The parameter whose way a column is; empty for any other."""
    _, part, name = _split(column)
    return name if part == PARAMETER else ""


def _plot_quantity(quantity: str, step: np.ndarray, columns: dict[str, np.ndarray]) -> Plot:
    parts = list(dict.fromkeys(_split(name)[1] for name in columns))
    series = []
    for name, values in columns.items():
        baseline, part, _ = _split(name)
        label = ", ".join(filter(None, [part_name(part), f"{_short(baseline)} baseline" if baseline else ""]))
        series.append(Series(label, *_known(step, values), "dashed" if baseline else "line"))
    known = np.concatenate([s.y for s in series])
    scale = "log" if known.size and (known > 0).all() else "linear"
    is_esr = quantity.startswith("esr")
    title = "ESR" if is_esr else spelled(quantity)
    if is_esr:
        series = [Series(s.name, s.x, 100 * s.y, s.style) for s in series]
    curve = Curve(f"{title} while training", Axis("step"), Axis(title, "%" if is_esr else "", scale), series)
    colour_of = dict(zip(parts, colours(parts), strict=True))
    return _plot(curve, [colour_of[_split(name)[1]] for name in columns])


def _short(baseline: str) -> str:
    return baseline.upper() if baseline in METHODS else baseline


def _split(column: str) -> tuple[str, str, str]:
    """Baseline, part and quantity of a column of the history: "fs:train/esr"."""
    baseline, colon, rest = column.partition(":")
    if not colon:
        baseline, rest = "", column
    part, _, quantity = rest.rpartition("/")
    return baseline, part, quantity


def _plot(curve: Curve, variables: list[str]) -> Plot:
    stand_ins = [f"#a2{index:04x}" for index in range(len(variables))]
    as_picture = sum(len(series.x) for series in curve.series) > _MOST_VECTOR_POINTS
    drawn = [_COLOURS[variable] for variable in variables] if as_picture else stand_ins
    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": curve.title}):
        figure = Figure(figsize=(5.2, 2.9), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        for series, colour in zip(curve.series, drawn, strict=True):
            _draw(axes, series, colour, as_picture)
        _label(axes, curve)
        svg = _svg(figure)
    values = [f"var({variable})" for variable in variables]
    legend = [Legend(series.name, value, series.style) for series, value in zip(curve.series, values, strict=True)]
    svg = _replace(svg, {**_STAND_INS, **dict(zip(stand_ins, values, strict=True))})
    return Plot(curve.title, svg, legend, curve.caption)


def _draw(axes: Axes, series: Series, colour: str, as_picture: bool) -> None:
    (line,) = axes.plot(series.x, series.y, color=colour, rasterized=as_picture)
    if series.style == "points":
        size, alpha = (2.4, 0.45) if as_picture else (3.6, 0.8)
        line.set(linestyle="", marker="o", markersize=size, markeredgewidth=0, alpha=alpha, zorder=1.9)
    elif series.style == "dashed":
        line.set_linestyle((0, (4, 2.5)))


def _label(axes: Axes, curve: Curve) -> None:
    axes.margins(x=0.01)
    for axis, spec, name in ((axes.xaxis, curve.x, "x"), (axes.yaxis, curve.y, "y")):
        values = np.concatenate([getattr(series, name) for series in curve.series] or [np.zeros(0)])
        if spec.scale == "log" and (values > 0).any():
            axes.set(**{f"{name}scale": LogScale(axis, nonpositive="mask")})
            low, high = axis.get_view_interval()
            # A single decade needs marks within it, several have room for their powers of ten only.
            axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < 2000 else (1,), numticks=12))
            axis.set_minor_locator(NullLocator())
        else:
            axis.set_major_locator(MaxNLocator(6 if name == "x" else 5, steps=[1, 2, 5, 10]))
        shorten = short_frequency if spec.unit == "Hz" else significant
        axis.set_major_formatter(FuncFormatter(lambda value, _, shorten=shorten: shorten(float(value))))
    axes.set_xlabel(_axis_name(curve.x))
    axes.set_title(_axis_name(curve.y), loc="left", fontsize=9)


def _axis_name(axis: Axis) -> str:
    return f"{axis.label} ({axis.unit})" if axis.unit else axis.label


def _svg(figure: Figure) -> str:
    """The figure as SVG to stand within HTML: no XML header, no metadata, no names that another plot might have."""
    file = io.StringIO()
    metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(file, format="svg", transparent=True, dpi=160, metadata=metadata)
    svg = file.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<!--.*?-->\s*|<metadata>.*?</metadata>\s*|<style.*?</style>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<svg [^>]*?(viewBox="[^"]*")[^>]*>', r'<svg class="plot" \1 role="img">', svg, count=1)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    # Matplotlib up to 3.10 writes `font: 9px 'DejaVu Sans', …`, later ones `font-size: 9px; font-family: …`.
    return re.sub(r"font: ([\d.]+px) [^;\"]*|(font-size: [\d.]+px); font-family: [^;\"]*", _font_size, svg)


def _font_size(match: re.Match[str]) -> str:
    return f"font-size: {match[1]}" if match[1] else match[2]


def _replace(svg: str, colours: dict[str, str]) -> str:
    return re.sub(r"#a[12][0-9a-f]{4}", lambda match: colours.get(match[0], match[0]), svg)
