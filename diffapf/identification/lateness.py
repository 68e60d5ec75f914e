"""By what part of a sample a recording is late beside a prediction of it, and the recording read so much later."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import pad

from diffapf.filters._fft import convolve
from diffapf.filters.fractional_delay import windowed_sinc

REACH = 512
ROUNDS = 4
FARTHEST = 1.0
NOTICED = 5e-3  # samples: less is not worth a word
STEP = 1e-3  # of the difference that stands for a derivative


def advanced(signal: Tensor, samples: Tensor | float) -> Tensor:
    """s[n + d]: a signal `(..., time)` read d samples later, as long as it was, 0 beyond its ends.

    A windowed sinc so long that only the last hundredth below half the sample rate is touched; differentiable in d. Whole
    samples are exact.

    >>> advanced(torch.arange(5.0), 2.0)
    tensor([2., 3., 4., 0., 0.])
    """
    late = torch.as_tensor(samples, dtype=signal.dtype, device=signal.device)
    whole = math.floor(late.item())
    read = pad(signal, (max(0, -whole), max(0, whole)))
    read = read[..., max(0, whole) :][..., : signal.shape[-1]]
    if not late.requires_grad and late.item() == whole:
        return read
    taps = windowed_sinc(late - whole, REACH).flip(0)
    return convolve(pad(read, (0, REACH)), taps, REACH, REACH + signal.shape[-1])


@torch.no_grad()
def lateness(wet: Tensor, prediction: Tensor) -> float:
    """The d, of less than a sample either way, with which s[n + d] of a recording comes nearest to a prediction of it.

    Gauss–Newton on Σ (s[n + d] − ŝ[n])² over what is away from the ends; 0 for what is silent.
    """
    late, inner = 0.0, slice(REACH, -REACH)
    for _ in range(ROUNDS):
        error = (prediction - advanced(wet, late))[..., inner]
        slope = ((advanced(wet, late + STEP) - advanced(wet, late - STEP)) / (2 * STEP))[..., inner]
        energy = slope.square().sum()
        if not energy > 0:
            return 0.0
        late = max(-FARTHEST, min(FARTHEST, late + float((error * slope).sum() / energy)))
    return late


def words_of(samples: float) -> str:
    """What a fit says of a recording that it found to be late.

    >>> words_of(-3.25)
    'The wet file is 3.25 samples early; compensated.'
    """
    number = f"{abs(samples):.2f}".rstrip("0").rstrip(".")
    return f"The wet file is {number} samples {'late' if samples > 0 else 'early'}; compensated."
