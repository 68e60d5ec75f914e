"""Configs that cannot lie: every choice of every group composes, and what it names can be built."""

from pathlib import Path

import hydra
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from diffapf import Phaser
from recipes.training import Curriculum

CONFIGS = Path(__file__).parents[2] / "configs"
CHOICES = [
    f"{group.name}={choice.stem}"
    for group in sorted(CONFIGS.iterdir())
    if group.is_dir() and group.name not in ("experiment", "table")
    for choice in sorted(group.glob("*.yaml"))
]


def composed(*overrides: str):
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        return compose("train", ["experiment=phaser", "run=here", *overrides])


@pytest.mark.parametrize("choice", CHOICES)
def test_every_choice_composes_and_builds_its_model_optimiser_and_loss(choice):
    cfg = composed(choice)
    OmegaConf.to_container(cfg, resolve=True)
    model = hydra.utils.instantiate(cfg.model, sample_rate=44_100)
    optimizer, _ = hydra.utils.instantiate(cfg.optimizer)(model.parameters(), 10)
    assert isinstance(model, Phaser)
    assert optimizer.param_groups[0]["lr"] == cfg.optimizer.lr
    assert hydra.utils.instantiate(cfg.loss)(torch.ones(1, 4), torch.ones(1, 4)) == 0
    assert isinstance(hydra.utils.instantiate(cfg.curriculum), Curriculum)


def test_the_papers_protocol_is_the_papers():
    cfg = composed("protocol=paper", "data=SS-C")
    model = hydra.utils.instantiate(cfg.model, sample_rate=44_100)
    assert (model.core, model.align_corners, model.hop) == ("paper", True, 7056)
    assert (cfg.optimizer.lr, cfg.optimizer.decay, cfg.trainer.max_steps) == (5e-4, "none", 10_000)
    assert (cfg.trainer.gradient_clip, cfg.trainer.validate_every, cfg.start.trials) == (0.5, 50, 0)
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == 182


@pytest.mark.parametrize("table", sorted((CONFIGS / "table").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_cell_of_a_table_composes(table):
    content = OmegaConf.load(table)
    for budget in content.budget.values():
        for setting in content.settings:
            for method in content.methods:
                composed(f"data={setting}", f"method={method}", *budget.overrides)
