"""Signals without samples, batches without signals and filters without poles are signals, batches and filters."""

from __future__ import annotations

import pytest
import torch

import diffapf
from tests.filters.oracles import normal

# Each a call with a signal; b is its batch and n its number of samples.
CALLS = {
    **{
        form: lambda x, b, n, form=form: diffapf.lfilter(normal(*b, n, 3), normal(*b, n, 2), x, None, form, True)
        for form in ("df1", "df2", "tdf1", "tdf2")
    },
    "fixed": lambda x, b, n: diffapf.lfilter(normal(*b, 3), normal(*b, 2), x, return_zf=True),
    "partly fixed": lambda x, b, n: diffapf.lfilter(normal(*b, n, 3), normal(2), x, return_zf=True),
    "sosfilt": lambda x, b, n: diffapf.sosfilt(normal(*b, n, 2, 6), x, return_zf=True),
    "recurrence": lambda x, b, n: (diffapf.linear_recurrence(normal(*b, n), x),),
    "state space": lambda x, b, n: diffapf.state_space(
        normal(*b, n, 2, 2), normal(2), normal(*b, 2), normal(), x, return_zf=True
    ),
    "no states": lambda x, b, n: diffapf.state_space(normal(0, 0), normal(0), normal(0), normal(), x, return_zf=True),
    "diagonal": lambda x, b, n: diffapf.diagonal_state_space(
        normal(*b, n, 2), normal(2), normal(2), normal(*b), x, return_zf=True
    ),
    "parallel": lambda x, b, n: diffapf.parallel_filter(
        normal(2), normal(*b, n, 2), x, direct=normal(2), return_zf=True
    ),
    "no poles": lambda x, b, n: diffapf.parallel_filter(normal(0), normal(0), x, direct=normal(2), return_zf=True),
    "ballistics": lambda x, b, n: diffapf.ballistics(x, 0.1, 0.2, return_zf=True),
    "optical cell": lambda x, b, n: diffapf.optical_cell(
        x, 0.1, 1.2, 0.5, 1.0, 0.1, 0.05, 0.2, 0.5, 0.02, 0.01, zi=normal(*b, 2).square(), return_zf=True
    ),
    "gain curve": lambda x, b, n: (diffapf.gain_curve(x, normal(*b), 4.0, 3.0),),
    "apply gain": lambda x, b, n: (diffapf.apply_gain(x, normal(*b, n), normal(*b)),),
    "comb": lambda x, b, n: diffapf.comb(x, normal(*b, n), 3, return_zf=True),
    "delay network": lambda x, b, n: tuple(
        output[..., 0, :]
        for output in diffapf.delay_network(
            x[..., None, :], [2], normal(1, 1), [normal(*b, 3)], normal(1, 1), normal(*b, 1, 1), return_zf=True
        )
    ),
    "nonlinear": lambda x, b, n: (diffapf.nonlinear_recurrence(torch.tanh, x[..., None])[..., 0],),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("batch", [(), (0,), (2, 0), (2, 3)], ids=str)
@pytest.mark.parametrize("time", [0, 1, 5])
def test_shapes_and_gradients_of_what_is_empty(call, batch, time):
    x = normal(*batch, time).requires_grad_()
    outputs = call(x, batch, time)
    assert outputs[0].shape == x.shape
    assert all(output.shape[: len(batch)] == batch for output in outputs)
    number = torch.stack([(output**2).sum() for output in outputs]).sum()
    (gradient,) = torch.autograd.grad(number, x, create_graph=True)
    assert gradient.shape == x.shape
    assert torch.autograd.grad((gradient**2).sum(), x)[0].shape == x.shape
    _, tangents = torch.func.jvp(lambda x: call(x, batch, time), (x.detach(),), (normal(*batch, time),))
    assert [tangent.shape for tangent in tangents] == [output.shape for output in outputs]
