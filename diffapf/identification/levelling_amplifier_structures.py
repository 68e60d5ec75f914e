"""The cells that a fit of a levelling amplifier chooses from, and what is known of them before any recording is heard."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from diffapf.effects.levelling_amplifier import CORNERS_HZ

Options = Mapping[str, Any]

# In the order of preference where a recording does not tell them apart: what a cell holds for longer were free carriers
# first, so a memory is driven by them; a second stage that light drives by itself is further from the physics.
CELLS: dict[str, Options] = {
    "one release": {"slow": None},
    "a release with a memory": {"slow": "memory"},
    "two releases side by side": {"slow": "parallel"},
    "a panel, carriers and traps": {
        "lamp": "electroluminescent",
        "slow": "traps",
        "threshold_db": 0.0,
        "curve": 1.0,
        "speed": 0.135,
        "slow_attack_ms": 500.0,
    },
}
FULL: Options = {"delay_us": 0.0, "corners_hz": CORNERS_HZ, "saturation": (0.0, 0.0)}
OUTPUTS: dict[str, Options] = {  # the simplest last; a delay of less than a sample is in every recording
    "output filters, saturation": FULL,
    "output filters": {**FULL, "saturation": ()},
    "saturation": {**FULL, "corners_hz": ()},
    "plain output": {"delay_us": 0.0},
}


@dataclass(frozen=True)
class Prior:
    """A parameter's likely value, in the units of the effect's, and σ, of its logarithm where it is positive by nature."""

    value: float
    sigma: float


# Fixed before a test part was looked at, from the physics of the device and its manual; a prototype, fitted to the whole
# of one recording and known by then, had come to much the same.
# threshold: the knob may put it anywhere in the levels of music, 10 dB around −20 dBFS; a panel's is the voltage where
#     exp(−1/√u) bends, 20 dB above.
# exponent and curve: in limit mode the output hardly rises where reduction is deep, p q/(1 + φ p q) ≈ 1, and the light of a
#     panel goes with a power between 1 and 2 of the drive. Of carriers the conductance is proportional to them: q = 1.
# feedback: an LA-2A takes its side chain after the cell, through a divider: φ about a half.
# times: its manual says 10 ms of attack, 60 ms for half of the release (40 ms for 63 % of one stage beside another),
#     0.5 to 5 s for the rest; the cell remembers what lasts longer than the fast release, 60 ms. A factor of e either way.
# traps: the release is slow after notes of some tenths of a second or more, which fill them; that, and how light speeds the
#     cell, are known to a factor of 4. (Their 500 ms were 20 until fits to the simulated amplifier had been seen.)
PRIORS: dict[str, Prior] = {
    "threshold_db": Prior(-20.0, 10.0),
    "exponent": Prior(1.35, 0.5),
    "brightness": Prior(20.0, 1.0),
    "feedback": Prior(0.5, 0.3),
    "curve": Prior(2.0, 0.4),
    "attack_ms": Prior(10.0, 1.0),
    "release_ms": Prior(40.0, 1.0),
    "speed": Prior(0.135, 1.5),
    "share": Prior(0.5, 1.0),
    "slow_attack_ms": Prior(60.0, 1.0),
    "slow_release_ms": Prior(700.0, 1.0),
}
PRIORS_OF_TRAPS = PRIORS | {
    "threshold_db": Prior(0.0, 10.0),
    "curve": Prior(1.0, 0.4),
    "slow_attack_ms": Prior(500.0, 1.5),
}
EVENTS_PER_SECOND = 400.0
"""Independent observations that a second is worth: N of the priors' weight 1/N. A gain moves within milliseconds."""


def priors_of(slow: str | None) -> dict[str, Prior]:
    return PRIORS_OF_TRAPS if slow == "traps" else PRIORS


# Other starts than the prior's values: a slow cell, and a lower threshold.
STARTS: tuple[Mapping[str, float], ...] = (
    {},
    {"cell.attack_ms": 25.0, "cell.release_ms": 60.0, "cell.slow_attack_ms": 300.0, "cell.slow_release_ms": 1500.0},
)
