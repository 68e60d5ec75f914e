"""Curves that the pages of several commands and recipes show: their axes, what an LFO does to a phaser, and a gain."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import avg_pool1d

from diffapf.effects.phaser import Phaser
from diffapf.report.folder import HEARD_SECONDS

TIME = {"label": "time", "unit": "s"}
DECIBELS = {"label": "gain reduction", "unit": "dB"}
HERTZ = {"label": "frequency", "unit": "Hz", "scale": "log"}
T60 = {"label": "T60", "unit": "s", "scale": "log"}
LEVEL = {"label": "level", "unit": "dB"}
DECAY_STEP_S = 0.01
GAIN_WINDOW_S = 0.01  # over which a gain is measured
SILENCE = 1e-20  # energy that counts as none


def series(name: str, x: Tensor, y: Tensor, style: str = "line") -> dict[str, Any]:
    """A line of a curve in `curves.json`."""
    return {"name": name, "x": x.tolist(), "y": y.tolist(), "style": style}


def heard_times(start_s: float, stop_s: float) -> Tensor:
    """A hundred times a second over what is heard of a part, counted from the part's beginning."""
    return torch.arange(0.0, min(stop_s - start_s, HEARD_SECONDS), 0.01, dtype=torch.float64)


def notch_curve(phaser: Phaser, start_s: float, stop_s: float) -> dict[str, Any]:
    """Where the notches are over the heard part of the test, drawn on the prediction's spectrogram."""
    shown = heard_times(start_s, stop_s)
    notches = phaser.notches(start_s + shown)
    return {
        "title": "Notches",
        "x": TIME,
        "y": HERTZ,
        "series": [series(f"notch {i + 1}", shown, notch) for i, notch in enumerate(notches.T)],
        "over": "test/prediction",
    }


def short_time_reduction(dry: Tensor, wet: Tensor, sample_rate: float) -> tuple[Tensor, Tensor, Tensor]:
    """(seconds, dB by which the energy of each 10 ms of `wet` is below that of `dry`, that energy of `dry`)."""
    window = round(GAIN_WINDOW_S * sample_rate)
    before, after = (avg_pool1d(x.double().square()[None], window)[0] for x in (dry, wet))
    seconds = (torch.arange(len(before), dtype=torch.float64) + 0.5) * window / sample_rate
    return seconds, 10 * torch.log10(before.clamp_min(SILENCE) / after.clamp_min(SILENCE)), before


def energy_left(response: Tensor, sample_rate: float) -> tuple[Tensor, Tensor]:
    """(seconds, dB of the energy that is still to come) of `(..., time)`, all channels together."""
    energy = response.square().reshape(-1, response.shape[-1]).sum(0)
    left = energy.flip(0).cumsum(0).flip(0)[:: max(1, round(DECAY_STEP_S * sample_rate))]
    times = DECAY_STEP_S * torch.arange(len(left), dtype=torch.float64)
    return times, 10 * torch.log10((left / left[0]).clamp_min(1e-15))
