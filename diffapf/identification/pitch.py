"""The pitch of a note, and where in its period an oscillator of that pitch stands."""

from __future__ import annotations

import math
import warnings

import numpy as np
import torch
from torch import Tensor

from diffapf.needs import needed

# Of 54 notes of a bass synthesiser, all are tracked so; with all harmonics, a resonance passes for the fundamental.
LOW_PASS_HZ = 3000.0
LOW_PASS_S = 1 / 375
TROUGH = 0.15
HOP_S = 1 / 120
FRAME_PERIODS = 1.5  # of the lowest note: longer frames smear slides
NEAR = 0.05  # of a period: where its refinement is looked for
ONSET = 0.02  # of the peak: a frame that is half silence has its pitch bent
ALIKE = 0.5  # correlation of a frame with itself a period later, below which it has no pitch
AS_ALIKE = 0.01  # of recorded notes and a fraction of their period, 0.1 and more lack
STEADY_SEMITONES = 0.03


def track_f0(audio: Tensor, sample_rate: float, lowest_hz: float = 34.3, highest_hz: float = 480.0) -> Tensor:
    """The fundamental frequency of one note at each of its samples, by YIN.

    The lag, of those from 1/highest_hz to 1/lowest_hz, whose cumulative mean normalised difference has the first trough
    below 0.15, or else the least; then that within 5 % of it at which the sound correlates best with itself. Below 3 kHz
    only, in frames of 1.5 of the longest periods, 120 of them a second, from where the note has 2 % of its peak. Then the
    median of three frames. A track whose standard deviation is below 0.03 semitone is its median; any other is interpolated
    between the frames' centres, in semitones. Frames without pitch (silence, noise) take that of their neighbours.

    Args:
        audio: `(time,)`, from where the note starts to where it is cut off; at least a frame, 44 ms.
        sample_rate: in Hz.
        lowest_hz, highest_hz: between which the pitch is looked for; by default MIDI 25 to 71.

    Returns:
        `(time,)`, Hz, float64, on the CPU.

    Raises:
        ValueError: not one note, too short, without pitch or with one outside the range, or a range that the sample rate
            cannot have; also when librosa is not installed.

    Source: de Cheveigné and Kawahara, "YIN, a fundamental frequency estimator for speech and music", JASA 111, 2002;
    `librosa.yin`.

    >>> note = torch.sin(2 * torch.pi * 110 / 48000 * torch.arange(6000.0))
    >>> round(float(track_f0(note, 48000)[0]), 1)
    110.0
    """
    frame = shortest_note(sample_rate, lowest_hz)
    _check_note(audio, sample_rate, frame, lowest_hz, highest_hz)
    hop = max(1, round(HOP_S * sample_rate))
    low = _low_passed(audio.detach().cpu().double().numpy(), sample_rate)
    start = min(_onset(low), len(low) - frame)
    low = low[start:]
    rough = _yin(low, sample_rate, lowest_hz, highest_hz, frame, hop)
    periods, alike = _refined(low, sample_rate / rough, frame, hop)
    pitched = alike > ALIKE
    if not pitched.any():
        raise ValueError(f"no pitch between {lowest_hz:g} and {highest_hz:g} Hz was found: noise, a chord or a drum?")
    best = int(alike.argmax())
    _check_not_higher(low[best * hop : best * hop + frame], periods[best], alike[best], sample_rate, highest_hz)
    centres = (start + frame / 2 + hop * np.arange(len(periods)))[pitched]
    semitones = _median_of_three(12 * np.log2(sample_rate / periods[pitched]))
    if semitones.std() < STEADY_SEMITONES:
        semitones = np.full_like(semitones, np.median(semitones))
    return torch.from_numpy(2 ** (np.interp(np.arange(len(audio)), centres, semitones) / 12))


def shortest_note(sample_rate: float, lowest_hz: float = 34.3) -> int:
    """Samples that :func:`track_f0` needs: a frame.

    >>> shortest_note(48000)
    2100
    """
    return math.ceil(FRAME_PERIODS * sample_rate / lowest_hz)


def oscillator_phase(audio: Tensor, f0_hz: Tensor, note_on: Tensor, sample_rate: float) -> Tensor:
    """The phase at which an oscillator of known pitch has to start to be in step with a recorded note's fundamental.

        φ = arg Σ y[n] sin²(π n/N_on) e^{−jψ[n]},   ψ[n] = Σ_{i ≤ n} 2π f0[i]/Fs

    so that y = A cos(ψ + φ), A > 0, gives φ; a larger φ is earlier. ψ has the first sample's step in it, ψ[0] = 2π f0[0]/Fs,
    as `cumsum` has. A note whose fundamental is −sin ψ gives π/2, one upside down π more.

    Args:
        audio: `(..., time)`.
        f0_hz: `(..., time)`, Hz.
        note_on: `(...)`, samples until the note is cut off, N_on; from 1 to time.
        sample_rate: in Hz.

    Returns:
        `(...)`, radians in (−π, π], float64.

    Raises:
        ValueError: shapes that do not agree, or a note_on beyond the audio.

    >>> psi = torch.cumsum(torch.full((6000,), 2 * torch.pi * 100 / 48000), -1)
    >>> phase = oscillator_phase(torch.cos(psi + 1), torch.full((6000,), 100.0), torch.tensor(6000), 48000)
    >>> round(float(phase), 2)
    1.0
    """
    _check_notes(audio, f0_hz, note_on)
    psi = torch.cumsum(2 * torch.pi / sample_rate * f0_hz.double(), dim=-1)
    n = torch.arange(audio.shape[-1], dtype=torch.float64, device=audio.device)
    until = note_on.unsqueeze(-1)
    window = torch.where(n < until, torch.sin(torch.pi * n / until).square(), 0.0)
    return torch.angle((audio.double() * window * torch.polar(torch.ones_like(psi), -psi)).sum(-1))


def _low_passed(y: np.ndarray, sample_rate: float) -> np.ndarray:
    """Without delay: a windowed sinc, 128 samples long at 48 kHz."""
    half = round(LOW_PASS_S / 2 * sample_rate)
    cutoff = min(LOW_PASS_HZ / sample_rate, 0.5)
    sinc = np.sinc(2 * cutoff * np.arange(-half, half + 1)) * np.hanning(2 * half + 3)[1:-1]
    return np.convolve(y, sinc / sinc.sum(), "same")


def _onset(y: np.ndarray) -> int:
    return int(np.argmax(np.abs(y) > ONSET * np.abs(y).max()))


def _yin(y: np.ndarray, sample_rate: float, lowest: float, highest: float, frame: int, hop: int) -> np.ndarray:
    librosa = needed("librosa")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # it wants two of the longest periods in a frame
        return librosa.yin(
            y,
            fmin=lowest,
            fmax=highest,
            sr=sample_rate,
            frame_length=frame,
            hop_length=hop,
            trough_threshold=TROUGH,
            center=False,
        )


def _refined(y: np.ndarray, periods: np.ndarray, frame: int, hop: int) -> tuple[np.ndarray, np.ndarray]:
    """Periods in samples where each frame is most like itself a period later, near those given; and that correlation.

    librosa's difference function runs over fewer samples at longer lags, which draws its troughs: of narrow pulses by 3 %.
    """
    found = [_peak(y[i * hop : i * hop + frame], period) for i, period in enumerate(periods)]
    refined, alike = np.array(found).T
    return refined, alike


def _peak(part: np.ndarray, period: float) -> tuple[float, float]:
    """The period near one given at which a part is most like itself, and that correlation; 0 where it has no peak there."""
    lags = np.arange(math.floor((1 - NEAR) * period) - 1, math.ceil((1 + NEAR) * period) + 2)
    correlation = _correlation(part, lags)
    best = int(correlation.argmax())
    if not 0 < best < len(lags) - 1:
        return period, 0.0
    before, top, after = correlation[best - 1 : best + 2]
    return lags[best] + 0.5 * (before - after) / (before - 2 * top + after), top


def _check_not_higher(part: np.ndarray, period: float, alike: float, sample_rate: float, highest_hz: float) -> None:
    """YIN finds a multiple of a period that is too short for it: then a fraction of what it found does as well."""
    first, last = math.floor(period * highest_hz / sample_rate) + 1, math.floor(period * LOW_PASS_HZ / sample_rate)
    for parts in range(max(first, 2), last + 1):
        if _peak(part, period / parts)[1] > alike - AS_ALIKE:
            raise ValueError(f"its pitch lies above {highest_hz:g} Hz, up to which pitches are tracked")


def _correlation(part: np.ndarray, lags: np.ndarray) -> np.ndarray:
    """Of a part's beginning with equally much of it after each lag, from −1 to 1; 0 in silence."""
    width = len(part) - int(lags[-1])
    first, later = part[:width], np.lib.stride_tricks.sliding_window_view(part, width)[lags]
    power = np.sqrt((first @ first) * np.square(later).sum(axis=-1))
    return np.divide(later @ first, power, out=np.zeros(len(lags)), where=power > 0)


def _median_of_three(x: np.ndarray) -> np.ndarray:
    """The ends stay, where a slide is seen best."""
    if len(x) < 3:
        return x
    medians = np.median(np.lib.stride_tricks.sliding_window_view(x, 3), axis=-1)
    return np.concatenate([x[:1], medians, x[-1:]])


def _check_note(audio: Tensor, sample_rate: float, frame: int, lowest_hz: float, highest_hz: float) -> None:
    if not 0 < lowest_hz < highest_hz <= sample_rate / 2:
        raise ValueError(
            f"need 0 < lowest_hz < highest_hz ≤ half the sample rate, got {lowest_hz:g} and {highest_hz:g} Hz "
            f"at {sample_rate:g} Hz"
        )
    if audio.ndim != 1:
        raise ValueError(f"audio must be one note, (time,), got {tuple(audio.shape)}")
    if len(audio) < frame:
        raise ValueError(
            f"the note sounds for {1000 * len(audio) / sample_rate:.0f} ms ({len(audio)} samples); to track pitches from "
            f"{lowest_hz:g} Hz, it needs {1000 * frame / sample_rate:.0f} ms ({frame} samples)"
        )


def _check_notes(audio: Tensor, f0_hz: Tensor, note_on: Tensor) -> None:
    if audio.shape != f0_hz.shape or audio.shape[:-1] != note_on.shape or not audio.ndim:
        raise ValueError(
            "audio and f0_hz must be (..., time) and note_on (...), "
            f"got {tuple(audio.shape)}, {tuple(f0_hz.shape)} and {tuple(note_on.shape)}"
        )
    if not ((note_on >= 1) & (note_on <= audio.shape[-1])).all():
        raise ValueError(f"note_on must be from 1 to {audio.shape[-1]} samples, got {note_on.tolist()}")
