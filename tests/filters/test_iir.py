"""lfilter is SciPy's where coefficients are fixed, and each form's own equations where they move."""

from __future__ import annotations

import itertools
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import signal
from torch import Tensor
from torch.func import jvp

from diffapf.filters import iir
from diffapf.filters.control_rate import FIXED, ControlRate
from diffapf.filters.iir import lfilter, normalised, transposed_form_2
from tests.filters.checks import assert_derivatives, assert_same_in_blocks, assert_transforms, results_and_gradients
from tests.filters.oracles import direct_form_loop, normal, quick, stable_denominator, within

FORMS = ["df1", "df2", "tdf1", "tdf2"]
DOUBLED = {"df1", "tdf1"}  # two registers for each order
each_form = pytest.mark.parametrize("form", FORMS)


def registers(form: str, order: int) -> int:
    return order * (2 if form in DOUBLED else 1)


def moving(order: int, rows: int, *frames: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """b, and a with a leading coefficient other than 1, of filters that are stable however they move."""
    leading = (1.5 + within(0.2, rows, *frames, 1, seed=3)).to(dtype)
    rest = within(0.9 / max(order, 1), rows, *frames, order, seed=2, dtype=dtype)
    return normal(rows, *frames, order + 1, seed=1, dtype=dtype), torch.cat([leading, leading * rest], -1)


@each_form
@pytest.mark.parametrize(("order", "others"), [(0, 14), (2, 6), (6, 2)])  # each is compiled
def test_fixed_filters_are_scipys(order, others, form):
    """With numerators of other lengths than the denominators."""
    rng = np.random.default_rng(order)
    for zeros in (order, others):
        a = np.stack([stable_denominator(order, rng) for _ in range(10)]) * rng.uniform(0.5, 2, (10, 1))
        b, x = rng.standard_normal((10, zeros + 1)), rng.standard_normal((10, 60))
        y = lfilter(*map(torch.from_numpy, (b, a, x)), form=form)
        for row in range(10):
            expected = signal.lfilter(b[row], a[row], x[row])
            np.testing.assert_allclose(y[row], expected, rtol=0, atol=1e-10 * np.abs(expected).max())


@pytest.mark.parametrize(("zeros", "poles"), [(0, 1), (1, 0), (2, 2), (5, 2), (6, 6)])
def test_the_state_is_scipys(zeros, poles):
    rng = np.random.default_rng(zeros)
    order = max(zeros, poles)
    b, a = rng.standard_normal(zeros + 1), 2 * stable_denominator(poles, rng)
    x, zi = rng.standard_normal((3, 40)), rng.standard_normal((3, order))
    y, zf = lfilter(*map(torch.from_numpy, (b, a, x, zi)), return_zf=True)
    expected, state = signal.lfilter(b, a, x, zi=zi)
    np.testing.assert_allclose(y, expected, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(zf, state, rtol=1e-9, atol=1e-9)


@quick
@given(
    order=st.sampled_from([1, 2]),
    rows=st.integers(1, 5),
    time=st.integers(1, 40),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    seed=st.integers(0, 99),
)
def test_fixed_filters_of_low_order(order, rows, time, dtype, seed):
    """SciPy's signal and state, and the gradients of what they are composed of, at any length and of any number of rows."""
    x, zi, g = (normal(rows, size, seed=seed + k).to(dtype) for k, size in enumerate((time, order, time)))
    b, a = (c[:, 0] for c in moving(order, rows, 1, dtype=dtype))
    tolerance = 1e-5 if dtype == torch.float32 else 1e-12
    leaves = [value.clone().requires_grad_() for value in (b, a, x, zi)]
    y, zf = lfilter(*leaves, return_zf=True)
    for row in range(rows):
        expected = signal.lfilter(*(value[row].double().numpy() for value in (b, a, x)), zi=zi[row].double().numpy())
        for found, wanted in zip((y, zf), expected, strict=True):
            np.testing.assert_allclose(found[row].detach(), wanted, rtol=tolerance, atol=tolerance)
    found = torch.autograd.grad((y, zf), leaves, (g, g[:, :1].expand(-1, order)))
    same = [value.double().clone().requires_grad_() for value in (b, a, x, zi)]
    rows_of = normalised(same[0][:, None], same[1][:, None])
    composed = transposed_form_2(same[2], *rows_of, same[3], FIXED)
    wanted = torch.autograd.grad(composed, same, (g.double(), g[:, :1].expand(-1, order).double()))
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(
            one.double(), other, rtol=10 * tolerance, atol=10 * tolerance * other.abs().max().item()
        )


@each_form
@pytest.mark.parametrize("order", [1, 2, 6])
@pytest.mark.parametrize("time", [0, 1, 3, 12])
def test_with_coefficients_moving_it_solves_the_forms_equations(form, order, time):
    b, a = moving(order, 2, time)
    x, zi = normal(2, time), normal(2, registers(form, order), seed=4)
    y, zf = lfilter(b, a, x, zi, form, return_zf=True)
    for row in range(2):
        normalised = (b / a[..., :1])[row].numpy(), (a / a[..., :1])[row, :, 1:].numpy()
        expected, state = direct_form_loop(form, x[row].numpy(), *normalised, zi[row].numpy())
        np.testing.assert_allclose(y[row], expected, rtol=1e-11, atol=1e-11)
        np.testing.assert_allclose(zf[row], state, rtol=1e-11, atol=1e-11)


def test_the_forms_differ_when_coefficients_move():
    b, a = moving(2, 1, 30)
    outputs = [lfilter(b, a, normal(1, 30), form=form) for form in FORMS]
    for i, one in enumerate(outputs):
        assert all(not torch.allclose(one, other, rtol=1e-2) for other in outputs[:i])


@each_form
def test_order_2_is_philtorchs(form):
    philtorch = pytest.importorskip("philtorch.lpv", reason="philtorch is not installed")
    b, a = moving(2, 3, 40)
    b, a = b / a[..., :1], a[..., 1:] / a[..., :1]
    x = normal(3, 40)
    expected = philtorch.lfilter(b, a, x, form=form)
    y = lfilter(b, torch.nn.functional.pad(a, (1, 0), value=1.0), x, form=form)
    torch.testing.assert_close(y, expected[0] if isinstance(expected, tuple) else expected, rtol=1e-10, atol=1e-10)


LAYOUTS = {
    "fixed": ((), (), None),
    "fixed per row": ((2,), (2,), None),
    "moving": ((2, 5), (2, 5), None),
    "control rate": ((2, 3), (2, 3), 2),
    "only a moves": ((), (2, 5), None),
    "only b moves": ((2, 3), (2,), 2),
}


def problem(form: str, order: int, layout: str, dtype: torch.dtype = torch.float64):
    b_shape, a_shape, hop = LAYOUTS[layout]
    b = normal(*b_shape, order, seed=1, dtype=dtype)  # one tap less than a has
    a = within(0.9 / order, *a_shape, order + 1, seed=2, dtype=torch.float64).to(dtype)
    a = torch.cat([0 * a[..., :1] + 1.25, a[..., 1:]], -1)
    x, zi = normal(2, 5, seed=3, dtype=dtype), normal(2, registers(form, order), seed=4, dtype=dtype)
    return (lambda b, a, x, zi: lfilter(b, a, x, zi, form, True, hop)), (b, a, x, zi)


@pytest.mark.parametrize(
    ("form", "layout"),
    [
        ("df1", "moving"),
        ("df1", "only a moves"),
        ("df2", "control rate"),
        ("tdf1", "fixed"),
        ("tdf1", "only b moves"),
        ("tdf2", "fixed per row"),
    ],
)
def test_derivatives_are_those_of_finite_differences(form, layout):
    function, inputs = problem(form, 2, layout)
    assert_derivatives(function, *inputs)


@pytest.mark.parametrize(("form", "layout"), [("df2", "fixed"), ("tdf2", "moving")])
def test_complex_derivatives_are_those_of_finite_differences(form, layout):
    function, inputs = problem(form, 2, layout, torch.complex128)
    assert_derivatives(function, *inputs)


@each_form
def test_signals_shorter_than_the_filter_have_right_derivatives(form):
    function, (b, a, x, zi) = problem(form, 2, "fixed")
    assert_derivatives(function, b, a, x[:1, :1], zi[:1])


@each_form
@pytest.mark.parametrize("layout", ["fixed", "control rate"])
def test_transforms(form, layout):
    function, inputs = problem(form, 2, layout)
    assert_transforms(function, *inputs)


@each_form
def test_any_blocks_are_the_whole(form):
    b, a = moving(2, 2, 30)
    x = normal(2, 30)
    whole = lfilter(b, a, x, form=form, return_zf=True)

    def block(start, stop, state):
        part = slice(start, stop)
        return lfilter(b[:, part], a[:, part], x[:, part], state, form, return_zf=True)

    assert_same_in_blocks(whole, block, [1, 1, 3, 17, 29])


@each_form
@pytest.mark.parametrize("offset", [0, 5])
def test_the_control_rate_is_interpolation(form, offset):
    frames, x = moving(2, 2, 4), normal(2, 30)
    positions = (offset + np.arange(30)) / 7
    weights = torch.from_numpy(np.stack([np.interp(positions, np.arange(4), row) for row in np.eye(4)], 1))
    b, a = (weights @ (frame / frames[1][..., :1]) for frame in frames)
    y = lfilter(*frames, x, form=form, hop=ControlRate.hop(7, offset))
    torch.testing.assert_close(y, lfilter(b, a, x, form=form), rtol=1e-11, atol=1e-11)


def test_one_frame_from_the_first_sample_to_the_last_is_a_fixed_filter():
    b, a = moving(2, 2, 1)
    x = normal(2, 30)
    found = lfilter(b, a, x, hop=ControlRate.align_corners(1, 30))
    torch.testing.assert_close(found, lfilter(b[:, 0], a[:, 0], x), rtol=0, atol=0)


@each_form
@pytest.mark.parametrize("batch", [(), (1,), (2, 3), (0,)], ids=str)
def test_batches_of_any_shape(form, batch):
    b, a = normal(3), torch.tensor([1.0, -0.5, 0.3], dtype=torch.float64)
    x, zi = normal(*batch, 8), normal(*batch, registers(form, 2), seed=1)
    y, zf = lfilter(b, a, x, zi, form, return_zf=True)
    assert y.shape == x.shape and zf.shape == zi.shape
    for row, row_zi, row_y in zip(x.reshape(-1, 8), zi.reshape(-1, zi.shape[-1]), y.reshape(-1, 8), strict=True):
        torch.testing.assert_close(lfilter(b, a, row, row_zi, form), row_y)


@each_form
def test_an_empty_signal_gives_the_state_back(form):
    zi = normal(2, registers(form, 2)).requires_grad_()
    y, zf = lfilter(normal(3), torch.ones(3).double(), normal(2, 0), zi, form, return_zf=True)
    assert y.shape == (2, 0)
    assert torch.equal(zf, zi)
    assert torch.equal(torch.autograd.grad(zf.sum(), zi)[0], torch.ones_like(zi))


@each_form
def test_order_0_is_a_gain(form):
    x = normal(2, 5)
    y, zf = lfilter(torch.tensor([3.0]).double(), torch.tensor([2.0]).double(), x, form=form, return_zf=True)
    torch.testing.assert_close(y, 1.5 * x)
    assert zf.shape == (2, 0)


@each_form
def test_in_float32_and_under_autocast_it_is_float32(form):
    (b, a), x = moving(2, 2, 60, dtype=torch.float32), normal(2, 60, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        y = lfilter(b, a, x, form=form)
    assert y.dtype == torch.float32
    torch.testing.assert_close(y.double(), lfilter(b.double(), a.double(), x.double(), form=form), rtol=0, atol=1e-5)


def test_autocast_rounds_no_tangent():
    inputs = tuple(torch.tensor(numbers) for numbers in ([1.0, 0.3, 0.2], [1.0, -0.5, 0.3], [1.0, 0.7, -0.4]))
    expected = jvp(lfilter, inputs, inputs)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(jvp(lfilter, inputs, inputs), expected, rtol=0, atol=0)


@each_form
@pytest.mark.parametrize("frames", [(), (20,)])
def test_a_bad_sample_spoils_the_rest_of_its_row_alone(form, frames):
    x, (b, a) = normal(3, 20), moving(2, 3, *frames)
    bad = x.clone()
    bad[1, 6] = torch.nan
    y, clean = lfilter(b, a, bad, form=form), lfilter(b, a, x, form=form)
    assert torch.equal(y[[0, 2]], clean[[0, 2]])
    assert torch.equal(y[1, :6], clean[1, :6])
    assert y[1, 6:].isnan().all()


@each_form
@pytest.mark.parametrize("moves", [False, True])
def test_where_no_kernel_is_fused_it_is_a_fir_and_an_all_pole_filter(form, moves, monkeypatch):
    """As on a GPU, which has kernels of these."""
    inputs = *(moving(2, 2, 20) if moves else moving(2, 2)), normal(2, 20)
    function = partial(lfilter, form=form, return_zf=True)
    expected = results_and_gradients(function, inputs)
    monkeypatch.setattr(iir, "is_fused", lambda x, order: False)
    monkeypatch.setattr(iir, "DirectForm", None)
    torch.testing.assert_close(results_and_gradients(function, inputs), expected, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("form", ["df2", "tdf2"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("odd", [0, 1])  # an odd number of samples: the second row does not begin where vectors do
def test_large_gradients_are_those_of_their_rows(form, dtype, odd):
    """Those of 8 MB and more are written past the caches."""
    time = 8 * 2**20 // (2 * 3 * dtype.itemsize) + 8 + odd
    (b, a), x, g = moving(2, 2, time, dtype=dtype), normal(2, time, dtype=dtype), normal(2, time, seed=4, dtype=dtype)
    each_row = [gradients(b[row], a[row], x[row], g[row], form) for row in range(2)]
    tolerance = 20 * torch.finfo(dtype).eps
    for whole, *rows in zip(gradients(b, a, x, g, form), *each_row, strict=True):
        each = torch.stack(rows)
        torch.testing.assert_close(whole, each, rtol=tolerance, atol=tolerance * each.abs().max().item())


def gradients(b: Tensor, a: Tensor, x: Tensor, g: Tensor, form: str) -> tuple[Tensor, ...]:
    inputs = tuple(value.clone().requires_grad_() for value in (b, a, x))
    return torch.autograd.grad(lfilter(*inputs, form=form), inputs, g)


@pytest.mark.parametrize(
    ("error", "words", "call"),
    [
        (ValueError, ["form", "tdf2", "'df3'"], lambda x: lfilter(of(2), of(2), x, form="df3")),
        (ValueError, ["a[..., 0]", "0"], lambda x: lfilter(of(2), torch.zeros(2), x)),
        (ValueError, ["b", "none"], lambda x: lfilter(of(0), of(2), x)),
        (ValueError, ["a", "none"], lambda x: lfilter(of(2), of(0), x)),
        (ValueError, ["zi", "(2, 4)", "(2, 2)"], lambda x: lfilter(of(3), of(3), x, of(2, 2), "df1")),
        (ValueError, ["b", "(2, 5, 3)", "(2, 4, 3)"], lambda x: lfilter(of(2, 4, 3), of(3), x)),
        (ValueError, ["frames", "3", "4"], lambda x: lfilter(of(2, 3, 3), of(2, 4, 3), x, hop=2)),
        (ValueError, ["hop", "frames"], lambda x: lfilter(of(3), of(2, 3), x, hop=2)),
        (TypeError, ["a", "float64", "float32"], lambda x: lfilter(of(2), of(2).double(), x)),
        (TypeError, ["b", "tensor", "list"], lambda x: lfilter([1.0], of(2), x)),
    ],
)
def test_errors_say_what_is_needed(error, words, call):
    with pytest.raises(error) as raised:
        call(of(2, 5))
    assert all(word in str(raised.value) for word in words)


def of(*shape: int) -> Tensor:
    return torch.ones(shape)


@each_form
@pytest.mark.parametrize("time", [0, 1, 9])
def test_a_zero_of_a_fixed_filter_is_found(form, time):
    for order, sample, rest in itertools.product((1, 2, 5), (0.0, 1.0), (0.0, 0.5)):
        a = torch.tensor([0.0, *[rest] * order])
        with pytest.raises(ValueError, match="must not be 0"):
            lfilter(torch.full((order + 1,), rest), a, torch.full((2, time), sample), form=form)


@each_form
@pytest.mark.parametrize(("order", "time"), [(0, 3), (1, 3), (2, 21), (9, 12)])
def test_a_zero_is_found_wherever_it_is(form, order, time):
    """Also where the signal and all other coefficients are 0, which leaves nothing to divide."""
    for filled, at, sample in itertools.product((0.0, 0.5), (0, 1, time - 1), (0.0, 1.0)):
        a = torch.full((2, time, order + 1), filled)
        a[..., 0] = 1.0
        assert lfilter(a, a, torch.full((2, time), sample), form=form).isfinite().all()
        a[1, at, 0] = 0.0
        with pytest.raises(ValueError, match="must not be 0"):
            lfilter(torch.full_like(a, filled), a, torch.full((2, time), sample), form=form)


def test_a_zero_is_found_under_vmap():
    with pytest.raises(ValueError, match="must not be 0"):
        torch.vmap(lambda a: lfilter(of(2), a, of(5)))(torch.tensor([[1.0, 0.5], [0.0, 0.5]]))
