"""A recorded voice as WORLD hears it: pitch, spectral envelope and aperiodicity, at each control frame.

Source: Morise, Yokomori, Ozawa, "WORLD: a vocoder-based high-quality speech synthesis system for real-time applications",
IEICE Transactions 2016, with Harvest, StoneMask, CheapTrick and D4C; the package pyworld.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from diffapf.needs import needed

LOWEST_HZ, HIGHEST_HZ = 65.0, 1047.0
SHORTEST_S = 0.1
QUIETEST = 1e-4  # of a sample: below, a file counts as silent
LEAST_RATE = 16_000.0
LEAST_VOICED, LONGEST_ACCIDENT_MS = 0.25, 300.0  # of noise, up to 0.22 of the frames have a pitch, for 0.2 s at most


@dataclass(frozen=True)
class VoiceAnalysis:
    """float64: `(frames,)`, and over `bins` from 0 Hz to half the sample rate `(frames, bins)`."""

    f0_hz: Tensor
    """Everywhere positive: between voiced frames interpolated, in octaves."""
    voiced: Tensor
    power: Tensor
    """The envelope: of noise of this power density the sound would be as loud."""
    aperiodicity: Tensor
    """The share of the amplitude that is noise, 1 where there is no voice."""


def analyse_voice(audio: Tensor, sample_rate: float, hop: int) -> VoiceAnalysis:
    """Hears a recording, `(time,)`, with a frame each `hop` samples and one after the last.

    Raises:
        ValueError: not one mono recording; shorter than 0.1 s, silent, without any voiced frame, or of a sample rate below
            16 kHz, which has not enough of a voice; pyworld is not installed.
    """
    _check(audio, sample_rate)
    world = needed("pyworld", "voices")
    frames = -(-len(audio) // hop) + 1
    padded, f0, times = _heard(audio, sample_rate, hop)
    power = world.cheaptrick(padded, f0, times, int(sample_rate))
    # its own test of voicing, off here, takes a voice with bright formants for noise
    aperiodicity = world.d4c(padded, f0, times, int(sample_rate), threshold=0.0)
    voiced = f0[:frames] > 0
    if voiced.mean() < LEAST_VOICED and _longest_run(voiced) * 1000 * hop / sample_rate < LONGEST_ACCIDENT_MS:
        raise ValueError(
            f"no pitch between {LOWEST_HZ:g} and {HIGHEST_HZ:g} Hz was found: a vocoder needs a voice, voiced somewhere"
        )
    at = np.arange(frames)
    filled = np.exp2(np.interp(at, at[voiced], np.log2(f0[:frames][voiced])))
    return VoiceAnalysis(*map(torch.from_numpy, (filled, voiced, power[:frames], aperiodicity[:frames])))


def pitch_of(audio: Tensor, sample_rate: float, hop: int) -> Tensor:
    """f₀ in Hz at each frame of a recording `(time,)`, 0 where there is no voice: Harvest, refined by StoneMask."""
    return torch.from_numpy(_heard(audio, sample_rate, hop)[1][: -(-len(audio) // hop) + 1])


def _heard(audio: Tensor, sample_rate: float, hop: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The signal with silence for its last frames, its pitch, and their times."""
    world = needed("pyworld", "voices")
    padded = np.concatenate([audio.detach().cpu().double().numpy(), np.zeros(2 * hop)])
    rough, times = world.harvest(padded, int(sample_rate), LOWEST_HZ, HIGHEST_HZ, 1000 * hop / sample_rate)
    return padded, world.stonemask(padded, rough, times, int(sample_rate)), times


def _longest_run(flags: np.ndarray) -> int:
    """Of flags that are set, one after another.

    >>> _longest_run(np.array([True, False, True, True]))
    2
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags, [0]])))
    return int((edges[1::2] - edges[::2]).max(initial=0))


def _check(audio: Tensor, sample_rate: float) -> None:
    if audio.dim() != 1:
        raise ValueError(f"a voice must be one mono recording, (time,), got {tuple(audio.shape)}")
    if sample_rate < LEAST_RATE:
        raise ValueError(
            f"a voice of {sample_rate:g} Hz lacks what a vocoder is fitted to: record it at {LEAST_RATE:g} Hz at least "
            "(24 kHz is the models' own)"
        )
    if len(audio) < SHORTEST_S * sample_rate:
        raise ValueError(f"a voice must be {SHORTEST_S} s long at least, got {len(audio) / sample_rate:.3f} s")
    if not bool(audio.isfinite().all()):
        raise ValueError("the recording has samples that are not finite numbers")
    if float(audio.abs().max()) < QUIETEST:
        raise ValueError("the recording is silent, so there is no voice to hear")
