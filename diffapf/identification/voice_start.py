"""A vocoder's values at which it sounds like a recording already, from what WORLD hears in it.

The glottal source of R_d = 1 has the power density |C(f/f₀)|² (Fs/f₀)², C a table's Fourier coefficients. The all-pole
filter is that which linear prediction makes of the voiced part of the envelope divided by it, the noise what the filter
leaves of the rest. Then gains are corrected until frames are as loud as the recording's.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from diffapf.filters.design import denominator_from_reflection
from diffapf.identification.voice_analysis import VoiceAnalysis
from diffapf.synths.glottal import glottal_pulse
from diffapf.synths.linear_prediction import predicted
from diffapf.synths.vocal_tract import MARGIN
from diffapf.synths.vocoder import NATURAL, Vocoder
from diffapf.synths.voice_filters import SpectralFilter, at_bins

NORMAL_RD = 1.0
LAG_WINDOW_HZ = 90.0
UNVOICED_LEVEL = -5.0  # natural logarithm
LEAST_POWER = 1e-12
HARMONICS = 400
HOLE = 0.3  # natural logarithm: noise does not make up for more that a filter's response has too little
HEADROOM = 0.7  # natural logarithm, of the loudest harmonic


@dataclass(frozen=True)
class Envelopes:
    """Power densities over the analysis' bins, `(frames, bins)`."""

    voiced: Tensor
    noise: Tensor


def envelopes(analysis: VoiceAnalysis) -> Envelopes:
    share = torch.where(analysis.voiced[:, None], analysis.aperiodicity, torch.ones_like(analysis.aperiodicity)) ** 2
    power = analysis.power.clamp(min=LEAST_POWER)
    # where there is no voice, the filter is made for the noise
    harmonic = torch.where(analysis.voiced[:, None], power * (1 - share).clamp(min=1e-4), power)
    return Envelopes(harmonic, (power * share).clamp(min=LEAST_POWER))


def glottal_power(f0_hz: Tensor, bins: int, sample_rate: float) -> Tensor:
    """The power density of the glottal source of R_d = 1 at pitches `(frames,)`: `(frames, bins)`."""
    points = 4 * HARMONICS
    period = glottal_pulse(NORMAL_RD).at(torch.arange(points, dtype=torch.float64) / points)
    period = period - period.mean()
    period = period / period.square().mean().sqrt()
    levels = torch.log((torch.fft.rfft(period)[1 : HARMONICS + 1].abs() / points).square())
    frequency = torch.linspace(0, sample_rate / 2, bins, dtype=torch.float64)
    place = (frequency / f0_hz[:, None] - 1).clamp(0, HARMONICS - 1.001)
    index = place.long()
    level = torch.lerp(levels[index], levels[index + 1], place - index)
    return torch.exp(level) * (sample_rate / f0_hz[:, None]) ** 2


def sawtooth_power(f0_hz: Tensor, bins: int, sample_rate: float) -> Tensor:
    """The power density of Σ sin(kψ)/k at pitches `(frames,)`: 1/(2 k²) in each f₀ of frequency, `(frames, bins)`."""
    frequency = torch.linspace(0, sample_rate / 2, bins, dtype=torch.float64)
    k = (frequency / f0_hz[:, None]).clamp(min=1)
    return sample_rate / f0_hz[:, None] / (2 * k.square())


@torch.no_grad()
def start_values(model: Vocoder, analysis: VoiceAnalysis) -> dict[str, Tensor]:
    """Values of a vocoder's controls, float32, at its frames."""
    parts, settings = envelopes(analysis), model.settings
    frames = len(analysis.f0_hz)
    found: dict[str, Tensor] = {
        "rd": torch.full((model.frames("rd", (frames - 1) * model.hop),), NORMAL_RD),
        "level_db": NATURAL * torch.where(analysis.voiced, 0.0, UNVOICED_LEVEL).double(),
        "noise": 0.5 * torch.log(parts.noise),
    }
    flat = _without_source(model, analysis, parts.voiced)
    if settings["filter"] in ("sample-wise", "frame-wise"):
        found |= _poles(model, flat, found["noise"])
    elif settings["source"] == "harmonics":
        found |= _harmonics(model, analysis, parts.voiced)
    else:
        found |= _spectra(model, 0.5 * torch.log(flat), found["noise"])
    found["noise"] = at_bins(found["noise"], model.noise.channels)
    flat_controls = {c.name: torch.zeros(frames, c.channels).squeeze(-1) for c in model.controls}
    return {name: found.get(name, nothing).float() for name, nothing in flat_controls.items()}


def _without_source(model: Vocoder, analysis: VoiceAnalysis, power: Tensor) -> Tensor:
    """The envelope over that of the source: pulses have none, nor harmonics all alike, nor noise."""
    of_source = {"glottal": glottal_power, "sawtooth": sawtooth_power}.get(model.settings["source"])
    if of_source is None:
        return power
    source = of_source(analysis.f0_hz, power.shape[1], model.sample_rate)
    return torch.where(analysis.voiced[:, None], power / source, power)


def _poles(model: Vocoder, power: Tensor, log_noise: Tensor) -> dict[str, Tensor]:
    """The filter that linear prediction makes of an envelope, its gain, and the noise before it."""
    k, error = predicted(power, model.settings["order"], LAG_WINDOW_HZ / model.sample_rate)
    found = {
        "tract": torch.atanh((k / (1 - MARGIN)).clamp(-0.9999, 0.9999)),
        "gain_db": NATURAL * 0.5 * torch.log(error),
    }
    if model.structure == "source-filter":
        found["noise"] = log_noise - 0.5 * torch.log(error[:, None] * _response_power(k, power.shape[1]))
    return found


def _spectra(model: Vocoder, log_magnitude: Tensor, log_noise: Tensor) -> dict[str, Tensor]:
    """The filter whose response is nearest to that, and the noise before it."""
    spectra: SpectralFilter = model.filter  # type: ignore[assignment]
    found = {"tract": spectra.nearest(log_magnitude)}
    if model.structure == "source-filter":
        through = at_bins(spectra.log_magnitude(found["tract"]), log_noise.shape[-1])
        found["noise"] = log_noise - through.maximum(log_magnitude - HOLE)
    return found


def _harmonics(model: Vocoder, analysis: VoiceAnalysis, power: Tensor) -> dict[str, Tensor]:
    """Each harmonic's level in the envelope, and the loudest's."""
    bins, count, highest = power.shape[1], model.controls[0].channels, model.sample_rate / 2
    frequency = (analysis.f0_hz[:, None] * torch.arange(1, count + 1)).clamp(max=highest)
    place = frequency / highest * (bins - 1)
    index = place.long().clamp(max=bins - 2)
    logs = 0.5 * torch.log(2 * power)
    levels = torch.lerp(logs.gather(-1, index), logs.gather(-1, index + 1), place - index)
    gain = levels.amax(-1) + HEADROOM
    share = torch.exp(levels - gain[:, None]).clamp(1e-6, 1 - 1e-6)
    return {"harmonics": torch.logit(share), "gain_db": NATURAL * gain}


def as_loud(sound: Tensor, target: Tensor, hop: int, frames: int) -> Tensor:
    """By what natural logarithm each frame of a target is louder than a sound's, `(frames,)`, in four hops around it."""
    levels = []
    for each in (sound, target):
        padded = torch.nn.functional.pad(each, (2 * hop, 2 * hop + frames * hop - each.shape[-1]))
        levels.append(padded.unfold(-1, 4 * hop, hop)[:frames].square().mean(-1).clamp(min=1e-12))
    return 0.5 * torch.log(levels[1] / levels[0])


def _response_power(k: Tensor, bins: int) -> Tensor:
    """|1/A|² over the bins."""
    a = denominator_from_reflection(k)
    return 1 / torch.fft.rfft(a, 2 * (bins - 1)).abs().square()
