"""Every operator is differentiable in every input, in both modes, to any order and under any nesting of torch.func."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad, gradcheck, gradgradcheck
from torch.func import grad, hessian, jacfwd, jacrev, jvp, vjp, vmap
from torch.utils.checkpoint import checkpoint

from diffapf.filters.allpole import AllPole
from diffapf.filters.control_rate import FIXED
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
from tests.filters.oracles import normal, within

EXACT = {"rtol": 1e-9, "atol": 1e-11}

each = pytest.mark.parametrize("operator", EVERY, ids=name)
each_of_order_2 = pytest.mark.parametrize("operator", OF_ORDER_2, ids=name)


def positional(operator: Operator, inputs: Inputs) -> Callable[..., tuple[Tensor, ...]]:
    """The operator as gradcheck takes it; without the outputs that have no elements."""

    def function(*tensors: Tensor) -> tuple[Tensor, ...]:
        return tuple(output for output in operator(**dict(zip(inputs, tensors, strict=True))) if output.numel())

    return function


def check_first(operator: Operator, inputs: Inputs) -> None:
    assert gradcheck(positional(operator, inputs), tuple(inputs.values()), check_forward_ad=True)


def check_second(operator: Operator, inputs: Inputs) -> None:
    arguments = positional(operator, inputs), tuple(inputs.values())
    assert gradgradcheck(*arguments, check_fwd_over_rev=True, check_rev_over_rev=True)


@each
def test_first_derivatives_are_those_of_finite_differences(operator: Operator):
    check_first(operator, needing_gradients(operator.inputs(rows=2, time=5)))


@each
def test_second_derivatives_are_those_of_finite_differences(operator: Operator):
    check_second(operator, needing_gradients(operator.inputs(rows=2, time=5)))


@each_of_order_2
def test_signals_shorter_than_the_filter_have_right_derivatives(operator: Operator):
    inputs = needing_gradients(operator.inputs(rows=2, time=1))
    check_first(operator, inputs)
    check_second(operator, inputs)


@each_of_order_2
def test_the_output_alone_has_right_derivatives(operator: Operator):
    """Without zf another, shorter rule may be taken."""
    inputs = needing_gradients(operator.inputs(rows=2, time=5))
    outputs_alone = [lambda *tensors, i=i: positional(operator, inputs)(*tensors)[i] for i in (0, 1)]
    for function in outputs_alone:
        assert gradcheck(function, tuple(inputs.values()), check_forward_ad=True)
        assert gradgradcheck(function, tuple(inputs.values()), check_fwd_over_rev=True)


@each
def test_gradients_to_one_input_alone_are_those_to_all(operator: Operator):
    inputs = operator.inputs(rows=5, time=9)
    expected = gradients(operator, needing_gradients(inputs))
    for key, value in inputs.items():
        if value.numel():
            assert_same(gradients(operator, needing_gradients(inputs, key)), {key: expected[key]})


@each_of_order_2
def test_derivatives_to_one_input_alone_are_those_of_finite_differences(operator: Operator):
    inputs = operator.inputs(rows=2, time=4)
    for key in inputs:
        check_first(operator, needing_gradients(inputs, key))
        check_second(operator, needing_gradients(inputs, key))


@pytest.mark.parametrize("operator", operators((0, 2)), ids=name)
def test_gradients_of_float32_are_those_of_float64(operator: Operator):
    single = operator.inputs(rows=6, time=50, dtype=torch.float32)
    double = {key: value.double() for key, value in single.items()}
    found = gradients(operator, needing_gradients(single))
    assert {value.dtype for value in found.values()} == {torch.float32}
    expected = gradients(operator, needing_gradients(double))
    for key, value in found.items():
        scale = expected[key].abs().max().item() if value.numel() else 0.0
        torch.testing.assert_close(value.double(), expected[key], rtol=0, atol=1e-5 * scale)


@each_of_order_2
def test_many_gradients_at_once_are_those_one_after_another(operator: Operator):
    leaves = needing_gradients(operator.inputs(rows=2, time=5))
    y, zf = operator(**leaves)
    many, of_leaves = (normal(3, *y.shape), normal(3, *zf.shape)), list(leaves.values())
    found = torch.autograd.grad((y, zf), of_leaves, many, is_grads_batched=True, retain_graph=True)
    for i in range(3):
        expected = torch.autograd.grad((y, zf), of_leaves, [each[i] for each in many], retain_graph=True)
        torch.testing.assert_close([each[i] for each in found], list(expected), **EXACT)


@each_of_order_2
def test_each_output_alone_passes_a_checkpoint(operator: Operator):
    """It keeps the arguments alone, runs the operator again for the backward pass, and gives what that saved once."""
    inputs = operator.inputs(rows=2, time=5)
    for i in (0, 1):

        def output(*tensors: Tensor, i: int = i) -> Tensor:
            return positional(operator, inputs)(*tensors)[i].sin().sum()

        leaves = [value.clone().requires_grad_() for value in inputs.values()]
        kept = output(*leaves)
        expected = torch.autograd.grad(kept, leaves, materialize_grads=True)
        found = torch.autograd.grad(checkpoint(output, *leaves, use_reentrant=False), leaves, materialize_grads=True)
        torch.testing.assert_close(found, expected, rtol=0, atol=0)


# ----------------------------------------------------------------------------------------------------------- torch.func


def of_one_vector(operator: Operator, inputs: Inputs) -> tuple[Callable[[Tensor], Tensor], Tensor]:
    """The loss as a function of all inputs in one vector, and that vector."""
    sizes = [value.numel() for value in inputs.values()]

    def function(theta: Tensor) -> Tensor:
        parts = zip(inputs.items(), theta.split(sizes), strict=True)
        return loss(operator(**{key: part.reshape(value.shape) for (key, value), part in parts}))

    return function, torch.cat([value.flatten() for value in inputs.values()])


def outputs_as_one_vector(operator: Operator, inputs: Inputs, key: str) -> Callable[[Tensor], Tensor]:
    """Every output as a function of the input `key`."""
    return lambda value: torch.cat([output.flatten() for output in operator(**{**inputs, key: value})])


@each_of_order_2
def test_jvp_is_the_directional_finite_difference(operator: Operator):
    function, theta = of_one_vector(operator, operator.inputs(rows=3, time=9))
    direction, step = normal(len(theta), seed=9), 1e-6
    difference = (function(theta + step * direction) - function(theta - step * direction)) / (2 * step)
    torch.testing.assert_close(jvp(function, (theta,), (direction,))[1], difference, rtol=1e-6, atol=1e-6)


@each_of_order_2
def test_dual_numbers_are_jvp(operator: Operator):
    function, theta = of_one_vector(operator, operator.inputs(rows=2, time=7))
    direction = normal(len(theta), seed=9)
    with forward_ad.dual_level():
        tangent = forward_ad.unpack_dual(function(forward_ad.make_dual(theta, direction))).tangent
    torch.testing.assert_close(tangent, grad(function)(theta) @ direction, **EXACT)


@each_of_order_2
def test_vjp_is_the_transpose_of_jvp(operator: Operator):
    inputs = operator.inputs(rows=3, time=20)
    for key, value in inputs.items():
        function = outputs_as_one_vector(operator, inputs, key)
        along, against = normal(*value.shape, seed=7), normal(len(function(value)), seed=8)
        forward = jvp(function, (value,), (along,))[1] @ against
        backward = (vjp(function, value)[1](against)[0] * along).sum()
        torch.testing.assert_close(forward, backward, **EXACT)


@each_of_order_2
def test_hessians_by_all_nestings_agree(operator: Operator):
    function, theta = of_one_vector(operator, operator.inputs(rows=2, time=5))
    expected = torch.autograd.functional.hessian(function, theta)
    found = {f"{outer.__name__}({inner.__name__})": outer(inner(function))(theta) for outer, inner in NESTINGS}
    found["hessian"] = hessian(function)(theta)
    assert_same(found, dict.fromkeys(found, expected), **EXACT)


NESTINGS = [(outer, inner) for outer in (jacfwd, jacrev) for inner in (jacfwd, jacrev)]


@pytest.mark.parametrize("operator", operators((1,)), ids=name)
def test_third_derivatives_by_all_modes_agree(operator: Operator):
    function, theta = of_one_vector(operator, operator.inputs(rows=1, time=3))
    expected = jacfwd(jacfwd(jacfwd(function)))(theta)
    found = {
        "rev rev rev": jacrev(jacrev(jacrev(function)))(theta),
        "rev fwd rev": jacrev(jacfwd(jacrev(function)))(theta),
        "fwd rev fwd": jacfwd(jacrev(jacfwd(function)))(theta),
    }
    assert_same(found, dict.fromkeys(found, expected), **EXACT)


@each_of_order_2
def test_many_tangents_at_once_give_the_jacobian_of_reverse_mode(operator: Operator):
    inputs = operator.inputs(rows=2, time=7)
    for key, value in inputs.items():
        function = outputs_as_one_vector(operator, inputs, key)
        basis = torch.eye(value.numel(), dtype=value.dtype).reshape(-1, *value.shape)
        columns = vmap(lambda tangent: jvp(function, (value,), (tangent,))[1])(basis)  # noqa: B023
        torch.testing.assert_close(columns.movedim(0, -1).reshape(-1, *value.shape), jacrev(function)(value), **EXACT)


# ----------------------------------------------------------------------------------------------------------------- vmap

SIZE = 3


def patterns(operator: Operator, inputs: Inputs) -> dict[str, dict[str, int | None]]:
    """Which dimension of each input `vmap` maps over, None for not at all."""
    nothing: dict[str, int | None] = dict.fromkeys(inputs)
    return {
        "all": dict.fromkeys(inputs, 0),
        "the signal": nothing | {"x": 0},
        "the coefficients": nothing | {operator.coefficients: 0},
        "the state": nothing | {"zi": 0},
        "other dimensions": nothing | {"x": 1, operator.coefficients: -1},
    }


@pytest.mark.parametrize("pattern", ["all", "the signal", "the coefficients", "the state", "other dimensions"])
@pytest.mark.parametrize("operator", operators((0, 2)), ids=name)
def test_vmap_is_a_loop(operator: Operator, pattern: str):
    """Of outputs, and of gradients."""
    draws = [operator.inputs(rows=2, time=7, seed=10 * seed) for seed in range(SIZE)]
    dims = patterns(operator, draws[0])[pattern]
    stacked = {
        key: draws[0][key] if dim is None else torch.stack([draw[key] for draw in draws], dim)
        for key, dim in dims.items()
    }
    unstacked = [{key: draws[i if dim is not None else 0][key] for key, dim in dims.items()} for i in range(SIZE)]

    def function(inputs: Inputs) -> Inputs:
        y, zf = operator(**inputs)
        return {"y": y, "zf": zf, **grad(lambda inputs: loss(operator(**inputs)))(inputs)}

    results = [function(inputs) for inputs in unstacked]
    expected = {key: torch.stack([result[key] for result in results]) for key in results[0]}
    assert_same(vmap(function, in_dims=(dims,))(stacked), expected, **EXACT)


def test_the_batching_rule_takes_any_dimension():
    """Called without the public function, whose reshaping would bring the mapped dimension to the front."""
    x, a, zi = normal(2, 7, SIZE), within(0.4, 2, 1, SIZE, 2), normal(2, SIZE, 2)
    found = vmap(lambda x, a, zi: AllPole.apply(x, a, zi, FIXED), in_dims=(2, 2, 1))(x, a, zi)
    expected = [AllPole.apply(x[:, :, i], a[:, :, i], zi[:, i], FIXED) for i in range(SIZE)]
    torch.testing.assert_close(found, torch.stack(expected), **EXACT)


@each_of_order_2
def test_nested_vmap_is_a_nested_loop(operator: Operator):
    """Outside over signals, inside over coefficients."""
    inputs = operator.inputs(rows=2, time=7)
    key = operator.coefficients
    signals = torch.stack([inputs["x"], 2 * inputs["x"], -inputs["x"]])
    coefficients = torch.stack([inputs[key], -0.5 * inputs[key]])

    def function(x: Tensor, coefficients: Tensor) -> Tensor:
        return operator(**{**inputs, "x": x, key: coefficients})[0]

    found = vmap(vmap(function, in_dims=(None, 0)), in_dims=(0, None))(signals, coefficients)
    expected = torch.stack([torch.stack([function(x, c) for c in coefficients]) for x in signals])
    torch.testing.assert_close(found, expected, **EXACT)


@each_of_order_2
def test_vmap_of_hessians_is_a_loop(operator: Operator):
    """The second derivatives of several parameter sets at once."""
    function, theta = of_one_vector(operator, operator.inputs(rows=1, time=4))
    several = torch.stack([theta, 0.5 * theta, -theta])
    expected = torch.stack([hessian(function)(one) for one in several])
    torch.testing.assert_close(vmap(hessian(function))(several), expected, **EXACT)


@each_of_order_2
def test_vmap_takes_empty_signals(operator: Operator):
    inputs = operator.inputs(rows=2, time=0)
    signals = torch.zeros(SIZE, 2, 0, dtype=torch.float64)
    y, zf = vmap(lambda x: operator(**{**inputs, "x": x}))(signals)
    assert y.shape == signals.shape
    torch.testing.assert_close(zf, inputs["zi"].expand(SIZE, -1, -1))
