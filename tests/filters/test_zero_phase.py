"""Initial states and zero-phase filtering are SciPy's, and differentiable."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import signal

from diffapf.filters.design import companion, parallel_form
from diffapf.filters.iir import lfilter
from diffapf.filters.zero_phase import filtfilt, lfilter_zi, lfiltic
from tests.filters.checks import assert_derivatives, assert_vmap_is_a_loop
from tests.filters.oracles import normal, quick, stable_denominator

orders = st.sampled_from([0, 1, 2, 6])  # each is compiled


def of(*arrays):
    return [torch.from_numpy(np.asarray(array)) for array in arrays]


@quick
@given(orders, orders, st.integers(0, 2**32 - 1))
def test_lfilter_zi_is_scipys(zeros, poles, seed):
    rng = np.random.default_rng(seed)
    b, a = rng.standard_normal(zeros + 1), 2 * stable_denominator(poles, rng)
    found = lfilter_zi(*of(b, a))
    expected = signal.lfilter_zi(b, a) if max(zeros, poles) else np.zeros(0)
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-8 * np.abs(b).max())
    torch.testing.assert_close(
        lfilter(*of(b, a), torch.ones(9).double(), found), (b.sum() / a.sum()) * torch.ones(9).double()
    )


@quick
@given(orders, orders, st.integers(0, 12), st.integers(0, 12), st.integers(0, 2**32 - 1))
def test_lfiltic_is_scipys(zeros, poles, outputs, inputs, seed):
    rng = np.random.default_rng(seed)
    b, a = rng.standard_normal(zeros + 1), 2 * stable_denominator(poles, rng)
    y, x = rng.standard_normal(outputs), rng.standard_normal(inputs)
    order = max(zeros, poles)
    expected = signal.lfiltic(b, a, y[:poles], x[:zeros]) if order else np.zeros(0)
    np.testing.assert_allclose(lfiltic(*of(b, a, y, x)), expected, rtol=1e-9, atol=1e-9)


def test_lfiltic_continues_a_signal():
    b, a = normal(3), torch.tensor([1.0, -0.5, 0.3], dtype=torch.float64)
    x = normal(2, 20)
    y, zf = lfilter(b, a, x, return_zf=True)
    torch.testing.assert_close(lfiltic(b, a, y.flip(-1), x.flip(-1)), zf)


@pytest.mark.parametrize("padtype", ["odd", "even", "constant", None])
@pytest.mark.parametrize("padlen", [None, 0, 1, 20])
@pytest.mark.parametrize(("zeros", "poles"), [(2, 2), (0, 3), (4, 1), (3, 0)])
def test_filtfilt_is_scipys(padtype, padlen, zeros, poles):
    rng = np.random.default_rng(zeros)
    b, a, x = rng.standard_normal(zeros + 1), 2 * stable_denominator(poles, rng), rng.standard_normal((2, 40))
    expected = signal.filtfilt(b, a, x, padtype=padtype, padlen=padlen)
    np.testing.assert_allclose(filtfilt(*of(b, a, x), padtype, padlen), expected, rtol=1e-9, atol=1e-9)


def test_filtfilt_takes_a_filter_for_each_row():
    b, a, x = normal(2, 3), torch.tensor([[1.0, -0.5], [1.0, 0.4]], dtype=torch.float64), normal(2, 30, seed=1)
    torch.testing.assert_close(filtfilt(b, a, x), torch.stack([filtfilt(*row) for row in zip(b, a, x, strict=True)]))


def problem():
    return normal(2), torch.tensor([1.25, -0.5, 0.3], dtype=torch.float64), normal(2, 5, seed=2)


@pytest.mark.parametrize("padtype", ["odd", None])
def test_filtfilts_derivatives_are_those_of_finite_differences(padtype):
    assert_derivatives(lambda b, a, x: filtfilt(b, a, x, padtype, 2 if padtype else None), *problem())


def test_the_states_derivatives_are_those_of_finite_differences():
    b, a, x = problem()
    assert_derivatives(lfilter_zi, b, a)
    assert_derivatives(lambda b, a, x: lfiltic(b, a, x[0], x[1]), b, a, x)


def test_vmap_is_a_loop():
    assert_vmap_is_a_loop(lambda b, a, x: filtfilt(b, a, x, padlen=2), *problem())


def test_autocast_makes_halves_float32_again():
    b, a = torch.tensor([1.0, 0.4]), torch.tensor([1.0, -0.5, 0.3])
    calls = (lambda b, a: (lfilter_zi(b, a),)), (lambda b, a: (lfiltic(b, a, b, a),)), parallel_form, companion
    for call in calls:
        with torch.autocast("cpu", torch.bfloat16):
            found = call(b.bfloat16(), a.bfloat16())
        torch.testing.assert_close(found, call(b.bfloat16().float(), a.bfloat16().float()), rtol=0, atol=0)


def test_an_empty_signal_stays_empty():
    b, a, _ = problem()
    assert filtfilt(b, a, normal(2, 0), padlen=0).shape == (2, 0)


@pytest.mark.parametrize(
    ("error", "words", "call"),
    [
        (ValueError, ["padtype", "odd", "'mirror'"], lambda b, a, x: filtfilt(b, a, x, "mirror")),
        (ValueError, ["padlen", "5", "9"], lambda b, a, x: filtfilt(b, a, x)),
        (ValueError, ["padlen", "-1"], lambda b, a, x: filtfilt(b, a, x, padlen=-1)),
        (ValueError, ["b", "fixed", "(2, 5, 2)"], lambda b, a, x: filtfilt(b.expand(2, 5, 2), a, x, padlen=2)),
        (ValueError, ["a[..., 0]"], lambda b, a, x: filtfilt(b, 0 * a, x, padlen=2)),
        (ValueError, ["a[..., 0]"], lambda b, a, x: lfilter_zi(b, 0 * a)),
        (ValueError, ["b", "none"], lambda b, a, x: lfilter_zi(b[:0], a)),
        (TypeError, ["a", "float32"], lambda b, a, x: lfiltic(b, a.float(), x)),
    ],
)
def test_errors_say_what_is_needed(error, words, call):
    with pytest.raises(error) as raised:
        call(*problem())
    assert all(word in str(raised.value) for word in words)
