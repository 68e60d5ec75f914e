"""Fits vocoders to real voices, each under the same number of steps, and writes benchmarks/voices.md.

    python scripts/fit_voices.py FOLDER             all recordings in a folder
    python scripts/fit_voices.py FOLDER --models golf_ss --steps 1500

Results are kept in runs/voices, from where an interrupted run goes on. Scores are means over five noises that no step has
seen. `-fs` is what was found frame by frame, sung sample by sample.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import Progress
from torch import Tensor

from diffapf import audio
from diffapf.identification.voice_fit import UNSEEN, VoiceFit, fit_voice
from diffapf.synths.vocoder import SAMPLE_WISE, VOCODERS
from diffapf.synths.voice_patch import VoicePatch
from diffapf.voice_metrics import real_time_factor, voice_scores

ROOT = Path(__file__).parents[1]
KEPT, RECORD = ROOT / "runs" / "voices", ROOT / "benchmarks" / "voices.md"
MODELS = ("golf_ss", "golf_ff", "golf_v1", "pulf", "ddsp")
LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor] | None] = {
    "MSS": None,
    "L2": lambda prediction, target: (prediction - target).square().mean() / target.square().mean(),
}


def scores(patch: VoicePatch, target: Tensor) -> dict[str, float]:
    sung = [patch(seed) for seed in UNSEEN]
    speed = {"real_time_factor": real_time_factor(lambda: patch(0), patch.sample_rate)}
    return voice_scores(sung, target, patch.sample_rate) | speed


def sample_wise(fit: VoiceFit, other: str) -> VoicePatch:
    """What was found frame-wise, sung by the vocoder that takes it as it is, sample by sample."""
    settings = {**fit.patch.vocoder.settings, "filter": VOCODERS[other]["filter"]}
    again = VoicePatch(fit.patch.sample_rate, fit.patch.frames, fit.patch.length, **settings)
    again.load_state_dict(fit.patch.state_dict())
    return again


def run(path: Path, model: str, loss: str, steps: int, progress: Callable[[int, float], None]) -> list[dict[str, Any]]:
    target = torch.from_numpy(audio.read(path).samples[0]).float()
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_utime, time.perf_counter()
    fit = fit_voice(
        target, audio.read(path).sample_rate, model, steps, loss=LOSSES[loss], progress=progress, locked=loss == "L2"
    )
    if fit.interrupted:
        raise KeyboardInterrupt
    cost = {
        "cpu_s": resource.getrusage(resource.RUSAGE_SELF).ru_utime - before,
        "wall_s": time.perf_counter() - began,
    }
    rows = [{"recording": path.stem, "model": model, "loss": loss, "steps": steps, **scores(fit.patch, target), **cost}]
    if model in SAMPLE_WISE:
        rows.append({**rows[0], "model": f"{model}, -fs", **scores(sample_wise(fit, SAMPLE_WISE[model]), target)})
    return rows


def record(rows: list[dict[str, Any]]) -> str:
    columns = (
        "recording",
        "model",
        "loss",
        "steps",
        "mss",
        "mcd_db",
        "f0_cents",
        "f0_cents_published",
        "fad_log_mel",
        "pesq",
        "snr_db",
    )
    columns += ("real_time_factor", "cpu_s", "wall_s")
    lines = ["| " + " | ".join(columns) + " |", "| --- | --- | --- |" + " --: |" * (len(columns) - 3)]
    for row in rows:
        cells = (row.get(name, "") for name in columns)
        lines.append(
            "| " + " | ".join(f"{cell:.3g}" if isinstance(cell, float) else str(cell) for cell in cells) + " |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--loss", choices=tuple(LOSSES), default="MSS")
    parser.add_argument("--steps", type=int, default=600)
    options = parser.parse_args()
    KEPT.mkdir(parents=True, exist_ok=True)
    with Progress(console=Console(stderr=True)) as bar:
        for path in sorted(options.folder.glob("*.wav")):
            for model in options.models:
                kept = KEPT / f"{path.stem}-{model}-{options.loss}-{options.steps}.json"
                if not kept.exists():
                    task = bar.add_task(f"{path.stem} {model}", total=options.steps)
                    found = run(
                        path,
                        model,
                        options.loss,
                        options.steps,
                        lambda step, _: bar.update(task, completed=step),  # noqa: B023
                    )
                    part = kept.with_suffix(".part")
                    part.write_text(json.dumps(found))
                    part.replace(kept)
    rows = [row for file in sorted(KEPT.glob("*.json")) for row in json.loads(file.read_text())]
    print(record(sorted(rows, key=lambda row: (row["recording"], row["loss"], row["steps"], row["model"]))))


if __name__ == "__main__":
    main()
