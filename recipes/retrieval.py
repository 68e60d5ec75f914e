"""Parameter retrieval: a vocal chain's settings from a dry voice and its stereo mix, by descent on spectra and dynamics.

The recording is cut into chunks, each with a lead-in that counts for nothing, in which compressor, delay and reverberator
reach the state that they had there. A step is of some chunks, drawn at random.

Descent alone ends in wrong minima of three kinds: the equaliser is matched again by the bands' powers, from many starts, the
delay is looked for where repeats stand out, and the reverberator is matched again, from many matrices. Where the chain may
come near the waveform itself, the first steps are by its error alone, which costs a quarter.

Source: Yu et al., "DiffVox: A Differentiable Model for Capturing and Analysing Vocal Effects Distributions", DAFx 2025.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import hydra
import torch
from lightning import LightningDataModule, LightningModule, seed_everything
from omegaconf import DictConfig
from torch import Tensor, nn
from torch.nn.functional import pad
from torch.utils.data import DataLoader

from diffapf.effects.chain import VocalChain
from diffapf.effects.vocal_presets import independent, row_of, set_row
from diffapf.filters.circle_sampling import CircleSampling
from diffapf.filters.methods import TimeDomain
from diffapf.identification.echo_times import echo_envelope, prominent_times
from diffapf.identification.equalizer_fit import rematched
from diffapf.identification.reverb_match import rematched_reverb
from diffapf.losses import GaussianPrior, LogESR, StereoLoss, StyleLoss
from diffapf.loudness import at_loudness
from diffapf.parameters import Named, named_parameters
from recipes.data import Pair
from recipes.fit import quiet
from recipes.style import Excerpts, StyleTransfer, embedding
from recipes.trainer import Course, WithCourse, train

METHOD = "circle"
NEAR_MS = 1.0
TIME_STEP = 1e-3  # of the delay's time, where it is looked for: others' would go many periods at once
WATCHED = ("compressor.curve.", "compressor.smoother.", "delay.time_ms", "delay.feedback", "delay.gain", "send")
NEW_DELAY = {"gain": 0.1, "feedback": 0.3, "odd_pan": 0.5, "even_pan": 0.5}
ECHO_S = 2.1  # of the response, in which repeats are looked for
FAINTEST = 1e-3  # −60 dBFS: a chunk whose peak is below says nothing
ENOUGH = 0.15  # of the untrained chain's MSS: then no other matrix is tried
KEPT = 4  # chunks of which the target's spectra are kept: a hundred megabytes each


@dataclass
class Chunk:
    """A stretch of dry `(1, time + latency)` and wet `(2, time)`, of which the loss is taken from sample `skip` on."""

    number: int
    dry: Tensor
    wet: Tensor
    skip: int


def chunks_of(
    dry: Tensor, wet: Tensor, part: slice, sample_rate: int, seconds: float, lead_in: float, latency: int
) -> list[Chunk]:
    """A part's chunks, the quiet ones left out.

    The first begins as long before the part as the lead-in is, where the recording does; where it begins with the part, all
    of the first chunk counts. The next ones begin when the lead-in before their end is over.

    Raises:
        ValueError: nothing in it is louder than −60 dBFS.
    """
    length, before = round(seconds * sample_rate), round(lead_in * sample_rate)
    begin = max(0, part.start - before)
    skip = part.start - begin
    known = pad(dry, (0, latency))
    found = []
    while begin + skip < part.stop:
        end = min(begin + length, part.stop)
        target = wet[:, begin:end]
        if float(target[:, skip:].abs().max()) >= FAINTEST:
            found.append(Chunk(len(found), known[:, begin : end + latency], target, skip))
        begin, skip = end - before, before
        if end == part.stop:
            break
    if not found:
        raise ValueError("there is nothing to learn from: no chunk of the wet recording is louder than −60 dBFS")
    return found


class Chunks(LightningDataModule):
    """An epoch is `steps` draws of `batch` chunks, other ones in each epoch."""

    def __init__(self, chunks: list[Chunk], batch: int, steps: int):
        super().__init__()
        self.chunks, self.batch, self.steps = chunks, min(batch, len(chunks)), steps

    def train_dataloader(self) -> DataLoader:
        return DataLoader(self, batch_size=None, collate_fn=lambda chunks: chunks)  # type: ignore[arg-type]

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, _: int) -> list[Chunk]:
        return [self.chunks[i] for i in torch.randperm(len(self.chunks))[: self.batch].tolist()]


class Retrieval(LightningModule):
    """Fits a chain to chunks.

    Args:
        chain: trained in place, from where it is, by its own method.
        optimizer: (parameters, steps) → (optimiser, schedule).
        loss: of a chunk.
        prior: how unlikely the chain's raw numbers are, added by `prior_weight`; None: nothing.
        delay_at: the steps before which the delay is looked for in what the chain leaves of the first of their chunks.
            Descent finds a time only from within a period of what repeats.
        equalizer_at: those before which the equaliser is matched again, from many starts: its bands' frequencies have wrong
            minima.
        reverb_at: those before which the reverberator is matched again, from many matrices.
        first, steps_of_first: a loss of waveforms in place of the other, and for how many steps; None: none.
        kept: how many chunks' targets are heard once and kept.
    """

    def __init__(
        self,
        chain: VocalChain,
        optimizer: Callable[[Iterable[nn.Parameter], int], Any],
        loss: StereoLoss,
        prior: GaussianPrior | None = None,
        prior_weight: float = 0.1,
        delay_at: Collection[int] = (),
        equalizer_at: Collection[int] = (),
        reverb_at: Collection[int] = (),
        first: LogESR | None = None,
        steps_of_first: int = 0,
        kept: int = KEPT,
    ):
        super().__init__()
        self.first, self.steps_of_first = first, steps_of_first
        self.chain, self.make_optimizer, self.loss = chain, optimizer, loss
        self.prior, self.prior_weight, self.kept = prior, prior_weight, kept
        self.delay_at, self.equalizer_at = frozenset(delay_at), frozenset(equalizer_at)
        self.reverb_at = frozenset(reverb_at)
        self.heard: dict[int, Any] = {}

    def watched(self) -> dict[str, float]:
        """What the history keeps of the chain's parameters: those whose way is worth a plot."""
        specs = self.chain.parameters_spec()
        return {spec.name: spec.value for spec in specs if spec.name.startswith(WATCHED)}

    def configure_optimizers(self) -> Any:
        optimizer, schedule = self.make_optimizer(self.chain.parameters(), self.trainer.max_steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def training_step(self, chunks: list[Chunk], _: int) -> Tensor:
        if self.global_step in self.equalizer_at:
            self.match_equalizer(chunks[0])
        if self.global_step in self.delay_at:
            self.look_for_delay(chunks[0])
        if self.global_step in self.reverb_at:
            self.match_reverb(chunks[0])
        loss = torch.stack([self._of_chunk(chunk) for chunk in chunks]).mean()
        self.log("train/loss", loss.detach(), batch_size=1)
        return loss + self.price()

    def look_for_delay(self, chunk: Chunk) -> None:
        """Sets the delay to where it stands out, beginning anew, if that is not where it is."""
        delay, found = self.chain.delay, delay_time_ms(self.chain, chunk)
        if found is not None and abs(found - delay.time_ms().item()) > NEAR_MS:
            delay.set_parameters({"time_ms": found, **NEW_DELAY})

    def match_equalizer(self, chunk: Chunk) -> None:
        """Sets the equaliser to what is much nearer by the bands' powers than where descent leads from here."""
        with torch.no_grad():
            played = self.chain(chunk.dry)[:, self.chain.latency :]
        found = rematched(self.chain.equalizer, chunk.dry[0, : played.shape[-1]], played, chunk.wet)
        if found is not None:
            values = {spec.name: spec.value for spec in found.parameters_spec() if spec.name != "gain_db"}
            self.chain.equalizer.set_parameters(values)

    def match_reverb(self, chunk: Chunk) -> None:
        """Sets the reverberator to what is nearer by its early response than where descent leads from here."""
        with torch.no_grad():
            voice = self.chain.dynamics(chunk.dry)[0, self.chain.latency :]
        found = rematched_reverb(self.chain, voice, chunk.wet)
        if found is not None:
            for name in ("mixing", "entering", "leaving"):
                getattr(self.chain.reverb, name).set(getattr(found, name)().detach())

    def price(self) -> Tensor:
        """Of the delay's damping, and of unlikely parameters."""
        price = self.chain.regularizer()
        if self.prior is not None:
            price = price + self.prior_weight * self.prior(row_of(self.chain)[independent()])
        return price

    def _of_chunk(self, chunk: Chunk) -> Tensor:
        prediction = self.chain(chunk.dry)[:, self.chain.latency + chunk.skip :]
        if self.first is not None and self.global_step < self.steps_of_first:
            return self.first(prediction, chunk.wet[:, chunk.skip :])
        return self.loss(prediction, self._heard(chunk))

    def _heard(self, chunk: Chunk) -> Any:
        if chunk.number not in self.heard:
            heard = self.loss.heard(chunk.wet[:, chunk.skip :])
            if chunk.number >= self.kept:
                return heard
            self.heard[chunk.number] = heard
        return self.heard[chunk.number]


@dataclass
class Retrieved(WithCourse):
    """A chain, as it began and as it was found, and what is known of it."""

    start: VocalChain
    chain: VocalChain
    course: Course
    dry: Tensor
    """`(1, time)`."""
    wet: Tensor
    """`(2, time)`."""
    metrics: dict[str, float] = field(default_factory=dict)

    @property
    def share(self) -> float:
        """The MSS of what was trained on, of the untrained chain's."""
        return self.metrics["train/mss_circle"] / self.metrics["untrained:train/mss_td"]

    @torch.no_grad()
    def prediction(self, chain: VocalChain, method: TimeDomain | CircleSampling) -> Tensor:
        """The whole recording through a chain."""
        before, chain.method = chain.method, method
        try:
            return chain(pad(self.dry, (0, chain.latency)))[:, chain.latency :]
        finally:
            chain.method = before


def run(cfg: DictConfig, folder: Path) -> tuple[Pair, Retrieved]:
    """Trains the chain on the training part's chunks, and scores it on all parts."""
    _check(cfg)
    quiet()
    seed_everything(cfg.seed, verbose=False)
    pair: Pair = hydra.utils.instantiate(cfg.data.source)
    rate, retrieve = pair.sample_rate, cfg.retrieve
    dry, wet = _signals(pair, retrieve.lufs, getattr(torch, cfg.dtype))
    chain: VocalChain = hydra.utils.instantiate(cfg.model, sample_rate=rate)
    chain.method = CircleSampling(round(retrieve.sampled * rate))
    prior = None if retrieve.prior is None else _start_at_mean(chain, retrieve.prior)
    start = copy.deepcopy(chain)
    _set_out(chain, retrieve)
    tried: list[Retrieved] = []
    for number in range(retrieve.matrices):
        other = copy.deepcopy(chain)
        if number:
            _draw_matrix(other, number)
        part = pair.tracks.parts["train"]
        if retrieve.style:
            recipe, data = _by_style(cfg, other, prior, dry, wet, part)
        else:
            # first what descent finds by itself
            reverb_at = _steps_at(cfg, "reverb_at") if number or retrieve.matrices == 1 else []
            recipe, data = _by_chunks(cfg, other, prior, dry, wet, part, reverb_at)
        method = METHOD if not number else f"{METHOD}-{number + 1}"
        course = train(cfg, recipe, data, method, folder, cfg.trainer.max_steps, None, cfg.trainer.gradient_clip)
        found = Retrieved(start, other, course, dry, wet)
        found.metrics = {"train/seconds": course.history.seconds, "train/steps": course.steps, **scores(found, pair)}
        tried.append(found)
        if found.interrupted or found.share <= ENOUGH:
            break
    return pair, min(tried, key=lambda found: found.share)


def _draw_matrix(chain: VocalChain, number: int) -> None:
    """Another matrix of the reverberator to begin with: from some, descent ends in a wrong minimum."""
    numbers, generator = chain.reverb.mixing, torch.Generator().manual_seed(number)
    numbers.set(torch.randn(len(numbers), generator=generator, dtype=torch.float64) / len(chain.reverb.delays) ** 0.5)


def _by_chunks(
    cfg: DictConfig,
    chain: VocalChain,
    prior: GaussianPrior | None,
    dry: Tensor,
    wet: Tensor,
    part: slice,
    reverb_at: Collection[int],
) -> tuple[Retrieval, Chunks]:
    rate, retrieve = int(chain.sample_rate), cfg.retrieve
    chunks = chunks_of(dry, wet, part, rate, retrieve.chunk, retrieve.lead_in, chain.latency)
    loss: StereoLoss = hydra.utils.instantiate(cfg.loss, sample_rate=rate)
    recipe = Retrieval(
        chain,
        hydra.utils.instantiate(cfg.optimizer),
        loss,
        prior,
        retrieve.prior_weight,
        _steps_at(cfg, "delay_at"),
        _steps_at(cfg, "equalizer_at"),
        reverb_at,
        LogESR(loss.waveform) if loss.waveform else None,
        round(retrieve.waveform_first * cfg.trainer.max_steps),
    )
    return recipe, Chunks(chunks, retrieve.batch, _steps_of_an_epoch(cfg))


def _by_style(
    cfg: DictConfig, chain: VocalChain, prior: GaussianPrior | None, dry: Tensor, wet: Tensor, part: slice
) -> tuple[StyleTransfer, Excerpts]:
    retrieve, loss = cfg.retrieve, StyleLoss(embedding(cfg.retrieve.style, chain.sample_rate))
    make = hydra.utils.instantiate(cfg.optimizer)
    recipe = StyleTransfer(chain, make, loss, dry[:, part], wet[:, part], retrieve.chunk, prior, retrieve.prior_weight)
    return recipe, Excerpts(_steps_of_an_epoch(cfg))


def _steps_of_an_epoch(cfg: DictConfig) -> int:
    return min(cfg.trainer.validate_every, cfg.trainer.max_steps)


@torch.no_grad()
def delay_time_ms(chain: VocalChain, chunk: Chunk) -> float | None:
    """Where repeats stand out of what the chain without its delay leaves of the wet recording; None: nowhere.

    In the envelope of the response to what the compressor gives, so that the reverberation that is known hides none.
    """
    voice, stage = chain.dynamics(chunk.dry), chain.stage()
    silent = replace(stage, repeats=replace(stage.repeats, gain=torch.zeros_like(stage.repeats.gain)))
    left = chunk.wet - chain.method(voice, silent)[:, chain.latency :]  # type: ignore[arg-type]
    envelope = echo_envelope(voice[0, chain.latency :], left, chain.sample_rate, ECHO_S)
    lowest, highest = chain.delay.times_ms
    found = prominent_times(envelope, chain.sample_rate, (lowest / 1000, highest / 1000), 1)
    return min(max(1000 * found[0], lowest), highest) if found else None


@torch.no_grad()
def scores(found: Retrieved, pair: Pair) -> dict[str, float]:
    """All terms of the loss, on each part: of the chain in the time domain and as it was trained, and of where it began."""
    runs = {
        ("", "td"): found.prediction(found.chain, TimeDomain()),
        ("", "circle"): found.prediction(found.chain, found.chain.method),  # type: ignore[arg-type]
        ("untrained:", "td"): found.prediction(found.start, TimeDomain()),
    }
    loss, flattened = (StereoLoss(pair.sample_rate, flattened=each) for each in (False, True))
    metrics = {}
    for part, span in pair.tracks.parts.items():
        target = found.wet[:, span]
        for (model, method), prediction in runs.items():
            terms = loss.terms(prediction[:, span], target)
            shifted = flattened.dynamic_range.terms(prediction[:, span], target)
            terms |= dict(zip(("mldr_flattened", "mldr_mid_side_flattened"), shifted, strict=True))
            metrics |= {f"{model}{part}/{name}_{method}": float(value) for name, value in terms.items()}
    return metrics


def _steps_at(cfg: DictConfig, name: str) -> list[int]:
    return [round(share * cfg.trainer.max_steps) for share in cfg.retrieve[name]]


def _set_out(chain: VocalChain, retrieve: DictConfig) -> None:
    """Moves the chain to where a descent had better begin, and says how far an optimiser's steps go."""
    if retrieve.set_out_from and retrieve.prior is None:
        chain.set_parameters(dict(retrieve.set_out_from))
    for name, number in named_parameters(chain).items():
        if name == "delay.time_ms":
            number.rescale(TIME_STEP if retrieve.delay_at else 1.0)  # type: ignore[union-attr]
        elif isinstance(number, Named) and number.unit == "dB":
            number.rescale(retrieve.decibels)
        elif isinstance(number, Named) and name.startswith("compressor") and number.unit == "ms":
            number.rescale(retrieve.times)


def _check(cfg: DictConfig) -> None:
    """What nothing further down would name in a user's words."""
    model = hydra.utils.instantiate(cfg.model, sample_rate=44_100)
    if not isinstance(model, VocalChain):
        raise ValueError(
            f"protocol=chunks is a vocal chain's (model=vocal_chain), got a {type(model).__name__.lower()}"
        )
    for name, value in (("trainer.max_steps", cfg.trainer.max_steps), ("retrieve.batch", cfg.retrieve.batch)):
        if not isinstance(value, int) or value < 1:
            raise ValueError(f"{name} must be a positive whole number, got {value}")
    chunk, lead_in = cfg.retrieve.chunk, cfg.retrieve.lead_in
    if not 0 <= lead_in < chunk:
        raise ValueError(f"retrieve.lead_in must be at least 0 and less than retrieve.chunk, got {lead_in} and {chunk}")
    if not isinstance(cfg.retrieve.matrices, int) or cfg.retrieve.matrices < 1:
        raise ValueError(f"retrieve.matrices must be a positive whole number, got {cfg.retrieve.matrices}")
    for name in ("decibels", "times"):
        if not cfg.retrieve[name] > 0:
            raise ValueError(f"retrieve.{name} must be positive, got {cfg.retrieve[name]}")
    for name in ("delay_at", "equalizer_at", "reverb_at"):
        if not all(0 <= share < 1 for share in cfg.retrieve[name]):
            raise ValueError(f"retrieve.{name} must be shares of all steps, 0 to 1, got {list(cfg.retrieve[name])}")
    if not 0 <= cfg.retrieve.waveform_first <= 1:
        first = cfg.retrieve.waveform_first
        raise ValueError(f"retrieve.waveform_first must be a share of all steps, 0 to 1, got {first}")
    if not cfg.retrieve.sampled > 0:
        raise ValueError(f"retrieve.sampled must be positive, in seconds, got {cfg.retrieve.sampled}")
    hydra.utils.instantiate(cfg.optimizer)([nn.Parameter(torch.zeros(()))], 1)


def _signals(pair: Any, lufs: float | None, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Dry, in mono, and wet, in stereo."""
    if not isinstance(pair, Pair):
        raise ValueError(
            "a vocal chain is found in a dry and a wet recording: data=vocal_recordings data.dry=… data.wet=…"
        )
    dry, wet = pair.tracks.dry.mean(0, keepdim=True), pair.tracks.wet
    if len(wet) != 2:
        raise ValueError(
            "the wet recording is mono: a vocal chain's output is stereo, what it does to two sides is learned"
        )
    if lufs is not None:
        dry, wet = (at_loudness(track, pair.sample_rate, lufs) for track in (dry, wet))
    return dry.to(dtype), wet.to(dtype)


def _start_at_mean(chain: VocalChain, path: str) -> GaussianPrior:
    prior = GaussianPrior.read(path)
    mask = independent()
    if len(prior.mean) != int(mask.sum()):
        raise ValueError(f"{path} is of {len(prior.mean)} numbers; a vocal chain has {int(mask.sum())} that count")
    row = torch.zeros(len(mask), dtype=torch.float64)
    row[mask] = prior.mean
    set_row(chain, row)
    return prior
