"""The delay network is its definition, by loops and by blocks, with derivatives of finite differences, and it streams."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from diffapf.filters.delay_network import delay_network
from tests.filters.checks import assert_derivatives, assert_same_in_blocks, assert_transforms
from tests.filters.oracles import normal, within

DELAYS = [3, 4, 6]
FILTERS = {"a gain each": (1, 1, 1), "some": (3, 1, 5), "all that fits": (5, 7, 11)}
each_filter = pytest.mark.parametrize("taps", FILTERS.values(), ids=FILTERS)


def rotation(lines: int, *batch: int, seed: int = 0) -> Tensor:
    T = normal(*batch, lines, lines, seed=seed)
    return torch.matrix_exp(T - T.mT)


def network(taps: tuple[int, ...], dtype: torch.dtype = torch.float64) -> tuple[Tensor, list[Tensor], Tensor, Tensor]:
    """U, filters whose gain is below 1, B and C of two inputs and two outputs."""
    filters = [within(0.95 / count, count, seed=i).to(dtype) for i, count in enumerate(taps)]
    U, B, C = rotation(3).to(dtype), normal(3, 2, seed=5, dtype=dtype), normal(2, 3, seed=6, dtype=dtype)
    return U, filters, B, C


def longest(taps: tuple[int, ...]) -> int:
    return max(m + count // 2 for m, count in zip(DELAYS, taps, strict=True))


def loop(x: np.ndarray, U, filters, B, C, past: np.ndarray) -> np.ndarray:
    """What enters the lines and what leaves them, sample by sample."""
    lines = [list(row[::-1]) for row in past]  # oldest first
    outputs = []
    for n in range(x.shape[1]):
        outputs.append(C @ [line[-m] for line, m in zip(lines, DELAYS, strict=True)])
        turned = []
        for line, m, taps in zip(lines, DELAYS, filters, strict=True):
            first = m - len(taps) // 2
            turned.append(sum(float(tap) * line[-first - k] for k, tap in enumerate(taps)))
        for line, entering in zip(lines, B @ x[:, n] + U @ turned, strict=True):
            line.append(entering)
    return np.array(outputs).reshape(-1, len(C)).T


@each_filter
@pytest.mark.parametrize("time", [0, 1, 40])
def test_it_is_its_definition(taps, time):
    U, filters, B, C = network(taps)
    x, zi = normal(2, 2, time), normal(2, 3, longest(taps), seed=2)
    found, zf = delay_network(x, DELAYS, U, filters, B, C, zi, return_zf=True)
    assert found.shape == (2, 2, time) and zf.shape == zi.shape
    for row in range(2):
        expected = loop(x[row].numpy(), U.numpy(), [g.tolist() for g in filters], B.numpy(), C.numpy(), zi[row].numpy())
        np.testing.assert_allclose(found[row], expected.reshape(2, time), rtol=1e-11, atol=1e-12)


@each_filter
def test_derivatives_are_those_of_finite_differences(taps):
    U, filters, B, C = network(taps)
    size = len(filters)

    def function(x, zi, U, B, C, *filters):
        return delay_network(x, DELAYS, U, filters, B, C, zi, return_zf=True)

    assert size == 3
    assert_derivatives(function, normal(2, 2, 8), normal(2, 3, longest(taps), seed=1), U, B, C, *filters)


def test_transforms():
    def function(x, U, g, zi):
        return delay_network(x, [2, 3], U, [g, g[..., :1]], torch.ones(2, 1).double(), torch.eye(2).double(), zi, True)

    assert_transforms(function, normal(1, 1, 5), 0.5 * rotation(2), within(0.3, 3), normal(1, 2, 3, seed=2))


def test_compiled_it_is_itself():
    inputs = [each.requires_grad_() for each in (normal(1, 12), rotation(2), within(0.3, 3))]

    def function(x, U, g):
        return delay_network(x, [3, 4], U, [g, g], torch.ones(2, 1).double(), torch.ones(1, 2).double())

    torch._dynamo.reset()
    compiled = torch.compile(function, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(*inputs), function(*inputs))
    found, expected = (torch.autograd.grad(each(*inputs).square().sum(), inputs) for each in (compiled, function))
    torch.testing.assert_close(found, expected)


@each_filter
def test_any_blocks_are_the_whole(taps):
    x, arguments = normal(2, 2, 30), network(taps)

    def block(start, stop, state):
        return delay_network(x[..., start:stop], DELAYS, *arguments, state, return_zf=True)

    assert_same_in_blocks(delay_network(x, DELAYS, *arguments, return_zf=True), block, [1, 1, 3, 17])


def test_each_signal_may_have_its_own_network():
    x = normal(2, 3, 1, 20)
    U, g, B, C = rotation(2, 2, 3), within(0.9, 2, 3, 1), normal(2, 3, 2, 1, seed=3), normal(2, 3, 1, 2, seed=4)
    found = delay_network(x, [2, 5], U, [g, -g], B, C)
    for i in range(2):
        for j in range(3):
            expected = delay_network(x[i, j], [2, 5], U[i, j], [g[i, j], -g[i, j]], B[i, j], C[i, j])
            torch.testing.assert_close(found[i, j], expected, rtol=1e-12, atol=1e-12)


# ------------------------------------------------------------------------------- by FFTs, where signals and filters are long

LONG = [701, 1009, 1201]


def long_network(dtype: torch.dtype) -> tuple[Tensor, list[Tensor], Tensor, Tensor]:
    """Filters as long as their lines have room for: a loop of one sample."""
    filters = [0.9 * torch.hann_window(2 * m - 1, dtype=dtype) / m for m in LONG]
    return rotation(3).to(dtype), filters, normal(3, 1, seed=5, dtype=dtype), normal(1, 3, seed=6, dtype=dtype)


def test_in_float32_it_is_float64_to_rounding():
    x = normal(1, 6000)
    expected = delay_network(x, LONG, *long_network(torch.float64))
    found = delay_network(x.float(), LONG, *long_network(torch.float32))
    assert float((found - expected).square().mean() / expected.square().mean()) < 1e-11


def test_long_signals_are_their_short_blocks():
    """Of which the first is done by FFTs, the others sample by sample."""
    x, arguments = normal(1, 9000), long_network(torch.float64)

    def block(start, stop, state):
        return delay_network(x[..., start:stop], LONG, *arguments, state, return_zf=True)

    assert_same_in_blocks(delay_network(x, LONG, *arguments, return_zf=True), block, [5000, 5001, 6000, 8000])


def test_gradients_of_long_signals_are_those_of_short_blocks():
    x, (U, filters, B, C) = normal(1, 6000), long_network(torch.float64)

    def gradients(cuts):
        leaves = [each.clone().requires_grad_() for each in (x, U, B, C, *filters)]
        signal, state, pieces = leaves[0], None, []
        for start, stop in zip([0, *cuts], [*cuts, 6000], strict=True):
            part = signal[..., start:stop]
            y, state = delay_network(part, LONG, leaves[1], leaves[4:], leaves[2], leaves[3], state, return_zf=True)
            pieces.append(y)
        y = torch.cat(pieces, -1)
        return torch.autograd.grad((y**2 * torch.linspace(0, 1, 6000)).sum(), leaves)

    for found, expected in zip(gradients([]), gradients([2000, 4000]), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


# ---------------------------------------------------------------------------------------------------------------- errors


def call(**changed):
    U, filters, B, C = network((1, 1, 1), torch.float32)
    arguments = {"x": torch.ones(4, 2, 5), "delays": DELAYS, "U": U, "absorption": filters, "B": B, "C": C}
    return delay_network(**arguments | changed)


@pytest.mark.parametrize(
    ("error", "words", "changed"),
    [
        (ValueError, ["x", "(..., inputs, time)", "(5,)"], {"x": torch.ones(5)}),
        (TypeError, ["x", "real"], {"x": torch.ones(2, 5, dtype=torch.complex64)}),
        (TypeError, ["delays", "list", "int"], {"delays": 3}),
        (ValueError, ["delays", "positive", "[3, 0, 6]"], {"delays": [3, 0, 6]}),
        (ValueError, ["absorption", "3 delays", "got 1"], {"absorption": [torch.ones(1)]}),
        (ValueError, ["absorption[1]", "odd", "(2,)"], {"absorption": [torch.ones(1), torch.ones(2), torch.ones(1)]}),
        (ValueError, ["absorption[0]", "7 taps", "delay of 3", "5"], {"absorption": [torch.ones(7)] * 3}),
        (ValueError, ["U", "(3, 3)", "(2, 2)"], {"U": torch.ones(2, 2)}),
        (TypeError, ["B", "float64"], {"B": torch.ones(3, 2).double()}),
        (ValueError, ["B", "(3, 2)", "(2, 3)"], {"B": torch.ones(2, 3)}),
        (ValueError, ["C", "3)", "(2, 2)"], {"C": torch.ones(2, 2)}),
        (ValueError, ["zi", "(4, 3, 6)", "(3, 5)"], {"zi": torch.ones(3, 5)}),
        (TypeError, ["return_zf"], {"return_zf": 1}),
    ],
)
def test_errors_say_what_is_needed(error, words, changed):
    with pytest.raises(error) as raised:
        call(**changed)
    assert all(word in str(raised.value) for word in words)
