"""Recordings through models: block by block is as at once, at any rate, without the model's latency."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
import torch

from diffapf import AcidPatch, Compressor, Equalizer
from diffapf.audio import AudioError
from diffapf.audio_stream import RecordingWriter
from diffapf.processing import load_model, process_recording

RATE = 48_000


@pytest.fixture
def recording(tmp_path):
    samples = 0.1 * np.random.default_rng(0).standard_normal((3000, 2))
    soundfile.write(tmp_path / "in.wav", samples, RATE, subtype="DOUBLE")
    return tmp_path / "in.wav"


def through(tmp_path, recording, model, **options) -> np.ndarray:
    model.save(tmp_path / "model.yaml")
    shares = []
    process_recording(tmp_path, recording, tmp_path / "out.wav", progress=shares.append, **options)
    assert shares == sorted(shares) and shares[-1] == 1.0
    samples, rate = soundfile.read(tmp_path / "out.wav")
    assert rate == RATE
    return samples.T


@pytest.mark.parametrize("block", [1000, 1 << 16])
def test_a_file_is_what_the_effect_makes_of_it_at_the_files_rate(tmp_path, recording, block):
    model = Compressor(44_100)
    found = through(tmp_path, recording, model, block=block)
    whole = Compressor(RATE).double()
    whole.set_parameters({spec.name: spec.value for spec in model.parameters_spec()})
    expected = whole(torch.from_numpy(soundfile.read(recording)[0].T)).detach().numpy()
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_the_latency_is_taken_out(tmp_path, recording):
    model = Compressor(RATE, threshold_db=0.0, look_ahead_ms=2.0)
    assert model.latency > 0
    found = through(tmp_path, recording, model, block=512)
    np.testing.assert_allclose(found, soundfile.read(recording)[0].T, atol=1e-6)


def test_settings_are_those_of_the_parameters(tmp_path, recording):
    model = Equalizer(RATE)
    name = next(spec.name for spec in model.parameters_spec() if spec.name.endswith("gain_db"))
    flat, raised = (through(tmp_path, recording, model, settings={name: gain}) for gain in (0.0, 6.0))
    assert np.abs(flat - raised).max() > 1e-3
    with pytest.raises(ValueError, match="has no parameter"):
        through(tmp_path, recording, model, settings={"gian_db": 6.0})


def test_what_is_no_effect_is_refused_and_nothing_is_left(tmp_path, recording):
    AcidPatch(RATE).save(tmp_path / "model.yaml")
    with pytest.raises(ValueError, match="no effect"):
        process_recording(tmp_path, recording, tmp_path / "out.wav")
    with pytest.raises(ValueError, match="no preset"):
        load_model(tmp_path / "nothing.yaml")
    with pytest.raises(AudioError, match="mp3"):
        RecordingWriter(tmp_path / "out.mp3", RATE)
    assert {path.name for path in tmp_path.iterdir()} <= {"in.wav", "model.yaml", "model.pt"}


def test_a_result_beyond_full_scale_leaves_no_file(tmp_path):
    def write(*levels: float) -> None:
        with RecordingWriter(tmp_path / "out.flac", RATE) as writer:
            for level in levels:
                writer.write(np.full((1, 10), level))

    with pytest.raises(AudioError, match="full scale"):
        write(0.5, 1.5)
    assert not list(tmp_path.iterdir())
