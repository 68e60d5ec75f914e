import pytest
import torch

from data.echo import EchoSetting, echoes
from data.voice import singing
from diffapf.identification.delay_fit import fit_delay
from diffapf.identification.echo_times import descend_envelope, echo_envelope, peaks

RATE = 44_100
HIDDEN = EchoSetting(287.654, 0.4, 0.5, 6000.0, 0.9, 0.2, 0.8)
REACHED = (0.1, 1.0)


@pytest.fixture(scope="module")
def dry():
    return torch.from_numpy(singing(2.0))


@pytest.fixture(scope="module")
def wet(dry):
    clean = dry + torch.from_numpy(echoes(dry.numpy(), HIDDEN, RATE))
    noise = torch.randn(clean.shape, dtype=clean.dtype, generator=torch.Generator().manual_seed(0))
    return clean + 0.01 * clean.square().mean().sqrt() * noise


def test_a_hidden_delay_is_found(dry, wet):
    fit = fit_delay(dry, wet, RATE)
    found = {spec.name: spec.value for spec in fit.delay.parameters_spec()}
    assert found["time_ms"] == pytest.approx(HIDDEN.time_ms, abs=1e-3)
    for name, value in vars(HIDDEN).items():
        assert found[name] == pytest.approx(value, rel=0.02)
    assert fit.direct == pytest.approx([1.0, 1.0], abs=1e-3)
    assert fit.esr < 1.2e-4
    errors = {estimate.name: estimate.error for estimate in fit.estimates}
    assert 0 < errors["delay.time_ms"] < 1e-3


def test_of_one_channel_pans_stay(dry, wet):
    fit = fit_delay(dry, wet.mean(0), RATE)
    assert float(fit.delay.time_ms()) == pytest.approx(HIDDEN.time_ms, abs=1e-2)
    assert float(fit.delay.odd_pan()) == float(fit.delay.even_pan()) == 0.5
    assert len(fit.direct) == 1


@pytest.mark.parametrize("away_ms", [-110.0, -90.0, 150.0])
def test_a_descent_on_the_smeared_envelope_finds_the_time_from_far(dry, wet, away_ms):
    """Late by what the low-pass takes at 1500 Hz."""
    envelope = echo_envelope(dry, wet, RATE, 2.0)
    found = descend_envelope(envelope, RATE, (HIDDEN.time_ms + away_ms) / 1000, REACHED)
    assert 1000 * found == pytest.approx(HIDDEN.time_ms, abs=0.1)


def test_the_highest_peak_is_the_first_repeat(dry, wet):
    found = peaks(echo_envelope(dry, wet, RATE, 1.1), RATE, REACHED)
    assert 1000 * found[0] == pytest.approx(HIDDEN.time_ms, abs=0.1)


MISTAKES = {
    "silence": (lambda dry: (dry, torch.zeros_like(dry)), "the wet signal is silent"),
    "too short": (lambda dry: (dry[:9000], dry[:9000]), "0.20 s: give at least 2 s"),
    "lengths": (lambda dry: (dry, dry[1:]), "of one length, got 88200 and 88199"),
    "not finite": (lambda dry: (dry, dry / 0), "wet must be finite"),
    "stereo dry": (lambda dry: (torch.stack([dry, dry]), dry), "dry must be one channel"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_named(mistake, dry):
    signals, words = MISTAKES[mistake]
    with pytest.raises(ValueError, match=words):
        fit_delay(*signals(dry), RATE)


def test_a_start_outside_the_range_is_refused():
    with pytest.raises(ValueError, match=r"between 0\.1 and 1 s, got 1\.2"):
        descend_envelope(torch.ones(1000), RATE, 1.2, REACHED)
    with pytest.raises(ValueError, match="nothing stands out"):
        descend_envelope(torch.ones(1000), RATE, 0.2, REACHED)
