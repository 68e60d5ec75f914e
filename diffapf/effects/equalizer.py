"""A parametric equaliser: named bands, second-order sections in series, fixed or moving.

    x ── band ── band ── … ── (gain) ── y

Each band is one of the cookbook's filters (`filters/biquads.py`); all of them run as one cascade. The bands and ranges by
default are the six of the DiffVox vocal chain.

Source: Yu et al., "DiffVox: A Differentiable Model for Capturing and Analysing Vocal Effects Distributions", DAFx 2025;
Bristow-Johnson, "Audio EQ Cookbook" (W3C note, 2021).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from diffapf.effects.effect import Effect
from diffapf.filters import biquads
from diffapf.filters._rows import REAL, check_signal
from diffapf.filters.methods import FrequencySampling, SecondOrderSections, TimeDomain
from diffapf.parameters import Named, Within, is_finite_number

WITH_GAIN = {"peak": biquads.peak, "low_shelf": biquads.low_shelf, "high_shelf": biquads.high_shelf}
WITHOUT = {
    "lowpass": biquads.lowpass,
    "highpass": biquads.highpass,
    "bandpass": biquads.bandpass,
    "notch": biquads.notch,
    "allpass": biquads.allpass,
}
SHAPES = (*WITH_GAIN, *WITHOUT)
GAIN_KNOB_DB = 24.0  # gains are free; a knob has ends
FLAT_Q = 0.707
HIGHEST_OF_NYQUIST = 0.95


@dataclass(frozen=True)
class Band:
    """What a band is, where it starts and what it reaches.

    shape: "peak", "low_shelf", "high_shelf", "lowpass", "highpass", "bandpass", "notch" or "allpass"; gain_db: of the first
    three; frequencies, qs: the ranges of frequency_hz, in Hz, and of q, which are never left; qs None: q stays.
    """

    shape: str
    frequency_hz: float
    q: float = FLAT_Q
    gain_db: float = 0.0
    frequencies: tuple[float, float] = (20.0, 20_000.0)
    qs: tuple[float, float] | None = (0.1, 20.0)


SIX_BANDS = {
    "peak1": Band("peak", 800.0, frequencies=(33.0, 5400.0), qs=(0.2, 20.0)),
    "peak2": Band("peak", 4000.0, frequencies=(200.0, 17_500.0), qs=(0.2, 20.0)),
    "low_shelf": Band("low_shelf", 115.0, frequencies=(30.0, 200.0), qs=None),
    "high_shelf": Band("high_shelf", 6000.0, frequencies=(750.0, 8300.0), qs=None),
    "lowpass": Band("lowpass", 17_500.0, frequencies=(200.0, 18_000.0), qs=(0.5, 10.0)),
    "highpass": Band("highpass", 200.0, frequencies=(16.0, 5300.0), qs=(0.5, 10.0)),
}


def within_reach(bands: Mapping[str, Band], sample_rate: float) -> dict[str, Band]:
    """Bands for 44.1 kHz at another sample rate: at a lower one within what there is."""
    highest = HIGHEST_OF_NYQUIST * sample_rate / 2

    def within(band: Band) -> Band:
        lowest, top = band.frequencies
        return replace(band, frequency_hz=min(band.frequency_hz, highest), frequencies=(lowest, min(top, highest)))

    return {name: within(band) for name, band in bands.items()}


class Equalizer(Effect):
    """A parametric equaliser; see the module.

    Args:
        sample_rate: in Hz.
        bands: each band by its name, in the order of the signal: a `Band`, or its arguments as a mapping. The parameters
            are `bands.NAME.frequency_hz`, `.q` and `.gain_db`. By default
            `SIX_BANDS`, DiffVox's.
        gain_db: of the whole; None: none, and nothing to learn.
        taper: how an optimiser moves frequencies and Qs within their ranges: "log", or "linear", as published.
        method: `TimeDomain()` or `FrequencySampling()`, the baseline: one transform of the whole signal.

    Raises:
        ValueError, TypeError: an argument outside what is said here; the message names the band.

    >>> equalizer = Equalizer(44100, {"presence": Band("peak", 3000.0, q=1.0, gain_db=6.0)})
    >>> equalizer.magnitude_db(torch.tensor([30.0, 3000.0], dtype=torch.float64)).round(decimals=3).tolist()
    [0.001, 6.0]
    """

    def __init__(
        self,
        sample_rate: float,
        bands: Mapping[str, Band | Mapping[str, Any]] | None = None,
        gain_db: float | None = None,
        taper: str = "log",
        method: TimeDomain | FrequencySampling | None = None,
    ):
        super().__init__(sample_rate)
        given = within_reach(SIX_BANDS, sample_rate) if bands is None else bands
        if not isinstance(given, Mapping) or not given:
            raise TypeError(f"bands must be one or more Bands by their names, got {given!r}")
        if taper not in ("log", "linear"):
            raise ValueError(f"taper must be 'log' or 'linear', got {taper!r}")
        if gain_db is not None and not is_finite_number(gain_db):
            raise ValueError(f"gain_db must be a finite number, in dB, or None, got {gain_db!r}")
        self.taper = taper
        self.bands = nn.ModuleDict({name: _Section(name, band, taper, sample_rate) for name, band in given.items()})
        self.gain_db = None if gain_db is None else Named(gain_db, "dB", -GAIN_KNOB_DB, GAIN_KNOB_DB)
        self.method = method or TimeDomain()

    def configuration(self) -> dict[str, Any]:
        return {
            "bands": {name: asdict(section.band) for name, section in self._sections()},
            "gain_db": None if self.gain_db is None else self.gain_db().item(),
            "taper": self.taper,
        }

    def forward(self, x: Tensor, moving: Mapping[str, Tensor] | None = None, hop: int | None = None) -> Tensor:
        """Filters `(..., time)`.

        Args:
            moving: values of parameters that move, by their names: `(..., time)`, one a sample, or with `hop`
                `(..., frames)`, one every hop samples, between which coefficients are interpolated. The others stand still.
        """
        check_signal("x", x, dtypes=REAL)
        if hop is None and moving and isinstance(self.method, FrequencySampling):
            raise ValueError("frequency sampling needs the hop of what moves: one filter a sample has no spectrum")
        return self.method(x, self.filter(moving, hop))

    def filter(self, moving: Mapping[str, Tensor] | None = None, hop: int | None = None) -> SecondOrderSections:
        """The cascade, as methods run it; its arguments are those of `forward`."""
        values: dict[str, Tensor] = {}
        for band, section in self._sections():
            values |= {f"bands.{band}.{number}": part() for number, part in section.numbers.items()}
        if self.gain_db is not None:
            values["gain_db"] = self.gain_db()
        unknown = (moving or {}).keys() - values.keys()
        if unknown:
            raise ValueError(f"moving names {sorted(unknown)}; this equaliser has {sorted(values)}")
        return SecondOrderSections(self.sections(values | dict(moving or {})), hop)

    def sections(self, values: Mapping[str, Tensor]) -> Tensor:
        """The coefficients `(..., S, 6)` of all parameters' values by name, which broadcast; float64."""
        values = dict(zip(values, torch.broadcast_tensors(*(value.double() for value in values.values())), strict=True))
        rows = [section.coefficients(values, f"bands.{name}") for name, section in self._sections()]
        if "gain_db" in values:
            b, a = rows[-1].split(3, -1)
            rows[-1] = torch.cat([b * 10 ** (values["gain_db"][..., None] / 20), a], -1)
        return torch.stack(rows, -2)

    def _sections(self) -> list[tuple[str, _Section]]:
        return list(self.bands.items())  # type: ignore[arg-type]

    def response(self, frequencies_hz: Tensor) -> Tensor:
        """The complex frequency response at frequencies in Hz, of the same shape."""
        omega = frequencies_hz.double().reshape(-1) * (2 * torch.pi / self.sample_rate)
        return self.filter().response(omega).reshape(frequencies_hz.shape)

    def magnitude_db(self, frequencies_hz: Tensor) -> Tensor:
        """The gain in dB at frequencies in Hz."""
        return 20 * torch.log10(self.response(frequencies_hz).abs())

    def initial_state(self) -> Tensor | None:
        return None

    @torch.no_grad()
    def process(
        self, block: Tensor, state: Tensor | None, moving: Mapping[str, Tensor] | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """The next block of a stream; moving: values for this block, one a sample, `(..., time)`."""
        check_signal("x", block, dtypes=REAL)
        if block.shape[-1] == 0:
            return block, state
        return self.filter(moving).run(block, state)


class _Section(nn.Module):
    """A band's parameters, and the coefficients that they make."""

    def __init__(self, name: str, band: Band | Mapping[str, Any], taper: str, sample_rate: float):
        super().__init__()
        self.band = band = _checked(name, band, sample_rate)
        self.sample_rate = sample_rate
        self.frequency_hz = _within(name, "frequency_hz", band.frequency_hz, "Hz", band.frequencies, taper)
        self.q = None if band.qs is None else _within(name, "q", band.q, "", band.qs, taper)
        self.gain_db = Named(band.gain_db, "dB", -GAIN_KNOB_DB, GAIN_KNOB_DB) if band.shape in WITH_GAIN else None

    @property
    def numbers(self) -> dict[str, Named]:
        """Those that this band has."""
        found = {"frequency_hz": self.frequency_hz, "q": self.q, "gain_db": self.gain_db}
        return {name: number for name, number in found.items() if number is not None}

    def coefficients(self, values: Mapping[str, Tensor], path: str) -> Tensor:
        """`(..., 6)` of the values of this band's parameters."""
        frequency = values[f"{path}.frequency_hz"]
        q = values.get(f"{path}.q", self.band.q)
        if self.band.shape in WITH_GAIN:
            b, a = WITH_GAIN[self.band.shape](frequency, q, values[f"{path}.gain_db"], self.sample_rate)
        else:
            b, a = WITHOUT[self.band.shape](frequency, q, self.sample_rate)
        return torch.cat([b, a], -1)


def _within(name: str, number: str, value: float, unit: str, reached: tuple[float, float], taper: str) -> Named:
    try:
        return Named(value, unit, *reached, taper="log", mapping=Within(*reached, taper))
    except ValueError as error:
        raise ValueError(f"band {name!r}: {number} {error}") from None


def _checked(name: str, band: Band | Mapping[str, Any], sample_rate: float) -> Band:
    if isinstance(band, Mapping):
        try:
            ranges = {name: tuple(band[name]) for name in ("frequencies", "qs") if isinstance(band.get(name), Sequence)}
            band = Band(**{**band, **ranges})  # YAML has lists
        except TypeError as error:
            raise TypeError(f"band {name!r}: {error}") from None
    if not isinstance(band, Band):
        raise TypeError(f"band {name!r} must be a Band or its arguments, got {band!r}")
    if band.shape not in SHAPES:
        raise ValueError(f"band {name!r}: shape must be one of {', '.join(map(repr, SHAPES))}, got {band.shape!r}")
    for what, reached in (("frequencies", band.frequencies), ("qs", band.qs)):
        if reached is not None and not _is_range(reached):
            raise ValueError(f"band {name!r}: {what} must be two positive numbers, the lower first, got {reached!r}")
    if band.frequencies[1] >= sample_rate / 2:
        raise ValueError(
            f"band {name!r}: frequencies must stay below half the sample rate, {sample_rate / 2:g} Hz, got "
            f"{band.frequencies[1]:g} Hz"
        )
    for what, value in (("q", band.q), ("gain_db", band.gain_db)):
        if not is_finite_number(value) or (what == "q" and value <= 0):
            raise ValueError(
                f"band {name!r}: {what} must be a {'positive' if what == 'q' else 'finite'} number, got {value!r}"
            )
    return band


def _is_range(reached: Any) -> bool:
    return (
        isinstance(reached, tuple)
        and len(reached) == 2
        and all(map(is_finite_number, reached))
        and 0 < reached[0] < reached[1]
    )
