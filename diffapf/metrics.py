"""How near synthesised notes are to recorded ones: multi-resolution spectra, mel bands, cepstra, Fréchet audio distance.

All take notes `(notes, time)`, a single one `(time,)`, and give numbers without gradient; silence gives finite ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor, nn

from diffapf.needs import needed
from diffapf.synths.mel import LogMel, mel_weights

FADE = 32  # samples
LSD_FRAME = 2048  # samples
CHUNK_S = 0.125  # a sixteenth at 120 BPM
VGGISH_RATE = 16_000
LOG_MEL_NAME = "FAD (log-mel embedding, not comparable with VGGish)"
VGGISH_NAME = "FAD (VGGish)"


# ------------------------------------------------------------------------------------------------------------- spectra


@torch.no_grad()
def mss(prediction: Tensor, target: Tensor) -> float:
    """The multi-resolution STFT loss of a batch, auraloss 0.4's defaults: what the DAFx 2024 paper reports.

    The mean over three resolutions of ‖|Y| − |Ŷ|‖/‖|Y|‖ + mean |ln |Y| − ln |Ŷ||. The norms are over the whole batch: loud
    notes weigh more, and the mean of `mss_of_notes` is another number.

    Raises:
        ValueError: shapes differ, or auraloss is not installed.

    Source: auraloss, `MultiResolutionSTFTLoss`; Yamamoto, Song, Kim, "Parallel WaveGAN", ICASSP 2020.

    >>> mss(torch.zeros(1, 6000), torch.zeros(1, 6000))
    0.0
    """
    prediction, target = _pair(prediction, target)
    return float(_mss_loss()(prediction[:, None], target[:, None]))


def mss_of_notes(prediction: Tensor, target: Tensor) -> Tensor:
    """`mss` of each note by itself, `(notes,)`."""
    prediction, target = _pair(prediction, target)
    return torch.tensor([mss(one, other) for one, other in zip(prediction, target, strict=True)])


@cache
def _mss_loss() -> nn.Module:
    return needed("auraloss.freq").MultiResolutionSTFTLoss()


@torch.no_grad()
def log_spectral_distance(
    prediction: Tensor,
    target: Tensor,
    sample_rate: float,
    floor_db: float = -100.0,
    lowest_hz: float = 20.0,
    highest_hz: float = 10_000.0,
) -> float:
    """How far the levels of two signals `(time,)` differ, in dB: the root mean square over a frame's bins, then their mean.

    Frames of 2048 samples, Hann, every 512, as many as there are whole ones; levels count as `floor_db` below the target's
    loudest bin where they are lower.

    Raises:
        ValueError: shapes differ, there is no whole frame, or the target is silent.

    >>> noise = torch.randn(4096)
    >>> round(log_spectral_distance(10**0.05 * noise, noise, 44_100), 3)
    1.0
    """
    if prediction.shape != target.shape or target.dim() != 1 or len(target) < LSD_FRAME:
        raise ValueError(
            f"prediction and target must be (time,), alike, at least {LSD_FRAME} samples, got {tuple(prediction.shape)} "
            f"and {tuple(target.shape)}"
        )
    window = torch.hann_window(LSD_FRAME, dtype=torch.float64)
    frequency = torch.fft.rfftfreq(LSD_FRAME, 1 / sample_rate)
    bins = (frequency >= lowest_hz) & (frequency <= highest_hz)
    frames = [(x.double().unfold(0, LSD_FRAME, LSD_FRAME // 4) * window) for x in (prediction, target)]
    found, wanted = (torch.fft.rfft(of_signal).abs()[:, bins] for of_signal in frames)
    floor = wanted.max() * 10 ** (floor_db / 20)
    if not floor > 0:
        raise ValueError("the target is silent, so its levels have no floor")
    ratio = 20 * torch.log10(found.clamp_min(floor) / wanted.clamp_min(floor))
    return float(ratio.square().mean(1).sqrt().mean())


# ------------------------------------------------------------------------------------------------------- mel, cepstrum


@torch.no_grad()
def log_mel_l1(prediction: Tensor, target: Tensor, sample_rate: float) -> float:
    """The mean distance of the log-mel spectrograms that extractors hear; see `LogMel`: 128 HTK bands, natural logarithm.

    The DAFx 2024 authors logged a mel loss that has a spectral convergence in it too: theirs is another number.
    """
    prediction, target = _pair(prediction, target)
    log_mel = _log_mel(sample_rate).to(target.device)
    return float((log_mel(prediction.float()) - log_mel(target.float())).abs().mean())


@torch.no_grad()
def mfcc_l1(prediction: Tensor, target: Tensor, sample_rate: float) -> float:
    """The mean distance of `mfcc`."""
    prediction, target = _pair(prediction, target)
    return float((mfcc(prediction, sample_rate) - mfcc(target, sample_rate)).abs().mean())


def mfcc(audio: Tensor, sample_rate: float, count: int = 40, n_fft: int = 2048, hop: int = 512) -> Tensor:
    """Mel-frequency cepstral coefficients, `(notes, time)` → `(notes, count, frames)`.

    torchaudio's conventions with `log_mels=True`: the orthonormal cosine transform of ln(power + 10⁻⁶) in 128 HTK bands
    without area norm, a periodic Hann window, frames centred.
    """
    window = torch.hann_window(n_fft, device=audio.device)
    spectrum = torch.stft(audio.float(), n_fft, hop, window=window, pad_mode="reflect", return_complex=True)
    mel = mel_weights(sample_rate, n_fft, 128).to(audio.device) @ spectrum.abs().square()
    return _cosines(128, count).to(audio.device) @ torch.log(mel + 1e-6)


def mfcc_statistics(audio: Tensor, sample_rate: float) -> Tensor:
    """Means, then standard deviations over the frames of `mfcc`, `(signals, time)` → `(signals, 80)`; with gradients."""
    coefficients = mfcc(audio, sample_rate)
    spread = (coefficients.var(-1, correction=0) + 1e-8).sqrt()  # the slope of a deviation of 0 is none
    return torch.cat([coefficients.mean(-1), spread], -1)


def _cosines(bands: int, count: int) -> Tensor:
    """The orthonormal DCT-II, `(count, bands)`."""
    k, band = torch.arange(count)[:, None], torch.arange(bands) + 0.5
    rows = math.sqrt(2 / bands) * torch.cos(torch.pi / bands * k * band)
    rows[0] /= math.sqrt(2)
    return rows


@cache
def _log_mel(sample_rate: float) -> LogMel:
    return LogMel(sample_rate)


# ---------------------------------------------------------------------------------------------- Fréchet audio distance


@dataclass(frozen=True)
class FAD:
    """A Fréchet audio distance, or why there is none.

    Args:
        name: says by which embedding; only numbers of one name compare.
        value: None where the embedding is not at hand.
        why: what is missing then.
    """

    name: str
    value: float | None
    why: str = ""


def fad_vggish(prediction: Tensor, target: Tensor, sample_rate: float) -> FAD:
    """The published metric: VGGish embeddings, 16 kHz, 16 bits, before PCA and without the last activation.

    By the package frechet_audio_distance where it is installed; its weights come from the user's disk, or are fetched
    once. As published, notes are `joined` first. 8.5 s of notes give 8 embeddings of 128 numbers: orders of such distances
    mean little.

    Source: Kilgour et al., "Fréchet audio distance", Interspeech 2019.
    """
    prediction, target = _pair(prediction, target)
    try:
        network = _vggish()
    except Exception as error:  # what a missing package, file or network raises
        return FAD(VGGISH_NAME, None, f"VGGish is not at hand: {error}")
    found = [_embed_by_vggish(network, joined(notes), sample_rate) for notes in (prediction, target)]
    if any(len(embeddings) < 2 for embeddings in found):
        return FAD(VGGISH_NAME, None, "VGGish needs at least 2 s of notes")
    return FAD(VGGISH_NAME, frechet_distance(*found))


def fad_log_mel(prediction: Tensor, target: Tensor, sample_rate: float) -> FAD:
    """A stand-in for VGGish that is always there: means and deviations of 64 log-mel bands over each eighth of a second.

    Of the notes `joined`, as for VGGish.
    """
    prediction, target = _pair(prediction, target)
    found = [log_mel_embedding(joined(notes), sample_rate) for notes in (prediction, target)]
    if any(len(embeddings) < 2 for embeddings in found):
        return FAD(LOG_MEL_NAME, None, f"at least {2 * CHUNK_S} s of notes are needed")
    return FAD(LOG_MEL_NAME, frechet_distance(*found))


def frechet_distance(one: Tensor, other: Tensor) -> float:
    """Between the Gaussians of two sets of embeddings, `(count, features)`: ‖μ₁ − μ₂‖² + tr(C₁ + C₂ − 2 (C₁ C₂)^½).

    With the centred embeddings over √(count − 1) as the rows of A and B, C₁ = AᵀA and C₂ = BᵀB, and the last trace is the
    sum of the singular values of A Bᵀ: no root of a matrix, which is not exact where there are fewer embeddings than
    features.

    Raises:
        ValueError: fewer than two embeddings in a set, or other features in each.

    Source: Dowson, Landau, "The Fréchet distance between multivariate normal distributions", 1982.

    >>> round(frechet_distance(torch.tensor([[0.0], [2.0]]), torch.tensor([[1.0], [3.0]])), 9)
    1.0
    """
    if one.dim() != 2 or other.dim() != 2 or one.shape[1] != other.shape[1] or min(len(one), len(other)) < 2:
        raise ValueError(
            "a distance needs two sets of at least two embeddings, (count, features) each, "
            f"got {tuple(one.shape)} and {tuple(other.shape)}"
        )
    one, other = one.double(), other.double()
    a, b = ((each - each.mean(0)) / math.sqrt(len(each) - 1) for each in (one, other))
    of_means = (one.mean(0) - other.mean(0)).square().sum()
    of_spreads = a.square().sum() + b.square().sum() - 2 * torch.linalg.svdvals(a @ b.T).sum()
    return float(of_means + of_spreads.clamp(min=0))


def joined(notes: Tensor) -> Tensor:
    """Notes `(notes, time)` one after another, `(notes · time,)`, each faded in and out linearly over 32 samples.

    As the DAFx 2024 authors prepared theirs for the Fréchet audio distance.
    """
    length = min(FADE, notes.shape[-1])
    fade = torch.linspace(0, 1, length, dtype=notes.dtype, device=notes.device)
    envelope = torch.ones_like(notes[0])
    envelope[:length] *= fade
    envelope[-length:] *= fade.flip(0)
    return (notes * envelope).flatten()


def log_mel_embedding(audio: Tensor, sample_rate: float) -> Tensor:
    """Means, then standard deviations over its frames, of each chunk of 1/8 s: `(time,)` → `(chunks, 128)`."""
    length = round(CHUNK_S * sample_rate)
    chunks = audio[: len(audio) // length * length].reshape(-1, length).float()
    if not len(chunks):
        return chunks.new_zeros(0, 128)
    log_mel = LogMel(sample_rate, hop=256, bands=64).to(audio.device)(chunks)
    return torch.cat([log_mel.mean(-1), log_mel.std(-1, correction=0)], -1)


@cache
def _vggish() -> nn.Module:
    kind = needed("frechet_audio_distance", extra=None).FrechetAudioDistance
    return kind(model_name="vggish", sample_rate=VGGISH_RATE, use_pca=False, use_activation=False).model


@torch.no_grad()
def _embed_by_vggish(network: nn.Module, audio: Tensor, sample_rate: float) -> Tensor:
    samples = audio.detach().cpu().float().numpy()
    samples = needed("librosa").resample(samples, orig_sr=sample_rate, target_sr=VGGISH_RATE)
    in_16_bits = np.clip(np.round(samples * 32_768), -32_768, 32_767) / 32_768
    if len(in_16_bits) < VGGISH_RATE:  # less than one embedding, of which the network makes an error
        return torch.zeros(0, 128)
    return torch.as_tensor(network(in_16_bits, VGGISH_RATE)).cpu().reshape(-1, 128)


def _pair(prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    if prediction.shape != target.shape or target.dim() not in (1, 2) or not target.numel():
        raise ValueError(
            "prediction and target must be notes of one shape, (notes, time), "
            f"got {tuple(prediction.shape)} and {tuple(target.shape)}"
        )
    return (prediction[None], target[None]) if target.dim() == 1 else (prediction, target)
