"""What `diffapf.checks` found of a pair of recordings: `checks.json` of a results folder, and a page of its own."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from diffapf.checks import CheckedPair
from diffapf.findings import ERROR, WARNING
from diffapf.identification.alignment import Alignment
from diffapf.report import write_report
from diffapf.report.curves import HERTZ, TIME, series
from diffapf.report.folder import HEARD_SECONDS, run_record, write_json, write_tracks

POINTS = 800  # of a curve over frequency
LOWEST_HZ = 100.0


def checks_record(checked: CheckedPair) -> dict[str, Any]:
    """The content of `checks.json`: findings, and curves as `curves.json` has them."""
    findings = [{"check": f.check, "level": f.level, "cause": f.cause, "advice": f.advice} for f in checked.findings]
    return {"findings": findings, "curves": _curves(checked.alignment) if checked.alignment else []}


def write_checks(folder: Path, checked: CheckedPair) -> None:
    """Puts `checks.json` into a results folder, for its page."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "checks.json", checks_record(checked))


def write_check_page(folder: Path, checked: CheckedPair, title: str, command: str, began: float) -> Path:
    """A page of the checks alone, with the beginnings of both recordings; returns its path."""
    write_checks(folder, checked)
    counts = {level: sum(f.level == level for f in checked.findings) for level in (WARNING, ERROR)}
    headline = f"{len(checked.findings)} findings: {counts[ERROR]} errors, {counts[WARNING]} warnings."
    write_json(folder / "metrics.json", {})
    seconds = time.perf_counter() - began
    write_json(folder / "run.json", run_record(title, "recordings checked", command, seconds, (), (headline,)))
    if checked.pair is not None:
        heard = round(HEARD_SECONDS * checked.pair.sample_rate)
        tracks = {"dry": checked.pair.dry[:, :heard], "wet": checked.pair.wet[:, :heard]}
        write_tracks(folder / "audio" / "pair", tracks, checked.pair.sample_rate)
    return write_report(folder)


def summary(checked: CheckedPair) -> str:
    """The findings for a terminal, a line each, the worst last."""
    order = ("ok", "note", WARNING, ERROR)
    lines = sorted(checked.findings, key=lambda finding: order.index(finding.level))
    return "\n".join(f"{f.level:<8} {f.check:<9} {f.sentence}" for f in lines)


def _curves(found: Alignment) -> list[dict[str, Any]]:
    """The alignment: what is left of the phase, and where the segments lie."""
    wanted = np.geomspace(LOWEST_HZ, float(found.frequencies[-1]), POINTS)
    bins = np.unique(np.searchsorted(found.frequencies.numpy(), wanted))
    trusted = found.spectra.whole.coherence[0]
    x, left = found.frequencies[bins], found.phases[bins].rad2deg()
    curves = [
        {
            "title": "Alignment",
            "x": HERTZ,
            "y": {"label": "phase", "unit": "°"},
            "series": [
                series("left after delay, polarity and the filter's own", x, left, "points"),
                series("coherence, in hundredths", x, 100 * trusted[bins], "dashed"),
            ],
            "caption": f"Wet is {found.delay:.3f} ± {found.error:.3f} samples late; where the coherence is high, the "
            "phase that is left should lie about 0.",
        }
    ]
    if len(found.times) > 1:
        curves.append(
            {
                "title": "Latency over time",
                "x": TIME,
                "y": {"label": "delay", "unit": "samples"},
                "series": [series("of segments", found.times, found.delays, "points")],
                "caption": f"Clocks: {found.drift_ppm:+.3f} ± {found.drift_error_ppm:.3f} ppm.",
            }
        )
    return curves
