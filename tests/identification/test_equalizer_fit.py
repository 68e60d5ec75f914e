from dataclasses import replace

import pytest
import torch

from data.channel_strip import equalised, setting
from data.voice import singing
from diffapf import Equalizer
from diffapf.effects.equalizer import Band
from diffapf.filters._fft import convolve
from diffapf.identification import equalizer_fit
from diffapf.identification.band_powers import Bands, decibels
from diffapf.identification.equalizer_fit import (
    _Problem,
    above_rounding,
    fit_equalizer,
    measure,
    rematched,
    rounding_db,
)
from diffapf.identification.finished_stages import FinishedStages
from diffapf.identification.prefiltered_pair import MonoPair

RATE = 44_100
HIDDEN = setting("any", 1000)


@pytest.fixture(scope="module")
def dry():
    return torch.from_numpy(singing(4.0))


@pytest.fixture(scope="module")
def wet(dry):
    return torch.from_numpy(equalised(dry.numpy(), HIDDEN, RATE))


def worst_db(fit, hidden=HIDDEN, gain_db=0.0):
    heard = fit.measured.bands.centres[fit.measured.used]
    target = torch.from_numpy(hidden.magnitude_db(heard.numpy(), RATE)) + gain_db
    return float((fit.equalizer.magnitude_db(heard).detach() - target).abs().max())


@pytest.mark.parametrize("seed", [1001, 1002])
def test_hidden_bands_are_found(dry, seed):
    hidden = setting("any", seed)
    fit = fit_equalizer(dry, torch.from_numpy(equalised(dry.numpy(), hidden, RATE)), RATE)
    assert worst_db(fit, hidden) < 0.1
    assert fit.rms_db < 4e-3
    assert fit.train.esr(fit.equalizer) < 1e-5


@pytest.fixture
def few_rounds(monkeypatch):
    """Where nothing solves it, more rounds would be tried in vain."""
    monkeypatch.setattr(equalizer_fit, "ROUNDS", 2)


@pytest.mark.usefixtures("few_rounds")
def test_a_pair_that_is_late_louder_upside_down_and_stereo(dry, wet):
    pair = torch.stack([wet, 0.5 * wet])
    late = -1.5 * torch.nn.functional.pad(pair, (37, 0))[:, : len(dry)]
    fit = fit_equalizer(torch.stack([dry, 0.5 * dry]), late, RATE)
    assert worst_db(fit, gain_db=20 * torch.tensor(1.5).log10().item()) < 0.1
    assert fit.pair.offset == 37
    assert fit.equalizer.gain_db is not None
    assert any("37 samples late" in finding for finding in fit.findings)
    assert any("upside down" in finding for finding in fit.findings)
    assert fit.train.esr(fit.equalizer) < 1e-4


@pytest.mark.usefixtures("few_rounds")
def test_an_equaliser_without_a_low_pass(dry):
    """Matched in magnitude by a low-pass that a shelf of 100 dB undoes, its signal was missed."""
    bands = {name: band for name, band in setting("any", 1).bands.items() if "pass" not in name}
    fit = fit_equalizer(dry, torch.from_numpy(equalised(dry.numpy(), replace(HIDDEN, bands=bands), RATE)), RATE)
    assert fit.train.esr(fit.equalizer, plain=True) < 1e-5


@pytest.mark.usefixtures("few_rounds")
def test_noise_moves_little(dry, wet):
    noise = torch.randn(len(wet), dtype=wet.dtype, generator=torch.Generator().manual_seed(0))
    noisy = wet + 1e-3 * wet.square().mean().sqrt() * noise
    fit = fit_equalizer(dry, noisy, RATE)
    loud = wet.square().mean() * 1e-6
    bands = fit.measured.bands
    clear = bands.powers(wet) > 100 * bands.powers(loud.sqrt() * noise)
    target = torch.from_numpy(HIDDEN.magnitude_db(bands.centres[clear].numpy(), RATE))
    assert float((fit.equalizer.magnitude_db(bands.centres[clear]).detach() - target).abs().max()) < 1.0
    assert all(estimate.error > 0 for estimate in fit.estimates)


@pytest.mark.usefixtures("few_rounds")
def test_what_bands_cannot_do_is_said(dry):
    fit = fit_equalizer(dry, dry.sign() * dry.abs().sqrt(), RATE)
    assert any("leave much unexplained" in finding for finding in fit.findings)


def test_other_bands_are_fitted_too(dry):
    bands = {"tilt": Band("high_shelf", 1000.0, gain_db=5.0), "dip": Band("peak", 400.0, q=2.0, gain_db=-7.0)}
    hidden = Equalizer(RATE, bands).double()
    with torch.no_grad():
        wet = hidden(dry)
    fit = fit_equalizer(dry, wet, RATE, bands=bands)
    for found, true in zip(fit.equalizer.parameters_spec(), hidden.parameters_spec(), strict=True):
        assert found.value == pytest.approx(true.value, rel=1e-3)


def test_the_jacobian_is_that_of_the_residuals(dry, wet):
    measured = measure(MonoPair(dry, wet, RATE).part(0.0, 4.0), RATE)
    problem = _Problem(Equalizer(RATE, gain_db=0.0).double(), measured, every=40)
    points = torch.randn(2, 15, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    _, jacobian = problem.linearise(points)
    expected = torch.func.vmap(torch.func.jacrev(lambda point: problem.decibels(point[None])[0]))(points)
    torch.testing.assert_close(jacobian, expected)


@pytest.mark.usefixtures("few_rounds")
def test_a_fit_that_was_killed_goes_on(dry, wet, tmp_path):
    stages = []

    def kill(stage, fraction):
        stages.append(stage)
        if stage == "compared with the recording":
            raise SystemExit

    with pytest.raises(SystemExit):
        fit_equalizer(dry, wet, RATE, progress=kill, finished=FinishedStages(tmp_path / "stages", "x"))
    assert "many starts" in stages
    stages.clear()
    fit = fit_equalizer(
        dry,
        wet,
        RATE,
        progress=lambda stage, _: stages.append(stage),
        finished=FinishedStages(tmp_path / "stages", "x"),
    )
    assert "many starts" not in stages
    assert fit.rms_db < 1.0


MISTAKES = {
    "silence": (lambda dry: (dry, 0 * dry), "the wet signal is silent"),
    "too short": (lambda dry: (dry[:9000], dry[:9000]), "0.20 s that both files cover"),
    "not finite": (lambda dry: (dry, dry / 0), "wet must be finite"),
    "mono and stereo": (lambda dry: (dry, torch.stack([dry, dry])), "mono both or stereo both"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_named(mistake, dry):
    signals, words = MISTAKES[mistake]
    with pytest.raises(ValueError, match=words):
        fit_equalizer(*signals(dry), RATE)


def test_in_a_chain_an_equaliser_is_found_by_what_the_chain_plays(dry):
    """Behind it is a room that is known; it is not what the bands of dry and wet alone would say."""
    room = torch.zeros(2205, dtype=torch.float64).index_fill(0, torch.tensor([0]), 1.0)
    room[300:] = 0.05 * torch.randn(1905, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def chain(equalizer):
        with torch.no_grad():
            return torch.stack([convolve(equalizer(dry), room, 0, len(dry)), 0.5 * equalizer(dry)])

    hidden, begin = Equalizer(RATE).double(), Equalizer(RATE, taper="linear").double()
    hidden.set_parameters({"bands.peak1.frequency_hz": 2300.0, "bands.peak1.gain_db": -9.0, "bands.peak1.q": 2.0})
    hidden.set_parameters({"bands.peak2.frequency_hz": 670.0, "bands.peak2.gain_db": -8.0, "bands.peak2.q": 4.0})
    wet, frequencies = chain(hidden), torch.linspace(300, 5000, 50, dtype=torch.float64)
    found = rematched(begin, dry, chain(begin), wet)
    away = found.magnitude_db(frequencies) - hidden.magnitude_db(frequencies)
    assert float((away - away.median()).detach().abs().max()) < 0.5
    assert rematched(hidden, dry, wet, wet) is None


def test_in_a_chain_what_descent_reaches_is_left_to_it(dry):
    """A peak an octave off: many starts lead nowhere nearer than this one."""
    hidden, begin = Equalizer(RATE).double(), Equalizer(RATE).double()
    hidden.set_parameters({"bands.peak2.frequency_hz": 2000.0, "bands.peak2.gain_db": -9.0})
    with torch.no_grad():
        assert rematched(begin, dry, begin(dry)[None], hidden(dry)[None]) is None


def test_bands_that_are_mostly_rounding_are_not_measured():
    step, generator = 2.0**-15, torch.Generator().manual_seed(0)
    x = 1e-4 * torch.randn(2 * RATE, dtype=torch.float64, generator=generator)
    dither = torch.rand(2, len(x), dtype=torch.float64, generator=generator).sum(0) - 1
    noise = step * (x / step + dither).round() - x
    bands = Bands.of_octaves(200.0, 18_000.0, 3, RATE)
    torch.testing.assert_close(decibels(bands.powers(noise)), rounding_db(noise, bands), rtol=0, atol=1.0)
    muffled = 30 * x[None]
    for _ in range(3):
        muffled = torch.nn.functional.avg_pool1d(muffled, 15, 1, 7)
    part = MonoPair(30 * x, step * (muffled[0] / step + dither).round(), RATE).part(0.0, 2.0, 0.0)
    every = measure(part, RATE)
    used = above_rounding(every, part).used
    assert used[100:200].all() and not used[-20:].any() and every.used[-20:].any()
