"""Levenberg–Marquardt against SciPy's, its derivatives against reverse mode's, its errors against many repetitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.optimize
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch._C._functorch import get_unwrapped, is_batchedtensor
from torch.func import jacrev

from diffapf.filters import iir as iir_module
from diffapf.filters.allpole import allpole
from diffapf.filters.fir import fir
from diffapf.identification import Robust, least_squares
from diffapf.identification.descent import FALL, LEAST_DAMPING, RISE
from diffapf.identification.layout import Layout
from diffapf.identification.normal_equations import Stream, cost, linearise
from diffapf.identification.step import bounded_step
from scripts.benchmark_least_squares import a_phaser, phaser_block, phaser_residuals
from tests.filters.checks import ArraysMade
from tests.filters.oracles import generator, normal, quick


def numbers(**values) -> dict[str, torch.Tensor]:
    return {name: torch.tensor(value, dtype=torch.float64) for name, value in values.items()}


def rosenbrock(x):
    a, b = x["a"], x["b"]
    return torch.stack([10 * (b - a**2), 1 - a])


TIME = torch.linspace(0, 4, 60, dtype=torch.float64)
NOISE = 0.05 * normal(60)


def decay(x):
    """gain · e^(−rate t) + offset, minus a noisy one."""
    return x["gain"] * torch.exp(-x["rate"] * TIME) + x["offset"] - (3 * torch.exp(-1.3 * TIME) + 0.5 + NOISE)


DECAY = {"gain": 1.0, "rate": 0.3, "offset": 0.0}


def by_scipy(residuals, start: dict[str, float], **options):
    names = list(start)

    def of_vector(vector):
        return residuals(numbers(**dict(zip(names, vector, strict=True)))).numpy()

    return scipy.optimize.least_squares(of_vector, list(start.values()), xtol=1e-14, ftol=1e-14, gtol=1e-14, **options)


# --------------------------------------------------------------------------------------------------------- the minimum


@pytest.mark.parametrize(
    ("residuals", "start"), [(rosenbrock, {"a": -1.2, "b": 1.0}), (decay, DECAY)], ids=["Rosenbrock", "decay"]
)
def test_finds_what_scipy_finds(residuals, start):
    found = least_squares(residuals, numbers(**start), tolerance=1e-12, iterations=200)
    expected = by_scipy(residuals, start, method="lm")
    assert found.converged, found.why
    np.testing.assert_allclose([float(value) for value in found.parameters.values()], expected.x, atol=1e-6)
    assert found.cost == pytest.approx(2 * expected.cost, rel=1e-9, abs=1e-20)  # SciPy's cost is half the sum


@pytest.mark.parametrize(
    "limits",
    [{"rate": (0.0, 1.0)}, {"rate": (0.0, 1.0), "gain": (None, 2.0)}, {"offset": (0.6, 2.0), "gain": (0.0, 9.0)}],
    ids=lambda limits: ", ".join(limits),
)
def test_finds_what_scipy_finds_in_a_box(limits):
    start = {**DECAY, "offset": 0.7}
    found = least_squares(decay, numbers(**start), bounds=limits, tolerance=1e-13, iterations=200)
    ends = np.array([limits.get(name, (None, None)) for name in start], dtype=float)
    ends = np.where(np.isnan(ends), [-np.inf, np.inf], ends)
    expected = by_scipy(decay, start, method="trf", bounds=ends.T)
    np.testing.assert_allclose([float(value) for value in found.parameters.values()], expected.x, atol=1e-5)
    for name, (low, high) in limits.items():
        assert (-np.inf if low is None else low) <= found.parameters[name] <= (np.inf if high is None else high)
    assert found.at_bounds
    assert all(float(found.standard_errors[name]) == 0 for name in found.at_bounds)


@pytest.mark.parametrize("start", [0.1, 0.5], ids=["at the bound", "on its way there"])
def test_a_bound_does_not_spoil_the_other_parameters_step(start):
    """One step solves a linear problem though a parameter stands at its bound, or gets there."""
    A, y = normal(30, 3), normal(30, seed=1)
    expected = scipy.optimize.lsq_linear(A.numpy(), y.numpy(), bounds=([0.1, -9, -9], [9, 9, 9]))
    found = least_squares(
        lambda x: A @ x["x"] - y,
        {"x": torch.tensor([start, 1.0, 1.0], dtype=torch.float64)},
        bounds={"x": (torch.tensor([0.1, -9.0, -9.0], dtype=torch.float64), 9.0)},
        damping=1e-14,
        iterations=1,
    )
    assert expected.active_mask[0] == -1, "the test needs a minimum at the bound"
    np.testing.assert_allclose(found.parameters["x"], expected.x, atol=1e-7)


@quick
@given(st.integers(1, 6), st.integers(0, 1000))
def test_a_step_in_a_box_lies_in_it_and_lowers_the_model(size, seed):
    root, gradient = normal(size + 2, size, seed=seed), normal(size, seed=seed + 1)
    low = -torch.rand(size, generator=generator(seed), dtype=torch.float64)
    high = torch.rand(size, generator=generator(seed + 1), dtype=torch.float64)
    step = bounded_step(root.T @ root, gradient, 1e6, low, high)
    assert ((step >= low) & (step <= high)).all()
    assert float(2 * gradient @ step + step @ root.T @ root @ step) <= 0


def test_float32_models_are_fitted_to_their_last_digit():
    t = TIME.float()
    truth = 3 * torch.exp(-1.3 * t)
    start = {"gain": torch.tensor(1.0), "rate": torch.tensor(0.5)}
    found = least_squares(lambda x: x["gain"] * torch.exp(-x["rate"] * t) - truth, start)
    assert found.parameters["gain"].dtype == torch.float32
    assert found.information.dtype == torch.float64
    assert found.cost / float(truth.square().sum()) < 1e-13


# ---------------------------------------------------------------------------------------------------- normal equations


def whole_jacobian(function, parameters):
    columns = jacrev(function)(parameters)
    return torch.cat([columns[name].reshape(-1, value.numel()) for name, value in parameters.items()], 1)


PHASER = a_phaser(harmonics=3)
DRY, WET = normal(1500), normal(1500, seed=1)


def test_normal_equations_in_blocks_are_those_of_the_whole_jacobian():
    J = whole_jacobian(lambda x: phaser_block(x, DRY, 0, None)[0], PHASER)
    r = phaser_block(PHASER, DRY, 0, None)[0] - WET
    for length, groups in ((1500, None), (700, None), (128, None), (443, [["s", "b"], ["f0"]])):
        layout = Layout(PHASER, groups=groups)
        found = linearise(Stream(*phaser_residuals(DRY, WET, length)), layout, layout.vector(PHASER))
        torch.testing.assert_close(found.information, J.T @ J, rtol=1e-9, atol=1e-9 * float((J.T @ J).abs().max()))
        torch.testing.assert_close(found.gradient, J.T @ r, rtol=1e-9, atol=1e-9)
        assert found.cost == pytest.approx(float(r @ r), rel=1e-12)
        assert found.count == 1500


@quick
@given(st.integers(1, 4), st.integers(1, 40), st.integers(1, 60), st.integers(0, 100))
def test_any_cut_into_blocks_is_one_block(taps, length, time, seed):
    """FIR and all-pole filters whose registers are the state; a frozen gain; weights; a state with other things."""
    x, target = normal(time, seed=seed), normal(time, seed=seed + 1)
    weights = torch.rand(time, generator=generator(seed), dtype=torch.float64)
    parameters = {
        "b": normal(taps, seed=seed),
        "a": 0.5 * normal(1, seed=seed).tanh(),
        "gain": numbers(gain=2.0)["gain"],
    }

    def residuals(p, block, state):
        past, rest = (None, {}) if block == 0 else state
        part = slice(block * length, (block + 1) * length)
        u, past_x = fir(p["gain"] * x[part], p["b"], None if past is None else past[0], return_zf=True)
        y, past_y = allpole(u, p["a"], None if past is None else past[1], return_zf=True)
        seen = rest.get("seen", torch.zeros((), dtype=torch.int64)) + y.shape[-1]
        assert int(rest.get("blocks", 0)) == block
        return y - target[part], ((past_x, past_y), {"seen": seen, "blocks": block + 1})

    def at_once(p):
        return allpole(fir(p["gain"] * x, p["b"]), p["a"]) - target

    layout = Layout(parameters, frozen=["gain"])
    blocks = -(-time // length)
    stream = Stream(residuals, blocks, None, weights.split(length))
    found = linearise(stream, layout, layout.vector(parameters))
    J = whole_jacobian(lambda free: at_once({**parameters, **free}), {name: parameters[name] for name in ("b", "a")})
    r = at_once(parameters)
    torch.testing.assert_close(found.information, J.T @ (weights[:, None] * J))
    torch.testing.assert_close(found.gradient, J.T @ (weights * r))
    assert found.cost == pytest.approx(float(weights @ r.square()))
    assert cost(stream, parameters) == pytest.approx(found.cost)


def test_a_first_state_may_depend_on_the_parameters():
    """What all blocks share is computed once, with its derivatives, and handed on."""
    calls = []

    def start(p):
        calls.append(1)
        return torch.exp(p["rate"]), torch.zeros((), dtype=torch.float64)

    def residuals(p, block, state):
        rate, total = state
        r = p["gain"] * rate * TIME[20 * block : 20 * block + 20] + total - 1
        return r, (rate, total + r.sum())

    parameters = numbers(gain=0.3, rate=-1.0)

    def at_once(p):
        state, parts = start(p), []
        for block in range(3):
            part, state = residuals(p, block, state)
            parts.append(part)
        return torch.cat(parts)

    J, layout = whole_jacobian(at_once, parameters), Layout(parameters)
    calls.clear()
    found = linearise(Stream(residuals, 3, start), layout, layout.vector(parameters))
    assert len(calls) == 1
    torch.testing.assert_close(found.information, J.T @ J)
    assert cost(Stream(residuals, 3, start), parameters) == pytest.approx(float(at_once(parameters).square().sum()))


def test_a_group_is_not_carried_through_what_it_has_no_part_in(monkeypatch):
    """The biquad comes before the sweep: apart from it, the sweep's directions never pass through its filters."""
    directions = []
    rule = iir_module._tangent_of_fixed_filter

    def recorded(saved, tangents):
        mapped = [get_unwrapped(each) for each in tangents if isinstance(each, Tensor) and is_batchedtensor(each)]
        directions.append(max(len(each) for each in mapped))
        return rule(saved, tangents)

    monkeypatch.setattr(iir_module, "_tangent_of_fixed_filter", recorded)
    for groups in (None, [["c", "s", "f0", "g1", "g2"]]):
        directions.clear()
        layout = Layout(PHASER, groups=groups)
        linearise(Stream(*phaser_residuals(DRY, WET, 500)), layout, layout.vector(PHASER))
        assert set(directions) == {layout.size if groups is None else 5}


def test_trial_steps_compute_no_tangents():
    seen = []

    def residuals(x):
        seen.append(torch._C._are_functorch_transforms_active())
        return rosenbrock(x)

    fit = least_squares(residuals, numbers(a=-1.2, b=1.0))
    accepted = len(fit.history) - 1
    rejected = sum(step.rejected for step in fit.history)
    assert rejected > 0
    assert seen.count(True) == accepted + 1
    assert seen.count(False) == accepted + rejected


def test_memory_does_not_grow_with_the_signal():
    """The largest array is one of a block's tangents, directions × block; the signals themselves are smaller here."""
    biggest = []
    layout = Layout(PHASER)
    for time in (1000, 3000):
        dry = normal(time)
        stream = Stream(*phaser_residuals(dry, dry, 250))
        with ArraysMade() as made:
            linearise(stream, layout, layout.vector(PHASER))
        biggest.append(max(made.sizes()))
    assert biggest[0] == biggest[1]


# -------------------------------------------------------------------------------------------------- frozen and weights


def test_frozen_parameters_stay_and_cost_no_direction():
    start = numbers(gain=1.0, rate=1.3, offset=0.0)
    found = least_squares(decay, start, frozen=["rate"])
    assert found.information.shape == (2, 2)
    assert float(found.parameters["rate"]) == 1.3 and float(found.standard_errors["rate"]) == 0
    expected = np.linalg.lstsq(
        np.stack([torch.exp(-1.3 * TIME).numpy(), np.ones(60)], 1),
        -decay(numbers(gain=0.0, rate=1.3, offset=0.0)).numpy(),
        rcond=None,
    )[0]
    np.testing.assert_allclose([found.parameters[name] for name in ("gain", "offset")], expected, rtol=1e-8)


def test_weights_of_zero_take_residuals_out():
    spoilt, weights = torch.zeros(60, dtype=torch.float64), torch.ones(60, dtype=torch.float64)
    spoilt[10:20], weights[10:20] = 7.0, 0.0
    clean = least_squares(lambda x: decay(x)[weights > 0], numbers(**DECAY), tolerance=1e-12)
    found = least_squares(lambda x: decay(x) + spoilt, numbers(**DECAY), weights=weights, tolerance=1e-12)
    for name, value in clean.parameters.items():
        torch.testing.assert_close(found.parameters[name], value, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("kind", ["huber", "cauchy"])
@pytest.mark.parametrize("frame", [1, 7])
def test_a_robust_fit_bears_spoilt_frames_and_its_gradient_is_its_costs(kind, frame):
    spoilt = torch.zeros(60, dtype=torch.float64)
    spoilt[14:21] = 7.0
    robust = Robust(0.1, kind, frame)

    def residuals(x):
        return decay(x) + spoilt

    plain = least_squares(residuals, numbers(**DECAY))
    found = least_squares(residuals, numbers(**DECAY), robust=robust, iterations=200, tolerance=1e-10)
    assert abs(float(found.parameters["rate"]) - 1.3) < 0.15 < abs(float(plain.parameters["rate"]) - 1.3)
    start = numbers(gain=2.0, rate=0.9, offset=0.2)
    gradient = torch.func.grad(lambda x: robust.cost_and_weights(residuals(x))[0])(start)
    layout = Layout(start)
    equations = linearise(
        Stream(lambda x, block, state: (residuals(x), None), robust=robust), layout, layout.vector(start)
    )
    torch.testing.assert_close(2 * equations.gradient, torch.stack(list(gradient.values())))


# ----------------------------------------------------------------------------------------------------- standard errors


def test_standard_errors_of_a_linear_model_are_the_textbooks():
    A, noise = normal(200, 3), normal(200, seed=1)
    found = least_squares(
        lambda x: A @ x["x"] - (A @ torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64) + noise),
        {"x": torch.zeros(3, dtype=torch.float64)},
    )
    residuals = A @ found.parameters["x"] - A @ torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64) - noise
    covariance = residuals.square().sum() / (200 - 3) * torch.linalg.inv(A.T @ A)
    torch.testing.assert_close(found.uncertainty.covariance, covariance, rtol=1e-8, atol=1e-12)
    torch.testing.assert_close(found.standard_errors["x"], covariance.diagonal().sqrt(), rtol=1e-8, atol=0)


def test_standard_errors_are_how_far_repetitions_scatter():
    random, found, errors = generator(3), [], []
    for _ in range(150):
        noise = 0.1 * torch.randn(60, generator=random, dtype=torch.float64)
        fit = least_squares(lambda x, noise=noise: decay(x) + NOISE - noise, numbers(gain=3.0, rate=1.3, offset=0.5))
        found.append(float(fit.parameters["rate"]))
        errors.append(float(fit.standard_errors["rate"]))
    assert np.std(found) == pytest.approx(np.mean(errors), rel=0.2)  # 150 repetitions tell it to 6 %


def test_what_is_not_identified_is_named_and_infinite_and_spoils_nothing_else():
    noise = 0.1 * normal(60)

    def residuals(x):  # only the sum of left and right acts; `idle` does nothing
        return (x["left"] + x["right"]) * TIME + x["offset"] + noise + 0 * x["idle"]

    found = least_squares(residuals, numbers(left=1.0, right=2.0, offset=0.3, idle=5.0))
    alone = least_squares(
        lambda x: residuals({**x, "right": 0 * x["left"], "idle": 0 * x["left"]}), numbers(left=1.0, offset=0.3)
    )
    assert found.converged
    assert found.unidentified == ["left", "right", "idle"]
    assert all(float(found.standard_errors[name]) == math.inf for name in found.unidentified)
    assert float(found.standard_errors["offset"]) == pytest.approx(float(alone.standard_errors["offset"]), rel=1e-6)
    assert float(found.parameters["idle"]) == 5.0
    assert found.uncertainty.covariance.isnan().sum() == 0


def test_with_no_more_residuals_than_parameters_nothing_is_known():
    found = least_squares(rosenbrock, numbers(a=-1.2, b=1.0))
    assert found.unidentified == ["a", "b"]
    assert all(float(error) == math.inf for error in found.standard_errors.values())


# ----------------------------------------------------------------------------------------------- steps that don't help


def test_residuals_that_are_not_finite_reject_a_step():
    """√x: from 4 the first step goes beyond 0, where it is NaN."""
    tried = []

    def residuals(x):
        tried.append(float(x["x"])) if not torch._C._are_functorch_transforms_active() else None
        return (x["x"].sqrt() * torch.ones(3, dtype=torch.float64) - 0.1) * torch.tensor([1.0, 2.0, 3.0])

    found = least_squares(residuals, numbers(x=4.0), iterations=200, tolerance=1e-12)
    assert min(tried) < 0, "the test needs a step into what is not defined"
    assert float(found.parameters["x"]) == pytest.approx(0.01, rel=1e-4)


def test_derivatives_that_are_not_finite_reject_a_step():
    def residuals(x):  # at 0 exactly the value is finite, the slope is not; the bound leads there
        return torch.stack([x["x"].clamp_min(0).sqrt() + 1, x["y"] - 1])

    found = least_squares(residuals, numbers(x=1e-3, y=0.0), bounds={"x": (0.0, 1.0)})
    assert found.information.isfinite().all()
    assert sum(step.rejected for step in found.history) > 0
    assert 0 < float(found.parameters["x"]) < 1e-3


def test_what_is_not_feasible_is_never_evaluated():
    def feasible(x):
        return float(x["a"]) < 0.5

    def residuals(x):
        if not torch._C._are_functorch_transforms_active():
            assert feasible(x)
        return rosenbrock(x)

    found = least_squares(residuals, numbers(a=-1.2, b=1.0), feasible=feasible, iterations=100)
    assert 0.4 < float(found.parameters["a"]) < 0.5
    assert sum(step.rejected for step in found.history) > 0


# ------------------------------------------------------------------------------------------------------------ stopping


def test_the_history_falls_and_tells_the_damping():
    found = least_squares(rosenbrock, numbers(a=-1.2, b=1.0))
    assert [step.number for step in found.history] == list(range(len(found.history)))
    costs = [step.cost for step in found.history]
    assert costs == sorted(costs, reverse=True) and costs[-1] == found.cost
    for before, after in zip(found.history, found.history[1:], strict=False):
        taken = after.cost < before.cost
        risen = before.damping * RISE**after.rejected
        assert after.damping == pytest.approx(max(risen / FALL if taken else risen, LEAST_DAMPING), rel=1e-12)


def test_stops_after_two_small_gains():
    found = least_squares(decay, numbers(**DECAY), tolerance=1e-3, iterations=100)
    costs = np.array([step.cost for step in found.history])
    gains = 1 - costs[1:] / costs[:-1]
    assert found.why.startswith("converged")
    if "two gains" in found.why:
        assert (gains[-2:] < 1e-3).all()
    assert not ((gains[:-2] < 1e-3) & (gains[1:-1] < 1e-3)).any()


def test_stops_when_told_and_when_all_iterations_are_used():
    seen = []

    def callback(iteration, cost, damping, parameters):
        seen.append((iteration, cost, damping, sorted(parameters)))
        return iteration == 2

    found = least_squares(rosenbrock, numbers(a=-1.2, b=1.0), callback=callback)
    assert found.why == "stopped by the callback" and not found.converged
    assert [line[0] for line in seen] == [0, 1, 2]
    assert seen[-1][1:] == (found.cost, found.history[-1].damping, ["a", "b"])
    assert least_squares(rosenbrock, numbers(a=-1.2, b=1.0), iterations=2).why == "all iterations used"
    assert least_squares(rosenbrock, numbers(a=1.0, b=1.0)).why == "converged: the residuals are zero"


@pytest.mark.parametrize("call", [8, 9, 10])
def test_ctrl_c_returns_the_best_so_far(call):
    """Wherever it comes, in a trial step or in the derivatives: cost and parameters belong together."""
    calls = []

    def residuals(x):
        calls.append(1)
        if len(calls) == call:
            raise KeyboardInterrupt
        return rosenbrock(x)

    found = least_squares(residuals, numbers(a=-1.2, b=1.0))
    assert found.why == "interrupted"
    assert 0 < found.cost < float(rosenbrock(numbers(a=-1.2, b=1.0)).square().sum())
    assert found.cost == pytest.approx(float(rosenbrock(found.parameters).square().sum()), rel=1e-12)
    assert not torch._C._are_functorch_transforms_active()


def test_ctrl_c_in_the_callback():
    def callback(iteration, *_):
        if iteration == 1:
            raise KeyboardInterrupt

    assert least_squares(rosenbrock, numbers(a=-1.2, b=1.0), callback=callback).why == "interrupted"


# -------------------------------------------------------------------------------------------------------------- errors

ONE = numbers(x=1.0)


def squared(x):
    return x["x"][None] ** 2


def two_blocks(x, block, state):
    return x["x"][None], None


WRONG = {
    "no function": (TypeError, "function", 3, ONE, {}),
    "no dict": (TypeError, "by name", squared, torch.ones(2), {}),
    "no tensor": (TypeError, "'x' must be a tensor, got float", squared, {"x": 1.0}, {}),
    "integers": (TypeError, "real", squared, {"x": torch.tensor(1)}, {}),
    "complex": (TypeError, "complex64", squared, {"x": torch.tensor(1j)}, {}),
    "nothing to fit": (ValueError, "nothing to fit", squared, ONE, {"frozen": ["x"]}),
    "no parameters": (ValueError, "nothing to fit", squared, {}, {}),
    "unknown frozen": (ValueError, r"frozen names \['y'\]", squared, ONE, {"frozen": ["y"]}),
    "frozen is a string": (TypeError, "list of names", squared, ONE, {"frozen": "x"}),
    "an unknown group": (ValueError, r"groups names \['y'\]", squared, ONE, {"groups": [["y"]]}),
    "two groups": (ValueError, "one group only", squared, ONE, {"groups": [["x"], ["x"]]}),
    "a group that is a string": (TypeError, "lists of names", squared, ONE, {"groups": ["x"]}),
    "unknown bounds": (ValueError, r"bounds names \['y'\]", squared, ONE, {"bounds": {"y": (0, 1)}}),
    "no pair": (ValueError, "a pair", squared, ONE, {"bounds": {"x": 3}}),
    "empty box": (ValueError, "below the highest", squared, ONE, {"bounds": {"x": (1, 1)}}),
    "bounds of another shape": (ValueError, "shape", squared, ONE, {"bounds": {"x": (torch.zeros(2), None)}}),
    "bounds in words": (ValueError, "shape", squared, ONE, {"bounds": {"x": ("low", None)}}),
    "a start out of bounds": (ValueError, "x is not", squared, ONE, {"bounds": {"x": (2, 3)}}),
    "a start that is NaN": (ValueError, "x is not", squared, numbers(x=math.nan), {}),
    "an infeasible start": (ValueError, "not feasible", squared, ONE, {"feasible": lambda x: False}),
    "infinite residuals": (ValueError, "residuals at the start", lambda x: 1 / (x["x"][None] - 1), ONE, {}),
    "infinite derivatives": (ValueError, "derivatives", lambda x: (x["x"][None] - 1).sqrt(), ONE, {}),
    "no tensor back": (TypeError, "got float", lambda x: 3.0, ONE, {}),
    "a scalar back": (TypeError, "0-D", lambda x: x["x"], ONE, {}),
    "complex back": (TypeError, "complex128", lambda x: x["x"][None] * 1j, ONE, {}),
    "no pair back": (TypeError, "pair", lambda x, block, state: x["x"][None], ONE, {"blocks": 2}),
    "no blocks": (ValueError, "blocks", two_blocks, ONE, {"blocks": 0}),
    "a state without blocks": (ValueError, "give blocks", squared, ONE, {"state": torch.zeros(1)}),
    "too few weights": (ValueError, "2 blocks, got 1", two_blocks, ONE, {"blocks": 2, "weights": [torch.ones(1)]}),
    "one weight": (ValueError, "one tensor", two_blocks, ONE, {"blocks": 2, "weights": torch.ones(2)}),
    "weights of another shape": (ValueError, "broadcast", squared, ONE, {"weights": torch.ones(3)}),
    "negative weights": (ValueError, "negative", squared, ONE, {"weights": -torch.ones(1)}),
    "weights in a list": (TypeError, "tensors", squared, ONE, {"weights": [1.0]}),
    "robust by name": (TypeError, "Robust", squared, ONE, {"robust": "huber"}),
    "iterations": (ValueError, "iterations", squared, ONE, {"iterations": -1}),
    "tolerance": (ValueError, "tolerance", squared, ONE, {"tolerance": math.nan}),
    "damping": (ValueError, "damping", squared, ONE, {"damping": 0.0}),
}


@pytest.mark.parametrize(("error", "words", "residuals", "start", "options"), WRONG.values(), ids=WRONG)
def test_wrong_calls_say_what_is_wrong(error, words, residuals, start, options):
    with pytest.raises(error, match=words):
        least_squares(residuals, start, **options)


@pytest.mark.parametrize("arguments", [(0.0,), (math.nan,), (1.0, "square"), (1.0, "huber", 0), (1.0, "huber", 2.0)])
def test_robust_says_what_is_wrong(arguments):
    with pytest.raises(ValueError, match=r"must be"):
        Robust(*arguments)


def test_no_step_is_longer_than_the_longest():
    points = []
    least_squares(
        lambda x: x["far"] - torch.full((3,), 10.0, dtype=torch.float64),
        {"far": torch.zeros((), dtype=torch.float64)},
        longest_steps={"far": 3.0},
        callback=lambda number, cost, damping, parameters: points.append(float(parameters["far"])),
    )
    assert points[:5] == pytest.approx([0, 3, 6, 9, 10], abs=0.02)
