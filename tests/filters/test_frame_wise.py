"""Filters that stand still within a frame: against their definitions, sample by sample."""

from __future__ import annotations

import pytest
import scipy.signal
import torch

from diffapf.filters.frame_wise import frame_wise_allpole, spectral_filter, zero_phase_fir

HOP = 60


@pytest.fixture
def x():
    return torch.randn(2, 500, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_a_filter_that_does_not_move_is_itself_but_for_what_rang_before_each_window(x):
    a = torch.tensor([-0.3, 0.1], dtype=torch.float64)
    y = frame_wise_allpole(x, a.expand(1, 1, 2), HOP)
    expected = torch.from_numpy(scipy.signal.lfilter([1.0], [1.0, -0.3, 0.1], x.numpy()))
    assert (y - expected).norm() / expected.norm() < 2e-2  # the windows' first samples lack their past, at weight 0


def test_windows_are_filtered_each_by_its_own_filter(x):
    a = 0.3 * torch.randn(2, 9, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    window = torch.hann_window(4 * HOP, dtype=torch.float64)
    total, weight = torch.zeros(2, 9 * HOP + 4 * HOP), torch.zeros(9 * HOP + 4 * HOP)
    padded = torch.nn.functional.pad(x, (2 * HOP, 9 * HOP))
    for frame in range(9):
        span = slice(frame * HOP, frame * HOP + 4 * HOP)
        for row in range(2):
            part = scipy.signal.lfilter([1.0], [1.0, *a[row, frame].tolist()], padded[row, span].numpy())
            total[row, span] += torch.from_numpy(part) * window
        weight[span] += window
    expected = (total / weight.clamp(min=1e-12))[:, 2 * HOP : 2 * HOP + 500]
    assert torch.allclose(frame_wise_allpole(x, a, HOP).float(), expected.float(), atol=1e-5)


def test_flat_magnitudes_leave_the_signal_as_it_is(x):
    assert torch.allclose(zero_phase_fir(x, torch.zeros(1, 33).double(), HOP), x, atol=1e-12)


def test_a_zero_phase_filter_is_symmetric_and_moves_by_hops(x):
    logs = torch.randn(9, 17, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    taps = torch.fft.fftshift(torch.fft.irfft(logs.exp()), -1) * torch.hann_window(32, dtype=torch.float64)
    assert torch.allclose(taps[:, 1:], taps[:, 1:].flip(-1))
    expected = torch.zeros(2, 9 * HOP + 31, dtype=torch.float64)
    for frame in range(9):
        piece = x[:, frame * HOP : (frame + 1) * HOP]
        for row in range(2):
            rings = torch.from_numpy(scipy.signal.convolve(piece[row].numpy(), taps[frame].numpy()))
            expected[row, frame * HOP : frame * HOP + len(rings)] += rings
    assert torch.allclose(zero_phase_fir(x, logs, HOP), expected[:, 16:516], atol=1e-10)


def test_the_last_frame_is_held_and_more_frames_are_left_out(x):
    logs = torch.randn(3, 17, dtype=torch.float64)
    held = torch.cat([logs, logs[-1:].expand(10, -1)])
    assert torch.equal(zero_phase_fir(x, logs, HOP), zero_phase_fir(x, held, HOP))


def test_a_flat_response_leaves_the_signal_as_it_is(x):
    assert torch.allclose(spectral_filter(x, torch.ones(1, 121).double(), HOP), x, atol=1e-10)


@pytest.mark.parametrize("filtered", ["allpole", "fir", "spectral"])
def test_gradients(filtered):
    random = torch.Generator().manual_seed(4)
    x = torch.randn(40, generator=random, dtype=torch.float64, requires_grad=True)
    numbers = (0.2 * torch.randn(6, 5, generator=random, dtype=torch.float64)).requires_grad_()
    rule = {
        "allpole": lambda x, numbers: frame_wise_allpole(x, numbers[:, :2], 8),
        "fir": lambda x, numbers: zero_phase_fir(x, numbers, 8),
        "spectral": lambda x, numbers: spectral_filter(x, numbers, 2),
    }[filtered]
    assert torch.autograd.gradcheck(rule, (x, numbers))
