"""Where the repeats of a delay are in a dry and a wet recording: the envelope of the response between them.

    h = IDFT of Y X*/(|X|² + 10⁻⁴ mean |X|²),   e = |the analytic signal of h within 1500 ± 900 Hz|

summed over channels. A waveform's loss has a minimum in every period, the envelope's has one for each repeat; smeared by
e^(−η|F|), F its own frequency in Hz, it has a slope η/(2π) seconds away. So a time is found from far off by less and less η.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import avg_pool1d, max_pool1d

from diffapf.filters._fft import fast_length
from diffapf.parameters import Range

REGULARISATION = 1e-4  # of the dry signal's mean power
CENTRE_HZ, WIDTH_HZ = 1500.0, 900.0
DIRECT_S = 0.05  # of the response, which belongs to the sound itself
HIGHEST_F = 2000.0  # of the envelope: there the band has nothing
SMEARED = (1.0, 0.002)  # η per Hz, at the beginning and at the end
RATES = (0.06, 0.0006)  # of Adam
STEPS, REPEATS = 220, 3
FLOOR = 4.0  # means of the envelope, below which is noise: there is much of it, and smeared it has a slope too
NEXT_PEAK = 0.25  # of the highest
APART_S = 0.02
LOCAL_S, NEAR_S, QUIET = (
    0.05,
    0.001,
    1e-3,
)  # about a time: the mean of the envelope, its own repeats, what counts as none
CANDIDATES = 12


def echo_envelope(dry: Tensor, wet: Tensor, sample_rate: float, longest_s: float) -> Tensor:
    """e of `(time,)` and `(channels, time)`, without the direct sound: `(longest_s · sample_rate,)`."""
    n = fast_length(2 * dry.shape[-1])
    X, Y = torch.fft.fft(dry.double(), n), torch.fft.fft(wet.double(), n)
    power = X.abs().square()
    H = Y * X.conj() / (power + REGULARISATION * power.mean() + torch.finfo(torch.float64).tiny)
    hertz = torch.fft.fftfreq(n, 1 / sample_rate, dtype=torch.float64, device=X.device)
    band = torch.exp(-((hertz - CENTRE_HZ) / WIDTH_HZ).square() / 2) * (hertz > 0)
    envelope = torch.fft.ifft(H * band).abs().square().sum(0).sqrt()[: round(longest_s * sample_rate)]
    envelope[: round(DIRECT_S * sample_rate)] = 0
    return envelope


def peaks(envelope: Tensor, sample_rate: float, reached_s: tuple[float, float], most: int = 3) -> list[float]:
    """The times in seconds of the highest peaks within a range, highest first.

    Repeats fade, so the highest is the first one's; others are for a spectrum that has holes, and a dry signal that repeats.

    >>> envelope = torch.zeros(100).index_fill(0, torch.tensor([40]), 1.0).index_fill(0, torch.tensor([80]), 0.5)
    >>> peaks(envelope, 100.0, (0.1, 0.9))
    [0.4, 0.8]
    """
    first, last = (round(each * sample_rate) for each in reached_s)
    height = envelope.clone()
    height[:first], height[last + 1 :] = 0, 0
    found: list[float] = []
    threshold = NEXT_PEAK * height.max()
    while len(found) < most and height.max() >= threshold > 0:
        at = int(height.argmax())
        found.append(at / sample_rate)
        height[max(at - round(APART_S * sample_rate), 0) : at + round(APART_S * sample_rate) + 1] = 0
    return found


def prominent_times(envelope: Tensor, sample_rate: float, reached_s: tuple[float, float], most: int = 3) -> list[float]:
    """The times in seconds within a range at which repeats stand out most of a reverberation, with their own repeats.

    A time t counts as much as the envelope at t, 2t and 3t, each over its mean within 50 ms: early reflections are louder
    than a quiet delay, but among many.

    >>> decay = 0.001 * torch.exp(-torch.arange(400.0) / 60)
    >>> decay[80] += 0.0004; decay[160] += 0.0002; decay[15] += 0.0008
    >>> prominent_times(decay, 200.0, (0.05, 1.0), most=1)
    [0.4]
    """
    reach, near = round(LOCAL_S * sample_rate), round(NEAR_S * sample_rate)
    local = avg_pool1d(envelope[None], 2 * reach + 1, 1, reach, count_include_pad=False)[0]
    over = envelope / (local + QUIET * envelope.max()).clamp_min(torch.finfo(envelope.dtype).tiny)
    highest = max_pool1d(over[None], 2 * near + 1, 1, near)[0]

    def counted(seconds: float) -> float:
        first = round(seconds * sample_rate)
        return float(highest[first::first][:REPEATS].sum())

    return sorted(peaks(over, sample_rate, reached_s, CANDIDATES), key=counted, reverse=True)[:most]


def descend_envelope(envelope: Tensor, sample_rate: float, start_s: float, reached_s: tuple[float, float]) -> float:
    """The time in seconds that a descent finds from a start, the envelope smeared less and less.

    Σₖ a f^(k−1) δ(t − k d), k ≤ 3, against e, both times e^(−η|F|) in frequency; η falls geometrically from 1 to 0.002 per
    Hz. Adam moves d within its range, and f; a is solved for. The time is later than the delay's by what a low-pass takes at
    1500 Hz.

    Raises:
        ValueError: a start outside the range, an envelope out of which nothing stands.
    """
    if not reached_s[0] < start_s < reached_s[1]:
        raise ValueError(f"the start must lie between {reached_s[0]:g} and {reached_s[1]:g} s, got {start_s!r}")
    n = 2 * len(envelope)
    F = torch.fft.rfftfreq(n, 1 / sample_rate, dtype=torch.float64, device=envelope.device)
    kept = F <= HIGHEST_F
    standing_out = (envelope.double() - FLOOR * envelope.double().mean()).clamp(min=0)
    if not standing_out.any():
        raise ValueError("there is no repeat: nothing stands out of the envelope's mean")
    F, target = F[kept], torch.fft.rfft(standing_out, n)[kept]
    within, turns = Range(*reached_s), torch.arange(1, REPEATS + 1, dtype=torch.float64)[:, None]
    position = torch.tensor(within.position(start_s), dtype=torch.float64).logit().requires_grad_()
    share = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([position, share])
    for step in range(STEPS):
        part = step / (STEPS - 1)
        smear = torch.exp(-_between(SMEARED, part) * F)
        delay, feedback = within.at(position.sigmoid()), share.sigmoid()
        repeats = feedback ** (turns - 1) * torch.exp(-2j * math.pi * F * turns * delay)
        model, aim = smear * repeats.sum(0), smear * target
        a = (model.conj() * aim).real.sum() / _energy(model)
        loss = _energy(aim - a * model) / _energy(aim)
        for group in optimizer.param_groups:
            group["lr"] = _between(RATES, part)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return float(within.at(position.detach().sigmoid()))


def _energy(spectrum: Tensor) -> Tensor:
    return torch.view_as_real(spectrum).square().sum()  # the gradient of `abs` is not finite where numbers vanish


def _between(ends: tuple[float, float], part: float) -> float:
    return ends[0] * (ends[1] / ends[0]) ** part
