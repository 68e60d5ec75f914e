"""Coefficients at their own rate: one row a sample, one row a frame (linearly interpolated), or one row for all time.

With the frames' hop L, the coefficients of sample n are those at frame position n/L, interpolated linearly between the
two frames around it; the last frame is held. The kernels interpolate as they run: no audio-rate array of coefficients
exists, forward or backward.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from diffapf.filters._rows import check_signal

Timing = tuple[float, float] | None
LONGEST_HOP = 1e9  # samples; beyond, and for starts as many frames away, a sample's place between frames rounds away


@dataclass(frozen=True)
class ControlRate:
    """Sample n lies at frame position `start + n·step`.

    >>> ControlRate.hop(441, offset=882)
    ControlRate(start=2.0, step=0.0022675736961451248)
    """

    start: float
    step: float

    def __post_init__(self) -> None:
        for name, value in (("start", self.start), ("step", self.step)):
            if not isinstance(value, (int, float)) or not -LONGEST_HOP <= value <= LONGEST_HOP:
                raise ValueError(f"{name} must be a number of frames, at most {LONGEST_HOP:g}, got {value!r}")
        if self.step != 0 and self.step < 1 / LONGEST_HOP:
            raise ValueError(f"step must be positive, at least {1 / LONGEST_HOP:g} frames a sample, got {self.step!r}")

    @classmethod
    def hop(cls, hop: float, offset: float = 0) -> ControlRate:
        """A frame every `hop` samples; the signal's first sample is `offset` samples after frame 0."""
        if not isinstance(hop, (int, float)) or isinstance(hop, bool) or not 1 / LONGEST_HOP <= hop <= LONGEST_HOP:
            raise ValueError(f"hop must be a positive number of samples, at most {LONGEST_HOP:g}, got {hop!r}")
        return cls(offset / hop, 1 / hop)

    @classmethod
    def align_corners(cls, frames: int, length: int) -> ControlRate:
        """The spacing of `interpolate(…, align_corners=True)`: the first and last frames meet the first and last samples."""
        return cls(0.0, (frames - 1) / max(length - 1, 1))


FIXED: Timing = (0.0, 0.0)


def coefficient_rows(
    name: str, coefficients: Tensor, x: Tensor, hop: float | ControlRate | None, share: bool = False
) -> tuple[Tensor, Timing]:
    """Coefficients in any layout as the kernels take them: `(rows, frames, taps)` and the timing of the frames.

    `(taps,)` and `(*batch, taps)` are fixed; `(*batch, time, taps)` is time-varying, or with `hop` at the control rate.
    With `share`, one row of coefficients stands for all.
    """
    check_signal(name, coefficients, x)
    if coefficients.dim() == 0:
        raise ValueError(f"{name} needs its taps as the last dimension, got a scalar")
    taps = coefficients.shape[-1]
    if hop is None and share and coefficients.dim() == 1:
        return coefficients.view(1, 1, taps), FIXED
    if hop is None and x.dim() == 2 and coefficients.shape[:-1] == x.shape:
        return coefficients, None
    batch, rows, time = x.shape[:-1], x.shape[:-1].numel(), x.shape[-1]

    def expanded(*last: int) -> Tensor | None:
        try:
            return coefficients.expand(*batch, *last).reshape(rows, *last)
        except RuntimeError:
            return None

    varying = coefficients.dim() == x.dim() + 1
    if hop is None and varying:
        result, timing = expanded(time, taps), None
        wanted = f"{(*batch, time, taps)} (one row a sample)"
    elif hop is None:
        result = expanded(taps)
        result, timing = None if result is None else result[:, None], FIXED
        wanted = f"({taps},) or {(*batch, taps)} (fixed), or {(*batch, time, taps)} (one row a sample)"
    else:
        rate = hop if isinstance(hop, ControlRate) else ControlRate.hop(hop)
        frames = coefficients.shape[-2] if coefficients.dim() > 1 else 0
        if rate.step == 0 and frames > 1:
            raise ValueError(f"hop is a rate of 0 frames a sample, which reads one frame, but {name} has {frames}")
        result, timing = expanded(frames, taps) if varying and frames else None, (rate.start, rate.step)
        timing = timing if rate.step else FIXED
        wanted = f"{(*batch, 'frames', taps)} (one row a frame, because hop is given)"
    if result is None:
        raise ValueError(
            f"{name} must have shape {wanted} for x of shape {tuple(x.shape)}, got {tuple(coefficients.shape)}"
        )
    return result, timing
