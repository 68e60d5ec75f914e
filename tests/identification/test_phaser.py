"""A phaser from dry and wet alone: what was put in is found again, and what is no phaser is said to be none."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from diffapf.identification import PhaserStart, identify_phaser
from diffapf.identification.offset import offset_candidates
from diffapf.identification.phaser import SMALL_OFFSET
from diffapf.identification.static_phasers import preemphasised
from tests.identification.battery import errors
from tests.identification.synthetic import Truth, chirps, plucks

RATE = 22_050  # half the usual: half the time


def identify(truth: Truth, dry, sample_rate=RATE, **arguments) -> PhaserStart:
    return identify_phaser(dry, truth.apply(dry, sample_rate), sample_rate, **arguments)


def check(truth: Truth, start: PhaserStart, seconds: float) -> None:
    """Near enough for Newton's method, whose capture range is 0.3 cycles; and as near as it says."""
    assert start.identified, start.verdict
    error = errors(truth, start, seconds)
    assert abs(error["cycles"]) < 0.01
    assert abs(start.rate_hz - truth.rate_hz) < 4 * start.rate_uncertainty_hz
    assert error["curve"] < min(0.06, 3 * float(start.curve_uncertainty.mean()))
    assert abs(error["feedback"]) < min(0.04, 4 * start.feedback_uncertainty)
    assert start.through == pytest.approx(truth.through, abs=0.1)


FOUND = {
    "a cosine on chirps": (Truth(1.3, 0.37, wave="cosine"), chirps(5, RATE)),
    "a fast triangle on music": (Truth(4.1, 0.9, 150, 1800, "triangle", feedback=0.3), plucks(5, RATE)),
    "feedback": (Truth(0.9, 0.1, 200, 2700, "asymmetric", feedback=0.65, through=0.7), plucks(6, RATE)),
    "negative feedback": (Truth(0.7, 0.6, 110, 1500, feedback=-0.5), plucks(6, RATE)),
    "a triangle of 1.4 periods": (Truth(0.2, 0.7, 100, 2000, "triangle"), plucks(7, RATE)),
    "an asymmetric LFO of 2.1 periods": (Truth(0.3, 0.2, 100, 2000, "asymmetric"), chirps(7, RATE)),
}


@pytest.mark.parametrize("name", FOUND)
def test_what_was_put_in_is_found(name):
    truth, dry = FOUND[name]
    start = identify(truth, dry, stages=truth.stages, loop_delay=0)
    check(truth, start, len(dry) / RATE)
    assert start.offset == 0
    periods = truth.rate_hz * len(dry) / RATE
    assert start.even == (periods < 2.5 and truth.wave != "asymmetric")


@pytest.mark.parametrize(("stages", "loop_delay"), [(4, 0), (6, 1), (8, 0)])
def test_the_structure_is_found_from_the_data(stages, loop_delay):
    truth = Truth(1.1, 0.25, 150, 2500, stages=stages, loop_delay=loop_delay, feedback=-0.4)
    start = identify(truth, plucks(3, RATE))
    assert (start.stages, start.loop_delay) == (stages, loop_delay)
    check(truth, start, 3.0)
    assert start.compared[0].residual == start.residual
    assert [row.residual for row in start.compared] == sorted(row.residual for row in start.compared)


@pytest.mark.parametrize("sample_rate", [48_000, 96_000])
def test_the_sample_rate_makes_no_difference(sample_rate):
    truth = Truth(2.3, 0.5, 250, 1500, "triangle", feedback=0.2)
    dry = plucks(2, sample_rate)
    check(truth, identify(truth, dry, sample_rate, stages=4, loop_delay=0), 2.0)


@pytest.mark.parametrize("late", [441, -441, -1])
def test_an_offset_between_the_files_is_compensated(late):
    truth = Truth(1.7, 0.3, 200, 2000, feedback=0.3)
    dry = plucks(4, RATE)
    wet = torch.roll(truth.apply(dry, RATE), late)
    wet[: max(late, 0)] = 0.0
    start = identify_phaser(dry, wet, RATE, stages=4, loop_delay=0)
    assert start.offset == late
    check(truth, start, 4.0)  # its phase is that of the dry file's first sample


def test_all_passes_without_a_dry_path_are_no_delay():
    truth = Truth(1.1, 0.25, 2000, 4000, stages=6, loop_delay=1, feedback=0.3, through=0.0)
    dry, shares = plucks(4, RATE), []
    wet = truth.apply(dry, RATE)
    start = identify_phaser(dry, wet, RATE, (4, 6), 1, progress=lambda stage, done: shares.append(done))
    assert offset_candidates(preemphasised(dry, RATE), preemphasised(wet, RATE), 100)[0] > SMALL_OFFSET
    assert (start.offset, start.stages) == (0, 6)
    check(truth, start, 4.0)
    assert shares == sorted(shares)


def test_of_a_long_recording_the_loudest_stretch_is_looked_at():
    truth = Truth(1.3, 0.37, 200, 2000)
    dry = torch.cat([0.003 * plucks(6, RATE), plucks(5, RATE, seed=1)])
    start = identify(truth, dry, stages=4, loop_delay=0, longest_s=5.0)
    check(truth, start, 11.0)  # the phase is still that of the file's first sample


# ----------------------------------------------------------------------------------------------------------- no phaser


def compressed(x):
    level, out = 0.0, np.zeros(len(x))
    for n, value in enumerate(np.abs(x.numpy())):
        level += (0.01 if value > level else 0.0005) * (value - level)
        out[n] = level
    return x * torch.from_numpy((np.maximum(out, 0.01) / 0.01) ** -0.7).float()


def flanged(x):
    n = torch.arange(len(x), dtype=torch.float64)
    place = (n - 60 - 40 * torch.sin(2 * math.pi * 0.7 * n / RATE)).clamp(min=0)
    lower = place.long()
    part = (place - lower).float()
    return x + 0.8 * torch.lerp(x[lower], x[(lower + 1).clamp(max=len(x) - 1)], part)


NO_PHASER = {
    "a compressor": (compressed, "its level moves"),
    "an equaliser": (lambda x: x - 0.9 * torch.cat([x[:1], x[:-1]]) + 0.3 * x.roll(30), "nothing sweeps"),
    "a flanger": (flanged, "nothing sweeps"),
    "a deep tremolo": (
        lambda x: x * torch.sin(2 * math.pi * 1.5 * torch.arange(len(x)) / RATE) ** 2,
        "its level moves",
    ),
    "a tremolo": (
        lambda x: x * (1 + 0.5 * torch.sin(2 * math.pi * 3 * torch.arange(len(x)) / RATE)),
        "its level moves",
    ),
    "nothing at all": (lambda x: x, "nothing sweeps"),
    "another take": (lambda x: plucks(4, RATE, seed=7), "no phaser explains"),
    "silence": (lambda x: 1e-6 * x, "the wet file is silent"),
}


@pytest.mark.parametrize("name", NO_PHASER)
def test_what_is_no_phaser_is_told_in_words(name):
    effect, words = NO_PHASER[name]
    dry = plucks(4, RATE)
    start = identify_phaser(dry, effect(dry), RATE, stages=4, loop_delay=0)
    assert not start.identified
    assert start.verdict.startswith(words)


def test_less_than_a_period_is_no_rate():
    start = identify(Truth(0.1, 0.4, 100, 2000), chirps(6, RATE), stages=4, loop_delay=0)
    assert not start.identified
    assert "its rate is not identified" in start.verdict


# -------------------------------------------------------------------------------------------------------------- calls


GOOD = torch.randn(2 * RATE, generator=torch.Generator().manual_seed(0))
WRONG = {
    "two channels": ({"dry": GOOD.reshape(2, -1)}, ValueError, r"dry must be one channel, shape \(time,\), got \(2, "),
    "integers": ({"wet": GOOD.long()}, TypeError, "wet must be floating point, full scale 1, got torch.int64"),
    "no signal": ({"wet": "wet.wav"}, TypeError, "wet must be a tensor or an array, got str"),
    "two lengths": ({"wet": GOOD[:-1]}, ValueError, "equally long, got 44100 and 44099 samples"),
    "too short": ({"dry": GOOD[:100], "wet": GOOD[:100]}, ValueError, "at least 1 s long, got 0.0045"),
    "not a number": ({"dry": GOOD * math.nan}, ValueError, "dry has samples that are NaN or infinite"),
    "no rate": ({"sample_rate": 0}, ValueError, "sample_rate must be at least 4000 Hz, got 0"),
    "a rate in words": ({"sample_rate": "44.1 kHz"}, TypeError, "sample_rate must be a number, in Hz, got str"),
    "no stages": ({"stages": 0}, ValueError, "stages must be a positive integer or several, got 0"),
    "stages in words": ({"stages": "four"}, ValueError, "stages must be a positive integer or several"),
    "a long delay": ({"loop_delay": (0, 2)}, ValueError, r"loop_delay must be 0 or 1 samples or both, got \(0, 2\)"),
    "no time": ({"longest_s": 0.1}, ValueError, "longest_s must be at least 1 seconds, got 0.1"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_calls_are_told_what_came_and_what_is_needed(name):
    arguments, error, message = WRONG[name]
    with pytest.raises(error, match=message):
        identify_phaser(**{"dry": GOOD, "wet": GOOD, "sample_rate": RATE, **arguments})


def test_progress_goes_forward_and_arrays_and_doubles_are_taken():
    told = []
    truth, dry = Truth(3.0), chirps(2, RATE)
    wet = truth.apply(dry, RATE)
    start = identify_phaser(
        dry.double().numpy(), wet.numpy(), RATE, 4, 0, progress=lambda stage, fraction: told.append((stage, fraction))
    )
    fractions = [fraction for _, fraction in told]
    assert fractions == sorted(fractions) and fractions[0] == 0.0 and fractions[-1] == 1.0
    assert all(stage for stage, _ in told)
    assert start.scan_cost.shape == start.scan_rates_hz.shape
    assert start.folded_cost.shape == (32, len(start.folded_hz))
    assert float(start.scan_rates_hz[start.scan_cost.argmin()]) == pytest.approx(3.0, abs=0.1)
    # the curve is the folded table's valley, both from the crest on
    valley = start.folded_hz[start.folded_cost.argmin(1)]
    assert ((valley / start.curve_hz[::2]).log().abs() < 0.2).all()
