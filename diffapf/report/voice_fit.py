"""What `fit_voice` found, as a results folder and its page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from diffapf import audio
from diffapf.identification.voice_analysis import LEAST_RATE
from diffapf.identification.voice_fit import STEPS, VoiceFit, fit_voice
from diffapf.needs import needed
from diffapf.report.curves import HERTZ, TIME, series
from diffapf.report.folder import parameter_record, run_record, write_folder
from diffapf.synths.vocoder import RD_FRAMES, SAMPLE_RATE, Vocoder, Voice
from diffapf.voice_metrics import real_time_factor, voice_scores

PACKAGES = ("pyworld", "auraloss", "pysptk")
UNSEEN_SEED = 10_000
SHAPE = {"label": "R_d", "unit": "", "scale": "log"}
LEVEL = {"label": "level", "unit": "dB"}
OVER = "voice/prediction"


@dataclass(frozen=True)
class FittedVoice:
    """What came of a recording: `metrics` as in `metrics.json`, `page` the report's path, `summary` its words."""

    fit: VoiceFit
    metrics: dict[str, float]
    page: Path
    summary: str


def fit_recording(
    recording: audio.Recording,
    folder: Path,
    title: str,
    command: str,
    model: str = "golf_ss",
    steps: int = STEPS,
    progress: Callable[[int, float], None] | None = None,
) -> FittedVoice:
    """Fits a vocoder to a recorded voice and writes preset, metrics and report into a folder.

    Of a stereo recording the mean of both channels is fitted; one of another rate than 24 kHz is resampled to it.

    Raises:
        ValueError: a rate below 16 kHz; as `fit_voice`. Nothing is written then.
    """
    voice, remarks = at_the_models_rate(recording)
    fit = fit_voice(voice, SAMPLE_RATE, model, steps, progress=progress)
    found, page = write_voice_fit(folder, fit, title, command, remarks)
    return FittedVoice(fit, found, page, "\n".join([*remarks, summary(fit, found)]))


def at_the_models_rate(recording: audio.Recording) -> tuple[Tensor, list[str]]:
    """Mono at 24 kHz, and what was done for it."""
    samples, remarks = recording.samples.mean(0), []
    if len(recording.samples) > 1:
        remarks.append(f"{recording.path} is stereo: the mean of both channels was taken.")
    if recording.sample_rate < LEAST_RATE:
        raise ValueError(
            f"{recording.path} has {recording.sample_rate} Hz: a voice must be recorded at {LEAST_RATE:g} Hz at least"
        )
    if recording.sample_rate != SAMPLE_RATE:
        resample = needed("librosa").resample
        samples = resample(samples, orig_sr=recording.sample_rate, target_sr=SAMPLE_RATE)
        remarks.append(f"{recording.path} has {recording.sample_rate} Hz: it was resampled to {SAMPLE_RATE:g} Hz.")
    return torch.from_numpy(samples).float(), remarks


@torch.no_grad()
def write_voice_fit(
    folder: Path, fit: VoiceFit, title: str, command: str, notes: list[str]
) -> tuple[dict[str, float], Path]:
    """Writes preset, metrics, audio and page; returns the metrics and the page's path."""
    prediction = fit.patch(UNSEEN_SEED)
    found, remarks = metrics(fit, prediction)
    settings = fit.patch.vocoder.settings
    parts = parts_before_the_filter(fit.patch.vocoder, fit.patch.pitch(), fit.patch.edited(), fit.audio)
    page = write_folder(
        folder,
        fit.patch,
        metrics=found,
        parameters=[parameter_record(spec) for spec in fit.patch.parameters_spec()],
        curves=_curves(fit),
        tracks={"voice": {"target": fit.audio[None].float(), "prediction": prediction[None], **parts}},
        sample_rate=round(fit.patch.sample_rate),
        run=run_record(
            title,
            f"{settings['source']} source, {settings['filter']} filter, {settings['structure']} · Adam on every frame",
            command,
            fit.seconds,
            headline=("voice/mss", "voice/f0_cents", "voice/mcd_db"),
            findings=summary(fit, found).splitlines(),
            notes=[*notes, *remarks],
            packages=PACKAGES,
        ),
        history=[{"step": step, "train/mss": loss} for step, loss in fit.history],
    )
    return found, page


def metrics(fit: VoiceFit, prediction: Tensor) -> tuple[dict[str, float], list[str]]:
    """Of noise that was not fitted; and what could not be measured."""
    rate = fit.patch.sample_rate
    found = {f"voice/{name}": value for name, value in voice_scores([prediction], fit.audio.float(), rate).items()}
    found |= {
        "voice/mss": fit.after,
        "voice/mss_start": fit.before,
        "voice/real_time_factor": real_time_factor(lambda: fit.patch(UNSEEN_SEED), rate),
        "train/seconds": round(fit.seconds, 1),
    }
    remarks = []
    if "voice/mcd_db" not in found:
        remarks.append("The mel-cepstral distortion is left out: it needs pysptk, pip install 'diffapf[voices]'")
    if fit.interrupted:
        remarks.append("The fit was interrupted; this is what it had then.")
    return found, remarks


def summary(fit: VoiceFit, found: dict[str, float]) -> str:
    """In words for a terminal."""
    return (
        f"MSS {fit.after:.3f} on noise that was not fitted, {fit.before:.3f} before the fit\n"
        f"pitch {found['voice/f0_cents']:.1f} cents off in the mean, {found['voice/f0_cents_median']:.1f} in the median\n"
        f"sung {1 / found['voice/real_time_factor']:.0f} times faster than real time"
    )


@torch.no_grad()
def parts_before_the_filter(
    model: Vocoder, f0_hz: Tensor, values: Mapping[str, Tensor], target: Tensor
) -> dict[str, Tensor]:
    """The harmonics, the noise, and white noise through the filter: its spectrogram is the envelope over time."""
    noise = torch.randn(len(target), generator=torch.Generator().manual_seed(UNSEEN_SEED))
    harmonics, hiss = model.parts(Voice(f0_hz, len(target), noise), values)
    tracks = {"source": harmonics, "noise": hiss}
    if model.filter.controls:
        tracks["white noise through the filter"] = model.filter(noise, values)
    peak = float(target.abs().max())
    return {name: (peak * sound / sound.abs().max().clamp(min=1e-9))[None] for name, sound in tracks.items()}


def shape_curve(rd: Tensor, hop_s: float) -> dict[str, Any]:
    """R_d over time."""
    return {
        "title": "Tension of the voice",
        "x": TIME,
        "y": SHAPE,
        "series": [series("R_d", RD_FRAMES * hop_s * torch.arange(len(rd)), rd)],
        "caption": "0.3 is tense, 1 normal, 2.7 breathy.",
    }


def _curves(fit: VoiceFit) -> list[dict[str, Any]]:
    patch, hop_s = fit.patch, fit.patch.vocoder.hop / fit.patch.sample_rate
    times = hop_s * torch.arange(patch.frames)
    voiced = fit.analysis.voiced
    pitch = torch.where(voiced, patch.f0_hz, torch.nan)
    curves = [
        {
            "title": "Pitch",
            "x": TIME,
            "y": HERTZ,
            "series": [series("f0", times, pitch)],
            "caption": "As tracked (Harvest, StoneMask), where the recording is voiced.",
            "over": OVER,
        },
        {
            "title": "Level of the harmonics",
            "x": TIME,
            "y": LEVEL,
            "series": [series("before the filter", times, patch.values["level_db"])],
            "caption": "Against the noise, before the filter and its gain.",
        },
    ]
    return [*curves, shape_curve(patch.values["rd"], hop_s)] if "rd" in patch.values else curves
