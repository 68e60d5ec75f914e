"""What `fit_compressor` found, as a results folder and its page."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from diffapf.effects.time_constants import CONVENTIONS
from diffapf.identification.compressor_fit import CompressorFit
from diffapf.identification.prefiltered_pair import Part
from diffapf.report.curves import DECIBELS, TIME, series, short_time_reduction
from diffapf.report.folder import (
    HEARD_SECONDS,
    fit_subtitle,
    heard_tracks,
    of_parameters,
    parameter_record,
    run_record,
    write_folder,
)
from diffapf.report.metrics import judge

FROM_THE_START = math.inf  # the lead-in of a test, in s: attacks and releases before it are known
AUDIBLE_DB = -60.0  # of the dry signal, below which a gain says nothing
CONVENTION_WORDS = dict(zip(CONVENTIONS, ("10–90 %, c = 2.2", "63 %, c = 1", "JUCE, c = 2π"), strict=True))


def held_out(fit: CompressorFit, test: tuple[float, float]) -> Part:
    """The part to test on, run through from the recording's start."""
    return fit.pair.part(*test, lead_in_s=FROM_THE_START)


def metrics(fit: CompressorFit, test: Part) -> dict[str, float]:
    """ESRs of pre-filtered and of plain signals; of the structures that were compared, and of a gain alone, pre-filtered."""
    found = {}
    for name, part in (("test", test), ("train", fit.train)):
        found[f"{name}/esr_prefiltered"] = part.esr(fit.compressor)
        found[f"{name}/esr_plain"] = part.esr(fit.compressor, plain=True)
    for row in fit.rows:
        found |= {
            f"{row.name}:test/esr_prefiltered": test.esr(row.compressor),
            f"{row.name}:validation/esr_prefiltered": row.validation_esr,
            f"{row.name}:train/esr_prefiltered": row.train_esr,
        }
    return found | {"a gain alone:train/esr_prefiltered": fit.gain_esr}


def summary(fit: CompressorFit, found: dict[str, float]) -> str:
    """The findings, the test's errors and the parameters, in words for a terminal."""
    convention = CONVENTION_WORDS.get(fit.compressor.smoother.time_convention, "")
    return f"{summary_of_any(fit, found)}\n  times: {convention}"


def summary_of_any(fit: CompressorFit, found: dict[str, float]) -> str:
    """The same of any compressor, without a word on its times."""
    lines = list(fit.findings)
    for name, words in (("prefiltered", "pre-filtered"), ("plain", "plain")):
        esr = judge(found[f"test/esr_{name}"])
        lines.append(f"test ESR {esr.percent:>10}  {words} ({esr.word})")
    return "\n".join([*lines, *(f"  {estimate}" for estimate in fit.estimates)])


@torch.no_grad()
def write_compressor_fit(
    folder: Path,
    fit: CompressorFit,
    test: Part,
    found: dict[str, float],
    title: str,
    command: str,
    notes: list[str],
) -> Path:
    """Writes preset, metrics (`found`), parameters, curves, audio and page into a folder; returns the page's path."""
    curves = [reduction(fit, test, fit.compressor.makeup_db()), static_curve(fit.compressor.curve)]
    return write_fit(folder, fit, test, found, title, command, notes, _parameters(fit), curves)


@torch.no_grad()
def write_fit(
    folder: Path,
    fit: CompressorFit,
    test: Part,
    found: dict[str, float],
    title: str,
    command: str,
    notes: list[str],
    parameters: list[dict[str, Any]],
    curves: list[dict[str, Any]],
) -> Path:
    """The same with parameters and curves as they come."""
    return write_folder(
        folder,
        fit.compressor,
        metrics=found,
        parameters=parameters,
        curves=curves,
        tracks={"train": heard_tracks(fit.compressor, fit.train), "test": heard_tracks(fit.compressor, test)},
        sample_rate=round(fit.pair.sample_rate),
        run=_description(fit, test, title, command, found["train/seconds"], notes),
        history=[
            {"step": reached.number, "train/esr": reached.esr, **of_parameters(reached.values)}
            for reached in fit.trajectory
        ],
    )


def _parameters(fit: CompressorFit) -> list[dict[str, Any]]:
    """Those of the model; the times of attack and release also as other makers count them."""
    errors = {estimate.name: estimate.error for estimate in fit.estimates}
    own, records = fit.compressor.smoother.time_convention, []
    for spec in fit.compressor.parameters_spec():
        record = parameter_record(spec, standard_error=errors[spec.name])
        if not spec.name.startswith("smoother."):
            records.append(record)
            continue
        for convention, words in CONVENTION_WORDS.items():
            numbers = ("value", "minimum", "maximum", "standard_error")
            scaled = {name: record[name] * convention / own for name in numbers if record.get(name) is not None}
            records.append({**record, **scaled, "name": spec.name, "label": f"{spec.name} ({words})"})
    return records


def reduction(fit: CompressorFit, test: Part, makeup: Tensor) -> dict[str, Any]:
    """Both gains are measured in one way, as the energies' ratio over 10 ms, without make-up; of a pair each channel's."""
    heard = round(HEARD_SECONDS * fit.pair.sample_rate)
    lines = []
    for name, signal, style in (
        ("target", test.counted(test.wet), "line"),
        ("model", test.prediction(fit.compressor), "dashed"),
    ):
        channels = (torch.atleast_2d(each)[:, :heard] for each in (test.counted(test.dry), signal))
        sides = ("",) if signal.dim() == 1 else (", left", ", right")
        for side, dry, wet in zip(sides, *channels, strict=True):
            seconds, reduction, energy = short_time_reduction(dry, wet, fit.pair.sample_rate)
            shown = torch.where(energy > 10 ** (AUDIBLE_DB / 10), makeup + reduction, torch.nan)
            lines.append(series(f"{name}{side}", seconds, shown, style))
    return {
        "title": "Gain reduction",
        "x": TIME,
        "y": DECIBELS,
        "series": lines,
        "caption": "On the test part, over 10 ms at a time; where the dry signal is below −60 dBFS there is nothing to see.",
    }


def static_curve(gain_db: Callable[[Tensor], Tensor]) -> dict[str, Any]:
    level = torch.linspace(-60.0, 0.0, 241, dtype=torch.float64)
    axis = {"label": "input level", "unit": "dB"}
    return {
        "title": "Static curve",
        "x": axis,
        "y": {"label": "output level", "unit": "dB"},
        "series": [
            series("model", level, level + gain_db(level)),
            series("no compression", level, level, "dashed"),
        ],
        "caption": "The level that comes out of a level that lasts, without make-up.",
    }


def _description(
    fit: CompressorFit, test: Part, title: str, command: str, seconds: float, notes: list[str]
) -> dict[str, Any]:
    return run_record(
        title,
        fit_subtitle(fit.train, test),
        command,
        seconds,
        headline=("test/esr_prefiltered", "test/esr_plain"),
        findings=(f"Identified: {fit.verdict}.", *fit.findings[1:]),
        notes=notes,
    )
