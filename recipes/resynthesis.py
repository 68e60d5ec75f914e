"""Analysis by synthesis: an encoder hears a voice, a vocoder sings it again, and both learn on a folder of recordings."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hydra
import torch
from lightning import LightningModule, seed_everything
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from diffapf.identification.voice_start import start_values
from diffapf.synths.vocoder import SAMPLE_WISE, vocoder
from diffapf.synths.voice_encoder import AnalysisBySynthesis, Sung
from diffapf.voice_metrics import real_time_factor, voice_scores
from recipes.fit import quiet
from recipes.trainer import Course, WithCourse, train
from recipes.voices import Recorded, Voices

SEEDS = range(10_000, 10_003)  # of the noises of a test


@dataclass
class Resynthesised(WithCourse):
    """A model, how its training went, and what is known of it."""

    model: AnalysisBySynthesis
    course: Course
    metrics: dict[str, float] = field(default_factory=dict)


class Resynthesis(LightningModule):
    """Trains a model on pieces of a voice, by a loss of `(voices, time)`."""

    def __init__(
        self, model: AnalysisBySynthesis, optimizer: Callable[[Iterable[nn.Parameter], int], Any], loss: nn.Module
    ):
        super().__init__()
        self.model, self.make_optimizer, self.loss = model, optimizer, loss

    def configure_optimizers(self) -> Any:
        optimizer, schedule = self.make_optimizer(list(self.model.parameters()), self.trainer.max_steps)  # type: ignore[arg-type]
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def training_step(self, sung: Sung, _: int) -> Tensor:
        loss = self.loss(self.model(sung), sung.audio)
        self.log("train/mss", loss.detach(), batch_size=len(sung))
        return loss

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Leaves out a step without finite gradients: a network's filters may for once be next to unstable."""
        gradients = [parameter.grad for parameter in self.model.parameters() if parameter.grad is not None]
        if not all(bool(gradient.isfinite().all()) for gradient in gradients):
            optimizer.zero_grad()

    def validation_step(self, sung: Sung, _: int) -> None:
        self.log("val/mss", self.loss(predict(self.model, sung, SEEDS[0]), sung.audio), batch_size=1)

    def watched(self) -> dict[str, float]:
        return {}


def run(cfg: DictConfig, folder: Path) -> tuple[Voices, Resynthesised]:
    """Trains, or goes on with, the experiment's model, and tests it on the recordings that were held out."""
    _check(cfg)
    quiet()
    seed_everything(cfg.seed, verbose=False)
    model: AnalysisBySynthesis = hydra.utils.instantiate(cfg.model)
    data: Voices = hydra.utils.instantiate(cfg.data.source, hop=model.vocoder.hop, sample_rate=model.sample_rate)
    model.set_out_from(start_values(model.vocoder, data.of_part["train"][0].analysis))
    recipe = Resynthesis(model, hydra.utils.instantiate(cfg.optimizer), hydra.utils.instantiate(cfg.loss))
    data.steps = min(cfg.trainer.validate_every, cfg.trainer.max_steps)
    course = train(cfg, recipe, data, "td", folder, cfg.trainer.max_steps, "val/mss", cfg.trainer.gradient_clip)
    result = Resynthesised(model.eval(), course)
    result.metrics = {"train/seconds": course.history.seconds, "train/steps": course.steps}
    for part in ("train", "test"):
        result.metrics |= {f"{part}/{name}": value for name, value in scores(model, data.of_part[part][:3]).items()}
    if cfg.model.name in SAMPLE_WISE:
        frame_wise, model.vocoder.filter = model.vocoder.filter, vocoder(SAMPLE_WISE[cfg.model.name]).filter
        found = scores(model, data.of_part["test"][:3])
        result.metrics |= {f"sample_wise/{name}": value for name, value in found.items()}
        model.vocoder.filter = frame_wise
    return data, result


def scores(model: AnalysisBySynthesis, recordings: list[Recorded]) -> dict[str, float]:
    """The mean over recordings, of noises that no step has seen."""
    found = [_scores(model, recorded.whole(model.vocoder.hop)) for recorded in recordings]
    common = set.intersection(*(set(each) for each in found))
    return {name: sum(each[name] for each in found) / len(found) for name in found[0] if name in common}


def _scores(model: AnalysisBySynthesis, sung: Sung) -> dict[str, float]:
    found = voice_scores([predict(model, sung, seed)[0] for seed in SEEDS], sung.audio[0], model.sample_rate)
    factor = real_time_factor(lambda: predict(model, sung, SEEDS[0])[0], model.sample_rate)
    return found | {"real_time_factor": factor}


@torch.no_grad()
def predict(model: AnalysisBySynthesis, sung: Sung, seed: int) -> Tensor:
    """With the noise of a seed."""
    noise = torch.randn(sung.audio.shape, generator=torch.Generator().manual_seed(seed))
    return model(sung, noise.to(sung.audio))


def _check(cfg: DictConfig) -> None:
    """What nothing further down would name in a user's words."""
    if hydra.utils.get_class(cfg.model._target_) is not AnalysisBySynthesis:
        raise ValueError(f"protocol=analysis trains model=golf_ss and the like, got {cfg.model._target_}")
    for name in ("trainer.max_steps", "trainer.validate_every", "batch"):
        value = OmegaConf.select(cfg, name)
        if not isinstance(value, int) or value < 1:
            raise ValueError(f"{name} must be a positive whole number, got {value}")
    if not cfg.seconds > 0.2:
        raise ValueError(f"seconds, of a piece, must be above 0.2, got {cfg.seconds}")
