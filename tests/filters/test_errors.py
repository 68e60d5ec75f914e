"""A wrong call raises an error that names the argument, what came, and what is needed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from diffapf.filters.allpass import allpass_cascade
from diffapf.filters.allpole import allpole
from diffapf.filters.control_rate import ControlRate
from diffapf.filters.design import (
    denominator_from_poles,
    denominator_from_spectral_pairs,
    integer_power,
    spectral_pairs_from_denominator,
)
from diffapf.filters.fir import fir
from diffapf.filters.methods import FrequencySampling
from diffapf.filters.stability import biquad_triangle_logits


def of(*shape: int, dtype: torch.dtype = torch.float32, device: str = "cpu") -> Tensor:
    return torch.zeros(shape, dtype=dtype, device=device)


def assert_raises(error: type[Exception], words: tuple[str, ...], call: Callable[[], object]) -> None:
    with pytest.raises(error) as raised:
        call()
    message = str(raised.value)
    for word in words:
        assert word in message


# Each operator: its call with the arguments that every test below leaves right, and what its coefficients are called.
OPERATORS = {
    "allpole": (lambda x, c, zi=None, **rest: allpole(x, c, zi, **rest), "a"),
    "fir": (lambda x, c, zi=None, **rest: fir(x, c, zi, **rest), "b"),
    "allpass": (lambda x, c, zi=None, **rest: allpass_cascade(x, c[..., 0], 4, zi=zi, **rest), "p"),
}
each_operator = pytest.mark.parametrize(("operator", "coefficients"), OPERATORS.values(), ids=OPERATORS)
each_direct_form = pytest.mark.parametrize(
    ("operator", "coefficients"), [OPERATORS["allpole"], OPERATORS["fir"]], ids=["allpole", "fir"]
)

NOT_TAKEN = [
    torch.int64,
    torch.int16,
    torch.bool,
    torch.float16,
    torch.bfloat16,
]


@each_operator
@pytest.mark.parametrize("dtype", NOT_TAKEN, ids=str)
def test_dtypes_that_are_not_taken(operator, coefficients, dtype):
    taken = "float32"
    x, c = of(2, 5), of(2, 5, 1)
    assert_raises(TypeError, ("x", taken, str(dtype)), lambda: operator(x.to(dtype), c))
    assert_raises(TypeError, (coefficients, taken, str(dtype)), lambda: operator(x, c.to(dtype)))
    assert_raises(TypeError, ("zi", taken, str(dtype)), lambda: operator(x, c, of(2, 1, dtype=dtype)))


def test_allpasses_are_real():
    x, p = of(2, 5), of(2, 5)
    for dtype in (torch.complex64, torch.complex128):
        assert_raises(TypeError, ("x", "float32", str(dtype)), lambda dtype=dtype: allpass_cascade(x.to(dtype), p))
        assert_raises(TypeError, ("p", "float32", str(dtype)), lambda dtype=dtype: allpass_cascade(x, p.to(dtype)))


@each_operator
def test_dtypes_that_differ(operator, coefficients):
    both = "torch.float64", "torch.float32"
    x, c = of(2, 5), of(2, 5, 1)
    assert_raises(TypeError, (coefficients, *both), lambda: operator(x, c.double()))
    assert_raises(TypeError, ("zi", *both), lambda: operator(x, c, of(2, 1).double()))


@each_operator
def test_devices_that_differ(operator, coefficients):
    x, c = of(2, 5), of(2, 5, 1)
    assert_raises(ValueError, (coefficients, "meta", "cpu"), lambda: operator(x, c.to("meta")))
    assert_raises(ValueError, ("zi", "meta", "cpu"), lambda: operator(x, c, of(2, 1, device="meta")))


@each_operator
def test_what_is_no_tensor(operator, coefficients):
    assert_raises(TypeError, ("x", "tensor", "list"), lambda: operator([0.0], of(1)))
    assert_raises(TypeError, ("zi", "tensor", "list"), lambda: operator(of(2, 5), of(2, 5, 1), [0.0]))


@each_direct_form
def test_coefficients_that_are_no_tensor(operator, coefficients):
    assert_raises(TypeError, (coefficients, "tensor", "list"), lambda: operator(of(5), [0.5]))


def test_p_that_is_no_tensor():
    assert_raises(TypeError, ("p", "tensor", "float"), lambda: allpass_cascade(of(5), 0.5))


@each_operator
def test_a_signal_without_time(operator, coefficients):
    assert_raises(ValueError, ("x", "(..., time)", "scalar"), lambda: operator(of(), of(1)))


@each_operator
@pytest.mark.parametrize("shape", [(3, 1), (2, 9), (1, 2, 1)], ids=str)
def test_initial_states_of_the_wrong_shape(operator, coefficients, shape):
    """The message says which shape would have been right."""
    size = {"a": 1, "b": 0, "p": 7}[coefficients]
    words = "zi", f"(2, {size})", str(shape)
    assert_raises(ValueError, words, lambda: operator(of(2, 5), of(2, 5, 1), of(*shape)))


@each_direct_form
@pytest.mark.parametrize(
    ("shape", "needed"),
    [
        ((3, 2), "(2, 2)"),
        ((2, 4, 2), "(2, 5, 2)"),
        ((3, 5, 2), "(2, 5, 2)"),
        ((1, 2, 5, 2), "(2, 5, 2)"),
    ],
    ids=str,
)
def test_coefficients_of_the_wrong_shape(operator, coefficients, shape, needed):
    words = coefficients, needed, str(shape), "(2, 5)"
    assert_raises(ValueError, words, lambda: operator(of(2, 5), of(*shape)))


@each_direct_form
@pytest.mark.parametrize("shape", [(2,), (2, 2), (3, 4, 2), (2, 0, 2), (1, 2, 4, 2)], ids=str)
def test_frames_of_the_wrong_shape(operator, coefficients, shape):
    words = coefficients, "(2, 'frames', 2)", "hop", str(shape)
    assert_raises(ValueError, words, lambda: operator(of(2, 5), of(*shape), hop=2))


@each_direct_form
def test_coefficients_without_a_dimension(operator, coefficients):
    assert_raises(ValueError, (coefficients, "last dimension", "scalar"), lambda: operator(of(5), of()))


@each_direct_form
@pytest.mark.parametrize("hop", [0, -1, -0.5, float("nan")])
def test_hops_that_are_not_positive(operator, coefficients, hop):
    words = "hop", "positive", str(hop)
    assert_raises(ValueError, words, lambda: operator(of(2, 5), of(2, 3, 2), hop=hop))
    assert_raises(ValueError, words, lambda: ControlRate.hop(hop))


def test_a_fir_filter_without_taps():
    assert_raises(ValueError, ("b", "at least one tap", "none"), lambda: fir(of(2, 5), of(0)))


@pytest.mark.parametrize("stages", [0, -1, 17, 1.5, True, "4", None])
def test_stages_that_are_no_number_of_stages(stages):
    words = "stages", "integer from 1 to 16", repr(stages)
    assert_raises(ValueError, words, lambda: allpass_cascade(of(5), of(5), stages))


@pytest.mark.parametrize("loop_delay", [2, -1, 0.5, None])
def test_loop_delays_other_than_0_and_1(loop_delay):
    words = "loop_delay", "0 or 1", repr(loop_delay)
    assert_raises(ValueError, words, lambda: allpass_cascade(of(5), of(5), loop_delay=loop_delay))


@pytest.mark.parametrize("shape", [(4,), (3, 5), (1, 2, 5)], ids=str)
def test_p_of_the_wrong_shape(shape):
    words = "p", "(2, 5)", "broadcast", str(shape)
    assert_raises(ValueError, words, lambda: allpass_cascade(of(2, 5), of(*shape)))


@pytest.mark.parametrize("name", ["c0", "c1", "a"])
def test_loop_filters_that_do_not_fit(name):
    x, p = of(2, 3, 5), of(2, 3, 5)

    def call(value: Tensor) -> Callable[[], object]:
        return lambda: allpass_cascade(x, p, **{name: value})

    for shape in [(2,), (2, 3, 5), (4, 3)]:
        assert_raises(ValueError, (name, "number or one for each signal", "(2, 3)", str(shape)), call(of(*shape)))
    assert_raises(TypeError, (name, "torch.float64", "torch.float32"), call(of().double()))
    assert_raises(TypeError, (name, "float32", "torch.int64"), call(of(dtype=torch.int64)))
    assert_raises(ValueError, (name, "meta", "cpu"), call(of(device="meta")))


def test_windows_that_leave_gaps():
    assert_raises(ValueError, ("overlap", "at least 2", "1"), lambda: FrequencySampling(overlap=1))


@pytest.mark.parametrize(("a1", "a2"), [(0.0, 1.0), (2.0, 1.0), (1.5, 0.25), (0.0, -1.0)])
def test_logits_of_a_biquad_that_is_not_stable(a1, a2):
    words = "not stable", str(a1), str(a2)
    assert_raises(ValueError, words, lambda: biquad_triangle_logits(torch.tensor([a1]), torch.tensor([a2])))


def test_a_power_of_0():
    assert_raises(ValueError, ("exponent", "at least 1", "0"), lambda: integer_power(of(1), 0))


@pytest.mark.parametrize(
    "function", [denominator_from_poles, denominator_from_spectral_pairs, spectral_pairs_from_denominator]
)
def test_polynomials_of_a_scalar(function):
    assert_raises(ValueError, ("last dimension", "scalar"), lambda: function(of()))
