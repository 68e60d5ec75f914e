"""From an LFO's swing to the break frequency of a phaser's all-passes, in Hz."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from diffapf.filters.design import break_frequency
from diffapf.parameters import Named


class LogFrequencySweep(nn.Module):
    """Shape −1 … 1 to break frequencies low … high, evenly in log frequency."""

    def __init__(self, low_hz: float = 200.0, high_hz: float = 2000.0):
        super().__init__()
        self.low_hz = Named(low_hz, "Hz", 10.0, 10_000.0, taper="log")
        self.high_hz = Named(high_hz, "Hz", 10.0, 20_000.0, taper="log")

    def forward(self, shape: Tensor) -> Tensor:
        low, high = torch.log(self.low_hz()), torch.log(self.high_hz())
        return torch.exp(torch.lerp(low, high, 0.5 + 0.5 * shape))


class PaperSweep(nn.Module):
    """The published mapping: d = bias + depth (1 + shape)/2, artanh p = (1 − tan d)/(1 + tan d), at `sample_rate`.

    As a break frequency in Hz it sounds the same at any other rate.
    """

    def __init__(self, bias: float = 0.05, depth: float = 0.25, sample_rate: float = 44_100):
        super().__init__()
        self.bias = Named(bias, "rad", -0.2, 0.5)
        self.depth = Named(depth, "rad", 0.0, 1.0)
        self.sample_rate = sample_rate

    def forward(self, shape: Tensor) -> Tensor:
        t = torch.tan(self.bias() + self.depth() * (1 + shape) / 2)
        return break_frequency((1 - t) / (1 + t), self.sample_rate)


class OctaveSweep(nn.Module):
    """A swing in octaves around a centre."""

    def __init__(self, centre_hz: float = 700.0):
        super().__init__()
        self.centre_hz = Named(centre_hz, "Hz", 10.0, 10_000.0, taper="log")

    def forward(self, octaves: Tensor) -> Tensor:
        return self.centre_hz() * torch.exp2(octaves)


SWEEPS: dict[str, Callable[[float], nn.Module]] = {
    "log_frequency": lambda sample_rate: LogFrequencySweep(),
    "octaves": lambda sample_rate: OctaveSweep(),
    "paper": lambda sample_rate: PaperSweep(sample_rate=sample_rate),
}
