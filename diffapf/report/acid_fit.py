"""What `fit_acid` found, as a results folder and its page."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from diffapf.identification.acid_fit import AcidFit
from diffapf.report.curves import HERTZ, TIME, series
from diffapf.report.folder import parameter_record, run_record, write_folder
from diffapf.synths.patch import AcidPatch

SHOWN = 8  # notes in a plot
PACKAGES = ("auraloss", "librosa")
LEVEL = {"label": "level", "unit": "dB"}


def metrics(fit: AcidFit) -> dict[str, float]:
    """MSS of all notes, from the fitted phases and from others, and of each."""
    found = {
        "notes/mss": fit.after,
        "notes/mss_start": fit.before,
        "notes/mss_replayed": fit.replayed,
        "notes/mss_moved": fit.moved,
        "train/seconds": round(fit.seconds, 1),
    }
    return found | {f"{name}/mss": float(mss) for name, mss in zip(fit.notes.names, fit.of_notes, strict=True)}


def summary(fit: AcidFit) -> str:
    """In words for a terminal."""
    notes = "1 note" if len(fit.notes) == 1 else f"{len(fit.notes)} notes"
    return (
        f"{notes}: MSS {fit.after:.3f}, {fit.before:.3f} before the fit\n"
        f"with another phase {fit.moved:.3f} where its periods lie on the recording's, {fit.replayed:.3f} where they do not"
    )


@torch.no_grad()
def write_acid_fit(folder: Path, fit: AcidFit, title: str, command: str, notes: Sequence[str] = ()) -> Path:
    """Writes presets (`patches/`, and that of the best note as model.yaml), metrics, audio and page; returns the page."""
    patches = {name: fit.patch(i) for i, name in enumerate(file_names(fit.notes.names))}
    for name, patch in patches.items():
        patch.save(folder / "patches" / f"{name}.yaml")
    best = int(fit.of_notes.argmin())
    model = fit.patch(best)
    return write_folder(
        folder,
        model,
        metrics=metrics(fit),
        parameters=[parameter_record(spec) for spec in model.parameters_spec() if not spec.name.startswith("logits")],
        curves=_curves(fit, list(patches.values())),
        tracks={"notes": _tracks(fit)},
        sample_rate=fit.notes.sample_rate,
        run=run_record(
            title,
            f"{len(fit.notes)} notes, {fit.synth.settings['filter']} · Adam in the time domain",
            command,
            fit.seconds,
            headline=("notes/mss", "notes/mss_moved", "notes/mss_replayed"),
            findings=(*summary(fit).splitlines(), f"The parameters are those of {fit.notes.names[best]}."),
            notes=[*notes, *fit.notes.remarks],
            packages=PACKAGES,
        ),
        history=[{"step": step, "train/mss": loss} for step, loss in fit.history],
    )


def file_names(names: Sequence[str]) -> list[str]:
    """Names that every file system takes, no two alike.

    >>> file_names(["note 1", "a/b", "note-1"])
    ['note-1', 'a-b', 'note-1-2']
    """
    found: list[str] = []
    for name in names:
        plain = re.sub(r"[^\w.+-]+", "-", name).strip("-.") or "note"
        taken = sum(other == plain or re.fullmatch(rf"{re.escape(plain)}-\d+", other) is not None for other in found)
        found.append(f"{plain}-{taken + 1}" if plain in found else plain)
    return found


def _tracks(fit: AcidFit) -> dict[str, Tensor]:
    """All notes in a row; the last track from random phases."""
    phases = 2 * torch.pi * torch.rand(len(fit.notes), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    played = {
        "target": fit.notes.audio,
        "prediction": fit.render(),
        "prediction from another phase": fit.render(phases),
    }
    return {name: sounds.reshape(1, -1) for name, sounds in played.items()}


def _curves(fit: AcidFit, patches: Sequence[AcidPatch]) -> list[dict[str, Any]]:
    """Ways of the cutoff and of the level over the first notes, and the resonance of all."""
    axes = {"cutoff_hz": ("Cutoff", HERTZ), "gain_db": ("Level", LEVEL)}
    found = [
        {
            "title": title,
            "x": TIME,
            "y": axis,
            "series": [
                series(n, *_way(patch, name)) for n, patch in zip(fit.notes.names, patches[:SHOWN], strict=False)
            ],
            "caption": f"Over each of the first {min(SHOWN, len(patches))} notes." if len(patches) > 1 else "",
        }
        for name, (title, axis) in axes.items()
        if name in fit.spacing_s
    ]
    resonance = next((name for name in ("q", "resonance") if name in fit.values), None)
    if resonance is not None and len(patches) > 1:
        numbers = torch.arange(len(patches), dtype=torch.float64)
        found.append(
            {
                "title": "Resonance",
                "x": {"label": "note", "unit": ""},
                "y": {"label": "Q" if resonance == "q" else "feedback", "unit": ""},
                "series": [series("fitted", numbers, fit.values[resonance], "points")],
                "caption": "",
            }
        )
    return found


def _way(patch: AcidPatch, name: str) -> tuple[Tensor, Tensor]:
    """(seconds, values) of a control at the control frames."""
    values = patch.values()[name]
    return torch.arange(len(values)) * (patch.synth.hop / patch.sample_rate), values
