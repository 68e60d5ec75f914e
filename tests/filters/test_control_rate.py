"""Coefficients at the control rate are those that up-sampling would have materialised: outputs and gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from diffapf.filters.allpole import allpole
from diffapf.filters.control_rate import ControlRate
from diffapf.filters.fir import fir
from tests.filters.oracles import normal, within

FILTERS = {"allpole": (allpole, 0), "fir": (fir, 1)}
each_filter = pytest.mark.parametrize(("function", "extra"), FILTERS.values(), ids=FILTERS)
each_order = pytest.mark.parametrize("order", [1, 2, 14])


def at_positions(frames: Tensor, positions: np.ndarray) -> Tensor:
    """Frames interpolated by NumPy's rule, linear and held at both ends; as a matrix, for gradients."""
    count = frames.shape[-2]
    weights = np.stack([np.interp(positions, np.arange(count), np.eye(count)[frame]) for frame in range(count)], -1)
    return torch.from_numpy(weights).to(frames.dtype) @ frames


def outputs_and_gradients(function, x: Tensor, frames: Tensor, zi: Tensor) -> list[Tensor]:
    inputs = [tensor.clone().requires_grad_() for tensor in (x, frames, zi)]
    y = function(*inputs)
    weights = torch.arange(1, y.numel() + 1, dtype=y.dtype).reshape(y.shape)
    return [y, *torch.autograd.grad((weights * y**2).sum() / y.numel(), inputs)]


def problem(order: int, extra: int, time: int, frames: int, dtype=torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    coefficients = within(0.9 / (order + extra), 5, frames, order + extra, seed=1, dtype=dtype)
    return normal(5, time, dtype=dtype), coefficients, normal(5, order, seed=2, dtype=dtype)


def assert_same_as_materialised(function, hop, materialise, x, frames, zi, **tolerance) -> None:
    found = outputs_and_gradients(lambda x, frames, zi: function(x, frames, zi, hop=hop), x, frames, zi)
    expected = outputs_and_gradients(lambda x, frames, zi: function(x, materialise(frames), zi), x, frames, zi)
    for one, wanted in zip(found, expected, strict=True):
        torch.testing.assert_close(one, wanted, **tolerance or {"rtol": 1e-10, "atol": 1e-11})


@each_filter
@each_order
@pytest.mark.parametrize("hop", [1, 7, 7.5, 40, 1000])
@pytest.mark.parametrize("offset", [0, 3, 12.25, -10])
def test_a_hop_is_interpolation_at_n_over_hop(function, extra, order, hop, offset):
    """The last frame is held when the frames end before the signal; the first, when the signal begins before them."""
    x, frames, zi = problem(order, extra, time=30, frames=4)
    positions = (offset + np.arange(30)) / hop

    def materialise(frames: Tensor) -> Tensor:
        return at_positions(frames, positions)

    assert_same_as_materialised(function, ControlRate.hop(hop, offset), materialise, x, frames, zi)
    if offset == 0:
        assert_same_as_materialised(function, hop, materialise, x, frames, zi)


@each_filter
@each_order
@pytest.mark.parametrize(("time", "frames"), [(30, 4), (30, 1), (30, 30), (30, 31), (2, 3), (1, 1)])
def test_align_corners_is_pytorchs(function, extra, order, time, frames):
    x, coefficients, zi = problem(order, extra, time, frames)
    hop = ControlRate.align_corners(frames, time)

    def materialise(frames: Tensor) -> Tensor:
        return interpolate(frames.transpose(1, 2), time, mode="linear", align_corners=True).transpose(1, 2)

    assert_same_as_materialised(function, hop, materialise, x, coefficients, zi)


@each_filter
def test_in_float32_a_long_signal_has_right_outputs_and_gradients(function, extra):
    """Positions and sums do not drift: 20 000 samples and 46 frames, against the same in float64."""
    single = problem(2, extra, time=20_000, frames=46, dtype=torch.float32)
    found = outputs_and_gradients(lambda *inputs: function(*inputs, hop=441), *single)
    double = [tensor.double() for tensor in single]
    positions = np.arange(20_000) / 441
    expected = outputs_and_gradients(lambda x, frames, zi: function(x, at_positions(frames, positions), zi), *double)
    for one, wanted in zip(found, expected, strict=True):
        torch.testing.assert_close(one.double(), wanted, rtol=0, atol=1e-5 * wanted.abs().max().item())


@each_filter
def test_one_frame_is_a_fixed_filter(function, extra):
    x, frames, zi = problem(2, extra, time=30, frames=1)
    assert torch.equal(function(x, frames, zi, hop=10), function(x, frames[:, 0], zi))


@each_filter
def test_coefficients_at_the_control_rate_serve_batches(function, extra):
    x, frames = normal(2, 3, 30), within(0.4, 3, 4, 2 + extra, seed=1)
    y = function(x, frames.expand(2, 3, 4, -1), hop=9)
    for i, j in np.ndindex(2, 3):
        torch.testing.assert_close(y[i, j], function(x[i, j], frames[j], hop=9), rtol=1e-12, atol=1e-13)
