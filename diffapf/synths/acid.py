"""A subtractive synth of one voice, like the Roland TB-303.

    oscillator ── level ── filter ── distortion ── output FIR ── + noise ── gate ── y

The oscillator's level falls by a power law over the note, or follows a trajectory; the filter moves at the control rate; the
gate cuts hard where the note ends.

    level       g_osc (1 − min((n + ε)/N_on + ε, 1))^ρ, ε = 10⁻³, or 10^(gain_db/20), linear between frames
    filter      see `acid_filters`; or an LSTM, tanh(x + linear(LSTM(x, cutoff, Q)))
    distortion  tanh(g_dist v)
    output FIR  w[n] + tilt · w[n−1]

Source: Yu, Mitcheltree, Carson, Bilbao, Reiss, Fazekas, "Differentiable All-pole Filters for Time-varying Audio Systems",
DAFx 2024, sections 4.2 and 5.2, and its published code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from diffapf.filters.control_rate import ControlRate
from diffapf.filters.fir import fir
from diffapf.filters.methods import ControlRateFilter, FrequencySampling, TimeDomain
from diffapf.modulation import upsample
from diffapf.parameters import Range
from diffapf.synths._checks import check_note, fitted
from diffapf.synths.acid_filters import AcidFilter, Coefficients, Ladder, LowPass, Values
from diffapf.synths.controls import Control
from diffapf.synths.lstm_filter import LSTMFilter
from diffapf.synths.noise import white_noise
from diffapf.synths.oscillators import running_phase, square_saw

FILTERS = ("coefficients", "lowpass", "ladder", "lstm")
LEVELS = ("power", "trajectory")
ENVELOPE_EPSILON = 1e-3

OSC_SHAPE = Control("osc_shape", Range(0.0, 1.0), start=0.85)
OSC_GAIN = Control("osc_gain", Range(0.01, 1.0), start=0.7)
DIST_GAIN = Control("dist_gain", Range(0.01, 4.0), start=1.0)
DECAY = Control("decay", Range(0.1, 6.0), start=0.3, lowest=0.0)
GAIN = Control("gain_db", moves=True, scale=17.372)  # exp(2 · a network's number)
WIDTH, EDGE, DC = Control("osc_width", scale=0.3), Control("osc_edge"), Control("osc_dc", scale=0.3)
NOISE = Control("noise_db", Range(-110.0, -40.0, "dB"), start=-84.0)
TILT = Control("tilt", Range(-0.95, 0.95))


@dataclass
class Note:
    """Notes as the synth plays them.

    Args:
        f0_hz: the pitch at each sample, `(..., time)`, from 5 Hz up to half the sample rate.
        note_on: samples until the gate cuts, `(...)`, positive.
        phase: of the oscillator before the first sample, radians, `(...)`.
        level: a factor on the output, `(...)`: a network may work on notes of equal level.
        noise_start: where in the noise the note begins, `(...)`; see `white_noise`.
    """

    f0_hz: Tensor
    note_on: Tensor
    phase: Tensor
    level: Tensor | None = None
    noise_start: Tensor | int = 0


@dataclass
class AcidState:
    """Where a stream is: samples since the note's start, the phase, and the filters' memories."""

    sample: int = 0
    phase: Tensor | None = None
    filter: Any = None
    output: Tensor | None = None


class AcidSynth(nn.Module):
    """A saw or square, a filter that moves, a distortion, a gate: see the module. It plays what it is given.

    Args:
        sample_rate: in Hz.
        filter: "coefficients", "lowpass", "ladder" or "lstm".
        hop: samples a control frame.
        level: "power" or "trajectory": what the oscillator's level follows.
        highest_hz: what the cutoff reaches; published: 8000.
        normalised: of "coefficients": see there.
        shaped: pulse width, edge sharpness and DC of the oscillator are controls.
        noise: so is the level of white noise.
        output_fir: so is the tilt of the output's two taps.
        method: `TimeDomain()` or `FrequencySampling(window // hop)`.

    Raises:
        ValueError: an argument outside what is said here; the message names it.

    Differentiable in all values, in f0_hz and in the phase.

    >>> synth = AcidSynth(48_000, "lowpass", level="power")
    >>> [control.name for control in synth.controls]
    ['osc_shape', 'osc_gain', 'dist_gain', 'decay', 'q', 'cutoff_hz']
    >>> start = {control.name: control.value(torch.zeros(188 if control.moves else ())) for control in synth.controls}
    >>> synth(Note(torch.full((6000,), 110.0), torch.tensor(5000), torch.tensor(0.0)), start).shape
    torch.Size([6000])
    """

    def __init__(
        self,
        sample_rate: float,
        filter: str = "lowpass",
        hop: int = 32,
        level: str = "trajectory",
        highest_hz: float = 20_000.0,
        normalised: bool = True,
        shaped: bool = False,
        noise: bool = False,
        output_fir: bool = False,
        method: TimeDomain | FrequencySampling | None = None,
    ):
        super().__init__()
        if not sample_rate > 0:
            raise ValueError(f"sample_rate must be positive, in Hz, got {sample_rate}")
        if filter not in FILTERS:
            raise ValueError(f"filter must be one of {', '.join(FILTERS)}, got {filter!r}")
        if level not in LEVELS:
            raise ValueError(f"level must be one of {', '.join(LEVELS)}, got {level!r}")
        if not isinstance(hop, int) or isinstance(hop, bool) or hop < 1:
            raise ValueError(f"hop must be a positive whole number of samples, got {hop!r}")
        if not 100 < highest_hz < sample_rate / 2:
            raise ValueError(
                f"highest_hz must lie between 100 Hz and half the sample rate, {sample_rate / 2:g} Hz, got {highest_hz}"
            )
        if filter == "lstm" and isinstance(method, FrequencySampling):
            raise ValueError("an LSTM has no frequency response to sample: filter='lstm' runs by TimeDomain() only")
        self.sample_rate, self.hop, self.level = sample_rate, hop, level
        self.settings = {
            "filter": filter,
            "hop": hop,
            "level": level,
            "highest_hz": highest_hz,
            "normalised": normalised,
            "shaped": shaped,
            "noise": noise,
            "output_fir": output_fir,
        }
        self.shaped, self.noise, self.output_fir = shaped, noise, output_fir
        self.method = method or TimeDomain()
        self.filter = _filter(filter, highest_hz, normalised)

    @property
    def controls(self) -> tuple[Control, ...]:
        """Of notes first, then those that move."""
        level = (GAIN,) if self.level == "trajectory" else (DECAY,)
        more = (WIDTH, EDGE, DC) * self.shaped + (NOISE,) * self.noise + (TILT,) * self.output_fir
        every = (OSC_SHAPE, OSC_GAIN, DIST_GAIN, *more, *level, *self.filter.controls)
        return tuple(sorted(every, key=lambda control: control.moves))

    def forward(self, note: Note, values: Values) -> Tensor:
        """The notes from their start, `(..., time)`, by the synth's method.

        values: of each of `controls`, in its unit: `(...)`, or `(..., frames)` of those that move, `(..., frames, channels)`
        with channels; leading dimensions as the note's, or fewer. The last frame is held.

        Raises:
            ValueError: a note or a value that does not fit the others or makes no sense; the message names it.
        """
        values, rate = self._checked(note, values), ControlRate.hop(self.hop)
        x = self._excitation(self._phase(note, note.phase), note, values, rate)
        return self._output(self.filtered(x, values), note, values)[0]

    def filtered(self, x: Tensor, values: Values) -> Tensor:
        """Any sound through the filter alone, as it moves over the notes."""
        return self.method(x, self._filter(values, ControlRate.hop(self.hop)))

    def process(self, note: Note, values: Values, state: AcidState) -> tuple[Tensor, AcidState]:
        """The note's next block, in the time domain; `note.f0_hz` is the block's. Any blocks make the same sound."""
        start, length = state.sample, note.f0_hz.shape[-1]
        values = self._of_block(self._checked(note, values), start, length)
        rate = ControlRate.hop(self.hop, start % self.hop)
        psi = self._phase(note, note.phase if state.phase is None else state.phase)
        x = self._excitation(psi, note, values, rate, start)
        x, memory = self._filter(values, rate).run(x, state.filter)
        y, output = self._output(x, note, values, start, state.output)
        return y, AcidState(start + length, psi[..., -1], memory, output)

    def _of_block(self, values: Values, start: int, length: int) -> dict[str, Tensor]:
        """Of what moves the frames around a block: of a long note, all would be designed for every block."""
        first, last = start // self.hop, (start + length - 1) // self.hop + 1
        found = dict(values)
        for control in self.controls:
            if control.moves:
                axis = -1 - (control.channels > 1)
                held = values[control.name].shape[axis] - 1
                kept = min(last, held) + 1 - min(first, held)
                found[control.name] = values[control.name].narrow(axis, min(first, held), kept)
        return found

    def _checked(self, note: Note, values: Values) -> dict[str, Tensor]:
        check_note(note, self.sample_rate)
        return fitted(values, self.controls, note.f0_hz.shape[:-1], self.sample_rate)

    def _phase(self, note: Note, before: Tensor) -> Tensor:
        return running_phase(note.f0_hz, self.sample_rate, before)

    def _excitation(self, psi: Tensor, note: Note, values: Values, rate: ControlRate, start: int = 0) -> Tensor:
        """The oscillator at its level."""
        more = [values[control.name][..., None] for control in (WIDTH, EDGE, DC)] if self.shaped else []
        sound = square_saw(psi, note.f0_hz, values["osc_shape"][..., None], *more)
        return sound * values["osc_gain"][..., None] * self._level(note, values, rate, start, psi.shape[-1])

    def _level(self, note: Note, values: Values, rate: ControlRate, start: int, length: int) -> Tensor:
        if self.level == "trajectory":
            return upsample(10 ** (values["gain_db"] / 20), rate, length)
        decay = values["decay"][..., None]
        n = torch.arange(start, start + length, dtype=decay.dtype, device=decay.device)
        left = 1 - ((n + ENVELOPE_EPSILON) / note.note_on[..., None].to(n.dtype) + ENVELOPE_EPSILON)
        nothing = -1e30  # a logarithm whose power is 0, and has no gradient
        return torch.exp(decay * torch.where(left > 0, torch.log(left.clamp(min=1e-30)), nothing))

    def _filter(self, values: Values, rate: ControlRate) -> ControlRateFilter:
        return self.filter.moving(values, self.sample_rate, self.hop, rate)

    def _output(
        self, x: Tensor, note: Note, values: Values, start: int = 0, memory: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """From the filter to the gate."""
        y = torch.tanh(values["dist_gain"][..., None] * x)
        if self.output_fir:
            taps = torch.stack([torch.ones_like(values["tilt"]), values["tilt"]], -1)
            y, memory = fir(y, taps, memory, return_zf=True)
        if self.noise:
            hiss = white_noise(note.noise_start, start, y.shape[-1], y.dtype)
            y = y + hiss * 10 ** (values["noise_db"][..., None] / 20)
        n = torch.arange(start, start + y.shape[-1], device=y.device)
        y = y * (n < note.note_on[..., None])
        return (y if note.level is None else y * note.level[..., None].to(y.dtype)), memory


def _filter(name: str, highest_hz: float, normalised: bool) -> AcidFilter:
    if name == "lstm":
        return LSTMFilter(highest_hz)
    if name == "coefficients":
        return Coefficients(normalised)
    return Ladder(highest_hz) if name == "ladder" else LowPass(highest_hz)
