"""Cross spectra of a dry and a wet recording whose frames lie on a line of delays: Welch's method along a drifting clock."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

FRAME = 8192  # samples, under a Hann window
HOP = 2048
FAIR = 0.03  # of a bin's mean power: frames that are louder count alike, so that one note does not stand for an LFO's period


@dataclass(frozen=True)
class Line:
    """A delay that grows evenly: level + slope · (n − middle) samples at sample n of the dry signal."""

    level: float
    slope: float = 0.0
    middle: float = 0.0

    def at(self, n: Tensor) -> Tensor:
        return self.level + self.slope * (n - self.middle)


@dataclass(frozen=True)
class CrossSpectra:
    """Weighed sums over a segment's frames, `(segments, bins)`: of Y conj(X), |X|² and |Y|²; `centres` in samples."""

    cross: Tensor
    dry: Tensor
    wet: Tensor
    centres: Tensor

    @property
    def whole(self) -> CrossSpectra:
        """All segments as one."""
        cross, dry, wet = (part.sum(0, keepdim=True) for part in (self.cross, self.dry, self.wet))
        return CrossSpectra(cross, dry, wet, self.centres.double().mean()[None])

    def segment(self, i: int) -> CrossSpectra:
        only = slice(i, i + 1)
        return CrossSpectra(self.cross[only], self.dry[only], self.wet[only], self.centres[only])

    @property
    def coherence(self) -> Tensor:
        """|Σ Y conj(X)|² / (Σ |X|² Σ |Y|²), from 0 to 1; 0 where either is silent."""
        power = self.dry * self.wet
        return (self.cross.abs().square() / power.clamp_min(torch.finfo(power.dtype).tiny)).clamp_max(1.0)


def cross_spectra(dry: Tensor, wet: Tensor, line: Line, segment: int, most: int, fair: bool = True) -> CrossSpectra:
    """The cross spectra of segments, each frame of wet as much later than its frame of dry as a line says.

    Frames are taken at whole samples, and what is left of the delay is taken out of their phases: P ← P e^{jωr}.

    Args:
        dry, wet: `(time,)`.
        line: the delays.
        segment: samples of a segment, at least a frame.
        most: segments at most, evenly spread where there are more.
        fair: whether frames count alike at a frequency, however loud dry is in them there; otherwise by dry's power.

    Raises:
        ValueError: no segment lies in both signals.

    Source: Welch, IEEE Trans. Audio and Electroacoustics 15, 1967; Bendat and Piersol, "Random Data".
    """
    starts = _segments(len(dry), len(wet), line, segment, most)
    if not len(starts):
        raise ValueError(f"no {segment} samples of both signals lie beside each other at a delay of {line.level:.0f}")
    window = torch.hann_window(FRAME, dtype=torch.float64)
    within = torch.arange(0, segment - FRAME + 1, HOP)
    omega = 2 * torch.pi * torch.arange(FRAME // 2 + 1, dtype=torch.float64) / FRAME
    sums = []
    for start in starts:
        frames = start + within
        delays = line.at(frames + FRAME / 2)
        whole = delays.round()
        x, y = (_spectra(signal, at, window) for signal, at in ((dry, frames), (wet, frames + whole.long())))
        turned = y * x.conj() * torch.polar(torch.ones(()).double(), (delays - whole)[:, None] * omega)
        power = x.abs().square()
        weights = (
            1 / (power + FAIR * power.mean(0) + torch.finfo(torch.float64).tiny) if fair else torch.ones_like(power)
        )
        sums.append(tuple((weights * part).sum(0) for part in (turned, power, y.abs().square())))
    cross, power, wet_power = (torch.stack(part) for part in zip(*sums, strict=True))
    return CrossSpectra(cross, power, wet_power, starts + segment / 2)


def _segments(dry: int, wet: int, line: Line, segment: int, most: int) -> Tensor:
    """Where they begin: side by side as far as both signals go."""
    starts = torch.arange(0, dry - segment + 1, segment)
    delays = torch.stack([line.at(starts), line.at(starts + segment)])
    inside = (starts + delays.amin(0) >= 1) & (starts + segment + delays.amax(0) <= wet - 1)
    starts = starts[inside]
    if len(starts) > most:
        starts = starts[torch.linspace(0, len(starts) - 1, most).round().long()]
    return starts


def _spectra(signal: Tensor, starts: Tensor, window: Tensor) -> Tensor:
    return torch.fft.rfft(signal[starts[:, None] + torch.arange(FRAME)] * window)
