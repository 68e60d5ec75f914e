"""A phaser as a kernel: kernels/phaser.c, or kernels/paper_phaser.c for the published core."""

from __future__ import annotations

import math

import torch
from torch import nn

from diffapf.effects.free_filters import DELAY_ORDER
from diffapf.effects.phaser import Phaser
from diffapf.effects.sweeps import LogFrequencySweep, OctaveSweep, PaperSweep
from diffapf.export.description import Description, Knob, NotExportableError
from diffapf.modulation import FourierLFO, WaveShaper

FIXED = ("lfo.phase", "lfo.damping", "delay_us")  # of the recording rather than of the effect
LATE = "its feedback comes a sample late, which is another time at another rate: it sounds as fitted at {:g} Hz"
SERIES = ("biquad.", "dry_filter.", "lfo.cosine.", "lfo.sine.", "lfo.drift.")


@torch.no_grad()
def describe_phaser(phaser: Phaser, channels: int) -> Description:
    """The kernel of a phaser, LFO and filters as they were learned."""
    if phaser.align_corners:
        raise NotExportableError(
            "align_corners=True spreads the LFO over a whole recording, whose length a plugin does not know: train with "
            "align_corners=False, or fit with diffapf fit phaser"
        )
    if type(phaser.sweep) not in (LogFrequencySweep, OctaveSweep, PaperSweep):
        raise NotExportableError(f"the sweep {type(phaser.sweep).__name__} has no kernel")
    order = 2 if phaser.filter_order is None else phaser.filter_order
    (b, a), delay = phaser.biquad(), phaser.delay_us
    (lfo, curves), (network, weights) = _lfo(phaser.lfo), _shaper(phaser.shaper)
    settings: dict[str, float] = {
        "STAGES": phaser.stages,
        "LOOP_DELAY": phaser.loop_delay,
        "HOP_SECONDS": phaser.hop_seconds,
        "LEARNED_AT": phaser.learned_at,
        "SWEEP_RATE": getattr(phaser.sweep, "sample_rate", phaser.learned_at),
        "FILTER_ORDER": order,
        "FILTER_TAPS": order + 1 + (0 if delay is None else DELAY_ORDER),
        "DRY_FILTER": int(phaser.dry_filter is not None),
        "WITH_DELAY": int(delay is not None),
        "DELAY_US": 0.0 if delay is None else delay().item(),
    }
    tables = {"input_b": b.tolist(), "input_a": a.tolist()}
    if phaser.dry_filter is not None:
        dry_b, dry_a = phaser.dry_filter()
        tables |= {"dry_b": dry_b.tolist(), "dry_a": dry_a.tolist()}
    return Description(
        kernel="paper_phaser" if phaser.core == "paper" else "phaser",
        knobs=_knobs(phaser),
        settings=settings | lfo | network,
        tables=tables | curves | weights,
        channels=channels,
        remarks=(LATE.format(phaser.sample_rate),) if phaser.loop_delay else (),
    )


def _knobs(phaser: Phaser) -> tuple[Knob, ...]:
    hidden = FIXED if phaser.dry_filter is None else (*FIXED, "through")
    specs = [spec for spec in phaser.parameters_spec() if spec.name not in hidden and not spec.name.startswith(SERIES)]
    knobs = [Knob.of(spec) for spec in specs]
    if isinstance(phaser.lfo, FourierLFO):
        knobs.append(Knob("depth", "Depth", "", 0.0, 2.0, 1.0))  # times the curve that was found
    return tuple(sorted(knobs, key=lambda knob: knob.symbol != "rate_hz"))


def _lfo(lfo: nn.Module) -> tuple[dict[str, float], dict[str, list[float]]]:
    """Settings and tables."""
    settings: dict[str, float] = {"LFO_HARMONICS": 0, "LFO_DRIFT_KNOTS": 0}
    if not isinstance(lfo, FourierLFO):
        phase = lfo.phase().item() / (2 * math.pi)  # type: ignore[operator]
        return settings | {"LFO_PHASE_CYCLES": phase, "LFO_ORIGIN": lfo.origin.item()}, {}  # type: ignore[operator]
    curve = lfo.configuration()
    settings |= {
        "LFO_HARMONICS": lfo.harmonics,
        "LFO_PHASE_CYCLES": curve["phase"],
        "LFO_ORIGIN": curve["origin"],
        "LFO_DRIFT_KNOTS": len(curve["drift"]),
        "LFO_DRIFT_START": curve["drift_start"],
        "LFO_DRIFT_SPACING": curve["drift_spacing"],
    }
    tables = {"lfo_cosines": curve["cosines"], "lfo_sines": curve["sines"]}
    return settings, tables | ({"lfo_drift": curve["drift"]} if curve["drift"] else {})


def _shaper(shaper: nn.Module) -> tuple[dict[str, float], dict[str, list[float]]]:
    """The network's layers one after the other, weights row by row, then biases."""
    if not isinstance(shaper, WaveShaper):
        return {"SHAPER_WIDTH": 0}, {}
    layers = [layer for layer in shaper.network if isinstance(layer, nn.Linear)]
    weights = [number for layer in layers for part in (layer.weight, layer.bias) for number in part.flatten().tolist()]
    sizes = {"SHAPER_WIDTH": shaper.width, "SHAPER_HIDDEN": shaper.hidden, "SHAPER_RESIDUAL": int(shaper.residual)}
    return dict(sizes), {"shaper": weights}
