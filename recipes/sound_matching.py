"""Sound matching: an extractor and the acid synth learn to play notes again, by one method, then by each baseline."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hydra
import torch
from lightning import LightningModule, seed_everything
from lightning.pytorch.callbacks import EMAWeightAveraging
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from diffapf import metrics
from diffapf.filters.methods import FrequencySampling, TimeDomain
from diffapf.synths.matcher import AcidMatcher, Batch
from recipes.fit import quiet
from recipes.notes import MatchedNotes
from recipes.trainer import Course, WithCourse, train

WINDOWS = (128, 256, 512, 1024, 2048, 4096)  # samples, of frequency sampling: published


@dataclass
class Matched(WithCourse):
    """A matcher, trained by one method, and what is known of it."""

    matcher: AcidMatcher
    method: str
    course: Course
    metrics: dict[str, float] = field(default_factory=dict)


class SoundMatching(LightningModule):
    """Trains a matcher on batches of notes by the multi-resolution spectral loss (MSS), per batch."""

    def __init__(self, matcher: AcidMatcher, optimizer: Callable[[Iterable[nn.Parameter], int], Any], loss: nn.Module):
        super().__init__()
        self.matcher, self.make_optimizer, self.loss = matcher, optimizer, loss

    def configure_optimizers(self) -> Any:
        learned = [parameter for parameter in self.matcher.parameters() if parameter.requires_grad]
        optimizer, schedule = self.make_optimizer(learned, self.trainer.max_steps)  # type: ignore[arg-type]
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def training_step(self, batch: Batch, _: int) -> Tensor:
        loss = self.mss(batch)
        self.log("train/mss", loss.detach(), batch_size=len(batch))
        return loss

    def validation_step(self, batch: Batch, _: int) -> None:
        self.log("val/mss", self.mss(batch), batch_size=len(batch))

    def mss(self, batch: Batch) -> Tensor:
        return self.loss(self.matcher(batch), batch.audio)

    def watched(self) -> dict[str, float]:
        return {}


def run(cfg: DictConfig, folder: Path) -> tuple[MatchedNotes, list[Matched]]:
    """Trains by the experiment's method, then by each baseline, from the same start; tests by both."""
    _check(cfg)
    quiet()
    data: MatchedNotes = hydra.utils.instantiate(cfg.data.source)
    results = []
    for name in dict.fromkeys((cfg.method.name, *cfg.baselines)):
        seed_everything(cfg.seed, verbose=False)
        matcher: AcidMatcher = hydra.utils.instantiate(cfg.model, sample_rate=data.notes.sample_rate)
        data.prepare(matcher, cfg.seed)
        results.append(_match(cfg, matcher, data, name, folder))
        if results[-1].interrupted:
            break
    return data, results


def _match(cfg: DictConfig, matcher: AcidMatcher, data: MatchedNotes, name: str, folder: Path) -> Matched:
    methods = methods_of(matcher, cfg.fs_window)
    if name not in methods:
        raise ValueError(f"an LSTM has no frequency response to sample: method must be td, got {name}")
    matcher.synth.method = methods[name]
    recipe = SoundMatching(matcher, hydra.utils.instantiate(cfg.optimizer), hydra.utils.instantiate(cfg.loss))
    data.steps = min(cfg.trainer.validate_every, cfg.trainer.max_steps)
    monitor = "val/mss" if "validation" in data.of_part else None
    averaged = [EMAWeightAveraging(decay=cfg.weight_average)] if cfg.weight_average else []
    course = train(cfg, recipe, data, name, folder, cfg.trainer.max_steps, monitor, cfg.trainer.gradient_clip, averaged)
    matched = Matched(matcher.eval(), name, course)
    matched.metrics = {
        "train/seconds": course.history.seconds,
        "train/cpu_seconds": course.history.cpu_seconds,
        "train/steps": course.steps,
    }
    for part, batch in scored_parts(data).items():
        for method, run_by in methods.items():
            matched.metrics |= {
                f"{part}/{key}_{method}": value for key, value in scores(matcher, batch, run_by, cfg.repeats).items()
            }
    return matched


def scored_parts(data: MatchedNotes) -> dict[str, Batch]:
    """Of the notes that were trained on, no more than are tested: what they score is only compared with the test."""
    count = len(data.of_part["test"])
    return {name: batch[:count] if name == "train" else batch for name, batch in data.of_part.items()}


def methods_of(matcher: AcidMatcher, fs_window: int) -> dict[str, TimeDomain | FrequencySampling]:
    """Those that can run its filter."""
    if matcher.synth.settings["filter"] == "lstm":
        return {"td": TimeDomain()}
    return {"td": TimeDomain(), "fs": FrequencySampling(fs_window // matcher.synth.hop)}


@torch.no_grad()
def scores(
    matcher: AcidMatcher, batch: Batch, method: TimeDomain | FrequencySampling, repeats: int
) -> dict[str, float]:
    """The metrics of a part, of random phases the mean of `repeats` draws."""
    matcher.synth.method = method
    drawn = range(repeats if matcher.phase == "random" else 1)
    found = [similarity(predict(matcher, batch, seed), batch.audio, matcher.synth.sample_rate) for seed in drawn]
    return {name: sum(each[name] for each in found) / len(found) for name in found[0]}


def similarity(prediction: Tensor, target: Tensor, sample_rate: float) -> dict[str, float]:
    """The metrics of notes; of the Fréchet distances those whose embedding is at hand."""
    found = {
        "mss": metrics.mss(prediction, target),
        "mss_note": float(metrics.mss_of_notes(prediction, target).mean()),
        "log_mel_l1": metrics.log_mel_l1(prediction, target, sample_rate),
        "mfcc_l1": metrics.mfcc_l1(prediction, target, sample_rate),
    }
    distances = {"fad_log_mel": metrics.fad_log_mel, "fad_vggish": metrics.fad_vggish}
    for name, distance in distances.items():
        value = distance(prediction, target, sample_rate).value
        if value is not None:
            found[name] = value
    return found


def predict(matcher: AcidMatcher, batch: Batch, seed: int = 0) -> Tensor:
    """With the phases and the noise of a seed."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        return matcher(batch)


def _check(cfg: DictConfig) -> None:
    """What nothing further down would name in a user's words."""
    if hydra.utils.get_class(cfg.model._target_) is not AcidMatcher:
        raise ValueError(f"protocol=matching trains model=acid_…, got {cfg.model._target_} (experiment=…, model=…)")
    if cfg.fs_window not in WINDOWS:
        raise ValueError(f"fs_window must be one of {', '.join(map(str, WINDOWS))} samples, got {cfg.fs_window}")
    for name in ("trainer.max_steps", "trainer.validate_every", "repeats"):
        value = OmegaConf.select(cfg, name)
        if not isinstance(value, int) or value < 1:
            raise ValueError(f"{name} must be a positive whole number, got {value}")
    if not 0 <= cfg.weight_average < 1:
        raise ValueError(f"weight_average must be from 0 (none) to less than 1, got {cfg.weight_average}")
    unknown = [name for name in (cfg.method.name, *cfg.baselines) if name not in ("td", "fs")]
    if unknown:
        raise ValueError(f"there is no method {unknown[0]!r}; there are td, fs")
