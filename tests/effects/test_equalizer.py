import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from data.channel_strip import FULL, SENSIBLE, equalised, setting
from diffapf import Equalizer, FrequencySampling
from diffapf.effects.equalizer import SHAPES, SIX_BANDS, WITH_GAIN, Band
from diffapf.model import Model

RATE = 44_100
NUMBERS = ("frequency_hz", "q", "gain_db")


def noise(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def set_to(hidden, rate=RATE, **options):
    equalizer = Equalizer(rate, **options).double()
    equalizer.set_parameters(
        {
            f"bands.{name}.{number}": value
            for name, knobs in hidden.bands.items()
            for number, value in zip(NUMBERS, knobs, strict=True)
            if f"bands.{name}.{number}.step" in dict(equalizer.named_parameters())
        }
    )
    return equalizer


@given(
    seed=st.integers(0, 10_000), channels=st.sampled_from([(), (2,), (2, 3)]), ranges=st.sampled_from([SENSIBLE, FULL])
)
@settings(max_examples=20, deadline=None)
def test_it_is_the_cookbooks_sections_by_scipy(seed, channels, ranges):
    hidden, x = setting("any", seed, ranges), noise(*channels, 300, seed=seed)
    expected = torch.from_numpy(equalised(x.numpy(), hidden, RATE))
    torch.testing.assert_close(set_to(hidden)(x), expected, rtol=1e-9, atol=1e-9)


def test_its_response_is_that_of_what_it_plays():
    hidden, frequencies = setting("any", 3), torch.tensor([25.0, 200.0, 3000.0, 15_000.0], dtype=torch.float64)
    equalizer = set_to(hidden, gain_db=2.0)
    expected = torch.from_numpy(hidden.magnitude_db(frequencies.numpy(), RATE)) + 2.0
    torch.testing.assert_close(equalizer.magnitude_db(frequencies).detach(), expected, rtol=0, atol=1e-9)
    impulse = torch.zeros(2 * RATE, dtype=torch.float64)
    impulse[0] = 1.0
    played = 20 * torch.log10(torch.fft.rfft(equalizer(impulse)).abs())[2 * frequencies.long()]
    torch.testing.assert_close(played.detach(), expected, rtol=0, atol=1e-6)


def test_single_precision_does_not_detune_low_bands():
    equalizer = Equalizer(RATE, {"rumble": Band("highpass", 16.0, q=5.0, frequencies=(10.0, 100.0))})
    x = noise(20_000)
    torch.testing.assert_close(equalizer(x.float()).double(), equalizer(x), rtol=0, atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_has_gradients(shape):
    equalizer = Equalizer(RATE, {"band": Band(shape, 900.0, q=0.9, gain_db=4.0)}, gain_db=1.0).double()
    x, names = noise(40, seed=2), list(dict(equalizer.named_parameters()))
    assert len(names) == (4 if shape in WITH_GAIN else 3)

    def run(x, *steps):
        return torch.func.functional_call(equalizer, dict(zip(names, steps, strict=True)), (x,))

    inputs = [x, *(torch.tensor(0.1 * i, dtype=torch.float64) for i in range(len(names)))]
    assert torch.autograd.gradcheck(run, [tensor.requires_grad_() for tensor in inputs], check_forward_ad=True)
    assert torch.autograd.gradgradcheck(run, inputs)


def test_what_moves_has_gradients_and_standing_still_is_fixed():
    equalizer, x = Equalizer(RATE).double(), noise(2, 60)
    still = {"bands.peak1.gain_db": torch.full((60,), 5.0, dtype=torch.float64)}
    fixed = Equalizer(RATE).double()
    fixed.set_parameters({"bands.peak1.gain_db": 5.0})
    torch.testing.assert_close(equalizer(x, still), fixed(x), rtol=0, atol=1e-12)
    frames = {"bands.peak1.gain_db": torch.full((7,), 5.0, dtype=torch.float64)}
    torch.testing.assert_close(equalizer(x, frames, hop=10), fixed(x), rtol=0, atol=1e-12)
    sweep = torch.linspace(300, 3000, 60, dtype=torch.float64).requires_grad_()
    gains = (8 * noise(60, seed=5)).requires_grad_()

    def run(sweep, gains):
        return equalizer(x, {"bands.peak1.frequency_hz": sweep, "bands.peak1.gain_db": gains})

    assert torch.autograd.gradcheck(run, (sweep, gains))


def test_a_moving_band_is_one_cascade_a_sample():
    """Against a plain loop over the transposed direct form II."""
    hidden, x = setting("any", 9), noise(50)
    equalizer = set_to(hidden)
    gains = 6 * noise(50, seed=8)
    rows = equalizer.filter({"bands.peak2.gain_db": gains}).sos.detach()
    registers, expected = torch.zeros(6, 2, dtype=torch.float64), []
    for n, value in enumerate(x):
        for s, (b0, b1, b2, _, a1, a2) in enumerate(rows[n]):
            y = b0 * value + registers[s, 0]
            registers[s] = torch.stack([b1 * value - a1 * y + registers[s, 1], b2 * value - a2 * y])
            value = y
        expected.append(value)
    torch.testing.assert_close(
        equalizer(x, {"bands.peak2.gain_db": gains}).detach(), torch.stack(expected), rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("blocks", [[1] * 100, [64, 0, 36], [99, 1]])
def test_streaming_in_any_blocks_is_the_whole(blocks):
    equalizer, x = set_to(setting("any", 4)), noise(2, 100)
    gains = 6 * noise(100, seed=8)
    for moving in (None, {"bands.peak1.gain_db": gains}):
        state, place, outputs = equalizer.initial_state(), 0, []
        for length in blocks:
            span = slice(place, place + length)
            of_block = None if moving is None else {name: values[span] for name, values in moving.items()}
            y, state = equalizer.process(x[:, span], state, of_block)
            outputs.append(y)
            place += length
        torch.testing.assert_close(torch.cat(outputs, 1), equalizer(x, moving).detach(), rtol=0, atol=1e-12)


def test_frequency_sampling_is_the_same_filter_on_what_dies_away():
    hidden, x = setting("any", 2), torch.cat([noise(2000), torch.zeros(60_000, dtype=torch.float64)])
    sampled = set_to(hidden, method=FrequencySampling())
    torch.testing.assert_close(sampled(x), set_to(hidden)(x), rtol=0, atol=1e-9)
    frames = {"bands.peak1.gain_db": torch.zeros(62_000 // 100 + 1)}
    assert sampled(x, frames, hop=100).shape == x.shape
    with pytest.raises(ValueError, match="needs the hop"):
        sampled(x, {"bands.peak1.gain_db": torch.zeros(62_000)})


def test_it_sounds_alike_at_all_rates():
    frequencies = torch.tensor([30.0, 100.0, 500.0, 1500.0], dtype=torch.float64)
    bands = {name: band for name, band in SIX_BANDS.items() if name != "lowpass"}
    responses = []
    for rate in (44_100, 48_000, 96_000):
        equalizer = Equalizer(rate, bands)
        equalizer.set_parameters({"bands.peak1.gain_db": 6.0, "bands.low_shelf.gain_db": -4.0})
        responses.append(equalizer.magnitude_db(frequencies).detach())
    for response in responses[1:]:
        torch.testing.assert_close(response, responses[0], rtol=0, atol=0.05)


def test_a_preset_is_read_back_exactly(tmp_path):
    equalizer = set_to(setting("any", 6), gain_db=-1.3)
    equalizer.save(tmp_path / "eq.yaml")
    loaded = Model.load(tmp_path / "eq.yaml")
    assert isinstance(loaded, Equalizer)
    assert loaded.parameters_spec() == equalizer.parameters_spec()
    assert loaded.configuration() == equalizer.configuration()
    x = noise(100)
    assert torch.equal(loaded.double()(x), equalizer(x))


@pytest.mark.parametrize("taper", ["log", "linear"])
def test_no_step_leaves_the_ranges(taper):
    equalizer = Equalizer(RATE, taper=taper)
    for sign in (-1, 1):
        with torch.no_grad():
            for parameter in equalizer.parameters():
                parameter.fill_(sign * 1e4)
        for spec in equalizer.parameters_spec():
            if spec.unit != "dB":
                assert spec.minimum * (1 - 1e-12) <= spec.value <= spec.maximum * (1 + 1e-12)


MISTAKES = {
    "no bands": (lambda: Equalizer(RATE, {}), "one or more Bands"),
    "a shape that is none": (
        lambda: Equalizer(RATE, {"b": Band("bell", 100.0)}),
        "band 'b': shape must be one of 'peak'",
    ),
    "an argument that is none": (lambda: Equalizer(RATE, {"b": {"shape": "peak", "hz": 1.0}}), "band 'b': .*hz"),
    "a Q of 0": (
        lambda: Equalizer(RATE, {"b": Band("peak", 100.0, q=0.0)}),
        "band 'b': q must be a positive number, got 0",
    ),
    "a frequency out of its range": (
        lambda: Equalizer(RATE, {"b": Band("peak", 5.0)}),
        "frequency_hz must lie between 20",
    ),
    "a range beyond Nyquist": (
        lambda: Equalizer(16_000, {"b": Band("peak", 100.0)}),
        "band 'b': frequencies must stay below half .* 8000 Hz",
    ),
    "a range upside down": (
        lambda: Equalizer(RATE, {"b": Band("peak", 9.0, frequencies=(9.0, 1.0))}),
        "the lower first",
    ),
    "a gain that is none": (lambda: Equalizer(RATE, gain_db=float("nan")), "gain_db must be a finite number"),
    "a taper": (lambda: Equalizer(RATE, taper="exp"), "taper must be"),
    "a knob that is none": (lambda: Equalizer(RATE)(noise(9), {"peak1.gain": noise(9)}), "moving names .'peak1.gain'"),
    "a value out of range": (
        lambda: Equalizer(RATE).set_parameters({"bands.peak1.q": 30.0}),
        "bands.peak1.q must lie between 0.2 and 20",
    ),
    "integers": (lambda: Equalizer(RATE)(torch.ones(9, dtype=torch.int64)), "x must"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_named(mistake):
    call, words = MISTAKES[mistake]
    with pytest.raises((ValueError, TypeError), match=words):
        call()


def test_numpy_truth_and_bands_agree_on_order():
    assert list(setting("any", 1).bands) == list(SIX_BANDS)
    assert np.isfinite(setting("any", 1).sections(RATE)).all()
