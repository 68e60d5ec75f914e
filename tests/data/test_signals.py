import numpy as np
import pytest

from data.signals import CHIRP_PERIOD, SAMPLE_RATE, chirp_train, dry_track, pluck, plucked_guitar


def test_dry_track_is_chirps_then_guitar():
    track = dry_track()
    assert track.shape == (70 * SAMPLE_RATE,)
    np.testing.assert_array_equal(track[: 60 * SAMPLE_RATE], chirp_train(60.0))
    np.testing.assert_array_equal(track[60 * SAMPLE_RATE :], plucked_guitar(10.0))


@pytest.mark.parametrize("seconds", [0.0, 0.001, 0.1])
def test_tracks_have_the_length_asked_for(seconds):
    length = round(seconds * SAMPLE_RATE)
    assert len(chirp_train(seconds)) == len(plucked_guitar(seconds)) == length


def test_chirps_repeat_every_30_ms():
    train = chirp_train(1.0)
    np.testing.assert_allclose(
        train[5 * CHIRP_PERIOD : 20 * CHIRP_PERIOD], train[6 * CHIRP_PERIOD : 21 * CHIRP_PERIOD], atol=1e-7
    )


def test_chirps_sweep_downwards():
    """High frequencies come first, as the group delay (1 − a²)/(1 + 2 a cos ω + a²) of an all-pass has it."""
    period = chirp_train(1.0)[10 * CHIRP_PERIOD : 11 * CHIRP_PERIOD]
    crossings = [np.count_nonzero(np.diff(np.signbit(part))) for part in np.array_split(period, 4)]
    assert crossings == sorted(crossings, reverse=True)
    assert crossings[0] > 4 * crossings[-1]


def test_guitar_is_the_same_every_time():
    np.testing.assert_array_equal(plucked_guitar(10.0), plucked_guitar(10.0))


def test_guitar_neither_clips_nor_clicks():
    guitar = plucked_guitar(10.0)
    assert 0.3 < np.abs(guitar).max() < 0.9
    assert np.abs(np.diff(guitar)).max() < 0.2
    assert np.abs(guitar[-100:]).max() < 1e-3


def test_guitar_exercises_the_sweep():
    """Each octave from 125 Hz to 4 kHz holds at least a thousandth of the energy."""
    spectrum = np.abs(np.fft.rfft(plucked_guitar(10.0))) ** 2
    frequency = np.fft.rfftfreq(10 * SAMPLE_RATE, 1 / SAMPLE_RATE)
    for low in (125, 250, 500, 1000, 2000):
        octave = spectrum[(frequency >= low) & (frequency < 2 * low)].sum()
        assert octave > 1e-3 * spectrum.sum()


@pytest.mark.parametrize("frequency", [82.4, 440.0, 987.8])
def test_strings_are_in_tune(frequency):
    note = pluck(frequency, 2.0, 0.8, np.random.default_rng(0))
    size = 1 << 19
    spectrum = np.abs(np.fft.rfft(note * np.hanning(len(note)), size))
    near = np.arange(round(0.97 * frequency * size / SAMPLE_RATE), round(1.03 * frequency * size / SAMPLE_RATE))
    heard = near[spectrum[near].argmax()] * SAMPLE_RATE / size
    assert abs(1200 * np.log2(heard / frequency)) < 2  # cents


def test_a_stronger_pick_is_louder_and_brighter():
    soft, strong = (pluck(220.0, 0.5, velocity, np.random.default_rng(1)) for velocity in (0.3, 1.0))
    assert np.std(strong) > np.std(soft)
    assert np.std(np.diff(strong)) / np.std(strong) > np.std(np.diff(soft)) / np.std(soft)
