"""What every operator promises beside its derivatives: any layout in memory, any batch, blocks, NaN, short signals."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import diffapf
from diffapf.filters import allpass
from diffapf.filters.design import denominator_from_reflection, normalised_lattice
from diffapf.filters.harmonic_sum import harmonic_sum
from diffapf.filters.optical_cell import NAMES as CELL_NAMES
from tests.filters.checks import ArraysMade
from tests.filters.operators import (
    EVERY,
    OF_ORDER_2,
    Inputs,
    Operator,
    assert_same,
    gradients,
    loss,
    name,
    needing_gradients,
    operators,
)
from tests.filters.oracles import normal, quick, within

EXACT = {"rtol": 1e-10, "atol": 1e-12}

each = pytest.mark.parametrize("operator", EVERY, ids=name)
each_of_order_2 = pytest.mark.parametrize("operator", OF_ORDER_2, ids=name)


def outputs(operator: Operator, inputs: Inputs) -> Inputs:
    return dict(zip(("y", "zf"), operator(**inputs), strict=True))


# --------------------------------------------------------------------------------------------------- layouts in memory


def transposed(tensor: Tensor) -> Tensor:
    """The same numbers, stored in the opposite order of dimensions."""
    dims = list(range(tensor.dim()))[::-1]
    return tensor.permute(dims).contiguous().permute(dims)


def strided(tensor: Tensor) -> Tensor:
    """The same numbers, with others between them."""
    return torch.stack([tensor, torch.full_like(tensor, torch.nan)], -1)[..., 0]


def sliced(tensor: Tensor) -> Tensor:
    """The same numbers, with others around them."""
    return torch.nn.functional.pad(tensor, (1, 1) * tensor.dim(), value=torch.nan)[(slice(1, -1),) * tensor.dim()]


@pytest.mark.parametrize("stored", [transposed, strided, sliced], ids=lambda stored: stored.__name__)
@each_of_order_2
def test_how_inputs_lie_in_memory_changes_nothing(operator: Operator, stored):
    inputs = operator.inputs(rows=5, time=11)
    same = {key: stored(value) for key, value in inputs.items()}
    assert_same(outputs(operator, same), outputs(operator, inputs), rtol=0, atol=0)
    expected = gradients(operator, needing_gradients(inputs))
    found = gradients(operator, {key: value.detach().requires_grad_() for key, value in same.items()})
    assert_same(found, expected, **EXACT)


@each_of_order_2
def test_expanded_inputs_are_copies_and_their_gradients_are_sums(operator: Operator):
    """Every input one row, of which `expand` makes five."""
    one = operator.each_row(lambda value: value[:1], operator.inputs(rows=5, time=11))

    def expanded(**inputs: Tensor) -> tuple[Tensor, Tensor]:
        return operator(**operator.each_row(lambda value: value.expand(5, *value.shape[1:]), inputs))

    def repeated(**inputs: Tensor) -> tuple[Tensor, Tensor]:
        return operator(**operator.each_row(lambda value: torch.cat([value] * 5), inputs))

    for found, wanted in zip(expanded(**one), repeated(**one), strict=True):
        torch.testing.assert_close(found, wanted, rtol=0, atol=0)
    assert_same(gradients(expanded, needing_gradients(one)), gradients(repeated, needing_gradients(one)), **EXACT)


@each_of_order_2
def test_the_inputs_are_left_as_they_were(operator: Operator):
    inputs = needing_gradients(operator.inputs(rows=5, time=11))
    before = {key: value.detach().clone() for key, value in inputs.items()}
    gradients(operator, inputs)
    assert_same({key: value.detach() for key, value in inputs.items()}, before, rtol=0, atol=0)


# -------------------------------------------------------------------------------------------------------------- batches


@pytest.mark.parametrize("batch", [(), (1,), (6,), (2, 3), (3, 1, 2), (0,), (2, 0)], ids=str)
@each_of_order_2
def test_batches_of_any_shape_are_their_rows(operator: Operator, batch: tuple[int, ...]):
    rows = torch.Size(batch).numel()
    flat = operator.inputs(rows=rows, time=11)
    expected = outputs(operator, flat)
    shaped = operator.each_row(lambda value: value.reshape(torch.Size(batch) + value.shape[1:]), flat)
    found = outputs(operator, shaped)
    assert found["y"].shape == (*batch, 11)
    assert found["zf"].shape[:-1] == batch
    assert_same({key: value.reshape(rows, value.shape[-1]) for key, value in found.items()}, expected, rtol=0, atol=0)


@each_of_order_2
def test_one_initial_state_serves_every_row(operator: Operator):
    inputs = operator.inputs(rows=4, time=6)
    state = inputs["zi"][0]
    found = operator(**{**inputs, "zi": state})
    expected = operator(**{**inputs, "zi": state.repeat(4, 1)})
    assert all(map(torch.equal, found, expected))


@each
def test_without_an_initial_state_it_starts_from_rest(operator: Operator):
    inputs = operator.inputs(rows=3, time=6)
    at_rest = operator(**{**inputs, "zi": torch.zeros_like(inputs["zi"])})
    assert all(map(torch.equal, operator(**{**inputs, "zi": None}), at_rest))


# --------------------------------------------------------------------------------------------------------- time, blocks


@each
def test_an_empty_signal_gives_an_empty_signal_and_the_state_back(operator: Operator):
    inputs = needing_gradients(operator.inputs(rows=3, time=0))
    y, zf = operator(**inputs)
    assert y.shape == (3, 0)
    torch.testing.assert_close(zf, inputs["zi"], rtol=0, atol=0)
    gradient = torch.autograd.grad(loss((y, zf)), list(inputs.values()), materialize_grads=True)
    expected = {key: torch.zeros_like(value) for key, value in inputs.items()} | {"zi": 3 * inputs["zi"] ** 2}
    assert_same(dict(zip(inputs, gradient, strict=True)), expected)


def in_blocks(operator: Operator, inputs: Inputs, cuts: list[int]) -> tuple[Tensor, Tensor]:
    """The signal in pieces, each with the state that the one before left; a piece may be empty."""
    time, state, pieces = inputs["x"].shape[-1], inputs["zi"], []
    for start, stop in zip([0, *cuts], [*cuts, time], strict=True):
        block = {**inputs, "x": inputs["x"][:, start:stop], "zi": state}
        if operator.moving:
            block[operator.coefficients] = inputs[operator.coefficients][:, start:stop]
        y, state = operator.at(start)(**block)
        pieces.append(y)
    return torch.cat(pieces, -1), state


@pytest.mark.parametrize("operator", operators((0, 2)), ids=name)
def test_any_blocks_are_the_whole(operator: Operator):
    inputs = operator.inputs(rows=5, time=60)
    whole = operator(**inputs)

    @quick
    @given(st.lists(st.integers(0, 60), max_size=12).map(sorted))
    def check(cuts):
        for found, expected in zip(in_blocks(operator, inputs, cuts), whole, strict=True):
            torch.testing.assert_close(found, expected, **EXACT)

    check()


@each_of_order_2
def test_gradients_flow_from_block_to_block(operator: Operator):
    inputs = needing_gradients(operator.inputs(rows=2, time=20))
    found = gradients(lambda **inputs: in_blocks(operator, inputs, [1, 1, 7, 8, 19]), inputs)
    assert_same(found, gradients(operator, inputs), **EXACT)


@pytest.mark.parametrize("stages", [2, 8])
def test_the_cascade_keeps_no_signal_of_its_stages(stages: int):
    x = torch.randn(2, 5000, requires_grad=True)
    y = allpass.allpass_cascade(x, torch.full((2, 5000), 0.3), stages, c0=0.5, through=1.0)
    kept = y.grad_fn.next_functions[0][0].saved_tensors  # before the reshaping
    assert sum(tensor.numel() for tensor in kept) < 3.1 * x.numel()  # x, p and y


# ------------------------------------------------------------------------------------------------- NaN, dtype, autocast

ROW, WHEN = 2, 6


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
@pytest.mark.parametrize("operator", [one for one in EVERY if one.order in (2, 14)], ids=name)
def test_a_bad_sample_spoils_the_rest_of_its_row_and_nothing_else(operator: Operator, bad: float):
    clean = operator.inputs(rows=6, time=40)
    inputs = {**clean, "x": clean["x"].clone()}
    inputs["x"][ROW, WHEN] = bad
    (y, zf), (y_clean, zf_clean) = operator(**inputs), operator(**clean)
    others = [row for row in range(6) if row != ROW]
    assert torch.equal(y[others], y_clean[others])
    assert torch.equal(zf[others], zf_clean[others])
    torch.testing.assert_close(
        y[ROW, :WHEN], y_clean[ROW, :WHEN], **EXACT
    )  # computed another way, where eight went together
    assert not y[ROW, WHEN:].isfinite().any() or operator.kind == "fir"
    assert not y[ROW, WHEN : WHEN + operator.order + 1].isfinite().any()
    if operator.kind == "fir":
        assert torch.equal(y[ROW, WHEN + operator.order + 1 :], y_clean[ROW, WHEN + operator.order + 1 :])


@pytest.mark.parametrize("operator", [one for one in OF_ORDER_2 if one.layout != "fixed"], ids=name)
def test_a_bad_sample_spoils_no_other_rows_gradients(operator: Operator):
    clean = operator.inputs(rows=6, time=20)
    inputs = {**clean, "x": clean["x"].clone()}
    inputs["x"][ROW, WHEN] = torch.nan
    others = [row for row in range(6) if row != ROW]

    def of_others(**tensors: Tensor) -> tuple[Tensor, Tensor]:
        y, zf = operator(**tensors)
        return y[others], zf[others]

    found = gradients(of_others, needing_gradients(inputs))
    expected = gradients(of_others, needing_gradients(clean))
    for key, value in found.items():
        torch.testing.assert_close(value[others], expected[key][others], rtol=0, atol=0)


def around_one(*shape: int, seed: int = 0) -> Tensor:
    """A leading coefficient, then small ones."""
    rest = 0.1 * normal(*shape[:-1], shape[-1] - 1, seed=seed)
    return torch.cat([torch.ones(*shape[:-1], 1, dtype=rest.dtype), rest], -1)


R, T, FRAMES = 6, 12, 5

# Every other operator: a call, and inputs all of which have rows.
OTHERS: dict[str, tuple[Callable[..., Tensor | tuple[Tensor, ...]], Inputs]] = {
    **{
        form: (
            lambda x, b, a, zi, form=form: diffapf.lfilter(b, a, x, zi, form, True),
            {"x": normal(R, T), "b": normal(R, T, 3), "a": around_one(R, T, 3), "zi": normal(R, registers)},
        )
        for form, registers in (("df1", 4), ("df2", 2), ("tdf1", 4), ("tdf2", 2))
    },
    "lfilter, fixed": (
        lambda x, b, a: diffapf.lfilter(b, a, x),
        {"x": normal(R, T), "b": normal(R, 2), "a": around_one(R, 3)},
    ),
    "lfilter, control rate": (
        lambda x, b, a: diffapf.lfilter(b, a, x, hop=3),
        {"x": normal(R, T), "b": normal(R, FRAMES, 3), "a": around_one(R, FRAMES, 2)},
    ),
    "sosfilt": (
        lambda x, b, a, zi: diffapf.sosfilt(torch.cat([b, a], -1), x, zi, True),
        {"x": normal(R, T), "b": normal(R, T, 2, 3), "a": around_one(R, T, 2, 3), "zi": normal(R, 2, 2)},
    ),
    "sosfilt, control rate": (
        lambda x, b, a: diffapf.sosfilt(torch.cat([b, a], -1), x, hop=3),
        {"x": normal(R, T), "b": normal(R, FRAMES, 2, 3), "a": around_one(R, FRAMES, 2, 3)},
    ),
    "sosfilt, fixed": (
        lambda x, b, a, zi: diffapf.sosfilt(torch.cat([b, a], -1), x, zi, True),
        {"x": normal(R, T), "b": normal(R, 2, 3), "a": around_one(R, 2, 3), "zi": normal(R, 2, 2)},
    ),
    "linear_recurrence": (
        diffapf.linear_recurrence,
        {"x": normal(R, T), "a": within(0.9, R, T), "zi": normal(R)},
    ),
    "state_space": (
        lambda **inputs: diffapf.state_space(**inputs, return_zf=True),
        {"x": normal(R, T), "A": within(0.4, R, T, 2, 2), "B": normal(R, T, 2), "C": normal(R, 2), "D": normal(R)}
        | {"zi": normal(R, 2)},
    ),
    "diagonal_state_space": (
        lambda **inputs: diffapf.diagonal_state_space(**inputs, return_zf=True),
        {"x": normal(R, T), "A": within(0.9, R, T, 2), "B": normal(R, T, 2), "C": normal(R, 2), "D": normal(R)}
        | {"zi": normal(R, 2)},
    ),
    "parallel_filter": (
        lambda **inputs: diffapf.parallel_filter(**inputs, return_zf=True),
        {"x": normal(R, T), "poles": within(0.9, R, T, 2), "residues": normal(R, 2), "direct": normal(R, T, 3)}
        | {"zi": normal(R, 4)},
    ),
    "ballistics": (
        lambda **inputs: diffapf.ballistics(**inputs, return_zf=True),
        {"g": normal(R, T), "attack": within(0.4, R) + 0.5, "release": within(0.4, R) + 0.5, "zi": normal(R)},
    ),
    "optical_cell": (
        lambda **inputs: diffapf.optical_cell(**inputs, slow="parallel", return_zf=True),
        {"x": normal(R, T), "zi": 0.5 + within(0.4, R, 2)} | {name: 0.5 + within(0.4, R) for name in CELL_NAMES},
    ),
    "gain_curve": (
        lambda **inputs: diffapf.gain_curve(**inputs, unit="dB"),
        {
            "level": 20 * normal(R, T),
            "threshold": within(5.0, R),
            "ratio": within(0.4, R) + 2,
            "knee": within(1.0, R) + 2,
        }
        | {"expander_threshold": within(5.0, R) - 20, "expander_ratio": within(0.2, R) + 0.5},
    ),
    "apply_gain": (
        lambda **inputs: diffapf.apply_gain(**inputs, decibels=True),
        {"x": normal(R, T), "gain": normal(R, T), "dry": normal(R), "wet": normal(R)},
    ),
    "comb": (
        lambda **inputs: diffapf.comb(**inputs, delay=3, return_zf=True),
        {"x": normal(R, T), "alpha": within(0.9, R, T), "zi": normal(R, 3)},
    ),
    "comb, fixed": (lambda **inputs: diffapf.comb(**inputs, delay=3), {"x": normal(R, T), "alpha": within(0.9, R)}),
    "delay_network": (
        lambda x, U, g, B, C, zi: diffapf.delay_network(x, [2, 3], U, [g, g[..., :1]], B, C, zi, True),
        {"x": normal(R, 2, T), "U": within(0.4, R, 2, 2), "g": within(0.3, R, 3), "B": normal(R, 2, 2)}
        | {"C": normal(R, 1, 2), "zi": normal(R, 2, 3)},
    ),
    "modal_filter": (
        lambda **inputs: diffapf.modal_filter(**inputs),
        {"frequency": around_one(R, 2), "decay": around_one(R, 2), "gain": normal(R, 2), "x": normal(R, T)},
    ),
    "modal_impulse_response": (
        lambda **inputs: diffapf.modal_impulse_response(**inputs, time=T),
        {"frequency": around_one(R, 2), "decay": around_one(R, 2), "gain": normal(R, 2)},
    ),
    "frequency_sampled_filter": (
        lambda **inputs: diffapf.frequency_sampled_filter(**inputs, truncated=True),
        {"b": normal(R, 2), "a": around_one(R, 3), "x": normal(R, T)},
    ),
    "filtfilt": (
        lambda x, b, a: diffapf.filtfilt(b, a, x, padlen=4),
        {"x": normal(R, T), "b": normal(R, 2), "a": around_one(R, 3)},
    ),
    "lfilter_zi": (diffapf.lfilter_zi, {"b": normal(R, 2), "a": around_one(R, 3)}),
    "lfiltic": (diffapf.lfiltic, {"b": normal(R, 2), "a": around_one(R, 3), "y": normal(R, 2), "x": normal(R, 1)}),
    "cubic_spline_upsample": (lambda x: diffapf.cubic_spline_upsample(x, 3), {"x": normal(R, T)}),
    "nonlinear_recurrence": (
        lambda u, v0: diffapf.nonlinear_recurrence(torch.tanh, u, v0),
        {"u": normal(R, T, 2), "v0": normal(R, 2)},
    ),
    "companion": (diffapf.companion, {"b": normal(R, 2), "a": around_one(R, 3)}),
    "parallel_form": (
        lambda b, a: tuple(torch.view_as_real(part) for part in diffapf.parallel_form(b, a)[:2]),
        {"b": normal(R, 2), "a": around_one(R, 3)},
    ),
    "normalised_lattice": (normalised_lattice, {"k": within(0.9, R, 3)}),
    "denominator_from_reflection": (denominator_from_reflection, {"k": within(0.9, R, 3)}),
    "harmonic_sum": (
        lambda **inputs: harmonic_sum(**inputs, hop=3),
        {"psi": normal(R, T), "weights": normal(R, 2, 3)},
    ),
}


def with_gradients(function: Callable[..., Tensor | tuple[Tensor, ...]], inputs: Inputs) -> list[Tensor]:
    """The outputs, and the gradients of the inputs; rows first in all."""
    leaves = needing_gradients(inputs)
    found = function(**leaves)
    results = found if isinstance(found, tuple) else (found,)
    moving = [result for result in results if result.requires_grad]
    along = [torch.ones_like(result) for result in moving]
    return [*results, *torch.autograd.grad(moving, list(leaves.values()), along, materialize_grads=True)]


def test_all_operators_are_asked_about_bad_numbers():
    asked = {one.kind for one in EVERY} | {"allpass_cascade", "lfilter"} | {key.split(",")[0] for key in OTHERS}
    functions = {key for key in diffapf.__all__ if inspect.isfunction(getattr(diffapf, key))}
    assert asked >= functions - {"is_stable"}


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize(("function", "clean"), OTHERS.values(), ids=OTHERS)
def test_a_bad_number_in_any_input_spoils_no_other_row(function, clean: Inputs, bad: float):
    """Neither its outputs nor its gradients, by a single bit."""
    expected = with_gradients(function, clean)
    others = [row for row in range(R) if row != ROW]
    for key in clean:
        inputs = {name: value.clone() for name, value in clean.items()}
        spoiled = inputs[key][ROW : ROW + 1].view(-1)
        spoiled[len(spoiled) // 2] = bad
        for found, wanted in zip(with_gradients(function, inputs), expected, strict=True):
            assert torch.equal(found[others], wanted[others]), key


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@each_of_order_2
def test_outputs_have_the_dtype_of_the_input(operator: Operator, dtype: torch.dtype):
    assert {output.dtype for output in operator(**operator.inputs(rows=2, time=5, dtype=dtype))} == {dtype}


@each
def test_float32_is_float64_to_rounding(operator: Operator):
    single = operator.inputs(rows=6, time=100, dtype=torch.float32)
    found = outputs(operator, single)
    expected = outputs(operator, {key: value.double() for key, value in single.items()})
    for key, value in found.items():
        torch.testing.assert_close(value.double(), expected[key], rtol=0, atol=1e-5)


@each_of_order_2
def test_autocast_leaves_float32_signals_alone(operator: Operator):
    inputs = operator.inputs(rows=3, time=20, dtype=torch.float32)
    expected = outputs(operator, inputs)
    expected_gradients = gradients(operator, needing_gradients(inputs))
    with torch.autocast("cpu", torch.bfloat16):
        found = outputs(operator, inputs)
        found_gradients = gradients(operator, needing_gradients(inputs))
    assert_same(found, expected, rtol=0, atol=0)
    assert_same(found_gradients, expected_gradients, rtol=0, atol=0)


@pytest.mark.parametrize("operator", OF_ORDER_2, ids=name)
def test_autocast_makes_halves_float32_again(operator: Operator):
    """A layer before the filter gives bfloat16 there; outside autocast that is an error."""
    inputs = operator.inputs(rows=3, time=20, dtype=torch.float32)
    inputs[operator.coefficients] = inputs[operator.coefficients].bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        found = outputs(operator, inputs)
    rounded = {**inputs, operator.coefficients: inputs[operator.coefficients].float()}
    assert_same(found, outputs(operator, rounded), rtol=0, atol=0)
    with pytest.raises(TypeError, match="bfloat16"):
        operator(**inputs)


def test_where_tensors_are_made_by_default_changes_nothing():
    """What kernels of the CPU leave for each other is on the CPU: once in the first call, and in those that repeat it."""
    x = within(0.9, 1, 40_000)
    b = x[..., None].expand(-1, -1, 3).contiguous()
    a, sos = 2 + b.sin(), torch.tensor([[1.0, 0.2, 0.3, 1.0, 0.2, 0.1]], dtype=x.dtype)
    for call in (lambda: diffapf.lfilter(b, a, x), lambda: diffapf.sosfilt(sos, x[:, :100])):
        with torch.device("meta"):
            found = call(), call()
        for each_found in found:
            torch.testing.assert_close(each_found, call(), rtol=0, atol=0)


# ------------------------------------------------------------------------------------------------------------- memory


@pytest.mark.parametrize("order", [2, 4])
@pytest.mark.parametrize("form", ["df1", "df2", "tdf1", "tdf2"])
def test_a_direct_form_makes_no_array_of_coefficients_but_their_gradients(form, order):
    a = torch.cat([torch.ones(2, 50, 1).double(), within(0.1, 2, 50, order)], 2).requires_grad_()
    b, x = normal(2, 50, order + 1).requires_grad_(), normal(2, 50)
    with ArraysMade() as made:
        y, _ = diffapf.lfilter(b, a, x, form=form, return_zf=True)
        torch.autograd.grad(y, (b, a), torch.ones_like(y))
    assert made.as_large_as(b, a) == 2


def test_a_cascade_makes_no_array_of_coefficients_but_their_gradients():
    a = torch.cat([torch.ones(2, 50, 3, 1).double(), within(0.1, 2, 50, 3, 2)], 3)
    sos, x = torch.cat([normal(2, 50, 3, 3), a], 3).requires_grad_(), normal(2, 50)
    with ArraysMade() as made:
        y = diffapf.sosfilt(sos, x)
        torch.autograd.grad(y, sos, torch.ones_like(y))
    assert made.as_large_as(sos) == 1
