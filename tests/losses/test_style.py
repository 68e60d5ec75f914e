"""The loss of style: the published likelihood, written out again."""

from __future__ import annotations

import math

import pytest
import torch
from torch.autograd import gradcheck

from diffapf.losses import StyleLoss
from diffapf.metrics import mfcc_statistics
from tests.filters.oracles import normal


def test_it_is_the_likelihood_of_all_pairs_of_mid_and_of_side():
    loss = StyleLoss(lambda signals: signals[:, :5])
    played, reference = normal(3, 2, 9), normal(2, 2, 9, seed=1)
    expected = 0.0
    for sign in (1, -1):
        ours, theirs = ((x[:, 0] + sign * x[:, 1])[:, :5] for x in (played, reference))
        angles = [math.acos(float(torch.cosine_similarity(a, b, dim=0))) for a in ours for b in theirs]
        s = math.sqrt(sum(a * a for a in angles) / len(angles))
        expected += sum(0.5 * (a / s) ** 2 + 0.5 * math.log(2 * math.pi) + math.log(s) for a in angles) / len(angles)
    assert float(loss(played, loss.heard(reference))) == pytest.approx(expected)
    assert gradcheck(lambda x: loss(x, loss.heard(reference)), played.requires_grad_())


def test_the_same_sound_has_the_least_and_a_finite_slope():
    loss = StyleLoss(lambda signals: mfcc_statistics(signals, 44_100))
    x = 0.1 * torch.randn(1, 2, 8192, generator=torch.Generator().manual_seed(0))
    muffled = torch.nn.functional.avg_pool1d(x, 9, 1, 4).requires_grad_()
    heard = loss.heard(x)
    assert float(loss(x, heard)) < float(loss(muffled, heard).detach())
    (slope,) = torch.autograd.grad(loss(muffled, heard), muffled)
    assert slope.isfinite().all() and slope.any()
    silent = torch.zeros(1, 2, 8192, requires_grad=True)
    (slope,) = torch.autograd.grad(loss(silent, heard), silent)
    assert slope.isfinite().all()
    with pytest.raises(ValueError, match="must be stereo"):
        loss.heard(x[0])
