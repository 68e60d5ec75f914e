"""sosfilt is SciPy's where sections are fixed, and the sections one after another where they move."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from scipy import signal
from torch import Tensor

from diffapf.filters import sos as sos_module
from diffapf.filters.iir import lfilter
from diffapf.filters.sos import sosfilt
from tests.filters.checks import assert_derivatives, assert_same_in_blocks, assert_transforms, results_and_gradients
from tests.filters.oracles import normal, within


def sections(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """Stable however they move, with a leading coefficient other than 1."""
    a = within(0.45, *shape, 3, seed=2).to(dtype)
    return torch.cat([normal(*shape, 3, seed=1, dtype=dtype), 0 * a[..., :1] + 1.25, a[..., 1:]], -1)


@pytest.mark.parametrize("order", [1, 2, 5, 8])
@pytest.mark.parametrize("kind", ["lowpass", "bandstop"])
def test_fixed_sections_are_scipys(order, kind):
    edges = 0.2 if kind == "lowpass" else [0.2, 0.5]
    sos = signal.ellip(order, 1, 40, edges, kind, output="sos")
    rng = np.random.default_rng(order)
    x, zi = rng.standard_normal((3, 1050)), rng.standard_normal((3, len(sos), 2))
    y, zf = sosfilt(*map(torch.from_numpy, (sos, x, zi)), return_zf=True)
    expected, state = signal.sosfilt(sos, x, zi=zi.transpose(1, 0, 2))
    np.testing.assert_allclose(y, expected, rtol=1e-10, atol=1e-11)
    np.testing.assert_allclose(zf, state.transpose(1, 0, 2), rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize(("shape", "hop"), [((), None), ((2,), None), ((2, 20), None), ((2, 5), 4)])
def test_it_is_one_section_after_another(count, shape, hop):
    sos, x = sections(*shape, count), normal(2, 20)
    y, zf = sosfilt(sos, x, return_zf=True, hop=hop)
    for k in range(count):
        x, state = lfilter(sos[..., k, :3], sos[..., k, 3:], x, return_zf=True, hop=hop)
        torch.testing.assert_close(zf[:, k], state, rtol=1e-11, atol=1e-12)
    torch.testing.assert_close(y, x, rtol=1e-11, atol=1e-12)


def problem(shape, hop, count: int = 2, dtype: torch.dtype = torch.float64):
    inputs = sections(*shape, count, dtype=dtype), normal(2, 4, dtype=dtype), normal(2, count, 2, seed=3, dtype=dtype)
    return (lambda sos, x, zi: sosfilt(sos, x, zi, True, hop)), inputs


@pytest.mark.parametrize(("shape", "hop"), [((), None), ((2, 4), None), ((2, 2), 3)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_derivatives_are_those_of_finite_differences(shape, hop, dtype):
    function, inputs = problem(shape, hop, dtype=dtype)
    assert_derivatives(function, *inputs)


def test_transforms():
    function, inputs = problem((2,), None, count=1)
    assert_transforms(function, *inputs)


@pytest.mark.parametrize("moving", [True, False])
def test_any_blocks_are_the_whole(moving):
    sos, x = sections(2, 30, 3) if moving else sections(2, 3), normal(2, 30)

    def block(start, stop, state):
        return sosfilt(sos[:, start:stop] if moving else sos, x[:, start:stop], state, return_zf=True)

    assert_same_in_blocks(sosfilt(sos, x, return_zf=True), block, [1, 1, 2, 17])


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
@pytest.mark.parametrize("when", [3, 21, 28])
def test_a_bad_sample_of_fixed_sections_spoils_what_follows_it_and_nothing_else(when, bad):
    """Eight samples are computed together, and two rows; backward in time, what follows a gradient is what lies before."""
    sos, clean = sections(3), normal(3, 30)
    spoilt = clean.clone()
    spoilt[1, when] = bad
    (y, expected), kept = (sosfilt(sos, x) for x in (spoilt, clean)), torch.tensor([0, 2])
    assert torch.equal(y[kept], expected[kept])
    torch.testing.assert_close(y[1, :when], expected[1, :when], rtol=1e-12, atol=1e-12)
    assert not y[1, when:].isfinite().any()
    x = clean.requires_grad_()
    found, wanted = (torch.autograd.grad(sosfilt(sos, x), x, g)[0] for g in (spoilt, clean.detach()))
    assert torch.equal(found[kept], wanted[kept])
    torch.testing.assert_close(found[1, when + 1 :], wanted[1, when + 1 :], rtol=1e-12, atol=1e-12)
    assert not found[1, : when + 1].isfinite().any()


@pytest.mark.parametrize(("shape", "hop"), [((), None), ((2, 5), 4)])
def test_coefficients_in_double_of_a_signal_in_single(shape, hop):
    """The result is that in float64, rounded; so are the gradients, and one of the coefficients has all digits."""
    sos, zi, x = sections(*shape, 3).requires_grad_(), normal(2, 3, 2), normal(2, 20, dtype=torch.float32)
    (y, zf), (expected, state) = (sosfilt(sos, signal, zi, True, hop) for signal in (x, x.double()))
    assert (y.dtype, zf.dtype) == (torch.float32, torch.float64)
    torch.testing.assert_close(y, expected.float(), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(zf, state, rtol=1e-12, atol=1e-12)
    found, wanted = (torch.autograd.grad(result.square().sum(), sos)[0] for result in (zf, state))
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)
    x.requires_grad_()
    (first,) = torch.autograd.grad(sosfilt(sos, x, zi, hop=hop).square().sum(), x, create_graph=True)
    assert torch.autograd.grad(first.square().sum(), sos)[0].isfinite().all()


@pytest.mark.parametrize(("shape", "hop"), [((), None), ((2, 20), None), ((2, 5), 4)])
def test_where_no_kernel_is_fused_it_is_fir_and_all_pole_filters(shape, hop, monkeypatch):
    """As on a GPU, which has kernels of these."""
    inputs = sections(*shape, 3), normal(2, 20), normal(2, 3, 2, seed=4)
    function = partial(sosfilt, return_zf=True, hop=hop)
    expected = results_and_gradients(function, inputs)
    monkeypatch.setattr(sos_module, "is_fused", lambda x, order: False)
    monkeypatch.setattr(sos_module, "Cascade", None)
    torch.testing.assert_close(results_and_gradients(function, inputs), expected, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("rows", [1, 5])
def test_moving_sections_of_many_blocks(rows):
    """A block of samples goes through all sections before the next does, or sections have several blocks in turn."""
    sos, x, g = sections(rows, 700, 3).requires_grad_(), normal(rows, 700).requires_grad_(), normal(rows, 700, seed=5)
    y = sosfilt(sos, x)
    found = torch.autograd.grad(y, (sos, x), g)
    expected = x
    for k in range(3):
        expected = lfilter(sos[..., k, :3], sos[..., k, 3:], expected)
    torch.testing.assert_close(y, expected, rtol=1e-11, atol=1e-12)
    torch.testing.assert_close(found, torch.autograd.grad(expected, (sos, x), g), rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("bad", [0, 1])
def test_a_bad_sample_of_moving_sections_spoils_what_follows_it_and_nothing_else(bad):
    sos, clean = sections(5, 300, 2), normal(5, 300)
    spoilt = clean.clone()
    spoilt[bad, 150] = torch.nan
    y, expected = sosfilt(sos, spoilt), sosfilt(sos, clean)
    others = torch.arange(5) != bad
    assert torch.equal(y[others], expected[others])
    assert torch.equal(y[bad, :150], expected[bad, :150])
    assert y[bad, 150:].isnan().all()


@pytest.mark.parametrize("place", [(0, 0, 0), (4, 299, 1), (2, 130, 1)])
@pytest.mark.parametrize("signal", [normal(5, 300), torch.zeros(5, 300).double()], ids=["noise", "silence"])
def test_a_zero_of_moving_sections_is_found(signal, place):
    sos = sections(5, 300, 2)
    sos[(*place, 3)] = 0.0
    with pytest.raises(ValueError, match="must not be 0"):
        sosfilt(sos, signal)


def test_empty_signals_and_empty_cascades():
    zi = normal(2, 3, 2)
    y, zf = sosfilt(sections(3), normal(2, 0), zi, return_zf=True)
    assert y.shape == (2, 0)
    assert torch.equal(zf, zi)
    x = normal(2, 5)
    assert torch.equal(sosfilt(torch.zeros(0, 6).double(), x), x)


@pytest.mark.parametrize("batch", [(), (2, 3), (0,)], ids=str)
def test_batches_of_any_shape(batch):
    x = normal(*batch, 8)
    y, zf = sosfilt(sections(3), x, return_zf=True)
    assert y.shape == x.shape and zf.shape == (*batch, 3, 2)
    expected = [sosfilt(sections(3), row) for row in x.reshape(-1, 8)]
    torch.testing.assert_close(y.reshape(-1, 8), torch.stack(expected) if expected else x.reshape(-1, 8))


@pytest.mark.parametrize(
    ("error", "words", "call"),
    [
        (ValueError, ["sos", "(..., sections, 6)", "(2, 5)"], lambda x: sosfilt(torch.ones(2, 5), x)),
        (ValueError, ["sos[..., 3]", "0"], lambda x: sosfilt(torch.zeros(2, 6), x)),
        (ValueError, ["sos", "(2, 5)"], lambda x: sosfilt(torch.ones(2, 4, 3, 6), x)),
        (ValueError, ["zi", "(2, 3, 2)", "(2, 6)"], lambda x: sosfilt(torch.ones(3, 6), x, torch.ones(2, 6))),
        (TypeError, ["sos", "float32"], lambda x: sosfilt(torch.ones(3, 6), x.double())),
        (TypeError, ["zi", "float32"], lambda x: sosfilt(torch.ones(3, 6).double(), x, torch.ones(2, 3, 2))),
        (TypeError, ["zi", "list"], lambda x: sosfilt(torch.ones(3, 6), x, [0.0])),
    ],
)
def test_errors_say_what_is_needed(error, words, call):
    with pytest.raises(error) as raised:
        call(torch.ones(2, 5))
    assert all(word in str(raised.value) for word in words)
