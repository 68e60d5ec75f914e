"""The prior is SciPy's density of a Gaussian."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from torch.autograd import gradcheck

from diffapf.losses import GaussianPrior
from tests.filters.oracles import normal

EXAMPLES = normal(12, 4)


def test_it_is_scipys_density():
    prior, theta = GaussianPrior.of(EXAMPLES), normal(3, 4, seed=1)
    expected = -multivariate_normal(EXAMPLES.mean(0), np.cov(EXAMPLES.T)).logpdf(theta)
    np.testing.assert_allclose(prior(theta), expected, rtol=1e-10)
    torch.testing.assert_close(prior.covariance, torch.cov(EXAMPLES.T))
    assert gradcheck(prior, theta.requires_grad_())


def test_it_is_read_from_a_file(tmp_path):
    np.savez(tmp_path / "g.npz", mean=EXAMPLES.mean(0), cov=np.cov(EXAMPLES.T))
    theta = normal(4)
    torch.testing.assert_close(GaussianPrior.read(tmp_path / "g.npz")(theta), GaussianPrior.of(EXAMPLES)(theta))


def test_what_is_no_gaussian_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"\(D,\) and \(D, D\)"):
        GaussianPrior(torch.zeros(2), torch.eye(3))
    with pytest.raises(ValueError, match="not positive definite"):
        GaussianPrior.of(EXAMPLES[:3])
    np.savez(tmp_path / "other.npz", mean=np.zeros(2))
    for name in ("other.npz", "none.npz"):
        with pytest.raises(ValueError, match=name):
            GaussianPrior.read(tmp_path / name)
