"""A chain's reverberator matched again: many matrices by the early response, where descent on the whole has wrong minima.

    Σ (w ∗ (y − v ∗ h))² = Σ (w ∗ y)² − 2 h·p + h·(R h)

of each side, with v what enters the chain's linear part, y what the reverberator has to give, h its response, w a filter
that whitens v, and p and R the correlations of w ∗ v with w ∗ y and with itself at h's lags. So a step of descent takes what
h is long, not the recording. In a fraction of a second every line feeds every other, and all of the matrix is heard.

Of many matrices the worse are given up early: successive halving (Jamieson and Talwalkar, "Non-stochastic Best Arm
Identification and Hyperparameter Optimization", AISTATS 2016).
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import avg_pool1d, pad

from diffapf.effects.chain import Stage, VocalChain
from diffapf.effects.reverb import CHANNELS, Reverb
from diffapf.filters._fft import fast_length, real_fft
from diffapf.filters.circle_sampling import CircleSampling
from diffapf.filters.network_response import DelayNetwork
from diffapf.parameters import NamedSeries

EARLY_S = 0.4
SMOOTHED_HZ, FAINTEST = 22.0, 1e-3  # how finely v is whitened, and what of its mean power is added before
MATRICES, KEPT = 10, (4, 1)  # random ones, and how many are left after each of
STEPS = (40, 70)  # these
SPREAD = 0.6  # standard deviation of a matrix's numbers
RATE = 0.1  # of Adam: of a matrix's numbers, and of gains, times their rms
MUCH_NEARER = 0.97  # times what the present matrix leaves


@dataclass
class EarlyResponse:
    """The first samples of what a reverberator should give, by correlations with what it is given.

    dry: `(2, time)`, the response without the reverberator. energy: of what it should give. own: the spectrum of a row of R,
    which is even. crossed: p, `(2, time)`.
    """

    stage: Stage
    dry: Tensor
    energy: Tensor
    own: Tensor
    crossed: Tensor

    @staticmethod
    @torch.no_grad()
    def of(stage: Stage, voice: Tensor, wet: Tensor, sample_rate: float) -> EarlyResponse:
        """voice: `(time,)`, v. wet: `(2, time)`, what the whole stage should make of it."""
        length = min(round(EARLY_S * sample_rate), voice.shape[-1])
        silent = replace(stage, network=replace(stage.network, C=torch.zeros_like(stage.network.C)))
        whole = CircleSampling(voice.shape[-1])
        n = 2 * fast_length(voice.shape[-1])
        V, Y = real_fft(voice, n), real_fft(wet - whole(voice[None], silent), n)
        power = V.abs().square()
        half = math.ceil(SMOOTHED_HZ / 2 * n / sample_rate)
        smooth = avg_pool1d(pad(power[None], (half, half), mode="replicate"), 2 * half + 1, 1)[0]
        whiter = 1 / (smooth + FAINTEST * smooth.mean())
        own = torch.fft.irfft(whiter * power, n)[:length]
        around = own.new_zeros(_points(length) + 1 - 2 * length)
        return EarlyResponse(
            stage,
            CircleSampling(length).impulse_response(silent)[:, 0],
            torch.fft.irfft(whiter * Y.abs().square(), n)[:, 0].sum(),
            real_fft(torch.cat([own, around, own[1:].flip(0)]), _points(length)).real,
            torch.fft.irfft(whiter * V.conj() * Y, n)[:, :length],
        )

    def left_by(self, network: DelayNetwork) -> Tensor:
        """What a network leaves of the energy, as a share."""
        length = self.dry.shape[-1]
        response = CircleSampling(length).impulse_response(replace(self.stage, network=network))[:, 0] - self.dry
        played = torch.fft.irfft(real_fft(response, _points(length)) * self.own, _points(length))[:, :length]
        return 1 + (response * (played - 2 * self.crossed)).sum() / self.energy


def rematched_reverb(chain: VocalChain, voice: Tensor, wet: Tensor) -> Reverb | None:
    """The chain's reverberator with another matrix and other gains, if its early response is then much nearer.

    Args:
        chain: stays as it is.
        voice: `(time,)`, what enters its linear part.
        wet: `(2, time)`, what it should give.

    Returns:
        None where what it has leads as near.
    """
    with torch.no_grad():
        stage = chain.stage()
    early = EarlyResponse.of(stage, voice.double(), wet.double(), chain.sample_rate)
    present = _Candidate(copy.deepcopy(chain.reverb), early, chain.reverb)
    others = [_Candidate(_redrawn(chain.reverb, seed), early, chain.reverb) for seed in range(MATRICES)]
    for steps, kept in zip(STEPS, KEPT, strict=True):
        for candidate in (present, *others):
            candidate.descend(steps)
        others = sorted(others, key=lambda other: other.left)[:kept]
    return others[0].reverb if others[0].left < MUCH_NEARER * present.left else None


def _redrawn(reverb: Reverb, seed: int) -> Reverb:
    """With another matrix, fed at random and not yet heard: the gains of a wrong minimum lead back to it."""
    other, generator = copy.deepcopy(reverb), torch.Generator().manual_seed(seed)
    numbers = torch.randn(len(other.mixing), generator=generator, dtype=torch.float64)
    fed = torch.randn(len(other.delays), generator=generator, dtype=torch.float64)
    other.mixing.set(SPREAD * numbers)
    other.entering.set(_rms(reverb.entering) * fed.repeat_interleave(CHANNELS))
    other.leaving.set(torch.zeros(len(other.leaving)))
    return other


def _rms(series: NamedSeries) -> float:
    return float(series().detach().square().mean().sqrt())


class _Candidate:
    """A reverberator, and where its descent is: its matrix and gains move, its decay stays."""

    def __init__(self, reverb: Reverb, early: EarlyResponse, like: Reverb):
        self.reverb, self.early, self.left = reverb, early, math.inf
        moving = (
            (reverb.mixing, RATE),
            (reverb.entering, RATE * _rms(like.entering)),
            (reverb.leaving, RATE * _rms(like.leaving)),
        )
        self.optimizer = torch.optim.Adam([{"params": [series.step], "lr": rate} for series, rate in moving])

    @torch.enable_grad()
    def descend(self, steps: int) -> None:
        for _ in range(steps):
            self.optimizer.zero_grad()
            left = self.early.left_by(self.reverb.network(self.early.stage.network.absorption))
            left.backward()
            self.optimizer.step()
            self.left = left.item()


def _points(length: int) -> int:
    """Of a transform in which `length` samples before and after do not meet."""
    return 2 * fast_length(length)
