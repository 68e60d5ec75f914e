"""LADSPA: a shared library that describes itself."""

from __future__ import annotations

from pathlib import Path

from diffapf.export.files import WRAPPERS, write_sources
from diffapf.export.formats.job import Format, Job


def make(job: Job) -> list[Path]:
    kernel = write_sources(job.description, job.work)
    plugin = job.result / f"{job.description.symbol}{job.target.extension}"
    job.library([kernel, WRAPPERS / "ladspa.c"], plugin)
    return [plugin]


LADSPA = Format("ladspa", make, instruments=False)
