"""Phasers for the tests, and the phaser's equations as plain NumPy loops, to compare with."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.func import functional_call

from diffapf import FourierLFO, Phaser
from diffapf.effects.phaser import LogFrequencySweep, PaperSweep
from tests.filters.oracles import generator

Array = NDArray[np.float64]


def small_phaser(seed: int = 0, amount: float = 0.2, **arguments: Any) -> Phaser:
    """A phaser for short signals, float64, in evaluation; every number in it has been moved from where it starts."""
    sweeps = {"log_frequency": LogFrequencySweep(100.0, 1000.0), "paper": PaperSweep(sample_rate=8000)}
    arguments = {"hop_seconds": 0.005, "feedback": 0.4, "through": 0.8, "sweep": "log_frequency", **arguments}
    arguments["sweep"] = sweeps.get(arguments["sweep"], arguments["sweep"])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return moved(Phaser(8000, **arguments).double().eval(), amount, seed)


def moved(phaser: Phaser, amount: float = 0.2, seed: int = 0) -> Phaser:
    """As after some training: noise on every learnable number."""
    random = generator(seed)
    with torch.no_grad():
        for parameter in phaser.parameters():
            if parameter.requires_grad:
                noise = torch.randn(parameter.shape, generator=random, dtype=torch.float64)
                parameter += amount * noise.to(parameter.dtype)
    return phaser


def as_function(phaser: Phaser, *names: str) -> tuple[Callable[..., Tensor], tuple[Tensor, ...]]:
    """The phaser as a function of the audio and its learnable tensors (or those named), and where these are now."""
    learnable = {name: value for name, value in phaser.named_parameters() if value.requires_grad}
    names = names or tuple(learnable)
    values = tuple(learnable[name].detach().clone().requires_grad_() for name in names)

    def function(x: Tensor, *values: Tensor) -> Tensor:
        return functional_call(phaser, dict(zip(names, values, strict=True)), (x,))

    return function, values


# --------------------------------------------------------------------------------------- beyond the published model

CURVE = {"rate_hz": 7.0, "cosines": [0.8, 0.2, -0.1], "sines": [0.1, -0.2, 0.05], "origin": -0.3}
DRIFT = {"drift": [0.02, -0.05, 0.04, 0.1], "drift_start": 0.01, "drift_spacing": 0.006}

# What a `Phaser` takes for circuits that the published model does not describe; for `small_phaser`.
OPTIONS: dict[str, dict[str, Any]] = {
    "any curve": {"lfo": CURVE, "sweep": "octaves"},
    "even curve": {"lfo": {**CURVE, "even": True, "phase": 0.3}, "sweep": "octaves"},
    "drift": {"lfo": CURVE | DRIFT, "sweep": "octaves"},
    "floor": {"feedback_highpass_hz": 130.0, "feedback_floor": 0.3},
    "filter of order 1": {"filter_order": 1},
    "filter of order 4": {"filter_order": 4},
    "dry filter": {"filter_order": 2, "dry_filter": True},
    "delay": {"delay_us": 60.0},
    "all": {
        "lfo": {**CURVE, **DRIFT, "even": True},
        "sweep": "octaves",
        "stages": 6,
        "feedback_highpass_hz": 130.0,
        "feedback_floor": -0.2,
        "filter_order": 3,
        "dry_filter": True,
    },
    "all, loop delay": {
        "lfo": CURVE | DRIFT,
        "sweep": "octaves",
        "loop_delay": 1,
        "feedback_highpass_hz": 130.0,
        "feedback_floor": 0.2,
        "filter_order": 2,
        "dry_filter": True,
        "delay_us": 60.0,
    },
}
PAPER_OPTIONS = {"core": "paper", "lfo": CURVE | DRIFT, "sweep": "octaves", "filter_order": 3, "delay_us": 60.0}


# ------------------------------------------------------------------------------------------------------- the reference


def phaser_loop(phaser: Phaser, x: Array) -> Array:
    """What the phaser gives for `(time,)`, from its state dict and the published equations alone."""
    numbers = {name: value.double().numpy() for name, value in phaser.state_dict().items()}
    if phaser.delay_us is not None:
        x = delayed_loop(x, stepped(numbers, "delay_us").item() * 1e-6 * phaser.sample_rate)
    sample_rate, hop, time = phaser.sample_rate, round(phaser.hop_seconds * phaser.sample_rate), len(x)
    frames = time // hop + 1 if phaser.align_corners else (time - 1) // hop + 2
    at = np.arange(time) * ((frames - 1) / (time - 1) if phaser.align_corners else 1 / hop)
    frequency = break_frequency_loop(phaser, numbers, np.arange(frames) * hop / sample_rate)
    frequency = np.minimum(frequency, 0.49 * sample_rate)
    v = -0.5 * np.log(np.tan(np.pi * frequency / sample_rate))
    b, a = biquad(numbers) if phaser.filter_order is None else free_filter(numbers, "biquad")
    through = stepped(numbers, "through")
    if phaser.core == "paper":
        feedback = abs(stepped(numbers, "feedback"))
        return direct_form_loop(x, np.tanh(v), at, phaser.stages, through, feedback, b, a)
    gain = within_a_bound(numbers, "feedback")
    c0, c1, pole = gain, 0.0, 0.0
    if phaser.feedback_highpass_hz is not None:
        t = np.tan(np.pi * exponential(numbers, "feedback_highpass_hz") / sample_rate)
        c0, c1, pole = gain / (1 + t), -gain / (1 + t), (1 - t) / (1 + t)
    if phaser.feedback_floor is not None:
        floor = within_a_bound(numbers, "feedback_floor")  # of the plain gain, the rest of the high-pass
        c0, c1 = floor * gain + (1 - floor) * c0, -floor * gain * pole + (1 - floor) * c1
    u = difference_equation(x, b, a)
    p = np.tanh(np.interp(at, np.arange(frames), v))
    dry = through * u if phaser.dry_filter is None else difference_equation(x, *free_filter(numbers, "dry_filter"))
    return dry + cascade_loop(u, p, phaser.stages, c0, c1, pole, phaser.loop_delay)


def delayed_loop(x: Array, samples: float) -> Array:
    """By the cubic through x[n], x[n−1], x[n−2], x[n−3], read where it is `samples` old."""
    past = np.concatenate([np.zeros(3), x])
    return np.array([np.polyval(np.polyfit(range(4), past[n : n + 4][::-1], 3), samples) for n in range(len(x))])


def stepped(numbers: dict[str, Array], name: str) -> Array:
    return numbers[f"{name}.reference"] + numbers[f"{name}.scale"] * numbers[f"{name}.step"]


def exponential(numbers: dict[str, Array], name: str) -> Array:
    return numbers[f"{name}.reference"] * np.exp(numbers[f"{name}.scale"] * numbers[f"{name}.step"])


def within_a_bound(numbers: dict[str, Array], name: str, limit: float = 0.999) -> Array:
    start = np.arctanh(numbers[f"{name}.reference"] / limit)
    return limit * np.tanh(start + numbers[f"{name}.scale"] * numbers[f"{name}.step"])


def of_series(numbers: dict[str, Array], name: str) -> list[float]:
    return (numbers[f"{name}.reference"] + numbers[f"{name}.step"]).tolist()


def break_frequency_loop(phaser: Phaser, numbers: dict[str, Array], seconds: Array) -> Array:
    """LFO, shaper, sweep: Hz at each time."""
    if isinstance(phaser.lfo, FourierLFO):
        knots: dict[str, Any] = {}
        if "lfo.drift.step" in numbers:
            first, last = numbers["lfo.drift_ends"].tolist()
            knots["drift"] = [first, *of_series(numbers, "lfo.drift"), last]
            knots |= {name: getattr(phaser.lfo, name) for name in ("drift_start", "drift_spacing")}
        clock = {name: stepped(numbers, f"lfo.{name}").item() for name in ("rate_hz", "phase")}
        curve = [of_series(numbers, f"lfo.{name}") for name in ("cosine", "sine")]
        octaves = curve_loop(seconds, clock["rate_hz"], *curve, clock["phase"], origin=numbers["lfo.origin"], **knots)
        return exponential(numbers, "sweep.centre_hz") * 2**octaves
    turns = stepped(numbers, "lfo.rate_hz") * (seconds - numbers["lfo.origin"])
    s = stepped(numbers, "lfo.amplitude") * np.cos(2 * np.pi * turns + stepped(numbers, "lfo.phase"))
    layer = s[:, None]
    for place in (0, 2, 4, 6):
        weight, bias = (numbers[f"shaper.network.{place}.{part}"] for part in ("weight", "bias"))
        layer = layer @ weight.T + bias
        layer = layer if place == 6 else np.tanh(layer)
    shape = layer[:, 0] + (s if phaser.shaper.residual else 0)
    if "sweep.bias.step" in numbers:
        t = np.tan(stepped(numbers, "sweep.bias") + stepped(numbers, "sweep.depth") * (1 + shape) / 2)
        p = np.tanh((1 - t) / (1 + t))
        return phaser.sweep.sample_rate / np.pi * np.arctan((1 - p) / (1 + p))
    low, high = (exponential(numbers, f"sweep.{end}_hz") for end in ("low", "high"))
    return low ** ((1 - shape) / 2) * high ** ((1 + shape) / 2)


def curve_loop(t: Array, rate_hz, cosines, sines, phase=0.0, even=False, drift=(), **knots) -> Array:
    """The sum of harmonics, term by term; the drift's line through the two knots that are nearest."""
    values = []
    for seconds in t.tolist():
        turns = rate_hz * (seconds - knots.get("origin", 0.0)) + phase
        if drift:
            at = [knots["drift_start"] + i * knots["drift_spacing"] for i in range(len(drift))]
            i = 0
            while i < len(drift) - 2 and at[i + 1] <= seconds:
                i += 1
            slope = (drift[i + 1] - drift[i]) / (at[i + 1] - at[i])
            turns += drift[i] + slope * (seconds - at[i])
        terms = [
            c * math.cos(2 * math.pi * k * turns) + s * math.sin(2 * math.pi * k * turns)
            for k, (c, s) in enumerate(zip(cosines, sines, strict=True), start=1)
        ]
        values.append(sum(terms))
    return np.array(values)


def free_filter(numbers: dict[str, Array], name: str) -> tuple[Array, Array]:
    """b, and a from reflection coefficients by the step-up recursion."""
    a = [1.0]
    for k in (1 - 1e-9) * np.tanh(of_series(numbers, f"{name}.reflection")):
        a = [low + k * high for low, high in zip([*a, 0.0], [0.0, *reversed(a)], strict=True)]
    return np.array(of_series(numbers, f"{name}.b")), np.array(a)


def biquad(numbers: dict[str, Array]) -> tuple[Array, Array]:
    a1 = 2 * np.tanh(stepped(numbers, "biquad.l1"))
    a2 = ((2 - abs(a1)) * np.tanh(stepped(numbers, "biquad.l2")) + abs(a1)) / 2
    return np.array([stepped(numbers, f"biquad.b{i}") for i in range(3)]), np.array([1.0, a1, a2])


def difference_equation(x: Array, b: Array, a: Array) -> Array:
    y = np.zeros_like(x)
    for n in range(len(x)):
        y[n] = sum(b[k] * x[n - k] for k in range(len(b)) if n >= k)
        y[n] -= sum(a[k] * y[n - k] for k in range(1, len(a)) if n >= k)
    return y


def chain(e: float, p: float, before_in: Array, before_out: Array) -> Array:
    """e and what each stage makes of it, yₖ = p (yₖ₋₁ + yₖ[n−1]) − yₖ₋₁[n−1]."""
    values = [e]
    for x1, y1 in zip(before_in, before_out, strict=True):
        values.append(p * (values[-1] + y1) - x1)
    return np.array(values)


def cascade_loop(u: Array, p: Array, stages: int, c0: float, c1: float, pole: float, delay: int) -> Array:
    """The stages sample by sample; without loop delay w = pᴷ e + S and e = u + c₀ w + past are solved for e."""
    before_in, before_out = np.zeros(stages), np.zeros(stages)
    w1 = w2 = f1 = 0.0
    w = np.zeros_like(u)
    for n in range(len(u)):
        if delay:
            f = c0 * w1 + c1 * w2 + pole * f1
            e = u[n] + f
        else:
            past = c1 * w1 + pole * f1
            e = (u[n] + past + c0 * chain(0.0, p[n], before_in, before_out)[-1]) / (1 - c0 * p[n] ** stages)
            f = c0 * chain(e, p[n], before_in, before_out)[-1] + past
        values = chain(e, p[n], before_in, before_out)
        before_in, before_out = values[:-1], values[1:]
        w[n], w1, w2, f1 = values[-1], values[-1], w1, f
    return w


def direct_form_loop(
    x: Array, p: Array, at: Array, stages: int, through: float, feedback: float, b: Array, a: Array
) -> Array:
    """The published core: frames of coefficients, interpolated to every sample; moving average first, then all-pole."""
    numerators, denominators = [], []
    for coefficient in p:
        zeros, poles = np.ones(1), np.ones(1)
        for _ in range(stages):
            zeros, poles = np.convolve(zeros, [coefficient, -1.0]), np.convolve(poles, [1.0, -coefficient])
        loop = poles - feedback * zeros
        numerators.append(np.convolve(b, through * loop + zeros) / loop[0])
        denominators.append(np.convolve(a, loop) / loop[0])
    frame = np.arange(len(p))
    moving_b, moving_a = (
        np.stack([np.interp(at, frame, column) for column in np.transpose(rows)], 1)
        for rows in (numerators, denominators)
    )
    y = np.zeros_like(x)
    for n in range(len(x)):
        past = range(min(n, moving_a.shape[1] - 1) + 1)
        y[n] = sum(moving_b[n, k] * x[n - k] for k in past) - sum(moving_a[n, k] * y[n - k] for k in past if k)
    return y
