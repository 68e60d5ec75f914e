"""How near a resynthesised voice is to the recorded one: pitch, cepstra, quality, speed.

Source: Yu, Fazekas, "GOLF", TISMIR 7, 2024, and Interspeech 2024, with their published code (definitions of MCD and MAE-f₀).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from diffapf.losses.multi_resolution import MultiResolutionLoss
from diffapf.metrics import fad_log_mel, fad_vggish
from diffapf.needs import needed

PERIOD_MS = 5.0
LOWEST_HZ, HIGHEST_HZ = 65.0, 1047.0
FLOOR_HZ = 80.0  # where there is no voice, in the published error
CENTS = 1200.0
MCD_FFT, MCD_HOP, MCD_ORDER, MCD_WARP = 512, 120, 34, 0.46
MCD_SCALE = 10 * math.sqrt(2) / math.log(10)
QUIETEST = 1e-10  # of a power
PESQ_RATE = 16_000
PUBLISHED_FFTS, PUBLISHED_FLOOR = (509, 1021, 2053), 1e-8


def voice_scores(sung: Sequence[Tensor], target: Tensor, sample_rate: float) -> dict[str, float]:
    """All that is said of a resynthesis `(time,)`, of which `sung` has several, each with another noise.

    `mss` is the mean of all, the rest is of the first. The mel-cepstral and Fréchet audio distances and PESQ are left out
    where their packages, or VGGish's weights, are not at hand, or the recording is too short.
    """
    loss, first = MultiResolutionLoss(), sung[0]
    pitch = pitch_error(first, target, sample_rate)
    found = {
        "mss": float(torch.stack([loss(each, target) for each in sung]).mean()),
        "mss_published": published_mss(first, target),
        "f0_cents": pitch.mean,
        "f0_cents_median": pitch.median,
        "f0_cents_published": pitch.published,
        "voicing_errors": pitch.voicing,
        "snr_db": float(-10 * torch.log10((first - target).square().mean() / target.square().mean())),
    }
    for name, distance in (("fad_log_mel", fad_log_mel), ("fad_vggish", fad_vggish)):
        value = distance(first[None], target[None], sample_rate).value
        if value is not None:
            found[name] = value
    with suppress(ValueError):
        found["mcd_db"] = mel_cepstral_distortion(first, target)
    with suppress(ValueError):
        found["pesq"] = perceptual_quality(first, target, sample_rate)
    return found


@dataclass(frozen=True)
class PitchError:
    """In cents, by DIO on both signals.

    `mean`, `median`: over frames that are voiced in both. `published`: over all, unvoiced ones counted as 80 Hz, so that it
    is mostly the errors of voicing, whose share of the frames is `voicing`.
    """

    mean: float
    median: float
    published: float
    voicing: float


def pitch_error(prediction: Tensor, target: Tensor, sample_rate: float) -> PitchError:
    """Of two recordings `(time,)`; NaN where no frame is voiced in both. Raises ValueError without pyworld."""
    found, wanted = (_dio(each, sample_rate) for each in _pair(prediction, target))
    both = (found > 0) & (wanted > 0)
    cents = np.abs(CENTS * np.log2(found[both] / wanted[both])) if both.any() else np.array([np.nan])
    floored = np.abs(CENTS * np.log2(np.maximum(found, FLOOR_HZ) / np.maximum(wanted, FLOOR_HZ)))
    voicing = float(((found > 0) != (wanted > 0)).mean())
    return PitchError(float(cents.mean()), float(np.median(cents)), float(floored.mean()), voicing)


@torch.no_grad()
def published_mss(prediction: Tensor, target: Tensor) -> float:
    """The published training loss: Σ over FFTs of 509, 1021, 2053 samples of the mean L1 of magnitudes and of their log₂."""
    total = 0.0
    for size in PUBLISHED_FFTS:
        found, wanted = (
            torch.stft(
                each, size, int(size - 0.75 * size), window=torch.hann_window(size).to(each), return_complex=True
            ).abs()
            for each in _pair(prediction, target)
        )
        total += float((found - wanted).abs().mean())
        total += float((torch.log2(found + PUBLISHED_FLOOR) - torch.log2(wanted + PUBLISHED_FLOOR)).abs().mean())
    return total


def mel_cepstral_distortion(prediction: Tensor, target: Tensor) -> float:
    """MCD in dB: 10 √2/ln 10 · mean ‖Δc‖, mel-cepstra of order 34 with c₀, α = 0.46, of frames of 512 samples every 120.

    Raises ValueError without pysptk.

    >>> mel_cepstral_distortion(torch.ones(2400), torch.ones(2400))
    0.0
    """
    found, wanted = (_mel_cepstra(each) for each in _pair(prediction, target))
    return float(MCD_SCALE * np.linalg.norm(found - wanted, axis=-1).mean())


def perceptual_quality(prediction: Tensor, target: Tensor, sample_rate: float) -> float:
    """PESQ, wide band (ITU-T P.862.2), after resampling to 16 kHz.

    Raises ValueError without pesq or librosa, and for what it does not take: shorter than 1/4 s, or without speech.
    """
    pesq, resample = needed("pesq", "quality").pesq, needed("librosa").resample
    found, wanted = (
        resample(each.numpy(), orig_sr=sample_rate, target_sr=PESQ_RATE) for each in _pair(prediction, target)
    )
    try:
        return float(pesq(PESQ_RATE, wanted, found, "wb"))
    except RuntimeError as error:  # its own: shorter than a quarter of a second, or nothing that it takes for speech
        raise ValueError(f"PESQ cannot hear these: {error}") from error


def real_time_factor(render: Callable[[], Tensor], sample_rate: float, repeats: int = 3) -> float:
    """How long a render takes, of how long it sounds: the median of a few."""
    taken = []
    for _ in range(repeats):
        began = time.perf_counter()
        length = render().shape[-1]
        taken.append((time.perf_counter() - began) * sample_rate / length)
    return float(np.median(taken))


def _pair(prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    if prediction.shape != target.shape or prediction.dim() != 1:
        raise ValueError(
            f"prediction and target must be (time,) both, got {tuple(prediction.shape)} and {tuple(target.shape)}"
        )
    return prediction.detach().cpu().double(), target.detach().cpu().double()


def _dio(audio: Tensor, sample_rate: float) -> np.ndarray:
    world = needed("pyworld", "voices")
    return world.dio(audio.numpy(), int(sample_rate), LOWEST_HZ, HIGHEST_HZ, frame_period=PERIOD_MS)[0]


def _mel_cepstra(audio: Tensor) -> np.ndarray:
    sptk = needed("pysptk", "voices")
    window = torch.hann_window(MCD_FFT, dtype=torch.float64)
    spectrum = torch.stft(audio, MCD_FFT, MCD_HOP, window=window, pad_mode="constant", return_complex=True)
    power = spectrum.abs().square().clamp(min=QUIETEST).mT.contiguous().numpy()
    return np.stack([sptk.sp2mc(frame, MCD_ORDER, MCD_WARP) for frame in power])
