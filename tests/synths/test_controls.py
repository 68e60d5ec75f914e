"""Controls: any number to a value in its range, and back."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from diffapf.parameters import Range
from diffapf.synths.acid import GAIN, LEVELS, AcidSynth
from diffapf.synths.acid_filters import cutoff
from diffapf.synths.controls import Control, split, values_of
from tests.filters.oracles import quick
from tests.synths.notes import SYNTHS, raw_values, small_synth

ALL = {
    control.name: control
    for settings in SYNTHS.values()
    for level in LEVELS
    for control in small_synth(**{**settings, "level": level}).controls
}
each_control = pytest.mark.parametrize("control", ALL.values(), ids=ALL)


@each_control
@quick
@given(raw=st.floats(-8, 8))
def test_values_and_raw_numbers_are_inverse(control, raw):
    value = control.value(torch.tensor(raw, dtype=torch.float64))
    assert float(control.raw(value)) == pytest.approx(raw, abs=1e-6)


@each_control
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_any_number_is_in_the_range(control, dtype):
    value = control.value(torch.tensor([-1e30, -50.0, 0.0, 50.0, 1e30], dtype=dtype))
    assert value.dtype == dtype
    if control.range is not None:
        rounding = 1e-6 * max(abs(control.range.minimum), control.range.maximum)
        assert float(value.min()) >= control.range.minimum - rounding
        assert float(value.max()) <= control.range.maximum + rounding
        assert bool(control.raw(value).isfinite().all())


@each_control
def test_it_starts_where_it_says(control):
    start = control.start
    if start is None:
        start = 0.0 if control.range is None else control.range.at(0.5)
    assert float(control.value(torch.tensor(0.0).double())) == pytest.approx(start)


@each_control
def test_what_it_reaches_makes_sense(control):
    if control.range is not None:
        assert control.lowest <= control.range.minimum and control.range.maximum < control.below


def test_the_published_ranges():
    """Table 1 of the paper."""
    known = {"osc_shape": (0, 1), "decay": (0.1, 6), "osc_gain": (0.01, 1), "dist_gain": (0.01, 4)}
    known |= {"cutoff_hz": (100, 8000), "q": (0.7071, 8)}
    assert {name: (ALL[name].range.minimum, ALL[name].range.maximum) for name in known} == known


@pytest.mark.parametrize("highest", [150.0, 1000.0, 8000.0, 20_000.0])
def test_a_cutoff_of_any_reach_has_a_start(highest):
    assert 100 < float(cutoff(highest).value(torch.tensor(0.0))) < highest
    assert float(cutoff(highest).value(torch.tensor(0.0))) == pytest.approx(
        2000 if highest > 5000 else 0.7 * highest, rel=0.3
    )


def test_the_gains_step_is_a_ratio():
    """exp(2 raw), as dB."""
    raw = torch.tensor([-1.0, 0.0, 0.7]).double()
    torch.testing.assert_close(10 ** (GAIN.value(raw) / 20), torch.exp(2 * raw), rtol=1e-4, atol=0)


def test_a_network_s_numbers_are_split_in_order():
    controls = (Control("a"), Control("b", channels=3), Control("c", Range(0.0, 1.0)))
    found = split(torch.arange(10.0).reshape(2, 5), controls)
    assert {name: value.shape for name, value in found.items()} == {"a": (2,), "b": (2, 3), "c": (2,)}
    assert found["b"][1].tolist() == [6.0, 7.0, 8.0]
    assert found["c"][0] == pytest.approx(1 / (1 + math.exp(-4.0)))


@pytest.mark.parametrize("settings", SYNTHS.values(), ids=SYNTHS)
def test_values_by_name_are_those_of_each_control(settings):
    synth = small_synth(**settings)
    raw = raw_values(synth, 4, 2)
    found = values_of(raw, synth.controls)
    assert list(found) == list(raw)
    assert [c.moves for c in synth.controls] == sorted(c.moves for c in synth.controls)


def test_every_control_has_one_name():
    for settings in SYNTHS.values():
        names = [control.name for control in AcidSynth(48_000, **settings).controls]
        assert len(set(names)) == len(names)
