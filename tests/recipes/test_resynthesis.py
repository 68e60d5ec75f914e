"""`experiment=golf`: a short training on the simulated singer, on a folder of recordings, and mistakes."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from diffapf import audio
from diffapf.model import Model
from diffapf.synths.voice_encoder import AnalysisBySynthesis, PaperEncoder, Sung
from recipes.resynthesis import Resynthesis

pytest.importorskip("pyworld", reason="pyworld is not installed: pip install 'diffapf[voices]'")

SHORT = ("data.seconds_of_song=40", "seconds=0.5", "batch=2", "trainer.max_steps=3", "trainer.validate_every=3")


def test_a_singer_is_sung_again_and_a_frame_wise_model_sample_wise_too(command, tmp_path):
    done = command("train.py", "experiment=golf", "model=golf_ff", *SHORT, f"run={tmp_path}")
    assert done.returncode == 0, done.stderr
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["train/steps"] == 3
    assert np.isfinite([metrics["test/mss"], metrics["test/mcd_db"], metrics["sample_wise/mss"]]).all()
    assert (tmp_path / "report.html").stat().st_size < 8e6
    model = Model.load(tmp_path / "model.yaml")
    assert isinstance(model, AnalysisBySynthesis) and model.name == "golf_ff"


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (("data=voice_recordings",), "data.path is missing"),
        (("data=voice_recordings", "data.path=nowhere"), "there is no such folder"),
        (("data.singer=alto",), "there are soprano, baritone"),
        (("model=acid_lowpass",), "protocol=analysis trains model=golf_ss"),
        (("model.encoder=large",), "encoder must be one of light, paper"),
        (("trainer.max_steps=0",), "trainer.max_steps must be a positive"),
        (("data.seconds_of_song=20", "seconds=1"), "too few to train on one"),
    ],
)
def test_mistakes_are_told_in_words(command, tmp_path, overrides, words):
    done = command("train.py", "experiment=golf", *overrides, f"run={tmp_path}")
    assert done.returncode == 2
    assert words in done.stderr


def test_a_folder_without_voices_is_refused(command, tmp_path):
    for name in "abc":
        audio.write(tmp_path / f"{name}.wav", torch.zeros(24_000), 24_000)
    done = command(
        "train.py", "experiment=golf", "data=voice_recordings", f"data.path={tmp_path}", f"run={tmp_path / 'run'}"
    )
    assert done.returncode == 2 and "a.wav: the recording is silent" in done.stderr


def test_the_paper_encoder_has_its_size_and_begins_with_the_same_values_in_all_frames():
    model = AnalysisBySynthesis(24_000, "golf_ss", "paper", source_options={"tables": 2})
    assert isinstance(model.encoder, PaperEncoder)
    count = sum(parameter.numel() for parameter in model.parameters())
    assert 5.5e6 < count < 6.5e6
    sung = Sung(0.1 * torch.randn(1, 2400), torch.full((1, 11), 200.0), torch.ones(1, 11))
    values = model.hear(sung)
    assert all(bool((value == value[:, :1]).all()) for value in values.values())


def test_a_networks_gain_is_that_of_a_filter_which_leaves_noise_as_loud_as_it_is():
    model = AnalysisBySynthesis(24_000, "golf_ss", source_options={"tables": 2})
    k = torch.tensor([-0.95, 0.8] + [0.0] * 20)
    frames = {control.name: control.value(torch.zeros(11, control.channels).squeeze(-1)) for control in model.controls}
    frames |= {"tract": torch.atanh(k / 0.998).expand(11, -1), "gain_db": torch.full((11,), -20.0)}
    model.set_out_from(frames)
    sung = Sung(0.1 * torch.randn(1, 2400), torch.full((1, 11), 200.0), torch.ones(1, 11))
    heard = model.hear(sung)
    tract = model.vocoder.filter.tract
    assert torch.allclose(heard["tract"][0, 0], 2.5 * torch.tanh(torch.atanh(k / 0.998) / 2.5), atol=1e-5)
    noise = torch.randn(1, 48_000, generator=torch.Generator().manual_seed(1))
    numbers = heard["tract"][:, :1].expand(1, 201, -1)
    loudness = tract(noise, numbers).std() * torch.exp(tract.attenuation(numbers[0, 0]))
    assert loudness.item() == pytest.approx(1.0, rel=0.1)


def test_a_step_without_finite_gradients_is_left_out():
    model = AnalysisBySynthesis(24_000, "golf_ss", source_options={"tables": 2})
    recipe = Resynthesis(model, lambda *_: (None, None), torch.nn.Identity())
    optimizer = torch.optim.SGD(model.parameters(), 1.0)
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    next(model.parameters()).grad[0] = float("nan")
    recipe.on_before_optimizer_step(optimizer)
    optimizer.step()
    assert all(torch.equal(parameter, before[name]) for name, parameter in model.named_parameters())
