"""What makes a voice's harmonics: glottal pulses, an impulse train, harmonics of their own levels, a sawtooth.

A source is a sum of rows that depend on the pitch alone, with weights that move at the control rate:

    s[n] = Σₖ wₖ[n] rₖ[n],  wₖ linear between frames

    glottal     rows: tables of the flow derivative of growing R_d, times √(Fs/f₀); two neighbours sound at a time
    pulses      one row: Σₖ sin kψ · √(2 f₀/Fs)
    harmonics   sin kψ · √(2 f₀/Fs), weighted by σ of each one's number
    sawtooth    one row: Σₖ sin(kψ)/k

All but the sawtooth are as loud at every pitch. Rows are made once where the pitch stands (a fit), for every batch else.

Source: Yu, Fazekas, "GOLF", TISMIR 7, 2024; and "Differentiable time-varying linear prediction in the context of end-to-end
analysis-by-synthesis", Interspeech 2024, with their published code.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad

from diffapf.filters.fir import fir
from diffapf.filters.harmonic_sum import harmonic_sum
from diffapf.parameters import Range
from diffapf.synths.controls import Control
from diffapf.synths.glottal import BREATHY, TENSE, glottal_tables, table_position
from diffapf.synths.oscillators import harmonics_below, pulses, running_phase, wavetable, wavetable_of_frames

HARMONICS = 155
SOURCES = ("glottal", "pulses", "harmonics", "sawtooth")
RD = Control("rd", Range(TENSE, BREATHY, "", "log"), moves=True, start=1.0)
OVERSAMPLED = 4
CROSSINGS = 16  # of the decimating sinc, on each side
ROLL_OFF = 0.945


class Source(nn.Module):
    """One of them.

    Args:
        sample_rate: in Hz.
        hop: samples a control frame.
        count: of harmonics at most.
    """

    controls: tuple[Control, ...] = ()

    def __init__(self, sample_rate: float, hop: int, count: int = HARMONICS):
        super().__init__()
        self.sample_rate, self.hop, self.count = sample_rate, hop, count

    def rows(self, f0_hz: Tensor) -> Tensor:
        """The rows at a pitch in Hz, `(..., time)` → `(..., rows, time)`."""
        raise NotImplementedError

    def weights(self, values: Mapping[str, Tensor], frames: Tensor) -> Tensor:
        """Of each row at each frame, `(..., frames, rows)`; `frames` is any control's value, one number a frame."""
        return torch.ones_like(frames)[..., None]

    def prepared(self, f0_hz: Tensor) -> Tensor:
        """What `forward` takes of a pitch in Hz, `(..., time)`: the rows, a hop after the other."""
        rows = self.rows(f0_hz)
        hops = -(-rows.shape[-1] // self.hop)
        return (
            pad(rows, (0, hops * self.hop - rows.shape[-1]))
            .unflatten(-1, (hops, self.hop))
            .movedim(-2, -3)
            .contiguous()
        )

    def sound(self, f0_hz: Tensor, weights: Tensor) -> Tensor:
        """s at a pitch, `(..., time)`, that is sung once."""
        return self(self.prepared(f0_hz), weights, f0_hz.shape[-1])

    def forward(self, prepared: Tensor, weights: Tensor, length: int) -> Tensor:
        """s, `(..., length)`, at the pitch that was prepared."""
        hops = prepared.shape[-3]
        at = torch.arange(hops + 1, device=weights.device).clamp(max=weights.shape[-2] - 1)  # the last frame is held
        weights = weights[..., at, :]
        ends = torch.stack([weights[..., :-1, :], weights[..., 1:, :]], -2) @ prepared
        way = torch.arange(self.hop, dtype=prepared.dtype, device=prepared.device) / self.hop
        return torch.lerp(ends[..., 0, :], ends[..., 1, :], way).flatten(-2)[..., :length]


class Glottal(Source):
    """Its value R_d is the voice's tension: 0.3 tense, 1 normal, 2.7 breathy.

    Args:
        tables: how many shapes between them; published: 100. Two neighbours of a dozen are as near as one would hear.
        solution: of the LF model: see there.
    """

    controls = (RD,)

    def __init__(self, sample_rate: float, hop: int, count: int = HARMONICS, tables: int = 12, solution: str = "exact"):
        super().__init__(sample_rate, hop, count)
        self.tables: Tensor
        self.register_buffer("tables", glottal_tables(tables, solution=solution).float(), persistent=False)

    def rows(self, f0_hz: Tensor) -> Tensor:
        psi, loudness = self._oversampled(f0_hz)
        return _decimated(wavetable(psi, self.tables) * loudness[..., None, :], OVERSAMPLED)

    def sound(self, f0_hz: Tensor, weights: Tensor) -> Tensor:
        """The same from the tables that sound at each frame: two are read, where `rows` reads all."""
        psi, loudness = self._oversampled(f0_hz)
        waves = wavetable_of_frames(psi, weights @ self.tables, OVERSAMPLED * self.hop)
        return _decimated(waves * loudness, OVERSAMPLED)

    def _oversampled(self, f0_hz: Tensor) -> tuple[Tensor, Tensor]:
        """The phase, and the loudness, four times as often as the result has samples: that takes what would fold back."""
        often = _interpolated(f0_hz, OVERSAMPLED)
        psi = running_phase(often, OVERSAMPLED * self.sample_rate)
        return psi, torch.sqrt(self.sample_rate / often).to(self.tables.dtype)

    def weights(self, values: Mapping[str, Tensor], frames: Tensor) -> Tensor:
        place = table_position(values["rd"]) * (len(self.tables) - 1)
        each = torch.arange(len(self.tables), dtype=place.dtype, device=place.device)
        return (1 - (place[..., None] - each).abs()).clamp(min=0)


class Pulses(Source):
    def rows(self, f0_hz: Tensor) -> Tensor:
        train = pulses(running_phase(f0_hz, self.sample_rate), f0_hz, self.sample_rate, self.count, f0_hz.dtype)
        return (train * torch.sqrt(2 * f0_hz / self.sample_rate))[..., None, :]


class Harmonics(Source):
    """What it prepares is the pitch itself: a harmonic takes no longer to make than to read."""

    def __init__(self, sample_rate: float, hop: int, count: int = HARMONICS):
        super().__init__(sample_rate, hop, count)
        self.controls = (Control("harmonics", channels=count, moves=True),)

    def prepared(self, f0_hz: Tensor) -> Tensor:
        return f0_hz

    def forward(self, prepared: Tensor, weights: Tensor, length: int) -> Tensor:
        return _harmonics(prepared, weights, self.hop, self.sample_rate) * torch.sqrt(2 * prepared / self.sample_rate)

    def weights(self, values: Mapping[str, Tensor], frames: Tensor) -> Tensor:
        return torch.sigmoid(values["harmonics"])


class Sawtooth(Source):
    def rows(self, f0_hz: Tensor) -> Tensor:
        levels = 1 / torch.arange(1, self.count + 1, dtype=f0_hz.dtype, device=f0_hz.device)
        return _harmonics(f0_hz, levels.expand(*f0_hz.shape[:-1], 1, -1), self.hop, self.sample_rate)[..., None, :]


def _harmonics(f0_hz: Tensor, weights: Tensor, hop: int, sample_rate: float) -> Tensor:
    psi, top = running_phase(f0_hz, sample_rate), harmonics_below(f0_hz, sample_rate, weights.shape[-1])
    return harmonic_sum(psi, weights, hop, top)


def voice_source(name: str, sample_rate: float, hop: int, **options) -> Source:
    """Raises ValueError for a name that there is not."""
    kinds = {"glottal": Glottal, "pulses": Pulses, "harmonics": Harmonics, "sawtooth": Sawtooth}
    if name not in kinds:
        raise ValueError(f"source must be one of {', '.join(SOURCES)}, got {name!r}")
    return kinds[name](sample_rate, hop, **options)


def _interpolated(signal: Tensor, times: int) -> Tensor:
    """Linearly: `(..., time)` → `(..., times · time)`; the last sample is held."""
    rows = pad(signal.reshape(1, -1, signal.shape[-1]), (0, 1), mode="replicate")
    longer = interpolate(rows, size=times * signal.shape[-1] + 1, mode="linear", align_corners=True)
    return longer[..., :-1].reshape(*signal.shape[:-1], -1)


def _decimated(signal: Tensor, times: int) -> Tensor:
    """Every `times`-th sample of what is left below half of that rate: a sinc under a Hann window."""
    half = CROSSINGS * times
    n = torch.arange(-half, half + 1, dtype=torch.float64)
    taps = torch.sinc(ROLL_OFF * n / times) * torch.hann_window(2 * half + 1, periodic=False, dtype=torch.float64)
    taps = pad(taps / taps.sum(), (0, times - 1)).to(signal).unflatten(0, (-1, times)).mT.flip(1)
    phases = pad(signal, (half, half)).unflatten(-1, (-1, times)).mT
    return fir(phases, taps.expand(*phases.shape[:-1], -1)).sum(-2)[..., 2 * CROSSINGS :]  # type: ignore
