"""The spline is SciPy's, goes through its knots, and is smooth."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import interpolate, ndimage

from diffapf.filters.spline import cubic_spline_upsample, spline_coefficients
from tests.filters.checks import assert_derivatives, assert_transforms
from tests.filters.oracles import normal


@pytest.mark.parametrize("time", [1, 2, 3, 10, 63, 64, 65, 200])
@pytest.mark.parametrize("factor", [1, 2, 5])
def test_it_is_scipys_mirrored_spline(time, factor):
    x = normal(2, time)
    positions = np.arange((time - 1) * factor + 1) / factor
    expected = [ndimage.map_coordinates(row, [positions], order=3, mode="mirror") for row in x.numpy()]
    np.testing.assert_allclose(cubic_spline_upsample(x, factor), expected, rtol=0, atol=1e-13)


def test_it_has_no_slope_at_its_ends():
    """Which is what a mirrored signal has: SciPy's clamped spline."""
    x = normal(30)
    expected = interpolate.CubicSpline(np.arange(30), x, bc_type="clamped")(np.arange(29 * 8 + 1) / 8)
    np.testing.assert_allclose(cubic_spline_upsample(x, 8), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_goes_through_its_knots(dtype):
    x = normal(3, 100, dtype=dtype)
    y = cubic_spline_upsample(x, 7)
    assert y.dtype == dtype
    torch.testing.assert_close(y[:, ::7], x)


def test_the_coefficients_are_scipys():
    x = normal(50)
    np.testing.assert_allclose(spline_coefficients(x), ndimage.spline_filter1d(x, 3, mode="mirror"), atol=1e-13)


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_derivatives_are_those_of_finite_differences(dtype):
    assert_derivatives(lambda x: cubic_spline_upsample(x, 3), normal(2, 5, dtype=dtype))


def test_transforms():
    assert_transforms(lambda x: cubic_spline_upsample(x, 3), normal(2, 4))


@pytest.mark.parametrize("batch", [(), (2, 3), (0,)], ids=str)
def test_batches_of_any_shape(batch):
    assert cubic_spline_upsample(normal(*batch, 5), 4).shape == (*batch, 17)
    assert cubic_spline_upsample(normal(*batch, 0), 4).shape == (*batch, 0)


@pytest.mark.parametrize("factor", [0, -1, 2.0, True])
def test_factors_that_are_none(factor):
    with pytest.raises(ValueError, match="factor must be a positive integer"):
        cubic_spline_upsample(normal(5), factor)
