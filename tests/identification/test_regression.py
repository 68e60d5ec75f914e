"""Gram matrices of blocks against plain sums, and gains from them."""

from __future__ import annotations

import torch

from diffapf.identification.offset import offset_candidates
from diffapf.identification.regression import block_grams, residual_energy, solve_gains
from tests.identification.synthetic import Truth, chirps, plucks


def signals(time=60, candidates=3):
    random = torch.Generator().manual_seed(0)
    x = torch.randn(time + 2, generator=random, dtype=torch.float64)
    w = torch.randn(candidates, time + 2, generator=random, dtype=torch.float64)
    return x, w, torch.randn(time, generator=random, dtype=torch.float64)


def test_each_entry_is_a_sum_over_its_block():
    x, w, y = signals()
    grams = block_grams(x, w, y, 20)
    for candidate in range(3):
        v = w[candidate]
        columns = torch.stack([x[2:], x[1:-1], x[:-2], v[2:], v[1:-1], v[:-2], y])
        for block in range(3):
            part = columns[:, 20 * block : 20 * block + 20]
            torch.testing.assert_close(grams[block, candidate], part @ part.mT)


def test_gains_are_least_squares_and_the_residual_is_theirs():
    x, w, y = signals()
    gram = block_grams(x, w, y, 60)[0]
    gains = solve_gains(gram, ridge=0.0)
    columns = torch.stack([x[2:], x[1:-1], x[:-2], w[1, 2:], w[1, 1:-1], w[1, :-2]], 1)
    best = torch.linalg.lstsq(columns, y).solution
    torch.testing.assert_close(gains[1], best)
    torch.testing.assert_close(residual_energy(gram, gains)[1], (y - columns @ best).square().sum())
    torch.testing.assert_close(residual_energy(gram, gains[1])[1], residual_energy(gram, gains)[1])


def test_silence_has_no_gains():
    assert not solve_gains(torch.zeros(4, 7, 7)).any()


def test_an_offset_is_found_behind_a_phaser():
    dry = plucks(6.0, 44_100)
    wet = Truth(feedback=0.5).apply(dry, 44_100)
    for late in (882, -882, 0, 37):
        assert offset_candidates(dry, wet.roll(late), 2205)[0] == late


def test_a_signal_that_repeats_leaves_a_choice():
    dry = chirps(4.0, 44_100)  # every 1323 samples
    wet = Truth().apply(dry, 44_100)
    candidates = offset_candidates(dry, wet.roll(882), 2205)
    assert {882, 882 - 1323} <= set(candidates)
