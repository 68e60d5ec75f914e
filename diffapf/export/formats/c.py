"""C: the kernel's files, and a program around it."""

from __future__ import annotations

import shutil
from pathlib import Path

from diffapf.export.files import WRAPPERS, write_sources
from diffapf.export.formats.job import Format, Job


def make(job: Job) -> list[Path]:
    folder = job.result / job.description.symbol
    folder.mkdir()
    write_sources(job.description, folder)
    if not job.description.instrument:
        shutil.copy(WRAPPERS / "main.c", folder)
    return [folder]


C = Format("c", make, everywhere=True)
