from dataclasses import replace

import numpy as np
import pytest
from scipy import signal

from data import small_stone as pedal
from data.signals import SAMPLE_RATE, dry_track

OVERSAMPLING = 4


def frozen(name: str, frequency: float, **changes) -> pedal.Setting:
    """A setting whose LFO stands still."""
    return replace(pedal.SETTINGS[name], lowest=frequency, highest=frequency, **changes)


def esr(prediction: np.ndarray, target: np.ndarray) -> float:
    return np.sum((target - prediction) ** 2) / np.sum(target**2)


def linear_circuit(s: np.ndarray, setting: pedal.Setting) -> np.ndarray:
    """Transfer function of the pedal for small signals, `s` in rad/s."""

    def high_pass(corner):
        return s / (s + 2 * np.pi * corner)

    omega = 2 * np.pi * setting.lowest
    chain = ((omega - s) / (omega + s)) ** 4
    loop = pedal.FEEDBACK_GAIN * high_pass(pedal.FEEDBACK_CORNER) if setting.feedback else 0.0
    mix = 0.5 * (1 + chain / (1 - loop * chain))
    return high_pass(pedal.INPUT_CORNER) * mix * high_pass(pedal.OUTPUT_CORNER)


def measured_response(setting: pedal.Setting) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies in Hz and the response to a small impulse, from two seconds."""
    impulse = signal.unit_impulse(2 * SAMPLE_RATE, 1000)
    wet = pedal.simulate(1e-4 * impulse, setting)
    return np.fft.rfftfreq(len(impulse), 1 / SAMPLE_RATE), np.fft.rfft(1e4 * wet) / np.fft.rfft(impulse)


def harmonic_distortion(level: float, setting: pedal.Setting) -> float:
    """THD of a sine of `setting`'s break frequency: amplitude of harmonics 2 to 7 over that of the first."""
    time = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    wet = pedal.simulate(level * np.sin(2 * np.pi * setting.lowest * time), setting)[SAMPLE_RATE // 2 :]
    spectrum = np.abs(np.fft.rfft(wet * np.hanning(len(wet))))
    harmonics = spectrum[[round(k * setting.lowest / 2) for k in range(1, 8)]]
    return np.sqrt(np.sum(harmonics[1:] ** 2)) / harmonics[0]


@pytest.mark.parametrize("name", ["SS-A", "SS-D"])
def test_small_signals_see_the_linear_circuit(name):
    """Amplitude and phase, hence alignment to a fraction of a sample; the trapezoidal rule warps the frequency."""
    setting = frozen(name, 800.0)
    frequency, response = measured_response(setting)
    band = (frequency > 5) & (frequency < 18000)
    rate = OVERSAMPLING * SAMPLE_RATE
    warped = 2j * rate * np.tan(np.pi * frequency[band] / rate)
    np.testing.assert_allclose(response[band], linear_circuit(warped, setting), atol=2e-5)

    low = (frequency > 5) & (frequency < 4000)
    np.testing.assert_allclose(response[low], linear_circuit(2j * np.pi * frequency[low], setting), atol=1e-2)


@pytest.mark.parametrize("name", ["SS-A", "SS-D", "SS-F"])
def test_four_times_the_audio_rate_is_enough(name):
    dry = dry_track(chirps=0.6, guitar=0.6)
    four, eight = (pedal.simulate(dry, pedal.SETTINGS[name], oversampling) for oversampling in (4, 8))
    assert esr(four, eight) < 1e-5


def test_simulation_is_deterministic():
    dry = dry_track(chirps=0.2, guitar=0.2)
    np.testing.assert_array_equal(*(pedal.simulate(dry, pedal.SETTINGS["SS-D"]) for _ in range(2)))


@pytest.mark.parametrize("name", ["SS-A", "SS-D"])
def test_distortion_rises_with_level_and_vanishes_at_small_level(name):
    setting = frozen(name, 1000.0)
    distortion = [harmonic_distortion(level, setting) for level in (0.005, 0.05, 0.25, 0.5)]
    assert distortion == sorted(distortion)
    assert distortion[0] < 1e-5
    assert 1e-3 / 2 < distortion[2] < 1e-2


def test_feedback_switch_sharpens_the_peaks():
    _, off = measured_response(frozen("SS-D", 800.0, feedback=False))
    _, on = measured_response(frozen("SS-D", 800.0))
    assert np.abs(off).max() < 1.001
    assert np.abs(on).max() > 1.5


def test_feedback_passes_no_direct_current():
    frequency, on = measured_response(frozen("SS-D", 800.0))
    _, off = measured_response(frozen("SS-D", 800.0, feedback=False))
    ratio = np.abs(on / off - 1)
    assert ratio[frequency == 0.5].item() < 5e-3
    assert ratio[frequency == 50].item() > 0.1


@pytest.mark.parametrize(("name", "seconds"), [("SS-A", 2.0), ("SS-D", 2.5)])
def test_lfo_rate_is_heard(name, seconds):
    """The envelope of a tone repeats once in an LFO period."""
    rate = pedal.SETTINGS[name].rate
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    wet = pedal.simulate(0.01 * np.sin(2 * np.pi * 1000 * time), pedal.SETTINGS[name])
    envelope = np.abs(signal.hilbert(wet))[SAMPLE_RATE // 4 : -SAMPLE_RATE // 10 : 21]
    step = 21 / SAMPLE_RATE
    lags = np.arange(round(0.6 / rate / step), round(1.4 / rate / step))
    mismatch = [np.mean((envelope[lag:] - envelope[:-lag]) ** 2) for lag in lags]
    assert lags[np.argmin(mismatch)] * step * rate == pytest.approx(1, abs=3e-3)


@pytest.mark.parametrize("setting", pedal.SETTINGS.values(), ids=lambda setting: setting.name)
def test_sweep_is_that_of_the_table_and_falls_longer_than_it_rises(setting):
    time = np.linspace(0, 1 / setting.rate, 20001)
    sweep = setting.break_frequency(time)
    assert sweep.max() == pytest.approx(setting.highest, rel=1e-4)
    assert sweep.min() == pytest.approx(setting.lowest, rel=1e-4)
    assert sweep[0] == pytest.approx(sweep[-1])
    assert 0.5 < np.mean(np.diff(sweep) < 0) < 0.55


def test_time_runs_from_the_start_of_the_file():
    """What comes later changes nothing before it, and the LFO takes no notice of the audio."""
    dry = dry_track(chirps=1.5, guitar=0.0)
    long = pedal.simulate(dry, pedal.SETTINGS["SS-D"])
    short = pedal.simulate(dry[:SAMPLE_RATE], pedal.SETTINGS["SS-D"])
    np.testing.assert_allclose(short[: -SAMPLE_RATE // 100], long[: SAMPLE_RATE - SAMPLE_RATE // 100], atol=1e-12)


def test_progress_is_reported_up_to_the_whole():
    fractions = []
    pedal.simulate(np.zeros(SAMPLE_RATE * 3 // 2), pedal.SETTINGS["SS-A"], report=fractions.append)
    assert fractions == [pytest.approx(2 / 3), 1.0]
