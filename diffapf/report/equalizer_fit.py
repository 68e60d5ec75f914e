"""What `fit_equalizer` found, as a results folder and its page."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from diffapf.effects.equalizer import Equalizer
from diffapf.filters.methods import SecondOrderSections
from diffapf.identification.delay_fit import DelayFit
from diffapf.identification.equalizer_fit import EqualizerFit
from diffapf.identification.prefiltered_pair import Part
from diffapf.report.curves import HERTZ, series
from diffapf.report.folder import fit_subtitle, heard_tracks, parameter_record, run_record, write_folder
from diffapf.report.metrics import judge

GAIN = {"label": "gain", "unit": "dB"}
LOWEST_HZ, HIGHEST_HZ, SHOWN = 20.0, 20_000.0, 400  # the frequencies of a curve
LOWEST_DB = -60.0  # that is drawn


def held_out(fit: EqualizerFit | DelayFit, test: tuple[float, float]) -> Part:
    """The part to test on, run through from the recording's start."""
    return fit.pair.part(*test, lead_in_s=test[0])


def metrics(fit: EqualizerFit, test: Part) -> dict[str, float]:
    """ESRs, and what the response differs from the measured one."""
    found = {}
    for name, part in (("test", test), ("train", fit.train)):
        found[f"{name}/esr_plain"] = part.esr(fit.equalizer, plain=True)
        found[f"{name}/esr_prefiltered"] = part.esr(fit.equalizer)
    return found | {"train/response_rms_db": fit.rms_db, "train/response_worst_db": fit.worst_db}


def summary(fit: EqualizerFit | DelayFit, found: dict[str, float]) -> str:
    """The findings, the test's error and the parameters, in words for a terminal."""
    esr = judge(found["test/esr_plain"])
    lines = [*fit.findings, f"test ESR {esr.percent:>10}  ({esr.word})", *(f"  {each}" for each in fit.estimates)]
    return "\n".join(lines)


@torch.no_grad()
def write_equalizer_fit(
    folder: Path,
    fit: EqualizerFit,
    test: Part,
    found: dict[str, float],
    title: str,
    command: str,
    notes: list[str],
) -> Path:
    """Writes preset, metrics (`found`), parameters, curves, audio and page into a folder; returns the page's path."""
    errors = {estimate.name: estimate.error for estimate in fit.estimates}
    return write_folder(
        folder,
        fit.equalizer,
        metrics=found,
        parameters=[
            parameter_record(spec, standard_error=errors[spec.name]) for spec in fit.equalizer.parameters_spec()
        ],
        curves=[_measured_and_found(fit), bands_curve(fit.equalizer)],
        tracks={"train": heard_tracks(fit.equalizer, fit.train), "test": heard_tracks(fit.equalizer, test)},
        sample_rate=round(fit.pair.sample_rate),
        run=run_record(
            title,
            fit_subtitle(fit.train, test),
            command,
            found["train/seconds"],
            headline=("test/esr_plain", "train/response_rms_db"),
            findings=(f"Identified: {fit.verdict}.", *fit.findings[1:]),
            notes=notes,
        ),
    )


def _measured_and_found(fit: EqualizerFit) -> dict[str, Any]:
    measured = fit.measured
    used = measured.used
    frequencies = frequencies_of(fit.equalizer)
    return {
        "title": "Frequency response",
        "x": HERTZ,
        "y": GAIN,
        "series": [
            series("measured", measured.bands.centres[used], measured.gain_db[used], "points"),
            series("model", frequencies, _drawn(fit.equalizer.response(frequencies))),
        ],
        "caption": "Measured: the power of bands of 1/48 octave, wet over dry, where both have some.",
    }


def bands_curve(equalizer: Equalizer) -> dict[str, Any]:
    """The response of each band, and of all."""
    frequencies = frequencies_of(equalizer)
    omega = frequencies * (2 * math.pi / equalizer.sample_rate)
    sections = equalizer.filter().sos
    lines = [
        series(name, frequencies, _drawn(SecondOrderSections(sections[i : i + 1]).response(omega)), "dashed")
        for i, name in enumerate(equalizer.bands)
    ]
    return {
        "title": "Bands",
        "x": HERTZ,
        "y": GAIN,
        "series": [series("all", frequencies, _drawn(equalizer.response(frequencies))), *lines],
        "caption": "Each band alone, and all of them in series.",
    }


def frequencies_of(equalizer: Equalizer) -> Tensor:
    highest = min(HIGHEST_HZ, equalizer.sample_rate / 2)
    return LOWEST_HZ * (highest / LOWEST_HZ) ** torch.linspace(0, 1, SHOWN, dtype=torch.float64)


def _drawn(response: Tensor) -> Tensor:
    return (20 * torch.log10(response.abs())).clamp_min(LOWEST_DB)
