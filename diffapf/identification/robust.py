"""Robust sums of squares: frames whose residuals are much larger than the others' count for less."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

# ρ(q) and its slope, which is a frame's weight; q is the frame's mean square over scale². ρ(q) = q for small q.
RHO = {
    "huber": (
        lambda q: torch.where(q <= 1, q, 2 * q.sqrt() - 1),
        lambda q: q.clamp_min(1).rsqrt(),
    ),
    "cauchy": (
        torch.log1p,
        lambda q: 1 / (1 + q),
    ),
}


class Robust:
    """Replaces Σ r² by Σ over frames of N scale² ρ(q), q = mean(r²)/scale², N the samples in the frame.

    ρ(q) is q up to 1 and 2√q − 1 beyond ("huber"), or log(1 + q) ("cauchy"). A frame well below the scale counts as in
    plain least squares; one far above it hardly moves the fit: a click, a dropout, a second of something else.

    Args:
        scale: the root mean square of a frame from which on it counts for less; in the residuals' unit.
        kind: "huber" or "cauchy".
        frame: samples in a frame, along the last dimension of a block of residuals; the block's last may be shorter.

    Raises:
        ValueError: an argument outside what is said here.

    Source: Huber, "Robust estimation of a location parameter", Annals of Mathematical Statistics 1964; as weights,
    Holland and Welsch 1977.

    >>> cost, weights = Robust(1.0, "huber", frame=2).cost_and_weights(torch.tensor([0.5, 0.5, 3.0, 3.0]))
    >>> float(cost), weights
    (10.5, tensor([1.0000, 1.0000, 0.3333, 0.3333]))
    """

    def __init__(self, scale: float, kind: str = "huber", frame: int = 1):
        if kind not in RHO:
            raise ValueError(f"kind must be one of {sorted(RHO)}, got {kind!r}")
        if isinstance(scale, bool) or not isinstance(scale, (int, float)) or not 0 < scale < float("inf"):
            raise ValueError(f"scale must be a positive number, got {scale!r}")
        if isinstance(frame, bool) or not isinstance(frame, int) or frame < 1:
            raise ValueError(f"frame must be a positive number of samples, got {frame!r}")
        self.scale, self.kind, self.frame = float(scale), kind, frame

    def cost_and_weights(self, residuals: Tensor) -> tuple[Tensor, Tensor]:
        """The cost of `(..., time)`, and each sample's weight ρ′ of the same shape."""
        rho, slope = RHO[self.kind]
        time = residuals.shape[-1]
        frames = -(-time // self.frame)
        squares = pad(residuals.square(), (0, frames * self.frame - time)).unflatten(-1, (frames, self.frame))
        lengths = residuals.new_full((frames,), self.frame)
        lengths[-1:] -= frames * self.frame - time
        q = squares.sum(-1) / (lengths * self.scale**2)
        weights = slope(q)[..., None].expand(squares.shape).flatten(-2)[..., :time]
        return (lengths * rho(q)).sum() * self.scale**2, weights


def theil_sen(t: Tensor, y: Tensor) -> tuple[float, float, float]:
    """A line through points of which many may be wrong: (level at the mean of t, slope, the slope's standard error).

    The slope is the median of all pairs', the level the median of y − slope · (t − mean t); the error is that of least
    squares with the residuals' spread by their median, 1.2533 of it for a median.

    Args:
        t, y: `(points,)`, two at least.

    Source: Theil 1950; Sen, J. American Statistical Association 63, 1968.

    >>> theil_sen(torch.tensor([0.0, 1.0, 2.0, 3.0, 4.0]), torch.tensor([1.0, 3.0, 5.0, 99.0, 9.0]))
    (5.0, 2.0, 0.0)
    """
    i, j = torch.triu_indices(len(t), len(t), 1)
    slope = _middle((y[j] - y[i]) / (t[j] - t[i]))
    around = t - t.mean()
    level = _middle(y - slope * around)
    spread = 1.4826 * _middle((y - level - slope * around).abs())
    return float(level), float(slope), float(1.2533 * spread / around.square().sum().sqrt())


def _middle(values: Tensor) -> Tensor:
    """The median, of an even number the mean of the two in the middle."""
    return values.quantile(0.5)
