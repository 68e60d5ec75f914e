"""Loudness by the standard's own test signals."""

from __future__ import annotations

import math

import pytest
import torch

from diffapf.loudness import at_loudness, loudness

RATE = 48_000
SINE = torch.sin(2 * math.pi * 997 * torch.arange(2 * RATE, dtype=torch.float64) / RATE)


def test_a_sine_of_full_scale_has_its_loudness():
    """ITU-R BS.1770: 997 Hz at 0 dBFS in one channel reads −3.01 LUFS, in two 0.0."""
    assert loudness(SINE, RATE) == pytest.approx(-3.01, abs=0.05)
    assert loudness(SINE.expand(2, -1), RATE) == pytest.approx(0.0, abs=0.05)


def test_signals_are_turned_to_a_loudness():
    assert loudness(at_loudness(0.03 * SINE, RATE, -18.0), RATE) == pytest.approx(-18.0, abs=1e-6)


@pytest.mark.parametrize(("words", "signal"), [("at least 0.4 s", SINE[:1000]), ("silent", 0 * SINE)])
def test_signals_without_loudness_are_refused(words, signal):
    with pytest.raises(ValueError, match=words):
        at_loudness(signal, RATE)
