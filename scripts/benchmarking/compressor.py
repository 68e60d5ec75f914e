"""The compressor's training step: the recursion against the same graph on torchcomp, and against frequency sampling."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from diffapf import Compressor, FrequencySampling
from diffapf.effects.time_constants import smoothing_rate
from diffapf.losses import Prefiltered
from recipes.compressors import tied
from scripts.benchmarking.cell import Call, Case, Cell, Contest, step_of
from scripts.benchmarking.peers import Peers

SAMPLE_RATE = 44_100
SWELLS_HZ, QUIET, LOUD = 2.0, 0.05, 0.5  # of the noise that it plays: attack and release are both at work


def compressor_cases(quick: bool) -> Iterator[Case]:
    for seconds in (20,) if quick else (60, 300):
        cell = Cell(1, 1, seconds * SAMPLE_RATE, torch.float32, True)
        for name, build in (("torchcomp", against_torchcomp), ("frequency sampling", against_frequency_sampling)):
            label = f"{seconds} s, float32, against {name}"
            yield Case("compressor training step", label, cell, build)


def against_torchcomp(cell: Cell, peers: Peers) -> Contest:
    x, target = signals(cell)
    ours = Compressor(SAMPLE_RATE)
    theirs = {}
    if "torchcomp" in peers:
        model = Compressor(SAMPLE_RATE)
        theirs["the same graph on torchcomp"] = training_step(model, x, target, torchcomp_graph(model, peers))
    return Contest(training_step(ours, x, target), theirs)


def against_frequency_sampling(cell: Cell, peers: Peers) -> Contest:
    """Attack and release are one there: another output, so it is compared with itself."""
    x, target = signals(cell)
    sampled = tied(Compressor(SAMPLE_RATE))
    sampled.method = FrequencySampling()
    step = training_step(sampled, x, target)
    return Contest(training_step(Compressor(SAMPLE_RATE), x, target), {"ours by frequency sampling": step}, step)


def signals(cell: Cell) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    seconds = torch.arange(cell.length) / SAMPLE_RATE
    swell = QUIET + (LOUD - QUIET) * (0.5 - 0.5 * torch.cos(2 * torch.pi * SWELLS_HZ * seconds))
    x, target = (torch.randn(cell.batch, cell.length, generator=generator) for _ in range(2))
    return swell * x, 0.1 * target


def training_step(model: Compressor, x: Tensor, target: Tensor, run: Callable[[Tensor], Tensor] | None = None) -> Call:
    """As published: the mean absolute error of pre-filtered signals, and SGD, here of a rate that moves nothing."""
    optimizer = torch.optim.SGD(model.parameters(), 1e-12)
    return step_of(optimizer, Prefiltered(torch.nn.L1Loss()), run or model, x, target)


def torchcomp_graph(model: Compressor, peers: Peers) -> Callable[[Tensor], Tensor]:
    """The published equations on torchcomp's two recursions and PyTorch's elementwise functions."""
    torchcomp = peers.modules["torchcomp"]

    def run(x: Tensor) -> Tensor:
        times = model.detector.average_ms, model.smoother.attack_ms, model.smoother.release_ms
        average, attack, release = (
            smoothing_rate(time(), SAMPLE_RATE).float().expand(x.shape[0]) for time in times if time is not None
        )
        power = torchcomp.compressor_core(x.square().clamp_min(1e-8), x.new_zeros(x.shape[0]), average, average)
        level_db = 10 * torch.log10(power.clamp_min(1e-8))
        ratio = model.curve.ratio
        assert ratio is not None
        slope = 1 - 1 / ratio()
        reduction_db = (slope * (model.curve.threshold_db() - level_db)).clamp_max(0.0)
        gain = torchcomp.compressor_core(10 ** (reduction_db / 20).float(), x.new_ones(x.shape[0]), attack, release)
        return (x * gain * 10 ** (model.makeup_db() / 20)).float()

    return run
