"""Inference-time optimisation: which chunks are which, a run that comes nearer the style, and what a user is told."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recipes.retrieval import run
from recipes.style import alternating, embedding
from tests.recipes.test_retrieval import RATE, composed

QUICK = [
    "protocol=style",
    "trainer.max_steps=4",
    "trainer.validate_every=2",
    "retrieve.chunk=0.8",
    "data.source.seconds=2.4",
]
QUICK += [
    "retrieve.sampled=0.3",
    "data.source.train=[0,1.6]",
    "data.source.validation=[0,1.6]",
    "data.source.test=[1.6,2.4]",
]


@pytest.fixture
def gaussian(tmp_path):
    np.savez(tmp_path / "g.npz", mean=np.zeros(130), cov=np.eye(130))
    return str(tmp_path / "g.npz")


def test_wet_and_dry_chunks_take_turns_and_quiet_ones_are_left_out():
    dry = torch.arange(1.0, 51.0)[None]
    wet = dry.expand(2, -1).clone()
    wet[:, 20:30] = 1e-5
    reference, played = alternating(dry, wet, 10, 100)
    assert reference[:, 0, 0].tolist() == [1, 41] and played[:, 0, 0].tolist() == [11, 31]
    with pytest.raises(ValueError, match="no played one"):
        alternating(dry, wet, 30, 100)
    with pytest.raises(ValueError, match="no reference one"):
        alternating(dry, 1e-5 * wet, 10, 100)


def test_a_run_comes_nearer_the_style_and_stays_likely(tmp_path, gaussian):
    cfg = composed(*QUICK, f"retrieve.prior={gaussian}", "optimizer.lr=0.03")
    _, found = run(cfg, tmp_path)
    losses = [row["train/loss"] for row in found.course.history.rows if "train/loss" in row]
    assert losses[-1] < losses[0]
    assert {"test/mss_td", "untrained:test/mss_td"} <= found.metrics.keys()


def test_any_network_may_hear(tmp_path):
    class Levels(torch.nn.Module):
        def forward(self, x):
            return torch.stack([x.abs().mean(1), x.diff(dim=1).abs().mean(1)], 1)

    torch.export.save(torch.export.export(Levels(), (torch.randn(3, 50),)), tmp_path / "levels.pt2")
    hear = embedding(str(tmp_path / "levels.pt2"), RATE)
    assert hear(torch.ones(3, 50)).tolist() == [[1.0, 0.0]] * 3


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"got 'afx', which is not there. The weights of AFx-Rep"):
        embedding("afx", RATE)
    (tmp_path / "no.pt2").write_text("no")
    with pytest.raises(ValueError, match="is no network that torch"):
        embedding(str(tmp_path / "no.pt2"), RATE)
