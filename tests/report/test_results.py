"""Reading a results folder: what is optional, and what an error says."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from diffapf.report.results import read_results


def test_everything_is_read(results_folder: Path):
    results = read_results(results_folder)
    assert results.run.title == "A phaser"
    assert results.metrics["fs:test/esr_td"] == 0.06
    assert results.history is not None
    np.testing.assert_array_equal(results.history.columns["val/esr"], [1.2, math.nan, 0.2])
    assert [parameter.name for parameter in results.parameters] == ["lfo.rate", "mix"]
    assert math.isnan(results.curves[1].series[0].y[2])
    assert [part.name for part in results.parts] == ["test", "train"]


def test_only_run_and_metrics_are_needed(results_folder: Path):
    for name in ("history.csv", "parameters.json", "curves.json"):
        (results_folder / name).unlink()
    (results_folder / "audio").rename(results_folder / "elsewhere")
    results = read_results(results_folder)
    assert results.history is None
    assert (results.parameters, results.curves, results.parts) == ([], [], [])


@pytest.mark.parametrize("name", ["run.json", "metrics.json"])
def test_a_missing_file_is_named(results_folder: Path, name: str):
    (results_folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=name):
        read_results(results_folder)


def test_a_missing_folder_is_named(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        read_results(tmp_path / "nowhere")


SERIES = '{"name": "s", "x": [1, 2], "y": [1]}'
AXES = '"title": "T", "x": {"label": "X"}, "y": {"label": "Y"}'


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("run.json", "{", r"run\.json is not valid JSON"),
        ("run.json", "[]", r"run\.json holds a list; it needs a dict"),
        ("run.json", '{"title": "t", "seconds": 1, "versions": {}}', r"run\.json: command, created is missing"),
        ("metrics.json", '{"test/mss": "low"}', r"metrics\.json: test/mss: 'low' is not a number"),
        ("history.csv", "seconds,train/esr\n1,2\n", r"history\.csv: the header needs a column 'step'"),
        ("history.csv", "step,train/esr\n1,2\n2,x\n", r"history\.csv, line 3: train/esr: 'x' is not a number"),
        ("parameters.json", '[{"name": "mix"}]', r"parameters\.json, entry 0: value is missing"),
        ("parameters.json", '[{"name": "mix", "value": 1, "taper": "round"}]', r"\(mix\): taper is 'round'"),
        ("parameters.json", '[{"name": "mix", "value": 1, "truth": "?"}]', r"\(mix\): truth: '\?' is not a number"),
        ("curves.json", f"[{{{AXES}}}]", r"curves\.json, entry 0: series is missing"),
        ("curves.json", f'[{{{AXES}, "series": [{SERIES}]}}]', r"\(T\): series 0 \(s\): x has 2 values and y has 1"),
    ],
)
def test_an_error_names_the_file_and_the_field(results_folder: Path, name: str, content: str, message: str):
    (results_folder / name).write_text(content)
    with pytest.raises(ValueError, match=message):
        read_results(results_folder)


def test_a_history_that_was_cut_short_is_read(results_folder: Path):
    (results_folder / "history.csv").write_text("step,seconds,train/esr\n0,0.1,0.5\n1,0.2")
    history = read_results(results_folder).history
    assert history is not None
    np.testing.assert_array_equal(history.columns["train/esr"], [0.5, math.nan])


def test_a_history_without_rows_is_read(results_folder: Path):
    (results_folder / "history.csv").write_text("step,seconds,train/esr\n")
    history = read_results(results_folder).history
    assert history is not None
    assert len(history.step) == 0
