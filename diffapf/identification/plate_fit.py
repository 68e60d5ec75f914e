"""A modal plate fitted to its recorded impulse response.

Low modes stand apart: ESPRIT finds them one by one. Their decays give the plate's law σ = a + b f². Higher up modes overlap, and
no method tells them from each other; there a grid of modes with the law's decays, so dense that between two of them nothing is
left, makes the same sound. All gains are solved for together.

Source: the 1st DAFx Parameter Estimation Challenge (plates, decays); ESPRIT: see `damped_modes`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from diffapf.effects.plate import Plate
from diffapf.effects.simply_supported_plate import Modes
from diffapf.identification.damped_modes import modes_in_band
from diffapf.identification.modal_gains import modal_gains
from diffapf.losses import ESR
from diffapf.metrics import log_spectral_distance

MODES = 2000
SPLIT_HZ = 600.0
LOWEST_HZ, BAND_HZ = -8.0, 20.0  # modes down to 0 Hz are heard by their mirror images
DENSITY = 0.4  # of the grid, in widths σ/π
FITTED_S = 0.95
SHORTEST_S = 1.0
HIGHEST = 0.45  # of the sample rate
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
        response: the recording, `(time,)`, float64, from its first sample that is not 0.
        sample_rate: in Hz.
        separate: how many modes were found one by one; the others are the grid's.
        law: of the decays.
        delay: how many samples the recording begins with that are 0, which the plate leaves out.
        lsd_db: log-spectral distance over the first 0.95 s.
        esr: of the waveform there.
        findings: in words.
    """

    plate: Plate
    response: Tensor
    sample_rate: float
    separate: int
    law: DecayLaw
    delay: int
    lsd_db: float
    esr: float
    seconds: float
    findings: list[str]


def fit_plate(
    response: Tensor,
    sample_rate: float,
    modes: int = MODES,
    split_hz: float = SPLIT_HZ,
    progress: Progress | None = None,
) -> PlateFit:
    """Fits a plate to its impulse response.

    Args:
        response: `(time,)`, at least a second; computed in float64.
        sample_rate: in Hz.
        modes: at most so many.
        split_hz: below, modes are found one by one; above, a grid stands for them.
        progress: called with the name of a stage that begins, and the fraction of the whole that is done, 0 … 1.

    Raises:
        NotAPlateError: a ValueError that says in words why nothing was fitted.
        ValueError, TypeError: a response of another shape, with NaN, or too short; other arguments that make no sense.
    """
    report = progress or (lambda stage, fraction: None)
    began = time.perf_counter()
    _check(response, sample_rate, modes, split_hz)
    whole = response.detach().double()
    delay = int(whole.nonzero()[0])
    heard = whole[max(delay - 1, 0) :]
    if len(heard) < SHORTEST_S * sample_rate:
        raise ValueError(f"after its silent beginning the response has {len(heard) / sample_rate:.2f} s; it needs 1 s")
    frequency, decay = _separate_modes(heard, sample_rate, split_hz, report)
    law = decay_law(frequency, decay)
    report("gains of all modes", 0.6)
    highest = HIGHEST * sample_rate
    if len(frequency) >= modes:
        raise NotAPlateError(
            f"{len(frequency)} modes below {split_hz:g} Hz are more than {modes}: allow more, or lower split_hz"
        )
    grid = _grid(law, split_hz, highest, modes - len(frequency))
    every = torch.cat([frequency, grid])
    decays = torch.cat([decay, law.at(grid)])
    exponents = torch.complex(-decays, 2 * math.pi * every) / sample_rate
    fitted = heard[: round(FITTED_S * sample_rate)]
    gains = modal_gains(fitted, exponents, torch.arange(len(every)) >= len(frequency))
    report("comparing", 0.95)
    plate = Plate(sample_rate, Modes(every, decays, gains * sample_rate))
    with torch.no_grad():
        found = plate.impulse_response(FITTED_S)
    lsd = log_spectral_distance(found, fitted, sample_rate)
    esr = float(ESR()(found, fitted))
    return PlateFit(
        plate,
        heard,
        sample_rate,
        len(frequency),
        law,
        delay,
        lsd,
        esr,
        time.perf_counter() - began,
        [],
    )


def decay_law(frequency_hz: Tensor, decay: Tensor) -> DecayLaw:
    """a and b ≥ 0 of σ = a + b f², by least absolute relative errors: what is no mode of the plate is outvoted."""
    columns = torch.stack([torch.ones_like(frequency_hz), frequency_hz.square()], 1)
    weights = 1 / decay
    for _ in range(30):
        a, b = torch.linalg.lstsq(columns * weights[:, None], (decay * weights)[:, None]).solution[:, 0].tolist()
        left = ((decay - a - b * frequency_hz.square()) / decay).abs()
        weights = 1 / decay / left.clamp_min(1e-5).sqrt()
    return DecayLaw(a, b)


def _separate_modes(x: Tensor, sample_rate: float, split_hz: float, report: Progress) -> tuple[Tensor, Tensor]:
    bands = max(1, math.ceil((split_hz - LOWEST_HZ) / BAND_HZ))
    edges = torch.linspace(LOWEST_HZ, split_hz, bands + 1).tolist()
    found = []
    for i, (low, high) in enumerate(zip(edges, edges[1:], strict=False)):
        report("modes one by one", 0.6 * i / bands)
        found.append(modes_in_band(x, sample_rate, low, high))
    frequency, decay = (torch.cat(parts) for parts in zip(*found, strict=True))
    if len(frequency) < 2:
        raise NotAPlateError(f"there are no modes below {split_hz:g} Hz: is this the impulse response of a plate?")
    return frequency, decay


def _grid(law: DecayLaw, lowest: float, highest: float, most: int) -> Tensor:
    """Frequencies spaced by DENSITY · σ/π, or wider where there would be too many."""
    points = [lowest]
    while points[-1] < highest:
        points.append(points[-1] + DENSITY * (law.a + law.b * points[-1] ** 2) / math.pi)
    grid = torch.tensor(points, dtype=torch.float64)
    if len(grid) > most:
        places = torch.linspace(0, len(grid) - 1, most, dtype=torch.float64)
        below = places.long().clamp_max(len(grid) - 2)
        grid = grid[below] + (places - below) * (grid[below + 1] - grid[below])
    return grid


def _check(response: Tensor, sample_rate: float, modes: int, split_hz: float) -> None:
    pass
