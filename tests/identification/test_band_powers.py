import torch

from diffapf.identification.band_powers import Bands, decibels

RATE = 44_100


def test_bands_share_all_the_power_between_their_ends():
    x = torch.randn(2, 5000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    fine, whole = Bands.of_octaves(20.0, 20_000.0, 48, RATE), Bands.of_octaves(20.0, 20_000.0, 1, RATE)
    torch.testing.assert_close(fine.powers(x).sum(), whole.powers(x).sum())
    torch.testing.assert_close(fine.powers(x), fine.powers(x[0]) + fine.powers(x[1]))


def test_a_tone_is_in_its_band():
    bands = Bands.of_octaves(20.0, 18_000.0, 48, RATE)
    tone = torch.sin(2 * torch.pi * 1000.0 / RATE * torch.arange(10 * RATE, dtype=torch.float64))
    loudest = bands.powers(tone).argmax()
    assert bands.edges[loudest] <= 1000.0 < bands.edges[loudest + 1]
    share = bands.powers(tone)[loudest] / bands.powers(tone).sum()
    assert share > 0.999


def test_a_gain_is_seen_in_every_band_also_of_a_short_signal():
    x = torch.randn(700, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    bands = Bands.of_octaves(20.0, 18_000.0, 48, RATE)  # many to a bin
    gain = decibels(bands.powers(0.5 * x)) - decibels(bands.powers(x))
    torch.testing.assert_close(gain, torch.full_like(gain, -6.0206), rtol=0, atol=1e-4)


def test_centres_are_octaves_apart():
    bands = Bands.of_octaves(20.0, 20_480.0, 3, RATE)
    torch.testing.assert_close(bands.centres[3:] / bands.centres[:-3], torch.full((27,), 2.0, dtype=torch.float64))
    torch.testing.assert_close(bands.omega[0], 2 * torch.pi * bands.centres[0] / RATE)
