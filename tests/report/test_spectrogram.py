"""Spectrograms: the right place, one scale, small pictures."""

from __future__ import annotations

import io
import math

import matplotlib.image
import numpy as np
import pytest

from diffapf.report.audio import Part, Track
from diffapf.report.png import indexed_png
from diffapf.report.results import Axis, Curve, Series
from diffapf.report.spectrogram import _log_frequency_power, is_drawable, spectrograms

RATE = 44100


def part(**tracks: np.ndarray) -> Part:
    return Part("test", RATE, [Track(name, samples[:, None]) for name, samples in tracks.items()], full_seconds=1.0)


def sine(frequency: float, amplitude: float = 0.5) -> np.ndarray:
    return amplitude * np.sin(2 * math.pi * frequency * np.arange(RATE) / RATE)


@pytest.mark.parametrize("frequency", [100, 440, 5000, 15000])
def test_a_tone_is_at_its_place_on_the_axis(frequency: float):
    power = _log_frequency_power(Track("dry", sine(frequency)[:, None]), RATE, 40, 20000)
    row = power.mean(1).argmax()
    place = 1 - row / (len(power) - 1)
    assert 40 * (20000 / 40) ** place == pytest.approx(frequency, rel=0.06)


def test_a_click_is_at_its_time():
    samples = np.zeros((RATE, 1))
    samples[RATE // 4] = 1
    power = _log_frequency_power(Track("dry", samples), RATE, 40, 20000)
    assert power.sum(0).argmax() == pytest.approx(power.shape[1] / 4, abs=4)


def test_all_tracks_share_one_scale():
    loud, quiet = spectrograms(part(target=sine(440), prediction=sine(440, 0.005)), [])
    assert loud.image != quiet.image
    alone = spectrograms(part(target=sine(440, 0.005)), [])[0]
    assert alone.image == loud.image


def test_an_image_is_small_even_for_noise():
    noise = np.random.default_rng(0).uniform(-1, 1, RATE)
    assert len(spectrograms(part(dry=noise), [])[0].image) < 200_000


def test_silence_and_what_is_not_finite_are_drawn():
    broken = sine(440)
    broken[100] = np.nan
    assert len(spectrograms(part(target=np.zeros(RATE), prediction=broken), [])) == 2


def test_a_curve_is_drawn_over_its_track_with_gaps_where_it_leaves_it():
    y = np.array([100.0, 1000.0, np.nan, 1000.0, 30000.0])
    series = Series("notch", np.linspace(0, 1, 5), y, "dashed")
    curve = Curve("Notches", Axis("Time", "s"), Axis("Frequency", "Hz", "log"), [series], over="test/target")
    target, prediction = spectrograms(part(target=sine(440), prediction=sine(440)), [curve])
    (overlay,) = target.overlays
    assert (overlay.path.count("M"), overlay.path.count("L")) == (2, 1)
    assert overlay.dashed
    assert not prediction.overlays
    assert is_drawable(curve)
    assert not is_drawable(Curve("Gain", Axis("Time", "s"), Axis("Gain", "dB"), [series], over="test/target"))


def test_the_png_is_what_another_reader_sees():
    indices = np.random.default_rng(0).integers(0, 3, (5, 7)).astype(np.uint8)
    palette = np.array([[0, 0, 0], [10, 200, 30], [255, 255, 255]], dtype=np.uint8)
    image = matplotlib.image.imread(io.BytesIO(indexed_png(indices, palette)))
    np.testing.assert_allclose(image[..., :3] * 255, palette[indices], atol=1e-4)
