"""Malformed calls of all operators, at random: ValueError, TypeError, or a result. Nothing else, and no crash."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

import diffapf
from diffapf.filters.design import poles_from_denominator, reflection_from_denominator
from diffapf.filters.stability import is_stable
from tests.filters.malformed_calls import OPERATORS

ROOT = Path(__file__).parents[2]
PROCESSES, CALLS = 1, 250  # ten thousand: python -m tests.filters.malformed_calls 0 10000


@pytest.mark.parametrize("process", range(PROCESSES))
def test_malformed_calls_raise_what_is_promised(process):
    command = [sys.executable, "-m", "tests.filters.malformed_calls", str(process * CALLS), str(CALLS)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert done.stdout.endswith(f"{CALLS} calls, 0 wrong\n"), done.stdout[-5000:]


def test_every_operator_is_called():
    functions = {name for name in diffapf.__all__ if not isinstance(getattr(diffapf, name), type)}
    assert set(OPERATORS) >= functions > set()


@pytest.mark.parametrize("stages", [0, 17, 100_000, 4.0, True])
def test_stages_that_no_kernel_is_compiled_for(stages):
    """Of a hundred thousand, the compiler would end in a RecursionError."""
    with pytest.raises(ValueError, match="stages must be an integer from 1 to 16"):
        diffapf.allpass_cascade(torch.ones(5), torch.tensor(0.5), stages=stages)


# ------------------------------------------------------------------------------------------------ what it found, by name


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_poles_of_what_is_no_polynomial_are_no_numbers(bad):
    """LAPACK would end the process."""
    a = torch.tensor([[1.0, bad, 0.5], [1.0, 0.0, -0.25]]).requires_grad_()
    poles = poles_from_denominator(a)
    assert not poles[0].isfinite().any()
    assert sorted(poles[1].real.tolist()) == pytest.approx([-0.5, 0.5])
    poles[1].real.sum().backward()
    assert a.grad[1].isfinite().all()


@pytest.mark.parametrize("hop", [float("inf"), 1e-300, 1e300, True])
def test_hops_that_no_clock_has(hop):
    """With infinitely long frames, the kernel would look for the next one for ever."""
    with pytest.raises(ValueError, match="hop must be a positive number"):
        diffapf.allpole(torch.ones(5), torch.ones(3, 1), hop=hop)


@pytest.mark.parametrize(("start", "step"), [(float("nan"), 1.0), (0.0, float("inf")), (0.0, -0.1), (0.0, 1e-12)])
def test_control_rates_that_no_clock_has(start, step):
    with pytest.raises(ValueError, match=r"start|step"):
        diffapf.ControlRate(start, step)


def test_a_clock_that_stands_still_reads_one_frame():
    x, rate = torch.ones(5), diffapf.ControlRate.align_corners(1, 5)
    expected = diffapf.allpole(x, torch.tensor([-0.5]))
    assert torch.equal(diffapf.allpole(x, torch.tensor([[-0.5]]), hop=rate), expected)
    assert torch.equal(diffapf.allpole(x, torch.tensor([[-0.5]]), hop=diffapf.ControlRate(-3.0, 0.0)), expected)
    with pytest.raises(ValueError, match=r"rate of 0 frames a sample.* a has 2"):
        diffapf.allpole(x, torch.ones(2, 1), hop=rate)


def test_sparse_tensors_are_not_taken():
    with pytest.raises(TypeError, match=r"x must be a dense tensor.*sparse_coo"):
        diffapf.allpole(torch.ones(5).to_sparse(), torch.ones(1))


def test_return_zf_is_a_flag():
    with pytest.raises(TypeError, match="return_zf must be True or False, got Tensor"):
        diffapf.allpole(torch.ones(5), torch.ones(1), return_zf=torch.ones(2))


def test_a_conjugate_view_is_upsampled():
    x = torch.randn(7, dtype=torch.complex128, generator=torch.manual_seed(0))
    found = diffapf.cubic_spline_upsample(x.conj(), 3)
    torch.testing.assert_close(found, diffapf.cubic_spline_upsample(x, 3).conj())


@pytest.mark.parametrize(("b", "a"), [((0, 5), (1,)), ((3,), (4, 3)), ((3,), (0, 3))])
def test_filtfilts_coefficients_fit_the_batch(b, a):
    with pytest.raises(ValueError, match=r"must be fixed, \(2, 3, 'taps'\)"):
        diffapf.filtfilt(torch.ones(b), torch.ones(a), torch.ones(2, 3, 9), padlen=2)


@pytest.mark.parametrize("function", [is_stable, reflection_from_denominator, poles_from_denominator])
@pytest.mark.parametrize(("value", "error"), [([1.0], TypeError), (torch.tensor(1.0), ValueError)])
def test_denominators_are_tensors_with_coefficients(function, value, error):
    with pytest.raises(error, match="a "):
        function(value)
