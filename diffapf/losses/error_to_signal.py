"""The error-to-signal ratio, and a loss behind a filter."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from diffapf.filters.fir import fir
from diffapf.filters.iir import lfilter

PREFILTER = (1.0, -1.0), (1.0, -0.995)  # b and a of a high-pass that takes away an offset


def esr(prediction: Tensor, target: Tensor, pre_emphasis: float = 0.0) -> Tensor:
    """The error-to-signal ratio Σ(y − ŷ)²/Σy² over all samples and channels: 0.01 is 1 %, −20 dB.

    Args:
        prediction, target: ŷ and y, of one shape, `(..., time)`.
        pre_emphasis: c of a filter 1 − c z⁻¹ over both first; 0: none, as in the DAFx 2024 paper.

    Raises:
        ValueError: shapes differ.

    >>> esr(torch.tensor([1.0, 1.0]), torch.tensor([1.0, 2.0]))
    tensor(0.2000)
    """
    if prediction.shape != target.shape:
        raise ValueError(f"prediction {tuple(prediction.shape)} and target {tuple(target.shape)} must have one shape")
    if pre_emphasis:
        taps = target.new_tensor([1.0, -pre_emphasis])
        prediction, target = fir(prediction, taps), fir(target, taps)  # type: ignore[assignment]
    energy = torch.linalg.vector_norm(target).square()  # no array of squares, which for long signals is felt
    error = torch.nn.functional.mse_loss(prediction, target, reduction="sum")
    return error / energy.clamp_min(torch.finfo(target.dtype).tiny)


LEAST_ESR = 1e-6
PRE_EMPHASIS = 0.95


def log_esr(prediction: Tensor, target: Tensor, pre_emphasis: float = 0.0) -> Tensor:
    """ln(1 + ESR/10⁻⁶): however near, getting nearer by as many decibels counts as much; nothing does below −60 dB.

    >>> log_esr(torch.tensor([1.0]), torch.tensor([1.0]))
    tensor(0.)
    """
    return torch.log1p(esr(prediction, target, pre_emphasis) / LEAST_ESR)


class LogESR(nn.Module):
    """`log_esr` of waveforms, and of waveforms behind 1 − 0.95 z⁻¹, in which high notes count too; by a weight.

    >>> LogESR()(torch.ones(2, 3), torch.ones(2, 3))
    tensor(0.)
    """

    def __init__(self, weight: float = 1.0):
        super().__init__()
        self.weight = weight

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        return self.weight * (log_esr(prediction, target) + log_esr(prediction, target, PRE_EMPHASIS))


class ESR(nn.Module):
    """`esr` as a module: Wright, Damskägg, Välimäki, "Real-time black-box modelling with RNNs", DAFx 2019, eq. 10."""

    def __init__(self, pre_emphasis: float = 0.0):
        super().__init__()
        self.pre_emphasis = pre_emphasis

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        return esr(prediction, target, self.pre_emphasis)


class Prefiltered(nn.Module):
    """A loss of prediction and target behind one fixed filter, Σ bᵢ z⁻ⁱ / Σ aᵢ z⁻ⁱ.

    By default (1 − z⁻¹)/(1 − 0.995 z⁻¹), which takes away an offset: Wright and Välimäki, "Grey-box modelling of dynamic
    range compression", DAFx 2022, and the compressor of the DAFx 2024 paper.

    >>> Prefiltered(nn.L1Loss())(torch.ones(4), torch.zeros(4))
    tensor(0.9925)
    """

    def __init__(self, loss: nn.Module, b: Sequence[float] = PREFILTER[0], a: Sequence[float] = PREFILTER[1]):
        super().__init__()
        self.loss, self.b, self.a = loss, tuple(b), tuple(a)

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        if type(self.loss) is nn.L1Loss and self.loss.reduction == "mean":  # of the error alone: one signal is filtered
            error = self.filtered(prediction - target)[0]
            return error.abs().sum() / error.numel()  # the mean's gradient would be an array of equal numbers
        return self.loss(self.filtered(prediction)[0], self.filtered(target)[0])

    def filtered(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The next block of a signal behind the filter, and the filter's state."""
        return lfilter(x.new_tensor(self.b), x.new_tensor(self.a), x, state, return_zf=True)  # type: ignore[return-value]
