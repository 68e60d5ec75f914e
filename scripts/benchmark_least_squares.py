"""What an iteration of Levenberg–Marquardt costs on a phaser of 41 parameters, a second of audio, on one thread.

    python scripts/benchmark_least_squares.py [--effect phaser] [--seconds 3]
    python scripts/benchmark_least_squares.py --effect compressor [--seconds 20]
    python scripts/benchmark_least_squares.py --effect forward_mode [--dtype float32] [--groups]

The phaser is what a fit descends with: 16 harmonics of its LFO, a biquad, feedback through a high-pass, frames of 2.5 ms,
by its own tangents; issue 12's bar is 60 ms. The compressor is the published one with a soft knee, 7 parameters, by its own
tangents; issue 13's bar is 4 ms. `forward_mode` is a phaser of 41 parameters of the operators alone (log break frequency a
Fourier series, v(θ) = Σ c_k cos kθ + s_k sin kθ, θ = 2π f₀ t, on frames of 10 ms, a biquad before, the gains g₁ and g₂),
through `vmap` over `jvp`, as a model takes that has no tangents of its own.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from diffapf.effects.compressor import Compressor
from diffapf.effects.phaser import AllpassLoopFilter, Phaser
from diffapf.filters.control_rate import ControlRate
from diffapf.filters.stability import biquad_triangle
from diffapf.identification import spans
from diffapf.identification.aligned_pair import AlignedPair
from diffapf.identification.layout import Layout
from diffapf.identification.modules import of_parameters
from diffapf.identification.normal_equations import Stream, cost, linearise
from diffapf.identification.phaser_fit import HOP_S, SWEPT
from diffapf.identification.phaser_tangents import moving_error
from diffapf.identification.prefiltered_pair import MonoPair, Part
from diffapf.modulation import FourierLFO

SAMPLE_RATE, HOP = 44_100, 441
HARMONICS = 16


def a_phaser(dtype: torch.dtype = torch.float64, harmonics: int = HARMONICS) -> dict[str, Tensor]:
    """Its 2 harmonics + 9 numbers: LFO curve and rate in float64, coefficients in the signal's dtype."""
    k = torch.arange(1, harmonics + 1, dtype=torch.float64)
    return {
        "c": torch.cat([k.new_tensor([2.0]), -0.6 / k**2]),
        "s": 0.05 / k**2,
        "f0": k.new_tensor(1.3),
        "b": torch.tensor([1.0, 0.1, -0.05], dtype=dtype),
        "l": torch.tensor([0.1, 0.2], dtype=dtype),
        "g1": torch.tensor(0.9, dtype=dtype),
        "g2": torch.tensor(0.4, dtype=dtype),
    }


def phaser_block(x: dict[str, Tensor], dry: Tensor, first: int, state) -> tuple[Tensor, tuple]:
    """The next block of the phaser's output, and its state; `first` is the block's place on the LFO's clock."""
    offset = first % HOP
    frames = (offset + len(dry) - 1) // HOP + 2
    seconds = (first // HOP + torch.arange(frames, dtype=torch.float64)) * HOP / SAMPLE_RATE
    angles = 2 * math.pi * x["f0"] * seconds[:, None] * torch.arange(len(x["c"]), dtype=torch.float64)
    v = torch.cos(angles) @ x["c"] + torch.sin(angles[:, 1:]) @ x["s"]
    a1, a2 = biquad_triangle(x["l"][0], x["l"][1])
    a = torch.stack([torch.ones_like(a1), a1, a2])
    loop = x["g2"], torch.zeros_like(x["g2"]), torch.zeros_like(x["g2"])
    rate = ControlRate.hop(HOP, offset)
    return AllpassLoopFilter(v.to(dry.dtype), rate, HOP, 4, x["g1"], loop, 0, x["b"], a).run(dry, state)


def phaser_residuals(dry: Tensor, wet: Tensor, length: int) -> tuple[Callable, int]:
    """(residuals, blocks) for `least_squares`."""

    def residuals(x, block, state):
        first = block * length
        y, state = phaser_block(x, dry[first : first + length], first, state)
        return y - wet[first : first + length], state

    return residuals, -(-len(dry) // length)


def phaser_stream(dry: Tensor, length: int) -> tuple[Stream, Layout, dict[str, Tensor]]:
    """What the phaser's fit makes small, from a start that is not the truth."""
    spans.BLOCK = length
    curve = [0.6 / k**2 for k in range(1, HARMONICS + 1)], [0.05 / k**2 for k in range(1, HARMONICS + 1)]
    settings = {"filter_order": 2, "hop_seconds": HOP_S, "feedback": 0.4, "feedback_highpass_hz": 30.0}
    truth, model = (Phaser(SAMPLE_RATE, lfo=FourierLFO(rate, *curve), **settings).double() for rate in (1.3, 1.31))
    with torch.no_grad():
        stretch = AlignedPair(dry, truth(dry), SAMPLE_RATE).stretch(0.0, len(dry) / SAMPLE_RATE)
    x = {name: tensor.detach() for name, tensor in model.named_parameters() if tensor.requires_grad}
    swept = [name for name in x if name.startswith(SWEPT)]
    residuals = of_parameters(model, stretch.residuals)
    tangents = partial(moving_error, stretch, model)
    return Stream(residuals, stretch.blocks, tangents=tangents), Layout(x, groups=[swept]), x


def compressor_stream(dry: Tensor, length: int) -> tuple[Stream, Layout, dict[str, Tensor]]:
    """What the compressor's fit makes small, from a start that is not the truth, of a signal whose level moves."""
    spans.BLOCK = length
    level = 0.05 + 0.5 * (torch.arange(len(dry)) // (SAMPLE_RATE // 4) % 2)
    loud = level * dry.double()
    with torch.no_grad():
        wet = Compressor(SAMPLE_RATE, threshold_db=-20.0, ratio=3.0, attack_ms=1.0, release_ms=100.0).double()(loud)
    part = MonoPair(loud, wet, SAMPLE_RATE).part(0.0, len(dry) / SAMPLE_RATE)
    model = Compressor(SAMPLE_RATE, threshold_db=-25.0, ratio=2.0, knee_db=6.0).double()
    x = {name: tensor.detach() for name, tensor in model.named_parameters()}

    def residuals(x, block, state):
        return torch.func.functional_call(
            _Residuals(model, part), {f"model.{n}": t for n, t in x.items()}, (block, state)
        )

    return Stream(residuals, part.blocks, tangents=partial(part.tangents, model)), Layout(x), x


class _Residuals(torch.nn.Module):
    def __init__(self, model: Compressor, part: Part):
        super().__init__()
        self.model, self.part = model, part

    def forward(self, block, state):
        return self.part.residuals(self.model, block, state)


STREAMS = {"phaser": phaser_stream, "compressor": compressor_stream}


def best_of(runs: int, function: Callable) -> float:
    """Seconds of the processor in the fastest run, after one to warm up: others on the machine hardly change them."""
    function()
    times = []
    for _ in range(runs):
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--effect", choices=("phaser", "compressor", "forward_mode"), default="phaser")
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float64")
    parser.add_argument("--lengths", type=int, nargs="+", default=[4096, 8192, 16384, 32768])
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--groups", action="store_true", help="differentiate the biquad apart")
    options = parser.parse_args()
    torch.set_num_threads(1)
    dtype = getattr(torch, options.dtype if options.effect == "forward_mode" else "float64")
    dry = torch.randn(options.seconds * SAMPLE_RATE, generator=torch.Generator().manual_seed(0), dtype=dtype)
    for length in options.lengths:
        if options.effect != "forward_mode":
            stream, layout, x = STREAMS[options.effect](dry, length)
        else:
            wet, _ = phaser_block(a_phaser(dtype), dry, 0, None)
            x = {name: value + 0.01 for name, value in a_phaser(dtype).items()}
            layout = Layout(x, groups=[["b", "l"]] if options.groups else None)
            stream = Stream(*phaser_residuals(dry, wet, length))
        if length == options.lengths[0]:
            print(f"{options.effect}, {layout.size} parameters, {dtype}, milliseconds (CPU) a second of audio")
        normal_equations = best_of(options.runs, partial(linearise, stream, layout, layout.vector(x)))
        trial = best_of(options.runs, partial(cost, stream, x))
        figures = f"normal equations {1e3 * normal_equations / options.seconds:6.2f}"
        print(f"blocks of {length:6d}: {figures}, residuals {1e3 * trial / options.seconds:5.2f}")


if __name__ == "__main__":
    main()
