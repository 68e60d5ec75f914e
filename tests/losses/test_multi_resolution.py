"""The mono spectral loss: auraloss's numbers and gradients."""

from __future__ import annotations

import pytest
import torch

from diffapf.losses.multi_resolution import MultiResolutionLoss

auraloss = pytest.importorskip("auraloss.freq")


def test_it_is_auraloss():
    random = torch.Generator().manual_seed(0)
    x, y = (torch.randn(2, 6000, generator=random) for _ in range(2))
    y[:, 3000:] *= 1e-6  # bins below the floor
    x = x.requires_grad_()
    ours, loss = MultiResolutionLoss(), auraloss.MultiResolutionSTFTLoss()
    theirs = loss(x[:, None], y[:, None])
    (expected,) = torch.autograd.grad(theirs, x)
    for target in (y, ours.heard(y)):
        found = ours(x, target)
        (gradient,) = torch.autograd.grad(found, x)
        assert found.item() == pytest.approx(theirs.item(), rel=1e-5)
        assert (gradient - expected).norm() < 3e-4 * expected.norm()


def test_signals_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="must have one shape"):
        MultiResolutionLoss()(torch.zeros(4000), torch.zeros(4001))
    with pytest.raises(ValueError, match="longer than 1024 samples"):
        MultiResolutionLoss()(torch.zeros(1000), torch.zeros(1000))
