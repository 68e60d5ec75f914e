"""The network at single frequencies is the network in time, with derivatives; sampled on a circle, to −120 dB and beyond."""

from __future__ import annotations

import pytest
import torch

from diffapf.filters.circle_sampling import CircleSampling
from diffapf.filters.delay_network import delay_network
from diffapf.filters.network_response import DelayNetwork, NetworkResponse
from tests.filters.checks import assert_derivatives, assert_transforms
from tests.filters.oracles import esr, normal, within

DELAYS = [13, 17]


def network() -> DelayNetwork:
    T = normal(2, 2)
    low = torch.hann_window(33, periodic=False).double()
    filters = [torch.tensor([0.98]).double(), 0.9 * torch.eye(33).double()[16] + 0.08 * low / low.sum()]
    return DelayNetwork(DELAYS, torch.matrix_exp(T - T.mT), filters, normal(2, 3, seed=1), normal(1, 2, seed=2))


@pytest.mark.parametrize("shared", [1, 2])
def test_derivatives_of_the_response_are_those_of_finite_differences(shared):
    v = normal(2, 3, 4, dtype=torch.complex128)
    F = 0.4 * normal(shared, 3, 4, seed=1, dtype=torch.complex128)
    assert_derivatives(NetworkResponse.apply, v, within(0.7, shared, 3, 3, seed=2), F)


def test_transforms():
    def function(v, U, F):
        q = NetworkResponse.apply(torch.view_as_complex(v), U, torch.view_as_complex(F))
        return torch.view_as_real(q)

    assert_transforms(function, normal(1, 2, 3, 2), within(0.5, 1, 2, 2, seed=1), 0.4 * normal(1, 2, 3, 2, seed=2))


@pytest.mark.parametrize(("decay_db", "below_db"), [(120.0, -120.0), (60.0, -60.0)])
def test_on_the_circle_it_is_the_network_in_time(decay_db, below_db):
    """Though its sound is longer than the grid."""
    impulse = torch.zeros(3, 3, 300).double()
    impulse[range(3), range(3), 0] = 1
    expected = network().run(impulse)[0]
    assert float(expected[..., -50:].square().mean() / expected.square().mean()) > 1e-2
    h = CircleSampling(300, decay_db).impulse_response(network())
    assert esr(h.transpose(0, 1), expected) < 10 ** (below_db / 10)


@pytest.mark.parametrize("n", [10, 16, 64])
def test_grids_shorter_than_the_filters_are_right_where_they_sample(n):
    z = 1.01 * torch.exp(2j * torch.pi * torch.arange(n // 2 + 1).double() / n)
    it = network()
    turns = [
        sum(tap * z ** -(m - len(g) // 2 + k) for k, tap in enumerate(g))
        for m, g in zip(DELAYS, it.absorption, strict=True)
    ]
    for k in range(n // 2 + 1):
        loop = torch.eye(2) - it.U * torch.stack([turn[k] for turn in turns])
        late = torch.diag(torch.stack([z[k] ** -m for m in DELAYS]))
        expected = it.C.to(z.dtype) @ late @ torch.linalg.solve(loop, it.B.to(z.dtype))
        torch.testing.assert_close(it.spectrum(n, 1.01)[..., k], expected, rtol=1e-10, atol=1e-10)


def test_a_signal_is_convolved_with_the_response():
    x = normal(4, 3, 300)
    found = CircleSampling(300)(x, network())
    expected = delay_network(x, DELAYS, network().U, network().absorption, network().B, network().C)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    short = CircleSampling(100)(x, network())
    torch.testing.assert_close(short[..., :100], expected[..., :100], rtol=1e-5, atol=1e-5)
    assert CircleSampling(300)(x.float(), network()).dtype == torch.float32
    assert CircleSampling(300)(x[..., :0], network()).shape == (4, 1, 0)


@pytest.mark.parametrize(
    ("words", "arguments"),
    [
        ("length must be a positive integer", (0,)),
        ("length must", (1.5,)),
        ("decay_db must", (10, -1.0)),
        ("decay_db must", (10, float("nan"))),
    ],
)
def test_errors_say_what_is_needed(words, arguments):
    with pytest.raises(ValueError, match=words):
        CircleSampling(*arguments)
