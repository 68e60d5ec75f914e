"""The network's kernels, sample by sample, in blocks and at each frequency, compute what reference.py defines."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from diffapf.kernels import batched, cpu, reference
from tests.filters.oracles import normal

# lines, taps, leading taps of 0, samples, rows, rows of coefficients
SIZES = [
    (1, 1, 0, 9, 1, 1),
    (3, 5, 0, 40, 2, 2),
    (2, 70, 0, 300, 4, 2),
    (6, 40, 10, 129, 3, 1),
    (3, 20, 64, 64, 6, 3),
    (2, 3, 0, 1, 1, 1),
    (2, 3, 2, 0, 2, 1),
]


def problem(lines: int, taps: int, late: int, time: int, rows: int, shared: int, dtype: torch.dtype) -> list[Tensor]:
    T = normal(shared, lines, lines, seed=1, dtype=dtype)
    f = normal(shared, lines, taps, seed=2, dtype=dtype)
    f = torch.nn.functional.pad(0.9 * f / f.abs().sum(-1, keepdim=True), (late, 0))
    x, zi = normal(rows, lines, time, dtype=dtype), normal(rows, lines, taps + late, seed=3, dtype=dtype)
    return [x, torch.matrix_exp(T - T.mT), f, zi]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("kernels", [cpu, batched], ids=["cpu", "batched"])
def test_delay_network_kernels_are_the_reference(kernels, sizes, dtype):
    inputs = problem(*sizes, dtype)
    outputs, expected = ([torch.full_like(inputs[0], torch.nan) for _ in range(2)] for _ in range(2))
    reference.delay_network(*inputs, *expected)
    kernels.delay_network(*inputs, *outputs)
    tolerance = {torch.float32: 2e-5, torch.float64: 1e-12}[dtype]
    for found, wanted in zip(outputs, expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("frequencies", [0, 1, 33, 5000])
@pytest.mark.parametrize(("lines", "rows", "shared"), [(1, 1, 1), (2, 6, 3), (6, 2, 1)])
def test_network_response_is_the_reference(lines, rows, shared, frequencies):
    v = normal(rows, lines, frequencies, dtype=torch.complex128)
    F = normal(shared, lines, frequencies, seed=1, dtype=torch.complex128)
    _, U, *_ = problem(lines, 1, 0, 0, rows, shared, torch.float64)
    F = 0.97 * F / F.abs().amax(1, keepdim=True).clamp_min(1e-3)
    found, expected = torch.full_like(v, torch.nan), torch.full_like(v, torch.nan)
    reference.network_response(v, U, F, expected)
    cpu.network_response(v, U, F, found)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
