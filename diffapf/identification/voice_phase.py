"""A pitch whose running phase is that of a recording's fundamental: for fits of the waveform itself.

A tracker's pitch is right to a few cents, which in a second is several periods. In audio · e^(−jψ), ψ the pitch's running
phase, the fundamental is at rest; its angle θ there, over three periods, where their Hann window hears no other harmonic,
is what ψ lacks. So the pitch is raised by θ' Fs/2π; where there is no voice, θ goes from one phrase to the next.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from diffapf.filters.control_rate import ControlRate
from diffapf.identification.voice_analysis import VoiceAnalysis
from diffapf.modulation import upsample
from diffapf.synths.oscillators import running_phase

PERIODS = 3
SMOOTHED = 5  # frames
SETTLES = 5  # frames, in which the phase goes from 0 to the fundamental's


def in_phase(audio: Tensor, analysis: VoiceAnalysis, sample_rate: float, hop: int, offset: float = 0.0) -> Tensor:
    """f₀ in Hz at each frame, `(frames,)`, of which sin(ψ − offset) is the fundamental of a recording `(time,)`.

    The first phase is 0, whatever the fundamental's is: the first frames may be elsewhere.
    """
    theta = _missing(audio, analysis, sample_rate, hop) + offset
    raised = replace(analysis, f0_hz=_raised(theta, analysis, sample_rate, hop))
    left = _missing(audio, raised, sample_rate, hop)[analysis.voiced] + offset
    return _raised(theta + torch.exp(1j * left).mean().angle(), analysis, sample_rate, hop)


def _raised(theta: Tensor, analysis: VoiceAnalysis, sample_rate: float, hop: int) -> Tensor:
    """The pitch whose phase is θ further on where there is voice, but for what the way there from 0 leaves."""
    voiced = torch.nonzero(analysis.voiced).squeeze(-1)
    voiced = voiced[voiced >= min(SETTLES, int(voiced[-1]))]
    unwrapped = theta[voiced[0]] + torch.cat([theta.new_zeros(1), _wrapped(torch.diff(theta[voiced])).cumsum(0)])
    places, values = torch.cat([voiced.new_zeros(1), voiced]), torch.cat([theta.new_zeros(1), unwrapped])
    along = _interpolated(torch.arange(len(theta)), places, values)
    return (analysis.f0_hz + torch.gradient(_smooth(along))[0] * sample_rate / (2 * math.pi * hop)).clamp(min=1.0)


def _missing(audio: Tensor, analysis: VoiceAnalysis, sample_rate: float, hop: int) -> Tensor:
    """θ at each frame, within ±π."""
    length, frames = len(audio), len(analysis.f0_hz)
    psi = running_phase(upsample(analysis.f0_hz, ControlRate.hop(hop), length), sample_rate)
    at_rest = audio.double() * torch.exp(-1j * psi)
    half = math.ceil(PERIODS * sample_rate / float(analysis.f0_hz.min()) / 2)
    padded = torch.nn.functional.pad(torch.view_as_real(at_rest).mT, (half, half + frames * hop - length))
    around = padded.unfold(-1, 2 * half + 1, hop)[:, :frames]
    periods = torch.arange(-half, half + 1) * analysis.f0_hz[:, None] / sample_rate
    window = torch.where(periods.abs() < PERIODS / 2, torch.cos(math.pi * periods / PERIODS) ** 2, 0.0)
    real, imaginary = (around * window).sum(-1)
    return torch.atan2(imaginary, real) + math.pi / 2  # of a sine


def _wrapped(angle: Tensor) -> Tensor:
    return torch.remainder(angle + math.pi, 2 * math.pi) - math.pi


def _interpolated(at: Tensor, places: Tensor, values: Tensor) -> Tensor:
    """Linearly between places that rise; held after the last."""
    return torch.from_numpy(np.interp(at.numpy(), places.numpy(), values.numpy()))


def _smooth(values: Tensor) -> Tensor:
    kernel = torch.hann_window(SMOOTHED + 2, periodic=False, dtype=values.dtype)[1:-1]
    padded = torch.nn.functional.pad(values[None, None], (SMOOTHED // 2, SMOOTHED // 2), mode="replicate")
    return torch.nn.functional.conv1d(padded, (kernel / kernel.sum())[None, None])[0, 0]
