"""A model as plugins in a folder: described once, built for each format and target, moved into place when all is done."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from diffapf.export.compilers import NATIVE, TARGETS, Target, in_parallel, targets
from diffapf.export.description import Description, NotExportableError
from diffapf.export.formats.c import C
from diffapf.export.formats.dpf import CLAP, VST3, find_dpf
from diffapf.export.formats.faust import FAUST
from diffapf.export.formats.job import Format, Job
from diffapf.export.formats.ladspa import LADSPA
from diffapf.export.formats.lv2 import LV2
from diffapf.export.formats.wasm import WASM_PAGE

FORMATS = {each.name: each for each in (C, LADSPA, LV2, VST3, CLAP, FAUST, WASM_PAGE)}
WHY_NO_INSTRUMENT = {
    "ladspa": "LADSPA knows no keys",
    "faust": "the synth is written in C only",
}


def export(
    description: Description,
    folder: str | os.PathLike,
    formats: Sequence[str],
    target: str = NATIVE,
    dpf: Path | None = None,
    progress: Callable[[str, float], None] | None = None,
) -> list[Path]:
    """Builds a kernel in formats for a target, into a folder: of several systems each into its own.

    Nothing is left of what fails, and what was there before stays until its successor is whole.

    Args:
        description: see `describe`.
        folder: is made where it is not.
        formats: "c", "ladspa", "lv2", "vst3", "clap", "faust" or "wasm".
        target: "native", "linux", "windows", "macos" or "all".
        dpf: DPF's folder, where it is not found by itself.
        progress: is told what is being built, and the share that is done.

    Returns:
        what was written.

    Raises:
        NotExportableError: a format or target that there is not, or that this model has not; no DPF.
        CompilerError: no compiler, or it failed.
        OSError: the folder cannot be written to.
    """
    chosen = [_format(name, description) for name in dict.fromkeys(formats)]
    if target not in TARGETS:
        raise NotExportableError(f"target must be one of {', '.join(TARGETS)}, got {target!r}")
    systems = targets(target)
    found = find_dpf(dpf) if any(each in (VST3, CLAP) for each in chosen) else None
    folder = _writable(Path(folder))
    with tempfile.TemporaryDirectory(dir=folder, prefix=".building-") as building:
        place = Path(building)
        jobs = [
            (made, _job(description, system, place, made, found, alone=len(systems) == 1 or made.everywhere))
            for made in chosen
            for system in (systems[:1] if made.everywhere else systems)
        ]
        done = _Progress(len(jobs), progress)
        made = in_parallel([partial(done.of, each, job) for each, job in jobs])
        return [_moved(product, place / "result", folder) for products in made for product in products]


def _format(name: str, description: Description) -> Format:
    if name not in FORMATS:
        raise NotExportableError(f"format must be one of {', '.join(FORMATS)}, got {name!r}")
    if description.instrument and not FORMATS[name].instruments:
        raise NotExportableError(
            f"an instrument cannot be exported as {name}: {WHY_NO_INSTRUMENT[name]}; use lv2, vst3, clap, wasm or c"
        )
    return FORMATS[name]


def _job(description: Description, system: Target, place: Path, made: Format, dpf: Path | None, alone: bool) -> Job:
    work = place / "work" / made.name / system.name
    result = place / "result" if alone else place / "result" / system.name
    work.mkdir(parents=True)
    result.mkdir(parents=True, exist_ok=True)
    return Job(description, system, work, result, dpf)


class _Progress:
    """Counts jobs that several threads do."""

    def __init__(self, count: int, told: Callable[[str, float], None] | None):
        self.count, self.done, self.told = count, 0, told

    def of(self, made: Format, job: Job) -> list[Path]:
        self._tell(made, job)
        products = made.make(job)
        self.done += 1
        self._tell(made, job)
        return products

    def _tell(self, made: Format, job: Job) -> None:
        if self.told:
            where = "" if made.everywhere else f" for {job.target.name}"
            self.told(f"{made.name}{where}", self.done / self.count)


def _writable(folder: Path) -> Path:
    if folder.exists() and not folder.is_dir():
        raise NotExportableError(f"{folder} is a file; --output needs a folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise NotExportableError(f"{folder} cannot be written to: {error.strerror}") from None
    return folder.absolute()


def _moved(product: Path, results: Path, folder: Path) -> Path:
    """In place of what was there."""
    place = folder / product.relative_to(results)
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    return product.replace(place)
