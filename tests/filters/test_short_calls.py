"""A call like an earlier one launches what that one did, and gives what the long way gives: that of a call with a state."""

from __future__ import annotations

import threading

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import forward_ad, gradgradcheck

from diffapf.filters import _short_calls, allpole, iir
from diffapf.filters.allpole import allpole as filtered
from diffapf.filters.iir import FORMS, lfilter
from diffapf.kernels import run
from tests.filters.oracles import normal, quick, within

LAYOUTS = {
    "one row a sample": lambda x, order: (*x, order),
    "a row": lambda x, order: (*x[:-1], order),
    "all": lambda x, order: (order,),
}


@pytest.fixture(autouse=True)
def no_earlier_calls():
    for calls in (allpole._SHORT, *iir._SHORT.values()):
        calls._kinds.clear()


@pytest.fixture
def long_ways(monkeypatch) -> list[str]:
    """The names of kernels that are asked for, rather than launched again."""
    names: list[str] = []

    def watched(name, *inputs, out):
        names.append(name)
        run(name, *inputs, out=out)

    for module in (_short_calls, allpole, iir):
        monkeypatch.setattr(module, "run", watched)
    return names


def signals(
    shape: tuple[int, ...], order: int, layout: str, dtype=torch.float64, seed: int = 0
) -> tuple[Tensor, Tensor]:
    x = normal(*shape, seed=seed).to(dtype)
    a = within(0.9 / order, *LAYOUTS[layout](shape, order), seed=seed + 1).to(dtype)
    return x, a


def trained(x: Tensor, a: Tensor, g: Tensor, zi: Tensor | None = None) -> tuple[Tensor, ...]:
    x, a = x.clone().requires_grad_(), a.clone().requires_grad_()
    y = filtered(x, a, zi)
    return y.detach(), *torch.autograd.grad(y, (x, a), g)


@quick
@given(
    shape=st.sampled_from([(1,), (7,), (1, 40), (3, 40), (2, 3, 9), (8, 1100)]),
    order=st.sampled_from([1, 2, 6, 14, 40]),
    layout=st.sampled_from([*LAYOUTS]),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_they_are_the_long_way(shape, order, layout, dtype):
    x, a = signals(shape, order, layout, dtype)
    rest = x.new_zeros(*shape[:-1], order)
    torch.testing.assert_close(filtered(x, a), filtered(x, a, rest), rtol=0, atol=0)
    for seed in range(3):
        x, a = signals(shape, order, layout, dtype, seed)
        torch.testing.assert_close(filtered(x, a), filtered(x, a, rest), rtol=0, atol=0)
        g = normal(*shape, seed=9).to(dtype)
        for found, expected in zip(trained(x, a, g), trained(x, a, g, rest), strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-5 if dtype == torch.float32 else 1e-12, atol=1e-6)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_first_one_alone_asks_for_kernels(layout, long_ways):
    x, a = signals((3, 40), 2, layout)
    g = normal(3, 40)
    filtered(x, a)
    trained(x, a, g)
    assert long_ways == ["allpole", "allpole_adjoint"]
    for _ in range(3):
        filtered(x, a)
        trained(x, a, g)
    assert long_ways == ["allpole", "allpole_adjoint"]
    filtered(*signals((3, 41), 2, layout))
    filtered(*signals((3, 40), 2, layout, torch.float32))
    assert long_ways[2:] == ["allpole", "allpole"]


def test_a_gradient_that_nobody_wants_is_not_computed(long_ways):
    x, a = signals((3, 40), 2, "all")
    x.requires_grad_()
    g = normal(3, 40, seed=9)
    found = [torch.autograd.grad(filtered(x, a), x, g)[0] for _ in range(3)]
    a.requires_grad_()
    both = torch.autograd.grad(filtered(x, a), (x, a), g)
    for each in found:
        torch.testing.assert_close(each, both[0], rtol=0, atol=0)
    assert long_ways == ["allpole", "allpole_adjoint", "allpole_adjoint"]


def test_tensors_may_share_their_memory():
    for seed in range(2):
        x = within(0.9, 1, 40, seed=seed)
        torch.testing.assert_close(filtered(x, x[..., None]), filtered(x.clone(), x[..., None].clone()))
        a = x[..., None].clone().requires_grad_()
        y = filtered(x, a)
        found = torch.autograd.grad(y, a, y.detach())[0]
        torch.testing.assert_close(found, torch.autograd.grad(filtered(x, a), a, y.detach().clone())[0])


def test_what_is_stored_otherwise_goes_the_long_way():
    x, a = signals((3, 40), 2, "one row a sample")
    expected = filtered(x, a)
    others = {
        "strided": (x.T.contiguous().T, a),
        "expanded": (x[:1].expand(3, 40), a),
        "negative": (torch._neg_view(-x), a),
        "complex": (x.to(torch.complex128), a.to(torch.complex128)),
    }
    for name, given_ in others.items():
        wanted = filtered(x[:1].repeat(3, 1), a) if name == "expanded" else expected
        torch.testing.assert_close(filtered(*given_), wanted.to(given_[0].dtype), msg=name)
    leaf = x.clone().requires_grad_()
    for g in (
        torch._efficientzerotensor(3, 40, dtype=x.dtype),
        torch._neg_view(x),
        torch.ones(1, 1, dtype=x.dtype).expand(3, 40),
    ):
        plain = torch.zeros(3, 40, dtype=x.dtype) + g
        found = torch.autograd.grad(filtered(leaf, a), leaf, g)[0]
        torch.testing.assert_close(found, torch.autograd.grad(filtered(leaf, a), leaf, plain)[0])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_derivatives_of_their_gradients(layout):
    x, a = (each.requires_grad_() for each in signals((2, 6), 2, layout))
    torch.autograd.grad(filtered(x, a).sum(), (x, a))
    assert gradgradcheck(filtered, (x, a))


def test_transforms_around_them():
    x, a = signals((2, 9), 2, "one row a sample")
    leaves = x.clone().requires_grad_(), a.clone().requires_grad_()
    y = filtered(*leaves)
    expected = torch.autograd.grad(y.sum(), leaves)
    for found, wanted in zip(
        torch.func.grad(lambda *each: filtered(*each).sum(), argnums=(0, 1))(x, a), expected, strict=True
    ):
        torch.testing.assert_close(found, wanted)
    direction = normal(2, 9)
    rows = torch.func.vmap(lambda x, a: filtered(x[None], a[None])[0])(x, a)
    torch.testing.assert_close(rows, y.detach())
    with forward_ad.dual_level():
        moved = forward_ad.unpack_dual(filtered(forward_ad.make_dual(x, direction), a)).tangent
    torch.testing.assert_close(moved, filtered(direction, a))


def test_other_modes():
    x, a = signals((2, 9), 2, "one row a sample", torch.float32)
    with torch.inference_mode():
        first = filtered(x, a)
    x.requires_grad_()
    (found,) = torch.autograd.grad(filtered(x, a).sum(), x)
    (expected,) = torch.autograd.grad(filtered(x, a, torch.zeros(2, 2)).sum(), x)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    with torch.autocast("cpu"):
        assert filtered(x.detach().bfloat16(), a.bfloat16()).dtype == torch.float32
    torch.testing.assert_close(first, filtered(x, a))


def test_errors_are_the_same_after_a_call_that_was_right():
    x, a = signals((2, 9), 2, "one row a sample")
    filtered(x, a)
    with pytest.raises(ValueError, match="a must have shape"):
        filtered(x, a[:, :5].contiguous())
    with pytest.raises(TypeError, match="make them equal"):
        filtered(x, a.float())
    with pytest.raises(TypeError, match="return_zf must be True or False"):
        filtered(x, a, return_zf=0)


def test_many_threads_and_many_kinds(monkeypatch):
    monkeypatch.setattr(_short_calls, "MOST_KINDS", 5)
    cases = [signals((2, 30 + length), 2, "one row a sample") for length in range(9)]
    expected = [filtered(x, a, x.new_zeros(2, 2)) for x, a in cases]
    wrong: list[int] = []

    def work() -> None:
        for _ in range(20):
            wrong.extend(i for i, case in enumerate(cases) if not torch.equal(filtered(*case), expected[i]))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert len(allpole._SHORT._kinds) <= 5 + len(threads)


def test_long_rows_of_fixed_coefficients_whose_gradient_is_summed_in_float64_or_in_float32():
    """The first step of a training is a short call, the next one goes the long way: two kernels of two dtypes."""
    (x, a), g = signals((1, 1 << 17), 2, "a row", torch.float32), normal(1, 1 << 17, seed=9).float()
    expected = trained(x.double(), a.double(), g.double())
    for _ in range(3):
        for found, wanted in zip(trained(x, a, g), expected, strict=True):
            torch.testing.assert_close(found.double(), wanted, rtol=1e-4, atol=1e-3)


# ---------------------------------------------------------------------------------------------------------- direct forms


def transfer_function(
    shape: tuple[int, ...], order: int, layout: str, dtype=torch.float64, seed: int = 0
) -> tuple[Tensor, Tensor, Tensor]:
    """b, a and x; a's leading coefficient is not 1."""
    x, rest = signals(shape, order, layout, dtype, seed)
    leading = 1.5 + within(0.2, *rest.shape[:-1], 1, seed=seed + 2).to(dtype)
    b = normal(*rest.shape[:-1], order + 1, seed=seed + 3).to(dtype)
    return b, torch.cat([leading, leading * rest], -1), x


def trained_form(form: str, b: Tensor, a: Tensor, x: Tensor, g: Tensor, **options) -> tuple[Tensor, ...]:
    leaves = [value.clone().requires_grad_() for value in (b, a, x)]
    y = lfilter(*leaves, form=form, **options)
    return y.detach(), *torch.autograd.grad(y, leaves, g)


def at_rest(form: str, x: Tensor, order: int) -> dict[str, Tensor]:
    """A state makes a call go the long way."""
    return {"zi": x.new_zeros(*x.shape[:-1], FORMS[form].registers * order)}


@quick
@given(
    form=st.sampled_from([*FORMS]),
    shape=st.sampled_from([(1,), (7,), (1, 40), (3, 40), (2, 3, 9)]),
    order=st.sampled_from([1, 2, 5]),
    layout=st.sampled_from([*LAYOUTS]),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_direct_forms_are_the_long_way(form, shape, order, layout, dtype):
    for seed in range(3):
        b, a, x = transfer_function(shape, order, layout, dtype, seed)
        options = at_rest(form, x, order)
        torch.testing.assert_close(lfilter(b, a, x, form=form), lfilter(b, a, x, form=form, **options), rtol=0, atol=0)
        g = normal(*shape, seed=9).to(dtype)
        results = trained_form(form, b, a, x, g), trained_form(form, b, a, x, g, **options)
        for found, expected in zip(*results, strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-4 if dtype == torch.float32 else 1e-12, atol=1e-6)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("layout", ["one row a sample", "a row"])
def test_the_first_call_of_a_direct_form_alone_asks_for_kernels(form, layout, long_ways):
    b, a, x = transfer_function((3, 40), 2, layout)
    for _ in range(3):
        lfilter(b, a, x, form=form)
        trained_form(form, b, a, x, normal(3, 40))
    assert long_ways == [FORMS[form].kernel, f"{FORMS[form].kernel}_adjoint"]


@pytest.mark.parametrize("form", ["df2", "tdf2"])
def test_several_launches_of_a_call_with_room_between_them(form, long_ways):
    """A long row of moving biquads is cut into segments, whose states one launch leaves for the next."""
    for seed in range(3):
        b, a, x = transfer_function((1, 40_000), 2, "one row a sample", seed=seed)
        g = normal(1, 40_000, seed=9)
        found, options = trained_form(form, b, a, x, g), at_rest(form, x, 2)
        for one, other in zip(found, trained_form(form, b, a, x, g, **options), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)
    names = [FORMS[form].kernel, f"{FORMS[form].kernel}_adjoint"]
    assert long_ways == [*names, *names * 3]  # the first short one, and each long one


def test_what_has_to_be_copied_for_the_kernel_goes_the_long_way(long_ways):
    b, a, x = transfer_function((3, 40), 2, "all")
    for _ in range(2):
        lfilter(b, a, x)
    assert long_ways == ["transposed_direct_form_2"] * 2


def test_a_zero_is_found_by_short_calls_too():
    for layout in LAYOUTS:
        b, a, x = transfer_function((1, 40), 2, layout)
        lfilter(b, a, x)
        a[..., 0] = 0.0
        with pytest.raises(ValueError, match="must not be 0"):
            lfilter(b, a, x)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("layout", ["one row a sample", "all"])
def test_derivatives_of_the_gradients_of_direct_forms(form, layout):
    leaves = [value.requires_grad_() for value in transfer_function((1, 5), 2, layout)]
    torch.autograd.grad(lfilter(*leaves, form=form).sum(), leaves)
    assert gradgradcheck(lambda b, a, x: lfilter(b, a, x, form=form), leaves)


def test_gradients_of_one_argument_before_those_of_both():
    """In float32 those of fixed filters are summed in float64, but for the one that is not wanted."""
    b, a, x = transfer_function((3, 40), 2, "a row", torch.float32)
    g = normal(3, 40, seed=9).float()
    b.requires_grad_()
    torch.autograd.grad(lfilter(b, a, x), b, g)
    found, expected = trained_form("tdf2", b, a, x, g), trained_form("tdf2", b, a, x, g, **at_rest("tdf2", x, 2))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("wanted", [(True, False, False), (False, True, False), (False, False, True)])
def test_gradients_of_one_of_a_direct_forms_arguments(wanted):
    for layout in ("one row a sample", "all"):
        leaves = transfer_function((1, 40), 2, layout)
        g = normal(1, 40, seed=9)
        every = trained_form("tdf2", *leaves, g)[1:]
        for _ in range(2):
            some = [value.clone().requires_grad_(which) for value, which in zip(leaves, wanted, strict=True)]
            (found,) = torch.autograd.grad(lfilter(*some), [value for value in some if value.requires_grad], g)
            torch.testing.assert_close(found, every[wanted.index(True)], rtol=1e-12, atol=1e-12)
