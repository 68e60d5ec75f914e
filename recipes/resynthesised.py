"""Writes the results folder of analysis by synthesis: metrics, what the values do, audio, the model, the page."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from diffapf.report.curves import HERTZ, TIME, series
from diffapf.report.folder import HEARD_SECONDS, run_record, write_folder
from diffapf.report.voice_fit import parts_before_the_filter, shape_curve
from diffapf.synths.voice_encoder import Sung
from recipes.callbacks import side_by_side
from recipes.resynthesis import SEEDS, Resynthesised, predict
from recipes.voices import Voices

COLUMNS = {"mss": "MSS", "mss_published": "published MSS", "mcd_db": "MCD dB", "f0_cents": "f₀ cents"}


def write_results(folder: Path, data: Voices, result: Resynthesised, seconds: float, title: str) -> Path:
    """Writes everything into `folder` and returns the report's path."""
    model = result.model
    heard = {
        part: data.of_part[part][0].sung(0, _frames(data, part, model.sample_rate), data.hop)
        for part in ("train", "test")
    }
    return write_folder(
        folder,
        model,
        metrics=result.metrics,
        parameters=[],
        curves=_curves(result, heard["test"]),
        tracks={part: _tracks(result, sung) for part, sung in heard.items()},
        sample_rate=round(model.sample_rate),
        run=_description(data, result, seconds, f"{title}, {model.name}"),
        history=side_by_side({"td": result.course.history}),
    )


def _frames(data: Voices, part: str, sample_rate: float) -> int:
    """Of the part's first recording, as many as the page plays."""
    piece = data.frames * data.hop  # at least as much is heard
    length = len(data.of_part[part][0].audio)
    return min(length, max(piece, round(HEARD_SECONDS * sample_rate))) // data.hop


@torch.no_grad()
def _tracks(result: Resynthesised, sung: Sung) -> dict[str, Tensor]:
    model, values = result.model, result.model.hear(sung)
    only = {name: value[0] for name, value in values.items()}
    return {
        "target": sung.audio,
        "prediction": predict(model, sung, SEEDS[0]),
        **parts_before_the_filter(model.vocoder, sung.f0_hz[0], only, sung.audio[0]),
    }


@torch.no_grad()
def _curves(result: Resynthesised, sung: Sung) -> list[dict[str, Any]]:
    model = result.model
    hop_s = model.vocoder.hop / model.sample_rate
    f0 = torch.where(sung.voiced[0] > 0, sung.f0_hz[0], torch.nan)
    pitch = {
        "title": "Pitch",
        "x": TIME,
        "y": HERTZ,
        "series": [series("f0", hop_s * torch.arange(len(f0)), f0)],
        "caption": "As tracked, where the recording is voiced.",
        "over": "test/prediction",
    }
    values = model.hear(sung)
    return [pitch, shape_curve(values["rd"][0], hop_s)] if "rd" in values else [pitch]


def _description(data: Voices, result: Resynthesised, seconds: float, title: str) -> dict[str, Any]:
    counts = ", ".join(f"{name} {len(recordings)}" for name, recordings in data.of_part.items())
    notes = ["The training was interrupted; this is the best model until then."] if result.interrupted else []
    return run_record(
        title,
        f"{data.title} · recordings: {counts} · {result.course.steps} steps",
        shlex.join(["python", *sys.argv]),
        seconds,
        headline=("test/mss", "test/mcd_db", "test/f0_cents"),
        notes=notes,
        packages=("lightning", "pyworld", "pysptk"),
    )


def print_run(data: Voices, result: Resynthesised) -> None:
    table = Table(title=f"{data.title}: {result.model.name}", title_justify="left")
    table.add_column("part")
    for name in COLUMNS.values():
        table.add_column(name, justify="right")
    for part in ("train", "test"):
        table.add_row(part, *(f"{result.metrics[f'{part}/{name}']:.3f}" for name in COLUMNS))
    Console(width=100).print(table)
