"""Inference-time optimisation: a vocal chain by whose output another recording has a reference's style.

Of a dry and a wet recording, cut into chunks, the wet ones 0, 2, … are the reference and the dry ones 1, 3, … what is
played: no note of one is in the other. The chain begins at the prior's mean, and stays likely.

Source: Yu et al., "Improving Inference-Time Optimisation for Vocal Effects Style Transfer with a Gaussian Prior", WASPAA
2025.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning import LightningDataModule, LightningModule
from torch import Tensor, nn
from torch.nn.functional import pad
from torch.utils.data import DataLoader

from diffapf.effects.chain import VocalChain
from diffapf.effects.vocal_presets import independent, row_of
from diffapf.losses import GaussianPrior, StyleLoss
from diffapf.metrics import mfcc_statistics

FAINTEST_DB, SHORT_S = -60.0, 0.05  # a chunk whose median level over 50 ms is lower says nothing


def embedding(name: str, sample_rate: float) -> Callable[[Tensor], Tensor]:
    """ "mfcc": 40 coefficients' means and deviations; or a file of `torch.export.save`, a network from audio to features.

    Raises:
        ValueError: another name, or a file that is none.
    """
    if name == "mfcc":
        return partial(mfcc_statistics, sample_rate=sample_rate)
    if not Path(name).is_file():
        raise ValueError(
            f"retrieve.style must be mfcc, or a file of an encoder, (signals, time) → (signals, features), got {name!r}, "
            "which is not there. The weights of AFx-Rep and of other networks are their authors' and no part of this: "
            "save one by torch.export.save, and give its path"
        )
    try:
        return torch.export.load(name).module().requires_grad_(False)
    except Exception as error:  # what unpacking another file raises
        raise ValueError(f"{name} is no network that torch.export.save wrote: {str(error).splitlines()[0]}") from None


class Excerpts(LightningDataModule):
    """All chunks at once, `steps` times an epoch."""

    def __init__(self, steps: int):
        super().__init__()
        self.steps = steps

    def train_dataloader(self) -> DataLoader:
        return DataLoader(range(self.steps), batch_size=None)  # type: ignore[arg-type]


class StyleTransfer(LightningModule):
    """Fits a chain to a style.

    Args:
        chain: trained in place, by its own method.
        optimizer: (parameters, steps) → (optimiser, schedule).
        loss: of embeddings.
        dry, wet: `(1, time)` and `(2, time)`, which are cut.
        seconds: of a chunk.
        prior, prior_weight: −ln N of the chain's raw numbers is added, by the weight; None: nothing.

    Raises:
        ValueError: no chunk that is not quiet, of the reference or of the others.
    """

    def __init__(
        self,
        chain: VocalChain,
        optimizer: Callable[[Iterable[nn.Parameter], int], Any],
        loss: StyleLoss,
        dry: Tensor,
        wet: Tensor,
        seconds: float,
        prior: GaussianPrior | None = None,
        prior_weight: float = 0.1,
    ):
        super().__init__()
        self.chain, self.make_optimizer, self.loss = chain, optimizer, loss
        self.prior, self.prior_weight = prior, prior_weight
        reference, self.played = alternating(dry, wet, round(seconds * chain.sample_rate), chain.sample_rate)
        peak = reference.abs().max()
        self.played = pad(self.played / peak, (0, chain.latency))
        with torch.no_grad():
            self.heard = loss.heard(reference / peak)

    def watched(self) -> dict[str, float]:
        """What the history keeps of the chain's parameters."""
        kept = ("delay.time_ms", "delay.gain", "compressor.curve.")
        return {spec.name: spec.value for spec in self.chain.parameters_spec() if spec.name.startswith(kept)}

    def configure_optimizers(self) -> Any:
        optimizer, schedule = self.make_optimizer(self.chain.parameters(), self.trainer.max_steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def training_step(self, *_: Any) -> Tensor:
        loss = self.loss(self.chain(self.played)[..., self.chain.latency :], self.heard)
        self.log("train/loss", loss.detach(), batch_size=1)
        if self.prior is None:
            return loss
        return loss + self.prior_weight * self.prior(row_of(self.chain)[independent()])


def alternating(dry: Tensor, wet: Tensor, length: int, sample_rate: float) -> tuple[Tensor, Tensor]:
    """The wet chunks 0, 2, …, `(chunks, 2, length)`, and the dry ones 1, 3, …, `(chunks, 1, length)`, without quiet ones."""
    whole = dry.shape[-1] // length * length
    reference, played = (
        _loud(signal[:, :whole].unflatten(-1, (whole // length, length)).transpose(0, 1)[first::2], sample_rate)
        for signal, first in ((wet, 0), (dry, 1))
    )
    for name, chunks in (("reference", reference), ("played", played)):
        if not len(chunks):
            raise ValueError(
                f"a style needs two chunks that are not quiet, of which one is the reference: there is no {name} one; "
                f"retrieve.chunk={length / sample_rate:g} s, and the recording has {dry.shape[-1] / sample_rate:g} s"
            )
    return reference, played


def _loud(chunks: Tensor, sample_rate: float) -> Tensor:
    short = round(SHORT_S * sample_rate)
    peaks = chunks.abs().amax(1).unfold(-1, short, short).amax(-1)
    return chunks[20 * torch.log10(peaks.median(-1).values.clamp_min(1e-9)) > FAINTEST_DB]
