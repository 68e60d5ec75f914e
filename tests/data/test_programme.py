import numpy as np
import pytest

from data.programme import BAR_SECONDS, LEVELS_DB, PEAK, SAMPLE_RATE, programme

BAR = round(BAR_SECONDS * SAMPLE_RATE)


def decibels(x: np.ndarray) -> float:
    return 10 * np.log10(np.mean(x**2))


@pytest.mark.parametrize("seconds", [0.0, 0.001, 3.1])
def test_it_has_the_length_asked_for(seconds):
    assert programme(seconds).shape == (round(seconds * SAMPLE_RATE),)


def test_it_is_the_same_every_time_and_goes_on_in_new_bars():
    long = programme(32.0)
    np.testing.assert_array_equal(long, programme(32.0))
    bars = long.reshape(-1, BAR)
    alike = [np.corrcoef(bars[i], bars[j])[0, 1] for i in range(16) for j in range(i)]
    assert max(alike) < 0.98


def test_levels_step():
    level = [decibels(bar) for bar in programme(2 * len(LEVELS_DB)).reshape(-1, BAR)]
    assert max(level) - min(level) > 20
    assert np.median(np.abs(np.diff(level))) > 8


def test_it_neither_clips_nor_ends_in_silence():
    track = programme(20.0)
    assert np.abs(track).max() == pytest.approx(PEAK)
    assert decibels(track[-BAR:]) > -60
