"""The cascade solves its delay-free loop exactly: a transfer function if p stands still, equations if it moves."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import signal
from torch.autograd import gradcheck, gradgradcheck
from torch.func import jacfwd, jacrev, jvp, vmap

from diffapf.filters.allpass import allpass_cascade
from diffapf.filters.allpole import allpole
from diffapf.filters.control_rate import ControlRate
from diffapf.filters.fir import fir
from tests.filters.oracles import allpass_loop, allpass_transfer_function, normal, quick, within

LOOPS = {
    "open": {},
    "gain": {"c0": 0.7},
    "negative gain": {"c0": -0.9},
    "high-pass": {"c0": 0.655, "c1": -0.659, "a": 0.981},
    "zero and pole": {"c0": 0.3, "c1": 0.2, "a": -0.4},
}
each_loop = pytest.mark.parametrize("loop", LOOPS.values(), ids=LOOPS)
each_delay = pytest.mark.parametrize("delay", [0, 1])


@pytest.mark.parametrize("stages", [1, 4, 8])
@pytest.mark.parametrize("p", [-0.6, 0.0, 0.5, 0.8])
@each_delay
@each_loop
def test_with_p_fixed_it_is_its_transfer_function(loop, delay, p, stages):
    x = normal(1, 400)
    w = allpass_cascade(x, torch.tensor(p, dtype=torch.float64), stages, **loop, loop_delay=delay)
    expected = signal.lfilter(*allpass_transfer_function(p, stages, **loop, delay=delay), x.numpy())
    np.testing.assert_allclose(w, expected, rtol=1e-7, atol=1e-7 * np.abs(expected).max())


@pytest.mark.parametrize("stages", [1, 4])
@pytest.mark.parametrize("time", [0, 1, 2, 3, 30])
@each_delay
def test_with_p_moving_it_solves_the_equations_of_each_sample(stages, time, delay):
    """Every row has its own p, loop and initial state; so has the linear solver."""
    x, p, zi = normal(3, time), within(0.97, 3, time, seed=1), normal(3, stages + 3, seed=2)
    loop = {name: within(0.4, 3, seed=seed) for seed, name in enumerate(("c0", "c1", "a"), start=3)}
    w, zf = allpass_cascade(x, p, stages, **loop, loop_delay=delay, zi=zi, return_zf=True)
    for row in range(3):
        numbers = {name: float(value[row]) for name, value in loop.items()}
        signals = x[row].numpy(), p[row].numpy()
        expected, state = allpass_loop(*signals, stages, **numbers, delay=delay, zi=zi[row].numpy())
        np.testing.assert_allclose(w[row], expected, rtol=1e-11, atol=1e-12)
        np.testing.assert_allclose(zf[row], state, rtol=1e-11, atol=1e-12)


def test_the_two_oracles_agree():
    """The linear solver and the transfer function are written independently, so neither is wrong alone."""
    x, loop = normal(100).numpy(), LOOPS["zero and pole"]
    solved, _ = allpass_loop(x, np.full(100, 0.7), 3, **loop, delay=1, zi=np.zeros(6))
    b, a = allpass_transfer_function(0.7, 3, **loop, delay=1)
    np.testing.assert_allclose(solved, signal.lfilter(b, a, x), rtol=1e-9, atol=1e-11)


@quick
@given(st.floats(-0.95, 0.95), st.sampled_from([1, 2, 3, 5]))
def test_without_a_loop_no_energy_is_lost(p, stages):
    """All-pass: the impulse response has energy 1."""
    impulse = torch.zeros(4000, dtype=torch.float64)
    impulse[0] = 1.0
    w = allpass_cascade(impulse, torch.tensor(p, dtype=torch.float64), stages)
    assert float((w**2).sum()) == pytest.approx(1.0, abs=1e-9)


@each_delay
def test_c0_is_the_gain_at_the_loops_own_delay(delay):
    """With p = 0 a stage is a delay of −1 times one sample: each round trip takes K + d samples."""
    impulse = torch.zeros(20, dtype=torch.float64)
    impulse[0] = 1.0
    w = allpass_cascade(impulse, torch.tensor(0.0, dtype=torch.float64), stages=2, c0=0.5, loop_delay=delay)
    expected = torch.zeros_like(w)
    for trip in range(10):
        if (at := 2 + trip * (2 + delay)) < 20:
            expected[at] = 0.5**trip
    torch.testing.assert_close(w, expected, rtol=0, atol=0)


def test_a_loop_delay_is_one_tap_later():
    """c₁ without delay is c₀ with one."""
    x, p = normal(2, 50), within(0.9, 2, 50, seed=1)
    torch.testing.assert_close(
        allpass_cascade(x, p, c1=0.6), allpass_cascade(x, p, c0=0.6, loop_delay=1), rtol=0, atol=0
    )


@pytest.mark.parametrize("shape", [(), (1,), (40,), (1, 40), (3, 1), (3, 40), (2, 1, 1), (2, 3, 40)], ids=str)
def test_p_broadcasts_to_the_signal(shape):
    x, p = normal(2, 3, 40), within(0.9, *shape, seed=1)
    torch.testing.assert_close(allpass_cascade(x, p), allpass_cascade(x, p.expand(2, 3, 40).clone()), rtol=0, atol=0)


@pytest.mark.parametrize("name", ["c0", "c1", "a"])
@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 1), (2, 3)], ids=str)
def test_the_loop_is_a_number_or_one_for_each_signal(name, shape):
    x, p = normal(2, 3, 40), within(0.9, 2, 3, 40, seed=1)
    others = {other: 0.2 for other in ("c0", "c1", "a") if other != name}
    value = within(0.4, *shape, seed=2)
    found = allpass_cascade(x, p, **others, **{name: value})
    for i, j in np.ndindex(2, 3):
        number = float(value.expand(2, 3)[i, j])
        expected = allpass_cascade(x[i, j], p[i, j], **others, **{name: number})
        torch.testing.assert_close(found[i, j], expected, rtol=1e-13, atol=1e-13)


@each_loop
def test_gradients_are_those_of_the_direct_form(loop):
    """With p fixed, through entirely different code: its transfer function by `fir` and `allpole`."""
    x = normal(1, 60).requires_grad_()
    b, a = allpass_transfer_function(0.6, 4, **loop)
    direct = allpole(fir(x, torch.from_numpy(b / a[0])), torch.from_numpy(a[1:] / a[0]))
    cascade = allpass_cascade(x, torch.tensor(0.6, dtype=torch.float64), 4, **loop)
    found, expected = (torch.autograd.grad((w**3).sum(), x)[0] for w in (cascade, direct))
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


def test_a_control_rate_that_stands_still_reads_one_frame():
    x, still = torch.zeros(7), ControlRate(0.0, 0.0)
    with pytest.raises(ValueError, match="a rate of 0 frames a sample"):
        allpass_cascade(x, artanh_p=torch.zeros(3), hop=still)
    allpass_cascade(x, artanh_p=torch.zeros(1), hop=still)


def control_rate_problem(rows: int = 1, time: int = 9, dtype: torch.dtype = torch.float64) -> dict[str, torch.Tensor]:
    loop = {name: within(0.3, rows, seed=seed, dtype=dtype) for seed, name in enumerate(("c0", "c1", "a"), start=3)}
    frames = within(1.5, rows, 4, seed=1, dtype=dtype)
    return {
        "x": normal(rows, time, dtype=dtype),
        "artanh_p": frames,
        **loop,
        "zi": normal(rows, 5, seed=2, dtype=dtype),
    }


def at_control_rate(**inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return allpass_cascade(stages=2, hop=3, return_zf=True, **inputs)


def test_derivatives_at_the_control_rate_are_those_of_finite_differences():
    inputs = {key: value.requires_grad_() for key, value in control_rate_problem(rows=2).items()}

    def positional(*values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return at_control_rate(**dict(zip(inputs, values, strict=True)))

    assert gradcheck(positional, tuple(inputs.values()), check_forward_ad=True)
    assert gradgradcheck(positional, tuple(inputs.values()), check_fwd_over_rev=True, check_rev_over_rev=True)


def test_second_derivatives_at_the_control_rate_agree_in_all_modes():
    inputs = control_rate_problem(time=5)

    def cost(frames: torch.Tensor) -> torch.Tensor:
        return sum((output**3).sum() for output in at_control_rate(**{**inputs, "artanh_p": frames}))

    expected = jacrev(jacrev(cost))(inputs["artanh_p"])
    for outer, inner in [(jacfwd, jacfwd), (jacfwd, jacrev), (jacrev, jacfwd)]:
        torch.testing.assert_close(outer(inner(cost))(inputs["artanh_p"]), expected, rtol=1e-9, atol=1e-10)


def along(inputs: dict[str, torch.Tensor], direction: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """The tangents of (w, zf) along one direction of some of the inputs."""
    moving = {key: inputs[key] for key in direction}
    return jvp(lambda moving: at_control_rate(**{**inputs, **moving}), (moving,), (direction,))[1]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "moving", [("x",), ("artanh_p",), ("c0", "a"), ("zi",), ("x", "artanh_p", "c1", "zi")], ids=str
)
@pytest.mark.parametrize("rows", [1, 2])
def test_many_directions_at_once_are_one_after_another(rows, moving, dtype):
    """Seven: a group of lanes and a part of one. What does not move has no tangent."""
    inputs = control_rate_problem(rows, dtype=dtype)
    shapes = {key: inputs[key].shape for key in moving}
    directions = {key: normal(7, *shape, seed=9, dtype=dtype) for key, shape in shapes.items()}
    together = vmap(lambda direction: along(inputs, direction))(directions)
    exact = {key: value.double() for key, value in inputs.items()}
    for i in range(7):
        direction = {key: value[i].double() for key, value in directions.items()}
        for found, expected in zip(together, along(exact, direction), strict=True):
            tolerance = 1e-11 if dtype == torch.float64 else 1e-5
            torch.testing.assert_close(found[i].double(), expected, rtol=tolerance, atol=tolerance)
        for found, expected in zip(along(exact, direction), by_reverse_mode(exact, direction), strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-11)


def by_reverse_mode(inputs: dict[str, torch.Tensor], direction: dict[str, torch.Tensor]) -> list[torch.Tensor]:
    """The same tangents from the rows of the Jacobian, through other kernels."""
    moving = {key: inputs[key] for key in direction}
    rows = jacrev(lambda moving: at_control_rate(**{**inputs, **moving}))(moving)
    return [
        sum((row[key] * tangent).flatten(-tangent.dim()).sum(-1) for key, tangent in direction.items()) for row in rows
    ]
