"""A dry recording and one with its repeats as a results folder: the delay that was fitted, figures, and the page."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from diffapf import audio
from diffapf.effects.delay import PingPongDelay
from diffapf.identification.delay_fit import LONGER, DelayFit, Mixed, fit_delay
from diffapf.identification.echo_times import echo_envelope
from diffapf.losses import esr
from diffapf.report.curves import LEVEL, TIME, series
from diffapf.report.folder import HEARD_SECONDS, parameter_record, run_record, write_folder
from diffapf.report.metrics import judge

SHOWN = 12  # repeats
FAINTEST_DB = -80.0
ENVELOPE_POINTS = 2000


@dataclass(frozen=True)
class FittedDelay:
    """What came of two files; `metrics` as in `metrics.json`, `page` the report's path, `summary` its words."""

    fit: DelayFit
    metrics: dict[str, float]
    page: Path
    summary: str


@torch.no_grad()
def repeats(delay: PingPongDelay) -> tuple[Tensor, Tensor]:
    """When each repeat of a click comes, and its level, both sides together and without what the low-pass takes."""
    return levels_of_repeats(delay.time_ms(), delay.gain(), delay.loop_feedback())


def levels_of_repeats(time_ms: Tensor, gain: Tensor, feedback: Tensor) -> tuple[Tensor, Tensor]:
    """(seconds, dB) of a delay's first repeats, as far as they are to be heard."""
    number = torch.arange(SHOWN, dtype=torch.float64)
    levels = 20 * torch.log10((gain * feedback**number).clamp_min(10 ** (FAINTEST_DB / 20)))
    heard = levels > FAINTEST_DB
    return (time_ms / 1000 * (number + 1))[heard], levels[heard]


def fit_delay_recordings(
    pair: audio.Pair, folder: Path, train: tuple[float, float], test: tuple[float, float], title: str, command: str
) -> FittedDelay:
    """Fits a ping-pong delay to a pair and writes preset, metrics and report into a folder.

    Args:
        pair: dry, of which the first channel is taken, and wet.
        train, test: parts in seconds.
        title, command: what the page is called, and what made it.

    Raises:
        ValueError, TypeError: as `fit_delay`; nothing is written then.
    """
    began = time.perf_counter()
    rate = pair.sample_rate
    dry, wet = torch.from_numpy(pair.dry[0]), torch.from_numpy(pair.wet)
    parts = {name: audio.part_slice(span, rate, len(dry), name) for name, span in (("train", train), ("test", test))}
    fit = fit_delay(dry[parts["train"]], wet[:, parts["train"]].squeeze(0), rate)
    with torch.no_grad():
        mixed = Mixed(fit.delay, fit.direct).double()
        prediction = mixed(dry)
    metrics = {f"{name}/esr_plain": float(esr(prediction[:, part], wet[:, part])) for name, part in parts.items()}
    metrics["train/seconds"] = round(time.perf_counter() - began, 1)
    findings = _findings(fit)
    errors = {estimate.name.removeprefix("delay."): estimate.error for estimate in fit.estimates}
    page = write_folder(
        folder,
        fit.delay,
        metrics=metrics,
        parameters=[
            parameter_record(spec, standard_error=errors.get(spec.name)) for spec in fit.delay.parameters_spec()
        ],
        curves=[_envelope(dry[parts["train"]], wet[:, parts["train"]], fit), _taps(fit)],
        tracks={name: _tracks(dry, wet, prediction, part, rate) for name, part in parts.items()},
        sample_rate=rate,
        run=run_record(
            title,
            "The response's envelope, then Levenberg–Marquardt on the waveforms",
            command,
            metrics["train/seconds"],
            headline=("test/esr_plain", "train/esr_plain"),
            findings=findings,
            notes=pair.remarks,
        ),
    )
    word = judge(metrics["test/esr_plain"])
    summary = "\n".join([*findings, f"test ESR {word.percent:>10}  ({word.word})", *(f"  {e}" for e in fit.estimates)])
    return FittedDelay(fit, metrics, page, summary)


def _findings(fit: DelayFit) -> list[str]:
    delay = fit.delay
    direct = ", ".join(f"{20 * math.log10(max(abs(gain), 1e-9)):.1f} dB" for gain in fit.direct)
    return [
        f"Repeats every {delay.time_ms().item():.3f} ms, the first at {20 * math.log10(delay.gain().item()):.1f} dB, "
        f"each next one {20 * math.log10(max(delay.loop_feedback().item(), 1e-9)):.1f} dB.",
        f"The sound itself: {direct}.",
    ]


def _tracks(dry: Tensor, wet: Tensor, prediction: Tensor, part: slice, rate: int) -> dict[str, Tensor]:
    heard = slice(part.start, min(part.stop, part.start + round(HEARD_SECONDS * rate)))
    tracks = {"dry": dry.expand(len(wet), -1), "target": wet, "prediction": prediction}
    return {name: track[:, heard] for name, track in tracks.items()}


def _envelope(dry: Tensor, wet: Tensor, fit: DelayFit) -> dict[str, Any]:
    """What the time was looked for in, and where it was found."""
    rate = fit.delay.sample_rate
    envelope = echo_envelope(dry, wet, rate, LONGER * fit.delay.times_ms[1] / 1000)
    each = max(1, len(envelope) // ENVELOPE_POINTS)
    highest = envelope[: len(envelope) // each * each].unflatten(0, (-1, each)).amax(1)
    seconds = (torch.arange(len(highest), dtype=torch.float64) + 0.5) * each / rate
    at = fit.delay.time_ms().detach() / 1000 * torch.ones(2, dtype=torch.float64)
    ends = torch.tensor([0.0, float(highest.max())], dtype=torch.float64)
    return {
        "title": "The response's envelope",
        "x": TIME,
        "y": {"label": "envelope", "unit": ""},
        "series": [series("measured", seconds, highest), series("the delay", at, ends, "dashed")],
        "caption": "Between dry and wet, about 1.5 kHz, without the sound itself.",
    }


def _taps(fit: DelayFit) -> dict[str, Any]:
    return {
        "title": "Delay",
        "x": TIME,
        "y": LEVEL,
        "series": [series("repeats", *repeats(fit.delay), "points")],
        "caption": "Each repeat of a click, both sides together, without what the low-pass takes.",
    }
