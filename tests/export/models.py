"""The models that are exported in the tests, one of each structure, and what Python makes of a sound."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray

from diffapf import Equalizer, Phaser
from diffapf.effects.effect import Effect
from diffapf.effects.equalizer import SHAPES, Band
from diffapf.export.description import Description, Knob
from tests.effects import compressors, phasers, test_levelling_amplifier
from tests.effects.compressors import bursts

Audio = NDArray[np.float32]
PARITY_DB = -120.0
RATE = 44_100


def phaser(**arguments) -> Phaser:
    """At a rate that plugins meet; the numbers as after some training."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        arguments = {"hop_seconds": 0.005, "feedback": 0.4, "through": 0.8, **arguments}
        return phasers.moved(Phaser(RATE, **arguments).double().eval(), 0.1)


PHASERS: dict[str, Callable[[], Effect]] = {
    name: lambda arguments=arguments: phaser(**arguments)
    for name, arguments in {
        "published shape": {"sweep": "log_frequency"},
        "published sweep": {"sweep": "paper"},
        "paper core": {"core": "paper", "stages": 5, "sweep": "paper"},
        "paper core, all": phasers.PAPER_OPTIONS,
        **phasers.OPTIONS,
    }.items()
}
COMPRESSORS: dict[str, Callable[[], Effect]] = {
    name: lambda arguments=arguments: compressors.small_compressor(RATE, **arguments)
    for name, arguments in compressors.STRUCTURES.items()
}
AMPLIFIERS: dict[str, Callable[[], Effect]] = {
    name: lambda arguments=arguments: test_levelling_amplifier.small(RATE, **arguments)
    for name, arguments in test_levelling_amplifier.STRUCTURES.items()
}


def every_band() -> Equalizer:
    """Some have names that C does not take."""
    bands = {f'{i} "è"': Band(shape, 300.0 * 2**i, 0.9, 4.0) for i, shape in enumerate(SHAPES[:6])}
    bands |= {"fixed_q": Band("low_shelf", 100.0, gain_db=-3.0, qs=None), "allpass": Band("allpass", 2000.0)}
    return Equalizer(RATE, bands, gain_db=-2.0).double()


def six_bands() -> Equalizer:
    equalizer = Equalizer(RATE).double()
    equalizer.set_parameters({"bands.peak1.gain_db": 5.0, "bands.low_shelf.gain_db": -4.0, "bands.lowpass.q": 1.3})
    return equalizer


EQUALIZERS: dict[str, Callable[[], Effect]] = {
    "six bands": six_bands,
    "every band": every_band,
    "a notch": lambda: Equalizer(RATE, {"hum": Band("notch", 50.0, 5.0, frequencies=(30.0, 70.0))}).double(),
}


# One of each kind, for what is the same of all structures.
KINDS: dict[str, Callable[[], Effect]] = {
    "phaser": PHASERS["any curve"],
    "compressor": COMPRESSORS["look-ahead"],
    "amplifier": AMPLIFIERS["memory, output stage"],
    "equalizer": EQUALIZERS["six bands"],
}
ALL = {
    f"{kind}: {name}": make
    for kind, makes in {
        "phaser": PHASERS,
        "compressor": COMPRESSORS,
        "amplifier": AMPLIFIERS,
        "equalizer": EQUALIZERS,
    }.items()
    for name, make in makes.items()
}


def turned(knobs: Iterable[Knob]) -> dict[str, float]:
    """Values a tenth of the range away from where knobs are, in single precision."""
    found = {}
    for knob in knobs:
        low, high = knob.minimum, knob.maximum
        if knob.logarithmic:
            up, down = knob.value * (high / low) ** 0.1, knob.value / (high / low) ** 0.1
        else:
            up, down = knob.value + 0.1 * (high - low), knob.value - 0.1 * (high - low)
        found[knob.symbol] = float(np.float32(up if up <= high else down))
    return found


@contextmanager
def changed(model: Effect, description: Description, values: Mapping[str, float]) -> Iterator[None]:
    """The model with its knobs at values, for a while. Depth, which no parameter is, stretches the LFO's curve."""
    before = {spec.name: spec.value for spec in model.parameters_spec()}
    after = {knob.parameter: values[knob.symbol] for knob in description.knobs if knob.parameter}
    if "depth" in values and "" in {knob.parameter for knob in description.knobs}:
        curve = ("lfo.cosine.", "lfo.sine.")
        after |= {name: value * values["depth"] for name, value in before.items() if name.startswith(curve)}
    model.set_parameters(after)
    try:
        yield
    finally:
        model.set_parameters(before)


def sound(channels: int = 2, seconds: float = 0.5, sample_rate: int = RATE, seed: int = 0) -> Audio:
    """Noise that swells, below full scale, which ecasound clips at: `(channels, time)`."""
    return (0.25 * bursts(channels, int(seconds * sample_rate), seed=seed)).float().numpy()


@torch.no_grad()
def played(model: Effect, x: Audio) -> NDArray[np.float64]:
    """By the Python model, in double precision."""
    return model(torch.from_numpy(x).double()).numpy()


def error_db(y: NDArray, reference: NDArray) -> float:
    """The power of what is left of a null test, against the reference's."""
    assert y.shape == reference.shape, (y.shape, reference.shape)
    assert np.isfinite(y).all()
    assert np.sqrt(np.mean(reference**2)) > 1e-4, "nothing is heard"
    left = float(10 * np.log10(np.sum((y - reference) ** 2) / np.sum(reference**2) + 1e-30))
    print(f"null test: {left:.1f} dB")  # pytest -rP shows them
    return left
