"""Recorded notes for synthesisers to be matched to: read from files or cut out of loops, with their pitch and duration."""

from __future__ import annotations

import csv
import itertools
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from diffapf import audio as files
from diffapf.audio import AudioError
from diffapf.identification.pitch import track_f0

COLUMNS = ("index", "midi_pitch", "note_on_samples")
WRONG_LABEL_SEMITONES = 0.5
SLIDE_SEMITONES = 0.3  # a resonance that moves through the harmonics bends a steady note's track by 0.2
NOTE_OFF_DB = -60.0  # of a note's peak: what is softer to its end is silence
SPLIT_SEED = 0


@dataclass(frozen=True, eq=False)
class Notes:
    """Recorded notes of one length; shorter ones end in zeros.

    Raises:
        ValueError: shapes that do not agree, no notes, a note_on of 0 or beyond the audio.

    >>> one = Notes(torch.zeros(1, 4), torch.full((1, 4), 110.0), torch.tensor([3]), 48000, ["A2"])
    >>> len(one), one.subset([0]).names
    (1, ['A2'])
    """

    audio: Tensor
    """`(notes, time)`, float32, full scale 1."""
    f0_hz: Tensor
    """`(notes, time)`, float32: fundamental frequency, Hz; after a note's end, that of its end."""
    note_on: Tensor
    """`(notes,)`, int64: samples until the note is cut off, from 1 to time."""
    sample_rate: int
    """Hz."""
    names: list[str]
    """What reports call the notes."""
    remarks: tuple[str, ...] = ()
    """Sentences for the user on what was found; none of them stops anything."""

    def __post_init__(self) -> None:
        shape = tuple(self.audio.shape)
        if len(shape) != 2 or tuple(self.f0_hz.shape) != shape or tuple(self.note_on.shape) != shape[:1]:
            raise ValueError(
                "audio and f0_hz must be (notes, time) and note_on (notes,), "
                f"got {shape}, {tuple(self.f0_hz.shape)} and {tuple(self.note_on.shape)}"
            )
        if len(self.names) != shape[0] or not shape[0]:
            raise ValueError(
                f"every note needs a name, and there must be one: got {len(self.names)} for {shape[0]} notes"
            )
        if not ((self.note_on >= 1) & (self.note_on <= shape[1])).all():
            raise ValueError(f"note_on must be from 1 to {shape[1]} samples, got {self.note_on.tolist()}")

    def __len__(self) -> int:
        return len(self.audio)

    def subset(self, indices: Sequence[int] | Tensor) -> Notes:
        """The notes of these indices, in their order, with the remarks of all.

        Raises:
            ValueError: no index, or one that there is not.
        """
        chosen = torch.as_tensor(indices, device=self.audio.device)
        whole = chosen.ndim == 1 and len(chosen) > 0 and chosen.dtype != torch.bool and not chosen.is_floating_point()
        if not whole or not ((chosen >= 0) & (chosen < len(self))).all():
            raise ValueError(f"indices must be some of 0 to {len(self) - 1}, got {chosen.tolist()}")
        return replace(
            self,
            audio=self.audio[chosen],
            f0_hz=self.f0_hz[chosen],
            note_on=self.note_on[chosen],
            names=[self.names[i] for i in chosen.tolist()],
        )


def folds(count: int, k: int, of: int = 5) -> tuple[list[int], list[int]]:
    """Fold k of a fixed split of `count` notes: the indices to train on, and those to test on.

    Tests are every `of`-th from the k-th of `numpy.random.default_rng(0).permutation(count)`; all else is for training.
    Every note is in the test of exactly one fold.

    Raises:
        ValueError: fewer than two folds or than notes in each, or a k that is none of them.

    >>> train, test = folds(54, 0)
    >>> len(train), len(test), set(train) & set(test)
    (43, 11, set())
    """
    if count < 2:
        raise ValueError(f"at least two notes are needed, to train on one and test on the other, got {count}")
    if not 2 <= of <= count:
        raise ValueError(f"{count} notes can be split into 2 to {count} folds, got of={of}")
    if not 0 <= k < of:
        raise ValueError(f"k must be one of the folds 0 to {of - 1}, got {k}")
    order = np.random.default_rng(SPLIT_SEED).permutation(count)
    return np.delete(order, slice(k, None, of)).tolist(), order[k::of].tolist()


# -------------------------------------------------------------------------------------------------------------- reading


def read_labelled(wav: str | os.PathLike, labels: str | os.PathLike) -> Notes:
    """Notes of equal length, one after the other in a file, with their labels in a CSV file.

    The CSV has the columns `index` (0, 1, 2, …), `midi_pitch` and `note_on_samples`, a row a note; a note's length is that
    of the file over the number of rows. The pitch is tracked, and the labels are compared with it: those more than half a
    semitone off, and notes that slide, are remarks.

    Raises:
        AudioError: a file that cannot be read; wrong columns or values; rows that do not divide the file; a note that is
            silent, too short (44 ms) or without pitch.
    """
    recording = files.read(wav)
    track, remarks = _mono(recording.samples, str(recording.path))
    rows = _read_labels(Path(labels))
    if len(track) % len(rows):
        raise AudioError(f"{wav} has {len(track)} samples, which the {len(rows)} notes of {labels} do not divide")
    sounds = track.reshape(len(rows), -1)
    for i, row in enumerate(rows):
        if row.note_on > sounds.shape[-1]:
            raise AudioError(
                f"{labels}, index {i}: note_on_samples is {row.note_on}, but the notes of {wav} are "
                f"{sounds.shape[-1]} samples long"
            )
    names = [f"note {i}" for i in range(len(rows))]
    notes = _tracked(list(sounds), [row.note_on for row in rows], recording.sample_rate, names, f" of {wav}")
    wrong = [_wrong_label(notes, i, row.pitch) for i, row in enumerate(rows)]
    after = [_sound_after_its_end(notes, i) for i in range(len(rows))]
    return replace(notes, remarks=(*remarks, *filter(None, wrong), *notes.remarks, *filter(None, after)))


def read_folder_or_file(*paths: str | os.PathLike) -> Notes:
    """Files of a note each, or folders of WAV and FLAC files of a note each, in the order of their names.

    A note lasts until it is 60 dB below its peak for good; shorter files are filled with zeros. The pitch is tracked; slides
    are remarks.

    Raises:
        AudioError: a file that cannot be read; a folder without any; different sample rates; a note that is silent, too
            short (44 ms) or without pitch.
    """
    given = [Path(path) for path in paths]
    recordings = [files.read(file) for path in given for file in (_files_of(path) if path.is_dir() else [path])]
    if not recordings:
        raise AudioError("no file was given; give one with a note in it, or a folder of such")
    rate = recordings[0].sample_rate
    for recording in recordings:
        if recording.sample_rate != rate:
            raise AudioError(
                f"the sample rates differ: {recordings[0].path} has {rate} Hz, {recording.path} has "
                f"{recording.sample_rate} Hz; resample one, or give them apart"
            )
    remarks, sounds, names = [], [], []
    for recording in recordings:
        sound, remark = _mono(recording.samples, str(recording.path))
        remarks += remark
        sounds.append(sound)
        names.append(recording.path.stem)
    notes = _tracked(sounds, [_note_on(sound) for sound in sounds], rate, names, f" in {', '.join(map(str, given))}")
    return replace(notes, remarks=(*remarks, *notes.remarks))


def cut_loops(audio: Tensor, sample_rate: int, bpm: float, steps_per_beat: int = 4) -> Notes:
    """Loops at a known tempo, end to end, cut into a note a step.

    Step i starts at sample round(60 i sample_rate/(bpm steps_per_beat)). A note lasts until it is 60 dB below its peak for
    good. Rests, and steps too short to track (44 ms) or without pitch, are left out; these and slides are remarks.

    Args:
        audio: `(time,)`, or `(channels, time)`, of which the mean is taken.
        sample_rate: in Hz.
        bpm: beats a minute.
        steps_per_beat: 4 for sixteenths.

    Raises:
        AudioError: a tempo that is not positive, audio of less than a step, or no note in it.

    >>> psi = 2 * torch.pi * 110 / 48000 * torch.arange(6000.0)
    >>> notes = cut_loops(torch.cat([torch.sin(psi), torch.zeros(6000)]), 48000, 120)
    >>> notes.names, notes.remarks
    (['step 0'], ('1 of 2 steps is a rest',))
    """
    if not isinstance(bpm, (int, float)) or not (0 < bpm < math.inf and steps_per_beat >= 1 and sample_rate > 0):
        raise AudioError(
            "bpm, steps_per_beat and the sample rate must be positive, "
            f"got bpm={bpm}, steps_per_beat={steps_per_beat}, sample_rate={sample_rate}"
        )
    track, remarks = _mono(audio.detach().cpu().double().numpy(), "the loop")
    sounds = _steps(track, 60 * sample_rate / (bpm * steps_per_beat))
    silent = float(track.abs().max()) * 10 ** (NOTE_OFF_DB / 20)
    kept, lengths, rests = [], [], 0
    for i, sound in enumerate(sounds):
        length = _note_on(sound)
        if float(sound.abs().max()) <= silent:
            rests += 1
        elif reason := _unusable(sound[:length], sample_rate):
            remarks.append(f"step {i} is left out: {reason}")
        else:
            kept.append(i)
            lengths.append(length)
    if not kept:
        raise AudioError("no note was found in the loop: " + ("; ".join(remarks) or "every step is a rest"))
    if rests:
        remarks.append(f"{rests} of {len(sounds)} steps {'is a rest' if rests == 1 else 'are rests'}")
    notes = _tracked([sounds[i] for i in kept], lengths, sample_rate, [f"step {i}" for i in kept], " of the loop")
    return replace(notes, remarks=(*remarks, *notes.remarks))


# ---------------------------------------------------------------------------------------------------------------- parts


@dataclass(frozen=True)
class _Label:
    pitch: float
    note_on: int


def _read_labels(path: Path) -> list[_Label]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            table = csv.DictReader(file)
            rows, columns = list(table), table.fieldnames or []
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise AudioError(f"the labels {path} cannot be read: {error}") from None
    missing = [name for name in COLUMNS if name not in columns]
    if missing:
        raise AudioError(f"{path} needs the columns {', '.join(COLUMNS)}; it has {', '.join(columns) or 'none'}")
    if not rows:
        raise AudioError(f"{path} has a header but no notes")
    return [_label(path, i, row) for i, row in enumerate(rows)]


def _label(path: Path, i: int, row: dict[str, str]) -> _Label:
    try:
        index, pitch, note_on = int(row["index"]), float(row["midi_pitch"]), int(row["note_on_samples"])
    except (TypeError, ValueError):
        values = ", ".join(str(row[name]) for name in COLUMNS)
        raise AudioError(f"{path}, line {i + 2}: {', '.join(COLUMNS)} must be numbers, got {values}") from None
    if index != i:
        raise AudioError(f"{path}, line {i + 2}: the notes must be numbered 0, 1, 2, …, got {index} for {i}")
    if not (math.isfinite(pitch) and note_on >= 1):
        raise AudioError(
            f"{path}, line {i + 2}: midi_pitch must be finite and note_on_samples at least 1, got {pitch:g}, {note_on}"
        )
    return _Label(pitch, note_on)


def _files_of(folder: Path) -> list[Path]:
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in files.SUBTYPES and path.is_file())
    if not found:
        raise AudioError(
            f"the folder {folder} has no {' or '.join(files.SUBTYPES)} files; give one that has, a note in each"
        )
    return found


def _mono(samples: np.ndarray, name: str) -> tuple[Tensor, list[str]]:
    """`(time,)` in float64, of `(time,)` or `(channels, time)`."""
    if samples.ndim not in (1, 2) or not samples.size:
        raise AudioError(f"{name} must be (time,) or (channels, time), got {samples.shape}")
    if not np.isfinite(samples).all():
        raise AudioError(f"{name} has samples that are NaN or infinite")
    channels = np.atleast_2d(samples)
    remarks = [f"{name} has {len(channels)} channels; their mean is used"] if len(channels) > 1 else []
    return torch.from_numpy(channels.mean(axis=0)), remarks


def _steps(track: Tensor, step: float) -> list[Tensor]:
    """Equally long but for a sample; the last may lack one."""
    count = int((len(track) + 1) / step)
    if not count:
        raise AudioError(f"the loop has {len(track)} samples, a step at this tempo {step:.0f}; need at least one step")
    edges = [round(i * step) for i in range(count + 1)]
    return [track[start:stop] for start, stop in itertools.pairwise(edges)]


def _note_on(sound: Tensor) -> int:
    """Samples until the last that is louder than −60 dB of the peak; of silence, 1."""
    loud = torch.nonzero(sound.abs() > sound.abs().max() * 10 ** (NOTE_OFF_DB / 20))
    return int(loud[-1]) + 1 if len(loud) else 1


def _unusable(sound: Tensor, sample_rate: int) -> str | None:
    try:
        _track(sound, sample_rate)
    except ValueError as error:
        return str(error)
    return None


def _track(sound: Tensor, sample_rate: int) -> Tensor:
    peak = float(sound.abs().max())
    if peak < 10 ** (files.SILENT_DBFS / 20):
        raise AudioError(f"it is silent: its peak is below {files.SILENT_DBFS:g} dBFS")
    return track_f0(sound, sample_rate)


def _tracked(sounds: list[Tensor], lengths: list[int], sample_rate: int, names: list[str], where: str) -> Notes:
    """Sounds as notes, zero from their ends on; slides are remarks."""
    longest = max(len(sound) for sound in sounds)
    audio, f0 = torch.zeros(2, len(sounds), longest, dtype=torch.float32)
    remarks = []
    for i, (sound, length, name) in enumerate(zip(sounds, lengths, names, strict=True)):
        try:
            pitch = _track(sound[:length], sample_rate)
        except ValueError as error:
            raise AudioError(f"{name}{where}: {error}") from None
        audio[i, : len(sound)] = sound
        f0[i, :length], f0[i, length:] = pitch, pitch[-1]
        if _midi(pitch.max()) - _midi(pitch.min()) > SLIDE_SEMITONES:
            remarks.append(f"{name} slides from MIDI {_midi(pitch[0]):.2f} to {_midi(pitch[-1]):.2f}")
    return Notes(audio, f0, torch.tensor(lengths), sample_rate, names, tuple(remarks))


def _wrong_label(notes: Notes, i: int, label: float) -> str | None:
    heard = _midi(notes.f0_hz[i, : int(notes.note_on[i])].median())
    if abs(heard - label) <= WRONG_LABEL_SEMITONES:
        return None
    return f"{notes.names[i]} is labelled MIDI {label:g}, but its pitch is {heard:.2f}, which is used"


def _sound_after_its_end(notes: Notes, i: int) -> str | None:
    rest = notes.audio[i, int(notes.note_on[i]) :].abs()
    if not len(rest) or float(rest.max()) <= float(notes.audio[i].abs().max()) * 10 ** (NOTE_OFF_DB / 20):
        return None
    return f"{notes.names[i]} sounds on after the {int(notes.note_on[i])} samples of its label"


def _midi(hz: Tensor) -> float:
    """
    >>> _midi(torch.tensor(220.0))
    57.0
    """
    return 69 + 12 * math.log2(float(hz) / 440)
