"""Reading notes from files and loops; and the 54 recorded ones, where they are at hand."""

from pathlib import Path

import numpy as np
import pytest
import torch

from data import acid
from data.acid_loops import random_knobs, random_pattern
from diffapf import audio
from diffapf.notes import Notes, cut_loops, folds, read_folder_or_file, read_labelled

FOLDER = Path(__file__).parents[2] / "shared" / "data" / "acid"
recorded = pytest.mark.skipif(not FOLDER.is_dir(), reason="needs the recordings in ../shared/data/acid")
RATE = 48000
LENGTH = 6000


def sound(hz: float, length: int = LENGTH, note_on: int | None = None, rate: int = RATE) -> torch.Tensor:
    psi = 2 * torch.pi * hz / rate * torch.arange(length, dtype=torch.float64)
    tone = 0.5 * sum(torch.sin(k * psi) / k for k in range(1, 6))
    tone[length if note_on is None else note_on :] = 0.0
    return tone


def midi(hz: float) -> float:
    return 69 + 12 * np.log2(hz / 440)


def labelled(folder: Path, rows: str, *sounds: torch.Tensor, header: str = "index,midi_pitch,note_on_samples"):
    audio.write(folder / "notes.wav", torch.cat(sounds), RATE)
    (folder / "notes.csv").write_text(f"{header}\n{rows}", encoding="utf-8")
    return folder / "notes.wav", folder / "notes.csv"


# ------------------------------------------------------------------------------------------------------------- labelled


def test_labelled_notes(tmp_path):
    sounds = (sound(110.0), sound(55.0, note_on=4000), sound(220.0, note_on=5000))
    notes = read_labelled(*labelled(tmp_path, "0,45,6000\n1,33,4000\n2,57,5000\n", *sounds))
    assert len(notes) == 3
    assert (notes.audio.shape, notes.audio.dtype) == ((3, LENGTH), torch.float32)
    assert (notes.f0_hz.dtype, notes.note_on.dtype) == (torch.float32, torch.int64)
    torch.testing.assert_close(notes.audio, torch.stack(sounds).float(), atol=1e-6, rtol=0)
    torch.testing.assert_close(
        notes.f0_hz, torch.tensor([[110.0], [55.0], [220.0]]).expand(3, LENGTH), atol=0, rtol=2e-3
    )
    assert notes.note_on.tolist() == [6000, 4000, 5000]
    assert (notes.sample_rate, notes.names, notes.remarks) == (RATE, ["note 0", "note 1", "note 2"], ())


def test_wrong_labels_slides_and_late_ends_are_remarks(tmp_path):
    f0 = 110 * 2 ** (torch.linspace(2, 0, LENGTH, dtype=torch.float64) / 12)
    slide = 0.5 * torch.sin(torch.cumsum(2 * torch.pi / RATE * f0, 0))
    notes = read_labelled(*labelled(tmp_path, "0,57,6000\n1,46,6000\n2,45,5000\n", sound(110.0), slide, sound(110.0)))
    wrong, slides, late = notes.remarks
    assert wrong.startswith("note 0 is labelled MIDI 57, but its pitch is 45.0")
    assert slides.startswith("note 1 slides from MIDI 46")
    assert late == "note 2 sounds on after the 5000 samples of its label"


def test_stereo_is_the_mean_of_its_channels(tmp_path):
    audio.write(tmp_path / "notes.wav", torch.stack([sound(110.0), 0.5 * sound(110.0)]), RATE)
    (tmp_path / "notes.csv").write_text("index,midi_pitch,note_on_samples\n0,45,6000\n", encoding="utf-8")
    notes = read_labelled(tmp_path / "notes.wav", tmp_path / "notes.csv")
    torch.testing.assert_close(notes.audio[0], 0.75 * sound(110.0).float(), atol=1e-6, rtol=0)
    assert "2 channels; their mean is used" in notes.remarks[0]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            "0,45,6000\n1,45,6000\n2,45,6000\n3,45,6000\n4,45,6000\n5,45,6000\n6,45,6000\n",
            "7 notes of .* do not divide",
        ),
        ("0,45,6000\n1,45,6001\n", "index 1: note_on_samples is 6001, .* 6000 samples long"),
        ("0,45,6000\n2,45,6000\n", "line 3: the notes must be numbered 0, 1, 2, …, got 2 for 1"),
        ("0,45,6000\n1,A4,6000\n", "line 3: index, midi_pitch, note_on_samples must be numbers, got 1, A4, 6000"),
        ("0,45,6000\n1,45\n", "line 3: .* must be numbers, got 1, 45, None"),
        ("0,45,6000\n1,45,0\n", "line 3: .* note_on_samples at least 1, got 45, 0"),
        ("0,45,6000\n1,45,900\n", r"note 1 of .*notes.wav: the note sounds for 19 ms \(900 samples\)"),
        ("", "header but no notes"),
    ],
)
def test_wrong_labels_are_told(tmp_path, rows, message):
    with pytest.raises(ValueError, match=message):
        read_labelled(*labelled(tmp_path, rows, sound(110.0), sound(110.0)))


def test_wrong_columns_and_files_are_told(tmp_path):
    wav, labels = labelled(tmp_path, "0,45,6000\n", sound(110.0), header="index,pitch,note_on")
    with pytest.raises(ValueError, match="columns index, midi_pitch, note_on_samples; it has index, pitch, note_on"):
        read_labelled(wav, labels)
    with pytest.raises(ValueError, match=r"there is no file .*other\.wav"):
        read_labelled(tmp_path / "other.wav", labels)
    with pytest.raises(ValueError, match=r"labels .*other\.csv cannot be read"):
        read_labelled(wav, tmp_path / "other.csv")
    (tmp_path / "empty.csv").touch()
    with pytest.raises(ValueError, match="it has none"):
        read_labelled(wav, tmp_path / "empty.csv")


def test_silence_and_noise_are_told(tmp_path):
    noise = 0.1 * torch.randn(LENGTH, generator=torch.Generator().manual_seed(0))
    for wrong, message in (
        (torch.zeros(LENGTH), "note 1 of .* it is silent"),
        (noise, "note 1 of .* no pitch between"),
    ):
        with pytest.raises(ValueError, match=message):
            read_labelled(*labelled(tmp_path, "0,45,6000\n1,45,6000\n", sound(110.0), wrong))


# -------------------------------------------------------------------------------------------------------- files, loops


def test_a_folder_of_notes(tmp_path):
    audio.write(tmp_path / "b.wav", sound(55.0, 4000, rate=44100), 44100)
    audio.write(tmp_path / "a.flac", sound(110.0, 9000, note_on=5000, rate=44100), 44100)
    (tmp_path / "c.txt").touch()
    notes = read_folder_or_file(tmp_path)
    assert (notes.names, notes.sample_rate) == (["a", "b"], 44100)
    assert notes.audio.shape == (2, 9000)
    assert not notes.audio[1, 4000:].any()
    assert notes.note_on.tolist() == pytest.approx([5000, 4000], abs=2)
    assert notes.f0_hz[:, -1].tolist() == pytest.approx([110.0, 55.0], rel=2e-3)


def test_one_file_is_one_note(tmp_path):
    audio.write(tmp_path / "a.wav", sound(110.0), RATE)
    notes = read_folder_or_file(tmp_path / "a.wav")
    assert (len(notes), notes.names) == (1, ["a"])


def test_wrong_folders_and_files_are_told(tmp_path):
    with pytest.raises(ValueError, match=r"has no \.flac or \.wav files"):
        read_folder_or_file(tmp_path)
    with pytest.raises(ValueError, match=r"there is no file .*a\.wav"):
        read_folder_or_file(tmp_path / "a.wav")
    audio.write(tmp_path / "a.wav", sound(110.0), RATE)
    audio.write(tmp_path / "b.wav", sound(110.0), 44100)
    with pytest.raises(ValueError, match=r"sample rates differ: .*a\.wav has 48000 Hz, .*b\.wav has 44100 Hz"):
        read_folder_or_file(tmp_path)
    audio.write(tmp_path / "b.wav", torch.zeros(LENGTH), RATE)
    with pytest.raises(ValueError, match=r"b in .*: it is silent"):
        read_folder_or_file(tmp_path)


def test_a_loop_is_cut_into_its_notes():
    """Of the simulated synthesiser, at 120 BPM, with rests."""
    rng = np.random.default_rng(7)
    pattern, knobs = random_pattern(rng), random_knobs(rng)
    loop, f0 = (torch.from_numpy(track) for track in acid.simulate(pattern, knobs))
    notes = cut_loops(0.3 * loop, RATE, 120)
    sounding = [i for i in range(16) if pattern.length[i] - pattern.late[i] > 2200]
    assert set(notes.names) >= {f"step {i}" for i in sounding}
    for name, audio_, heard, on in zip(notes.names, notes.audio, notes.f0_hz, notes.note_on, strict=True):
        step = int(name.removeprefix("step "))
        torch.testing.assert_close(audio_, 0.3 * loop[step * LENGTH : (step + 1) * LENGTH].float())
        assert abs(int(on) - int(pattern.length[step])) < 50
        assert midi(float(heard.median())) == pytest.approx(midi(float(f0[step * LENGTH + 3000])), abs=0.4)


def test_rests_noise_and_short_notes_are_left_out():
    noise = 0.1 * torch.randn(LENGTH, generator=torch.Generator().manual_seed(0))
    loop = torch.cat(
        [sound(110.0), torch.zeros(LENGTH), noise, sound(110.0, note_on=1000), sound(55.0), torch.zeros(500)]
    )
    notes = cut_loops(loop.expand(2, -1), RATE, 120)
    assert notes.names == ["step 0", "step 4"]
    channels, no_pitch, short, rest = notes.remarks
    assert channels.startswith("the loop has 2 channels")
    assert no_pitch.startswith("step 2 is left out: no pitch")
    assert short.startswith("step 3 is left out: the note sounds for 2")
    assert rest == "1 of 5 steps is a rest"


def test_steps_of_a_broken_number_of_samples_do_not_drift():
    loop = sound(110.0, 44100)  # 133 BPM: 4973.68 samples a step
    notes = cut_loops(loop, 44100, 133)
    assert len(notes) == 8
    edges = [round(i * 44100 * 15 / 133) for i in range(9)]
    for audio_, start, stop in zip(notes.audio, edges[:-1], edges[1:], strict=True):
        torch.testing.assert_close(audio_[: stop - start], loop[start:stop].float())


def test_wrong_loops_are_told():
    with pytest.raises(ValueError, match="bpm=0"):
        cut_loops(sound(110.0), RATE, 0)
    with pytest.raises(ValueError, match="5000 samples, a step at this tempo 6000"):
        cut_loops(sound(110.0, 5000), RATE, 120)
    with pytest.raises(ValueError, match="no note was found in the loop: every step is a rest"):
        cut_loops(torch.zeros(12000), RATE, 120)
    with pytest.raises(ValueError, match="NaN"):
        cut_loops(torch.full((6000,), float("nan")), RATE, 120)


# ------------------------------------------------------------------------------------------------------ subsets, folds


def test_subsets_keep_what_belongs_together(tmp_path):
    notes = read_labelled(*labelled(tmp_path, "0,45,6000\n1,33,4000\n", sound(110.0), sound(55.0, note_on=4000)))
    for indices in ([1], torch.tensor([1]), np.array([1])):
        one = notes.subset(indices)
        assert (one.names, one.note_on.tolist(), one.sample_rate) == (["note 1"], [4000], RATE)
        torch.testing.assert_close(one.audio[0], notes.audio[1])
        torch.testing.assert_close(one.f0_hz[0], notes.f0_hz[1])
    for wrong in ([], [2], [-1], [True, False], [0.5], [[0]]):
        with pytest.raises(ValueError, match="indices must be some of 0 to 1"):
            notes.subset(wrong)


def test_notes_that_do_not_fit_together_are_refused():
    one, ends = torch.ones(2, 10), torch.tensor([10, 5])
    with pytest.raises(ValueError, match=r"got \(2, 10\), \(10,\) and \(2,\)"):
        Notes(one, one[0], ends, RATE, ["a", "b"])
    with pytest.raises(ValueError, match="got 1 for 2 notes"):
        Notes(one, one, ends, RATE, ["a"])
    with pytest.raises(ValueError, match=r"from 1 to 10 samples, got \[11, 5\]"):
        Notes(one, one, ends + torch.tensor([1, 0]), RATE, ["a", "b"])


def test_every_note_is_tested_once():
    splits = [folds(54, k) for k in range(5)]
    assert [len(test) for _, test in splits] == [11, 11, 11, 11, 10]
    assert sorted(i for _, test in splits for i in test) == list(range(54))
    for train, test in splits:
        assert sorted(train + test) == list(range(54))
    assert splits[0][1] == np.random.default_rng(0).permutation(54)[0::5].tolist()
    assert folds(6, 1, of=3) == folds(6, 1, of=3)


def test_folds_that_there_are_not_are_told():
    with pytest.raises(ValueError, match="k must be one of the folds 0 to 4, got 5"):
        folds(54, 5)
    with pytest.raises(ValueError, match="at least two notes are needed"):
        folds(1, 0)
    with pytest.raises(ValueError, match="3 notes can be split into 2 to 3 folds, got of=5"):
        folds(3, 0)


# -------------------------------------------------------------------------------------------------------- recordings


@recorded
def test_of_the_recorded_notes_six_labels_are_wrong_and_two_slide():
    notes = read_labelled(FOLDER / "notes.wav", FOLDER / "notes.csv")
    assert (notes.audio.shape, notes.sample_rate) == ((54, 6000), 48000)
    wrong = {int(remark.split()[1]) for remark in notes.remarks if "is labelled" in remark}
    slides = {int(remark.split()[1]) for remark in notes.remarks if "slides" in remark}
    assert (wrong, slides, len(notes.remarks)) == ({8, 30, 33, 42, 46, 47}, {3, 15}, 8)
    heard = {i: midi(float(notes.f0_hz[i].median())) for i in wrong}
    true = {8: 46 - 12, 30: 44 - 12, 33: 43 - 12, 42: 39 + 3.08, 46: 51 - 19.1, 47: 41 - 0.93}
    assert heard == pytest.approx(true, abs=0.2)
    assert (notes.note_on < 6000).sum() == 21


@recorded
def test_a_notes_end_is_heard_to_a_few_samples(tmp_path):
    notes = read_labelled(FOLDER / "notes.wav", FOLDER / "notes.csv")
    loops = cut_loops(notes.audio.reshape(-1), notes.sample_rate, 120)
    assert len(loops) == 54
    assert (loops.note_on - notes.note_on).abs().max() <= 2
