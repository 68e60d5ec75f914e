"""The acid synth's benchmark runs, in its smallest case; what it measures there is nothing."""

from __future__ import annotations

import importlib
from types import ModuleType

import pytest
import torch

from diffapf.synths.controls import values_of


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    return importlib.import_module("scripts.benchmark_acid")


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_it_tells_a_table(benchmark, threads, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(benchmark, "ROOT", tmp_path)
    (tmp_path / "benchmarks").mkdir()
    monkeypatch.setattr(benchmark, "WINDOWS", (128,))
    monkeypatch.setattr(benchmark, "TRAINED_WINDOWS", (128,))
    monkeypatch.setattr(benchmark, "PLAYED", {"LP": "lowpass"})
    smallest = [
        "--quick",
        "--budget",
        "0",
        "--notes",
        "1",
        "--samples",
        "1500",
        "--rows",
        "LP",
        "LSTM 64",
        "--write",
        "--played",
        "0.1",
    ]
    benchmark.main(smallest)
    text = (tmp_path / "benchmarks" / "acid_step.md").read_text(encoding="utf-8")
    assert text in capsys.readouterr().out
    assert "| LP, published | 29 |" in text and "58 (2.0) |" in text and "| LSTM 64, published | 1322 |" in text
    assert "The filter is" in text and "| × real time | whole | 1000 | 64 | 1 |" in text


def test_torchlpc_is_the_same_filter(benchmark):
    """But for where its frames are: the last one at the last sample."""
    pytest.importorskip("torchlpc", reason="torchlpc is not installed")
    size = benchmark.Size(2, 3000)
    for filter in ("coefficients", "ladder"):
        synth, note = benchmark.player(filter), benchmark.notes(size)
        raw = {name: value.detach() for name, value in benchmark.numbers(synth, size).items()}
        raw = {c.name: raw[c.name][:, :1].expand_as(raw[c.name]) if c.moves else raw[c.name] for c in synth.controls}
        values = values_of(raw, synth.controls)
        expected = synth(note, values)
        synth.method = benchmark.Torchlpc()
        torch.testing.assert_close(synth(note, values), expected, rtol=1e-3, atol=1e-4)
