"""Partial fractions are SciPy's; their sections in parallel are the filter, and stay stable where direct forms do not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import signal

from diffapf.filters.allpole import allpole
from diffapf.filters.design import (
    denominator_from_reflection,
    normalised_lattice,
    parallel_form,
    poles_from_denominator,
    reflection_from_denominator,
)
from diffapf.filters.iir import lfilter
from diffapf.filters.parallel import parallel_filter
from diffapf.filters.state_space import state_space
from tests.filters.checks import assert_derivatives, assert_same_in_blocks, assert_transforms
from tests.filters.oracles import normal, quick, stable_denominator, within


def transfer_function(zeros: int, poles: int, seed: int = 0):
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.standard_normal(zeros + 1)), torch.from_numpy(2 * stable_denominator(poles, rng, 0.9))


@quick
@given(st.integers(-6, 2), st.integers(0, 6), st.integers(0, 2**32 - 1))
def test_the_sections_together_are_the_filter(more_zeros, poles, seed):
    zeros = max(poles + more_zeros, 0)  # a direct part of at most three taps: each length is compiled
    b, a = transfer_function(zeros, poles, seed)
    x = normal(2, 50)
    r, p, d = parallel_form(b, a, separation=1e-6)
    assert d.shape == (max(zeros - poles + 1, 0),)
    y = parallel_filter(r, p, x, d)
    assert y.dtype == torch.float64
    expected = signal.lfilter(b, a, x)
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-7 * float(r.abs().sum() + 1) * np.abs(expected).max())


@pytest.mark.parametrize(("zeros", "poles"), [(0, 2), (2, 2), (5, 3), (1, 5)])
def test_partial_fractions_are_scipys(zeros, poles):
    b, a = transfer_function(zeros, poles)
    r, p, d = (value.numpy() for value in parallel_form(b, a))
    expected_r, expected_p, expected_d = signal.residuez(b, a)
    order = [int(np.abs(p - pole).argmin()) for pole in expected_p]
    np.testing.assert_allclose(p[order], expected_p, rtol=1e-9)
    np.testing.assert_allclose(r[order], expected_r, rtol=1e-8)
    np.testing.assert_allclose(d, expected_d[: len(d)], rtol=1e-9)


def test_many_filters_at_once():
    pairs = [transfer_function(3, 3, seed) for seed in range(4)]
    b, a = (torch.stack(values) for values in zip(*pairs, strict=True))
    x = normal(4, 30)
    torch.testing.assert_close(parallel_filter(*parallel_form(b, a)[:2], x, parallel_form(b, a)[2]), lfilter(b, a, x))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_repeated_poles_are_named(dtype):
    double = torch.tensor([1.0, -1.0, 0.25], dtype=dtype)
    with pytest.raises(ValueError, match=r"repeated poles.*0\.5"):
        parallel_form(torch.ones(1, dtype=dtype), double)
    with pytest.raises(ValueError, match="repeated poles"):
        torch.vmap(parallel_form)(torch.ones(1, 1, dtype=dtype), double[None])
    apart = torch.tensor([1.0, -1.0, 0.2499], dtype=torch.float64)
    parallel_form(torch.ones(1).double(), apart)
    with pytest.raises(ValueError, match="repeated poles"):
        parallel_form(torch.ones(1).double(), apart, separation=0.1)


def test_derivatives_of_the_whole_are_those_of_finite_differences():
    def function(b, a, x):
        residues, poles, direct = parallel_form(b, a)
        return parallel_filter(residues, poles, x, direct)

    assert_derivatives(function, *transfer_function(4, 3), normal(2, 5))


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
@pytest.mark.parametrize("shape", [(), (2, 5)])
def test_derivatives_are_those_of_finite_differences(shape, dtype):
    r, p = normal(*shape, 2, dtype=dtype), 0.4 * normal(*shape, 2, seed=1, dtype=dtype)
    x, d, zi = (normal(*size, seed=seed, dtype=dtype) for seed, size in ((2, (2, 5)), (3, (3,)), (4, (2, 4))))
    assert_derivatives(lambda *inputs: parallel_filter(*inputs, return_zf=True), r, p, x, d, zi)


def test_transforms():
    def function(b, a, x):
        residues, poles, _ = parallel_form(b, a)
        return parallel_filter(residues, poles, x)

    assert_transforms(function, *transfer_function(1, 2), normal(2, 4), rtol=1e-7, atol=1e-7)  # eigenvalues round


@pytest.mark.parametrize("taps", [0, 1, 3])
def test_any_blocks_are_the_whole(taps):
    r, p, _ = parallel_form(*transfer_function(1, 3))
    d, x = normal(taps), normal(2, 30)

    def block(start, stop, state):
        return parallel_filter(r, p, x[:, start:stop], d, state, return_zf=True)

    assert_same_in_blocks(parallel_filter(r, p, x, d, return_zf=True), block, [1, 1, 2, 17])


def test_parallel_sections_stay_stable_where_a_direct_form_blows_up():
    """A resonance that jumps between two stable settings at each sample: pointwise stability is not enough."""
    settings = torch.tensor([[1.0, -1.9, 0.95], [1.0, 1.9, 0.95]], dtype=torch.float64)
    a = settings.repeat(200, 1)[None]
    x = normal(1, 400)
    direct = lfilter(torch.ones(1).double(), a, x)
    poles = poles_from_denominator(a)
    assert float(poles.abs().max()) < 1
    parallel = parallel_filter(torch.full_like(poles, 0.5), poles, x)
    assert float(direct.abs().max()) > 1e20
    assert float(parallel.abs().max()) < float(x.abs().max()) / (1 - float(poles.abs().max()))


def test_a_normalised_lattice_stays_stable_too():
    """In whose output the jumps cost at most the gain 1/Π c."""
    settings = torch.tensor([[1.0, -1.9, 0.95], [1.0, 1.9, 0.95]], dtype=torch.float64)
    k = reflection_from_denominator(settings)
    x = normal(1, 400)
    _, state = state_space(*normalised_lattice(k.repeat(200, 1)[None]), x, return_zf=True)
    assert float((state**2).sum()) < float((x**2).sum())
    y = state_space(*normalised_lattice(k.repeat(200, 1)[None]), x)
    assert float((y**2).sum()) < float(400 * (x**2).sum() / (1 - k**2).prod(-1).min())


@pytest.mark.parametrize("order", [0, 1, 2, 7])
def test_a_normalised_lattice_is_the_all_pole_filter(order):
    k, x = within(0.8, order, seed=1), normal(2, 30)
    expected = allpole(x, denominator_from_reflection(k)[1:])
    torch.testing.assert_close(state_space(*normalised_lattice(k), x), expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize(
    ("error", "words", "call"),
    [
        (ValueError, ["residues", "2", "3"], lambda x: parallel_filter(torch.ones(3), torch.ones(2), x)),
        (
            ValueError,
            ["poles", "(2, 5, 2)", "(2, 4, 2)"],
            lambda x: parallel_filter(torch.ones(2), torch.ones(2, 4, 2), x),
        ),
        (ValueError, ["zi", "(2, 3)"], lambda x: parallel_filter(one, one, x, torch.ones(3), torch.ones(2))),
        (TypeError, ["residues", "complex64"], lambda x: parallel_filter(one, one.to(torch.complex64), x)),
        (TypeError, ["poles", "list"], lambda x: parallel_filter(one, [0.5], x)),
    ],
)
def test_errors_say_what_is_needed(error, words, call):
    with pytest.raises(error) as raised:
        call(torch.ones(2, 5))
    assert all(word in str(raised.value) for word in words)


one = torch.ones(1)
