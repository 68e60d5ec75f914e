"""The amplifier's published behaviour: how far it turns down, how fast, and how slowly it forgets."""

import numpy as np
import pytest

from data import levelling_amplifier as amplifier
from data.programme import programme
from data.signals import SAMPLE_RATE

E = amplifier.SETTINGS["LA-E"]


def tone(decibels: float, seconds: float) -> np.ndarray:
    return 10 ** (decibels / 20) * np.sin(2 * np.pi * 1000 * np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE)


def reduction_db(x: np.ndarray, setting: amplifier.Setting = E) -> np.ndarray:
    return -20 * np.log10(amplifier.reduction(x, setting))


def release_seconds(decibels: float, burst: float, rest: float) -> list[float]:
    """Until half, 90 % and 95 % of the reduction are gone, after a tone of `burst` seconds."""
    curve = reduction_db(np.concatenate([tone(decibels, burst), np.zeros(round(rest * SAMPLE_RATE))]))
    end = round(burst * SAMPLE_RATE)
    return [np.argmax(curve[end:] < share * curve[end - 44 : end].mean()) / SAMPLE_RATE for share in (0.5, 0.1, 0.05)]


@pytest.mark.parametrize(
    ("level", "reduction"),
    list(zip(range(-35, 10, 5), (0.3, 1.8, 5.0, 8.4, 11.8, 14.9, 17.5, 19.6, 21.3), strict=True)),
)
def test_static_reduction(level, reduction):
    assert reduction_db(tone(level, 3.0))[-4410:].mean() == pytest.approx(reduction, abs=0.06)


@pytest.mark.parametrize(("burst", "milliseconds"), [(0.05, 8), (0.5, 11)])
def test_attack(burst, milliseconds):
    curve = reduction_db(tone(-10, burst))
    assert 1000 * np.argmax(curve > 0.63 * curve.max()) / SAMPLE_RATE == pytest.approx(milliseconds, rel=0.05)


@pytest.mark.parametrize(
    ("level", "burst", "seconds"),
    [(-10, 0.05, (0.030, 0.12, 0.9)), (-10, 0.5, (0.053, 1.4, 3.5)), (-20, 2.0, (0.074, 2.8, 5.5))],
)
def test_release_is_slower_after_longer_tones(level, burst, seconds):
    assert release_seconds(level, burst, 6.0) == pytest.approx(seconds, rel=0.03)


def test_oversampling_converges():
    dry = programme(4.0)
    once, twice, four, sixteen = (amplifier.simulate(dry, E, times) for times in (1, 2, 4, 16))
    errors = [np.sum((wet - sixteen) ** 2) / np.sum(sixteen**2) for wet in (once, twice, four)]
    assert errors[0] > 8 * errors[1] > 64 * errors[2]
    assert errors[2] < 1e-5


def test_the_knob_turns_it_further_down():
    dry = programme(4.0)
    energies = [np.sum(amplifier.simulate(dry, setting) ** 2) for setting in amplifier.SETTINGS.values()]
    assert energies == sorted(energies, reverse=True)
    assert [setting.drive_db for setting in amplifier.SETTINGS.values()] == [22.0, 28.0, 34.0]


def test_saturation_is_of_the_output():
    """Second and third harmonics fall with the level; a small signal passes unharmed."""
    quiet = tone(-60, 0.1)
    np.testing.assert_allclose(amplifier.simulate(quiet, E), quiet, rtol=1e-3, atol=1e-9)
    loud = amplifier.simulate(tone(-10, 1.0), E)[SAMPLE_RATE // 2 :]
    spectrum = np.abs(np.fft.rfft(loud * np.hanning(len(loud))))
    assert 1e-4 < spectrum[1000] / spectrum[500] < 1e-2  # bins of 2 Hz


def test_progress_is_reported_up_to_the_whole():
    fractions = []
    amplifier.simulate(np.zeros(SAMPLE_RATE * 3 // 2), E, report=fractions.append)
    assert fractions == [pytest.approx(2 / 3), 1.0]
