"""What `fit_phaser` found, as a results folder and its page."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from diffapf.effects.phaser import Phaser
from diffapf.identification.aligned_pair import Stretch
from diffapf.identification.lateness import words_of
from diffapf.identification.phaser_fit import PhaserFit, Row
from diffapf.modulation import FourierLFO
from diffapf.report.curves import HERTZ, TIME, notch_curve, series
from diffapf.report.folder import HEARD_SECONDS, fit_subtitle, parameter_record, run_record, write_folder
from diffapf.report.metrics import judge

PHASE = {"label": "phase of the LFO", "unit": "cycles"}


ESRS = {"constant": "at a constant rate", "drift": "rate drifting on", "tracked": "phase tracked"}


def held_out(fit: PhaserFit, test: tuple[float, float]) -> Stretch:
    """The part to test on."""
    return fit.pair.stretch(*test)


def summary(fit: PhaserFit, found: dict[str, float]) -> str:
    """The verdict and the test's errors, in words for a terminal."""
    lines = [fit.start.verdict]
    for name, words in ESRS.items():
        esr = judge(found[f"test/esr_{name}"])
        lines.append(f"test ESR {esr.percent:>10}  {words} ({esr.word})")
    return "\n".join(lines)


@torch.no_grad()
def write_phaser_fit(
    folder: Path,
    fit: PhaserFit,
    test: Stretch,
    found: dict[str, float],
    title: str,
    command: str,
    notes: list[str],
) -> Path:
    """Writes preset, metrics (`found`), parameters, curves, audio and page into a folder; returns the page's path."""
    errors = {estimate.name: estimate.error for estimate in fit.estimates}
    return write_folder(
        folder,
        fit.phaser,
        metrics=found,
        parameters=[parameter_record(spec, standard_error=errors[spec.name]) for spec in fit.phaser.parameters_spec()],
        curves=_curves(fit, test),
        tracks={"train": _tracks(fit.phaser, fit.train), "test": _tracks(fit.phaser, test)},
        sample_rate=round(fit.pair.sample_rate),
        run=_description(fit, test, title, command, found["train/seconds"], notes),
    )


def metrics(fit: PhaserFit, test: Stretch) -> dict[str, float]:
    """ESRs at a constant rate, with the drift that the training part shows carried on, and with the phase tracked."""
    found: dict[str, Any] = {
        "test/esr_constant": test.esr(fit.phaser),
        "test/esr_drift": test.esr(fit.drifting),
        "test/esr_tracked": test.esr(fit.tracked(test)),
        "train/esr_constant": fit.train.esr(fit.phaser),
        "train/esr_drift": fit.train.esr(fit.drifting),
    }
    for row in fit.rows:
        found |= {f"{row.name}:{name}": value for name, value in _of_row(row, test).items()}
    return found


def _of_row(row: Row, test: Stretch) -> dict[str, float]:
    return {
        "test/esr_constant": test.esr(row.phaser),
        "train/esr_constant": row.train_esr,
        "validation/esr_tracked": row.validation_esr,
    }


def _tracks(phaser: Phaser, stretch: Stretch) -> dict[str, Tensor]:
    """What is heard of a part."""
    pair = stretch.pair
    heard = Stretch(pair, stretch.first, min(stretch.last, stretch.first + round(HEARD_SECONDS * pair.sample_rate)))
    late = slice(heard.first + pair.offset, heard.last + pair.offset)
    return {
        "dry": pair.dry[None, heard.first : heard.last],
        "target": pair.wet[None, late],
        "prediction": heard.prediction(phaser)[None],
    }


def _curves(fit: PhaserFit, test: Stretch) -> list[dict[str, Any]]:
    start, lfo = fit.start, cast(FourierLFO, fit.phaser.lfo)
    phases = torch.linspace(0, 1, 257, dtype=torch.float64)
    crest = fit.train.start_s - start.phase_cycles / start.rate_hz
    shape = fit.phaser.break_frequencies(crest + phases / lfo.rate_hz())
    identified = torch.arange(len(start.curve_hz) + 1, dtype=torch.float64) / len(start.curve_hz)
    around = torch.cat([start.curve_hz, start.curve_hz[:1]])
    drift_times = torch.linspace(fit.train.start_s, fit.train.stop_s, 200, dtype=torch.float64)
    return [
        {
            "title": "LFO",
            "x": PHASE,
            "y": HERTZ,
            "series": [series("fitted", phases, shape), series("identified", identified, around, "dashed")],
            "caption": "The all-passes' break frequency over a period of the LFO.",
        },
        notch_curve(fit.phaser, test.start_s, test.stop_s),
        {
            "title": "Drift of the LFO",
            "x": TIME,
            "y": {"label": "phase", "unit": "cycles"},
            "series": [series("against a constant rate", drift_times, _drift(fit, drift_times))],
            "caption": "How far the pedal's own clock runs ahead of the mean rate during the training part.",
        },
        {
            "title": "Rates",
            "x": {"label": "rate", "unit": "Hz", "scale": "log"},
            "y": {"label": "unexplained share", "unit": ""},
            "series": [series("of the wet signal's energy", start.scan_rates_hz, start.scan_cost)],
            "caption": "What every rate of the LFO leaves unexplained; the deepest valley is the rate.",
        },
    ]


def _drift(fit: PhaserFit, seconds: Tensor) -> Tensor:
    lfo = cast(FourierLFO, fit.drifting.lfo)
    return lfo.cycles(seconds) - lfo.rate_hz() * (seconds - lfo.origin) - lfo.phase()


def _description(
    fit: PhaserFit, test: Stretch, title: str, command: str, seconds: float, notes: list[str]
) -> dict[str, Any]:
    late = words_of(fit.pair.offset) if fit.pair.offset else ""
    return run_record(
        title,
        fit_subtitle(fit.train, test),
        command,
        seconds,
        headline=("test/esr_constant", "test/esr_tracked"),
        findings=(f"Identified: {fit.start.verdict}.", f"Chosen by validation: “{fit.chosen}”."),
        notes=[note for note in (late, *notes) if note],
    )
