"""The levelling amplifier is its equations, streams in any cuts, sounds the same at any rate, and is read back exactly."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck
from torch.func import functional_call

from diffapf import Effect, FrequencySampling, LevellingAmplifier
from tests.effects.compressors import bursts
from tests.filters.oracles import esr

RATE = 8000
OUTPUT = {
    "makeup_db": 3.0,
    "delay_us": 20.0,
    "smear_us2": 300.0,
    "corners_hz": (40.0, 600.0),
    "filters": (0.2, -0.1),
    "saturation": (0.05, -0.1),
}
STRUCTURES = {
    "one release": {"slow": None},
    "parallel": {"slow": "parallel"},
    "memory, output stage": {"slow": "memory", **OUTPUT},
    "panel and traps": {
        "lamp": "electroluminescent",
        "slow": "traps",
        "speed": 0.3,
        "curve": 1.0,
        "saturation": (0.1,),
    },
    "filters alone": {"corners_hz": (150.0,), "filters": (0.3,)},
}
each_structure = pytest.mark.parametrize("arguments", STRUCTURES.values(), ids=STRUCTURES)


def small(sample_rate: float = RATE, **arguments) -> LevellingAmplifier:
    times = {"attack_ms": 2.0, "release_ms": 10.0, "slow_attack_ms": 12.0, "slow_release_ms": 40.0}
    return LevellingAmplifier(sample_rate, **times | arguments).double()


def loop(amplifier: LevellingAmplifier, x: np.ndarray) -> np.ndarray:
    """The equations, sample by sample."""
    n = {name: value.item() for name, value in amplifier.cell.numbers().items()}
    speed, w = n.get("speed", 0.0), n.get("share", 0.0)
    slow_attack, slow_release = n.get("slow_attack", 0.0), n.get("slow_release", 0.0)
    fast = held = 0.0
    u = []
    for sample in x:
        c = max((1 - w) * fast + w * held, 1e-12)
        drive = max(abs(sample), 1e-10) * (1 + c ** n["curve"]) ** -n["feedback"] / n["threshold"]
        power = amplifier.cell.lamp == "power"
        light = drive ** n["lamp_number"] if power else n["lamp_number"] * math.exp(-(drive**-0.5))
        rate = n["attack"] if light > fast else n["release"]
        fast += rate * (1 + speed * fast) / (1 + rate * speed * fast) * (light - fast)
        if amplifier.cell.slow == "traps":
            held = (held + slow_attack * fast) / (1 + slow_attack * fast + slow_release)
        else:
            target = light if amplifier.cell.slow == "parallel" else fast
            held += (slow_attack if target > held else slow_release) * (target - held)
        u.append(sample / (1 + ((1 - w) * fast + w * held) ** n["curve"]))
    return output_loop(amplifier, np.array(u))


def output_loop(amplifier: LevellingAmplifier, u: np.ndarray) -> np.ndarray:
    output, rate = amplifier.output, amplifier.sample_rate
    values = {spec.name.removeprefix("output."): spec.value for spec in amplifier.parameters_spec()}
    present, y = u, u.copy()
    if output.delay_us is not None:
        padded = np.concatenate([[0.0, 0.0], u])
        before, present, after = padded[:-2], padded[1:-1], padded[2:]
        y = present - values["delay_us"] * 1e-6 * rate * (after - before) / 2
        y = y + values["smear_us2"] * 1e-12 * rate**2 * (before - 2 * present + after)
    for i, corner in enumerate(output.corners_hz, 1):
        alpha, low, last = 1 - math.exp(-2 * math.pi * corner / rate), [], 0.0
        for sample in present:
            last += alpha * (sample - last)
            low.append(last)
        y = y + values[f"filters.{i}"] * np.array(low)
    for power in output.powers:
        y = y + values[f"saturation.{power}"] * present**power
    return 10 ** (values["makeup_db"] / 20) * y


@each_structure
def test_it_is_its_equations(arguments):
    amplifier, x = small(**arguments), bursts(2, 400)
    expected = np.stack([loop(amplifier, row) for row in x.numpy()])
    np.testing.assert_allclose(amplifier(x).detach(), expected, rtol=1e-9, atol=1e-12)


@each_structure
def test_gradients_are_finite_differences_and_none_is_0(arguments):
    amplifier, x = small(**arguments), bursts(2, 40).requires_grad_()
    names = [name for name, _ in amplifier.named_parameters()]

    def function(x, *values):
        return functional_call(amplifier, dict(zip(names, values, strict=True)), x)

    values = tuple(amplifier.parameters())
    assert gradcheck(function, (x, *values), rtol=1e-4, atol=1e-6)
    for gradient in torch.autograd.grad(function(bursts(2, 600), *values).square().sum(), values):
        assert bool(gradient.isfinite().all() and gradient.all())


@each_structure
@pytest.mark.parametrize("cuts", [[1, 2, 3, 100], [399], list(range(0, 400, 7))[1:]], ids=["few", "last", "sevens"])
def test_any_cuts_stream_as_the_whole(arguments, cuts):
    amplifier, x = small(**arguments), bursts(2, 400)
    state, blocks = amplifier.initial_state(), []
    for block in x.tensor_split(cuts, -1):
        y, state = amplifier.process(block, state)
        blocks.append(y)
    torch.testing.assert_close(torch.cat(blocks, -1), amplifier(x).detach(), rtol=1e-12, atol=1e-13)
    empty, same = amplifier.process(x[..., :0], state)
    assert empty.shape == (2, 0) and same is state


@each_structure
@pytest.mark.parametrize("shape", [(300,), (1, 300), (3, 2, 300)], ids=["mono", "row", "batch"])
def test_mono_and_batches_are_their_channels(arguments, shape):
    amplifier, x = small(**arguments), bursts(*shape)
    y = amplifier(x).detach()
    assert y.shape == x.shape
    for one, expected in zip(x.reshape(-1, 300), y.reshape(-1, 300), strict=True):
        torch.testing.assert_close(amplifier(one).detach(), expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("sample_rate", [48_000, 96_000])
@pytest.mark.parametrize("name", ["parallel", "memory, output stage", "panel and traps"])
def test_it_sounds_the_same_at_another_rate(name, sample_rate):
    """A tone that swells, at times that both rates have; its latency of a sample taken off."""
    arguments = STRUCTURES[name] | {"attack_ms": 5.0, "release_ms": 40.0, "slow_attack_ms": 60.0}

    def sound(rate: float) -> Tensor:
        amplifier = small(rate, **arguments)
        t = torch.arange(int(0.3 * rate), dtype=torch.float64) / rate
        x = (0.02 + 0.8 * torch.sin(2 * torch.pi * 4 * t).square()) * torch.sin(2 * torch.pi * 200 * t)
        y = amplifier(x).detach().numpy()
        seconds = np.arange(0.02, 0.28, 0.001)
        return torch.from_numpy(np.interp(seconds, (np.arange(len(y)) - amplifier.latency) / rate, y))

    assert esr(sound(44_100), sound(sample_rate)) < 1e-4


@each_structure
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_preset_is_read_back_exactly(tmp_path, arguments, dtype):
    amplifier = LevellingAmplifier(44_100, **arguments)
    with torch.no_grad():
        for i, step in enumerate(amplifier.parameters()):
            step += 0.01 * (i + 1)
    amplifier.save(tmp_path / "a.yaml")
    loaded = Effect.load(tmp_path / "a.yaml")
    assert isinstance(loaded, LevellingAmplifier)
    assert loaded.parameters_spec() == amplifier.parameters_spec()
    x = bursts(2, 800, dtype=dtype)
    assert torch.equal(loaded(x), amplifier(x))


@each_structure
def test_the_static_gain_is_where_a_lasting_level_settles(arguments):
    amplifier = small(**arguments)
    for level_db in (-30.0, -10.0):
        x = torch.full((4 * RATE,), 10 ** (level_db / 20), dtype=torch.float64)
        settled = amplifier.gain_db(x)[-1].detach()
        static = amplifier.cell.static_gain(torch.tensor(level_db, dtype=torch.float64))
        assert float(static) == pytest.approx(float(settled), abs=1e-3)


def test_a_steady_level_is_held_and_its_release_has_two_speeds():
    """Half of it within some 60 ms, the rest over seconds, as the manual says."""
    amplifier = LevellingAmplifier(8000).double()
    x = torch.cat([torch.full((5 * 8000,), 0.5), torch.full((4 * 8000,), 1e-5)]).double()
    reduction = -amplifier.gain_db(x).detach()
    start = reduction[5 * 8000 - 1]
    released = 1 - reduction[5 * 8000 :] / start
    assert start > 6
    assert 0.02 < float((released < 0.5).sum()) / 8000 < 0.4
    assert float((released < 0.95).sum()) / 8000 > 0.5


@pytest.mark.parametrize(
    ("words", "arguments"),
    [
        ("time domain only", {"method": FrequencySampling()}),
        ("lamp must be one of power, electroluminescent, got 'bulb'", {"lamp": "bulb"}),
        ("slow must be None or one of parallel, memory, traps", {"slow": "slow"}),
        ("attack_ms must be positive", {"attack_ms": 0.0}),
        ("threshold_db must be a finite number", {"threshold_db": math.inf}),
        ("share must be between 0 and 1", {"share": 1.5}),
        ("corners_hz must lie between 0 and half the sample rate", {"corners_hz": (30_000.0,)}),
        (
            "filters must be a weight for each of the 1 corners_hz, got 2",
            {"corners_hz": (10.0,), "filters": (1.0, 2.0)},
        ),
        ("saturation must be finite numbers", {"saturation": "12"}),
        ("sample_rate must be positive", {"sample_rate": -1.0}),
    ],
)
def test_wrong_arguments_are_named(words, arguments):
    with pytest.raises(ValueError, match=words):
        LevellingAmplifier(**{"sample_rate": 44_100, **arguments})
