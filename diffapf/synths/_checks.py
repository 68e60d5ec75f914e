"""What a synth is given: notes that can be played, and values of its controls that fit them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from diffapf.filters._checks import broadcasts, unwrapped
from diffapf.synths.controls import Control

if TYPE_CHECKING:
    from diffapf.synths.acid import Note

LOWEST_HZ = 5.0


def check_note(note: Note, sample_rate: float) -> None:
    """Raises ValueError for a note without samples or length, a pitch that no oscillator plays, shapes that differ.

    And TypeError for numbers in place of tensors.
    """
    f0_hz = note.f0_hz
    _check_tensors({"f0_hz": f0_hz, "note_on": note.note_on})
    if f0_hz.dim() == 0 or f0_hz.numel() == 0:
        raise ValueError(f"f0_hz must have at least one sample, (..., time), got the shape {tuple(f0_hz.shape)}")
    if not _between(f0_hz, LOWEST_HZ, sample_rate / 2):
        raise ValueError(
            f"f0_hz must lie from {LOWEST_HZ:g} Hz up to half the sample rate, {sample_rate / 2:g} Hz, "
            f"got {_words(f0_hz)} Hz"
        )
    batch = tuple(f0_hz.shape[:-1])
    for name in ("note_on", "phase", "level", "noise_start"):
        part = getattr(note, name)
        if isinstance(part, Tensor) and not broadcasts(part, batch):
            raise ValueError(f"{name} must have the shape of f0_hz without time, {batch}, got {tuple(part.shape)}")
    if not _between(note.note_on, 1e-9, float("inf")):
        raise ValueError(f"note_on must be positive, the samples until the note's end, got {_words(note.note_on)}")


def fitted(
    values: Mapping[str, Tensor], controls: Iterable[Control], batch: Sequence[int], sample_rate: float
) -> dict[str, Tensor]:
    """The controls' values with the notes' leading dimensions.

    Raises:
        TypeError, ValueError: one is no tensor, or is missing, does not fit, or makes no sense; the message names it.
    """
    controls = tuple(controls)
    missing = [control.name for control in controls if control.name not in values]
    if missing:
        raise ValueError(f"values need {', '.join(c.name for c in controls)}; {', '.join(missing)} missing")
    _check_tensors({control.name: values[control.name] for control in controls})
    return {control.name: _fitted(values[control.name], control, batch, sample_rate) for control in controls}


def _check_tensors(given: Mapping[str, object]) -> None:
    for name, value in given.items():
        if not isinstance(value, Tensor):
            raise TypeError(f"{name} must be a tensor, got {value!r}")


def _fitted(value: Tensor, control: Control, batch: Sequence[int], sample_rate: float) -> Tensor:
    own = control.moves + (control.channels > 1)
    shape = (*batch, *value.shape[max(value.dim() - own, 0) :])
    wrong_channels = control.channels > 1 and value.shape[-1:] != (control.channels,)
    if value.dim() < own or wrong_channels or 0 in value.shape or not broadcasts(value, shape):
        needed = ", ".join(
            [*map(str, batch), *["frames"] * control.moves, *[str(control.channels)] * (control.channels > 1)]
        )
        raise ValueError(f"{control.name} must have the shape ({needed}) for these notes, got {tuple(value.shape)}")
    below = control.below
    if control.range is not None and control.range.unit == "Hz":
        below = min(below, sample_rate / 2)
    if not _between(value, control.lowest, below):
        words = f"at least {control.lowest:g}" + (f" and below {below:g}" if below != float("inf") else "")
        raise ValueError(f"{control.name} must be {words}, got {_words(value)}")
    return value.expand(shape)


def _between(value: Tensor, lowest: float, below: float) -> bool:
    """Whether all of them are; without limits, or where numbers cannot be asked for, they are taken to be."""
    extent = None if (lowest, below) == (-float("inf"), float("inf")) else _extent(value)
    return extent is None or (lowest <= extent[0] and extent[1] < below)


def _extent(value: Tensor) -> tuple[float, float] | None:
    if torch.compiler.is_compiling() or value.is_meta:
        return None
    low, high = torch.aminmax(unwrapped(value.detach()))
    return float(low), float(high)


def _words(value: Tensor) -> str:
    low, high = _extent(value) or (float("nan"), float("nan"))
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"
