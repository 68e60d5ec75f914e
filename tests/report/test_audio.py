"""The audio of a page: what is read, what is embedded, and what a listener is told."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

from diffapf.report.audio import Part, Track, embed, read_parts

RATE = 8000


def write(folder: Path, **tracks: np.ndarray) -> Path:
    (folder / "test").mkdir(parents=True, exist_ok=True)
    for name, samples in tracks.items():
        soundfile.write(folder / "test" / f"{name}.wav", samples, RATE, subtype="FLOAT")
    return folder


def noise(seconds: float, channels: int = 1, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.5, 0.5, (round(seconds * RATE), channels))


def decode(part: Part, track: Track) -> np.ndarray:
    embedded = embed(part, track)
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(embedded.flac)), always_2d=True)
    assert rate == part.rate
    return samples * embedded.gain


def test_the_difference_is_computed_where_it_is_missing(tmp_path: Path):
    target, prediction = noise(0.5, seed=1), noise(0.5, seed=2)
    (part,) = read_parts(write(tmp_path, target=target, prediction=prediction))
    assert [track.name for track in part.tracks] == ["target", "prediction", "difference"]
    np.testing.assert_allclose(part.tracks[2].samples, target - prediction, atol=1e-7)


def test_a_difference_that_is_there_is_kept(tmp_path: Path):
    (part,) = read_parts(write(tmp_path, target=noise(0.1), prediction=noise(0.1), difference=noise(0.1, seed=9)))
    np.testing.assert_allclose(part.tracks[2].samples, noise(0.1, seed=9), atol=1e-7)


@pytest.mark.parametrize("channels", [1, 2])
def test_embedding_is_exact_to_16_bits(tmp_path: Path, channels: int):
    (part,) = read_parts(write(tmp_path, target=noise(0.5, channels)))
    np.testing.assert_allclose(decode(part, part.tracks[0]), part.tracks[0].samples, atol=2**-16)


def test_a_quiet_difference_is_embedded_without_the_noise_of_16_bits(tmp_path: Path):
    target = noise(0.5)
    (part,) = read_parts(write(tmp_path, target=target, prediction=target * 0.9999))
    difference = part.tracks[2]
    error = decode(part, difference) - difference.samples
    assert np.mean(error**2) < 1e-5 * np.mean(difference.samples**2)


def test_a_mono_track_is_compared_with_a_stereo_one(tmp_path: Path):
    (part,) = read_parts(write(tmp_path, target=noise(0.1, 2), prediction=noise(0.1, 1)))
    assert part.tracks[2].samples.shape == (round(0.1 * RATE), 2)


def test_long_parts_are_cut_and_the_listener_is_told(tmp_path: Path):
    (part,) = read_parts(write(tmp_path, target=noise(12.5), prediction=noise(13)))
    assert part.seconds == 10
    assert part.remarks == ["These are the first 10 s of 13.0 s."]


def test_all_tracks_are_as_long_as_the_shortest(tmp_path: Path):
    (part,) = read_parts(write(tmp_path, target=noise(0.5), prediction=noise(0.3)))
    assert {len(track.samples) for track in part.tracks} == {round(0.3 * RATE)}


def test_what_exceeds_full_scale_is_turned_down_together(tmp_path: Path):
    (part,) = read_parts(write(tmp_path, target=noise(0.5), prediction=4 * noise(0.5, seed=1)))
    assert part.gain == pytest.approx(0.5, rel=1e-2)
    for track in part.tracks:
        np.testing.assert_allclose(decode(part, track), part.gain * track.samples, atol=2**-14)
    assert "turned down by 6.0" in part.remarks[0]


def test_an_exploded_prediction_does_not_silence_the_others(tmp_path: Path):
    prediction = 1e6 * noise(0.5, seed=1)
    prediction[7] = np.nan
    (part,) = read_parts(write(tmp_path, target=noise(0.5), prediction=prediction))
    assert part.gain == 0.25
    assert any("not finite" in remark for remark in part.remarks)
    assert any("clipped" in remark for remark in part.remarks)
    assert np.isfinite(decode(part, part.tracks[1])).all()


def test_silence_is_embedded(tmp_path: Path):
    (part,) = read_parts(write(tmp_path, target=np.zeros(100), prediction=np.zeros(100)))
    assert not decode(part, part.tracks[2]).any()


def test_one_part_has_one_rate(tmp_path: Path):
    write(tmp_path, target=noise(0.1))
    soundfile.write(tmp_path / "test" / "dry.wav", noise(0.1), 2 * RATE)
    with pytest.raises(ValueError, match=r"audio/test/dry\.wav: 16000 Hz, audio/test/target\.wav: 8000 Hz"):
        read_parts(tmp_path)


def test_what_is_no_audio_is_named(tmp_path: Path):
    write(tmp_path, target=noise(0.1))
    (tmp_path / "test" / "dry.flac").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"audio/test/dry\.flac cannot be read"):
        read_parts(tmp_path)


def test_a_file_without_samples_is_named(tmp_path: Path):
    with pytest.raises(ValueError, match=r"audio/test/dry\.wav has no samples"):
        read_parts(write(tmp_path, dry=np.zeros(0)))


def test_parts_and_tracks_come_in_a_fixed_order(tmp_path: Path):
    write(tmp_path, another=noise(0.1), prediction=noise(0.1), target=noise(0.1), dry=noise(0.1))
    for part in ("extra", "train", "validation"):
        (tmp_path / part).mkdir()
        soundfile.write(tmp_path / part / "dry.wav", noise(0.1), RATE)
    (tmp_path / "empty").mkdir()
    parts = read_parts(tmp_path)
    assert [part.name for part in parts] == ["test", "validation", "train", "extra"]
    assert [track.name for track in parts[0].tracks] == ["dry", "target", "prediction", "difference", "another"]


def test_parts_of_noise_are_cut_to_fit_a_page(tmp_path):
    """Noise is what FLAC cannot make small: three tracks of 10 s in two parts would need 5 MB before base64."""
    rng = np.random.default_rng(0)
    for part in ("train", "test"):
        (tmp_path / part).mkdir()
        for name in ("dry", "target", "prediction"):
            soundfile.write(
                tmp_path / part / f"{name}.wav", rng.uniform(-0.9, 0.9, 10 * 44_100), 44_100, subtype="FLOAT"
            )
    parts = read_parts(tmp_path)
    size = sum(len(embed(part, track).flac) for part in parts for track in part.tracks)
    assert 3_000_000 < size < 3_900_000
    assert parts[0].seconds < 8 and parts[0].remarks[0].startswith("These are the first")
