import numpy as np
import pytest
import torch
from torchaudio.functional import equalizer_biquad, highpass_biquad, lowpass_biquad

from data.channel_strip import FULL, SENSIBLE, SETTINGS, equalised, setting

RATE = 44_100


def test_settings_are_drawn_once_and_from_their_ranges():
    assert setting("x", 5) == setting("x", 5)
    assert len({setting("x", seed).bands["peak1"] for seed in range(50)}) == 50
    for seed in range(50):
        frequency, q, gain = setting("x", seed, FULL).bands["lowpass"]
        assert FULL.lowpass_hz[0] <= frequency <= FULL.lowpass_hz[1]
        assert FULL.pass_q[0] <= q <= FULL.pass_q[1]
        assert gain == 0.0


@pytest.mark.parametrize("name", SETTINGS)
def test_sections_are_stable(name):
    assert (np.abs(SETTINGS[name].sections(RATE)[:, 5]) < 1).all()


def test_peak_and_passes_are_torchaudios():
    noise = 0.01 * torch.randn(500, dtype=torch.float64)  # torchaudio clips at 1
    hidden = setting("x", 7, SENSIBLE)
    expected = noise
    for band, (frequency, q, gain) in hidden.bands.items():
        if band.startswith("peak"):
            expected = equalizer_biquad(expected, RATE, frequency, gain, q)
        elif band == "lowpass":
            expected = lowpass_biquad(expected, RATE, frequency, q)
        elif band == "highpass":
            expected = highpass_biquad(expected, RATE, frequency, q)
    flat = {band: (f, q, 0.0 if band.endswith("shelf") else gain) for band, (f, q, gain) in hidden.bands.items()}
    found = equalised(noise.numpy(), type(hidden)("flat shelves", flat), RATE)
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-12)


@pytest.mark.parametrize(("shelf", "end"), [("low_shelf", 1.0), ("high_shelf", 22_000.0)])
def test_a_shelf_has_its_gain_at_its_end_and_half_of_it_at_its_frequency(shelf, end):
    bands = {shelf: (1000.0, 0.707, 8.0)}
    hidden = type(setting("x", 1))("a shelf", bands)
    gains = hidden.magnitude_db(np.array([end, 1000.0]), RATE)
    np.testing.assert_allclose(gains, [8.0, 4.0], atol=0.01)
