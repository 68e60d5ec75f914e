"""Recordings on disk: reading, writing, cutting into parts, and the first honest checks on a dry/wet pair.

Samples are float64 arrays (channels, time) with full scale at ±1; times are in seconds, levels in dBFS.
"""

from __future__ import annotations

import difflib
import math
import os
import shlex
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from torch import Tensor

from diffapf.findings import ERROR, NOTE, OK, WARNING, Finding, sentences

SILENT_DBFS = -80.0
LOW_DBFS = -50.0
SHORTEST_S = 1.0
END_TOLERANCE_S = 0.01

# Clipping is flat as well as loud: a loud low note also stays above 0.999 for some samples, but it goes on curving.
CLIP_LEVEL = 0.999
CLIP_FLATNESS = 2.0**-16  # half a step of 16 bit

# Bits of the integer subtypes; the others are floating point, which has room over full scale.
PCM_BITS = {"PCM_16": 16, "PCM_24": 24, "PCM_32": 32}
SUBTYPES = {".flac": ("PCM_16", "PCM_24"), ".wav": ("PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE")}


class AudioError(ValueError):
    """A problem with a recording, in words for its user: which file, what is wrong, what to do."""


@dataclass(frozen=True, eq=False)
class Recording:
    """One file: float64 samples (channels, time), the rate in Hz, and where it came from."""

    samples: np.ndarray
    sample_rate: int
    path: Path

    @property
    def duration(self) -> float:
        """In seconds."""
        return self.samples.shape[-1] / self.sample_rate


@dataclass(frozen=True, eq=False)
class Pair:
    """What went into an effect and what came out: two float64 arrays of one shape (channels, time).

    `findings` say what was found and what was done about it; none of them stops a fit. `covered` is from when to when, in
    seconds, wet has samples, where its latency was taken out; None: all the time.
    """

    dry: np.ndarray
    wet: np.ndarray
    sample_rate: int
    findings: tuple[Finding, ...] = ()
    covered: tuple[float, float] | None = None

    def of_covered(self, begin: float, end: float) -> tuple[float, float]:
        """A part in seconds, within the file, as far as wet has samples."""
        if self.covered is None:
            return begin, end
        first, last = self.covered
        return max(begin, first), min(end, last)

    @property
    def remarks(self) -> tuple[str, ...]:
        """The findings that a user should know of, in sentences."""
        return tuple(sentences(self.findings, NOTE, WARNING))

    @property
    def duration(self) -> float:
        """In seconds."""
        return self.wet.shape[-1] / self.sample_rate


# -------------------------------------------------------------------------------------------------------------- reading


def read(path: str | os.PathLike) -> Recording:
    """Reads a mono or stereo file in any format of libsndfile, at any rate, as float64.

    Raises:
        AudioError: there is no such file; it is a folder, empty, not audio, damaged; it has no samples, more than two
            channels, or samples that are NaN or infinite.
    """
    path = Path(path)
    check_file(path)
    frames, sample_rate = _decode(path)
    samples = np.ascontiguousarray(frames.T)
    check_samples(samples, sample_rate, path)
    return Recording(samples, sample_rate, path)


def check_file(path: Path) -> None:
    try:
        if not path.exists():
            raise AudioError(_missing(path))
        if path.is_dir():
            raise AudioError(f"{path} is a folder; give the path of one WAV or FLAC file in it")
        if not path.is_file():
            raise AudioError(f"{path} is a device or a pipe; give the path of a file on disk")
        if path.stat().st_size == 0:
            raise AudioError(f"{path} is empty (0 bytes): its export or copy failed; export or copy it again")
        path.open("rb").close()
    except OSError as error:
        raise AudioError(f"{path} cannot be opened: {reason_of(error)}; check the path and its permissions") from None


def _missing(path: Path) -> str:
    message = f"there is no file {path}"
    if not path.is_absolute():
        message += f" (current directory: {Path.cwd()})"
    if not path.parent.is_dir():
        return f"{message}; there is no folder {path.parent} either: check the path"
    names = {file.name.lower(): file.name for file in path.parent.iterdir() if file.is_file()}
    close = difflib.get_close_matches(path.name.lower(), names, n=1)
    return f"{message}; did you mean {path.with_name(names[close[0]])}?" if close else f"{message}: check the path"


def _decode(path: Path) -> tuple[np.ndarray, int]:
    """Frames (time, channels) and the rate in Hz."""
    try:
        return soundfile.read(path, dtype="float64", always_2d=True)
    except TypeError:  # soundfile wants a rate and a coding for a file named .raw
        raise AudioError(f"{path} is raw samples without a header; export it as WAV or FLAC") from None
    except soundfile.LibsndfileError as error:
        reason = reason_of(error)
        if error.code == 1:  # SF_ERR_UNRECOGNISED_FORMAT
            raise AudioError(f"{path} is not audio that libsndfile can read; give a WAV or FLAC file") from None
        raise AudioError(
            f"{path} is damaged, cut off or in a coding that libsndfile does not read ({reason}); "
            "copy it again or export it as WAV or FLAC"
        ) from None


def check_samples(samples: np.ndarray, sample_rate: int, path: Path) -> None:
    channels, length = samples.shape
    if length == 0:
        raise AudioError(f"{path} has a header but no samples: its recording or export failed; export it again")
    if channels > 2:
        raise AudioError(f"{path} has {channels} channels; recordings are mono or stereo: export one or two of them")
    if not np.isfinite(samples).all():
        raise AudioError(f"{path} has {_not_finite(samples, sample_rate)}; repair it there or export it again")


def _not_finite(samples: np.ndarray, sample_rate: float) -> str:
    wrong = ~np.isfinite(samples)
    first = np.flatnonzero(wrong.any(axis=0))[0]
    return f"{_count(int(wrong.sum()), 'NaN or infinite sample')}, the first at {_seconds(first / sample_rate)}"


# ---------------------------------------------------------------------------------------------------------------- pairs


def read_pair(dry_path: str | os.PathLike, wet_path: str | os.PathLike) -> Pair:
    """Reads what went into an effect (dry) and what came out of it (wet), and checks that they can be a pair.

    The longer file is cut at its end; a mono dry goes to both channels of a stereo wet. These, clipping, a low level, a
    silent channel and identical files are remarks. What the signals say of each other is `diffapf.checks`' affair.

    Raises:
        AudioError: a file cannot be read (see `read`); the rates differ; dry is stereo and wet is mono; a file is
            shorter than 1 s or silent (peak below −80 dBFS); one is more than twice as long as the other. All that is
            wrong is said, a line each.
    """
    pair, findings = examine_pair(dry_path, wet_path)
    if pair is None:
        raise AudioError("\n".join(sentences(findings, ERROR)))
    return pair


def examine_pair(dry_path: str | os.PathLike, wet_path: str | os.PathLike) -> tuple[Pair | None, list[Finding]]:
    """A pair and what is found of its files, every check whatever another one finds; None where there is an error."""
    recordings: list[Recording] = []
    findings: list[Finding] = []
    for path in (dry_path, wet_path):
        try:
            recordings.append(read(path))
        except AudioError as error:
            findings.append(Finding("file", ERROR, str(error)))
    if len(recordings) == 2:
        findings += _of_shapes(*recordings)
        recordings = [*_alike(*recordings)]
    for recording in recordings:
        findings += _of_levels(recording)
    if any(finding.level == ERROR for finding in findings):
        return None, findings
    dry, wet = recordings
    findings += _of_sameness(dry, wet)
    return Pair(dry.samples, wet.samples, dry.sample_rate, tuple(findings)), findings


def _of_shapes(dry: Recording, wet: Recording) -> Iterator[Finding]:
    yield from or_ok(_of_rates(dry, wet), "rate", f"both files have {dry.sample_rate} Hz")
    yield from or_ok(_of_channels(dry, wet), "channels", "both files have as many channels")
    yield from or_ok(_of_lengths(dry, wet), "length", f"both files are {_seconds(dry.duration)} long")


def or_ok(found: Iterator[Finding], check: str, words: str) -> list[Finding]:
    """What a check found, or that all is well."""
    return list(found) or [Finding(check, OK, words)]


def _of_rates(dry: Recording, wet: Recording) -> Iterator[Finding]:
    if dry.sample_rate == wet.sample_rate:
        return
    low, high = sorted((dry, wet), key=lambda recording: recording.sample_rate)
    resampled = high.path.with_name(f"{high.path.stem}-{low.sample_rate}.wav")
    command = ["ffmpeg", "-i", str(high.path), "-ar", str(low.sample_rate), "-c:a", "pcm_f32le", str(resampled)]
    yield Finding(
        "rate",
        ERROR,
        f"the sample rates differ: {dry.path} has {dry.sample_rate} Hz, {wet.path} has {wet.sample_rate} Hz",
        f"resample one, for example: {shlex.join(command)}",
    )


def _of_channels(dry: Recording, wet: Recording) -> Iterator[Finding]:
    if len(dry.samples) > len(wet.samples):
        yield Finding(
            "channels",
            ERROR,
            f"{dry.path} is stereo but {wet.path} is mono, so it is not known what went into the effect",
            "give the mono signal that was sent to it as dry, or record wet in stereo",
        )
    elif len(dry.samples) < len(wet.samples):
        yield Finding("channels", NOTE, f"{dry.path} is mono and {wet.path} is stereo", "dry is used for both channels")


def _of_lengths(dry: Recording, wet: Recording) -> Iterator[Finding]:
    for recording in (dry, wet):
        if recording.duration < SHORTEST_S:
            yield Finding(
                "length",
                ERROR,
                f"{recording.path} is {_seconds(recording.duration)} long, which is too short to learn from",
                f"record at least {_seconds(SHORTEST_S)}",
            )
    short, long = sorted((dry, wet), key=lambda recording: recording.duration)
    if short.duration < long.duration / 2:
        yield Finding(
            "length",
            ERROR,
            f"{dry.path} ({_seconds(dry.duration)}) and {wet.path} ({_seconds(wet.duration)}) do not look like a pair: "
            "one is more than twice as long as the other",
            "check that they are two recordings of the same take",
        )
    elif (excess := long.samples.shape[-1] - short.samples.shape[-1]) and dry.sample_rate == wet.sample_rate:
        yield Finding(
            "length",
            NOTE,
            f"{long.path} is {_seconds(excess / long.sample_rate)} ({_count(excess, 'sample')}) "
            f"longer than {short.path}",
            "this much was cut from its end",
        )


def _alike(dry: Recording, wet: Recording) -> tuple[Recording, Recording]:
    """Both with the shorter length and, where dry has fewer, with wet's channels."""
    length = min(dry.samples.shape[-1], wet.samples.shape[-1])
    x = np.repeat(dry.samples[:, :length], max(1, len(wet.samples) // len(dry.samples)), axis=0)
    y = np.ascontiguousarray(wet.samples[:, :length])
    return Recording(x, dry.sample_rate, dry.path), Recording(y, wet.sample_rate, wet.path)


def _of_levels(recording: Recording) -> Iterator[Finding]:
    path = recording.path
    peak = _dbfs(_peak(recording.samples))
    if peak < SILENT_DBFS:
        yield Finding(
            "silence",
            ERROR,
            f"{path} is silent: its peak is {peak:.1f} dBFS in the {_seconds(recording.duration)} that are used",
            "check the cable, the input and the muted tracks, and record it again",
        )
        return
    yield from or_ok(_of_clipping(recording), "clipping", f"{path} does not clip")
    if peak < LOW_DBFS:
        yield Finding(
            "silence",
            WARNING,
            f"{path} is very quiet: its peak is {peak:.1f} dBFS",
            "noise may hide the effect, record it again with more gain",
        )
    for side, channel in zip(("left", "right"), recording.samples, strict=False):
        if _dbfs(_peak(channel)) < SILENT_DBFS:
            yield Finding(
                "silence",
                WARNING,
                f"{path} is silent in its {side} channel",
                "if it was recorded from one output, give a mono file",
            )


def _of_clipping(recording: Recording) -> Iterator[Finding]:
    places = _clipping(recording.samples)
    if len(places):
        first = _seconds(places[0] / recording.sample_rate)
        yield Finding(
            "clipping",
            WARNING,
            f"{recording.path} clips at {_count(len(places), 'place')}, the first at {first}",
            "if that is not the effect's own sound, record it again with less gain",
        )


def _of_sameness(dry: Recording, wet: Recording) -> Iterator[Finding]:
    if np.array_equal(dry.samples, wet.samples):
        yield Finding(
            "same",
            WARNING,
            f"{dry.path} and {wet.path} hold the same samples",
            "either the effect was bypassed, or one file was given twice",
        )


def _clipping(samples: np.ndarray) -> np.ndarray:
    """Where runs of three or more flat samples at full scale begin, in any channel."""
    loud = np.abs(samples) >= CLIP_LEVEL
    flat = loud[:, 1:] & loud[:, :-1] & (np.abs(np.diff(samples)) <= CLIP_FLATNESS)
    run = (flat[:, 1:] & flat[:, :-1]).any(axis=0)
    run[1:] &= ~run[:-1]
    return np.flatnonzero(run)


# -------------------------------------------------------------------------------------------------------------- writing


def write(
    path: str | os.PathLike,
    samples: np.ndarray | Tensor,
    sample_rate: float,
    subtype: str = "PCM_24",
    clip: bool = False,
) -> None:
    """Writes samples, (time,) or (channels, time), to a .wav or .flac file; full scale is ±1.

    Integer subtypes are rounded to the nearest step. The file is whole or not there: it is written under another name
    in the same folder (which is made when missing), then renamed.

    Args:
        path: where to; its extension chooses the format.
        samples: mono or stereo.
        sample_rate: in Hz, a whole number.
        subtype: PCM_16 or PCM_24; for WAV also PCM_32, FLOAT or DOUBLE.
        clip: limit the samples to full scale. Without it, an integer subtype refuses samples beyond.

    Raises:
        AudioError: another extension, subtype, shape or rate; samples that are NaN, infinite or beyond full scale; a
            folder that cannot be written.
    """
    path = Path(path)
    check_format(path, subtype)
    x = samples.detach().double().cpu().numpy() if isinstance(samples, Tensor) else np.asarray(samples, np.float64)
    _check_writable(path, x, sample_rate)
    if clip:
        x = np.clip(x, -1.0, 1.0)
    frames = np.atleast_2d(x).T
    if subtype in PCM_BITS:
        check_full_scale(path, x)
        frames = quantized(frames, PCM_BITS[subtype])
    _replace(path, frames, int(sample_rate), subtype)


def check_format(path: Path, subtype: str) -> None:
    allowed = SUBTYPES.get(path.suffix.lower())
    if allowed is None:
        ending = f"the extension {path.suffix}" if path.suffix else "no extension"
        raise AudioError(f"{path} has {ending}; recordings are written as {' or '.join(SUBTYPES)}")
    if subtype not in allowed:
        raise AudioError(f"{path}: a {path.suffix.lower()} file can be {', '.join(allowed)}, got {subtype}")


def _check_writable(path: Path, x: np.ndarray, sample_rate: float) -> None:
    if x.ndim not in (1, 2) or x.size == 0 or (x.ndim == 2 and len(x) > 2):
        raise AudioError(f"{path}: samples must be (time,) or (channels, time), mono or stereo, got {x.shape}")
    if not (math.isfinite(sample_rate) and sample_rate >= 1 and sample_rate == int(sample_rate)):
        raise AudioError(f"{path}: the sample rate must be a whole number of Hz, got {sample_rate}")
    if not np.isfinite(x).all():
        raise AudioError(f"{path} was not written: the result has {_not_finite(np.atleast_2d(x), sample_rate)}")


def check_full_scale(path: Path, x: np.ndarray) -> None:
    peak = _peak(x)
    if peak > 1.0 + 2.0**-24:  # less is rounding
        raise AudioError(
            f"{path} was not written: the samples go beyond full scale (peak {peak:.4g}, {_dbfs(peak):+.2f} dBFS); "
            'turn them down, write a .wav file with subtype="FLOAT", or clip them with clip=True'
        )


def quantized(x: np.ndarray, bits: int) -> np.ndarray:
    """Rounded to `bits`, in the upper bits of an int32; libsndfile itself rounds down, half a step of DC."""
    steps = 2 ** (bits - 1)
    integers = np.clip(np.rint(x * steps), -steps, steps - 1).astype(np.int64)
    return (integers << (32 - bits)).astype(np.int32)


def _replace(path: Path, frames: np.ndarray, sample_rate: int, subtype: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".writing-") as folder:
            part = Path(folder) / path.name
            soundfile.write(part, frames, sample_rate, subtype=subtype, format=path.suffix[1:].upper())
            part.replace(path)
    except (OSError, soundfile.SoundFileError) as error:
        raise AudioError(f"{path} cannot be written: {reason_of(error)}") from None


# ---------------------------------------------------------------------------------------------------------------- parts


def part_slice(seconds: Sequence[float], sample_rate: float, length: int, name: str) -> slice:
    """The samples of a part [start, stop] (seconds) of a file of `length` samples; errors call the part `name`.

    A stop that is at most 10 ms beyond the end is the end.

    Raises:
        AudioError: the part is not two numbers with 0 ≤ start < stop, or it goes beyond the end of the file.

    >>> part_slice((1, 2.5), 44100, 441000, "data.train")
    slice(44100, 110250, None)
    """
    try:
        start, stop = (float(second) for second in seconds)
    except (TypeError, ValueError):
        raise AudioError(f"{name}={seconds} is not a part of a file; write [start, stop] in seconds") from None
    part = f"{name}=[{start:g}, {stop:g}]"
    if start < 0:
        raise AudioError(f"{part} starts before the file; its start must be 0 s or later")
    if not start < stop:
        raise AudioError(f"{part} is empty: its stop must be later than its start (both in seconds)")
    end = length / sample_rate
    if stop > end + END_TOLERANCE_S or start >= end:
        raise AudioError(f"{part} goes beyond the end of the file, which is {_seconds(end)} long")
    first, last = round(start * sample_rate), min(round(stop * sample_rate), length)
    if first >= last:
        raise AudioError(f"{part} is shorter than one sample")
    return slice(first, last)


def default_parts(duration_seconds: float) -> dict[str, tuple[float, float]]:
    """Where to train, validate and test on a file: its last quarter is the test; the last tenth of the rest validates.

    All in seconds. Raises AudioError when the duration is not positive.

    >>> default_parts(40.0)
    {'train': (0.0, 27.0), 'validation': (27.0, 30.0), 'test': (30.0, 40.0)}
    """
    if not 0 < duration_seconds < math.inf:
        raise AudioError(f"a recording of {duration_seconds} s has no parts; its duration must be positive")
    rest = 0.75 * duration_seconds
    train = 0.9 * rest
    return {"train": (0.0, train), "validation": (train, rest), "test": (rest, float(duration_seconds))}


# ---------------------------------------------------------------------------------------------------------------- words


def _peak(x: np.ndarray) -> float:
    return float(np.abs(x).max())


def _dbfs(level: float) -> float:
    return 20 * math.log10(level) if level > 0 else -math.inf


def _seconds(time: float) -> str:
    """Milliseconds are enough for most; one sample must not read as 0.

    >>> _seconds(40), _seconds(1.20451), _seconds(1 / 44100)
    ('40 s', '1.205 s', '0.00002 s')
    """
    digits = f"{time:.{3 if time >= 0.1 else 5}f}"
    return f"{digits.rstrip('0').rstrip('.')} s"


def reason_of(error: Exception) -> str:
    """The cause alone, without the path and the decoration that libraries put around it."""
    text = getattr(error, "strerror", None) or getattr(error, "error_string", None) or error
    return str(text).removeprefix("Error : ").rstrip(".")


def _count(number: int, noun: str) -> str:
    """
    >>> _count(1, "sample"), _count(2, "sample")
    ('1 sample', '2 samples')
    """
    return f"{number} {noun}{'' if number == 1 else 's'}"
