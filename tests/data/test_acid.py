"""The synthesiser's behaviour, measured on what it plays: pitch, sweep, resonance, envelopes, gaps."""

from dataclasses import replace

import numpy as np
import pytest

from data import acid

KNOBS = acid.Knobs(square=False, cutoff=0.5, resonance=0.5, env_mod=0.7, decay=0.3, accent=0.8)


def pattern(*pitches: float, late: int = 0, length: int = acid.STEP, accent: bool = False, slide: bool = False):
    """Notes after one another; the flags are those of all but the first."""
    flags = np.arange(len(pitches)) > 0
    steps = np.ones(len(pitches), dtype=int)
    return acid.Pattern(np.array(pitches, float), late * steps, length * steps, accent & flags, slide & flags)


def heard_hz(audio: np.ndarray, near: float) -> float:
    """The fundamental by the phase that one half of the sound gains on the other."""
    half = len(audio) // 2
    turning = audio * np.exp(-2j * np.pi * near * np.arange(len(audio)) / acid.SAMPLE_RATE)
    first, second = (np.sum(part * np.hanning(half)) for part in (turning[:half], turning[half : 2 * half]))
    return near + np.angle(second / first) * acid.SAMPLE_RATE / (2 * np.pi * half)


def centroid(audio: np.ndarray) -> float:
    spectrum = np.abs(np.fft.rfft(audio * np.hanning(len(audio)))) ** 2
    return np.sum(np.fft.rfftfreq(len(audio), 1 / acid.SAMPLE_RATE) * spectrum) / np.sum(spectrum)


def response(cutoff: float, k: float, corner: float = acid.FEEDBACK_CORNER, seconds: float = 0.5) -> np.ndarray:
    """The ladder's magnitude response, a bin every 1/seconds."""
    impulse = np.zeros(round(seconds * acid.RATE))
    impulse[0] = 1.0
    return np.abs(np.fft.rfft(acid.ladder(impulse, np.full(len(impulse), cutoff), k, corner)))


@pytest.mark.parametrize("square", [False, True])
@pytest.mark.parametrize("pitch", [30.1, 45.0, 58.9])
def test_notes_are_in_tune(pitch, square):
    audio, f0 = acid.simulate(pattern(pitch), replace(KNOBS, square=square, tuning=0.05))
    true = 440 * 2 ** ((pitch + 0.05 - 69) / 12)
    np.testing.assert_allclose(f0, true)
    assert 12 * abs(np.log2(heard_hz(audio[1000:], true) / true)) < 0.05  # the ladder's phase moves with its cutoff


def test_the_filter_closes_while_a_note_decays():
    audio, _ = acid.simulate(pattern(45.0), KNOBS)
    heights = [centroid(audio[start : start + 1200]) for start in (300, 1800, 3300, 4800)]
    assert heights == sorted(heights, reverse=True)
    assert heights[0] > 1.2 * heights[-1]


def test_the_envelope_opens_the_filter_as_far_as_its_knob_says():
    closed, opened = (acid.cutoff_hz(np.ones(1), replace(KNOBS, env_mod=m))[0] for m in (0.0, 1.0))
    c = KNOBS.cutoff
    assert np.log2(opened / closed) == pytest.approx((0.5 * 3.774 + 0.5 * 4.195) * (1 - 0.294 - 0.048 * c))
    assert acid.cutoff_hz(np.ones(1), replace(KNOBS, cutoff=1.0, env_mod=1.0))[0] == acid.CLAMP


def test_resonance_rises_with_its_knob():
    """The response at the cutoff over that an octave and a half below."""
    peaks = []
    for knob in (0.0, 0.25, 0.5, 0.75, 1.0):
        h = response(2000.0, acid.feedback(knob))
        peaks.append(h[1000] / h[350])
    assert peaks == sorted(peaks)
    assert peaks[0] < 0.5 and peaks[-1] > 10


@pytest.mark.parametrize("cutoff", [300.0, 2000.0, 12000.0])
def test_the_ladder_alone_oscillates_beyond_17(cutoff):
    """At the cutoff: the bilinear transform with prewarping keeps the limit and the frequency of the circuit."""
    x = np.zeros(round(0.4 * acid.RATE))
    x[0] = 1.0
    below, above = (acid.ladder(x, np.full(len(x), cutoff), k, corner=0.0) for k in (16.8, 17.2))
    half = len(x) // 2
    assert np.abs(below[half:]).max() < 0.8 * np.abs(below[:half]).max()
    assert np.abs(above[half:]).max() > 1.2 * np.abs(above[:half]).max()
    heard = np.abs(np.fft.rfft(above[half:] * np.hanning(half))).argmax() * acid.RATE / half
    assert heard == pytest.approx(cutoff, rel=0.006, abs=6)


@pytest.mark.parametrize("cutoff", [100.0, 1000.0, 20000.0])
def test_full_resonance_with_the_capacitor_in_the_feedback_dies_away(cutoff):
    x = np.zeros(acid.RATE)
    x[0] = 1.0
    y = np.abs(acid.ladder(x, np.full(len(x), cutoff), acid.feedback(1.0)))
    assert y[-1000:].max() < 0.2 * y[1000:3000].max()


def test_the_ladder_stays_bounded_while_its_cutoff_jumps():
    rng = np.random.default_rng(0)
    cutoff = np.repeat(np.exp(rng.uniform(np.log(100), np.log(acid.CLAMP), 2000)), 50)
    assert np.abs(acid.ladder(rng.uniform(-1, 1, len(cutoff)), cutoff, acid.feedback(1.0))).max() < 10


def test_a_slide_arrives_in_60_ms_and_does_not_strike_again():
    notes = pattern(36.0, 48.0, slide=True)
    _, f0 = acid.simulate(notes, KNOBS)
    pitch = 69 + 12 * np.log2(f0 / 440)
    assert pitch[acid.STEP - 1] == pytest.approx(36.0)
    assert pitch[acid.STEP + round(0.060 * acid.SAMPLE_RATE)] == pytest.approx(48 - 0.05 * 12, abs=0.01)
    e, _ = acid.envelopes(notes, KNOBS)
    assert (np.diff(e[4 * 1000 :]) < 0).all()
    struck, _ = acid.envelopes(pattern(36.0, 48.0), KNOBS)
    assert struck[4 * (acid.STEP + 500)] > 1.4 * e[4 * (acid.STEP + 500)]


def test_an_accent_is_louder_and_brighter_and_decays_in_200_ms():
    plain, accented = (acid.simulate(pattern(40.0, 40.0, accent=flag), KNOBS)[0][acid.STEP :] for flag in (False, True))
    assert np.std(accented[:2000]) > 1.5 * np.std(plain[:2000])
    assert centroid(accented[:2000]) > centroid(plain[:2000])
    e, _ = acid.envelopes(pattern(40.0, 40.0, accent=True), replace(KNOBS, decay=2.0))
    late = 4 * (acid.STEP + np.array([2000, 4000]))
    assert np.log(e[late[0]] / e[late[1]]) == pytest.approx(2000 / acid.SAMPLE_RATE / 0.2, rel=1e-4)


def test_between_a_note_and_the_next_there_are_zeros():
    audio, _ = acid.simulate(pattern(40.0, 43.0, late=200, length=5000), KNOBS)
    for silent in (audio[:200], audio[5000:6200], audio[11000:]):
        assert not silent.any()
    assert audio[4900:5000].any() and audio[6200:6300].any()
    rests, _ = acid.simulate(pattern(40.0, 43.0, length=0), KNOBS)
    assert not rests.any()


def test_pulses_point_downwards():
    audio, _ = acid.simulate(pattern(45.0), replace(KNOBS, cutoff=1.0, env_mod=1.0, resonance=0.0))
    assert np.mean(audio**3) < -0.5 * np.std(audio) ** 3


def test_the_oscillator_hardly_aliases():
    """A saw of 1 kHz, whose harmonics all lie in bins: between them there is next to nothing below 20 kHz."""
    saw = acid.oscillator(np.full(acid.RATE // 10, 1010.0), False, 0.0)
    spectrum = np.abs(np.fft.rfft(saw))[:2000]
    between = np.delete(spectrum, np.arange(0, 2000, 101))
    assert between.max() < 10 ** (-75 / 20) * spectrum.max()
