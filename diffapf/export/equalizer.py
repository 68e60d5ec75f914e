"""A parametric equaliser as a kernel: kernels/equalizer.c."""

from __future__ import annotations

from diffapf.effects.equalizer import SHAPES, Equalizer
from diffapf.export.description import Description, Knob

NUMBERS = ("frequency_hz", "q", "gain_db")


def describe_equalizer(equalizer: Equalizer, channels: int) -> Description:
    """The kernel of an equaliser of any bands, in their order."""
    specs = equalizer.parameters_spec()
    place = {spec.name: i for i, spec in enumerate(specs)}
    rows: list[float] = []
    for name, section in equalizer.bands.items():
        shape, q = section.band.shape, section.band.q  # type: ignore[union-attr]
        knobs = [place.get(f"bands.{name}.{number}", -1) for number in NUMBERS]
        rows += [SHAPES.index(shape), *knobs, q]  # type: ignore[list-item]
    settings = {"BANDS": len(equalizer.bands)}
    return Description("equalizer", tuple(map(Knob.of, specs)), settings, {"bands": rows}, channels=channels)
