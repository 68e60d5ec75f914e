"""What the page shows of vocal chains: both equalisers, where repeats are, and how the reverberation decays."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from diffapf.effects.chain import VocalChain
from diffapf.filters.circle_sampling import CircleSampling
from diffapf.report.curves import HERTZ, LEVEL, T60, TIME, energy_left, series
from diffapf.report.equalizer_fit import GAIN, LOWEST_DB, frequencies_of
from diffapf.report.repeats import repeats

RESPONSE_S = 4.0
STYLES = {"target": "dashed", "untrained": "dashed"}


@torch.no_grad()
def chain_curves(
    chains: Mapping[str, VocalChain], more: Mapping[str, list[dict[str, Any]]] | None = None
) -> list[dict[str, Any]]:
    """The plots of chains by their names; more: series of the target's, by a plot's title, where it is known."""
    plots = [
        _plot("Equaliser", HERTZ, GAIN, "Of the dry voice.", {n: _gain(c, "equalizer") for n, c in chains.items()}),
        _plot(
            "Delay",
            TIME,
            LEVEL,
            "Each repeat of a click, left and right together, without what the low-pass takes.",
            {n: repeats(c.delay) for n, c in chains.items()},
            "points",
        ),
        _plot("Decay", HERTZ, T60, "Of the reverberation, by 60 dB.", {n: _decay(c) for n, c in chains.items()}),
        _plot(
            "Energy left",
            TIME,
            LEVEL,
            "Of the response behind the compressor, left and right, from each time on.",
            {n: _energy(c) for n, c in chains.items()},
        ),
        _plot("Tone of the reverberation", HERTZ, GAIN, "", {n: _gain(c, "tone") for n, c in chains.items()}),
    ]
    for plot in plots:
        plot["series"] += (more or {}).get(plot["title"], [])
    return plots


def _plot(
    title: str, x: dict, y: dict, caption: str, lines: Mapping[str, tuple[Tensor, Tensor]], style: str = "line"
) -> dict[str, Any]:
    drawn = [
        series(name, *line, style if style == "points" else STYLES.get(name, "line")) for name, line in lines.items()
    ]
    return {"title": title, "x": x, "y": y, "series": drawn, "caption": caption}


def _gain(chain: VocalChain, part: str) -> tuple[Tensor, Tensor]:
    equalizer = getattr(chain, part)
    frequencies = frequencies_of(equalizer)
    return frequencies, equalizer.magnitude_db(frequencies).clamp_min(LOWEST_DB)


def _decay(chain: VocalChain) -> tuple[Tensor, Tensor]:
    times = chain.reverb.decay_s()
    frequencies = torch.linspace(0, 22_050.0, len(times), dtype=torch.float64)
    heard = (frequencies > 0) & (frequencies < chain.sample_rate / 2)
    return frequencies[heard], times[heard]


def _energy(chain: VocalChain) -> tuple[Tensor, Tensor]:
    method = CircleSampling(math.ceil(RESPONSE_S * chain.sample_rate))
    response = method.impulse_response(chain.stage())[:, 0]
    return energy_left(response, chain.sample_rate)
