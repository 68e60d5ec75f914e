"""Harmonics are sines of multiples of the phase, to rounding, however many; their levels are lines between frames."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from diffapf.filters.harmonic_sum import harmonic_sum
from tests.filters.checks import assert_derivatives
from tests.filters.oracles import normal

RATE, HOP = 24_000, 240


def test_it_is_the_sum_of_sines():
    f0 = np.linspace(60, 400, 1000)
    psi = np.cumsum(2 * np.pi * f0 / RATE)
    levels = np.random.default_rng(0).normal(size=(3, 155))
    n = np.arange(1000)
    expected = sum(
        np.interp(n / HOP, [0, 1, 2], levels[:, k - 1]) * np.sin(k * psi) * (k * f0 < RATE / 2) for k in range(1, 156)
    )
    top = torch.from_numpy(np.ceil(RATE / 2 / f0) - 1)
    for dtype, tolerance in ((torch.float64, 1e-10), (torch.float32, 1e-5)):
        found = harmonic_sum(torch.from_numpy(psi), torch.from_numpy(levels).to(dtype), HOP, top)
        assert found.dtype == dtype
        np.testing.assert_allclose(found.numpy(), expected, atol=tolerance * np.abs(expected).max())


@pytest.mark.parametrize("hop", [1, 3, 20])
def test_it_has_right_derivatives(hop):
    top = torch.tensor([4.0, 3.0, 4.0, 2.0, 1.0, 0.0, 4.0]).expand(2, 7)
    assert_derivatives(lambda psi, levels: harmonic_sum(psi, levels, hop, top), 3 * normal(2, 7), normal(2, 3, 4))


def test_a_graph_holds_it():
    levels, psi = normal(1, 2, 3), normal(1, 6)

    def loss(levels):
        return harmonic_sum(psi, levels, 3).square().sum()

    whole = torch.compile(loss, fullgraph=True, backend="aot_eager")
    gradients = []
    for function in (loss, whole):
        leaf = levels.clone().requires_grad_()
        function(leaf).backward()
        gradients.append(leaf.grad)
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize(
    ("message", "changed"),
    [
        (
            r"weights must have shape \(2, 'frames', 'K'\) for psi of shape \(2, 7\), got \(3, 4\)",
            {"weights": normal(3, 4)},
        ),
        ("hop must be a whole number of samples, at least 1, got 0", {"hop": 0}),
        (r"top must have the shape of psi, \(2, 7\), got", {"top": torch.ones(7)}),
        ("psi must be real, float32 or float64, got torch.complex128", {"psi": normal(2, 7, dtype=torch.complex128)}),
    ],
)
def test_bad_arguments_are_named(message, changed):
    with pytest.raises((ValueError, TypeError), match=message):
        harmonic_sum(**{"psi": normal(2, 7), "weights": normal(2, 3, 4), "hop": 3, **changed})
