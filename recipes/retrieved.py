"""Writes the results folder of parameter retrieval: metrics, parameters, what the chain does, audio, preset, page."""

from __future__ import annotations

import math
import shlex
import sys
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from data.vocal_chain import Setting
from diffapf.effects.chain import VocalChain
from diffapf.filters.methods import TimeDomain
from diffapf.losses.stereo import TERMS
from diffapf.report.curves import series
from diffapf.report.equalizer_fit import frequencies_of
from diffapf.report.folder import HEARD_SECONDS, parameter_record, run_record, write_folder
from diffapf.report.repeats import levels_of_repeats
from diffapf.report.vocal_chain import chain_curves
from recipes.callbacks import side_by_side
from recipes.data import Pair
from recipes.retrieval import Retrieved

NAMES = {"mss": "MSS", "mss_mid_side": "MSS mid/side", "mldr": "MLDR", "mldr_mid_side": "MLDR mid/side"}
BANDS = ("frequency_hz", "q", "gain_db")


def write_results(folder: Path, pair: Pair, found: Retrieved, seconds: float, title: str) -> Path:
    """Writes everything into `folder` and returns the report's path."""
    truths = truth_of(pair)
    return write_folder(
        folder,
        found.chain,
        metrics=found.metrics,
        parameters=[parameter_record(spec, truth=truths.get(spec.name)) for spec in found.chain.parameters_spec()],
        curves=_curves(found, pair),
        tracks={part: _tracks(found, pair, part) for part in ("train", "test")},
        sample_rate=pair.sample_rate,
        run=_description(pair, found, seconds, title),
        history=side_by_side({"circle": found.course.history}),
    )


def truth_of(pair: Pair) -> dict[str, float]:
    """What is known of the parameters, by name."""
    hidden = pair.tracks.truth
    if isinstance(hidden, VocalChain):
        return {spec.name: spec.value for spec in hidden.parameters_spec()}
    if not isinstance(hidden, Setting):
        return {}
    known = {f"delay.{name}": value for name, value in vars(hidden.echo).items()}
    for part, bands in (("equalizer", hidden.equalizer.bands), ("tone", hidden.tone.bands)):
        for band, knobs in bands.items():
            known |= {f"{part}.bands.{band}.{name}": value for name, value in zip(BANDS, knobs, strict=True)}
    dynamics = vars(hidden.dynamics)
    of_part = {"curve": ("threshold_db", "ratio", "expander_threshold_db", "expander_ratio")}
    of_part |= {"smoother": ("attack_ms", "release_ms"), "detector": ("average_ms",)}
    for part, names in of_part.items():
        known |= {f"compressor.{part}.{name}": dynamics[name] for name in names}
    known["compressor.look_ahead.look_ahead_ms"] = 1000 * hidden.dynamics.look_ahead / pair.sample_rate
    return known | {"compressor.makeup_db": hidden.dynamics.makeup_db, "send": hidden.send, "pan": hidden.pan}


def _curves(found: Retrieved, pair: Pair) -> list[dict[str, Any]]:
    """Of the chain that was found, of where it began, and of what is behind the data, where that is known."""
    chains, hidden = {"learned": found.chain, "untrained": found.start}, pair.tracks.truth
    if isinstance(hidden, VocalChain):
        return chain_curves({**chains, "target": hidden})
    return chain_curves(chains, _of_setting(found, pair, hidden) if isinstance(hidden, Setting) else {})


def _of_setting(found: Retrieved, pair: Pair, hidden: Setting) -> dict[str, list[dict[str, Any]]]:
    """Series of the chain behind embedded data, by the plots' titles."""
    frequencies = frequencies_of(found.chain.equalizer)
    gains = (
        torch.from_numpy(each.magnitude_db(frequencies.numpy(), pair.sample_rate)).clamp_min(-60.0)
        for each in (hidden.equalizer, hidden.tone)
    )
    equalizer, tone = (series("target", frequencies, gain, "dashed") for gain in gains)
    echo = hidden.echo
    times, levels = levels_of_repeats(*torch.tensor([echo.time_ms, echo.gain, echo.feedback]).double())
    decay = torch.from_numpy(hidden.room.decays_s(frequencies.numpy()))
    return {
        "Equaliser": [equalizer],
        "Tone of the reverberation": [tone],
        "Delay": [series("target", times, levels, "points")],
        "Decay": [series("target", frequencies, decay, "dashed")],
    }


def _tracks(found: Retrieved, pair: Pair, part: str) -> dict[str, Tensor]:
    """What is heard of a part; the dry voice on both sides."""
    span = pair.tracks.parts[part]
    heard = slice(span.start, min(span.stop, span.start + round(HEARD_SECONDS * pair.sample_rate)))
    return {
        "dry": found.dry.expand(2, -1)[:, heard],
        "target": found.wet[:, heard],
        "prediction": found.prediction(found.chain, TimeDomain())[:, heard],
    }


def _description(pair: Pair, found: Retrieved, seconds: float, title: str) -> dict[str, Any]:
    notes = list(pair.tracks.remarks)
    if found.interrupted:
        notes.append("The training was interrupted; this is the chain as it was then.")
    parts = ", ".join("{} {:g}–{:g} s".format(name, *pair.seconds(name)) for name in ("train", "test"))
    return run_record(
        title,
        f"{pair.tracks.title} · {parts} · {found.course.steps} steps, sampled in frequency",
        shlex.join(["python", *sys.argv]),
        seconds,
        headline=("test/mss_td", "test/mss_mid_side_td", "test/mldr_td"),
        findings=findings(found),
        notes=notes,
        packages=("lightning", "auraloss"),
    )


@torch.no_grad()
def findings(found: Retrieved) -> list[str]:
    """How far it came, in sentences."""
    delay = found.chain.delay
    told, played = float(delay.feedback()), float(delay.loop_feedback())
    first_db = 20 * math.log10(max(float(delay.gain()), 1e-9))
    late_ms = 1000 * found.chain.latency / found.chain.sample_rate
    sentences = [
        f"The MSS of what was trained on is {100 * found.share:.0f} % of the untrained chain's.",
        f"Repeats every {float(delay.time_ms()):.1f} ms, the first at {first_db:.1f} dB.",
        f"The output comes {late_ms:.1f} ms late, which the look-ahead takes.",
    ]
    if told > played:
        sentences.append(f"A feedback of {told:.2f} would grow with the low-pass's Q: {played:.2f} is played.")
    return sentences


def print_run(pair: Pair, found: Retrieved) -> None:
    """All terms on each part, before and after."""
    table = Table(title=pair.tracks.title, title_justify="left")
    for name in ("part", *NAMES.values()):
        table.add_column(name, justify="left" if name == "part" else "right")
    for model, prefix, method in (("untrained", "untrained:", "td"), ("sampled", "", "circle"), ("in time", "", "td")):
        table.add_row(f"[bold]{model}[/bold]")
        for part in pair.tracks.parts:
            values = (found.metrics[f"{prefix}{part}/{term}_{method}"] for term in TERMS)
            table.add_row(f"  {part}", *(f"{value:.3f}" for value in values))
    Console(width=100).print(table)
    print("\n".join(findings(found)))
