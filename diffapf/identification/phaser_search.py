"""Which structure and which feedback explain a wet recording best, by what is left unexplained.

Each trial costs the same: a grid of fixed phasers over the dry signal, and the sweep through it. A coarse grid of feedbacks
finds the number of stages and the sweep, knowing nothing; from there, on a finer grid of break frequencies, the feedback is
found by halving, and the loop's delay and an offset of a sample or two between the files are tried.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from diffapf.identification.curves import sandwich
from diffapf.identification.folding import vertex
from diffapf.identification.static_phasers import StaticPhasers, Structure
from diffapf.identification.sweep import Sweep, find_sweep, fixed_residuals, polish

Progress = Callable[[str, float], None]

FEEDBACKS = (-0.5, 0.0, 0.5)
WIDE_STEP, NARROW_STEP = 0.25, 0.125
LARGEST_FEEDBACK = 0.95
BETTER = 0.95  # of what is left, for another loop delay or offset to be believed


@dataclass
class Candidate:
    """One trial: a structure and a feedback, and the sweep found with them."""

    structure: Structure
    feedback: float
    sweep: Sweep
    even: bool
    fixed_residuals: tuple[float, float]

    @property
    def residual(self) -> float:
        return self.sweep.residual


class PhaserSearch:
    """Trials on a pair of recordings; `report` is told of each.

    tried: those to choose from; coarse: those that were tried before, on wide grids, or left behind.
    """

    def __init__(self, phasers: StaticPhasers, report: Progress):
        self.phasers, self.report, self.done = phasers, report, 0.0
        self.coarse: list[Candidate] = []
        self.tried: list[Candidate] = []

    @property
    def best(self) -> Candidate:
        return min(self.tried or self.coarse, key=lambda candidate: candidate.residual)

    def find_stages(self, structures: list[Structure]) -> None:
        """Tries the coarse feedbacks with each structure; rate, curve and gains are found anew in each trial."""
        trials = [(structure, feedback) for structure in structures for feedback in FEEDBACKS]
        for number, (structure, feedback) in enumerate(trials):
            self._tell(f"{structure.stages} stages, feedback {feedback:+.2f}", 0.05 + 0.55 * number / len(trials))
            volume = self.phasers.volume(structure, feedback)
            sweep, even = find_sweep(volume)
            self.coarse.append(Candidate(structure, feedback, sweep, even, fixed_residuals(volume)))

    def find_feedback(self) -> None:
        """Narrows the feedback down around the best trial, on a grid that spans its sweep alone."""
        best = self.best
        best.sweep.curve = self.phasers.zoom(best.sweep.curve)
        self.try_feedback(best.structure, best.feedback, best)
        self._both_sides(WIDE_STEP)
        self._narrow_down()

    def find_loop_delay(self, loop_delays: list[int]) -> None:
        """Tries other loop delays with the feedback that was found; one that explains more is narrowed down as well."""
        for loop_delay in loop_delays:
            best = self.best
            self.try_feedback(Structure(best.structure.stages, loop_delay), best.feedback, best)
            if self.tried[-1].residual > BETTER * best.residual:
                self.coarse.append(self.tried.pop())  # without feedback a delay in the loop is no difference
                continue
            self._narrow_down()

    def find_offset(self, others: list[StaticPhasers]) -> None:
        """The best phaser with the files moved against each other by a sample or two: one that explains more is kept.

        No offset at all is kept even if it explains a little less.
        """
        best = self.best
        for phasers in others:
            phasers.grid(self.phasers.log_lowest, self.phasers.log_highest)
            self._tell(f"offset of {phasers.offset} samples", 0.9)
            sweep = polish(phasers.volume(best.structure, best.feedback), best.sweep.curve, best.even)
            if sweep.residual < self.best.residual * (BETTER if phasers.offset else 1 / BETTER):
                self.phasers = phasers
                self.coarse += self.tried
                self.tried = [Candidate(best.structure, best.feedback, sweep, best.even, best.fixed_residuals)]
        if self.best is not best:
            self._narrow_down()

    def try_feedback(self, structure: Structure, feedback: float, near: Candidate) -> None:
        """One trial from another's curve, unless it was made before."""
        if any((known.structure, known.feedback) == (structure, feedback) for known in self.tried):
            return
        delayed = " a sample late" if structure.loop_delay else ""
        self._tell(f"feedback {feedback:+.3f}{delayed}", 0.6 + 0.025 * min(len(self.tried), 12))
        volume = self.phasers.volume(structure, feedback)
        sweep = polish(volume, near.sweep.curve, near.even)
        self.tried.append(Candidate(structure, feedback, sweep, near.even, fixed_residuals(volume)))

    def _tell(self, trial: str, done: float) -> None:
        self.done = max(self.done, done)  # another offset's feedbacks are tried last
        self.report(trial, self.done)

    def _both_sides(self, step: float) -> None:
        """Tries both sides of the best, and goes on until both its neighbours are worse."""
        while True:
            centre = self.best
            for side in (-step, step):
                feedback = max(-LARGEST_FEEDBACK, min(LARGEST_FEEDBACK, centre.feedback + side))
                self.try_feedback(centre.structure, feedback, centre)
            if self.best is centre:
                return

    def _narrow_down(self) -> None:
        """A finer step on both sides, and twice the vertex of the parabola through the best and its neighbours."""
        self._both_sides(NARROW_STEP)
        self._vertex()
        self._vertex()

    def _vertex(self) -> None:
        near = self._neighbours()
        at = torch.tensor([candidate.feedback for candidate in near], dtype=torch.float64)
        residuals = torch.tensor([candidate.residual for candidate in near], dtype=torch.float64)
        self.try_feedback(self.best.structure, vertex(at, residuals)[0], self.best)

    def _neighbours(self) -> list[Candidate]:
        """What was tried of the best's structure, in order of feedback."""
        structure = self.best.structure
        return sorted((c for c in self.tried if c.structure == structure), key=lambda candidate: candidate.feedback)

    def feedback_uncertainty(self) -> float:
        """The sandwich estimate for g, from the blocks' costs at three feedbacks around the best."""
        near = self._neighbours()
        middle = next(i for i, candidate in enumerate(near) if candidate.feedback == self.best.feedback)
        if not 0 < middle < len(near) - 1:
            return math.inf
        a, b, c = (candidate.feedback for candidate in near[middle - 1 : middle + 2])
        low, here, high = (candidate.sweep.block_costs for candidate in near[middle - 1 : middle + 2])
        left, right = (here - low) / (b - a), (high - here) / (c - b)
        slope = (left * (c - b) + right * (b - a)) / (c - a)
        bend = 2 * (right - left).sum() / (c - a)
        return math.sqrt(float(sandwich(slope[:, None], bend[None, None]))) if bend > 0 else math.inf
