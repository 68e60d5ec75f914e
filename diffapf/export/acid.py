"""A patch of the acid synth as a kernel, an instrument: kernels/acid.c."""

from __future__ import annotations

from typing import Any

from diffapf.export.description import Description, Knob, NotExportableError
from diffapf.synths.acid_filters import LOWEST_CUTOFF_HZ, Coefficients
from diffapf.synths.noise import LENGTH as NOISE_LENGTH
from diffapf.synths.noise import white_noise
from diffapf.synths.patch import AcidPatch

KNOBS = ("osc_shape", "osc_gain", "osc_width", "dist_gain", "q", "resonance", "noise_db", "level")
OF_ITS_RATE = "its filter is numbers for one sample rate: it sounds as fitted at {:g} Hz"
CUTOFF = Knob("cutoff", "Cutoff", "octaves", -5.0, 5.0, 0.0)  # added to the trajectory that was found


def describe_acid(patch: AcidPatch, channels: int) -> Description:
    """The kernel of a patch; all channels sound alike."""
    settings: dict[str, Any] = patch.synth.settings
    if settings["filter"] == "lstm":
        raise NotExportableError(
            "filter='lstm' is a network of 64 units at every sample, too slow for a plugin: fit with another filter"
        )
    if settings["level"] == "power":
        raise NotExportableError(
            "level='power' falls over the note's whole length, which a key that is pressed does not tell yet: fit with "
            "level='trajectory'"
        )
    coefficients = settings["filter"] == "coefficients"
    values = {spec.name: spec.value for spec in patch.parameters_spec()}
    start = Coefficients.START if settings["normalised"] else (0.0, 0.0)
    numbers: dict[str, float | str] = {
        "FILTER": settings["filter"].upper(),
        "HOP": settings["hop"],
        "SAMPLE_RATE": float(patch.sample_rate),
        "HIGHEST_HZ": float(settings["highest_hz"]),
        "LOWEST_HZ": LOWEST_CUTOFF_HZ,
        "NORMALISED": int(settings["normalised"]),
        "START_1": start[0],
        "START_2": start[1],
        "PHASE": values["phase"],
        "OSC_EDGE": values.get("osc_edge", 0.0),
        "OSC_DC": values.get("osc_dc", 0.0),
        "TILT": values.get("tilt", 0.0),
        "NOISE_LENGTH": NOISE_LENGTH,
    }
    tables = {"gain_db": _knots(values, "gain_db")}
    for name, control in (("GAIN", "gain_db"), ("CUTOFF", "cutoff_hz"), ("LOGITS", "logits")):
        if control in patch.knots:
            numbers |= {f"{name}_KNOTS": patch.knots[control], f"{name}_SPACING": float(patch.spacing_s[control])}
    if coefficients:
        tables["logits"] = [knot for i in range(1, 6) for knot in _knots(values, f"logits_{i}")]
    else:
        tables["cutoff"] = _knots(values, "cutoff")
    return Description(
        kernel="acid",
        knobs=_player_knobs(patch, coefficients),
        settings=numbers,
        tables=tables,
        single_tables={"noise": white_noise(0, 0, NOISE_LENGTH).tolist()} if settings["noise"] else {},
        channels=channels,
        instrument=True,
        remarks=(OF_ITS_RATE.format(patch.sample_rate),) if coefficients else (),
    )


def _player_knobs(patch: AcidPatch, coefficients: bool) -> tuple[Knob, ...]:
    knobs = tuple(Knob.of(spec) for spec in patch.parameters_spec() if spec.name in KNOBS)
    return knobs if coefficients else (CUTOFF, *knobs)


def _knots(values: dict[str, float], name: str) -> list[float]:
    count = sum(key.rpartition(".")[0] == name for key in values)
    return [values[f"{name}.{i}"] for i in range(1, count + 1)]
