"""What `fit_delay` found, as a results folder and its page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from diffapf.identification.delay_fit import DelayFit, fit_delay
from diffapf.identification.echo_times import echo_envelope
from diffapf.identification.prefiltered_pair import Part
from diffapf.report.curves import TIME, series
from diffapf.report.folder import fit_subtitle, heard_tracks, parameter_record, run_record, write_folder

LEVEL = {"label": "level", "unit": "dB"}
SHOWN = 6.0  # times the delay
POINTS = 1200  # of a curve, of which each is the highest of its share
LOWEST_DB = -60.0  # that is drawn


def fit_of_files(dry: Tensor, wet: Tensor, *arguments: Any, **options: Any) -> DelayFit:
    """`fit_delay` of a pair of files, where a mono dry signal comes as two channels that are alike."""
    if dry.dim() == 2 and not torch.equal(dry[0], dry[1]):
        raise ValueError(
            "the dry file is stereo: a ping-pong delay has one input; give what was sent to it as a mono file"
        )
    return fit_delay(dry[0] if dry.dim() == 2 else dry, wet, *arguments, **options)


def metrics(fit: DelayFit, test: Part) -> dict[str, float]:
    """ESRs, and that of the sound itself, without repeats."""
    found = {}
    for name, part in (("test", test), ("train", fit.train)):
        found[f"{name}/esr_plain"] = part.esr(fit.mixed, plain=True)  # type: ignore[arg-type]
        found[f"{name}/esr_prefiltered"] = part.esr(fit.mixed)  # type: ignore[arg-type]
    found["train/esr_without_repeats"] = fit.without
    return found | {f"direct/{channel}": gain for channel, gain in zip(("left", "right"), fit.direct, strict=False)}


@torch.no_grad()
def write_delay_fit(
    folder: Path,
    fit: DelayFit,
    test: Part,
    found: dict[str, float],
    title: str,
    command: str,
    notes: list[str],
) -> Path:
    """Writes preset (of the repeats alone), metrics (`found`), parameters, curves, audio and page, whose path it returns."""
    errors = {estimate.name.removeprefix("delay."): estimate.error for estimate in fit.estimates}
    return write_folder(
        folder,
        fit.delay,
        metrics=found,
        parameters=[
            parameter_record(spec, standard_error=errors.get(spec.name)) for spec in fit.delay.parameters_spec()
        ],
        curves=[_repeats(fit)],
        tracks={
            name: heard_tracks(fit.mixed, part)  # type: ignore[arg-type]
            for name, part in (("train", fit.train), ("test", test))
        },
        sample_rate=round(fit.pair.sample_rate),
        run=run_record(
            title,
            fit_subtitle(fit.train, test),
            command,
            found["train/seconds"],
            headline=("test/esr_plain", "train/esr_without_repeats"),
            findings=(f"Identified: {fit.findings[0]}.", *fit.findings[1:]),
            notes=notes,
        ),
    )


def _repeats(fit: DelayFit) -> dict[str, Any]:
    longest = min(SHOWN * float(fit.delay.time_ms()) / 1000, fit.train.stop_s - fit.train.start_s)
    rate, dry = fit.pair.sample_rate, fit.train.dry
    heights = [_thinned(echo_envelope(dry, wet, rate, longest)) for wet in (fit.train.wet, fit.mixed(dry))]
    times = torch.linspace(0, longest, len(heights[0]), dtype=torch.float64)
    levels = [20 * torch.log10(each / heights[0].max()) for each in heights]
    return {
        "title": "Repeats",
        "x": TIME,
        "y": LEVEL,
        "series": [
            series(name, times, level.clamp_min(LOWEST_DB), style)
            for name, level, style in zip(("recording", "model"), levels, ("line", "dashed"), strict=True)
        ],
        "caption": "The envelope of the response from dry to wet around 1500 Hz, without the sound itself, in dB of the "
        "recording's loudest repeat.",
    }


def _thinned(heights: Tensor) -> Tensor:
    """The highest of each few."""
    together = max(1, len(heights) // POINTS)
    return heights[: len(heights) // together * together].unflatten(0, (-1, together)).amax(1)
