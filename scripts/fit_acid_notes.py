"""What fits of the acid synth to recorded notes come to: closeness, CPU time, and what another phase costs.

    python scripts/fit_acid_notes.py [--notes FOLDER] [--models FOLDER] [--write]

Three tables, on one thread:

    fit this sample  each fold's notes from what an extractor hears that trained on the other folds: runs of
                     scripts/reproduce.py table=acid "settings=[Coeff locked]" "trainings=[TD]", whose folder is --models
    smooth patches   a knot of the cutoff in 21 ms, from nothing: what a musician plays
    coefficients     five numbers each 0.7 ms, from nothing

`--write` records them in benchmarks/acid_fits.md.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from statistics import mean
from textwrap import wrap

import torch

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from diffapf.identification.acid_fit import AcidFit, fit_acid, smooth_knots  # noqa: E402
from diffapf.identification.trained_extractor import load_start  # noqa: E402
from diffapf.metrics import mss  # noqa: E402
from diffapf.notes import Notes, folds, read_labelled  # noqa: E402
from diffapf.report.folder import versions  # noqa: E402
from diffapf.synths.acid import AcidSynth  # noqa: E402
from scripts.benchmarking.report import processor  # noqa: E402
from scripts.compressor_table import rows_in_markdown  # noqa: E402

FOLDS, STEADY = 5, 0.1
HEAD = [
    "",
    "notes",
    "steps",
    "CPU s",
    "MSS at the start",
    "MSS",
    "moved",
    "of them ≤ 0.1 more",
    "replayed",
    "itself replayed",
]
WORDS = (
    "MSS of auraloss 0.4 per batch; the first fit compiles. Moved: from a random phase, the note moved until its "
    "periods lie on the recording's, so that only what is locked to the phase pays; then the share of notes that pay "
    "0.1 at most. Replayed: from a random phase, against the recording as it is. The loss hears where pulses lie, so "
    "that a perfect model pays, too; itself replayed: the fitted sound from a random phase against the fitted sound."
)


@dataclass(frozen=True)
class Row:
    """A fit, and the CPU time that it took."""

    name: str
    fit: AcidFit
    cpu_seconds: float

    def cells(self) -> list[str]:
        fit, steps = self.fit, str(len(self.fit.history))
        steady = (fit.moved_of_notes - fit.of_notes <= STEADY).double().mean().item()
        scores = (fit.before, fit.after, fit.moved, steady, fit.replayed, itself_replayed(fit))
        return [self.name, str(len(fit.notes)), steps, f"{self.cpu_seconds:.1f}", *(f"{each:.3f}" for each in scores)]


def itself_replayed(fit: AcidFit) -> float:
    turns = torch.rand(len(fit.notes), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return mss(fit.render(2 * math.pi * turns), fit.render())


def timed(name: str, *arguments, **more) -> Row:
    """Arguments of `fit_acid`."""
    began = time.process_time()
    fit = fit_acid(*arguments, **more)
    row = Row(name, fit, time.process_time() - began)
    print(" | ".join(row.cells()), flush=True)
    return row


def from_models(notes: Notes, models: Path, steps: int = 40) -> list[Row]:
    """Of each fold whose model is there; Adam from what it hears."""
    rows = []
    for fold in range(FOLDS):
        run = models / f"Coeff locked_TD_seed{fold}"
        if run.is_dir():
            model, held = load_start(run), notes.subset(folds(len(notes), fold, FOLDS)[1])
            rows.append(timed(f"fold {fold}", held, model.synth, steps, start=model.start(held)))
    return rows


def smooth(notes: Notes, filter: str, steps: int) -> Row:
    synth = AcidSynth(notes.sample_rate, filter, shaped=True, noise=True, output_fir=True)
    knots = smooth_knots(synth, notes)
    name = f"{filter}, {knots['cutoff_hz']} knots of the cutoff, {knots['gain_db']} of the level"
    return timed(name, notes, synth, steps, knots=knots)


def locked(notes: Notes, steps: int) -> Row:
    synth = AcidSynth(notes.sample_rate, "coefficients", noise=True)
    return timed("coefficients every 32 samples", notes, synth, steps)


def with_mean(rows: Sequence[Row]) -> list[list[str]]:
    cells = [row.cells() for row in rows]
    if not cells:
        return [HEAD, ["no model is there", *[""] * (len(HEAD) - 1)]]
    return [
        HEAD,
        *cells,
        ["mean", "", "", *(f"{mean(map(float, column)):.3g}" for column in list(zip(*cells, strict=True))[3:])],
    ]


def report(of_folds: Sequence[Row], others: Sequence[Row], command: str) -> str:
    known = ", ".join(f"{name} {number}" for name, number in versions(("torch", "numba", "auraloss")).items())
    return "\n".join(
        [
            "# Fits of the acid synth to recorded notes",
            "",
            f"    {command}",
            "",
            f"{date.today()} · {processor()}, {os.cpu_count()} cores, busy · {known} · one thread",
            "",
            *wrap(WORDS, 120),
            "",
            "## Fit this sample: from an extractor that trained on the other folds",
            "",
            *rows_in_markdown(with_mean(of_folds)),
            "",
            "## From nothing, all notes",
            "",
            *rows_in_markdown([HEAD, *(row.cells() for row in others)]),
            "",
        ]
    )


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--notes", type=Path, default=ROOT / "../shared/data/acid", help="notes.wav and notes.csv")
    parser.add_argument("--models", type=Path, default=ROOT / "runs/tables/acid/quick")
    parser.add_argument("--steps", type=int, default=400, help="of the fits from nothing")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args(argv)
    if not options.notes.is_dir():
        parser.error(f"--notes {options.notes}: there is no such folder; it holds notes.wav and notes.csv")
    torch.set_num_threads(1)
    notes = read_labelled(options.notes / "notes.wav", options.notes / "notes.csv")
    of_folds = from_models(notes, options.models)
    others = [smooth(notes, filter, options.steps) for filter in ("lowpass", "ladder")]
    others.append(locked(notes, options.steps))
    text = report(of_folds, others, f"python scripts/fit_acid_notes.py --steps {options.steps} --write")
    print(text)
    if options.write:
        (ROOT / "benchmarks" / "acid_fits.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
