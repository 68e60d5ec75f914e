"""Vocoders: every published one sings and has gradients; a voice is kept, and sung otherwise, as measured."""

from __future__ import annotations

import pytest
import torch

from diffapf.filters.design import denominator_from_poles, reflection_from_denominator
from diffapf.model import Model
from diffapf.synths.glottal import BREATHY, TENSE
from diffapf.synths.vocoder import VOCODERS, Vocoder, Voice, vocoder
from diffapf.synths.voice_filters import at_bins, voice_filter
from diffapf.synths.voice_patch import VoicePatch

RATE, HOP, FRAMES = 24_000.0, 240, 51
LENGTH = (FRAMES - 1) * HOP
VOWEL = ((0.985, 700), (0.98, 1200), (0.97, 2600))  # poles: their radii, and frequencies in Hz


def values_of(model: Vocoder, seed: int = 0) -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(seed)
    return {
        control.name: control.value(
            0.1 * torch.randn(model.frames(control.name, LENGTH), control.channels, generator=random).squeeze(-1)
        )
        for control in model.controls
    }


@pytest.mark.parametrize("name", VOCODERS)
def test_every_published_model_sings_with_gradients_in_all_its_values(name):
    model = vocoder(name, source_options={"count": 40} if name in ("ddsp", "sawsing") else {})
    values = {key: value.requires_grad_() for key, value in values_of(model).items()}
    f0 = torch.linspace(180.0, 240.0, FRAMES)
    voice = Voice(f0, LENGTH, torch.randn(LENGTH, generator=torch.Generator().manual_seed(1)))
    y = model(voice, values)
    assert y.shape == (LENGTH,) and bool(y.isfinite().all()) and float(y.detach().std()) > 1e-3
    gradients = torch.autograd.grad(y.square().sum(), [*values.values(), model.room])
    for key, gradient in zip([*values, "room"], gradients, strict=True):
        assert bool(gradient.isfinite().all()), key
        assert bool((gradient != 0).any()), key
    kept = model(voice, values, model.prepared(voice))
    assert (kept - y).norm() / y.norm() < 5e-3


def test_a_batch_sings_as_each_by_itself():
    model = vocoder("golf_ss")
    noise = torch.randn(2, LENGTH, generator=torch.Generator().manual_seed(2))
    values = [values_of(model, seed) for seed in (0, 1)]
    f0 = torch.stack([torch.full((FRAMES,), 150.0), torch.full((FRAMES,), 260.0)])
    both = model(Voice(f0, LENGTH, noise), {key: torch.stack([v[key] for v in values]) for key in values[0]})
    for row in range(2):
        assert torch.allclose(model(Voice(f0[row], LENGTH, noise[row]), values[row]), both[row], atol=1e-4)


def test_new_noise_at_every_call_unless_it_is_given():
    model = vocoder("golf_ss")
    voice, values = Voice(torch.full((FRAMES,), 200.0), LENGTH), values_of(model)
    assert not torch.equal(model(voice, values), model(voice, values))


def vowel() -> VoicePatch:
    """A steady voice at 200 Hz with three formants."""
    poles = torch.tensor(
        [radius * torch.exp(2j * torch.pi * torch.tensor(hz / RATE)) for radius, hz in VOWEL], dtype=torch.complex128
    )
    k = reflection_from_denominator(denominator_from_poles(torch.cat([poles, poles.conj()])).real)
    model = vocoder("golf_ss")
    values = values_of(model) | {
        "rd": torch.ones(6),
        "level_db": torch.zeros(FRAMES),
        "noise": torch.full((FRAMES, 256), -6.0),
        "gain_db": torch.full((FRAMES,), -40.0),
        "tract": torch.nn.functional.pad(torch.atanh(k / 0.998).float(), (0, 16)).expand(FRAMES, -1),
    }
    return VoicePatch.of(model, torch.full((FRAMES,), 200.0), values, LENGTH)


def spectrum(y: torch.Tensor) -> torch.Tensor:
    """In dB, a bin a Hz."""
    return 20 * torch.log10(torch.fft.rfft(y * torch.hann_window(len(y)), int(RATE)).abs() + 1e-9)


def test_a_voice_is_kept_exactly(tmp_path):
    patch = vowel()
    patch.save(tmp_path / "model.yaml")
    again = Model.load(tmp_path / "model.yaml")
    assert isinstance(again, VoicePatch) and torch.equal(again(3), patch(3))


def test_transposed_it_is_as_many_semitones_higher():
    patch = vowel()
    patch.set_parameters({"transpose": 7.0})
    found = spectrum(patch(0))
    fundamental = 200 * 2 ** (7 / 12)
    assert abs(int(found[150:450].argmax()) + 150 - fundamental) < 2
    assert float(found[round(2 * fundamental)]) > float(found[400]) + 10  # the old second harmonic is gone


def test_breathier_it_falls_off_more_steeply_and_tenser_less():
    slopes = []
    for breathiness in (0.35, 1.0, 2.6):
        patch = vowel()
        patch.set_parameters({"breathiness": breathiness})
        found = spectrum(patch(0))
        slopes.append(float(found[198:203].max() - found[1998:2003].max()))
    assert slopes[0] + 6 < slopes[1] < slopes[2] - 6


def test_formants_move_by_the_factor_and_the_level_stays():
    patch = vowel()
    before = patch(0)
    patch.set_parameters({"formants": 1.25})
    tract = patch.vocoder.filter.tract
    response = 1 / torch.fft.rfft(
        torch.nn.functional.pad(tract.coefficients(patch.edited()["tract"][20].double()), (1, 0), value=1.0), int(RATE)
    )
    for _, hz in VOWEL[:2]:
        near = response.abs()[round(1.1 * hz) : round(1.4 * hz)]
        assert int(near.argmax()) + round(1.1 * hz) == pytest.approx(1.25 * hz, rel=0.04)
    assert abs(20 * torch.log10(patch(0).std() / before.std())) < 3


@pytest.mark.parametrize("name", ["zero-phase", "cepstrum", "mel-spectrum", "mel-cepstrum"])
def test_a_spectral_filter_is_found_for_a_response(name):
    filter = voice_filter(name, 24_000.0, 240, 22, "reflection")
    place = torch.linspace(0, 1, 513, dtype=torch.float64)
    wanted = torch.stack([torch.sin(3 * place), 2 - 4 * place])
    reached = at_bins(filter.log_magnitude(filter.nearest(wanted)), 513)
    assert float((reached - wanted)[:, 8:-32].abs().max()) < 0.12  # 1 dB; bands of mels end below half the rate


def test_shapes_stay_within_what_the_tables_have():
    patch = vowel()
    for breathiness, end in ((4.0, BREATHY), (0.25, TENSE)):
        patch.set_parameters({"breathiness": breathiness})
        assert patch.edited()["rd"].unique().tolist() == pytest.approx([end])


@pytest.mark.parametrize(
    ("name", "values", "words"),
    [
        ("ddsp", {"breathiness": 2.0}, "breathiness is a glottal source's"),
        ("ddsp", {"formants": 1.2}, "formants are moved in all-pole filters"),
        ("golf_ss", {"vibrato": 1.0}, "no parameter"),
        ("golf_ss", {"transpose": float("nan")}, "transpose"),
    ],
)
def test_what_a_voice_cannot_be_is_refused(name, values, words):
    model = vocoder(name, source_options={"count": 4} if name == "ddsp" else {})
    patch = VoicePatch.of(model, torch.full((FRAMES,), 200.0), values_of(model), LENGTH)

    def sung_with():
        patch.set_parameters(values)
        return patch(0)

    with pytest.raises(ValueError, match=words):
        sung_with()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"sample_rate": 0}, "sample_rate must be positive"),
        ({"source": "square"}, "source must be one of"),
        ({"filter": "comb"}, "filter must be one of"),
        ({"structure": "serial"}, "structure must be one of"),
        ({"noise_bins": 1}, "noise_bins must be at least 2"),
        ({"hop": 0}, "hop must be"),
    ],
)
def test_wrong_arguments_are_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        Vocoder(**arguments)


def test_an_unknown_model_and_a_pitch_of_zero_are_refused():
    with pytest.raises(ValueError, match="there are golf_ss, golf_ff"):
        vocoder("vocaloid")
    model = vocoder("golf_ss")
    with pytest.raises(ValueError, match="f0_hz must be positive everywhere"):
        model(Voice(torch.zeros(FRAMES), LENGTH), values_of(model))
