"""A phaser that is saved and loaded is the same phaser, number by number and sample by sample."""

from __future__ import annotations

from functools import partial

import pytest
import torch
import yaml
from torch import nn

from diffapf import Effect, Phaser
from diffapf.effects.phaser import PaperSweep, paper_phaser
from diffapf.modulation import LFO, WaveShaper
from tests.effects.phasers import OPTIONS, PAPER_OPTIONS, moved
from tests.filters.oracles import normal


def with_moved_clock() -> Phaser:
    phaser = Phaser(44_100)
    phaser.lfo.centre(55.0, 60.0)
    return phaser


def with_moved_origin(name: str) -> Phaser:
    phaser = Phaser(44_100, **OPTIONS[name])
    phaser.lfo.move_origin(57.5)
    return phaser


PHASERS = {
    "default": lambda: Phaser(44_100),
    "cascade": lambda: Phaser(48_000, stages=6, feedback=-0.3, feedback_highpass_hz=130.0, hop_seconds=0.02),
    "loop delay": lambda: Phaser(44_100, loop_delay=1, feedback=0.5, shaper={"residual": False}),
    "paper": lambda: Phaser(44_100, core="paper", feedback=0.5, align_corners=True),
    "published": lambda: paper_phaser(44_100, 0.01),
    "published, at 48 kHz": lambda: paper_phaser(48_000, 0.01),
    "at another rate": lambda: moved(Phaser(44_100)).at_sample_rate(96_000),
    "published, at another rate": lambda: paper_phaser(44_100, 0.01).at_sample_rate(96_000),
    "moved clock": with_moved_clock,
    "shaper of another size": lambda: Phaser(44_100, shaper=WaveShaper(width=4, hidden=2)),
    "paper, any curve and filter": partial(Phaser, 44_100, **PAPER_OPTIONS),
    "any curve with a moved clock": lambda: with_moved_origin("all"),
    **{name: partial(Phaser, 44_100, **arguments) for name, arguments in OPTIONS.items()},
}
each_phaser = pytest.mark.parametrize("build", PHASERS.values(), ids=PHASERS)


@pytest.mark.parametrize("training", [False, True], ids=["evaluation", "training"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@each_phaser
def test_round_trip_is_exact(tmp_path, build, dtype, training):
    torch.manual_seed(0)
    phaser = moved(build().double() if dtype == torch.float64 else build(), 0.05)
    phaser.save(tmp_path / "a.yaml")
    loaded = Effect.load(tmp_path / "a.yaml")
    assert isinstance(loaded, Phaser)
    assert loaded.parameters_spec() == phaser.parameters_spec()
    assert loaded.configuration() == phaser.configuration()
    x = normal(2, 1500, dtype=dtype)
    assert torch.equal(loaded.train(training)(x), phaser.train(training)(x))


@each_phaser
def test_what_was_learned_can_be_learned_on(tmp_path, build):
    phaser = build()
    phaser.save(tmp_path / "a.yaml")
    learnable = [name for name, value in phaser.named_parameters() if value.requires_grad]
    loaded = Effect.load(tmp_path / "a.yaml")
    assert [name for name, value in loaded.named_parameters() if value.requires_grad] == learnable


@pytest.mark.parametrize("name", OPTIONS)
def test_a_file_of_tensors_is_for_networks_alone(tmp_path, name):
    phaser = Phaser(44_100, **OPTIONS[name])
    phaser.save(tmp_path / "a.yaml")
    without_network = "lfo" in OPTIONS[name]
    assert sorted(file.name for file in tmp_path.iterdir()) == (["a.yaml"] if without_network else ["a.pt", "a.yaml"])


def edited(folder, **changes) -> Effect:
    """A saved phaser whose YAML someone has changed by hand; dictionaries are changed in part."""
    path = folder / "a.yaml"
    Phaser(44_100).save(path)
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    for key, value in changes.items():
        content[key] = {**content[key], **value} if isinstance(value, dict) else value
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return Effect.load(path)


def test_edited_values_are_honoured(tmp_path):
    phaser = edited(
        tmp_path,
        parameters={"sweep.low_hz": 123.0, "feedback": -0.25},
        configuration={"stages": 6, "feedback_highpass_hz": 80.0},
        sample_rate=48_000,
    )
    assert (phaser.sweep.low_hz().item(), phaser.feedback().item()) == (123.0, -0.25)
    assert (phaser.stages, phaser.feedback_highpass_hz().item(), phaser.sample_rate) == (6, 80.0, 48_000)


def test_values_that_are_left_out_keep_their_default(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("{effect: phaser, version: 1, sample_rate: 44100, parameters: {through: 0.5}}", encoding="utf-8")
    loaded = Effect.load(path)
    assert loaded.through().item() == 0.5
    assert loaded.sweep.low_hz().item() == Phaser(44_100).sweep.low_hz().item()


EDITS = {
    "unknown effect": ({"effect": "flanger"}, "'flanger'.*phaser"),
    "unknown parameter": ({"parameters": {"thorough": 1.0}}, "thorough"),
    "unknown argument": ({"configuration": {"colour": 1}}, "colour"),
    "word for a number": ({"parameters": {"through": "fast"}}, "fast"),
    "not a number": ({"parameters": {"through": float("nan")}}, "nan"),
    "unstable feedback": ({"parameters": {"feedback": 1.5}}, r"1\.5"),
    "an LFO in words": ({"configuration": {"lfo": "fast"}}, "lfo must be.*'fast'"),
    "a curve of unequal parts": (
        {"configuration": {"lfo": {"cosines": [1.0], "sines": []}, "shaper": None}},
        "cosines and sines.*got 1 and 0",
    ),
    "a curve's unknown argument": ({"configuration": {"lfo": {"colour": 1}, "shaper": None}}, "colour"),
    "a dry filter without order": ({"configuration": {"dry_filter": True}}, "dry_filter needs filter_order"),
    "parameters in a list": ({"parameters": [1]}, "parameters"),
    "sample rate of zero": ({"sample_rate": 0}, "sample_rate.*positive"),
    "sample rate in words": ({"sample_rate": "fast"}, "fast"),
}


@pytest.mark.parametrize(("changes", "message"), EDITS.values(), ids=EDITS)
def test_wrong_edits_are_named_with_their_file(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message) as error:
        edited(tmp_path, **changes)
    assert str(tmp_path / "a.yaml") in str(error.value)


def test_a_sweep_that_no_preset_can_name_is_refused(tmp_path):
    class Fixed(nn.Module):
        def forward(self, shape):
            return 500 + 0 * shape

    with pytest.raises(ValueError, match=r"sweep.*log_frequency.*paper"):
        Phaser(44_100, sweep=Fixed()).save(tmp_path / "a.yaml")
    assert not list(tmp_path.iterdir())


def test_a_preset_sounds_the_same_at_another_rate(tmp_path):
    """Loaded first or converted first."""
    phaser = Phaser(44_100, sweep=PaperSweep(-0.3, 0.25, 44_100), lfo=LFO(1.2)).double()
    phaser.save(tmp_path / "a.yaml")
    x = normal(500)
    assert torch.equal(Effect.load(tmp_path / "a.yaml").at_sample_rate(96_000)(x), phaser.at_sample_rate(96_000)(x))
