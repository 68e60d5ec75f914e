"""A signal read a part of a sample later undoes a delay by that part; and the part is found again."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from diffapf.identification.lateness import advanced, lateness

SAMPLES, EDGE = 40_000, 6000


def delayed(signal: Tensor, samples: float) -> Tensor:
    """By the frequency domain, where the signal is periodic."""
    omega = 2 * torch.pi * torch.arange(SAMPLES // 2 + 1, dtype=torch.float64) / SAMPLES
    return torch.fft.irfft(torch.fft.rfft(signal) * torch.polar(torch.ones_like(omega), -omega * samples), SAMPLES)


def noise(rows: int = 1) -> Tensor:
    """Up to 0.9 of half the sample rate."""
    white = torch.randn(rows, SAMPLES, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    spectrum = torch.fft.rfft(white)
    spectrum[:, round(0.9 * SAMPLES / 2) :] = 0.0
    return torch.fft.irfft(spectrum, SAMPLES)


def esr(found: Tensor, wanted: Tensor) -> float:
    inner = slice(EDGE, -EDGE)
    return float((found - wanted)[:, inner].square().sum() / wanted[:, inner].square().sum())


@pytest.mark.parametrize("samples", [0.37, -0.5, 5000.25, -499.9, 37.0, -3.0])
def test_what_was_late_is_read_later(samples):
    x = noise(2)
    assert esr(advanced(delayed(x, samples), samples), x) < 1e-9


def test_whole_samples_are_exact_and_beyond_the_ends_is_silence():
    x = torch.arange(1.0, 6.0)[None]
    assert advanced(x, 3).tolist() == [[4, 5, 0, 0, 0]]
    assert advanced(x, -2.0).tolist() == [[0, 0, 1, 2, 3]]


def test_the_derivative_is_the_signals_slope():
    x = noise()[:, :3000]
    late = torch.tensor(0.2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda d: advanced(x, d)[:, ::50], late)


@pytest.mark.parametrize("samples", [0.0, 0.013, -0.4, 0.9])
def test_the_part_of_a_sample_is_found_again(samples):
    x = noise(2)
    assert lateness(delayed(x, samples), x) == pytest.approx(samples, abs=1e-5)


def test_silence_is_not_late():
    assert lateness(torch.zeros(1, 5000), torch.zeros(1, 5000)) == 0.0
