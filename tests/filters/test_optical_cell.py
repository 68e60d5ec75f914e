"""The optical cell is its equations, and its derivatives those of finite differences, of either lamp and any slow stage."""

from __future__ import annotations

import math

import pytest
import torch

from diffapf.filters.optical_cell import LAMPS, SLOW_STAGES, optical_cell
from tests.filters.checks import assert_derivatives, assert_same_in_blocks, assert_transforms
from tests.filters.oracles import generator, normal

STRUCTURES = [(lamp, slow) for lamp in LAMPS for slow in SLOW_STAGES]
each_structure = pytest.mark.parametrize(("lamp", "slow"), STRUCTURES, ids=map(" ".join, STRUCTURES))
NUMBERS = {
    "threshold": 0.1,
    "lamp_number": 1.4,
    "feedback": 0.4,
    "curve": 1.3,
    "attack": 0.4,
    "release": 0.1,
    "speed": 0.3,
    "share": 0.35,
    "slow_attack": 0.2,
    "slow_release": 0.05,
}


def loop(x, zi, lamp, slow, n):
    fast, held = zi
    gains = []
    for sample in x:
        c = (1 - n["share"]) * fast + n["share"] * held
        u = max(abs(sample), 1e-10) / (1 + c ** n["curve"]) ** n["feedback"] / n["threshold"]
        light = u ** n["lamp_number"] if lamp == "power" else n["lamp_number"] * math.exp(-1 / math.sqrt(u))
        rate = n["attack"] if light > fast else n["release"]
        rate *= (1 + n["speed"] * fast) / (1 + rate * n["speed"] * fast)
        fast += rate * (light - fast)
        if slow == "traps":
            held = (held + n["slow_attack"] * fast) / (1 + n["slow_attack"] * fast + n["slow_release"])
        else:
            drive = light if slow == "parallel" else fast
            held += (n["slow_attack"] if drive > held else n["slow_release"]) * (drive - held)
        gains.append(1 / (1 + ((1 - n["share"]) * fast + n["share"] * held) ** n["curve"]))
    return gains, (fast, held)


@each_structure
@pytest.mark.parametrize("time", [0, 1, 60])
def test_it_is_its_equations(lamp, slow, time):
    x, zi = normal(2, time), torch.rand(2, 2, generator=generator(1), dtype=torch.float64)
    gain, zf = optical_cell(x, **NUMBERS, lamp=lamp, slow=slow, zi=zi, return_zf=True)
    for row in range(2):
        expected, last = loop(x[row].tolist(), zi[row].tolist(), lamp, slow, NUMBERS)
        assert gain[row].tolist() == pytest.approx(expected, rel=1e-12)
        assert zf[row].tolist() == pytest.approx(last, rel=1e-12)


def test_it_starts_in_the_dark_where_silence_keeps_it():
    gain, zf = optical_cell(torch.zeros(50).double(), **NUMBERS, return_zf=True)
    assert float(gain.min()) > 1 - 1e-12 and float(zf.max()) < 1e-12


def test_a_fast_release_and_a_slow_one_follow_a_long_burst():
    """After 10 ms and after 1 s: the fast stage's time, then the slow one's."""
    rate = 1000
    x = torch.cat([torch.ones(5 * rate), torch.zeros(2 * rate)]).double()
    times = {"attack": 0.01, "release": 0.02, "slow_attack": 0.6, "slow_release": 1.0}
    rates = {name: -math.expm1(-1 / (seconds * rate)) for name, seconds in times.items()}
    numbers = NUMBERS | rates | {"speed": 0.0, "feedback": 0.0, "curve": 1.0, "share": 0.5, "lamp_number": 1.0}
    shunted = 1 / optical_cell(x, **numbers, slow="parallel") - 1
    released = shunted[5 * rate :] / shunted[5 * rate - 1]
    for after in (20, 1000):
        expected = 0.5 * math.exp(-after / 20) + 0.5 * math.exp(-after / 1000)
        assert float(released[after - 1]) == pytest.approx(expected, rel=1e-3)


def positive(lamp, slow):
    """A function of any numbers, which the cell takes as positive ones."""

    def function(x, numbers, zi):
        rates = 0.05 + 0.9 * numbers.square() / (1 + numbers.square())
        return optical_cell(x, *rates.unbind(-1), lamp, slow, 0.1 + zi.square(), True)

    return function


@each_structure
def test_derivatives_are_those_of_finite_differences(lamp, slow):
    assert_derivatives(positive(lamp, slow), normal(2, 5), normal(2, 10, seed=1), normal(2, 2, seed=2))


@pytest.mark.parametrize(("lamp", "slow"), [("power", "memory"), ("electroluminescent", "traps")])
def test_transforms(lamp, slow):
    assert_transforms(positive(lamp, slow), normal(1, 4), normal(1, 10, seed=1), normal(1, 2, seed=2))


@each_structure
def test_any_blocks_are_the_whole(lamp, slow):
    x, structure = normal(2, 30), {"lamp": lamp, "slow": slow}
    whole = optical_cell(x, **NUMBERS, **structure, return_zf=True)
    assert_same_in_blocks(
        whole,
        lambda i, j, state: optical_cell(x[:, i:j], **NUMBERS, **structure, zi=state, return_zf=True),
        [1, 1, 2, 17],
    )


@pytest.mark.parametrize(
    ("error", "words", "changed"),
    [
        (ValueError, ["threshold", "(2,)", "(3,)"], {"threshold": torch.ones(3)}),
        (TypeError, ["release", "str"], {"release": "0.1"}),
        (ValueError, ["lamp", "power, electroluminescent", "'bulb'"], {"lamp": "bulb"}),
        (ValueError, ["slow", "parallel, memory, traps"], {"slow": None}),
        (ValueError, ["zi", "(2, 2)", "(3,)"], {"zi": torch.ones(3)}),
        (TypeError, ["return_zf"], {"return_zf": 1}),
        (TypeError, ["x", "real"], {"x": torch.ones(2, 5, dtype=torch.complex64)}),
    ],
)
def test_errors_say_what_is_needed(error, words, changed):
    with pytest.raises(error) as raised:
        optical_cell(**({"x": torch.ones(2, 5)} | NUMBERS | changed))
    assert all(word in str(raised.value) for word in words)
