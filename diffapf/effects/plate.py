"""A plate reverb from its modes.

    h(t) = Σ_k exp(−σ_k t) (a_k sin 2πf_k t + b_k cos 2πf_k t),   y = (1 − mix) x + mix · level · h * x

Modes are those of a metal plate, calculated (`simply_supported_plate`), or those that `fit_plate` finds in a recorded
impulse response. They are physical: h is sampled at any rate, without the modes above half of it.

Source: Abel, Coffin, Spratt, "A modal architecture for artificial reverberation with application to room acoustics
modeling", AES 137, 2014.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from diffapf.effects.effect import Effect
from diffapf.effects.simply_supported_plate import MetalPlate, Modes
from diffapf.filters._rows import REAL, check_signal
from diffapf.filters.modal import modal_filter, modal_impulse_response
from diffapf.parameters import Named, share

NOISE_RATE = 44_100.0
PIECE = 64  # samples of a stream at once


class Plate(Effect):
    """A plate reverb; see the module. Parameters: mix, level, and the modes, which a preset keeps in a file beside it.

    Args:
        sample_rate: in Hz.
        modes: of the plate; or how many, silent ones, to be filled from a preset.
        mix: the reverb's part, 0 to 1, the rest dry.
        level_db: of the reverb.

    Raises:
        ValueError: an argument outside what is said here; the message names it.

    >>> modes = Modes(torch.tensor([100.0, 203.0]), torch.tensor([3.0, 4.0]), torch.tensor([500.0, -200.0]))
    >>> plate = Plate(44_100, modes, mix=0.3)
    >>> plate(torch.randn(2, 4410)).shape
    torch.Size([2, 4410])
    """

    def __init__(self, sample_rate: float, modes: Modes | int, mix: float = 1.0, level_db: float = 0.0):
        super().__init__(sample_rate)
        if isinstance(modes, int) and not isinstance(modes, bool) and modes >= 1:
            modes = Modes(torch.ones(modes), torch.ones(modes), torch.zeros(modes))
        if not isinstance(modes, Modes):
            raise ValueError(f"modes must be the plate's Modes, or how many, at least 1; got {modes!r}")
        self.modes = _Learnable(modes)
        self.mix = Named(mix, "", 0.0, 1.0, mapping=share)
        self.level_db = Named(level_db, "dB", -48.0, 48.0)

    @classmethod
    def of_metal(cls, sample_rate: float, plate: MetalPlate, mix: float = 1.0, level_db: float = 0.0) -> Plate:
        """A plate calculated from its dimensions and material, as loud as what goes in, if that is white noise at 44.1 kHz.

        >>> len(Plate.of_metal(44_100, MetalPlate(thickness_mm=5.0, highest_hz=1000.0)).modes)
        119
        """
        modes = plate.modes()
        energy = float((modes.gain.abs().square() / (4 * modes.decay)).sum())
        return cls(sample_rate, modes.louder(math.sqrt(NOISE_RATE / energy)), mix, level_db)

    def configuration(self) -> dict[str, Any]:
        return {"modes": len(self.modes)}

    def at_sample_rate(self, sample_rate: float) -> Plate:
        """The same plate at another rate."""
        other = Plate(sample_rate, len(self.modes))
        other.load_state_dict(self.state_dict())
        return other

    def impulse_response(self, seconds: float) -> Tensor:
        """What the reverb alone makes of a single sample of 1, at its level: `(time,)`, float64."""
        response = modal_impulse_response(*self.modes.at(self.sample_rate), round(seconds * self.sample_rate))
        return self._level() * response

    def forward(self, x: Tensor) -> Tensor:
        """Reverberates `(..., time)`, each channel by itself."""
        check_signal("x", x, dtypes=REAL)
        return self._mixed(x, modal_filter(*self.modes.at(self.sample_rate), x))  # type: ignore[arg-type]

    def run(self, x: Tensor, state: PlateState | None = None) -> tuple[Tensor, PlateState]:
        """The next block of a signal, differentiable, also through the state."""
        check_signal("x", x, dtypes=REAL)
        before = state.ringing if state else None
        wet, ringing = modal_filter(*self.modes.at(self.sample_rate), x, before, return_zf=True)
        return self._mixed(x, wet), PlateState(ringing)

    def initial_state(self) -> PlateState:
        return PlateState()

    @torch.no_grad()
    def process(self, block: Tensor, state: PlateState) -> tuple[Tensor, PlateState]:
        """The next block of a stream: any cut into blocks gives what `forward` gives of the whole."""
        check_signal("x", block, dtypes=REAL)
        if block.shape[-1] == 0:
            return block, state
        pieces = self._pieces(state, block.dtype)
        ringing = state.ringing
        if ringing is None:
            ringing = block.new_zeros(*block.shape[:-1], len(pieces.gains), dtype=torch.complex128)
        wet = []
        for piece in block.split(PIECE, -1):
            y, ringing = pieces.play(piece, ringing)
            wet.append(y)
        return self._mixed(block, torch.cat(wet, -1)), PlateState(ringing, pieces)

    def _pieces(self, state: PlateState, dtype: torch.dtype) -> Pieces:
        """The state's, made again where a mode has changed."""
        numbers = torch.cat(
            [self.modes.frequency_hz, self.modes.decay, torch.view_as_real(self.modes.gain + 0j).flatten()]
        )
        kept = state.pieces
        if kept is not None and kept.response.dtype == dtype and torch.equal(kept.numbers, numbers):
            return kept
        return Pieces.of(numbers, *self.modes.at(self.sample_rate), dtype)

    def _mixed(self, x: Tensor, wet: Tensor) -> Tensor:
        mix = self.mix()
        return (1 - mix).to(x.dtype) * x + (mix * self._level()).to(x.dtype) * wet

    def _level(self) -> Tensor:
        return 10 ** (self.level_db() / 20)


@dataclass
class PlateState:
    """Where a stream is: the modes' states, `(..., K)`, None: at rest; and what short blocks are played by."""

    ringing: Tensor | None = None
    pieces: Pieces | None = None


@dataclass(frozen=True)
class Pieces:
    """A bank of modes, `PIECE` samples at a time, by tables that a stream keeps.

    They are in the signal's dtype: in float32, 2000 modes are −117 dB off. The states are in float64.

    numbers: of the modes that they are made of; gains: `(K,)`; powers: λ⁰ … λ^PIECE, `(K, PIECE + 1)`; sounding: their
    real and imaginary parts from λ¹ on, `(2K, PIECE)`; entering: those of λ^(PIECE − 1) … λ⁰, `(PIECE, 2K)`; response: the
    convolution with the impulse response's beginning, `(PIECE, PIECE)`, applied from the right.
    """

    numbers: Tensor
    gains: Tensor
    powers: Tensor
    sounding: Tensor
    entering: Tensor
    response: Tensor

    @classmethod
    def of(cls, numbers: Tensor, frequency: Tensor, decay: Tensor, gain: Tensor, dtype: torch.dtype) -> Pieces:
        exponents = torch.complex(-decay.double(), frequency.double())[:, None]
        powers = torch.exp(exponents * torch.arange(PIECE + 1, device=decay.device))
        both = torch.cat([powers.real, powers.imag])
        late = torch.arange(PIECE, device=decay.device)
        late = late - late[:, None]
        heard = (gain.to(powers.dtype) @ powers).imag
        response = heard[late.clamp_min(0)] * (late >= 0)
        sounding, entering = both[:, 1:].to(dtype), both[:, :PIECE].flip(1).mT.contiguous().to(dtype)
        return cls(numbers, gain.to(powers.dtype), powers, sounding, entering, response.to(dtype))

    def play(self, x: Tensor, ringing: Tensor) -> tuple[Tensor, Tensor]:
        """`(..., time)`, at most `PIECE` samples, and the modes' states before it → what sounds, and those after it."""
        time = x.shape[-1]
        loud = self.gains * ringing
        late = torch.cat([loud.imag, loud.real], -1).to(x.dtype) @ self.sounding[:, :time]
        real, imaginary = (x @ self.entering[PIECE - time :]).double().chunk(2, -1)
        ringing = self.powers[:, time] * ringing + torch.complex(real, imaginary)
        return late + x @ self.response[:time, :time], ringing


class _Learnable(nn.Module):
    """Modes as parameters, in double precision always: at 5 Hz the poles of single precision are another plate's."""

    def __init__(self, modes: Modes):
        super().__init__()
        self.frequency_hz = nn.Parameter(modes.frequency_hz.clone())
        self.decay = nn.Parameter(modes.decay.clone())
        self.gain = nn.Parameter(modes.gain.clone())

    def __len__(self) -> int:
        return len(self.frequency_hz)

    def at(self, sample_rate: float) -> tuple[Tensor, Tensor, Tensor]:
        """(frequency, decay, gain) of those below half the rate, as `modal_filter` takes them; none of them grows."""
        heard = self.frequency_hz < sample_rate / 2
        radians = 2 * math.pi * self.frequency_hz[heard] / sample_rate
        return radians, self.decay[heard].abs() / sample_rate, self.gain[heard] / sample_rate

    def _apply(self, fn, recurse=True):  # type: ignore[override]
        return super()._apply(lambda tensor: tensor.to(fn(tensor.new_empty(0)).device), recurse)
