"""A folder of fitted vocal chains as a results folder: what differs among them, how much, and how that sounds.

Source: Yu et al., "DiffVox: A Differentiable Model for Capturing and Analysing Vocal Effects Distributions", DAFx 2025.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from diffapf import audio
from diffapf.effects.vocal_presets import COLUMNS, Presets, chain_of, independent, layout, read_presets
from diffapf.identification.principal_components import Components, principal_components
from diffapf.report.curves import HERTZ, series
from diffapf.report.equalizer_fit import GAIN, frequencies_of
from diffapf.report.folder import HEARD_SECONDS, parameter_record, run_record, write_folder

SHOWN, HEARD, DEVIATIONS = 3, 3, 2.0  # components that are plotted, and heard, and how far
LISTED, NAMED = 10, 3  # components in words, and the numbers that each moves most
COUNTED = (1, 2, 3, 10, 20, 30, 50)  # of which the variance is among the metrics


@dataclass(frozen=True)
class AnalysedPresets:
    """What came of a folder: `metrics` as in `metrics.json`, `page` the report's path, `summary` its words."""

    components: Components
    metrics: dict[str, float]
    page: Path
    summary: str


@torch.no_grad()
def analyse_presets(
    presets_in: Path,
    folder: Path,
    title: str,
    command: str,
    dry: audio.Recording | None = None,
    progress: Callable[[str, float], None] = lambda stage, done: None,
) -> AnalysedPresets:
    """Reads fitted chains and writes their mean as a preset, metrics, plots and, of a dry voice, sounds along components.

    Raises:
        ValueError: as `read_presets`; fewer than two chains.
    """
    began = time.perf_counter()
    presets = read_presets(presets_in)
    components = principal_components(presets.features())
    metrics = {f"explained/{n}_components": float(components.explained[:n].sum()) for n in COUNTED}
    metrics |= {"presets": len(presets.chosen), "components": len(components.axes)}
    mean = chain_of(row_at(components.mean))
    findings = _findings(components)
    page = write_folder(
        folder,
        mean,
        metrics=metrics,
        parameters=[parameter_record(spec) for spec in mean.parameters_spec()],
        curves=[_explained(components), _places(components, presets), *_equalisers(components)],
        tracks={} if dry is None else _renders(components, dry, progress),
        sample_rate=44_100 if dry is None else dry.sample_rate,
        run=run_record(
            title,
            f"{len(presets.chosen)} chains of {presets_in.name} · principal components of their raw numbers",
            command,
            time.perf_counter() - began,
            headline=("explained/1_components", "explained/10_components", "presets"),
            findings=findings,
        ),
    )
    return AnalysedPresets(components, metrics, page, "\n".join(findings))


def row_at(features: Tensor) -> Tensor:
    """A row of what counts of it."""
    row = torch.zeros(COLUMNS, dtype=torch.float64)
    row[independent()] = features.double()
    return row


def _findings(components: Components) -> list[str]:
    """Each component's share, and what it moves most."""
    columns = {column: name for name, (column, _) in layout().items()}
    names = [columns[int(column)] for column in independent().nonzero()]
    lines = []
    for number, (share, axis) in enumerate(zip(components.explained[:LISTED], components.axes, strict=False), 1):
        most = ", ".join(f"{names[i]} {axis[i]:+.2f}" for i in axis.abs().argsort(descending=True)[:NAMED].tolist())
        lines.append(f"Component {number}: {100 * share:.2f} %; most of it is {most}.")
    return lines


def _explained(components: Components) -> dict[str, Any]:
    number = torch.arange(1, len(components.axes) + 1)
    return {
        "title": "Explained variance",
        "x": {"label": "components", "unit": ""},
        "y": {"label": "variance", "unit": "%"},
        "series": [
            series("each", number, 100 * components.explained),
            series("together", number, 100 * components.explained.cumsum(0)),
        ],
        "caption": "Of the raw numbers that count.",
    }


def _places(components: Components, presets: Presets) -> dict[str, Any]:
    places = components.places(presets.features())
    return {
        "title": "The chains",
        "x": {"label": "component 1", "unit": "σ"},
        "y": {"label": "component 2", "unit": "σ"},
        "series": [series("chains", places[:, 0], places[:, min(1, places.shape[1] - 1)], "points")],
        "caption": "Along the first two components.",
    }


def _equalisers(components: Components) -> list[dict[str, Any]]:
    """What the first components do to the equaliser."""
    curves = []
    for component in range(min(SHOWN, len(components.axes))):
        lines = []
        for deviations in (-DEVIATIONS, 0.0, DEVIATIONS):
            equalizer = chain_of(row_at(components.at(component, deviations))).equalizer
            frequencies = frequencies_of(equalizer)
            lines.append(series(f"{deviations:+g} σ", frequencies, equalizer.magnitude_db(frequencies).clamp_min(-60)))
        curves.append({"title": f"Equaliser along component {component + 1}", "x": HERTZ, "y": GAIN, "series": lines})
    return curves


def _renders(
    components: Components, dry: audio.Recording, progress: Callable[[str, float], None]
) -> dict[str, dict[str, Tensor]]:
    """The mean chain, and chains on either side of it along each of the first components."""
    voice = torch.from_numpy(dry.samples).mean(0, keepdim=True)[:, : round(HEARD_SECONDS * dry.sample_rate)]
    places = [("mean", components.mean)]
    places += [
        (f"component {k + 1} at {sign * DEVIATIONS:+g} σ", components.at(k, sign * DEVIATIONS))
        for k in range(min(HEARD, len(components.axes)))
        for sign in (-1, 1)
    ]
    tracks = {"dry": voice.expand(2, -1)}
    for number, (name, features) in enumerate(places):
        progress(name, number / len(places))
        chain = chain_of(row_at(features), dry.sample_rate)
        y = chain(pad(voice, (0, chain.latency)))[:, chain.latency :]
        tracks[name] = y / y.abs().max().clamp_min(1.0)
    return {"along the components": tracks}
