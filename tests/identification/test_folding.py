"""Rates from tables of costs, whatever the costs are of."""

from __future__ import annotations

import math

import pytest
import torch

from diffapf.identification.folding import (
    even_weights,
    folding_weights,
    frame_weights,
    rate_grid,
    refine_rate,
    scan_even,
    scan_rates,
    vertex,
)
from tests.identification.synthetic import WAVES

VALUES = 30


def costs(times, rate, phase=0.3, wave="triangle", noise=0.0, seed=0):
    """A quadratic valley around a periodic value, as steep in each frame as chance has it; some frames know nothing."""
    random = torch.Generator().manual_seed(seed)
    value = (VALUES - 1) * (0.5 + 0.4 * WAVES[wave](rate * times + phase))
    steepness = torch.rand(len(times), 1, generator=random) ** 3
    value = value + noise * torch.randn(len(times), generator=random)
    return steepness * (torch.arange(VALUES) - value[:, None]) ** 2 + 3.0


@pytest.mark.parametrize("wave", WAVES)
@pytest.mark.parametrize("rate", [0.5, 1.7, 6.3])
def test_the_rate_is_found_among_all(rate, wave):
    times = 0.02 * torch.arange(400, dtype=torch.float64)
    cost = costs(times, rate, wave=wave, noise=1.0)
    rates = rate_grid(8.0, 12.0)
    scan = scan_rates(cost, times, rates)
    coarse, step = vertex(rates, scan)[0], 1 / (8 * 8.0)
    assert coarse == pytest.approx(rate, abs=step)
    assert refine_rate(cost, times, coarse, step) == pytest.approx(rate, abs=0.02 / 8.0)
    half = scan_rates(cost, times, torch.tensor([rate, rate / 2], dtype=torch.float64))
    assert half[1] > 1.02 * half[0]  # the fundamental wins over its half


def test_several_tables_are_scanned_at_once():
    times = 0.02 * torch.arange(200, dtype=torch.float64)
    tables = torch.stack([costs(times, 1.0), costs(times, 3.0)])
    rates = rate_grid(4.0, 5.0)
    together = scan_rates(tables, times, rates)
    for table, scan in zip(tables, together, strict=True):
        torch.testing.assert_close(scan, scan_rates(table, times, rates))


@pytest.mark.parametrize("periods", [1.2, 1.6, 2.3])
@pytest.mark.parametrize("wave", ["cosine", "triangle"])
def test_an_even_waveform_needs_little_more_than_a_period(periods, wave):
    times = 0.05 * torch.arange(200, dtype=torch.float64)
    rate, phase = periods / 10, 0.3
    rates = rate_grid(10.0, 0.4, steps=32)
    found = scan_even(costs(times, rate, phase, wave), times, rates)
    best, axis = divmod(int(found.argmin()), found.shape[1])
    assert float(rates[best]) == pytest.approx(rate, abs=1 / 320)
    away = (axis / (2 * found.shape[1]) - phase) % 0.5
    assert min(away, 0.5 - away) < 0.03


def test_weights_of_a_frame_sum_to_one():
    phase = torch.linspace(-3, 3, 1001, dtype=torch.float64)
    for weights in (folding_weights(phase), even_weights(phase)):
        torch.testing.assert_close(weights.sum(0), torch.ones(1001))
        assert (weights >= 0).all()
    torch.testing.assert_close(even_weights(phase), even_weights(-phase), atol=1e-5, rtol=0)


def test_a_loud_frame_outvotes_nobody_and_a_silent_one_is_not_amplified():
    energy = torch.tensor([1e-30, 1e-8, 1.0, 100.0])
    weights = frame_weights(energy)
    assert weights[2] == pytest.approx(1.0) and weights[3] == pytest.approx(0.1)
    assert weights[0] == weights[1] == pytest.approx(100.0)  # −60 dB below the loudest is the floor
    assert torch.isfinite(frame_weights(torch.zeros(3))).all()


def test_the_vertex_of_uneven_points():
    at = torch.tensor([0.0, 0.1, 0.5, 1.0], dtype=torch.float64)
    place, bend = vertex(at, 3 * (at - 0.3) ** 2 + 1)
    assert place == pytest.approx(0.3) and bend == pytest.approx(6.0)
    assert vertex(at, at) == (0.0, math.inf)
