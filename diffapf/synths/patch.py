"""One sound of the acid synth, to be kept, edited and played: what of an `AcidSynth` stands still, and how the rest moves.

Controls of a note are named parameters; controls that move are a few knots, a time in seconds apart, which start where the
note starts and whose last is held. So the sound does not depend on the control rate, nor, as far as filters can be the same,
on the sample rate: `coefficients`, an LSTM, the tilt and the level of noise belong to theirs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from diffapf.model import Model
from diffapf.parameters import Named, NamedSeries, Range, is_finite_number
from diffapf.synths.acid import AcidSynth, Note
from diffapf.synths.controls import Control
from diffapf.synths.lstm_filter import LSTMFilter
from diffapf.synths.trajectories import frames_needed, in_octaves, knob, sampled, unit, value_at

LOWEST_Q = 0.5
"""Below it a low-pass has no resonance but two real poles."""
SPANS = {"octaves": 5.0, "dB": 60.0, "": 10.0}
"""How far knobs of knots reach."""
KNOTS, SPACING_S = 7, 0.125 / 6


class AcidPatch(Model):
    """A patch, `y = patch(f0_hz)`: `(time,)` of Hz to a note, in the dtype of its parameters.

    Parameters: the synth's controls by their names (`osc_shape`, `q`); of those that move, their knots in the units of the
    knob (`cutoff.1` in octaves about 1 kHz, `gain_db.1`, `logits_1.1`); `phase`, of the oscillator before the first sample;
    `level`, a factor on the output.

    Args:
        sample_rate: in Hz.
        knots: of each control that moves, by its name; 7 where it is not there.
        spacing_s: seconds between them; 0.0208 where it is not there.
        settings: as `AcidSynth` takes them.

    Raises:
        ValueError: an argument outside what is said here, or that the synth refuses; the message names it.

    >>> patch = AcidPatch(48_000, knots={"cutoff_hz": 2, "gain_db": 1}, spacing_s={"cutoff_hz": 0.1})
    >>> patch.set_parameters({"cutoff.1": 2.0, "cutoff.2": -1.0})
    >>> patch.values()["cutoff_hz"][[0, -1]].tolist()
    [4000.0, 500.0]
    >>> patch(torch.full((4800,), 110.0)).shape
    torch.Size([4800])
    """

    def __init__(
        self,
        sample_rate: float,
        knots: Mapping[str, int] | None = None,
        spacing_s: Mapping[str, float] | None = None,
        **settings: Any,
    ):
        super().__init__(sample_rate)
        self.synth = AcidSynth(sample_rate, **settings)
        moving = [control.name for control in self.synth.controls if control.moves]
        self.knots = dict.fromkeys(moving, KNOTS) | dict(_checked(knots, moving, "knots", _is_count))
        self.spacing_s = dict.fromkeys(moving, SPACING_S) | dict(_checked(spacing_s, moving, "spacing_s", _is_time))
        for control in self.synth.controls:
            self._add(control)
        self.phase = Named(0.0, "rad")
        self.level = Named(1.0, "", 0.0, 1.0)

    def configuration(self) -> dict[str, Any]:
        return {**self.synth.settings, "knots": dict(self.knots), "spacing_s": dict(self.spacing_s)}

    def set_parameters(self, values: dict[str, float]) -> None:
        """As every model's; a control beyond its range is refused: Q below 0.5, a ladder's resonance above 3.92."""
        for control in self.synth.controls:
            if control.range is None or control.moves or control.name not in values:
                continue
            if is_finite_number(values[control.name]):
                _check_range(control.name, values[control.name], control.range)
        super().set_parameters(values)

    def values(self) -> dict[str, Tensor]:
        """What the synth plays: of each control `()`, or `(frames,)`, `(frames, channels)`, until the last knot."""
        step_s = self.synth.hop / self.sample_rate
        count = max(frames_needed(self.knots[name], self.spacing_s[name], step_s) for name in self.knots)
        return {
            control.name: self._at_frames(control, step_s, count)
            if control.moves
            else getattr(self, control.name)().to(self.dtype)
            for control in self.synth.controls
        }

    @property
    def dtype(self) -> torch.dtype:
        return self.level.step.dtype

    def forward(self, f0_hz: Tensor, note_on: int | None = None) -> Tensor:
        """A note from its start to the end of f0_hz, or cut after `note_on` samples."""
        length = torch.tensor(f0_hz.shape[-1] if note_on is None else note_on)
        note = Note(f0_hz, length, self.phase(), self.level().to(self.dtype))
        return self.synth(note, self.values())

    def at_sample_rate(self, sample_rate: float, hop: int | None = None) -> AcidPatch:
        """The same sound at another rate, or control rate; the cutoff stays below half of it."""
        settings = self.configuration()
        settings["highest_hz"] = min(settings["highest_hz"], 0.49 * sample_rate)
        settings["hop"] = hop or settings["hop"]
        other = AcidPatch(sample_rate, **settings).to(self.dtype)
        other.load_state_dict(self.state_dict())
        return other

    @classmethod
    def of(
        cls,
        synth: AcidSynth,
        values: Mapping[str, Tensor],
        spacing_s: Mapping[str, float],
        phase: float = 0.0,
        level: float = 1.0,
    ) -> AcidPatch:
        """The patch of values that a fit found: of each control `()`, or at its knots `(knots,)`, `(knots, channels)`."""
        knots = {name: values[name].shape[0] for name in spacing_s}
        patch = cls(synth.sample_rate, knots, spacing_s, **synth.settings)
        for control in synth.controls:
            value = values[control.name].detach().double()
            if control.moves:
                for series, channel in zip(patch._series(control), _channels(knob(control, value)), strict=True):
                    series.set(channel)
            else:
                getattr(patch, control.name).set(value.item())
        patch.phase.set(phase)
        patch.level.set(level)
        if isinstance(synth.filter, LSTMFilter) and isinstance(patch.synth.filter, LSTMFilter):
            patch.synth.filter.load_state_dict(synth.filter.state_dict())
        return patch

    def _add(self, control: Control) -> None:
        if not control.moves:
            reached = control.range or Range(-1.0, 1.0)
            start = float(control.value(torch.zeros((), dtype=torch.float64)))
            self.add_module(control.name, Named(start, reached.unit, reached.minimum, reached.maximum, reached.taper))
            return
        start = float(knob(control, control.value(torch.zeros((), dtype=torch.float64))))
        for name in _names(control):
            knots = [start] * self.knots[control.name]
            self.add_module(name, NamedSeries(knots, unit(control), SPANS[unit(control)]))

    def _series(self, control: Control) -> list[NamedSeries]:
        return [getattr(self, name) for name in _names(control)]

    def _at_frames(self, control: Control, step_s: float, count: int) -> Tensor:
        spacing = self.spacing_s[control.name]
        channels = [sampled(series(), spacing, step_s, count) for series in self._series(control)]
        frames = channels[0] if control.channels == 1 else torch.stack(channels, -1)
        return value_at(control, frames).to(self.dtype)


def _names(control: Control) -> list[str]:
    """Of the series that hold a control's knots."""
    name = control.name.removesuffix("_hz") if in_octaves(control) else control.name
    return [name] if control.channels == 1 else [f"{name}_{i + 1}" for i in range(control.channels)]


def _channels(knots: Tensor) -> list[Tensor]:
    return [knots] if knots.dim() == 1 else list(knots.unbind(-1))


def _check_range(name: str, value: float, reached: Range) -> None:
    lowest = LOWEST_Q if name == "q" else reached.minimum
    rounding = 1e-6 * (reached.maximum - reached.minimum)
    if not lowest - rounding <= value <= reached.maximum + rounding:
        raise ValueError(
            f"{name} must lie from {lowest:g} to {reached.maximum:g} {reached.unit}".rstrip() + f", got {value:g}"
        )


def _checked(given: Mapping[str, Any] | None, moving: list[str], name: str, right: Any) -> Mapping[str, Any]:
    for control, value in (given or {}).items():
        if control not in moving:
            raise ValueError(f"{name}: no control {control!r} moves; those that do are {', '.join(moving)}")
        if not right(value):
            raise ValueError(f"{name}: {control} must be {right.__doc__}, got {value!r}")
    return given or {}


def _is_count(value: object) -> bool:
    """a whole number from 1 up"""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_time(value: object) -> bool:
    """a positive number of seconds"""
    return is_finite_number(value) and value > 0  # type: ignore[operator]
