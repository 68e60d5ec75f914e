import numpy as np
import pytest

from data import acid_loops
from data.acid import STEP, cutoff_hz

LOOPS = 4


@pytest.fixture(scope="module")
def notes() -> acid_loops.AcidNotes:
    return acid_loops.acid_notes(LOOPS)


@pytest.fixture(scope="module")
def patterns():
    return [acid_loops.random_pattern(np.random.default_rng(seed)) for seed in range(1000)]


def test_every_array_has_a_row_a_note(notes):
    assert 11 * LOOPS < len(notes) <= 16 * LOOPS
    assert notes.audio.shape == notes.f0_hz.shape == (len(notes), STEP)
    assert notes.audio.dtype == notes.f0_hz.dtype == np.float32
    assert all(len(value) == len(notes) for name, value in vars(notes).items() if name != "sample_rate")
    assert set(notes.loop) == set(range(LOOPS))
    assert notes.sample_rate == 48000


def test_notes_are_cut_hard(notes):
    for audio, length in zip(notes.audio, notes.note_on, strict=True):
        assert not audio[length:].any()
        assert np.abs(audio[length - 500 : length]).max() > 1e-3


def test_levels_and_noise(notes):
    peaks = np.abs(notes.audio).max(axis=1)
    assert peaks.min() > 0.399 and peaks.max() < 1.001
    late = (notes.late > 50) & ~notes.slide
    before = [np.std(audio[:until]) for audio, until in zip(notes.audio[late], notes.late[late], strict=True)]
    assert 20 * np.log10(np.median(before)) == pytest.approx(acid_loops.NOISE_DBFS, abs=1)


def test_truth_of_the_pitch(notes):
    """By the autocorrelation, on notes that stand still: one period later the sound is most like itself."""
    for audio, f0 in zip(notes.audio[~notes.slide], notes.f0_hz[~notes.slide], strict=True):
        assert f0.min() == pytest.approx(f0.max())
        lags = np.arange(150, 1400)
        alike = [np.dot(audio[500:2500], audio[500 + lag : 2500 + lag]) for lag in lags]
        period = notes.sample_rate / float(f0[0])
        best = lags[np.abs(lags - period) < 0.1 * period]
        assert best[np.argmax([alike[lag - 150] for lag in best])] == pytest.approx(period, abs=0.02 * period)


def test_fewer_loops_are_the_first_of_more(notes):
    first = acid_loops.acid_notes(1)
    np.testing.assert_array_equal(first.audio, notes.audio[notes.loop == 0])
    np.testing.assert_array_equal(first.f0_hz, notes.f0_hz[notes.loop == 0])
    assert not np.array_equal(acid_loops.acid_notes(1, seed=1).audio[0], first.audio[0])


def test_progress_is_reported_up_to_the_whole():
    fractions = []
    acid_loops.acid_notes(2, report=fractions.append)
    assert fractions == [0.5, 1.0]


def test_statistics_of_the_melodies(patterns):
    pitch, length, slide, late = (
        np.concatenate([getattr(pattern, name) for pattern in patterns])
        for name in ("pitch", "length", "slide", "late")
    )
    kept = length >= acid_loops.SHORTEST
    assert (pitch.min(), pitch.max()) == (30, 59)
    assert np.median(pitch) == pytest.approx(47, abs=1)
    assert slide[kept].mean() == pytest.approx(0.05, abs=0.01)
    assert (length[kept] == STEP).mean() == pytest.approx(0.6, abs=0.02)
    assert set(np.unique(length[kept])) == set(range(4000, 6001, 250))
    assert 0.85 < kept.mean() < 0.95
    assert (late.min(), late.max()) == (0, 250)


def test_a_slide_comes_from_a_full_note_of_another_pitch(patterns):
    for pattern in patterns:
        into = np.flatnonzero(pattern.slide)
        assert (into > 0).all()
        assert (pattern.length[into - 1] == STEP).all() and (pattern.length[into] > 0).all()
        assert (pattern.pitch[into] != pattern.pitch[into - 1]).all()


def test_statistics_of_the_knobs():
    """Squares among saws; a quarter of the filters opens above 8 kHz, where recordings are rare."""
    knobs = [acid_loops.random_knobs(np.random.default_rng(seed)) for seed in range(1000)]
    assert 0.1 < np.mean([knob.square for knob in knobs]) < 0.25
    opened = [cutoff_hz(np.array([0.95]), knob)[0] for knob in knobs]
    assert 0.15 < np.mean(np.array(opened) > 8000) < 0.4
    assert max(abs(knob.tuning) for knob in knobs) <= 0.12


def test_no_loops_are_refused():
    with pytest.raises(ValueError, match="loops: got 0, need at least 1"):
        acid_loops.acid_notes(0)
