"""A levelling amplifier with an optical cell, such as the Teletronix LA-2A, as a grey box.

    x ──┬──────────────────── × ──┬── u ── delay, one-poles, saturation ── make-up ── y
        │                     │   │
        └── side chain ── lamp, photocell
                  └───── feedback ┘

The cell's equations are in `filters/optical_cell.py`, its parameters in `photocell`, what follows it in `output_stage`.
There is no frequency-sampled form: the loop is not linear.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from diffapf.effects.effect import Effect
from diffapf.effects.output_stage import OutputStage, OutputState
from diffapf.effects.photocell import Photocell
from diffapf.filters._rows import REAL, check_signal
from diffapf.filters.gain_curve import DECIBELS_OF_E
from diffapf.filters.methods import TimeDomain
from diffapf.filters.optical_cell import LAMPS, SLOW_STAGES
from diffapf.parameters import Named, NamedSeries, is_finite_number

CORNERS_HZ = (
    10.0,
    40.0,
    150.0,
    600.0,
    2400.0,
)  # two an octave pair: any gentle coupling and transformer response between


@dataclass
class AmplifierState:
    """Where a stream is: (c₁, c₂) of the cell, and the output stage's."""

    cell: Tensor | None = None
    output: OutputState | None = None


class LevellingAmplifier(Effect):
    """A levelling amplifier; see the module for the signal flow.

    Args:
        sample_rate: in Hz.
        threshold_db: where the lamp's drive is 1, about the onset of reduction.
        exponent: of lamp="power": light = drive^exponent.
        brightness: of lamp="electroluminescent": light = brightness · exp(−1/√drive).
        feedback: the share of the reduction in dB that the side chain hears, 0 fed forward, 1 all.
        curve: how the cell's conductance rises, with carriers to this power.
        attack_ms, release_ms: of the fast stage, 63 %.
        speed: how much faster the fast stage is where there is light; None: not at all.
        share: the slow stage's part, 0 to 1.
        slow_attack_ms, slow_release_ms: of the slow stage.
        makeup_db: gain after it all.
        delay_us, smear_us2: the output's delay, less than a sample, and how it is smeared; None: neither, and no latency.
        corners_hz, filters: one-pole low-passes added to the output, and their weights; all 0 by default.
        saturation: weights of the output's square, cube, …
        lamp: "power" or "electroluminescent".
        slow: "parallel", "memory" or "traps"; None: one stage of release.
        method: `TimeDomain()`, the only one.

    Raises:
        ValueError: an argument outside what is said here; the message names it.

    >>> amplifier = LevellingAmplifier(44100, threshold_db=-24.0, makeup_db=6.0)
    >>> amplifier(torch.randn(2, 4410)).shape
    torch.Size([2, 4410])
    """

    def __init__(
        self,
        sample_rate: float,
        threshold_db: float = -20.0,
        exponent: float = 1.35,
        brightness: float = 20.0,
        feedback: float = 0.5,
        curve: float = 2.0,
        attack_ms: float = 10.0,
        release_ms: float = 40.0,
        speed: float | None = None,
        share: float = 0.5,
        slow_attack_ms: float = 60.0,
        slow_release_ms: float = 700.0,
        makeup_db: float = 0.0,
        delay_us: float | None = None,
        smear_us2: float = 0.0,
        corners_hz: Sequence[float] = (),
        filters: Sequence[float] | None = None,
        saturation: Sequence[float] = (),
        lamp: str = "power",
        slow: str | None = "memory",
        method: TimeDomain | None = None,
    ):
        super().__init__(sample_rate)
        filters = [0.0] * len(corners_hz) if filters is None else filters
        if lamp not in LAMPS:
            raise ValueError(f"lamp must be one of {', '.join(LAMPS)}, got {lamp!r}")
        if slow is not None and slow not in SLOW_STAGES:
            raise ValueError(f"slow must be None or one of {', '.join(SLOW_STAGES)}, got {slow!r}")
        if method is not None and not isinstance(method, TimeDomain):
            raise ValueError(
                f"a levelling amplifier runs in the time domain only, got {method!r}: its cell sits in a feedback loop and "
                "decides at each sample, which has no frequency response to sample"
            )
        cell = {
            "threshold_db": threshold_db,
            "exponent": exponent,
            "brightness": brightness,
            "feedback": feedback,
            "curve": curve,
            "attack_ms": attack_ms,
            "release_ms": release_ms,
            "speed": speed,
            "share": share,
            "slow_attack_ms": slow_attack_ms,
            "slow_release_ms": slow_release_ms,
        }
        _check_numbers(cell | {"makeup_db": makeup_db, "delay_us": delay_us, "smear_us2": smear_us2})
        _check_lists(sample_rate, corners_hz, filters, saturation)
        self.cell = Photocell(sample_rate, lamp, slow, **cell)  # type: ignore[arg-type]
        self.output = OutputStage(sample_rate, makeup_db, delay_us, smear_us2, corners_hz, filters, saturation)
        self.method = TimeDomain()

    @property
    def latency(self) -> int:
        """How many samples the output comes later than the input: 1 with `delay_us`, else 0."""
        return self.output.latency

    def configuration(self) -> dict[str, Any]:
        def value(number: Named | None) -> float | None:
            return None if number is None else number().item()

        def values(series: NamedSeries | None) -> list[float]:
            return [] if series is None else series().tolist()

        cell, output = self.cell, self.output
        return {
            "lamp": cell.lamp,
            "slow": cell.slow,
            "speed": value(cell.speed),
            "delay_us": value(output.delay_us),
            "corners_hz": list(output.corners_hz),
            "filters": values(output.filters),
            "saturation": values(output.saturation),
        }

    def forward(self, x: Tensor) -> Tensor:
        """Levels `(..., time)`, each channel by itself."""
        return self.run(x)[0]

    def run(self, x: Tensor, state: AmplifierState | None = None) -> tuple[Tensor, AmplifierState]:
        """The next block of a signal, differentiable, also through the state."""
        check_signal("x", x, dtypes=REAL)
        state = state or AmplifierState()
        gain, cell = self.cell.run(x, state.cell)
        y, output = self.output.run(x * gain, state.output)
        return y, AmplifierState(cell, output)

    def initial_state(self) -> AmplifierState:
        return AmplifierState()

    @torch.no_grad()
    def process(self, block: Tensor, state: AmplifierState) -> tuple[Tensor, AmplifierState]:
        """The next block of a stream: any cut into blocks gives what `forward` gives of the whole."""
        if isinstance(block, Tensor) and block.dim() and block.shape[-1] == 0:
            return block, state
        return self.run(block, state)

    def gain_db(self, x: Tensor) -> Tensor:
        """The cell's gain in dB at each sample; 0 is no reduction."""
        check_signal("x", x, dtypes=REAL)
        return DECIBELS_OF_E * torch.log(self.cell.run(x)[0])


POSITIVE = ("exponent", "brightness", "curve", "attack_ms", "release_ms", "slow_attack_ms", "slow_release_ms")
OPTIONAL = ("speed", "delay_us")


def _check_numbers(numbers: dict[str, float | None]) -> None:
    for name, value in numbers.items():
        if value is None and name in OPTIONAL:
            continue
        if not is_finite_number(value):
            raise ValueError(f"{name} must be a finite number, got {value!r}")
        assert value is not None
        if name in (*POSITIVE, "speed") and not value > 0:
            raise ValueError(f"{name} must be positive, got {value!r}")
        if name in ("share", "feedback") and not 0 <= value <= 1:
            raise ValueError(f"{name} must be between 0 and 1, got {value!r}")


def _check_lists(sample_rate: float, corners_hz: Any, filters: Any, saturation: Any) -> None:
    for name, values in (("corners_hz", corners_hz), ("filters", filters), ("saturation", saturation)):
        if isinstance(values, str) or not all(is_finite_number(value) for value in values):
            raise ValueError(f"{name} must be finite numbers, got {values!r}")
    if len(filters) != len(corners_hz):
        raise ValueError(f"filters must be a weight for each of the {len(corners_hz)} corners_hz, got {len(filters)}")
    if not all(0 < corner < sample_rate / 2 for corner in corners_hz):
        raise ValueError(f"corners_hz must lie between 0 and half the sample rate, got {list(corners_hz)!r}")
