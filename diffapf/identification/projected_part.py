"""A part of a pair as residuals of a levelling amplifier whose output stage is solved for: variable projection.

The output Φ(θ) w is linear in the output stage's weights w. For every θ they are those of least squares, and only the cell's
parameters θ descend. With D = (∂Φ/∂θ) w, projected onto what the columns Φ leave,

    r = Φ w − y,   J = (1 − Φ Φ⁺) D,   w = Φ⁺ y

Two passes over the blocks: one solves for w, the other sums the products of D, Φ and y. From those sums come residuals and
tangents of a few rows with the same JᵀJ, Jᵀr and rᵀr, which is all that least squares asks for.

Source: Golub, Pereyra, "The Differentiation of Pseudo-Inverses and Nonlinear Least Squares Problems Whose Variables
Separate", SIAM J. Numer. Anal. 10, 1973; the projected Jacobian, Kaufman, BIT 15, 1975.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from diffapf.effects.levelling_amplifier import LevellingAmplifier
from diffapf.effects.output_stage import OutputState
from diffapf.filters._moving import Moving, push, still
from diffapf.filters.optical_cell import NAMES, OpticalCell, kind_of, stacked
from diffapf.identification.layout import Parameters
from diffapf.identification.modules import of_parameters
from diffapf.identification.moving_numbers import moving_numbers
from diffapf.identification.prefiltered_pair import Part, prefiltered
from diffapf.identification.step import to_unit_diagonal
from diffapf.kernels.reference import DARK, cell_gain

DEPENDENT = 1e-13  # columns whose part beside all others is below this share of themselves say nothing


@dataclass
class Stream:
    """What goes from block to block: the cell, the output stages of the signal and of its tangents, the pre-filter."""

    cell: Moving
    output: OutputState = field(default_factory=OutputState)
    moved: OutputState = field(default_factory=OutputState)
    registers: Tensor | None = None


class Projected:
    """The part, for an amplifier of a structure; its parameters come with every call."""

    def __init__(self, amplifier: LevellingAmplifier, part: Part):
        self.amplifier, self.part = amplifier, part
        cell = amplifier.cell
        self.kind = kind_of(cell.lamp, cell.slow or "memory")
        self.weights = part.weights()
        self.columns = len(amplifier.output.weights())

    @torch.no_grad()
    def solution(self, numbers: Tensor) -> tuple[Tensor, float]:
        """The weights of least squares, and the squares that they leave."""
        products = self._products(still(numbers), None)
        return _solved(products, self.columns)

    @torch.no_grad()
    def linearised(self, parameters: Parameters, directions: Parameters) -> tuple[Tensor, Tensor]:
        """Residuals `(rows,)` and their tangents `(directions, rows)`; not finite where make-up is not positive."""
        numbers = self._moving_numbers(parameters, directions)
        weights, _ = self.solution(numbers.value)
        products = self._products(numbers, weights)
        if not weights[0] > 0:
            products = torch.full_like(products, torch.nan)
        return compressed(products, self.columns)

    def information(self, amplifier: LevellingAmplifier) -> Tensor:
        """ΦᵀΦ, of the output's weights."""
        return self._products(still(numbers_of(amplifier)[None].detach()), None)[: self.columns, : self.columns]

    def _moving_numbers(self, parameters: Parameters, directions: Parameters) -> Moving:
        """With a tangent in every direction, also where the last ones move nothing."""
        function = of_parameters(self.amplifier, lambda amplifier: {"cell": numbers_of(amplifier)[None]})
        numbers = moving_numbers(function, parameters, directions)["cell"]
        return Moving(numbers.value, numbers.along(len(next(iter(directions.values())))))

    def _products(self, numbers: Moving, weights: Tensor | None) -> Tensor:
        """Products of all columns, the target, and, with weights, the tangents of the output, summed over the blocks."""
        stream, total = Stream(still(numbers.value.new_zeros(1, 2))), numbers.value.new_zeros(())
        for block in range(self.part.blocks):
            dry, wet = self.part.signals(block, self.amplifier.latency)
            ours = [rows[..., -len(wet) :] for rows in self._rows(dry[None], numbers, weights, stream)]
            rows, stream.registers = prefiltered(torch.cat([*ours, wet[None]]), stream.registers)
            counted = rows if self.weights is None else rows * self.weights[block]
            total = total + counted @ rows.T
        order = [*range(self.columns), -1, *range(self.columns, len(total) - 1)]
        return total[order][:, order]

    def _rows(self, x: Tensor, numbers: Moving, weights: Tensor | None, stream: Stream) -> list[Tensor]:
        """A block of the columns, and of the output's tangents."""
        output = self.amplifier.output
        states = push(OpticalCell, x, numbers, stream.cell, self.kind)
        stream.cell = states[-1]
        curve, share = numbers.value[:, 3:4], numbers.value[:, 7:8]
        u = x * cell_gain(states.value, curve, share)
        columns, stream.output = output.columns(u, stream.output)
        if weights is None:
            return [columns[0]]
        du = u * _relative_gain(states, numbers)
        linear, stream.moved = output.linear_columns(du, stream.moved)
        moved = (weights[: linear.shape[-2], None] * linear).sum(-2)
        for power, weight in zip(output.powers, weights[linear.shape[-2] :], strict=True):
            moved = moved + weight * power * columns[:, 0] ** (power - 1) * linear[:, 0]
        return [columns[0], moved]


def _relative_gain(states: Moving, numbers: Moving) -> Tensor:
    """d log ĝ in each direction, `(directions, time)`."""
    curve, share = numbers.value[0, 3], numbers.value[0, 7]
    fast, held = states.value[0].unbind(-1)
    c = fast + share * (held - fast)
    floored = c.clamp_min(DARK)
    log_c = torch.log(floored)
    power = torch.exp(curve * log_c)
    bent = -power / (1 + power)
    dfast, dheld = states.along(numbers.directions).unbind(-1)
    dc = dfast + share * (dheld - dfast) + (held - fast) * numbers.tangents[:, 7:8]
    by_c = torch.where(c >= DARK, bent * curve / floored, 0.0)
    return by_c * dc + bent * log_c * numbers.tangents[:, 3:4]


def numbers_of(amplifier: LevellingAmplifier) -> Tensor:
    """What the cell's operator takes, `(10,)`."""
    known = amplifier.cell.numbers()
    zero = torch.zeros_like(known["threshold"])
    return stacked([known.get(name, zero) for name in NAMES], amplifier.cell.lamp)


def _solved(products: Tensor, columns: int) -> tuple[Tensor, float]:
    information, along = products[:columns, :columns], products[:columns, columns]
    weights = _inverse(information) @ along
    return weights, max(float(products[columns, columns] - weights @ along), 0.0)


def _inverse(information: Tensor) -> Tensor:
    """Of what the columns say; nothing of what they don't."""
    scaled, scale = to_unit_diagonal(information)
    values, vectors = torch.linalg.eigh(scaled)
    known = values > DEPENDENT
    kept = vectors[:, known]
    return (kept / values[known]) @ kept.T / (scale[:, None] * scale)


def compressed(products: Tensor, columns: int) -> tuple[Tensor, Tensor]:
    """Residuals and tangents of as few rows as there are directions and one, from the products of Φ, y and D."""
    if not bool(products.isfinite().all()):
        directions = len(products) - columns - 1
        return products.new_full((directions + 1,), torch.nan), products.new_full(
            (directions, directions + 1), torch.nan
        )
    weights, left = _solved(products, columns)
    tangents = products[columns + 1 :]
    along = tangents[:, :columns]
    squares = tangents[:, columns + 1 :] - along @ _inverse(products[:columns, :columns]) @ along.T
    slopes = along @ weights - tangents[:, columns]
    joint = torch.cat([torch.cat([squares, slopes[:, None]], 1), torch.cat([slopes, slopes.new_tensor([left])])[None]])
    scaled, scale = to_unit_diagonal(joint)
    values, vectors = torch.linalg.eigh(scaled)
    rows = values.clamp_min(0).sqrt()[:, None] * vectors.T * scale
    return rows[:, -1], rows[:, :-1].T
