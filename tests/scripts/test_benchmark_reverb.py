"""The reverberator's benchmark times what it says, on little."""

from __future__ import annotations

import pytest
import torch

from scripts import benchmark_reverb


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_the_table_has_every_row(threads, monkeypatch):
    small = {"SAMPLE_RATE": 2000, "SECONDS": 1, "POINTS": 256, "TURNS": 1, "BLOCKS": (64,), "MODES": 5}
    for name, value in small.items():
        monkeypatch.setattr(benchmark_reverb, name, value)
    text = benchmark_reverb.table()
    assert text.count("| circle, ") == text.count("| time domain, ") == 4
    assert text.count("| 64 | ") == 3
    assert "129 systems of 6 equations" in text
