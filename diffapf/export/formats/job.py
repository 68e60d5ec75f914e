"""What a format is asked to do: build one description for one target, in a folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from diffapf.export.compilers import Target, shared_library
from diffapf.export.description import Description


@dataclass(frozen=True)
class Job:
    """work: a folder for what is not kept; result: for what is."""

    description: Description
    target: Target
    work: Path
    result: Path
    dpf: Path | None = None

    def library(self, sources: Sequence[Path], output: Path, *includes: Path) -> None:
        """Builds a shared library; what compilers leave beside it stays in `work`."""
        built = self.work / f"{self.description.symbol}{self.target.extension}"
        shared_library(sources, built, self.target, [self.work, *includes])
        output.parent.mkdir(parents=True, exist_ok=True)
        built.replace(output)


@dataclass(frozen=True)
class Format:
    """A format.

    Args:
        name: as `--format` takes it.
        make: builds it; returns the files or bundles in `result`.
        everywhere: what is made is the same for all targets.
        instruments: whether it can be played by keys.
    """

    name: str
    make: Callable[[Job], list[Path]]
    everywhere: bool = False
    instruments: bool = True
