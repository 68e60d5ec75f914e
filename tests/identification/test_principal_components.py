"""Principal components are the eigenvectors of the covariance; of published presets they are the published ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from diffapf.effects.vocal_presets import read_presets
from diffapf.identification.principal_components import principal_components
from tests.filters.oracles import normal

PRESETS = Path(__file__).parents[3] / "shared" / "data" / "vocal_presets" / "internal"
FEATURES = normal(30, 4) * torch.tensor([3.0, 1.0, 0.5, 0.1]).double() + 5


def test_they_are_the_eigenvectors_of_the_covariance():
    components = principal_components(FEATURES)
    values, vectors = np.linalg.eigh(np.cov(FEATURES.T))
    np.testing.assert_allclose(components.variances, values[::-1], rtol=1e-10)
    np.testing.assert_allclose(np.abs(components.axes @ vectors[:, ::-1]), np.eye(4), atol=1e-10)
    assert (components.axes.amax(1) >= -components.axes.amin(1)).all()
    assert float(components.explained.sum()) == pytest.approx(1)


def test_places_are_standard_and_lead_back():
    components = principal_components(FEATURES)
    places = components.places(FEATURES)
    torch.testing.assert_close(places.std(0), torch.ones(4).double())
    torch.testing.assert_close(components.places(components.at(2, -1.5)), torch.tensor([0.0, 0.0, -1.5, 0.0]).double())


def test_fewer_things_than_numbers_span_fewer_components():
    assert len(principal_components(FEATURES[:3]).axes) == 2
    with pytest.raises(ValueError, match="at least two"):
        principal_components(FEATURES[:1])
    with pytest.raises(ValueError, match="all are alike"):
        principal_components(torch.ones(3, 2))


@pytest.mark.skipif(not PRESETS.is_dir(), reason="needs the presets in ../shared/data/vocal_presets")
def test_published_presets_differ_as_published():
    """specs/vocal-chain-protocols.md, section 3."""
    explained = 100 * principal_components(read_presets(PRESETS).features()).explained
    expected = [13.86, 9.72, 8.22, 7.18, 6.37, 5.19, 3.81, 3.44, 3.25, 3.18]
    np.testing.assert_allclose(explained[:10], expected, atol=0.006)
    np.testing.assert_allclose(explained.cumsum(0)[[9, 19, 29, 49, 69]], [64.2, 81.8, 89.9, 96.3, 98.6], atol=0.06)
