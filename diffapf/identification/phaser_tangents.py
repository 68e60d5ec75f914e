"""A phaser's output and its tangents, block after block, by the operators' own rules: for Levenberg–Marquardt.

What moves at the control rate is computed and differentiated once for all blocks of a stretch (`moving_numbers.py`), the
signals in each block as in `AllpassLoopFilter.run`; see `filters/_moving.py`. The published order-6 core is left to
`torch.func`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor

from diffapf.effects.phaser import AllpassLoopFilter, Phaser
from diffapf.filters._moving import Moving, push, still
from diffapf.filters.allpass import AllpassOutput, TanhOfFrames, loop_rows
from diffapf.filters.control_rate import FIXED, ControlRate
from diffapf.filters.iir import DirectForm, fixed_rows
from diffapf.identification.aligned_pair import Stretch
from diffapf.identification.layout import Parameters
from diffapf.identification.modules import of_parameters
from diffapf.identification.moving_numbers import Numbers, moving_numbers


def has_tangents(phaser: Phaser) -> bool:
    """Whether this file knows a phaser's derivatives; `torch.func` knows those of all."""
    return phaser.core == "cascade"


def numbers_of(phaser: Phaser, first_sample: int, length: int) -> dict[str, Tensor]:
    """What the operators take over a stretch of the LFO's clock, with the one row of a mono signal."""
    part = cast(AllpassLoopFilter, phaser.filter_of_block(first_sample, length, torch.float64))
    b, a = fixed_rows(part.b, part.a, 1)
    loop = loop_rows(part.v.new_zeros(1, 1), *part.loop, part.loop_delay)
    through = part.through if part.dry is None else torch.zeros_like(part.through)
    found = {"v": part.v[None], "through": through[None], "loop": loop, "b": b, "a": a}
    if part.dry is not None:
        found["dry_b"], found["dry_a"] = fixed_rows(*part.dry, 1)
    return found


@dataclass(frozen=True)
class MovingPhaser:
    """Its numbers over a stretch, and where on the LFO's clock and in its frames that begins."""

    numbers: Numbers
    first_sample: int
    hop: int

    def memory(self, stages: int) -> dict[str, Moving]:
        """Registers at rest."""
        order = self.numbers["a"].value.shape[2]
        memory = {"input": order, "loop": stages + 3}
        if "dry_a" in self.numbers:
            memory["dry"] = self.numbers["dry_a"].value.shape[2]
        return {name: still(self.numbers["v"].value.new_zeros(1, size)) for name, size in memory.items()}

    def block(self, first_sample: int, x: Tensor, memory: dict[str, Moving]) -> tuple[Moving, dict[str, Moving]]:
        """The output for a block `(1, time)`, and the memory for the next."""
        numbers, after = self.numbers, {}
        u, after["input"] = push(DirectForm, x, numbers["b"], numbers["a"], memory["input"], FIXED, "tdf2")
        p = self._allpass_coefficient(first_sample, x.shape[1])
        of_loop = numbers["loop"], numbers["through"], memory["loop"]
        y, after["loop"], _ = push(AllpassOutput, u.or_still, p.or_still, *of_loop)
        if "dry" in memory:
            filter_of_dry = numbers["dry_b"], numbers["dry_a"], memory["dry"]
            dry, after["dry"] = push(DirectForm, x, *filter_of_dry, FIXED, "tdf2")
            y = y + dry
        return y, after

    def _allpass_coefficient(self, first_sample: int, length: int) -> Moving:
        frame, offset = divmod(first_sample, self.hop)
        begin = frame - self.first_sample // self.hop
        rate = ControlRate.hop(self.hop, offset)
        frames = self.numbers["v"][begin : begin + (offset + length - 1) // self.hop + 2]
        return push(TanhOfFrames, frames, (rate.start, rate.step), length)


def moving_error(
    stretch: Stretch, phaser: Phaser, parameters: Parameters, directions: Parameters, block: int, state: Any
) -> tuple[Tensor, Tensor, Any]:
    """A block of output − target, its tangents `(directions, time)`, and the state after it: what `fit_module` takes."""
    begin, end = stretch.of_block(block)
    first_sample = stretch.pair.origin + begin
    if state is None:
        controls = partial(numbers_of, first_sample=first_sample, length=stretch.last - begin)
        numbers = moving_numbers(of_parameters(phaser, controls), parameters, directions)
        moving = MovingPhaser(numbers, first_sample, phaser.hop)
        state = moving, moving.memory(phaser.stages)
    moving, memory = state
    y, memory = moving.block(first_sample, stretch.pair.dry[None, begin:end], memory)
    count = len(next(iter(directions.values())))
    return y.value[0] - stretch.target(block), y.along(count), (moving, memory)
