"""The chain's benchmark times what it says, on little."""

from __future__ import annotations

from scripts import benchmark_chain, benchmark_reverb
from tests.scripts.test_benchmark_reverb import threads  # noqa: F401


def test_the_table_has_every_row(threads, monkeypatch):  # noqa: F811
    monkeypatch.setattr(benchmark_chain, "SECONDS", 1)
    monkeypatch.setattr(benchmark_chain, "SAMPLE_RATE", 41_000)
    monkeypatch.setattr(benchmark_reverb, "TURNS", 1)
    text = benchmark_chain.table()
    assert text.count("| circle, ") == 3 and "| time domain |" in text and "| auraloss's MSS" in text
