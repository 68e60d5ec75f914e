"""The phaser's training step on 5 s at 44.1 kHz in float64: both cores against the paper's on the peer's all-pole filter."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from diffapf import Phaser
from diffapf.filters import methods
from diffapf.filters.control_rate import ControlRate
from diffapf.filters.design import allpass_logit
from diffapf.losses import esr
from diffapf.modulation import upsample
from scripts.benchmarking.cell import Call, Case, Cell, Contest, step_of
from scripts.benchmarking.peers import Peers

PUBLISHED, SWAPPED = "the published graph on torchlpc", "our paper core, all-pole by torchlpc"


def phaser_cases(quick: bool) -> Iterator[Case]:
    cell = Cell(6, 1, 220_500, torch.float64, True)
    for name in (PUBLISHED, SWAPPED):
        for core in ("paper",) if quick else ("cascade", "paper"):
            build = functools.partial(phaser_contest, core, name)
            yield Case("phaser training step", f"5 s, float64, core={core}, against {name}", cell, build)


def phaser_contest(core: str, name: str, cell: Cell, peers: Peers) -> Contest:
    """Each first step starts from the same parameters; both cores' predictions differ, so the check is of the paper's."""
    generator = torch.Generator().manual_seed(0)
    x, target = (torch.randn(cell.batch, cell.length, dtype=cell.dtype, generator=generator) for _ in range(2))
    if "torchlpc" not in peers:
        return Contest(training_step(phaser(core), x, target), {})
    peer = peers.modules["torchlpc"].sample_wise_lpc
    theirs = {PUBLISHED: published, SWAPPED: swapped}[name](peer, x, target)
    return Contest(training_step(phaser(core), x, target), {name: theirs}, training_step(phaser("paper"), x, target))


def phaser(core: str) -> Phaser:
    torch.manual_seed(0)
    return Phaser(44_100, core=core, feedback=0.3, align_corners=core == "paper").double()


def training_step(model: Phaser, x: Tensor, target: Tensor, run: Callable[[Tensor], Tensor] | None = None) -> Call:
    return step_of(torch.optim.Adam(model.parameters(), 1e-4, fused=True), esr, run or model, x, target)


def published(peer: Callable, x: Tensor, target: Tensor) -> Call:
    model = phaser("paper")
    return training_step(model, x, target, published_graph(model, peer))


def swapped(peer: Callable, x: Tensor, target: Tensor) -> Call:
    step = training_step(phaser("paper"), x, target)

    def with_the_peers_filter() -> tuple[Tensor, ...]:
        ours, methods.allpole = methods.allpole, PeerAllPole(peer)  # type: ignore[assignment]
        try:
            return step()
        finally:
            methods.allpole = ours

    return with_the_peers_filter


def published_graph(phaser: Phaser, peer: Callable) -> Callable[[Tensor], Tensor]:
    """The paper's core as its equations (11) and its code have it, on the peer's all-pole filter.

    Numerator and denominator of the all-passes at the control rate, interpolated to audio rate, multiplied with the
    biquad there; the FIR part in PyTorch, the all-pole part by the peer.
    """

    def run(x: Tensor) -> Tensor:
        time_, hop = x.shape[-1], phaser.hop
        seconds = torch.arange(time_ // hop + 1, dtype=torch.float64) * hop / phaser.sample_rate
        p = torch.tanh(allpass_logit(phaser.break_frequencies(seconds), phaser.sample_rate))
        b = torch.stack([p**4, -4 * p**3, 6 * p**2, -4 * p, torch.ones_like(p)], -1)
        denominator = b.flip(-1) - phaser.feedback().abs() * b
        frames = torch.cat([b / denominator[:, :1], denominator / denominator[:, :1]], -1).T[None]
        b, denominator = torch.nn.functional.interpolate(frames, time_, mode="linear", align_corners=True)[0].split(5)
        biquad_b, biquad_a = phaser.biquad()
        numerator = times(biquad_b, (phaser.through() * denominator + b).T)
        denominator = times(biquad_a, denominator.T)
        past = torch.nn.functional.pad(x, (6, 0)).unfold(-1, 7, 1).flip(-1)
        return peer((past * numerator).sum(-1), denominator[None, :, 1:])

    def times(biquad: Tensor, polynomial: Tensor) -> Tensor:
        return sum(torch.nn.functional.pad(biquad[i] * polynomial, (i, 2 - i)) for i in range(3))  # type: ignore

    return run


class PeerAllPole:
    """Our paper core with nothing but its all-pole filter replaced by the peer's, which needs audio-rate coefficients."""

    def __init__(self, peer: Callable):
        self.peer = peer

    def __call__(
        self, x: Tensor, a: Tensor, zi: Tensor | None, return_zf: bool, hop: ControlRate
    ) -> tuple[Tensor, None]:
        return self.peer(x, audio_rate(a, hop, x.shape[-1])), None


def audio_rate(frames: Tensor, rate: ControlRate, length: int) -> Tensor:
    """Coefficients `(batch, frames, taps)` at audio rate."""
    return upsample(frames.mT, rate, length).mT
