"""A levelling amplifier as a kernel: kernels/levelling_amplifier.c."""

from __future__ import annotations

from diffapf.effects.levelling_amplifier import LevellingAmplifier
from diffapf.export.description import Description, Knob

FIXED = ("output.delay_us", "output.smear_us2")  # of the recording rather than of the effect
SERIES = ("output.filters.", "output.saturation.")


def describe_levelling_amplifier(amplifier: LevellingAmplifier, channels: int) -> Description:
    """The kernel of a levelling amplifier of any structure."""
    cell, output = amplifier.cell, amplifier.output
    specs = [
        spec
        for spec in amplifier.parameters_spec()
        if spec.name not in FIXED and not spec.name.startswith(SERIES)
    ]  # fmt: skip
    settings: dict[str, float | str] = {
        "SLOW": (cell.slow or "memory").upper(),
        "WITH_DELAY": int(output.delay_us is not None),
        "DELAY_US": 0.0 if output.delay_us is None else output.delay_us().item(),
        "SMEAR_US2": 0.0 if output.smear_us2 is None else output.smear_us2().item(),
        "POLES": len(output.corners_hz),
        "POWERS": len(output.powers),
    }
    tables = {
        "corners_hz": list(output.corners_hz),
        "pole_weights": [] if output.filters is None else output.filters().tolist(),
        "saturation": [] if output.saturation is None else output.saturation().tolist(),
    }
    knobs = tuple(map(Knob.of, specs))
    return Description(
        "levelling_amplifier", knobs, settings, tables, channels=channels, latent=output.delay_us is not None
    )
