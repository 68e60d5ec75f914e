"""Writes the results folder of sound matching: metrics, what the controls do over the notes, audio, the model, the page."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from diffapf import metrics
from diffapf.filters.methods import TimeDomain
from diffapf.report.curves import HERTZ, TIME, series
from diffapf.report.folder import HEARD_SECONDS, run_record, write_folder
from diffapf.synths.matcher import AcidMatcher, Batch
from recipes.callbacks import side_by_side
from recipes.notes import MatchedNotes
from recipes.sound_matching import Matched, predict, scored_parts

OVER = "test/prediction"
WHITE_NOISE = "white noise through the filter"


def write_results(folder: Path, data: MatchedNotes, results: list[Matched], seconds: float, title: str) -> Path:
    """Writes everything into `folder` and returns the report's path. The first result is the run's own."""
    main = results[0]
    found = dict(main.metrics)
    for baseline in results[1:]:
        found |= {f"{baseline.method}:{name}": value for name, value in baseline.metrics.items()}
        baseline.matcher.save(folder / f"model_{baseline.method}.yaml")
    for each in results:
        each.matcher.synth.method = TimeDomain()
    return write_folder(
        folder,
        main.matcher,
        metrics=found,
        parameters=[],
        curves=_curves(main.matcher, heard(data, "test")),
        tracks={part: _tracks(results, heard(data, part), part == "test") for part in ("train", "test")},
        sample_rate=data.notes.sample_rate,
        run=_description(data, results, seconds, title),
        history=side_by_side({matched.method: matched.course.history for matched in results}),
    )


def heard(data: MatchedNotes, part: str) -> Batch:
    """Its first notes, as many as the page plays."""
    batch = data.of_part[part]
    return batch[: max(1, int(HEARD_SECONDS * data.notes.sample_rate) // batch.audio.shape[-1])]


def in_sequence(notes: Tensor) -> Tensor:
    """One note after the other, `(1, all their time)`."""
    return notes.reshape(1, -1)


def _tracks(results: list[Matched], batch: Batch, with_filter: bool) -> dict[str, Tensor]:
    """Target and predictions, and the filter as it moves, on white noise: its spectrogram is the response over time."""
    tracks = {"target": in_sequence(batch.audio)}
    for matched in results:
        name = "prediction" if matched is results[0] else f"prediction ({matched.method.upper()} trained)"
        tracks[name] = in_sequence(predict(matched.matcher, batch))
    if with_filter:
        tracks[WHITE_NOISE] = in_sequence(_on_white_noise(results[0].matcher, batch))
    return tracks


@torch.no_grad()
def _on_white_noise(matcher: AcidMatcher, batch: Batch) -> Tensor:
    noise = 0.1 * torch.randn(batch.audio.shape, generator=torch.Generator().manual_seed(0))
    filtered = matcher.synth.filtered(noise, matcher.hear(batch, matcher.start_phase(batch)))
    return filtered / filtered.abs().max().clamp(min=1.0)


@torch.no_grad()
def _curves(matcher: AcidMatcher, batch: Batch) -> list[dict[str, Any]]:
    """The controls over all the notes, one after the other."""
    values = matcher.hear(batch, matcher.start_phase(batch))
    seconds_a_note = batch.audio.shape[-1] / matcher.synth.sample_rate
    curves = []
    for control in matcher.synth.controls:
        if control.moves and control.channels == 1:
            value = values[control.name][:, ::4]
            times = torch.arange(value.shape[1]) * 4 * matcher.synth.hop / matcher.synth.sample_rate
        elif not control.moves:
            value, times = values[control.name][:, None].expand(-1, 2), torch.tensor([0.0, 0.95 * seconds_a_note])
        else:
            continue
        every = (torch.arange(len(value))[:, None] * seconds_a_note + times).flatten()
        curves.append(_curve(control.name, every, value.flatten()))
    return curves


def _curve(name: str, times: Tensor, value: Tensor) -> dict[str, Any]:
    words, _, unit = name.replace("_hz", "_Hz").replace("_db", "_dB").rpartition("_")
    has_unit = unit in ("Hz", "dB")
    label = words if has_unit else name
    y = HERTZ if unit == "Hz" else {"label": label.replace("_", " "), "unit": unit if has_unit else ""}
    curve = {
        "title": label.replace("_", " ").capitalize(),
        "x": TIME,
        "y": y,
        "series": [series(label.replace("_", " "), times, value)],
        "caption": "Over the notes of the test, one after the other.",
    }
    return curve | ({"over": OVER} if unit == "Hz" else {})


def _description(data: MatchedNotes, results: list[Matched], seconds: float, title: str) -> dict[str, Any]:
    main, counts = results[0], ", ".join(f"{name} {len(indices)}" for name, indices in data.parts.items())
    notes = list(data.notes.remarks)
    missing = metrics.fad_vggish(data.notes.audio[:1], data.notes.audio[:1], data.notes.sample_rate)
    if "test/fad_vggish_td" not in main.metrics:
        notes.append(f"{missing.name} is left out: {missing.why}.")
    if any(each.interrupted for each in results):
        notes.append("The training was interrupted; this is the best model until then.")
    return run_record(
        title,
        f"{data.title} · notes: {counts} · {main.course.steps} steps by {main.method.upper()}",
        shlex.join(["python", *sys.argv]),
        seconds,
        headline=("test/mss_td", "test/mss_fs"),
        notes=notes,
        packages=("lightning", "librosa", "auraloss"),
    )


def print_run(data: MatchedNotes, results: list[Matched]) -> None:
    """MSS of each training, on each part, by both methods."""
    table = Table(title=f"{data.title}: multi-resolution spectral loss (MSS)", title_justify="left")
    for name in ("part", "notes", "TD", "FS"):
        table.add_column(name, justify="left" if name == "part" else "right")
    for matched in results:
        table.add_row(f"[bold]trained by {matched.method.upper()}[/bold], {matched.course.steps} steps")
        for part, batch in scored_parts(data).items():
            values = [matched.metrics.get(f"{part}/mss_{method}") for method in ("td", "fs")]
            table.add_row(f"  {part}", str(len(batch)), *("" if value is None else f"{value:.3f}" for value in values))
        table.add_section()
    Console(width=100).print(table)
    print("TD: time domain, as a plugin runs it. FS: frequency sampling, the usual approximation.")
