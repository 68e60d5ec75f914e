"""The same sound at 44.1, 48 and 96 kHz: the same frequency response, at the same times, at the same frequencies in Hz."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.signal import butter

from diffapf import LFO, ControlRate, Phaser
from diffapf.effects.free_filters import FreeFilter
from diffapf.effects.phaser import LogFrequencySweep, PaperSweep
from diffapf.filters.stability import biquad_triangle_logits
from tests.filters.oracles import normal

LEARNED_AT = 44_100
SWEEPS = {
    "log_frequency": lambda: LogFrequencySweep(150.0, 1500.0),
    "paper": lambda: PaperSweep(-0.32, 0.27, LEARNED_AT),
}
TIMES = (0.0, 0.1, 0.3, 0.7)

# |ΔH| below a frequency, as a part of max |H|: the bilinear transform bends the frequency axis, more towards Nyquist.
WITHIN = ((2000.0, 0.01), (8000.0, 0.07))

each_core = pytest.mark.parametrize("core", ["cascade", "paper"])
each_sweep = pytest.mark.parametrize("sweep", SWEEPS.values(), ids=SWEEPS)
each_rate = pytest.mark.parametrize("sample_rate", [48_000, 96_000])


def learned_phaser(core: str, sweep) -> Phaser:
    highpass = {} if core == "paper" else {"feedback_highpass_hz": 130.0}
    return Phaser(
        LEARNED_AT, core=core, sweep=sweep(), lfo=LFO(1.2, 0.4), through=0.7, feedback=0.5, **highpass
    ).double()


def learn_highpass(phaser: Phaser, corner_hz: float = 400.0, q: float = 0.7) -> None:
    """The input biquad as a second-order high-pass at the phaser's rate."""
    w = 2 * math.pi * corner_hz / phaser.sample_rate
    alpha = math.sin(w) / (2 * q)
    a1, a2 = (torch.tensor(value, dtype=torch.float64) / (1 + alpha) for value in (-2 * math.cos(w), 1 - alpha))
    l1, l2 = biquad_triangle_logits(a1, a2)
    edge = (1 + math.cos(w)) / 2 / (1 + alpha)
    numbers = {"b0": edge, "b1": -2 * edge, "b2": edge, "l1": l1.item(), "l2": l2.item()}
    phaser.set_parameters({f"biquad.{name}": value for name, value in numbers.items()})


def response(phaser: Phaser, seconds: float, hz: torch.Tensor) -> torch.Tensor:
    first = round(seconds * phaser.sample_rate)
    still = phaser.filter_at(first, 1, ControlRate.hop(phaser.hop), torch.float64)
    return still.response(2 * math.pi * hz / phaser.sample_rate)[0].detach()


def distances(phaser: Phaser, other: Phaser) -> list[tuple[float, float]]:
    """The largest difference over all times below each frequency of `WITHIN`, and what it may be."""
    found = []
    for limit_hz, allowed in WITHIN:
        hz = torch.logspace(math.log10(20.0), math.log10(limit_hz), 300, dtype=torch.float64)
        pairs = [(response(phaser, seconds, hz), response(other, seconds, hz)) for seconds in TIMES]
        found.append((max(((ours - its).abs().max() / ours.abs().max()).item() for ours, its in pairs), allowed))
    return found


@each_core
@each_sweep
@each_rate
@pytest.mark.parametrize("biquad", [False, True], ids=["no biquad", "high-pass"])
def test_it_sounds_the_same_at_another_rate(biquad, sample_rate, sweep, core):
    phaser = learned_phaser(core, sweep)
    if biquad:
        learn_highpass(phaser)
    other = phaser.at_sample_rate(sample_rate)
    assert (phaser.sample_rate, other.sample_rate) == (LEARNED_AT, sample_rate)
    for distance, allowed in distances(phaser, other):
        assert distance < allowed


@each_rate
def test_the_comparison_hears_a_biquad_that_was_not_converted(sample_rate):
    phaser = learned_phaser("cascade", SWEEPS["log_frequency"])
    learn_highpass(phaser)
    other = phaser.at_sample_rate(sample_rate)
    other.learned_at = sample_rate
    assert any(distance > allowed for distance, allowed in distances(phaser, other))


@each_rate
def test_the_comparison_hears_a_sweep_that_was_not_converted(sample_rate):
    phaser = learned_phaser("cascade", SWEEPS["paper"])
    other = phaser.at_sample_rate(sample_rate)
    other.sweep.sample_rate = sample_rate
    assert any(distance > allowed for distance, allowed in distances(phaser, other))


@each_rate
def test_frames_keep_their_time(sample_rate):
    phaser = learned_phaser("cascade", SWEEPS["log_frequency"])
    assert phaser.at_sample_rate(sample_rate).hop / sample_rate == pytest.approx(
        phaser.hop / phaser.sample_rate, rel=1e-3
    )


def test_the_copy_is_its_own():
    phaser = learned_phaser("cascade", SWEEPS["log_frequency"])
    other = phaser.at_sample_rate(48_000)
    other.set_parameters({"through": 0.1})
    assert phaser.through().item() == 0.7


def test_there_and_back_is_the_same():
    phaser = learned_phaser("cascade", SWEEPS["paper"])
    learn_highpass(phaser)
    back = phaser.at_sample_rate(96_000).at_sample_rate(LEARNED_AT)
    x = normal(2000)
    assert torch.equal(back(x), phaser(x))


def test_a_delay_of_one_sample_is_not_a_time():
    phaser = Phaser(LEARNED_AT, loop_delay=1)
    with pytest.raises(ValueError, match=r"loop delay.*loop_delay=0"):
        phaser.at_sample_rate(48_000)
    phaser.at_sample_rate(LEARNED_AT)


def test_another_rate_is_a_rate():
    with pytest.raises(ValueError, match=r"sample_rate.*positive"):
        Phaser(LEARNED_AT).at_sample_rate(-48_000)


# --------------------------------------------------------------------------------------- beyond the published model


def learned_with_all_options(**arguments) -> Phaser:
    lfo = {"rate_hz": 1.2, "cosines": [1.5, 0.2], "sines": [0.1, -0.1], "origin": 0.05}
    lfo |= {"drift": [0.0, 0.1, 0.0], "drift_start": 0.1, "drift_spacing": 0.4}
    arguments = {"lfo": lfo, "filter_order": 3, **arguments}
    if arguments.get("core") != "paper":
        arguments = {"dry_filter": True, "feedback_highpass_hz": 130.0, "feedback_floor": 0.3, **arguments}
    phaser = Phaser(LEARNED_AT, through=0.7, feedback=0.5, **arguments).double()
    for part, kind, corner_hz in ((phaser.biquad, "high", 300.0), (phaser.dry_filter, "low", 1500.0)):
        if part is not None:
            part.set(*map(torch.from_numpy, butter(3, corner_hz, kind, fs=LEARNED_AT)))
    return phaser


@each_core
@each_rate
def test_with_all_options_it_sounds_the_same_at_another_rate(sample_rate, core):
    phaser = learned_with_all_options(core=core)
    for distance, allowed in distances(phaser, phaser.at_sample_rate(sample_rate)):
        assert distance < allowed


@each_rate
@pytest.mark.parametrize("part", ["biquad", "dry_filter"])
def test_the_comparison_hears_either_filter_not_converted(sample_rate, part):
    phaser = learned_with_all_options()
    other = phaser.at_sample_rate(sample_rate)
    kept = getattr(other, part)
    kept.forward = lambda ratio: FreeFilter.forward(kept)
    assert any(distance > allowed for distance, allowed in distances(phaser, other))
