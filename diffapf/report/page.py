"""The page: every section's view of the results, handed to the template together with the style and the script."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from diffapf.findings import LEVELS
from diffapf.report import text
from diffapf.report.audio import Embedded, Part, embed
from diffapf.report.metrics import JUDGEMENTS, esr_table, headline, other_metrics, part_name
from diffapf.report.parameters import parameter_groups
from diffapf.report.plots import colours, plot_curve, plot_history, plot_trajectories
from diffapf.report.results import Curve, Results
from diffapf.report.spectrogram import RANGE_DB, Spectrogram, colour_scale, is_drawable, spectrograms
from diffapf.report.ticks import Tick, time_ticks

_HERE = Path(__file__).parent


@dataclass(frozen=True)
class TrackView:
    """One track in the player."""

    name: str
    colour: str
    is_difference: bool
    embedded: Embedded
    spectrogram: Spectrogram


@dataclass(frozen=True)
class PartView:
    """One player: the tracks of a part, which are switched while they play."""

    name: str
    title: str
    rate: int
    seconds: float
    remarks: list[str]
    ticks: list[Tick]
    tracks: list[TrackView]


def render(results: Results) -> str:
    """The page of some results, as HTML."""
    environment = Environment(
        loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(duration=text.duration, date=text.date)
    on_spectrogram, on_their_own = _divide(results)
    return environment.get_template("page.html").render(
        run=results.run,
        tiles=headline(results.metrics, results.run.headline),
        parts=[_part_view(part, on_spectrogram) for part in results.parts],
        esr=esr_table(results.metrics),
        judgements=[(text.percent(limit), word) for limit, word in JUDGEMENTS],
        other_metrics=other_metrics(results.metrics),
        history=plot_history(results.history) if results.history else [],
        parameter_groups=parameter_groups(results.parameters),
        trajectories=plot_trajectories(results.history, results.parameters) if results.history else [],
        curves=[plot_curve(curve) for curve in on_their_own],
        checks=sorted(results.findings, key=lambda finding: -LEVELS.index(finding.level)),
        checked_curves=[plot_curve(curve) for curve in results.checked_curves],
        colour_scale=colour_scale(),
        range_db=RANGE_DB,
        style=(_HERE / "page.css").read_text(encoding="utf-8"),
        script=(_HERE / "player.js").read_text(encoding="utf-8"),
    )


def _divide(results: Results) -> tuple[list[Curve], list[Curve]]:
    """The curves that can be drawn on the spectrogram they name, and all others."""
    tracks = {f"{part.name}/{track.name}" for part in results.parts for track in part.tracks}
    on_spectrogram = [curve for curve in results.curves if curve.over in tracks and is_drawable(curve)]
    others = [curve for curve in results.curves if not any(curve is drawn for drawn in on_spectrogram)]
    return on_spectrogram, others


def _part_view(part: Part, curves: list[Curve]) -> PartView:
    tracks = [
        TrackView(track.name, colour, track.is_difference, embed(part, track), spectrogram)
        for track, colour, spectrogram in zip(
            part.tracks, colours([track.name for track in part.tracks]), spectrograms(part, curves), strict=True
        )
    ]
    ticks = time_ticks(part.seconds, most=11)
    return PartView(part.name, part_name(part.name), part.rate, part.seconds, part.remarks, ticks, tracks)
