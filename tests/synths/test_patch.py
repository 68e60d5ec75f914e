"""A patch keeps a sound: its preset is exact, and it does not depend on control or sample rate."""

from __future__ import annotations

import math

import pytest
import torch
import yaml

from diffapf import Effect
from diffapf.model import Model
from diffapf.synths.acid import FILTERS, AcidSynth
from diffapf.synths.patch import AcidPatch

RATE = 48_000
KNOTS = {"gain_db": 5}


def some_patch(filter="lowpass", rate=RATE, **settings) -> AcidPatch:
    torch.manual_seed(0)
    patch = AcidPatch(rate, filter=filter, shaped=True, noise=True, output_fir=True, knots=KNOTS, **settings)
    moved = {
        spec.name: spec.value + 0.3 * torch.randn(()).item()
        for spec in patch.parameters_spec()
        if "." in spec.name  # knots
    }
    patch.set_parameters({**moved, "osc_shape": 0.7, "phase": 0.4, "level": 0.6})
    return patch


def note(patch, seconds=0.1, hz=110.0):
    with torch.no_grad():
        return patch(torch.full((round(seconds * patch.sample_rate),), hz, dtype=patch.dtype))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("filter", FILTERS)
def test_a_preset_is_read_back_exactly(tmp_path, filter, dtype):
    patch = some_patch(filter).to(dtype)
    patch.save(tmp_path / "a.yaml")
    loaded = Model.load(tmp_path / "a.yaml")
    assert isinstance(loaded, AcidPatch)
    assert loaded.parameters_spec() == patch.parameters_spec()
    assert loaded.configuration() == patch.configuration()
    assert torch.equal(note(loaded.to(dtype)), note(patch))
    assert (tmp_path / "a.pt").exists() == (filter == "lstm")


def test_a_patch_is_no_effect(tmp_path):
    some_patch().save(tmp_path / "a.yaml")
    with pytest.raises(ValueError, match=r"a\.yaml is a preset of 'acidpatch', not of .*phaser"):
        Effect.load(tmp_path / "a.yaml")


def test_a_patch_plays_what_the_synth_played():
    patch = some_patch()
    knots = {"cutoff_hz": 1000 * torch.exp2(patch.cutoff()), "gain_db": patch.gain_db()}
    still = {control.name: getattr(patch, control.name)() for control in patch.synth.controls if not control.moves}
    copy = AcidPatch.of(patch.synth, {**still, **knots}, patch.spacing_s, patch.phase().item(), patch.level().item())
    assert copy.knots == patch.knots
    torch.testing.assert_close(note(copy), note(patch))


def test_the_sound_does_not_depend_on_the_control_rate():
    patch = some_patch()
    reference = note(patch.at_sample_rate(RATE, hop=1))
    for hop in (8, 32, 50):
        y = note(patch.at_sample_rate(RATE, hop=hop))
        assert (y - reference).square().sum() / reference.square().sum() < 1e-3


def harmonics_db(y, rate, hz=100.0, count=12):
    """Of the middle of a note, by a windowed sum at each harmonic."""
    n = torch.arange(len(y), dtype=torch.float64)
    window = torch.sin(math.pi * n / len(y)).square()
    turns = n * hz / rate * torch.arange(1, count + 1, dtype=torch.float64)[:, None]
    return 20 * torch.log10((y * window * torch.polar(window, 2 * math.pi * turns)).sum(-1).abs() / len(y))


@pytest.mark.parametrize("filter", ["lowpass", "ladder"])
def test_the_sound_does_not_depend_on_the_sample_rate(filter):
    patch = AcidPatch(RATE, filter=filter, knots={"cutoff_hz": 3}, spacing_s={"cutoff_hz": 0.05}).double()
    patch.set_parameters({"cutoff.1": 1.0, "cutoff.2": 0.2, "cutoff.3": -0.5})
    reference = harmonics_db(note(patch, 0.2, 100.0), RATE)
    for rate in (44_100, 96_000):
        found = harmonics_db(note(patch.at_sample_rate(rate), 0.2, 100.0), rate)
        assert (found - reference).abs().max() < 1.0


def test_the_last_knot_is_held():
    patch = AcidPatch(RATE, knots={"cutoff_hz": 2, "gain_db": 1}, spacing_s={"cutoff_hz": 0.01})
    patch.set_parameters({"cutoff.1": 1.0, "cutoff.2": 0.0})
    cutoff = patch.values()["cutoff_hz"]
    torch.testing.assert_close(cutoff[-1], torch.tensor(1000.0))
    assert len(cutoff) == 16
    y = note(patch, 0.3)
    period = RATE // 100
    y = note(patch, 0.3, 100.0)
    torch.testing.assert_close(y[-period:], y[-2 * period : -period], atol=1e-3, rtol=0)


def test_knots_can_be_learned():
    patch = some_patch()
    patch(torch.full((500,), 110.0)).square().sum().backward()
    assert patch.cutoff.step.grad.abs().sum() > 0 and patch.q.step.grad.abs() > 0


WRONG = {
    "a control that does not move": (lambda: AcidPatch(RATE, knots={"q": 3}), "no control 'q' moves"),
    "no knots": (lambda: AcidPatch(RATE, knots={"gain_db": 0}), "gain_db must be a whole number from 1 up, got 0"),
    "no time": (lambda: AcidPatch(RATE, spacing_s={"gain_db": 0.0}), "positive number of seconds, got 0"),
    "an unknown filter": (lambda: AcidPatch(RATE, filter="comb"), "filter must be one of"),
    "a low Q": (lambda: AcidPatch(RATE).set_parameters({"q": 0.3}), "q must lie from 0.5 to 8, got 0.3"),
    "a ladder that oscillates": (
        lambda: AcidPatch(RATE, filter="ladder").set_parameters({"resonance": 4.0}),
        "resonance must lie from 0 to 3.92, got 4",
    ),
    "no such parameter": (lambda: AcidPatch(RATE).set_parameters({"cutoff.8": 1.0}), "cutoff.8"),
    "a pitch of zero": (lambda: AcidPatch(RATE)(torch.zeros(10)), "f0_hz must lie from"),
}


@pytest.mark.parametrize(("call", "words"), WRONG.values(), ids=WRONG)
def test_mistakes_are_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_what_is_refused_leaves_the_patch_as_it_was():
    patch = AcidPatch(RATE)
    with pytest.raises(ValueError, match="q must lie"):
        patch.set_parameters({"level": 0.3, "q": 0.3})
    patch.set_parameters({"phase": 1.0})
    assert (patch.q().item(), patch.level().item()) == (AcidPatch(RATE).q().item(), 1.0)


def test_a_preset_with_a_low_q_is_refused_with_its_name(tmp_path):
    AcidPatch(RATE).save(tmp_path / "a.yaml")
    content = yaml.safe_load((tmp_path / "a.yaml").read_text())
    content["parameters"]["q"] = 0.4
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(ValueError, match=r"a\.yaml does not fit .*q must lie from 0\.5"):
        AcidPatch.load(tmp_path / "a.yaml")


def test_the_configuration_is_the_synths():
    assert AcidSynth(RATE).settings.items() <= AcidPatch(RATE).configuration().items()
