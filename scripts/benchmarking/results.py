"""Results: one row for each case and peer, kept as CSV, and what the rows say together."""

from __future__ import annotations

import csv
import math
import statistics
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

BAR = 3  # times faster than the best peer, filters.md section 4
GRID = tuple(f"{kind} all-pole, {way}" for kind in ("LPV", "LTI") for way in ("forward", "forward + backward"))


@dataclass(frozen=True)
class Row:
    """Medians of ours and of one peer ("" and nan: none), the median of the ratios by pairs, and the floor (nan: none)."""

    group: str
    label: str
    order: int
    batch: int
    length: int
    dtype: str
    direction: str
    unit: str
    ours: float
    peer: str
    theirs: float
    ratio: float
    floor: float

    @property
    def case(self) -> str:
        return f"{self.group}: {self.label}"

    @property
    def above_floor(self) -> float:
        return self.ours / self.floor


def write_csv(rows: Iterable[Row], file: Path) -> None:
    """Through a second file, so that a run that is killed leaves a whole one."""
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_name(file.name + ".part")
    with unfinished.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, [column.name for column in fields(Row)], lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: short(value) for name, value in asdict(row).items()} for row in rows)
    unfinished.replace(file)


def read_csv(file: Path) -> list[Row]:
    """Raises ValueError where the file isn't one of `write_csv`'s."""
    with file.open(encoding="utf-8", newline="") as stream:
        reader = csv.DictReader(stream)
        columns = [column.name for column in fields(Row)]
        if reader.fieldnames != columns:
            raise ValueError(f"its columns must be {','.join(columns)}, got {','.join(reader.fieldnames or [])}")
        types = {"int": int, "float": float, "str": str}
        return [
            Row(**{column.name: types[column.type](line[column.name]) for column in fields(Row)}) for line in reader
        ]


def short(value: object) -> object:
    return f"{value:.5g}" if isinstance(value, float) else value


def best(rows: Iterable[Row]) -> list[Row]:
    """Each case against its fastest peer, in the order of the rows."""
    cases: dict[str, Row] = {}
    for row in rows:
        other = cases.get(row.case)
        if other is None or row.theirs < other.theirs:
            cases[row.case] = row
    return list(cases.values())


def geometric_means(rows: Iterable[Row]) -> list[tuple[str, int, float]]:
    """(group, cells, geometric mean of the ratios) of the grid's groups that were measured, and of all of them."""
    raced = [row for row in best(rows) if row.group in GRID and not math.isnan(row.ratio)]
    means = []
    for title, groups in [*((group, (group,)) for group in GRID), ("the whole grid", GRID)]:
        ratios = [row.ratio for row in raced if row.group in groups]
        if ratios:
            means.append((title, len(ratios), statistics.geometric_mean(ratios)))
    return means


def below_the_bar(rows: Iterable[Row]) -> list[Row]:
    """The grid's cells that are less than three times faster than their best peer."""
    return [row for row in best(rows) if row.group in GRID and row.ratio < BAR]
