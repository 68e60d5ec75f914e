import math

import pytest
import torch
from torch.autograd import gradcheck
from torch.func import functional_call

from diffapf import CircleSampling, Comb, Effect, FrequencySampling, TimeDomain, comb
from tests.filters.oracles import normal

RATE = 44_100
METHODS = pytest.mark.parametrize("method", [TimeDomain(), CircleSampling(400)], ids=["time", "circle"])


def of_samples(samples: float, gain: float = 0.4, feedback: float = -0.7, **options) -> Comb:
    return Comb(RATE, samples * 1000 / RATE, gain, feedback, **options).double()


@METHODS
def test_of_whole_samples_it_is_the_equation(method):
    x = normal(2, 400)
    y = x.clone()
    for n in range(50, 400):
        y[:, n] = x[:, n] + 0.4 * x[:, n - 50] - 0.7 * y[:, n - 50]
    torch.testing.assert_close(of_samples(50, method=method)(x).detach(), y, rtol=0, atol=1e-5)
    feedback_alone = of_samples(50, gain=0.0, method=method)(x).detach()
    torch.testing.assert_close(feedback_alone, comb(x, 0.7, 50), rtol=0, atol=1e-5)


@METHODS
def test_between_whole_samples_it_has_the_response(method):
    x = torch.zeros(400, dtype=torch.float64)
    x[0] = 1
    found = torch.fft.rfft(of_samples(50.37, gain=0.9, feedback=-0.1, method=method)(x).detach())[:160]
    late = torch.exp(-2j * math.pi * 50.37 / 400 * torch.arange(160, dtype=torch.float64))
    torch.testing.assert_close(found, (1 + 0.9 * late) / (1 + 0.1 * late), rtol=0, atol=2e-3)


@METHODS
def test_gradients_are_finite_differences(method):
    effect, x = of_samples(50.37, method=method), normal(2, 80).requires_grad_()
    names = [name for name, _ in effect.named_parameters()]

    def function(x, *values):
        return functional_call(effect, dict(zip(names, values, strict=True)), x)

    assert gradcheck(function, (x, *effect.parameters()), rtol=1e-4, atol=1e-6)


def test_a_delay_that_is_little_wrong_is_learned():
    x, hidden, effect = normal(2000), of_samples(60.3), of_samples(60.0, feedback=-0.5)
    y = hidden(x).detach()
    optimizer = torch.optim.LBFGS(effect.parameters(), max_iter=60, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = (effect(x) - y).square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    assert float(effect.time_ms()) == pytest.approx(60.3 * 1000 / RATE, abs=1e-6)


def test_any_cuts_stream_as_the_whole():
    effect, x = of_samples(50.37), normal(2, 400)
    state, blocks = effect.initial_state(), []
    for block in x.tensor_split([1, 2, 60, 61, 200], -1):
        y, state = effect.process(block, state)
        blocks.append(y)
    torch.testing.assert_close(torch.cat(blocks, -1), effect(x).detach(), rtol=1e-12, atol=1e-12)


def test_a_preset_is_read_back_exactly(tmp_path):
    effect, x = of_samples(50.37, times_ms=(0.5, 3.0)), normal(400)
    effect.save(tmp_path / "c.yaml")
    assert torch.equal(Effect.load(tmp_path / "c.yaml")(x), effect(x))


@pytest.mark.parametrize(
    ("words", "arguments"),
    [
        ("time_ms must lie between 1 and 50", {"time_ms": 0.5}),
        ("feedback must lie between -0.98 and 0.98", {"feedback": 1.0}),
        ("gain must be a finite number", {"gain": math.inf}),
        ("times_ms must be two times", {"times_ms": (0.1, 1.0)}),
        ("method must be TimeDomain", {"method": FrequencySampling()}),
    ],
)
def test_wrong_arguments_are_named(words, arguments):
    with pytest.raises(ValueError, match=words):
        Comb(RATE, **arguments)
