"""One experiment: start, train, test by both methods, report."""

from __future__ import annotations

import copy
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hydra
import torch
from lightning import seed_everything
from omegaconf import DictConfig, OmegaConf

from diffapf.effects.effect import Effect
from diffapf.filters.methods import FrequencySampling, TimeDomain
from diffapf.identification.lateness import advanced
from recipes.callbacks import History, progress_bar
from recipes.data import Pair
from recipes.kinds import kind_of
from recipes.optimizers import levenberg_marquardt, newton_raphson
from recipes.start_from import start
from recipes.trainer import last_checkpoint, train
from recipes.training import EffectTraining, LeastSquaresTraining, NewtonTraining, best_start

METHODS = {"td": TimeDomain, "fs": FrequencySampling}


@dataclass
class Trained:
    """An effect, trained by one method, and what is known of it."""

    effect: Effect
    method: str
    history: History
    metrics: dict[str, float] = field(default_factory=dict)
    interrupted: bool = False
    steps: int = 0
    late: float = 0.0
    """Samples, a part of one, by which the training found wet to be late."""


def run(cfg: DictConfig, folder: Path) -> tuple[Pair, list[Trained]]:
    """Trains the model by the experiment's method, then by each baseline method, from the same start."""
    _check(cfg)
    quiet()
    seed_everything(cfg.seed, verbose=False)
    dtype = getattr(torch, cfg.dtype)
    pair: Pair = hydra.utils.instantiate(cfg.data.source)
    effect = start(cfg, pair.sample_rate)
    kind = kind_of(effect)
    pair.training_lead_in, pair.lead_in = kind.training_lead_in, kind.lead_in
    pair.tracks.dry, pair.tracks.wet = pair.tracks.dry.to(dtype), pair.tracks.wet.to(dtype)
    by_least_squares = kind.least_squares_methods if _by_least_squares(cfg) else METHODS
    baselines = [name for name in cfg.baselines if name in by_least_squares]
    methods = [cfg.method.name, *(name for name in baselines if name != cfg.method.name)]
    # a resumed training has its start in its checkpoint; a baseline that had not begun needs the same start again
    if not all(last_checkpoint(folder, name).exists() for name in methods):
        _choose_start(cfg, effect, pair)
    results = []
    for name in methods:
        trained = _train(cfg, kind.for_method(copy.deepcopy(effect), name), pair, name, folder)
        results.append(trained)
        if trained.interrupted:
            break
    for trained in results:
        trained.metrics |= _test(trained, pair, hydra.utils.instantiate(cfg.metric))
    return pair, results


def _check(cfg: DictConfig) -> None:
    """What nothing further down would name in a user's words."""
    if cfg.dtype not in ("float32", "float64"):
        raise ValueError(f"dtype must be float32 or float64, got {cfg.dtype}")
    for name in ("trainer.max_steps", "trainer.baseline_steps", "trainer.validate_every"):
        value = OmegaConf.select(cfg, name)
        if not isinstance(value, int) or value < 1:
            raise ValueError(f"{name} must be a positive whole number, got {value}")
    unknown = [name for name in (cfg.method.name, *cfg.baselines) if name not in METHODS]
    if unknown:
        raise ValueError(f"there is no method {unknown[0]!r}; there are {', '.join(METHODS)}")
    effect = start(cfg, 44_100)
    _check_protocol(cfg, type(effect).__name__)
    kind = kind_of(effect)
    if cfg.start.trials and kind.rate_hz(effect) is None:
        raise ValueError(f"start.trials must be 0 without an LFO, whose phases they try, got {cfg.start.trials}")
    if _by_least_squares(cfg):
        _check_least_squares(cfg, effect)
    # its settings are checked where it is made: now, and not after minutes of data and trials
    hydra.utils.instantiate(cfg.optimizer)([torch.nn.Parameter(torch.zeros(()))], 1)


def _check_protocol(cfg: DictConfig, effect: str) -> None:
    """A protocol's numbers are of one effect: another would train by them without a word, and badly."""
    of = cfg.protocol_of
    if of and of.effect != effect:
        raise ValueError(
            f"protocol={of.name} is a {of.effect.lower()}'s; of a {effect.lower()} it is protocol={of.others}, got "
            f"protocol={of.name} with a {effect.lower()} (experiment=…, model=…)"
        )


def _by_least_squares(cfg: DictConfig) -> bool:
    return _training_by(cfg) is LeastSquaresTraining


def _check_least_squares(cfg: DictConfig, effect: Effect) -> None:
    """What only gradient descent can do."""
    kind = kind_of(effect)
    if "lr" in cfg.optimizer:
        raise ValueError(
            "optimizer=lm has no learning rate: protocol=paper is Adam's; its core alone is model.core=paper"
        )
    if cfg.method.name not in kind.least_squares_methods:
        raise ValueError(f"optimizer=lm runs in the time domain: it needs method=td, got method={cfg.method.name}")
    if cfg.loss.get("pre_emphasis"):
        raise ValueError(
            f"optimizer=lm minimises the plain ESR: loss.pre_emphasis must be 0, got {cfg.loss.pre_emphasis}"
        )
    kind.check_least_squares(effect)


def quiet() -> None:
    """Lightning's hints are about machines with many workers and cores for data; here the data is in memory."""
    import logging

    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="lightning.*")
    warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*")
    warnings.filterwarnings("ignore", message=".*torch.jit.script.*")


def _training_by(cfg: DictConfig) -> type[EffectTraining]:
    by = {levenberg_marquardt: LeastSquaresTraining, newton_raphson: NewtonTraining}
    return by.get(hydra.utils.get_method(cfg.optimizer._target_), EffectTraining)


def _training(cfg: DictConfig, effect: Effect, pair: Pair, method: str) -> EffectTraining:
    return _training_by(cfg)(
        effect,
        METHODS[method](),
        hydra.utils.instantiate(cfg.optimizer),
        pair.sample_rate,
        hydra.utils.instantiate(cfg.loss),
        hydra.utils.instantiate(cfg.curriculum),
        hydra.utils.instantiate(cfg.metric),
        pair.tracks.delay_is_learned,
    )


def _choose_start(cfg: DictConfig, effect: Effect, pair: Pair) -> None:
    if cfg.start.trials == 0 or not any(tensor.requires_grad for tensor in _phase(effect)):
        return
    excerpt = pair.training_excerpt()
    trials = best_start(
        effect,
        excerpt,
        lambda candidate: _training(cfg, candidate, pair, "td"),
        cfg.start.trials,
        cfg.start.steps,
        cfg.start.lr,
    )
    losses: list[float] = []
    with progress_bar() as bar:
        task = bar.add_task("Trying LFO phases", total=cfg.start.trials, words="compiling the kernels …")
        for _, loss in trials:
            losses.append(loss)
            bar.update(task, advance=1, words=f"best ESR {100 * min(losses):.3g} %")


def _phase(effect: Effect) -> list[torch.Tensor]:
    """What the LFO's phase is learned by."""
    return [tensor for name, tensor in effect.named_parameters() if name.startswith("lfo.phase")]


def _train(cfg: DictConfig, effect: Effect, pair: Pair, method: str, folder: Path) -> Trained:
    recipe = _training(cfg, effect, pair, method)
    steps = cfg.trainer.max_steps if method == cfg.method.name else cfg.trainer.baseline_steps
    pair.steps = min(cfg.trainer.validate_every, steps)
    clip = cfg.trainer.gradient_clip if method == "td" and recipe.automatic_optimization else None
    course = train(cfg, recipe, pair, method, folder, steps, "val/esr", clip)
    effect.eval()
    recipe.kind.begin(effect, 0.0)
    trained = Trained(effect, method, course.history, interrupted=course.interrupted, steps=course.steps)
    trained.metrics = {"train/seconds": course.history.seconds, "train/steps": course.steps}
    if recipe.late is not None:
        trained.late = recipe.late.item()
        trained.metrics["train/late_samples"] = trained.late
    return trained


def predict(trained: Trained, pair: Pair, part: slice, method: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """(prediction, target) over a part, run in from the dry signal before it."""
    effect = trained.effect
    excerpt = pair.tracks.excerpt(part, pair.lead_in)
    effect.method = method
    with torch.no_grad():
        prediction = kind_of(effect).run(effect, excerpt.dry, excerpt.start)
    before = part.start - excerpt.start
    return prediction[:, before:], advanced(excerpt.wet, trained.late)[:, before:]


def _test(trained: Trained, pair: Pair, metric: torch.nn.Module) -> dict[str, float]:
    kind, parts = kind_of(trained.effect), dict(pair.tracks.parts)
    if kind.tested_with_training and pair.tracks.truth is not None:
        # what the paper tests on: the training part and the test part after it, as one
        parts["paper"] = slice(parts["train"].start, parts["test"].stop)
    metrics = {}
    for part, span in parts.items():
        for name in kind.methods(trained.effect):
            metrics[f"{part}/esr_{name}"] = float(metric(*predict(trained, pair, span, METHODS[name]())))
    return metrics
