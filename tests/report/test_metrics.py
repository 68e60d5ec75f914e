"""Metrics and parameters as a reader meets them."""

from __future__ import annotations

import math

import pytest

from diffapf.report.metrics import esr_table, headline, judge, other_metrics
from diffapf.report.parameters import parameter_groups
from diffapf.report.results import Parameter


@pytest.mark.parametrize(
    ("fraction", "percent", "decibels", "word"),
    [
        (0.0, "0 %", "−∞ dB", "excellent"),
        (0.00099, "0.099 %", "−30.0 dB", "excellent"),
        (0.001, "0.1 %", "−30.0 dB", "great"),
        (0.00999, "0.999 %", "−20.0 dB", "great"),
        (0.0349, "3.49 %", "−14.6 dB", "good"),
        (0.049, "4.9 %", "−13.1 dB", "might sound fine"),
        (0.149, "14.9 %", "−8.3 dB", "poor"),
        (0.15, "15 %", "−8.2 dB", "poor"),
        (0.3, "30 %", "−5.2 dB", "far off"),
        (1.234, "123 %", "0.9 dB", "far off"),
        (math.inf, "∞", "", "far off"),
        (math.nan, "NaN", "", "invalid"),
    ],
)
def test_an_esr_is_judged(fraction: float, percent: str, decibels: str, word: str):
    esr = judge(fraction)
    assert esr.percent.replace("\u202f", " ") == percent
    assert esr.decibels.replace("\u202f", " ") == decibels
    assert esr.word == word


def test_the_table_has_parts_as_rows_and_methods_as_columns():
    table = esr_table({"train/esr_fs": 0.1, "train/esr_td": 0.2, "test/esr_td": 0.3, "train/seconds": 3})
    assert table is not None
    assert table.columns == ["time domain (TD)", "frequency sampling (FS)"]
    assert not table.has_baselines
    (rows,) = table.groups.values()
    assert [row.part for row in rows] == ["Test", "Training"]
    assert rows[0].cells[1] is None


def test_baselines_are_groups_of_rows():
    table = esr_table({"test/esr_td": 0.1, "fs:test/esr_td": 0.2, "lstm:test/esr_td": 0.3})
    assert table is not None
    assert table.has_baselines
    assert list(table.groups) == ["this model", "baseline trained in frequency sampling (FS)", "baseline lstm"]


def test_without_esr_there_is_no_table():
    assert esr_table({"test/mss": 1.0}) is None


def test_the_headline_is_what_was_chosen_or_the_test():
    metrics = {"train/esr_td": 0.5, "test/esr_td": 0.1, "test/lfo_rate_hz": 0.302, "train/seconds": 61}
    assert [tile.label for tile in headline(metrics, [])] == ["Test ESR, time domain (TD)"]
    chosen = headline(metrics, ["test/lfo_rate_hz", "train/seconds", "test/none"])
    assert [(tile.label, tile.value) for tile in chosen] == [
        ("Test LFO rate", "0.302\u202fHz"),
        ("Training time", "1 min 1 s"),
    ]


def test_other_metrics_are_those_that_are_no_esr():
    assert other_metrics({"test/esr_td": 1, "test/mss": 0.123456, "a": math.nan}) == {"test/mss": "0.12346", "a": "NaN"}


def bar(**fields: object):
    (group,) = parameter_groups([Parameter(name="p", **fields)])  # type: ignore[arg-type]
    return group.entries[0].bar


def test_a_bar_follows_the_taper():
    assert bar(value=5.0, minimum=0.0, maximum=20.0).value == 25
    assert bar(value=100.0, minimum=10.0, maximum=1000.0, taper="log").value == 50


def test_values_beyond_the_range_stand_at_its_end():
    drawn = bar(value=30.0, minimum=0.0, maximum=20.0, truth=-3.0, standard_error=1.0)
    assert (drawn.value, drawn.truth, drawn.error) == (100, 0, (100, 100))


@pytest.mark.parametrize(
    "fields",
    [
        {"value": 1.0},
        {"value": 1.0, "minimum": 0.0},
        {"value": 1.0, "minimum": 2.0, "maximum": 2.0},
        {"value": 1.0, "minimum": 0.0, "maximum": 2.0, "taper": "log"},
        {"value": math.nan, "minimum": 0.0, "maximum": 2.0},
    ],
)
def test_without_a_range_there_is_no_bar(fields: dict):
    assert bar(**fields) is None


def test_parameters_are_grouped_by_their_names():
    names = ["lfo.rate", "mix", "lfo.start_phase", "eq.low.gain"]
    groups = parameter_groups([Parameter(name, 1.0) for name in names])
    assert [(group.title, [entry.label for entry in group.entries]) for group in groups] == [
        ("LFO", ["rate", "start phase"]),
        ("", ["mix"]),
        ("eq.low", ["gain"]),
    ]
