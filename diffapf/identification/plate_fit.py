"""A modal plate fitted to its recorded impulse response.

Low modes stand apart: ESPRIT finds them one by one. Their decays give the plate's law σ = a + b f². Higher up modes overlap,
and none is told from the next; there a grid of modes with the law's decays, so dense that there is nothing between two of
them, makes the same sound. All gains are solved for together.

Source: the 1st DAFx Parameter Estimation Challenge (plates, decays); ESPRIT: see `damped_modes`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor

from diffapf.effects.plate import Plate
from diffapf.effects.simply_supported_plate import Modes
from diffapf.identification.damped_modes import modes_in_band
from diffapf.identification.modal_gains import modal_gains
from diffapf.losses import esr
from diffapf.metrics import log_spectral_distance
from diffapf.parameters import is_finite_number

MODES = 2000
SPLITS_HZ = (450.0, 600.0)
FEWEST = 10  # modes
LOWEST_HZ, BAND_HZ = -8.0, 20.0  # modes down to 0 Hz are heard by their mirror images
DENSEST = 0.25  # of the grid, in widths σ/π
COMPARED_S = 0.95
SHORTEST_S = 1.0
ABOVE_NOISE = 20.0  # of a mode's energy, in those of a sample
AS_LAW = 3.0  # times the law's decay, or its part: of modes that are hardly above noise
LAW_ITERATIONS = 30
LEAST = 1e-3  # a, and b f² at the highest mode, in shares of the median decay
HIGHEST = 0.45  # of the sample rate
UNEXPLAINED, CLOSE = 0.5, 0.01  # ESRs: of what is no plate's, and of what is
QUIETEST = 1e-4  # of peaks: −80 dBFS is silence

Progress = Callable[[str, float], None]


class NotAPlateError(ValueError):
    """Nothing in the recording rings; the message says why."""


@dataclass(frozen=True)
class DecayLaw:
    """σ = a + b f², f in Hz, σ in 1/s."""

    a: float
    b: float

    def at(self, frequency_hz: Tensor) -> Tensor:
        return self.a + self.b * frequency_hz.square()


@dataclass(frozen=True)
class PlateFit:
    """The plate, and how near it comes.

    Args:
        plate: whose impulse response is the recording's.
        response: the recording, `(time,)`, float64, without the zeros that it begins with.
        sample_rate: in Hz.
        separate: how many modes were found one by one, which are the plate's first; the others are the grid's.
        split_hz: where the grid begins.
        law: of the decays.
        lsd_db: log-spectral distance over the first 0.95 s.
        esr: of the waveform there.
        findings: in words.
    """

    plate: Plate
    response: Tensor
    sample_rate: float
    separate: int
    split_hz: float
    law: DecayLaw
    lsd_db: float
    esr: float
    seconds: float
    findings: list[str]


def fit_plate(
    response: Tensor,
    sample_rate: float,
    modes: int = MODES,
    splits_hz: Sequence[float] = SPLITS_HZ,
    progress: Progress | None = None,
) -> PlateFit:
    """Fits a plate to its impulse response.

    Args:
        response: `(time,)`, at least a second; computed in float64.
        sample_rate: in Hz.
        modes: at most so many.
        splits_hz: below, modes are found one by one; above, a grid stands for them. The best of these is chosen.
        progress: called with the name of a stage that begins, and the fraction of the whole that is done, 0 … 1.

    Raises:
        NotAPlateError: a ValueError that says in words why nothing was fitted.
        ValueError, TypeError: a response of another shape, with NaN, or too short; other arguments that make no sense.
    """
    report = progress or (lambda stage, fraction: None)
    began = time.perf_counter()
    x, findings = _checked(response, sample_rate, modes, splits_hz)
    frequency, decay, law = _separate_modes(x, sample_rate, max(splits_hz), report)
    fits = []
    for i, split_hz in enumerate(splits_hz):
        report(f"gains, a grid from {split_hz:g} Hz", 0.5 + 0.5 * i / len(splits_hz))
        below = frequency < split_hz
        separate = int(below.sum())
        if separate > modes - FEWEST:
            raise ValueError(
                f"{separate} modes ring below {split_hz:g} Hz, which modes={modes} has no room for: allow "
                f"{separate + FEWEST} at least, better {MODES}"
            )
        grid = _grid(law, split_hz, HIGHEST * sample_rate, modes - separate)
        every = Modes(
            torch.cat([frequency[below], grid]),
            torch.cat([decay[below], law.at(grid)]),
            torch.zeros(separate + len(grid)),
        )
        fits.append(_with_gains(x, sample_rate, every, separate, split_hz, law, findings))
    report("the best of them", 1.0)
    best = min(fits, key=lambda fit: fit.lsd_db)
    left = f"leaves {100 * best.esr:.0f} % of the response's energy"
    if best.esr > UNEXPLAINED:
        raise NotAPlateError(f"the best plate {left}: this rings otherwise, or it is noise")
    if best.esr > CLOSE:
        findings.append(f"The plate {left}: noise, or what no plate does.")
    return replace(best, seconds=time.perf_counter() - began)


def _with_gains(
    x: Tensor, sample_rate: float, modes: Modes, separate: int, split_hz: float, law: DecayLaw, findings: list[str]
) -> PlateFit:
    """The plate of modes whose gains are not known yet, and how near it comes."""
    exponents = torch.complex(-modes.decay, 2 * math.pi * modes.frequency_hz) / sample_rate
    gains = modal_gains(x, exponents, torch.arange(len(modes)) >= separate)
    plate = Plate(sample_rate, replace(modes, gain=gains * sample_rate))
    compared = x[: round(COMPARED_S * sample_rate)]
    with torch.no_grad():
        found = plate.impulse_response(COMPARED_S)
    lsd = log_spectral_distance(found, compared, sample_rate)
    return PlateFit(plate, x, sample_rate, separate, split_hz, law, lsd, float(esr(found, compared)), 0.0, findings)


def decay_law(frequency_hz: Tensor, decay: Tensor, trust: Tensor) -> DecayLaw:
    """a and b of σ = a + b f², positive, by least absolute relative errors: what is no mode of the plate is outvoted."""
    columns = torch.stack([torch.ones_like(frequency_hz), frequency_hz.square()], 1)
    weights = trust / decay
    for _ in range(LAW_ITERATIONS):
        a, b = torch.linalg.lstsq(columns * weights[:, None], (decay * weights)[:, None]).solution[:, 0].tolist()
        left = ((decay - a - b * frequency_hz.square()) / decay).abs()
        weights = trust / decay / left.clamp_min(1e-5).sqrt()
    least = LEAST * float(decay.median())
    return DecayLaw(max(a, least), max(b, least / float(frequency_hz.max()) ** 2))


def _separate_modes(
    x: Tensor, sample_rate: float, split_hz: float, report: Progress
) -> tuple[Tensor, Tensor, DecayLaw]:
    """(f, σ, law) of the modes below split_hz, without those that are noise."""
    bands = max(1, math.ceil((split_hz - LOWEST_HZ) / BAND_HZ))
    edges = torch.linspace(LOWEST_HZ, split_hz, bands + 1).tolist()
    found = []
    for i, (low, high) in enumerate(pairwise(edges)):
        report("modes one by one", 0.5 * i / bands)
        found.append(modes_in_band(x, sample_rate, low, high))
    frequency, decay, energy = (torch.cat(parts) for parts in zip(*found, strict=True))
    if len(frequency) < FEWEST:
        raise NotAPlateError(
            f"only {len(frequency)} modes ring below {split_hz:g} Hz: this is no plate's impulse response, or it is "
            "drowned in noise"
        )
    law = decay_law(frequency, decay, energy / (ABOVE_NOISE + energy))
    expected = decay / law.at(frequency)
    kept = (energy > ABOVE_NOISE) | ((expected > 1 / AS_LAW) & (expected < AS_LAW))
    return frequency[kept], decay[kept], law


def _grid(law: DecayLaw, lowest: float, highest: float, most: int) -> Tensor:
    """Frequencies a constant share of the local width σ/π apart, as many as may be, DENSEST apart at least.

    Widths from 0 Hz to f are ∫ π/σ = π/√(ab) atan(f √(b/a)).
    """
    slope, scale = math.sqrt(law.b / law.a), math.pi / math.sqrt(law.a * law.b)
    first, last = (scale * math.atan(edge * slope) for edge in (lowest, highest))
    count = min(most, int((last - first) / DENSEST))
    widths = first + (last - first) * torch.arange(count, dtype=torch.float64) / count
    return torch.tan(widths / scale) / slope


def _checked(response: Tensor, sample_rate: float, modes: int, splits_hz: Sequence[float]) -> tuple[Tensor, list[str]]:
    """The response from where it begins, in float64, and what was found of it, in words."""
    if not isinstance(response, Tensor) or not response.is_floating_point():
        kind = response.dtype if isinstance(response, Tensor) else type(response).__name__
        raise TypeError(f"response must be a tensor of real samples, got {kind}")
    if response.dim() != 1:
        raise ValueError(
            f"response must be one channel, (time,), got shape {tuple(response.shape)}: fit channels apart"
        )
    if not response.isfinite().all():
        raise ValueError(
            f"response must be finite, but {int((~response.isfinite()).sum())} samples are NaN or infinite"
        )
    if not is_finite_number(sample_rate) or sample_rate <= 0:
        raise ValueError(f"sample_rate must be a positive number, in Hz, got {sample_rate!r}")
    if not isinstance(modes, int) or isinstance(modes, bool) or modes < FEWEST:
        raise ValueError(f"modes must be a whole number, at least {FEWEST}, got {modes!r}")
    highest = HIGHEST * sample_rate
    if not splits_hz or not all(is_finite_number(split) and 0 < split < highest for split in splits_hz):
        raise ValueError(
            f"splits_hz must be frequencies between 0 and {highest:g} Hz, which is {HIGHEST:g} of the sample rate; "
            f"got {splits_hz!r}"
        )
    x = response.detach().double()
    peak = float(x.abs().max()) if len(x) else 0.0
    if peak < QUIETEST:
        raise NotAPlateError(f"the response is silent: its peak is {peak:.2g} of full scale")
    silent = max(0, int(x.nonzero()[0]) - 1)
    if (len(x) - silent) < SHORTEST_S * sample_rate:
        raise NotAPlateError(
            f"the response has {(len(x) - silent) / sample_rate:.2f} s; give it at least {SHORTEST_S:g} s, in which low "
            "modes can be told from each other"
        )
    if not silent:
        return x, []
    return x[silent:], [f"The recording begins with {1000 * silent / sample_rate:.1f} ms of silence, left out."]
