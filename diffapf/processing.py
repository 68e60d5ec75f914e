"""A recording through a fitted effect, block by block: as long as it may be, in constant memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from diffapf.audio_stream import RecordingReader, RecordingWriter
from diffapf.effects.effect import Effect
from diffapf.model import Model

BLOCK = 1 << 16  # samples
PRESET = "model.yaml"


def load_model(path: str | os.PathLike, sample_rate: float | None = None) -> Model:
    """The model of a preset, or of a folder with one that a fit or a training wrote, at its sample rate or another one."""
    path = Path(path)
    preset = path / PRESET if path.is_dir() else path
    if not preset.exists():
        raise ValueError(f"there is no preset {preset}: give a model's YAML file, or the folder that a fit wrote")
    return Model.load(preset, sample_rate)


def process_recording(
    model: str | os.PathLike,
    source: str | os.PathLike,
    target: str | os.PathLike,
    settings: dict[str, float] | None = None,
    progress: Callable[[float], None] | None = None,
    block: int = BLOCK,
) -> Effect:
    """Plays a mono or stereo file, of any length and rate, through an effect into another file as long.

    The effect is designed anew for the file's sample rate. Its latency is taken out: the output lies where the input does.

    Args:
        model: a preset, or a folder with one.
        source: an audio file.
        target: a .wav file, of float32, or a .flac file.
        settings: values of named parameters in their units, in place of the preset's.
        progress: is told the share that is done.
        block: samples at once; the output is the same for any.

    Returns:
        the effect, as it was played.

    Raises:
        ValueError: the model is none, or no effect; there is no such parameter, or its value is out of range; the files.
    """
    reader = RecordingReader(source)
    effect = load_model(model, reader.sample_rate)
    if not isinstance(effect, Effect):
        raise ValueError(
            f"{model} is no effect but a preset of {type(effect).__name__}, which recordings don't go through"
        )
    effect.double()
    effect.set_parameters(settings or {})
    done = 0
    with torch.no_grad(), RecordingWriter(target, reader.sample_rate) as writer:
        for piece in _through(effect, reader, block):
            writer.write(piece)
            done += piece.shape[-1]
            if progress:
                progress(done / reader.length)
    return effect


def _through(effect: Effect, reader: RecordingReader, block: int) -> Iterator[np.ndarray]:
    """The output in blocks, without the samples of the effect's latency before it."""
    state, early = effect.initial_state(), effect.latency
    after = np.zeros((reader.channels, effect.latency))
    for samples in _and_after(reader.blocks(block), after):
        output, state = effect.process(torch.from_numpy(samples), state)
        skipped = min(early, output.shape[-1])
        early -= skipped
        if output.shape[-1] > skipped:
            yield output[..., skipped:].numpy()


def _and_after(blocks: Iterator[np.ndarray], after: np.ndarray) -> Iterator[np.ndarray]:
    yield from blocks
    if after.shape[-1]:
        yield after
