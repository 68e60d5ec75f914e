"""Training an effect on a pair of tracks: the Lightning module, and the curriculum of windows for effects with an LFO."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import torch
from lightning import LightningModule
from torch import nn

from diffapf.effects.effect import Effect
from diffapf.filters.methods import TimeDomain
from diffapf.identification.lateness import advanced, lateness
from diffapf.losses import ESR, Prefiltered
from recipes.data import Excerpt
from recipes.kinds import kind_of
from recipes.residuals import Residuals

Method = Callable[..., torch.Tensor]


@dataclass(frozen=True)
class Curriculum:
    """Which window of the training part a step sees: first a few LFO periods, then more, so that a wrong rate can be mended.

    A rate that is wrong by δ is off by δ·periods/2 cycles at a window's ends: a start within 2 % of the truth is off by
    0.05 cycles at the ends of five periods, and that much descent can undo; over thirty periods it could not.

    Args:
        periods: LFO periods in the first window; 0, or without an LFO: the whole part from the first step on, as published.
        growth: of the window from one stage to the next.
        stages: the fractions of all steps at which the window grows.
        longest: seconds that no window exceeds.
    """

    periods: float = 5.0
    growth: float = 2.0
    stages: tuple[float, ...] = (0.25, 0.75)
    longest: float = 12.0

    def window(self, progress: float, rate_hz: float | None, seconds: float) -> float:
        """The window's length in seconds after a fraction `progress` of all steps, for a part of `seconds`."""
        if self.periods == 0 or rate_hz is None:
            return seconds
        stage = sum(progress >= bound for bound in self.stages)
        return min(seconds, self.longest, self.periods / rate_hz * self.growth**stage)


class EffectTraining(LightningModule):
    """Fits an effect to a wet track by gradient descent on a loss, through one method (TD or FS).

    Args:
        effect: trained in place, from where it is.
        method: `TimeDomain()` or `FrequencySampling()`.
        optimizer: (parameters, steps) → (optimiser, schedule).
        loss: (prediction, target) → scalar.
        curriculum: the window of each step.
        sample_rate: in Hz.
        metric: the same for validation; an ESR.
        delay_is_learned: whether the target is read so many samples later, a part of one, as suits the effect best.
    """

    def __init__(
        self,
        effect: Effect,
        method: Method,
        optimizer: Callable[[Iterable[nn.Parameter], int], Any],
        sample_rate: float,
        loss: nn.Module | None = None,
        curriculum: Curriculum | None = None,
        metric: nn.Module | None = None,
        delay_is_learned: bool = False,
    ):
        super().__init__()
        self.late = nn.Parameter(torch.zeros((), dtype=torch.float64)) if delay_is_learned else None
        self.effect = effect
        self.method = method
        self.make_optimizer = optimizer
        self.sample_rate = sample_rate
        self.loss = loss or ESR()
        self.metric = metric or ESR()
        self.curriculum = curriculum or Curriculum()
        self.kind = kind_of(effect)
        # the start's rate, not the present one: a window must not change with every step
        self.start_rate_hz = self.kind.rate_hz(effect)
        self.window = 0

    def watched(self) -> dict[str, float]:
        """What the history keeps of the effect's parameters."""
        return self.kind.watched(self.effect)

    def configure_optimizers(self) -> Any:
        learned = [parameter for parameter in self._by_gradients() if parameter.requires_grad]
        optimizer, schedule = self.make_optimizer(learned, self.trainer.max_steps)
        if schedule is None:
            return optimizer
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _by_gradients(self) -> Iterable[nn.Parameter]:
        """What the optimiser moves."""
        return self.parameters()

    def windowed(self, excerpt: Excerpt, progress: float) -> Excerpt:
        """The beginning of the training part that this step sees. When it grows, the LFO is centred on it."""
        seconds, begin = excerpt.dry.shape[1] / self.sample_rate, excerpt.start / self.sample_rate
        window = round(self.curriculum.window(progress, self.start_rate_hz, seconds) * self.sample_rate)
        if window != self.window:
            self.window = window
            self.kind.begin(self.effect, begin, None if self.sees_all else begin + window / self.sample_rate)
        return Excerpt(excerpt.dry[:, :window], excerpt.wet[:, :window], excerpt.start, excerpt.skip)

    @property
    def sees_all(self) -> bool:
        """Whether every step sees the whole training part."""
        return self.curriculum.periods == 0 or self.start_rate_hz is None

    @property
    def progress(self) -> float:
        return self.global_step / max(1, self.trainer.max_steps)

    def training_step(self, excerpt: Excerpt, _: int) -> torch.Tensor | None:
        excerpt = self.windowed(excerpt, self.progress)
        loss = self.loss(*self.prediction_and_target(excerpt, self.method))
        self.log_loss(loss.detach())
        return loss

    def log_loss(self, loss: torch.Tensor) -> None:
        plain = self.loss.loss if isinstance(self.loss, Prefiltered) else self.loss
        self.log("train/esr" if isinstance(plain, ESR) else "train/loss", loss, batch_size=1)

    def validation_step(self, excerpt: Excerpt, _: int) -> None:
        # by the training's own method: a model that was trained by FS is also selected by it
        self.log("val/esr", self.metric(*self.prediction_and_target(excerpt, self.method)), batch_size=1)

    def prediction_and_target(self, excerpt: Excerpt, method: Method) -> tuple[torch.Tensor, torch.Tensor]:
        self.effect.method = method
        prediction = self.kind.run(self.effect, excerpt.dry, excerpt.start)
        return prediction[:, excerpt.skip :], self.target(excerpt)[:, excerpt.skip :]

    def target(self, excerpt: Excerpt) -> torch.Tensor:
        return excerpt.wet if self.late is None else advanced(excerpt.wet, self.late)

    @torch.no_grad()
    def _settled(self, excerpt: Excerpt) -> Excerpt:
        """For steps of the effect alone: with the delay that suits it now."""
        if self.late is None:
            return excerpt
        prediction = self.kind.run(self.effect, excerpt.dry, excerpt.start)
        self.late.fill_(lateness(excerpt.wet[:, excerpt.skip :], prediction[:, excerpt.skip :]))
        return replace(excerpt, wet=self.target(excerpt))


class LeastSquaresTraining(EffectTraining):
    """The same by least squares: a step is a few iterations on all of the window.

    In the time domain it goes block by block. What is minimised is the ESR, behind the loss's filter if it has one, whatever
    else the loss says. A damped LFO is undamped: its damping is for gradients.
    """

    automatic_optimization = False

    def _by_gradients(self) -> Iterable[nn.Parameter]:
        return self.effect.parameters()

    def training_step(self, excerpt: Excerpt, _: int) -> None:
        window = self._settled(self.windowed(excerpt, self.progress))
        filtered = self.loss if isinstance(self.loss, Prefiltered) else None
        residuals = Residuals(self.kind, window, self.sample_rate, filtered)
        self.effect.eval()
        self.effect.method = self.method
        in_blocks = isinstance(self.method, TimeDomain)
        options: dict[str, Any] = {"blocks": residuals.blocks, "weights": residuals.weights} if in_blocks else {}
        options["longest_steps"] = self.kind.longest_steps(self.effect)
        if in_blocks and residuals.has_tangents and self.kind.has_tangents(self.effect, window.dry):
            options["tangents"] = residuals.tangents
        function = residuals.of_block if in_blocks else residuals.of_whole
        fit = self.optimizers().step(lambda: (self.effect, function, options))  # type: ignore[union-attr,call-arg,arg-type]
        self.log("train/esr", fit.cost / residuals.energy, batch_size=1)  # type: ignore[attr-defined]
        if fit.converged and self.sees_all:  # type: ignore[attr-defined]
            self.trainer.should_stop = True


class NewtonTraining(EffectTraining):
    """The same by Newton's method: a step is a few iterations on all of the window, on the loss as it is."""

    automatic_optimization = False

    def _by_gradients(self) -> Iterable[nn.Parameter]:
        return self.effect.parameters()

    def training_step(self, excerpt: Excerpt, _: int) -> None:
        window = self._settled(self.windowed(excerpt, self.progress))

        def loss(effect: Effect) -> torch.Tensor:
            prediction = self.kind.run(effect, window.dry, window.start)
            return self.loss(prediction[:, window.skip :], window.wet[:, window.skip :])

        self.effect.method = self.method
        options = {"longest_steps": self.kind.longest_steps(self.effect)}
        found = self.optimizers().step(lambda: (self.effect, loss, options))  # type: ignore[union-attr,call-arg,arg-type]
        self.log_loss(torch.tensor(found.loss))  # type: ignore[attr-defined]
        if found.converged and self.sees_all:  # type: ignore[attr-defined]
            self.trainer.should_stop = True


def best_start(
    effect: Effect, excerpt: Excerpt, training: Callable[[Effect], EffectTraining], trials: int, steps: int, lr: float
) -> Iterable[tuple[int, float]]:
    """Tries the LFO at `trials` phases, a few steps of Adam each on the first window, and leaves the effect at the best.

    Descent finds the phase only from nearby: about three phases of eight lead to the same, good end. Yields
    (trial, loss) as they come. The first trial is the start as given.
    """
    begin = {name: tensor.clone() for name, tensor in effect.state_dict().items()}
    best, best_loss = begin, float("inf")
    for trial in range(trials):
        effect.load_state_dict(begin)
        effect.lfo.turn(trial / trials)  # type: ignore[operator,union-attr]
        recipe = training(effect).train()
        window = recipe.windowed(excerpt, 0.0)
        optimizer = torch.optim.Adam([p for p in effect.parameters() if p.requires_grad], lr)
        loss = torch.full((), float("inf"))
        for _ in range(steps):
            optimizer.zero_grad()
            loss = recipe.loss(*recipe.prediction_and_target(window, recipe.method))
            loss.backward()
            optimizer.step()
        if loss.item() < best_loss:
            best_loss = loss.item()
            best = {name: tensor.clone() for name, tensor in effect.state_dict().items()}
        yield trial, loss.item()
    effect.load_state_dict(best)
