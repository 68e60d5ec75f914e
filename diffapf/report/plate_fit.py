"""A recorded impulse response as a results folder: the plate that was fitted to it, figures, and the page made of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from diffapf import audio
from diffapf.identification.plate_fit import PlateFit, fit_plate
from diffapf.losses.multi_resolution import MultiResolutionLoss
from diffapf.report.curves import HERTZ, LEVEL, T60, TIME, energy_left, series
from diffapf.report.folder import parameter_record, run_record, write_folder

LOWEST_SHOWN_HZ = 1.0
SIXTY_DB = math.log(1000.0)


@dataclass(frozen=True)
class FittedResponse:
    """What came of a response: `metrics` as in `metrics.json`, `page` the report's path, `summary` its words."""

    fit: PlateFit
    metrics: dict[str, float]
    page: Path
    summary: str


def fit_response(
    recording: audio.Recording,
    folder: Path,
    title: str,
    command: str,
    progress: Callable[[str, float], None] | None = None,
    **options: Any,
) -> FittedResponse:
    """Fits a plate to a recorded impulse response and writes preset, metrics and report into a folder.

    Args:
        recording: mono, or of two channels that are the same.
        title, command: what the page is called, and what made it.
        progress, options: as `fit_plate` takes them.

    Raises:
        ValueError: a stereo recording; as `fit_plate`. Nothing is written then.
    """
    channels = recording.samples
    if len(channels) > 1 and (channels[0] != channels[1]).any():
        raise ValueError(
            f"{recording.path} is stereo: a plate is heard at one place; export each channel as a file, and fit them apart"
        )
    fit = fit_plate(torch.from_numpy(channels[0]), recording.sample_rate, progress=progress, **options)
    found = metrics(fit)
    return FittedResponse(fit, found, write_plate_fit(folder, fit, title, command), summary(fit))


@torch.no_grad()
def metrics(fit: PlateFit) -> dict[str, float]:
    """How near it comes over the first second, by MSS over all of it, at a peak of 1; and how much it took."""
    response = fit.response / fit.response.abs().max()
    prediction = _rendered(fit) / fit.response.abs().max()
    return {
        "response/lsd_db": fit.lsd_db,
        "response/mss": float(MultiResolutionLoss()(prediction, response)),
        "response/esr": fit.esr,
        "modes": len(fit.plate.modes),
        "modes/separate": fit.separate,
        "train/seconds": round(fit.seconds, 1),
    }


def summary(fit: PlateFit) -> str:
    """In words for a terminal."""
    at_0, at_500 = (SIXTY_DB / float(fit.law.at(torch.tensor(f))) for f in (0.0, 500.0))
    lines = [
        f"a plate of {len(fit.plate.modes)} modes, {fit.separate} of them one by one: log-spectral distance "
        f"{fit.lsd_db:.3f} dB, ESR {10 * math.log10(max(fit.esr, 1e-30)):.1f} dB",
        f"it rings for {at_0:.2f} s at 0 Hz and {at_500:.2f} s at 500 Hz (60 dB): "
        f"σ = {fit.law.a:.4g} + {fit.law.b:.4g} f²",
    ]
    return "\n".join([*lines, *fit.findings])


@torch.no_grad()
def write_plate_fit(folder: Path, fit: PlateFit, title: str, command: str) -> Path:
    """Writes preset, metrics, audio and page; returns the page's path."""
    prediction = _rendered(fit)
    return write_folder(
        folder,
        fit.plate,
        metrics=metrics(fit),
        parameters=[parameter_record(spec) for spec in fit.plate.parameters_spec()],
        curves=_curves(fit, prediction),
        tracks={"response": {"target": fit.response[None], "prediction": prediction[None]}},
        sample_rate=int(fit.sample_rate),
        run=run_record(
            title,
            f"{len(fit.plate.modes)} modes · sub-band ESPRIT, then least squares",
            command,
            fit.seconds,
            headline=("response/lsd_db", "response/esr", "modes"),
            findings=summary(fit).splitlines(),
        ),
    )


def _rendered(fit: PlateFit) -> Tensor:
    """The plate's response, as long as the recording."""
    return fit.plate.impulse_response(len(fit.response) / fit.sample_rate)


def _curves(fit: PlateFit, prediction: Tensor) -> list[dict[str, Any]]:
    modes, separate = fit.plate.modes, fit.separate
    frequency, times = modes.frequency_hz[:separate], SIXTY_DB / modes.decay[:separate]
    shown = frequency >= LOWEST_SHOWN_HZ
    line = torch.logspace(0, math.log10(0.45 * fit.sample_rate), 200, dtype=torch.float64)
    return [
        {
            "title": "Decay",
            "x": HERTZ,
            "y": T60,
            "series": [
                series("modes found one by one", frequency[shown], times[shown], "points"),
                series("σ = a + b f²", line, SIXTY_DB / fit.law.at(line)),
            ],
            "caption": "How long modes ring until they are 60 dB lower. Above the last point the law stands for all.",
        },
        {
            "title": "Energy left",
            "x": TIME,
            "y": LEVEL,
            "series": [
                series(name, *energy_left(response, fit.sample_rate), style)
                for name, response, style in (("target", fit.response, "line"), ("prediction", prediction, "dashed"))
            ],
            "caption": "Of the response from each time on.",
        },
    ]
