"""Pairs of dry and wet files in a folder, and the knobs' settings that their names or a table give."""

from __future__ import annotations

import csv
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from diffapf.audio import AudioError

ENDINGS = (".wav", ".flac", ".aif", ".aiff")
SETTING = re.compile(r"([A-Za-z][A-Za-z0-9.]*)=(-?\d+(?:\.\d+)?)")
SIDE = re.compile(r"(?<![A-Za-z])(dry|input|wet|output)(?![A-Za-z])", re.IGNORECASE)
DRY = ("dry", "input")


@dataclass(frozen=True)
class PairFiles:
    """Where a pair is, and how the knobs stood for it, by their names."""

    dry: Path
    wet: Path
    settings: dict[str, float] = field(default_factory=dict)

    @property
    def title(self) -> str:
        knobs = ", ".join(f"{name}={value:g}" for name, value in self.settings.items())
        return f"{self.wet.name} from {self.dry.name}" + (f" ({knobs})" if knobs else "")


def find_pairs(folder: str | os.PathLike) -> list[PairFiles]:
    """The pairs of a folder, in the order of its table, or of the wet files' names.

    A table is the only CSV file, with columns dry, wet, and a number for each knob. Without one, names say what is what:
    `take1_dry.wav` goes with `take1_wet.wav`, `wet_drive=3_tone=0.5.wav` with a dry file of the same settings or, where
    there is none, with the only dry file.

    Raises:
        AudioError: the folder has no pairs; a file has no partner; the table lacks a column, or names a missing file.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise AudioError(f"there is no folder {folder}")
    tables = sorted(folder.glob("*.csv"))
    if len(tables) > 1:
        raise AudioError(f"{folder} has {len(tables)} tables ({', '.join(file.name for file in tables)}); leave one")
    pairs = _of_table(tables[0]) if tables else _of_names(folder)
    if not pairs:
        raise AudioError(
            f"{folder} has no pairs: name files as take_dry.wav and take_wet.wav, or list them in a CSV file"
        )
    return pairs


def _of_table(table: Path) -> list[PairFiles]:
    with table.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.DictReader(file)
        missing = {"dry", "wet"} - set(rows.fieldnames or ())
        if missing:
            raise AudioError(
                f"{table} has no column {' and no column '.join(sorted(missing))}; it needs dry, wet and knobs"
            )
        return [_of_row(table, number, row) for number, row in enumerate(rows, 2)]


def _of_row(table: Path, number: int, row: dict[str, str | None]) -> PairFiles:
    dry, wet = (table.parent / (row.pop(side) or "") for side in ("dry", "wet"))
    for file in (dry, wet):
        if not file.is_file():
            raise AudioError(f"{table}, line {number}: there is no file {file}")
    settings = {}
    for name, text in row.items():
        try:
            settings[name] = float(text or "")
        except (TypeError, ValueError):
            raise AudioError(f"{table}, line {number}: {name} must be a number, got {text!r}") from None
    return PairFiles(dry, wet, settings)


def _of_names(folder: Path) -> list[PairFiles]:
    dries: dict[str, Path] = {}
    wets: dict[str, Path] = {}
    for file in sorted(file for file in folder.iterdir() if file.suffix.lower() in ENDINGS):
        side = SIDE.search(file.stem)
        if side:
            take = re.sub(r"[_\W]+", " ", SIDE.sub(" ", file.stem)).strip().lower()
            (dries if side[1].lower() in DRY else wets)[take] = file
    pairs = []
    for take, wet in wets.items():
        dry = dries.get(take) or (next(iter(dries.values())) if len(dries) == 1 else None)
        if dry is None:
            raise AudioError(
                f"{wet} has no dry file: name it as {SIDE.sub('dry', wet.name)}, or keep one dry file in the folder"
            )
        pairs.append(PairFiles(dry, wet, {name: float(value) for name, value in SETTING.findall(wet.stem)}))
    return pairs
