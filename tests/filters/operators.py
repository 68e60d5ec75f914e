"""The three operators in every layout of their coefficients, in one form: for tests of what all of them promise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from diffapf.filters.allpass import allpass_cascade
from diffapf.filters.allpole import allpole
from diffapf.filters.control_rate import ControlRate
from diffapf.filters.fir import fir
from tests.filters.oracles import normal, within

HOP = 4
LAYOUTS = ("fixed", "fixed per row", "varying", "control rate")
Inputs = dict[str, Tensor]


@dataclass(frozen=True)
class Operator:
    """A call of which all but the tensors is chosen: `operator(**inputs)` → (output, final state).

    `start` is where in a longer signal the call's first sample lies: for the control rate, which has a clock.
    """

    name: str
    kind: str
    order: int
    layout: str
    start: int = 0

    def __call__(self, **inputs: Tensor) -> tuple[Tensor, Tensor]:
        if self.kind == "allpass":
            return allpass_cascade(stages=self.order, loop_delay=self.loop_delay, return_zf=True, **inputs)
        function = {"allpole": allpole, "fir": fir}[self.kind]
        rate = ControlRate.hop(HOP, offset=self.start) if self.layout == "control rate" else None
        return function(return_zf=True, hop=rate, **inputs)

    def at(self, start: int) -> Operator:
        return replace(self, start=start)

    @property
    def loop_delay(self) -> int:
        return int(self.layout == "delayed loop")

    @property
    def coefficients(self) -> str:
        """The name of the argument that holds them."""
        return {"allpole": "a", "fir": "b", "allpass": "p"}[self.kind]

    @property
    def moving(self) -> bool:
        """Whether there is a row of coefficients for each sample."""
        return self.kind == "allpass" or self.layout == "varying"

    def each_row(self, change: Callable[[Tensor], Tensor], inputs: Inputs) -> Inputs:
        """With `change` made to every input that has rows: all but the coefficients of a filter fixed for all rows."""
        shared = self.coefficients if self.layout == "fixed" else None
        return {key: value if key == shared else change(value) for key, value in inputs.items()}

    def inputs(self, rows: int, time: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Inputs:
        """Random inputs; coefficients small enough that the filter is stable however they move."""
        x = normal(rows, time, seed=seed, dtype=dtype)
        if self.kind == "allpass":
            names = ("c0", "c1", "a")
            loop = {name: within(0.3, rows, seed=seed + i, dtype=dtype) for i, name in enumerate(names)}
            zi = normal(rows, self.order + 3, seed=seed + 4, dtype=dtype)
            return {"x": x, "p": within(0.9, rows, time, seed=seed + 5, dtype=dtype), **loop, "zi": zi}
        taps = self.order + (self.kind == "fir")
        frames = time // HOP + 2
        shape = {"fixed": (), "fixed per row": (rows,), "varying": (rows, time), "control rate": (rows, frames)}
        limit = 0.9 / max(taps, 1) if self.kind == "allpole" else 1.0
        coefficients = within(limit, *shape[self.layout], taps, seed=seed + 1, dtype=dtype)
        return {"x": x, self.coefficients: coefficients, "zi": normal(rows, self.order, seed=seed + 2, dtype=dtype)}


def direct_forms(kind: str, orders: tuple[int, ...]) -> list[Operator]:
    return [Operator(f"{kind} {order}, {layout}", kind, order, layout) for order in orders for layout in LAYOUTS]


def cascades(stages: tuple[int, ...]) -> list[Operator]:
    return [Operator(f"allpass {k}, {loop}", "allpass", k, loop) for k in stages for loop in ("loop", "delayed loop")]


def operators(orders: tuple[int, ...]) -> list[Operator]:
    """All three; the all-pass loop needs a stage at least."""
    stages = tuple(order for order in orders if order)
    return [*direct_forms("allpole", orders), *direct_forms("fir", orders), *cascades(stages)]


EVERY = [
    *direct_forms("allpole", (0, 2, 14)),
    *direct_forms("fir", (0, 2, 14)),
    *cascades((1, 4)),
]
OF_ORDER_2 = operators((2,))


def name(operator: Operator) -> str:
    return operator.name


def needing_gradients(inputs: Inputs, *names: str) -> Inputs:
    """Copies, of which those named (all by default) ask for gradients."""
    return {key: value.clone().requires_grad_(not names or key in names) for key, value in inputs.items()}


def loss(outputs: tuple[Tensor, Tensor]) -> Tensor:
    """One number in which every output matters, differently."""
    y, zf = outputs
    return (y**2 * torch.arange(1, y.numel() + 1).reshape(y.shape)).sum() + (zf**3).sum()


def gradients(function: Callable[..., tuple[Tensor, Tensor]], inputs: Inputs) -> Inputs:
    """Of `loss`, with respect to the inputs that ask for them."""
    wanted = {key: value for key, value in inputs.items() if value.requires_grad}
    found = torch.autograd.grad(loss(function(**inputs)), list(wanted.values()), materialize_grads=True)
    return dict(zip(wanted, found, strict=True))


def assert_same(found: Inputs, expected: Inputs, **tolerance: float) -> None:
    assert found.keys() == expected.keys()
    for key, value in found.items():
        torch.testing.assert_close(value, expected[key], msg=lambda text, key=key: f"{key}: {text}", **tolerance)
