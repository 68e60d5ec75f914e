"""Plates are found in impulse responses: modes one by one, the law of their decays, and a sound that is the recording's."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from diffapf import MetalPlate, Plate, audio
from diffapf.filters.modal import modal_impulse_response
from diffapf.identification import NotAPlateError, fit_plate
from diffapf.identification.damped_modes import modes_in_band
from diffapf.identification.modal_gains import modal_gains
from diffapf.identification.plate_fit import decay_law
from tests.filters.oracles import esr, normal, within

RATE = 8000
RECORDINGS = Path(__file__).parents[3] / "shared" / "data" / "plate"
STEEL = MetalPlate(height_m=1.3, thickness_mm=3.0, t60_s=(3.0, 0.5), highest_hz=3500.0)
SPLITS = (250.0,)


def response(seconds: float = 2.0) -> torch.Tensor:
    """A plate's, peak 1, rounded to single precision as a file is."""
    with torch.no_grad():
        h = Plate.of_metal(RATE, STEEL).impulse_response(seconds)
    return (h / h.abs().max()).float()


def test_modes_of_a_band_are_found_between_others():
    frequency = torch.tensor([2.0, 3.5, 100.0, 101.1, 104.0, 111.0, 300.0], dtype=torch.float64)
    decay = torch.tensor([1.0, 1.2, 2.0, 2.5, 1.5, 2.0, 4.0], dtype=torch.float64)
    gain = torch.tensor([100.0, 50.0, 1.0, 0.6, 0.01, 1.0, 1.0])
    x = modal_impulse_response(2 * math.pi * frequency / RATE, decay / RATE, gain, 3 * RATE)
    for band, inside in (((98.0, 110.0), slice(2, 5)), ((-8.0, 12.0), slice(0, 2))):
        found, decays, energy = modes_in_band(x, RATE, *band)
        strong = energy > 1e-6 * energy.max()
        torch.testing.assert_close(found[strong], frequency[inside], rtol=0, atol=1e-4)
        torch.testing.assert_close(decays[strong], decay[inside], rtol=1e-3, atol=0)


def test_gains_are_the_least_squares_solution():
    """That of the same two errors, with all modes at all times."""
    exponents = torch.complex(-0.01 - within(0.005, 6), torch.linspace(0.1, 2.0, 6, dtype=torch.float64))
    with_cosine, n = torch.arange(6) >= 3, torch.arange(200)
    x = normal(200)
    modes = torch.exp(exponents[:, None] * n)
    columns = torch.cat([modes.imag, modes.real[with_cosine]])

    def sharp(rows):
        once = rows[..., 1:] - 0.95 * rows[..., :-1]
        return once[..., 1:] - 0.95 * once[..., :-1]

    views = [(columns / x.norm(), x / x.norm()), (sharp(columns) / sharp(x).norm(), sharp(x) / sharp(x).norm())]
    rows, target = (torch.cat(parts, -1) for parts in zip(*views, strict=True))
    expected = torch.linalg.lstsq(rows.T, target[:, None]).solution[:, 0]
    found = modal_gains(x, exponents, with_cosine)
    torch.testing.assert_close(torch.cat([found.real, found.imag[with_cosine]]), expected, rtol=1e-8, atol=1e-10)
    assert not found.imag[~with_cosine].any()


def test_the_law_of_decays_outvotes_what_is_no_mode():
    frequency = torch.linspace(1, 600, 200, dtype=torch.float64)
    decay = 1.15 + 9.2e-6 * frequency.square()
    decay[::5] *= 3.0
    law = decay_law(frequency, decay, torch.ones(200, dtype=torch.float64))
    assert (law.a, law.b) == pytest.approx((1.15, 9.2e-6), rel=1e-3)


def test_a_plate_is_found_and_stages_are_told():
    told = []
    fit = fit_plate(response(), RATE, 800, SPLITS, progress=lambda stage, done: told.append((stage, done)))
    assert fit.lsd_db < 0.1 and fit.esr < 1e-6
    assert (fit.law.a, fit.law.b) == pytest.approx((2.3026, 4.605e-5), rel=0.01)
    true = STEEL.modes()
    below = true.frequency_hz < 240
    found = fit.plate.modes.frequency_hz.detach()[: fit.separate]
    heard = true.gain.abs()[below] > 1e-3 * true.gain.abs().max()
    nearest = (true.frequency_hz[below][heard, None] - found).abs().amin(1)
    assert nearest.max() < 0.01
    assert told[0][1] == 0 and all(a[1] <= b[1] <= 1 for a, b in pairwise(told))
    later = slice(RATE, 2 * RATE)  # of which the fit heard nothing
    with torch.no_grad():
        assert esr(fit.plate.impulse_response(2.0)[later], response()[later]) < 1e-5


def test_silence_before_it_and_noise_are_borne():
    fit = fit_plate(response() + 1e-3 * normal(2 * RATE).float(), RATE, 800, SPLITS)
    with torch.no_grad():
        assert esr(fit.plate.impulse_response(1.0), response(1.0)) < 1e-2
    assert fit.law.a == pytest.approx(2.3026, rel=0.1)
    with pytest.raises(ValueError, match="modes ring"):
        fit_plate(response(), RATE, 20, SPLITS)
    quiet = fit_plate(torch.cat([torch.zeros(801), response()[1:]]), RATE, 800, SPLITS)
    assert "begins with 100.0 ms of silence" in quiet.findings[0] and quiet.esr < 1e-6


@pytest.mark.parametrize(
    ("error", "words", "call"),
    [
        (NotAPlateError, ["silent"], lambda: fit_plate(torch.zeros(2 * RATE), RATE)),
        (NotAPlateError, ["0.50 s", "1 s"], lambda: fit_plate(response(0.5), RATE)),
        (NotAPlateError, ["modes ring", "no plate"], lambda: fit_plate(torch.ones(2 * RATE), RATE, splits_hz=SPLITS)),
        (NotAPlateError, ["leaves", "%", "noise"], lambda: fit_plate(normal(2 * RATE), RATE, 100, SPLITS)),
        (ValueError, ["one channel", "(2, 16000)"], lambda: fit_plate(response().expand(2, -1), RATE)),
        (ValueError, ["2 samples", "NaN"], lambda: fit_plate(torch.tensor([1.0, torch.nan, torch.inf]), RATE)),
        (ValueError, ["sample_rate", "0"], lambda: fit_plate(response(), 0)),
        (ValueError, ["splits_hz", "450 Hz"], lambda: fit_plate(response(), 1000)),
        (ValueError, ["modes", "True"], lambda: fit_plate(response(), RATE, modes=True)),
        (TypeError, ["real", "complex64"], lambda: fit_plate(response() * 1j, RATE)),
    ],
)
def test_what_is_no_response_is_told_in_words(error, words, call):
    with pytest.raises(error) as raised:
        call()
    assert all(word in str(raised.value) for word in words)


@pytest.mark.skipif(not RECORDINGS.is_dir(), reason="needs the responses in ../shared/data/plate")
def test_the_challenges_densest_plate():
    recording = audio.read(RECORDINGS / "random_IR_0001.wav")
    fit = fit_plate(torch.from_numpy(recording.samples[0]), recording.sample_rate, splits_hz=(450.0,))
    assert fit.lsd_db < 0.06 and fit.esr < 1e-5 and len(fit.plate.modes) <= 2000
