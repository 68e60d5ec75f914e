"""Curves as SVG: colours of the page, text as text, and whatever a user may call things."""

from __future__ import annotations

import math

import numpy as np
import pytest

from diffapf.report.plots import plot_curve, plot_history, plot_trajectories
from diffapf.report.results import Axis, Curve, History, Parameter, Series

TIME, LEVEL = Axis("Time", "s"), Axis("Level", "dB")


def curve(*series: Series, x: Axis = TIME, y: Axis = LEVEL) -> Curve:
    return Curve("A curve", x, y, list(series))


def series(name: str, points: int = 20, style: str = "line") -> Series:
    x = np.linspace(1, 100, points)
    return Series(name, x, 1 + x**2, style)


def test_colours_are_the_variables_of_the_page():
    plot = plot_curve(curve(series("prediction"), series("measured", style="points")))
    assert "var(--orange)" in plot.svg
    assert [(entry.colour, entry.style) for entry in plot.legend] == [
        ("var(--orange)", "line"),
        ("var(--blue)", "points"),
    ]
    assert "#a1" not in plot.svg
    assert "#a2" not in plot.svg


def test_nothing_but_the_drawing_is_left_of_the_svg():
    svg = plot_curve(curve(series("a"))).svg
    assert svg.startswith('<svg class="plot" viewBox=')
    for leftover in ("http", "<style", "<metadata", "<!--", '<g id="', "font:", "font-family"):
        assert leftover not in svg


def test_names_are_text_and_neither_mathematics_nor_markup():
    svg = plot_curve(curve(series("a"), x=Axis("$x_1$ <b>--> & \\frac", "s"))).svg
    assert "$x_1$ &lt;b&gt;--&gt; &amp; \\frac (s)" in svg


def test_many_points_become_a_picture():
    few, many = (plot_curve(curve(series("a", points, "points"))).svg for points in (1000, 20000))
    assert "<image" not in few
    assert "<image" in many
    assert len(many) < 300_000


@pytest.mark.parametrize("values", [[], [math.nan, math.nan], [-1.0, 0.0], [5.0]])
@pytest.mark.parametrize("scale", ["linear", "log"])
def test_curves_with_little_in_them_are_drawn(values: list[float], scale: str):
    y = np.array(values)
    assert "</svg>" in plot_curve(curve(Series("a", np.arange(len(y)), y), y=Axis("Y", "", scale))).svg


def test_frequencies_are_short():
    x = np.geomspace(20, 20000, 50)
    svg = plot_curve(curve(Series("a", x, x), x=Axis("Frequency", "Hz", "log"))).svg
    assert ">100<" in svg
    assert ">10k<" in svg


def test_the_history_has_a_plot_per_quantity_and_dashes_for_baselines():
    step = np.arange(5)
    columns = {
        "seconds": step * 0.1,
        "train/esr": np.array([1, 0.5, 0.2, 0.1, 0.05]),
        "val/esr": np.array([1, math.nan, 0.2, math.nan, 0.06]),
        "fs:train/esr": np.array([1, 0.8, 0.5, 0.5, math.nan]),
        "train/gain_db": np.array([-1.0, 0.0, 1.0, 2.0, 3.0]),
    }
    esr, gain = plot_history(History(step, columns))
    assert (esr.title, gain.title) == ("ESR while training", "gain db while training")
    assert [(entry.name, entry.style) for entry in esr.legend] == [
        ("Training", "line"),
        ("Validation", "line"),
        ("Training, FS baseline", "dashed"),
    ]
    assert esr.legend[0].colour == esr.legend[2].colour
    assert "ESR (%)" in esr.svg


def test_a_parameters_way_has_its_unit_the_baselines_and_the_truth():
    step = np.array([0, 10, 20])
    columns = {
        "train/esr": np.array([math.nan, 0.5, 0.2]),
        "param/smoother.attack_ms": np.array([50.0, 3.0, 1.0]),
        "fs:param/smoother.attack_ms": np.array([50.0, 40.0, math.nan]),
        "param/makeup_db": np.array([0.0, -1.0, 0.5]),
        "param/nowhere": np.ones(3),
    }
    parameters = [
        Parameter("smoother.attack_ms", 1.0, "ms", taper="log", truth=1.2),
        Parameter("makeup_db", 0.5, "dB"),
        Parameter("mix", 0.5),
    ]
    history = History(step, columns)
    attack, makeup = plot_trajectories(history, parameters)
    assert (attack.title, makeup.title) == ("attack while training", "makeup while training")
    assert "attack (ms)" in attack.svg and "makeup (dB)" in makeup.svg
    assert [(entry.name, entry.style) for entry in attack.legend] == [
        ("model", "line"),
        ("FS baseline", "line"),
        ("true", "dashed"),
    ]
    assert len({entry.colour for entry in attack.legend}) == 3
    assert ">10<" in attack.svg  # its scale is logarithmic
    assert [entry.name for entry in makeup.legend] == ["model"]
    assert [plot.title for plot in plot_history(history)] == ["ESR while training"]
