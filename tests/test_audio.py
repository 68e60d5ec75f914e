"""Recordings: exact round trips, and every message a user can meet, word for word where it names a cause."""

import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from diffapf import audio
from diffapf.audio import AudioError, Recording, default_parts, part_slice, read, read_pair, write

RATE = 8000


def tone(seconds=2.0, peak=0.5, rate=RATE, hz=220.0):
    return peak * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)


def refuses(*words):
    """The error, with all the words in this order."""
    return pytest.raises(AudioError, match="(?s)" + ".*".join(re.escape(word) for word in words))


@pytest.fixture
def save(tmp_path):
    """Writes a file by soundfile itself, so that reading is not tested with our own writing."""

    def save(name, samples, rate=RATE, subtype="FLOAT") -> Path:
        soundfile.write(tmp_path / name, np.asarray(samples).T, rate, subtype=subtype)
        return tmp_path / name

    return save


@pytest.fixture
def pair(save):
    """Reads a pair of the given samples, from dry.wav and wet.wav."""

    def pair(dry, wet, dry_rate=RATE, wet_rate=RATE):
        return read_pair(save("dry.wav", dry, dry_rate), save("wet.wav", wet, wet_rate))

    return pair


# -------------------------------------------------------------------------------------------------------------- reading


@pytest.mark.parametrize(
    ("name", "subtype", "step"),
    [
        ("x.wav", "PCM_U8", 2**-7),
        ("x.wav", "PCM_16", 2**-15),
        ("x.wav", "FLOAT", 2**-25),
        ("x.wav", "DOUBLE", 0),
        ("x.flac", "PCM_24", 2**-23),
        ("x.aiff", "PCM_16", 2**-15),
    ],
)
def test_reads_what_libsndfile_reads(save, name, subtype, step):
    x = tone()
    recording = read(save(name, x, 11025, subtype))
    assert recording.samples.shape == (1, len(x))
    assert recording.samples.dtype == np.float64
    assert recording.samples.flags["C_CONTIGUOUS"]
    assert recording.sample_rate == 11025
    assert recording.path.name == name
    assert recording.duration == len(x) / 11025
    assert np.abs(recording.samples[0] - x).max() <= step


def test_reads_stereo_by_channel(save):
    x = np.stack([tone(), tone(hz=330.0)])
    np.testing.assert_array_equal(read(str(save("x.wav", x, subtype="DOUBLE"))).samples, x)


def test_a_missing_file_is_named_with_the_folder_and_the_closest_name(save, tmp_path, monkeypatch):
    save("Guitar-dry.wav", tone())
    monkeypatch.chdir(tmp_path)
    with refuses(
        f"there is no file guitar_dry.wav (current directory: {tmp_path}); did you mean Guitar-dry.wav?",
    ):
        read("guitar_dry.wav")
    with refuses(f"there is no file {tmp_path / 'gitar-dry.wav'}; did you mean {tmp_path / 'Guitar-dry.wav'}?"):
        read(tmp_path / "gitar-dry.wav")
    with refuses("there is no file xyz.flac (current directory: ", "): check the path"):
        read("xyz.flac")
    with refuses("there is no file takes/1.wav", "there is no folder takes either: check the path"):
        read("takes/1.wav")


def test_a_folder_is_not_a_recording(tmp_path):
    with refuses(f"{tmp_path} is a folder; give the path of one WAV or FLAC file in it"):
        read(tmp_path)


def test_a_device_is_not_a_recording():
    with refuses("/dev/null is a device or a pipe; give the path of a file on disk"):
        read("/dev/null")


def test_a_file_that_cannot_be_opened_says_why(save, monkeypatch):
    def deny(*_):
        raise PermissionError(13, "Permission denied")

    path = save("x.wav", tone())
    monkeypatch.setattr(Path, "open", deny)
    with refuses("x.wav cannot be opened: Permission denied; check the path and its permissions"):
        read(path)


def test_an_empty_file(tmp_path):
    (tmp_path / "x.wav").touch()
    with refuses("x.wav is empty (0 bytes): its export or copy failed; export or copy it again"):
        read(tmp_path / "x.wav")


def test_a_file_without_samples(save):
    with refuses("x.wav has a header but no samples: its recording or export failed; export it again"):
        read(save("x.wav", np.zeros(0)))


def test_a_text_file_is_not_audio(tmp_path):
    (tmp_path / "x.wav").write_text("once upon a time\n" * 20)
    with refuses("x.wav is not audio that libsndfile can read; give a WAV or FLAC file"):
        read(tmp_path / "x.wav")


def test_raw_samples_have_no_header(tmp_path):
    (tmp_path / "x.raw").write_bytes(bytes(100))
    with refuses("x.raw is raw samples without a header; export it as WAV or FLAC"):
        read(tmp_path / "x.raw")


def test_a_file_that_was_cut_off(save):
    path = save("x.flac", np.random.default_rng(0).uniform(-0.5, 0.5, 4 * RATE), subtype="PCM_16")
    path.write_bytes(path.read_bytes()[:20000])
    with refuses("x.flac is damaged, cut off or in a coding", "(flac decoder lost sync); copy it again or export it"):
        read(path)


def test_more_than_two_channels(save):
    with refuses("x.wav has 4 channels; recordings are mono or stereo: export one or two of them"):
        read(save("x.wav", np.tile(tone(), (4, 1))))


def test_samples_that_are_no_numbers_are_counted_and_located(save):
    x = np.stack([tone(), tone()])
    x[0, 7000] = np.nan
    x[1, 4000:4002] = -np.inf
    with refuses("x.wav has 3 NaN or infinite samples, the first at 0.5 s; repair it there or export it again"):
        read(save("x.wav", x))


# ---------------------------------------------------------------------------------------------------------------- pairs


def test_a_good_pair_has_no_remarks(pair):
    result = pair(tone(), tone(peak=0.3))
    assert result.dry.shape == result.wet.shape == (1, 2 * RATE)
    assert (result.sample_rate, result.duration, result.remarks) == (RATE, 2.0, ())


def test_rates_that_differ(pair):
    with refuses(
        "the sample rates differ:",
        "dry.wav has 44100 Hz,",
        "wet.wav has 48000 Hz; resample one, for example: ffmpeg -i ",
        "wet.wav -ar 44100 -c:a pcm_f32le ",
        "wet-44100.wav",
    ):
        pair(tone(), tone(), 44100, 48000)


def test_a_mono_dry_goes_to_both_channels_of_a_stereo_wet(pair):
    result = pair(tone(), np.stack([tone(peak=0.3), tone(peak=0.2)]))
    np.testing.assert_array_equal(result.dry, np.stack([result.dry[0]] * 2))
    assert result.dry.shape == result.wet.shape == (2, 2 * RATE)
    assert result.dry.flags["WRITEABLE"]
    (remark,) = result.remarks
    assert remark.endswith("wet.wav is stereo; dry is used for both channels")


def test_a_stereo_dry_needs_a_stereo_wet(pair):
    with refuses("dry.wav is stereo but", "wet.wav is mono, so it is not known what went into", "give the mono signal"):
        pair(np.stack([tone(), tone()]), tone())


@pytest.mark.parametrize("longer", ["dry", "wet"])
def test_the_longer_file_is_cut(pair, longer):
    lengths = {"dry": 2.0, "wet": 2.0, longer: 2.5}
    result = pair(tone(lengths["dry"]), tone(lengths["wet"], peak=0.3))
    assert result.dry.shape == result.wet.shape == (1, 2 * RATE)
    (remark,) = result.remarks
    assert f"{longer}.wav is 0.5 s (4000 samples) longer than" in remark
    assert remark.endswith(".wav; this much was cut from its end")


def test_files_of_very_different_lengths_are_no_pair(pair):
    with refuses(
        "dry.wav (5 s) and",
        "wet.wav (2 s) do not look like a pair: one is more than twice as long as the other; "
        "check that they are two recordings of the same take",
    ):
        pair(tone(5.0), tone(2.0))


@pytest.mark.parametrize("which", ["dry", "wet"])
def test_a_short_file(pair, which):
    lengths = {"dry": 2.0, "wet": 2.0, which: 0.25}
    with refuses(f"{which}.wav is 0.25 s long, which is too short to learn from; record at least 1 s"):
        pair(tone(lengths["dry"]), tone(lengths["wet"]))


@pytest.mark.parametrize("which", ["dry", "wet"])
@pytest.mark.parametrize(("peak", "words"), [(0.0, "-inf dBFS"), (9e-5, "-80.9 dBFS")])
def test_a_silent_file(pair, which, peak, words):
    peaks = {"dry": 0.5, "wet": 0.5, which: peak}
    with refuses(
        f"{which}.wav is silent: its peak is {words} in the 2 s that are used; "
        "check the cable, the input and the muted tracks, and record it again"
    ):
        pair(tone(peak=peaks["dry"]), tone(peak=peaks["wet"]))


def test_a_file_that_is_silent_where_it_is_used(pair):
    with refuses("dry.wav is silent: its peak is -inf dBFS in the 2 s that are used"):
        pair(np.concatenate([np.zeros(2 * RATE), tone(1.0)]), tone(2.0))


def test_a_silent_channel_is_a_remark(pair):
    (remark,) = pair(np.stack([tone(), tone()]), np.stack([tone(peak=0.3), np.zeros(2 * RATE)])).remarks
    assert "wet.wav is silent in its right channel; if it was recorded from one output, give a mono file" in remark


def test_a_quiet_file_is_a_remark(pair):
    (remark,) = pair(tone(), tone(peak=2e-3)).remarks
    assert "wet.wav is very quiet: its peak is -54.0 dBFS; noise may hide the effect" in remark


def test_identical_files_are_a_remark(pair):
    (remark,) = pair(tone(), tone()).remarks
    assert remark.endswith("wet.wav hold the same samples; either the effect was bypassed, or one file was given twice")


def test_clipping_is_counted_and_located(pair):
    x = tone(peak=0.5)
    x[4000:4003] = 1.0  # three samples are a run, two are not
    x[6000:6002] = 1.0
    x[8000:8100] = -1.0
    (remark,) = pair(x, np.stack([tone(peak=0.3)] * 2)).remarks[1:]
    assert "dry.wav clips at 2 places, the first at 0.5 s; if that is not the effect's own sound" in remark
    (remark,) = pair(tone(), np.clip(tone(peak=3.0), -1, 1)).remarks
    assert "wet.wav clips at 880 places" in remark


@pytest.mark.parametrize("peak", [1.0, 1.5])
def test_a_loud_low_note_is_not_clipping(pair, peak):
    low = tone(rate=44100, hz=60.0, peak=peak)
    assert np.sum(np.abs(low) >= 0.999) > 100
    assert pair(tone(rate=44100), low, 44100, 44100).remarks == ()


def test_clipping_of_almost_nothing():
    assert len(audio._clipping(np.ones((1, 1)))) == 0


# -------------------------------------------------------------------------------------------------------------- writing


@pytest.mark.parametrize("name", ["x.wav", "x.flac", "x.FLAC"])
@pytest.mark.parametrize(("subtype", "bits"), [("PCM_16", 16), ("PCM_24", 24)])
def test_round_trip_within_half_a_step(tmp_path, name, subtype, bits):
    x = np.random.default_rng(0).uniform(-1, 1, (2, 5000))
    x[:, 0] = -1
    write(tmp_path / name, x, 44100, subtype)
    recording = read(tmp_path / name)
    step = 2.0 ** (1 - bits)
    inside = x < 1 - step
    assert np.abs(recording.samples - x)[inside].max() <= step / 2
    assert np.abs(recording.samples - x).max() <= step
    assert soundfile.info(tmp_path / name).subtype == subtype
    again = tmp_path / f"again-{name}"
    write(again, recording.samples, recording.sample_rate, subtype)
    np.testing.assert_array_equal(read(again).samples, recording.samples)


@pytest.mark.parametrize("subtype", ["PCM_32", "FLOAT", "DOUBLE"])
def test_round_trip_of_what_wav_alone_holds(tmp_path, subtype):
    x = tone(0.1).astype(np.float32).astype(np.float64) * 0.5
    write(tmp_path / "x.wav", x, RATE, subtype)
    recording = read(tmp_path / "x.wav")
    np.testing.assert_allclose(recording.samples, x[None], rtol=0, atol=2**-32 if subtype == "PCM_32" else 0)


def test_full_scale_itself_is_written(tmp_path):
    write(tmp_path / "x.flac", [-1.0, 1.0], 44100)
    np.testing.assert_array_equal(read(tmp_path / "x.flac").samples, [[-1.0, 1 - 2**-23]])


def test_writes_tensors(tmp_path):
    x = torch.tensor([[0.5, -0.25], [0.125, 0.0]], requires_grad=True)
    write(str(tmp_path / "x.flac"), x, 44100.0)
    np.testing.assert_array_equal(read(tmp_path / "x.flac").samples, x.detach().numpy())


def test_samples_beyond_full_scale_are_refused_limited_or_kept(tmp_path):
    x = np.array([0.25, -1.5])
    for name in ("x.wav", "x.flac"):
        with refuses(
            f"{name} was not written: the samples go beyond full scale (peak 1.5, +3.52 dBFS); turn them down, ",
            'write a .wav file with subtype="FLOAT", or clip them with clip=True',
        ):
            write(tmp_path / name, x, 44100)
        assert not list(tmp_path.iterdir())
    write(tmp_path / "x.flac", x, 44100, clip=True)
    np.testing.assert_array_equal(read(tmp_path / "x.flac").samples, [[0.25, -1.0]])
    write(tmp_path / "x.wav", x, 44100, "FLOAT")
    np.testing.assert_array_equal(read(tmp_path / "x.wav").samples, [x])


@pytest.mark.parametrize(("name", "words"), [("x.mp3", "the extension .mp3"), ("x", "no extension")])
def test_other_extensions_are_refused(tmp_path, name, words):
    with refuses(f"{name} has {words}; recordings are written as .flac or .wav"):
        write(tmp_path / name, tone(), RATE)


def test_subtypes_that_the_format_lacks_are_refused(tmp_path):
    with refuses("x.flac: a .flac file can be PCM_16, PCM_24, got FLOAT"):
        write(tmp_path / "x.flac", tone(), RATE, "FLOAT")


@pytest.mark.parametrize("shape", [(), (0,), (2, 0), (100, 2), (1, 2, 100)])
def test_other_shapes_are_refused(tmp_path, shape):
    with refuses(f"x.wav: samples must be (time,) or (channels, time), mono or stereo, got {shape}"):
        write(tmp_path / "x.wav", np.zeros(shape), RATE)


@pytest.mark.parametrize("rate", [0, -1, 44100.5, float("nan")])
def test_other_rates_are_refused(tmp_path, rate):
    with refuses(f"x.wav: the sample rate must be a whole number of Hz, got {rate}"):
        write(tmp_path / "x.wav", tone(), rate)


@pytest.mark.parametrize("subtype", ["PCM_24", "FLOAT"])
def test_samples_that_are_no_numbers_are_not_written(tmp_path, subtype):
    x = tone()
    x[RATE] = np.nan
    with refuses("x.wav was not written: the result has 1 NaN or infinite sample, the first at 1 s"):
        write(tmp_path / "x.wav", x, RATE, subtype)


def test_a_rate_that_the_format_lacks(tmp_path):
    with refuses("x.flac cannot be written: flac does not support this sample rate"):
        write(tmp_path / "x.flac", tone(), 1_000_000)


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with refuses("x.wav cannot be written: Not a directory"):
        write(tmp_path / "file" / "deep" / "x.wav", tone(), RATE)


def test_writing_makes_the_folder(tmp_path):
    write(tmp_path / "a" / "b" / "x.wav", tone(), RATE)
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["x.wav"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    def half(path, *_, **__):
        assert path.parent.parent == tmp_path  # the same disk: the renaming is atomic
        path.write_bytes(b"RIFF")
        raise OSError(28, "No space left on device")

    path = tmp_path / "x.wav"
    write(path, tone(), RATE)
    before = path.read_bytes()
    monkeypatch.setattr(soundfile, "write", half)
    with refuses("x.wav cannot be written: No space left on device"):
        write(path, tone(peak=0.1), RATE)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


# ---------------------------------------------------------------------------------------------------------------- parts


def test_part_slice():
    assert part_slice([0, 16], 44100, 40 * 44100, "data.train") == slice(0, 16 * 44100)
    assert part_slice((0.5, 1), 22050.0, 22050, "data.test") == slice(11025, 22050)


@pytest.mark.parametrize(("stop", "last"), [(10.01, 80000), (10, 80000), (9.995, 79960)])
def test_a_stop_within_10_ms_beyond_the_end_is_the_end(stop, last):
    assert part_slice((0, stop), RATE, 10 * RATE, "data.test") == slice(0, last)


@pytest.mark.parametrize(
    ("seconds", "message"),
    [
        ((-1, 16), "data.train=[-1, 16] starts before the file; its start must be 0 s or later"),
        ((16, 16), "data.train=[16, 16] is empty: its stop must be later than its start (both in seconds)"),
        ((2, 1), "data.train=[2, 1] is empty"),
        ((0, float("nan")), "data.train=[0, nan] is empty"),
        ((0, 10.02), "data.train=[0, 10.02] goes beyond the end of the file, which is 10 s long"),
        ((0, float("inf")), "data.train=[0, inf] goes beyond the end of the file, which is 10 s long"),
        ((10, 10.01), "data.train=[10, 10.01] goes beyond the end of the file, which is 10 s long"),
        ((1, 1 + 1e-6), "data.train=[1, 1] is shorter than one sample"),
        ((1, 2, 3), "data.train=(1, 2, 3) is not a part of a file; write [start, stop] in seconds"),
        (5, "data.train=5 is not a part of a file"),
        ("ab", "data.train=ab is not a part of a file"),
    ],
)
def test_parts_that_are_none(seconds, message):
    with refuses(message):
        part_slice(seconds, RATE, 10 * RATE, "data.train")


@pytest.mark.parametrize("duration", [40.0, 1.0, 12.3456789])
def test_default_parts_are_slices_of_the_file_without_gaps(duration):
    parts = default_parts(duration)
    length = round(duration * RATE)
    slices = [part_slice(part, RATE, length, name) for name, part in parts.items()]
    assert list(parts) == ["train", "validation", "test"]
    assert (slices[0].start, slices[-1].stop) == (0, length)
    assert [part.stop for part in slices[:-1]] == [part.start for part in slices[1:]]


def test_default_parts_of_40_s():
    assert default_parts(40) == {"train": (0, 27), "validation": (27, 30), "test": (30, 40)}


@pytest.mark.parametrize("duration", [0, -1.0, float("nan"), float("inf")])
def test_nothing_has_no_parts(duration):
    with refuses(f"a recording of {duration} s has no parts; its duration must be positive"):
        default_parts(duration)


def test_an_error_is_a_value_error_and_a_recording_is_frozen():
    assert issubclass(AudioError, ValueError)
    with pytest.raises(AttributeError):
        Recording(np.zeros((1, 1)), 1, Path()).sample_rate = 2
