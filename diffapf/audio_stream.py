"""Recordings of any length in constant memory: read block by block, written block by block."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import numpy as np
import soundfile

from diffapf.audio import (
    PCM_BITS,
    AudioError,
    check_file,
    check_format,
    check_full_scale,
    check_samples,
    quantized,
    reason_of,
)


class RecordingReader:
    """A mono or stereo file, of which blocks are read; raises what `diffapf.audio.read` raises.

    Attributes: path, sample_rate in Hz, channels, length in samples.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)
        check_file(self.path)
        try:
            with soundfile.SoundFile(self.path) as file:
                self.sample_rate, self.channels, self.length = file.samplerate, file.channels, file.frames
        except (TypeError, soundfile.LibsndfileError) as error:
            raise AudioError(f"{self.path} is not audio that libsndfile can read ({reason_of(error)})") from None
        check_samples(np.zeros((self.channels, min(self.length, 1))), self.sample_rate, self.path)

    def blocks(self, size: int) -> Iterator[np.ndarray]:
        """The file in blocks of `(channels, time)`, float64, of this size; the last is what is left."""
        try:
            with soundfile.SoundFile(self.path) as file:
                for frames in file.blocks(size, dtype="float64", always_2d=True):
                    block = np.ascontiguousarray(frames.T)
                    check_samples(block, self.sample_rate, self.path)
                    yield block
        except soundfile.LibsndfileError as error:
            raise AudioError(f"{self.path} is damaged or cut off ({reason_of(error)}); copy it again") from None


class RecordingWriter:
    """Writes `(channels, time)` blocks to a .wav file of float32 or a .flac file of 24 bits, within a `with` statement.

    The file is whole or not there: it is written under another name in the same folder, and renamed when all went well.
    """

    def __init__(self, path: str | os.PathLike, sample_rate: int):
        self.path, self.sample_rate = Path(path), sample_rate
        self.subtype = "FLOAT" if self.path.suffix.lower() == ".wav" else "PCM_24"
        check_format(self.path, self.subtype)
        self._file: soundfile.SoundFile | None = None

    def __enter__(self) -> RecordingWriter:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._folder = tempfile.TemporaryDirectory(dir=self.path.parent, prefix=".writing-")
        except OSError as error:
            raise AudioError(f"{self.path} cannot be written: {reason_of(error)}") from None
        return self

    def write(self, block: np.ndarray) -> None:
        """Writes a block; the first one decides on the number of channels."""
        if not np.isfinite(block).all():
            raise AudioError(f"{self.path} was not written: the result has NaN or infinite samples")
        frames = block.T
        if self.subtype in PCM_BITS:
            check_full_scale(self.path, block)
            frames = quantized(frames, PCM_BITS[self.subtype])
        try:
            if self._file is None:
                part = Path(self._folder.name) / self.path.name
                self._file = soundfile.SoundFile(part, "w", self.sample_rate, len(block), self.subtype)
            self._file.write(frames)
        except (OSError, soundfile.SoundFileError) as error:
            raise AudioError(f"{self.path} cannot be written: {reason_of(error)}") from None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._file is not None:
                self._file.close()
                if kind is None:
                    (Path(self._folder.name) / self.path.name).replace(self.path)
        except (OSError, soundfile.SoundFileError) as failed:
            raise AudioError(f"{self.path} cannot be written: {reason_of(failed)}") from None
        finally:
            self._folder.cleanup()
