"""Applied by its recursion or by sampling its response, a filter that moves slowly is the same filter."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import signal
from torch import Tensor

from diffapf.filters.control_rate import ControlRate
from diffapf.filters.methods import Biquads, FrequencySampling, TimeDomain, TransferFunction
from tests.filters.oracles import SAMPLE_RATE, esr, normal, stable_denominator

HOP = 220
TIME = 11_025


def resonance(rate: float, hop: int = HOP, time: int = TIME) -> TransferFunction:
    """Two zeros, and two poles that sweep an octave up and down around 800 Hz, `rate` times a second."""
    t = torch.arange(time // hop + 1, dtype=torch.float64) * hop / SAMPLE_RATE
    angle = 2 * math.pi * 800 / SAMPLE_RATE * 2 ** torch.sin(2 * math.pi * rate * t)
    one, radius = torch.ones_like(t), 0.9
    a = torch.stack([-2 * radius * torch.cos(angle), radius**2 * one], -1)
    return TransferFunction(torch.stack([one, 0 * one, 0.3 * one], -1), a, hop)


def identity(hop: int) -> TransferFunction:
    return TransferFunction(torch.ones(1, 1, dtype=torch.float64), torch.zeros(1, 0, dtype=torch.float64), hop)


def fixed(order: int) -> tuple[Tensor, Tensor]:
    """b, and a with its leading 1."""
    rng = np.random.default_rng(order)
    return torch.from_numpy(rng.standard_normal(order + 1)), torch.from_numpy(stable_denominator(order, rng, 0.8))


@pytest.mark.parametrize("order", [0, 1, 2, 6])
def test_the_response_is_scipys(order):
    b, a = fixed(order)
    omega = torch.linspace(0, torch.pi, 65, dtype=torch.float64)
    response = TransferFunction(torch.stack([b, 2 * b]), torch.stack([a, a])[:, 1:], HOP).response(omega)
    _, expected = signal.freqz(b.numpy(), a.numpy(), worN=omega.numpy())
    np.testing.assert_allclose(response, [expected, 2 * expected], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("order", [0, 1, 2, 6])
def test_with_coefficients_fixed_the_time_domain_is_scipys(order):
    b, a = fixed(order)
    x = normal(2, 500)
    y = TimeDomain()(x, TransferFunction(b[None], a[None, 1:], HOP))
    np.testing.assert_allclose(y, signal.lfilter(b, a, x), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("cuts", [[220], [1, 441, 441, 900]])
def test_the_time_domain_in_blocks_is_the_whole(cuts):
    whole, x = resonance(5.0), normal(2, 1000)
    state, blocks = None, []
    for start, stop in zip([0, *cuts], [*cuts, 1000], strict=True):
        later = TransferFunction(whole.b, whole.a, HOP, ControlRate.hop(HOP, offset=start))
        y, state = later.run(x[:, start:stop], state)
        blocks.append(y)
    torch.testing.assert_close(torch.cat(blocks, -1), whole.run(x)[0], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("time", [1, 50, 99, 100, 1000, 2345])
@pytest.mark.parametrize("overlap", [2, 3, 4, 8])
def test_a_unit_response_reconstructs_the_signal(overlap, time):
    x = normal(2, time)
    torch.testing.assert_close(FrequencySampling(overlap)(x, identity(hop=100)), x, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("rate", "limit"), [(0.0, 1e-5), (0.2, 1e-5), (1.0, 2e-5), (5.0, 1e-4)])
def test_the_methods_agree_on_slow_filters(rate, limit):
    x, swept = normal(2, TIME), resonance(rate)
    assert esr(FrequencySampling()(x, swept), TimeDomain()(x, swept)) < limit


def test_the_methods_differ_on_fast_filters():
    """Where coefficients move within a window, frames no longer tell the recursion: why both methods exist."""
    x, swept = normal(2, TIME), resonance(20.0)
    assert esr(FrequencySampling()(x, swept), TimeDomain()(x, swept)) > 5e-4


def test_frequency_sampling_ignores_a_recursion_longer_than_its_window():
    """A pole of 20 windows' ringing: the frames' circular convolution is another filter."""
    ringing = TransferFunction(torch.ones(1, 1).double(), torch.tensor([[-0.9999]]).double(), hop=32)
    x = normal(1, TIME)
    assert esr(FrequencySampling()(x, ringing), TimeDomain()(x, ringing)) > 0.05


each_method = pytest.mark.parametrize("method", [TimeDomain(), FrequencySampling()], ids=repr)


@each_method
@pytest.mark.parametrize("batch", [(), (1,), (2, 3)], ids=str)
def test_both_methods_take_any_batch(method, batch):
    x, swept = normal(*batch, 2000), resonance(1.0, time=2000)
    y = method(x, swept)
    assert y.shape == x.shape
    rows = torch.stack([method(row, swept) for row in x.reshape(-1, 2000)])
    torch.testing.assert_close(y.reshape(-1, 2000), rows, rtol=1e-11, atol=1e-12)


@each_method
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_both_methods_keep_the_dtype(method, dtype):
    swept = resonance(1.0, time=2000)
    x = normal(2, 2000)
    y = method(x.to(dtype), TransferFunction(swept.b.to(dtype), swept.a.to(dtype), HOP))
    assert y.dtype == dtype
    assert esr(y, method(x, swept)) < 1e-10


def swept_biquads(*batch: int, hop: int = HOP, time: int = 4000) -> Biquads:
    """Two sections, other ones in each row."""
    frames, sections = time // hop + 1, []
    for seed in range(2):
        angle = 0.2 + 0.1 * normal(*batch, 1, seed=seed).abs() + 0.01 * torch.linspace(0, 1, frames).double()
        a = torch.stack([torch.ones_like(angle), -1.8 * torch.cos(angle), torch.full_like(angle, 0.81)], -1)
        sections.append((torch.stack([0.1 + angle, 0 * angle, -angle], -1), a))
    return Biquads(sections, hop)


@each_method
@pytest.mark.parametrize("batch", [(1,), (3,), (2, 3)], ids=str)
def test_a_filter_of_each_row(method, batch):
    x, swept = normal(*batch, 4000), swept_biquads(*batch)
    y = method(x, swept)
    for row in np.ndindex(*batch):
        alone = method(x[row], Biquads([(b[row], a[row]) for b, a in swept.sections], HOP))
        torch.testing.assert_close(y[row], alone, rtol=1e-10, atol=1e-12)


def test_responses_of_fewer_rows_are_shared():
    x, swept = normal(2, 3, 4000), swept_biquads(1, 3)
    every = Biquads([(b.expand(2, 3, -1, -1), a.expand(2, 3, -1, -1)) for b, a in swept.sections], HOP)
    for method in (FrequencySampling(), TimeDomain()):
        torch.testing.assert_close(method(x, swept), method(x, every), rtol=1e-11, atol=1e-13)


def test_both_methods_agree_on_slow_sections():
    x, swept = normal(2, 3, 4000), swept_biquads(2, 3)
    assert esr(FrequencySampling(8)(x, swept), TimeDomain()(x, swept)) < 2e-5


def test_sections_in_blocks_are_the_whole():
    x, swept = normal(2, 1000), swept_biquads(2, time=1000)
    state, blocks = None, []
    for start, stop in ((0, 1), (1, 442), (442, 1000)):
        later = Biquads(swept.sections, HOP, ControlRate.hop(HOP, offset=start))
        y, state = later.run(x[:, start:stop], state)
        blocks.append(y)
    torch.testing.assert_close(torch.cat(blocks, -1), swept.run(x)[0], rtol=1e-10, atol=1e-12)


def test_both_methods_give_the_same_gradients_for_slow_filters():
    """So a model can be trained by one and tested by the other."""
    x, target, slow = normal(1, TIME), normal(1, TIME, seed=1), resonance(0.2)

    def gradients(method) -> list[Tensor]:
        b, a = slow.b.clone().requires_grad_(), slow.a.clone().requires_grad_()
        y = method(x, TransferFunction(b, a, HOP))
        return list(torch.autograd.grad((y * target).sum(), (b, a)))

    for sampled, exact in zip(gradients(FrequencySampling()), gradients(TimeDomain()), strict=True):
        assert esr(sampled.sum(0), exact.sum(0)) < 1e-2
