import numpy as np
import pytest

from data.voice import PEAK, PHRASE_SECONDS, SAMPLE_RATE, singing


@pytest.mark.parametrize("seconds", [0.0, 0.01, 13.0])
def test_it_has_the_length_asked_for_and_repeats(seconds):
    track = singing(seconds)
    assert track.shape == (round(seconds * SAMPLE_RATE),)
    phrase = round(PHRASE_SECONDS * SAMPLE_RATE)
    np.testing.assert_array_equal(track[phrase:], track[: max(0, len(track) - phrase)])


def test_it_is_voiced_and_sibilant_and_pauses():
    track = singing(PHRASE_SECONDS)
    assert np.abs(track).max() == pytest.approx(PEAK)
    frames = track[: len(track) // 2205 * 2205].reshape(-1, 2205)
    level = 10 * np.log10(np.mean(frames**2, axis=1))
    assert level.max() - level.min() > 40
    spectrum = np.abs(np.fft.rfft(frames * np.hanning(2205))) ** 2
    bright = spectrum[:, 250:].sum(1) / spectrum.sum(1)  # above 5 kHz
    loud = level > level.max() - 30
    assert (bright[loud] < 0.01).mean() > 0.5
    assert (bright[loud] > 0.5).sum() >= 3


def test_vowels_have_a_pitch():
    track = singing(3.0)
    start = np.argmax(np.convolve(track**2, np.ones(4000), "valid"))
    vowel = track[start : start + 4000]
    correlation = np.correlate(vowel, vowel, "full")[3999:]
    lags = slice(SAMPLE_RATE // 260, SAMPLE_RATE // 80)
    assert correlation[lags].max() > 0.6 * correlation[0]
