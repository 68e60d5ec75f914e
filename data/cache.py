"""The embedded recordings, made on first use and kept in the user's cache folder."""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TypeVar

import numpy as np

from data import acid, acid_loops, signals
from data import levelling_amplifier as amplifier
from data import plate as metal
from data import programme as music
from data import singer as voice
from data import small_stone as pedal

AnySetting = TypeVar("AnySetting", pedal.Setting, amplifier.Setting, metal.Setting)
Report = Callable[[float], None] | None  # moves a bar to a fraction

log = logging.getLogger(__name__)

SOURCES = {
    "small_stone": (Path(signals.__file__), Path(pedal.__file__)),
    "levelling_amplifier": (Path(signals.__file__), Path(music.__file__), Path(amplifier.__file__)),
    "acid": (Path(acid.__file__), Path(acid_loops.__file__)),
    "plate": (Path(signals.__file__), Path(metal.__file__)),
    "singer": (Path(voice.__file__),),
}


@dataclass(frozen=True)
class Recording:
    """A pair of sample-aligned mono tracks, and the setting of the device behind them."""

    dry: np.ndarray
    """`(time,)`, float64, full scale 1."""
    wet: np.ndarray
    """`(time,)`, float64, full scale 1."""
    sample_rate: int
    """Hz."""
    setting: str
    truth: pedal.Setting | amplifier.Setting
    """Of the pedal, what a fit should find: LFO rate and phase, and the break frequency at any time."""


def small_stone(setting: str, progress: bool = True, *, chirps: float = 60.0, guitar: float = 10.0) -> Recording:
    """The simulated Small Stone at one of its six settings: chirps, then guitar.

    The first call simulates (seconds, with a progress bar) and keeps the tracks in :func:`cache_folder`; later ones
    read them. Both are rounded to single precision, −150 dB, so that the first call returns what later ones do.

    Args:
        setting: "SS-A" … "SS-F".
        progress: show a bar while simulating.
        chirps: seconds of chirp train.
        guitar: seconds of guitar after it.

    Raises:
        ValueError: there is no such setting.

    >>> recording = small_stone("SS-A", progress=False, chirps=0.3, guitar=0.1)
    >>> recording.wet.shape, recording.truth.rate
    ((17640,), 2.33)
    """
    truth = _setting(pedal.SETTINGS, setting)
    return _recording(
        "small_stone",
        (chirps, guitar),
        truth,
        lambda: signals.dry_track(chirps, guitar),
        lambda dry, report: pedal.simulate(dry, truth, report=report),
        f"Simulating the Small Stone, {setting}" if progress else None,
    )


def levelling_amplifier(setting: str, progress: bool = True, *, seconds: float = 40.0) -> Recording:
    """The simulated LA-2A at one of its three settings, playing the programme; kept as :func:`small_stone` is.

    Args:
        setting: "LA-D", "LA-E" or "LA-F": peak reduction 25, 50 or 75.
        progress: show a bar while simulating.
        seconds: of the programme.

    Raises:
        ValueError: there is no such setting.

    >>> levelling_amplifier("LA-E", progress=False, seconds=0.5).truth.peak_reduction
    50.0
    """
    truth = _setting(amplifier.SETTINGS, setting)
    return _recording(
        "levelling_amplifier",
        (seconds,),
        truth,
        lambda: music.programme(seconds),
        lambda dry, report: amplifier.simulate(dry, truth, report=report),
        f"Simulating the levelling amplifier, {setting}" if progress else None,
    )


def acid_notes(loops: int = 100, progress: bool = True, *, seed: int = acid_loops.SEED) -> acid_loops.AcidNotes:
    """Notes of the simulated TB-303, with their true pitch and knobs; kept as :func:`small_stone` is.

    Args:
        loops: of sixteen steps, of which about 14 are notes long enough; fewer loops are the first of more.
        progress: show a bar while simulating.
        seed: of knobs, melodies, levels and noise.

    Raises:
        ValueError: there are no loops.

    >>> notes = acid_notes(loops=1, progress=False)
    >>> notes.audio.shape == (len(notes), 6000), notes.sample_rate
    (True, 48000)
    """
    names = [field.name for field in fields(acid_loops.AcidNotes) if field.name != "sample_rate"]

    def simulate(report: Report) -> dict[str, np.ndarray]:
        made = acid_loops.acid_notes(loops, seed, report)
        return {name: getattr(made, name) for name in names}

    description = f"Simulating {loops} loops of the TB-303" if progress else None
    return acid_loops.AcidNotes(**_kept(f"acid_{fingerprint('acid', (loops, seed))}", names, simulate, description))


def plate_response(setting: str, progress: bool = True, *, seconds: float = 5.0) -> np.ndarray:
    """The impulse response of a simulated plate, `(time,)` at 44.1 kHz, peak 1; kept as :func:`small_stone` is.

    Args:
        setting: "PL-A", "PL-B" or "PL-C".
        progress: show a bar while simulating.
        seconds: how long.

    Raises:
        ValueError: there is no such setting.

    >>> plate_response("PL-A", progress=False, seconds=0.01).shape
    (441,)
    """
    plate = _setting(metal.SETTINGS, setting)

    def simulate(report: Report) -> dict[str, np.ndarray]:
        return {"response": metal.simulate(plate, seconds, report).astype(np.float32)}

    name = f"plate_{plate.name}_{fingerprint('plate', (seconds,))}"
    description = f"Simulating the plate {setting}" if progress else None
    return _kept(name, ("response",), simulate, description)["response"].astype(np.float64)


def song(singer: str, progress: bool = True, *, seconds: float = 150.0, seed: int = 1) -> voice.Song:
    """A song of a simulated singer, with its true pitch; kept as :func:`small_stone` is.

    Args:
        singer: "soprano" or "baritone".
        progress: show a bar while simulating.
        seconds: how long; a shorter one is another song.
        seed: of notes, vowels and breath.

    Raises:
        ValueError: there is no such singer.

    >>> song("soprano", progress=False, seconds=0.1).audio.shape
    (2400,)
    """
    if singer not in voice.SINGERS:
        raise ValueError(f"singer: got {singer!r}; there are {', '.join(voice.SINGERS)}")

    def simulate(report: Report) -> dict[str, np.ndarray]:
        made = voice.sing(voice.SINGERS[singer], seconds, seed, report)
        return {"audio": made.audio.astype(np.float32), "f0_hz": made.f0_hz.astype(np.float32)}

    name = f"song_{singer}_{fingerprint('singer', (seconds, seed))}"
    kept = _kept(name, ("audio", "f0_hz"), simulate, f"Simulating the {singer}" if progress else None)
    return voice.Song(kept["audio"].astype(np.float64), kept["f0_hz"].astype(np.float64))


def cache_folder() -> Path:
    """`$DIFFAPF_CACHE`, or else `diffapf/data` in the user's cache folder (`$XDG_CACHE_HOME` or `~/.cache`)."""
    if chosen := os.environ.get("DIFFAPF_CACHE"):
        return Path(chosen).expanduser()
    user = os.environ.get("XDG_CACHE_HOME")
    return (Path(user) if user else Path.home() / ".cache") / "diffapf" / "data"


def fingerprint(device: str, numbers: Sequence[float]) -> str:
    """Names what a recording was made by: a change of the simulation's source or of a number it was asked for changes it."""
    made_by = hashlib.sha256(repr(tuple(map(float, numbers))).encode())
    for source in SOURCES[device]:
        made_by.update(source.read_bytes())
    return made_by.hexdigest()[:12]


def _setting(settings: Mapping[str, AnySetting], name: str) -> AnySetting:
    if name not in settings:
        raise ValueError(f"setting: got {name!r}; there are {', '.join(settings)}")
    return settings[name]


def _recording(
    device: str,
    lengths: Sequence[float],
    truth: pedal.Setting | amplifier.Setting,
    play: Callable[[], np.ndarray],
    simulate: Callable[[np.ndarray, Report], np.ndarray],
    description: str | None,
) -> Recording:
    def tracks(report: Report) -> dict[str, np.ndarray]:
        dry = play().astype(np.float32)
        return {"dry": dry, "wet": simulate(dry.astype(np.float64), report).astype(np.float32)}

    kept = _kept(f"{device}_{truth.name}_{fingerprint(device, lengths)}", ("dry", "wet"), tracks, description)
    dry, wet = (kept[name].astype(np.float64) for name in ("dry", "wet"))
    return Recording(dry, wet, signals.SAMPLE_RATE, truth.name, truth)


def _kept(
    name: str,
    arrays: Sequence[str],
    simulate: Callable[[Report], dict[str, np.ndarray]],
    description: str | None,
) -> dict[str, np.ndarray]:
    """The arrays of these names: read from the cache, or else simulated and kept; description: of the bar, None for none."""
    path = cache_folder() / f"{name}.npz"
    found = _read(path, arrays)
    if found is None:
        found = _make(simulate, description)
        _write(path, found)
    return found


def _make(simulate: Callable[[Report], dict[str, np.ndarray]], description: str | None) -> dict[str, np.ndarray]:
    with _progress_bar(description or "", description is not None) as report:
        return simulate(report)


def _read(path: Path, names: Sequence[str]) -> dict[str, np.ndarray] | None:
    """The arrays of these names, or None where there is no sound file; the archive's checksums tell."""
    try:
        with np.load(path) as arrays:
            return {name: arrays[name] for name in names}
    except FileNotFoundError:
        return None
    except Exception as error:  # a damaged archive can raise anything, and all of it has the same remedy
        log.warning("%s cannot be read (%s); simulating it again", path, error)
        return None


def _write(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write under another name, then rename: who reads or writes the same file meanwhile sees a whole one."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="making-", dir=path.parent) as folder:
            part = Path(folder) / path.name
            np.savez_compressed(part, **arrays)
            part.replace(path)
    except OSError as error:
        log.warning("%s cannot be kept (%s); the next run will simulate it again", path, error)


@contextmanager
def _progress_bar(description: str, shown: bool) -> Iterator[Report]:
    """A bar on standard error, and the function that moves it to a fraction; None without rich."""
    try:
        from rich.console import Console
        from rich.progress import Progress
    except ImportError:
        shown = False
    if not shown:
        yield None
        return
    with Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task(description, total=1.0)
        yield lambda fraction: bar.update(task, completed=fraction)
