"""The networks that hear notes: the published one to a parameter, what they see, and that all of them learns."""

from __future__ import annotations

import pytest
import torch

from diffapf.synths.acid import AcidSynth, Note
from diffapf.synths.extractors import Heard, LightExtractor, PaperExtractor
from diffapf.synths.mel import LogMel
from tests.filters.oracles import normal
from tests.synths.notes import EXTRAS

EXTRACTORS = {"paper": PaperExtractor, "light": LightExtractor}
each_extractor = pytest.mark.parametrize("kind", EXTRACTORS.values(), ids=EXTRACTORS)


def synth(filter: str = "coefficients", **settings) -> AcidSynth:
    return AcidSynth(48_000, filter, **{"level": "power", "highest_hz": 8000.0, **settings})


def heard(kind, batch: int, frames: int, seed: int = 0) -> Heard:
    channels = kind(synth().controls).channels
    shown = -4 + 2 * normal(batch, channels, frames, seed=seed, dtype=torch.float32)
    f0 = torch.full((batch, frames), 110.0)
    phase = normal(batch, frames, seed=seed + 1, dtype=torch.float32)
    return Heard(shown, f0, phase, phase + 1, torch.ones(batch, frames))


def size(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(("filter", "count"), [("coefficients", 728_713), ("lowpass", 730_598)])
def test_the_published_network_has_the_published_size(filter, count):
    assert size(PaperExtractor(synth(filter).controls)) == count


def test_the_light_one_is_light():
    assert 125_000 < size(LightExtractor(synth().controls)) < 160_000


@each_extractor
@pytest.mark.parametrize("filter", ["coefficients", "lowpass", "ladder", "lstm"])
def test_it_plays_the_synth(kind, filter):
    torch.manual_seed(0)
    player = synth(filter, level="trajectory", **EXTRAS)
    values = kind(player.controls).eval()(heard(kind, 2, 10))
    assert list(values) == [control.name for control in player.controls]
    note = Note(torch.full((2, 288), 110.0), torch.tensor([200, 288]), torch.zeros(2))
    y = player(note, values)
    assert y.shape == (2, 288) and bool(y.isfinite().all())


@each_extractor
@pytest.mark.parametrize("frames", [1, 3, 188])
def test_any_number_of_frames(kind, frames):
    of_notes, of_frames = kind(synth().controls).raw(heard(kind, 2, frames))
    assert of_notes.shape == (2, 4) and of_frames.shape == (2, frames, 5)


@each_extractor
def test_every_parameter_learns(kind):
    torch.manual_seed(0)
    extractor = kind(synth("lowpass").controls)
    of_notes, of_frames = extractor.raw(heard(kind, 3, 20))
    (of_notes.square().sum() + of_frames.square().sum()).backward()
    still = [name for name, p in extractor.named_parameters() if p.grad is None or not float(p.grad.abs().sum()) > 0]
    assert not still
    assert all(bool(p.grad.isfinite().all()) for p in extractor.parameters())


@each_extractor
def test_silence_is_heard_without_nan(kind):
    silent = heard(kind, 2, 20)
    silent.shown = torch.full_like(silent.shown, -16.1)
    of_notes, of_frames = kind(synth().controls).raw(silent)
    (of_notes.sum() + of_frames.sum()).backward()
    assert bool(of_notes.isfinite().all()) and bool(of_frames.isfinite().all())


def reach(convolutions) -> int:
    """Frames that a frame of the output sees."""
    return 1 + sum((c.kernel_size[-1] - 1) * c.dilation[-1] for c in convolutions)


def test_what_a_frame_sees():
    """The published network's 193 frames; the norm over all frames does see further. The light one's by its gradient."""
    paper = PaperExtractor(synth().controls)
    assert reach(block.convolution for block in paper.blocks) == 193
    torch.manual_seed(0)
    light = LightExtractor(synth().controls).eval()
    layers = [light.first, *(block.body[-1] for block in light.blocks)]
    told = heard(LightExtractor, 1, 301)
    told.shown.requires_grad_()
    light.raw(told)[1][0, 150].sum().backward()
    seen = told.shown.grad[0].abs().sum(0).nonzero()
    assert int(seen.max() - seen.min()) + 1 == reach(layers) == 127


# ----------------------------------------------------------------------------------------------------------------- mel


@pytest.mark.filterwarnings("ignore:At least one mel filterbank")  # the lowest bands hold no bin, as published
def test_the_mel_spectrogram_is_librosas_and_torchaudios():
    librosa = pytest.importorskip("librosa", reason="librosa is not installed")
    audio = 0.1 * normal(2, 6000, dtype=torch.float32)
    found = LogMel(48_000)(audio)
    assert found.shape == (2, 128, 188)
    power = librosa.feature.melspectrogram(
        y=audio.numpy(), sr=48_000, n_fft=1024, hop_length=32, n_mels=128, htk=True, norm=None, pad_mode="reflect"
    )
    torch.testing.assert_close(found, torch.from_numpy(power).clamp(min=1e-7).log(), rtol=1e-4, atol=1e-4)
    transforms = pytest.importorskip("torchaudio.transforms", reason="torchaudio is not installed")
    mel = transforms.MelSpectrogram(48_000, 1024, hop_length=32, n_mels=128, power=2.0)
    torch.testing.assert_close(found, mel(audio).clamp(min=1e-7).log(), rtol=1e-4, atol=1e-3)


def test_silence_is_the_floor():
    assert float(LogMel(48_000)(torch.zeros(1, 6000)).unique()) == pytest.approx(-16.118, abs=1e-3)
