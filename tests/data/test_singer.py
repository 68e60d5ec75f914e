"""The simulated singers: formants where vowels have them, the pitch that they say, no two alike."""

from __future__ import annotations

import numpy as np
import pytest

from data import singer as voice


def formants(of: voice.Singer, vowel: str) -> list[int]:
    """Peaks of the tube's impulse response, in Hz."""
    areas = voice._areas(of, np.tile(voice.VOWELS[vowel], (voice.RATE // voice.FRAME + 2, 1)))
    impulse, out = np.zeros(voice.RATE // 2), np.empty(voice.RATE // 2)
    impulse[0] = 1.0
    voice._tube(impulse, areas, 0, np.zeros((2, areas.shape[1])), out)
    response = np.abs(np.fft.rfft(out, voice.RATE))
    inside = range(150, 4000)
    return [hz for hz in inside if response[hz] > max(response[hz - 1], response[hz + 1])]


def test_a_neutral_tube_resonates_at_odd_quarters():
    found = formants(voice.SINGERS["baritone"], "ə")
    quarter = voice.SPEED / (4 * voice.SINGERS["baritone"].tract_cm / 100)
    for peak, times in zip(found, (1, 3, 5), strict=False):
        assert peak == pytest.approx(times * quarter, rel=0.12)


def test_vowels_have_their_formants():
    first, second = zip(*(formants(voice.SINGERS["baritone"], vowel)[:2] for vowel in "aiu"), strict=True)
    assert first[0] > 600 > 400 > max(first[1:])  # a is open
    assert second[1] > 2000 > second[0] and second[2] < 1600  # i is in front


def test_a_song_has_the_pitch_that_it_says_and_pauses():
    song = voice.sing(voice.SINGERS["soprano"], 6.0, seed=3)
    assert 0.5 < np.abs(song.audio).max() < 0.7 and np.isfinite(song.audio).all()
    sung = song.f0_hz > 0
    assert 0.6 < sung.mean() < 1.0
    assert song.audio[sung].std() > 20 * song.audio[~sung][-2000:].std() or (~sung).sum() < 2000
    start = int(np.flatnonzero(sung)[0]) + 6000
    stretch, f0 = song.audio[start : start + 1200], song.f0_hz[start : start + 1200].mean()
    lags = np.arange(int(0.9 * 24_000 / f0), int(1.1 * 24_000 / f0) + 2)
    alike = [np.dot(stretch[:-lag], stretch[lag:]) for lag in lags]
    assert 24_000 / lags[int(np.argmax(alike))] == pytest.approx(f0, rel=0.03)


def test_songs_are_the_same_again_and_others_with_another_seed():
    one, again, other = (voice.sing(voice.SINGERS["baritone"], 0.4, seed=seed).audio for seed in (1, 1, 2))
    assert np.array_equal(one, again) and not np.array_equal(one, other)
