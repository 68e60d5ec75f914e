"""Notes and values for the acid synth's tests, and the synth's definition as loops over samples in NumPy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffapf.synths.acid import AcidSynth, Note
from tests.filters.oracles import Array, allpole_loop, fir_loop, normal

SAMPLE_RATE = 48_000
HOP = 16
EXTRAS = {"shaped": True, "noise": True, "output_fir": True}
SYNTHS: dict[str, dict[str, Any]] = {
    "coefficients": {"filter": "coefficients"},
    "coefficients as published": {"filter": "coefficients", "normalised": False, "level": "power"},
    "lowpass": {"filter": "lowpass", "level": "power", **EXTRAS},
    "lowpass, trajectory": {"filter": "lowpass", **EXTRAS},
    "ladder": {"filter": "ladder", **EXTRAS},
    "lstm": {"filter": "lstm", "level": "power"},
}


def small_synth(**settings: Any) -> AcidSynth:
    torch.manual_seed(0)
    return AcidSynth(**{"sample_rate": SAMPLE_RATE, "hop": HOP, "highest_hz": 8000.0, **settings}).double()


def notes(time: int, *batch: int, f0_hz: float = 440.0, dtype: torch.dtype = torch.float64) -> Note:
    """Notes that slide, each from another phase, of which all end before the time does."""
    place = torch.arange(math.prod(batch), dtype=torch.float64).reshape(batch)
    slide = torch.linspace(0, 3, time, dtype=torch.float64)
    return Note(
        f0_hz=(f0_hz * 2 ** ((place[..., None] + slide) / 12)).to(dtype),
        note_on=(0.8 * time - place).floor(),
        phase=place - 1.0,
        level=(1.0 + place).to(dtype),
        noise_start=1000 * place.long(),
    )


def raw_values(synth: AcidSynth, frames: int, *batch: int, seed: int = 0) -> dict[str, Tensor]:
    """Any numbers, by name."""
    found = {}
    for i, control in enumerate(synth.controls):
        own = (frames,) * control.moves + (control.channels,) * (control.channels > 1)
        found[control.name] = 0.5 * normal(*batch, *own, seed=100 * seed + i)
    return found


def values(synth: AcidSynth, frames: int, *batch: int, seed: int = 0) -> dict[str, Tensor]:
    raw = raw_values(synth, frames, *batch, seed=seed)
    return {control.name: control.value(raw[control.name]) for control in synth.controls}


# ------------------------------------------------------------------------------------------------------ the definition


def synth_loop(synth: AcidSynth, note: Note, at: dict[str, Tensor], row: int, noise: Array) -> Array:
    """One note of a batch, sample by sample."""
    one = {name: value[row].detach().numpy() for name, value in at.items()}
    f0, on, phase = note.f0_hz[row].numpy(), float(note.note_on[row]), float(note.phase[row])
    x = (
        oscillator_loop(f0, phase, synth.sample_rate, one)
        * float(one["osc_gain"])
        * level_loop(synth, one, on, len(f0))
    )
    y = np.tanh(float(one["dist_gain"]) * filtered_loop(synth, one, x))
    if "tilt" in one:
        y = fir_loop(y, np.tile([1.0, float(one["tilt"])], (len(y), 1)), np.zeros(1))[0]
    if "noise_db" in one:
        y = y + 10 ** (float(one["noise_db"]) / 20) * noise
    return float(note.level[row]) * np.where(np.arange(len(y)) < on, y, 0.0)


def oscillator_loop(f0: Array, phase: float, sample_rate: float, one: dict[str, Array]) -> Array:
    width, edge, dc = (float(one.get(name, 0.0)) for name in ("osc_width", "osc_edge", "osc_dc"))
    shape, out = float(one["osc_shape"]), []
    for f in f0:
        phase += 2 * math.pi * f / sample_rate
        partials = 12_000 / (f * math.log10(f))
        square = math.tanh(math.pi * partials * math.exp(edge) * (math.sin(phase) + width) / 2)
        out.append((1 - shape / 2) * square * (1 + shape * math.cos(phase)) + dc)
    return np.array(out)


def level_loop(synth: AcidSynth, one: dict[str, Array], on: float, time: int) -> Array:
    if "gain_db" in one:
        return at_samples(10 ** (one["gain_db"][:, None] / 20), synth.hop, time)[:, 0]
    past = [min((n + 0.001) / on + 0.001, 1.0) for n in range(time)]
    return np.array([(1 - p) ** float(one["decay"]) if p < 1 else 0.0 for p in past])


def filtered_loop(synth: AcidSynth, one: dict[str, Array], x: Array) -> Array:
    for b, a in frame_filters(synth, one):
        w, _ = allpole_loop(x, at_samples(a, synth.hop, len(x)), np.zeros(2))
        x, _ = fir_loop(w, at_samples(b, synth.hop, len(x)), np.zeros(2))
    return x


def frame_filters(synth: AcidSynth, one: dict[str, Array]) -> list[tuple[Array, Array]]:
    """b and a (without its leading 1) of each frame, of each section."""
    if "logits" in one:
        normalised = synth.settings["normalised"]
        return [by_frames([biquad_of_logits(logits, normalised) for logits in one["logits"]])]
    if "q" in one:
        return [by_frames([lowpass(f, float(one["q"]), synth.sample_rate) for f in one["cutoff_hz"]])]
    turn = float(one["resonance"]) ** 0.25
    poles = [-1 + turn * np.exp(1j * np.pi / 4), -1 + turn * np.exp(3j * np.pi / 4)]
    return [
        by_frames(
            [
                lowpass(min(f * abs(s), 0.49 * synth.sample_rate), abs(s) / (2 * abs(s.real)), synth.sample_rate)
                for f in one["cutoff_hz"]
            ]
        )
        for s in poles
    ]


def biquad_of_logits(logits: Array, normalised: bool) -> tuple[list[float], list[float]]:
    l1, l2, *b = (float(number) for number in logits)
    if normalised:
        l1, l2 = l1 - 1.8, l2 - 0.9
    a1 = 2 * math.tanh(l1) * (1 - 1e-3)
    a2 = ((2 - abs(a1)) * math.tanh(l2) * (1 - 1e-3) + abs(a1)) / 2
    if normalised:
        b = [(number + start) * (1 + a1 + a2) for number, start in zip(b, (0.25, 0.5, 0.25), strict=True)]
    return b, [a1, a2]


def lowpass(frequency: float, q: float, sample_rate: float) -> tuple[list[float], list[float]]:
    omega = 2 * math.pi * frequency / sample_rate
    alpha = math.sin(omega) / (2 * q)
    b = [(1 - math.cos(omega)) / 2, 1 - math.cos(omega), (1 - math.cos(omega)) / 2]
    a = [-2 * math.cos(omega) * 0.999, (1 - alpha) * 0.999]
    return [number / (1 + alpha) for number in b], [number / (1 + alpha) for number in a]


def by_frames(filters: list[tuple[list[float], list[float]]]) -> tuple[Array, Array]:
    b, a = zip(*filters, strict=True)
    return np.array(b), np.array(a)


def at_samples(frames: Array, hop: int, time: int) -> Array:
    """Linear between frames, a frame every `hop` samples from the first; the last one is held."""
    n = np.arange(time)
    return np.stack([np.interp(n, hop * np.arange(len(frames)), column) for column in frames.T], -1)
