"""The C files that an export is made of, in kernels/ and wrappers/."""

from __future__ import annotations

import re
from pathlib import Path

from diffapf.export.description import Description

KERNELS = Path(__file__).parent / "kernels"
WRAPPERS = Path(__file__).parent / "wrappers"
INCLUDED = re.compile(r'^#include "([^"]+)"', re.MULTILINE)


def sources(description: Description) -> dict[str, str]:
    """The kernel's files by name: model.h, the signal path, and what both include."""
    found = {"model.h": description.header()}
    waiting = [f"{description.kernel}.c", "kernel.h"]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = (KERNELS / name).read_text(encoding="utf-8")
            waiting += INCLUDED.findall(found[name])
    return found


def write_sources(description: Description, folder: Path) -> Path:
    """Writes them; returns the file to compile."""
    for name, text in sources(description).items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder / f"{description.kernel}.c"
