"""What `fit_levelling_amplifier` found, as a results folder and its page."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch

from diffapf.identification.compressor_fit import CompressorFit
from diffapf.identification.prefiltered_pair import Part
from diffapf.report.compressor_fit import reduction, static_curve, summary_of_any, write_fit
from diffapf.report.folder import parameter_record


def summary(fit: CompressorFit, found: dict[str, float]) -> str:
    """The findings, the rows that were compared, the test's errors and the parameters, in words for a terminal."""
    rows = [f"  {100 * row.validation_esr:8.4f} %  {row.name}, {row.parameters} parameters" for row in fit.rows]
    return "\n".join([summary_of_any(fit, found), "  times: 63 %", "validation ESR of what was compared:", *rows])


def write_levelling_amplifier_fit(
    folder: Path,
    fit: CompressorFit,
    test: Part,
    found: dict[str, float],
    title: str,
    command: str,
    notes: list[str],
) -> Path:
    """Writes preset, metrics (`found`), parameters, curves, audio and page into a folder; returns the page's path."""
    amplifier = fit.compressor
    with torch.no_grad():
        curves = [reduction(fit, test, amplifier.output.makeup_db()), static_curve(amplifier.cell.static_gain)]
    return write_fit(folder, fit, test, found, title, command, notes, _parameters(fit), curves)


def _parameters(fit: CompressorFit) -> list[dict[str, Any]]:
    """With the output filters' corners, which their names don't tell; no error of what the recording says nothing about."""
    errors = {estimate.name: estimate.error for estimate in fit.estimates}
    corners = fit.compressor.output.corners_hz
    labels = {f"output.filters.{i}": f"output filter at {corner:g} Hz" for i, corner in enumerate(corners, 1)}
    records = []
    for spec in fit.compressor.parameters_spec():
        error = errors[spec.name]
        record = parameter_record(spec, standard_error=error if math.isfinite(error) else None)
        records.append(record | ({"label": labels[spec.name]} if spec.name in labels else {}))
    return records
