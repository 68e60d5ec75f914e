"""Newton's method with exact Hessians: against closed forms, from saddles, in boxes, and on a compressor."""

import pytest
import torch

from diffapf import Compressor
from diffapf.identification import hessian, minimise_module, newton
from diffapf.identification.hessians import STRATEGIES
from diffapf.identification.modules import of_parameters

DOUBLE = torch.float64


def rosenbrock(p):
    x, y = p["x"]
    return (1 - x) ** 2 + 100 * (y - x**2) ** 2


def at(*values: float) -> dict[str, torch.Tensor]:
    return {"x": torch.tensor(values, dtype=DOUBLE)}


@pytest.fixture(scope="module")
def compressing():
    """(loss of a compressor, where it starts): programme of bursts, three parameters."""
    x = torch.randn(1, 3000, dtype=DOUBLE, generator=torch.Generator().manual_seed(0))
    x = x * (0.05 + (torch.arange(3000) % 1000 < 400))
    with torch.no_grad():
        target = Compressor(44_100, threshold_db=-22.0, ratio=4.0, attack_ms=2.0, release_ms=30.0).double()(x)
    start = Compressor(44_100, threshold_db=-15.0, ratio=2.5, attack_ms=4.0, release_ms=20.0).double()
    return start, lambda module: (module(x) - target).square().sum()


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_gives_the_same_hessian_of_a_compressor(compressing, strategy):
    module, loss = compressing
    names = [name for name, _ in module.named_parameters()]

    def of(vector):
        return loss_of(module, loss, dict(zip(names, vector, strict=True)))

    zero = torch.zeros(len(names), dtype=DOUBLE)
    found, expected = (hessian(of, zero, name) for name in (strategy, "autograd rev-rev"))
    for got, wanted in zip(found, expected, strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-8, atol=1e-9)
    one = torch.eye(len(names), dtype=DOUBLE)[0] * 1e-5
    slopes = [torch.func.grad(of)(zero + sign * one) for sign in (1, -1)]
    torch.testing.assert_close(found[2][0], (slopes[0] - slopes[1]) / 2e-5, rtol=1e-3, atol=1e-3)


def loss_of(module, loss, parameters):
    return of_parameters(module, loss)(parameters)


def test_it_is_quadratic_where_levenberg_and_marquardt_would_be():
    found = newton(rosenbrock, at(-1.2, 1.0))
    assert found.converged and found.loss < 1e-20
    torch.testing.assert_close(found.parameters["x"], torch.ones(2, dtype=DOUBLE))
    assert len(found.history) < 30


def test_a_loss_that_is_no_sum_of_squares():
    """log cosh, at its bottom in three steps; the Hessian is the closed form."""
    found = newton(lambda p: torch.log(torch.cosh(p["x"] - 2)).sum(), at(1.5), damping=0.0, tolerance=1e-12)
    assert float(found.parameters["x"]) == pytest.approx(2.0, abs=1e-6)
    assert float(found.hessian) == pytest.approx(1.0)


def test_it_leaves_a_saddle_downhill():
    found = newton(lambda p: p["x"][0] ** 2 - p["x"][1] ** 2 + p["x"][1] ** 4, at(0.3, 1e-3))
    assert abs(float(found.parameters["x"][1])) == pytest.approx(0.5**0.5, rel=1e-5)


def test_bounds_hold_and_are_named():
    found = newton(rosenbrock, at(-1.2, 0.3), bounds={"x": (None, 0.5)})
    assert found.at_bounds == ["x[0]"]
    assert found.parameters["x"].tolist() == pytest.approx([0.5, 0.25])


def test_what_is_frozen_stays():
    start = {"a": torch.tensor(1.0, dtype=DOUBLE), "b": torch.tensor(5.0, dtype=DOUBLE)}
    found = newton(lambda p: (p["a"] * p["b"] - 10) ** 2, start, frozen=["b"])
    assert float(found.parameters["a"]) == pytest.approx(2.0) and float(found.parameters["b"]) == 5.0


def test_a_compressor_is_found(compressing):
    module, loss = compressing
    found = minimise_module(module, loss, longest_steps={"curve.threshold_db.step": 6.0}, tolerance=1e-9)
    assert found.loss < 1e-12
    assert module.curve.ratio().item() == pytest.approx(4.0, rel=1e-4)
    assert module.smoother.attack_ms().item() == pytest.approx(2.0, rel=1e-4)


def test_a_callback_sees_each_step_and_can_stop():
    seen = []
    found = newton(rosenbrock, at(-1.2, 1.0), callback=lambda number, loss, *_: seen.append(loss) or number == 2)
    assert len(seen) == 3 and seen == sorted(seen, reverse=True)
    assert "callback" in found.why


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"strategy": "rev"}, "strategy"),
        ({"iterations": -1}, "iterations"),
        ({"tolerance": float("nan")}, "tolerance"),
        ({"bounds": {"x": (0.0, 2.0)}}, r"x\[0\]"),
        ({"frozen": ["x"]}, "nothing to fit"),
        ({"parameters": at(float("inf"), 0.0)}, "finite"),
    ],
)
def test_wrong_arguments_are_named(change, word):
    with pytest.raises(ValueError, match=word):
        newton(**({"loss": rosenbrock, "parameters": at(-1.2, 1.0)} | change))


@pytest.mark.parametrize("loss", [None, lambda p: 1.0, lambda p: p["x"]])
def test_a_loss_that_is_none(loss):
    with pytest.raises(TypeError, match="loss"):
        newton(loss, at(1.0, 1.0))
