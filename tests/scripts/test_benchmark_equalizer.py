"""The equaliser's benchmark times what it says, on little."""

from __future__ import annotations

import pytest
import torch

from scripts import benchmark_equalizer


def test_the_table_has_every_row(monkeypatch):
    pytest.importorskip("torchaudio")
    for name, value in {"SECONDS": 0.05, "TURNS": 1}.items():
        monkeypatch.setattr(benchmark_equalizer, name, value)
    threads = torch.get_num_threads()
    try:
        text = benchmark_equalizer.table()
    finally:
        torch.set_num_threads(threads)
    assert text.count("\n") == 4
    assert "| this | " in text and "lfilter" in text
