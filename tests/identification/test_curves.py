"""Paths and Fourier series through tables of costs, and whether their uncertainty is what repeated trials show."""

from __future__ import annotations

import pytest
import torch

from diffapf.identification.curves import PeriodicCurve, fit_curve, read_between
from diffapf.identification.paths import along, between_values, circular_path

VALUES = 40
TRUTH = torch.tensor([20.0, 9.0, 1.5, -0.5, 0.0, 0.3, 0.0, -4.0, 1.0, 0.0, 0.2, 0.0, 0.1], dtype=torch.float64)
RATE = 1.3
TIMES = 0.01 * torch.arange(800, dtype=torch.float64)


def truth(times):
    curve = PeriodicCurve(TRUTH, RATE, 4.0, torch.zeros(14, 14, dtype=torch.float64))
    return curve.at(curve.phase(times))


def costs(value, noise=0.0, seed=0):
    random = torch.Generator().manual_seed(seed)
    value = value + noise * torch.randn(len(value), generator=random, dtype=torch.float64)
    return (torch.arange(VALUES) - value[:, None]) ** 2


def test_a_closed_path_follows_the_valley_and_ignores_what_cannot_be():
    value = 20 + 15 * torch.cos(torch.arange(32) * 2 * torch.pi / 32)
    table = costs(value.double())
    table[7] = 100.0  # nothing is known there
    table[20] = costs(torch.tensor([39.0]).double())[0] * 1e-3  # and here little, and that is wrong
    path = circular_path(table)
    assert (path - value).abs().max() < 3
    known = torch.tensor([i for i in range(32) if i not in (7, 20)])
    assert (between_values(table, path) - value)[known].abs().max() < 0.75


def test_a_path_is_read_around_its_end():
    path = torch.tensor([0.0, 1.0, 2.0, 3.0])
    torch.testing.assert_close(along(path, torch.tensor([0.125, -0.125, 1.25])), torch.tensor([0.5, 1.5, 1.0]))


def test_a_parabola_is_read_exactly_also_beyond_the_table():
    place = torch.tensor([-2.0, 0.3, 1.0, 17.77, 38.5, 41.0], dtype=torch.float64)
    value, slope, bend = read_between(costs(torch.full((6,), 11.5, dtype=torch.float64)), place)
    torch.testing.assert_close(value, (place - 11.5) ** 2)
    torch.testing.assert_close(slope, 2 * (place - 11.5))
    torch.testing.assert_close(bend, torch.full((6,), 2.0, dtype=torch.float64))


def start(rate):
    path = truth(torch.arange(32) / 32 / RATE).round()
    return PeriodicCurve.through(path, rate, float(TIMES.mean()))


def test_rate_and_curve_are_found_from_a_rough_start():
    fit = fit_curve(costs(truth(TIMES)), TIMES, start(RATE * 1.004))
    assert fit.rate_hz == pytest.approx(RATE, rel=1e-5)
    assert (fit.at(fit.phase(TIMES)) - truth(TIMES)).abs().max() < 0.1  # the ridge


def test_the_uncertainty_is_what_repeated_trials_show():
    fits = [fit_curve(costs(truth(TIMES), 2.0, seed), TIMES, start(RATE)) for seed in range(60)]
    scores = {
        "rate": torch.tensor([(fit.rate_hz - RATE) / fit.rate_deviation for fit in fits]),
        "curve": torch.cat(
            [(fit.at(fit.phase(TIMES)) - truth(TIMES))[::50] / fit.deviation(fit.phase(TIMES))[::50] for fit in fits]
        ),
    }
    for name, score in scores.items():
        assert 0.75 < float(score.square().mean().sqrt()) < 1.35, name


def test_the_phase_counts_from_the_crest():
    curve = PeriodicCurve.through(torch.cos(2 * torch.pi * (torch.arange(64) / 64 - 0.3)), 2.0, 1.0)
    # highest at phase 0.3 of a path whose phase 0 is at time 0: at 0.15 s
    assert curve.phase_from_crest(0.175)[0] == pytest.approx(0.05, abs=1e-6)
    assert curve.phase_from_crest(0.275)[0] == pytest.approx(0.25, abs=1e-6)
    crest, _ = curve.crest()
    turned = curve.turned(crest)
    assert turned[1] == pytest.approx(1.0, rel=1e-3)
    assert abs(turned[1 + curve.harmonics]) < 1e-6


def test_an_even_curve_stays_even_and_fixes_the_rate():
    times = TIMES[:550]  # 5.5 s at 0.25 Hz: 1.375 periods
    value = (
        20 + 12 * torch.cos(2 * torch.pi * (0.25 * times + 0.2)) + 2 * torch.cos(6 * torch.pi * (0.25 * times + 0.2))
    )
    table = costs(value, 0.5)
    near = PeriodicCurve.through(20 + 12 * torch.cos(2 * torch.pi * torch.arange(32) / 32), 0.26, 2.7, 0.2)
    fit = fit_curve(table, times, near, even=True)
    crest, _ = fit.crest()
    turned = fit.turned(crest)
    assert turned[1 + fit.harmonics :].abs().max() < 1e-6
    assert fit.rate_hz == pytest.approx(0.25, abs=4 * fit.rate_deviation)
    assert fit.rate_deviation < 1e-3
