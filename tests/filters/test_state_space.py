"""State-space filters are their equations: dense, companion and diagonal, fixed and moving, real and complex."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from diffapf.filters.design import companion
from diffapf.filters.iir import lfilter
from diffapf.filters.state_space import diagonal_state_space, state_space
from tests.filters.checks import assert_derivatives, assert_same_in_blocks, assert_transforms
from tests.filters.oracles import normal, within

DTYPES = [torch.float64, torch.complex128]
SHAPES = {"fixed": (), "fixed per row": (2,), "moving": (2, 5)}
N = 3


def matrices(shape: tuple[int, ...], dtype: torch.dtype = torch.float64) -> tuple[Tensor, ...]:
    A = within(0.9 / N, *shape, N, N, seed=1).to(dtype) * (1 + 0.3j if dtype.is_complex else 1)
    return A, *(normal(*shape, *size, seed=seed, dtype=dtype) for seed, size in ((2, (N,)), (3, (N,)), (4, ())))


def signals(time: int = 5, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    return normal(2, time, dtype=dtype), normal(2, N, seed=5, dtype=dtype)


def loop(A, B, C, D, x, v):
    """One row, matrices of each sample."""
    y = []
    for n in range(len(x)):
        y.append(C[n] @ v + D[n] * x[n])
        v = A[n] @ v + B[n] * x[n]
    return np.array(y), v


def each_sample(system: tuple[Tensor, ...], row: int, time: int) -> list[np.ndarray]:
    """The system's matrices of one row at each sample, whatever their layout."""
    found = []
    for value, trailing in zip(system, (2, 1, 1, 0), strict=True):
        shape = value.shape[value.dim() - trailing :]
        lead = value.dim() - trailing
        rows = value if lead == 2 else value[:, None] if lead == 1 else value[None, None]
        found.append(rows.expand(2, time, *shape)[row].numpy())
    return found


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", SHAPES)
def test_it_is_its_equations(layout, dtype):
    system, (x, zi) = matrices(SHAPES[layout], dtype), signals(dtype=dtype)
    diagonal = system[0].diagonal(dim1=-2, dim2=-1), *system[1:]
    as_matrix = torch.diag_embed(diagonal[0]), *system[1:]
    for function, given, dense in ((state_space, system, system), (diagonal_state_space, diagonal, as_matrix)):
        y, zf = function(*given, x, zi, return_zf=True)
        for row in range(2):
            expected, state = loop(*each_sample(dense, row, 5), x[row].numpy(), zi[row].numpy())
            np.testing.assert_allclose(y[row], expected, rtol=1e-11, atol=1e-11)
            np.testing.assert_allclose(zf[row], state, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("moving", [False, True])
def test_a_companion_is_the_second_direct_form(moving):
    """Output and state, also where coefficients move: the state is the past of w."""
    shape = (2, 20) if moving else ()
    b, a = normal(*shape, 3), torch.cat([2 * torch.ones(*shape, 1), within(0.4, *shape, 3, seed=1)], -1)
    x, zi = normal(2, 20, seed=2), normal(2, 3, seed=3)
    found = state_space(*companion(b, a), x, zi, return_zf=True)
    for one, wanted in zip(found, lfilter(b, a, x, zi, "df2", return_zf=True), strict=True):
        torch.testing.assert_close(one, wanted, rtol=1e-10, atol=1e-11)


def test_real_signals_pass_through_complex_poles():
    A, B, C, D = (torch.tensor(value, dtype=torch.complex128) for value in ([0.5 + 0.4j], [1.0], [2 - 1j], 0.5))
    x = normal(2, 20)
    y = diagonal_state_space(A, B, C, D, x)
    torch.testing.assert_close(y, diagonal_state_space(A, B, C, D, x.to(torch.complex128)))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", ["fixed", "moving"])
def test_derivatives_are_those_of_finite_differences(layout, dtype):
    system, (x, zi) = matrices(SHAPES[layout], dtype), signals(dtype=dtype)
    assert_derivatives(lambda *inputs: state_space(*inputs, return_zf=True), *system, x, zi)
    diagonal = system[0].diagonal(dim1=-2, dim2=-1)
    assert_derivatives(lambda *inputs: diagonal_state_space(*inputs, return_zf=True), diagonal, *system[1:], x, zi)


def test_transforms():
    (A, B, C, D), (x, zi) = matrices(()), signals(3)
    inputs = A[:2, :2], B[:2], C[:2], D, x, zi[:, :2]
    assert_transforms(lambda *inputs: state_space(*inputs, return_zf=True), *inputs)


@pytest.mark.parametrize("function", [state_space, diagonal_state_space])
def test_any_blocks_are_the_whole(function):
    A, B, C, D = matrices((2, 30))
    A = A if function is state_space else A[..., 0]
    x, _ = signals(30)

    def block(start, stop, state):
        return function(*(value[:, start:stop] for value in (A, B, C, D, x)), state, return_zf=True)

    assert_same_in_blocks(function(A, B, C, D, x, return_zf=True), block, [1, 1, 4, 29])


def test_autocast_rounds_nothing():
    system, (x, zi) = [value.float().requires_grad_() for value in matrices((2, 5))], signals()
    expected = torch.autograd.grad(state_space(*system, x.float(), zi.float()).sum(), system)
    with torch.autocast("cpu", torch.bfloat16):
        found = torch.autograd.grad(state_space(*system, x.float(), zi.float()).sum(), system)
    assert all(map(torch.equal, found, expected))


@pytest.mark.parametrize("function", [state_space, diagonal_state_space])
def test_an_empty_signal_gives_the_state_back(function):
    A, *rest = matrices(())
    x, zi = signals(0)
    y, zf = function(A if function is state_space else A[0], *rest, x, zi, return_zf=True)
    assert y.shape == (2, 0)
    assert torch.equal(zf, zi)


one, x = torch.ones(2), torch.ones(2, 5)


@pytest.mark.parametrize(
    ("error", "words", "call"),
    [
        (ValueError, ["A", "square", "(2, 3)"], lambda: state_space(torch.ones(2, 3), one, one, one, x)),
        (ValueError, ["A", "(2, 5)"], lambda: state_space(torch.ones(2, 4, 2, 2), one, one, one, x)),
        (ValueError, ["B", "(..., 2)", "(3,)"], lambda: state_space(torch.ones(2, 2), torch.ones(3), one, one, x)),
        (ValueError, ["C", "(..., 2)", "(3,)"], lambda: diagonal_state_space(one, one, torch.ones(3), one, x)),
        (ValueError, ["zi", "(2, 2)", "(3,)"], lambda: diagonal_state_space(one, one, one, one, x, torch.ones(3))),
        (TypeError, ["D", "float64"], lambda: state_space(torch.ones(2, 2), one, one, one.double(), x)),
        (TypeError, ["A", "tensor", "float"], lambda: state_space(0.5, one, one, one, x)),
    ],
)
def test_errors_say_what_is_needed(error, words, call):
    with pytest.raises(error) as raised:
        call()
    assert all(word in str(raised.value) for word in words)
