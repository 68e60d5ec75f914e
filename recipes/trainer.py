"""One Lightning training: checkpoints to resume from, a bar, Ctrl-C, and the best model kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import hydra
import torch
from lightning import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from omegaconf import DictConfig

from recipes.callbacks import History, ProgressBar, StopOnInterrupt


@dataclass
class Course:
    """How a training went."""

    history: History
    interrupted: bool
    steps: int


class WithCourse:
    """What has a course."""

    course: Course

    @property
    def interrupted(self) -> bool:
        return self.course.interrupted


def last_checkpoint(folder: Path, method: str) -> Path:
    return folder / "checkpoints" / method / "last.ckpt"


def train(
    cfg: DictConfig,
    recipe: LightningModule,
    data: LightningDataModule,
    method: str,
    folder: Path,
    steps: int,
    monitor: str | None,
    gradient_clip: float | None,
    more: Sequence[Callback] = (),
) -> Course:
    """Trains, or goes on where the folder's last checkpoint of this method is; leaves the recipe at its best.

    monitor: the validation's metric that tells the best; None: the last model is kept.
    """
    history, interrupt = History(), StopOnInterrupt()
    last = last_checkpoint(folder, method)
    best = ModelCheckpoint(last.parent, "best", monitor, save_last=True, enable_version_counter=False)
    callbacks = [history, interrupt, best, ProgressBar(f"Training by {method.upper()}"), *more]
    if cfg.trainer.patience and monitor:
        validations = max(1, cfg.trainer.patience // cfg.trainer.validate_every)
        callbacks.append(EarlyStopping(monitor, patience=validations, check_finite=True))
    trainer = Trainer(
        max_steps=steps,
        max_epochs=-1,
        accelerator=cfg.trainer.accelerator,
        devices=1,
        gradient_clip_val=gradient_clip,
        callbacks=callbacks,
        logger=hydra.utils.instantiate(cfg.logger, save_dir=str(folder)) if cfg.logger else False,
        log_every_n_steps=10,
        num_sanity_val_steps=0,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )
    trainer.fit(recipe, data, ckpt_path=str(last) if last.exists() else None, weights_only=False)
    if Path(best.best_model_path).is_file():
        recipe.load_state_dict(torch.load(best.best_model_path, weights_only=False)["state_dict"])
    return Course(history, interrupt.interrupted, trainer.global_step)
