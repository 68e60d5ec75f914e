"""What is measured: one cell of the grid, the rivals that meet there, and what the machine allows at best."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from scripts.benchmarking.floors import Machine
from scripts.benchmarking.peers import Peers
from scripts.benchmarking.race import disagreement, race
from scripts.benchmarking.results import Row

Call = Callable[[], tuple[torch.Tensor, ...]]


@dataclass(frozen=True)
class Cell:
    """A place in the grid."""

    order: int
    batch: int
    length: int
    dtype: torch.dtype
    backward: bool

    @property
    def samples(self) -> int:
        return self.batch * self.length

    @property
    def direction(self) -> str:
        return "forward + backward" if self.backward else "forward"

    @property
    def precision(self) -> str:
        return str(self.dtype).removeprefix("torch.")

    def __str__(self) -> str:
        return f"M = {self.order}, B = {self.batch}, T = {self.length}, {self.precision}"


def step_of(
    optimizer: torch.optim.Optimizer,
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    model: Callable[[torch.Tensor], torch.Tensor],
    x: torch.Tensor,
    target: torch.Tensor,
) -> Call:
    """A training step, whose prediction is what is compared."""

    def step() -> tuple[torch.Tensor]:
        optimizer.zero_grad()
        prediction = model(x)
        loss(prediction, target).backward()
        optimizer.step()
        return (prediction.detach(),)

    return step


@dataclass(frozen=True)
class Contest:
    """The calls that race. Each peer's first results must be those of `reference`, by default ours. `notes` are told."""

    ours: Call
    peers: dict[str, Call]
    reference: Call | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Case:
    """A contest in a cell.

    `words` are the numbers that must move for each sample and `chains` the recursions that must run one after the other:
    from these comes the floor. `skipped` says why a case isn't run. `per_call`: the call counts, not the sample.
    """

    group: str
    label: str
    cell: Cell
    contest: Callable[[Cell, Peers], Contest] = field(repr=False)
    words: int = 0
    chains: int = 0
    skipped: str = ""
    per_call: bool = False

    @property
    def name(self) -> str:
        return f"{self.group}: {self.label}"

    @property
    def effort(self) -> float:
        """Seconds it may take beside its budget, roughly: big cells have their minimum of calls."""
        return self.cell.samples * (1 + self.cell.order) * (1 + 2 * self.cell.backward) * 4e-8

    def run(self, peers: Peers, machine: Machine, budget: float) -> tuple[list[Row], list[str]]:
        """A row for each peer (one without a peer where there is none), and what is to be told."""
        contest = self.contest(self.cell, peers)
        tolerance = 1e-9 if self.cell.dtype == torch.float64 else 1e-6
        agreed, trial, notes = {}, {}, [f"{self.name}: {note}" for note in contest.notes]
        expected = (contest.reference or contest.ours)()
        for peer, call in contest.peers.items():
            try:
                began = time.perf_counter()
                results = call()
                trial[peer] = time.perf_counter() - began
                wrong = disagreement(expected, results, tolerance)
                del results
            except (RuntimeError, ValueError, MemoryError) as reason:
                wrong = f"{type(reason).__name__}: {str(reason).splitlines()[0]}"
            if wrong:
                trial.pop(peer, None)
                notes.append(f"{self.name}: {peer}'s results differ from ours ({wrong}); not timed")
            else:
                agreed[peer] = call
        del expected
        ours, theirs = race(contest.ours, agreed, trial, budget)
        return self._rows(ours, theirs, self._floor(machine)), notes

    def _rows(self, ours: list[float], theirs: dict[str, list[float]], floor: float) -> list[Row]:
        scale = 1e6 if self.per_call else 1e9 / self.cell.samples
        unit = "µs/call" if self.per_call else "ns/sample"
        cell = self.cell
        place = (cell.order, cell.batch, cell.length, cell.precision, cell.direction)
        mine = statistics.median(ours)

        def row(peer: str, seconds: float, ratio: float) -> Row:
            return Row(self.group, self.label, *place, unit, mine * scale, peer, seconds * scale, ratio, floor * scale)

        if not theirs:
            return [row("", math.nan, math.nan)]
        return [
            row(peer, statistics.median(times), statistics.median(t / o for t, o in zip(times, ours, strict=False)))
            for peer, times in theirs.items()
        ]

    def _floor(self, machine: Machine) -> float:
        """Seconds below which the call cannot be, or nan."""
        if not self.words:
            return math.nan
        moving = machine.moving(self.words * self.cell.samples * self.cell.dtype.itemsize)
        together = min(self.cell.batch, machine.threads * 4)
        return max(moving, self.chains * self.cell.samples * machine.chain(self.cell.dtype) / together)


@dataclass(frozen=True)
class Measurement:
    """What is no race: a function that measures by itself."""

    group: str
    label: str
    measure: Callable[[Measurement, Peers], list[Row]] = field(repr=False)
    skipped: str = ""
    effort: float = 10.0

    @property
    def name(self) -> str:
        return f"{self.group}: {self.label}"

    def run(self, peers: Peers, machine: Machine, budget: float) -> tuple[list[Row], list[str]]:
        return self.measure(self, peers), []
