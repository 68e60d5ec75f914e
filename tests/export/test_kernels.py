"""Each kernel equals its Python model: all structures, in any blocks, at other rates, with knobs turned."""

from __future__ import annotations

import numpy as np
import pytest

from diffapf.export import describe
from diffapf.export.description import HIGHEST_RATE
from tests.export.hosts import KernelHost
from tests.export.models import ALL, COMPRESSORS, KINDS, PARITY_DB, RATE, changed, error_db, played, sound, turned

each_kind = pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)


@pytest.mark.parametrize("make", ALL.values(), ids=ALL)
def test_it_equals_the_model(tmp_path, make):
    model, x = make(), sound()
    y = KernelHost(describe(model), tmp_path).play(RATE, x)
    assert error_db(y, played(model, x)) < PARITY_DB


@pytest.fixture(scope="module", params=KINDS.values(), ids=KINDS)
def kernel(request, tmp_path_factory):
    """(the model, its kernel)"""
    model = request.param()
    return model, KernelHost(describe(model), tmp_path_factory.mktemp("kernel"))


def test_any_blocks_give_the_same(kernel):
    _, host = kernel
    x = sound(seconds=0.1)
    whole = host.play(RATE, x, blocks=(10**6,))
    np.testing.assert_array_equal(host.play(RATE, x, blocks=(1, 7, 64, 3, 1000)), whole)
    np.testing.assert_array_equal(host.play(RATE, x.copy(), in_place=True), whole)


@pytest.mark.parametrize("rate", [22_050, 48_000, 96_000])
def test_at_another_rate_it_equals_the_model_there(kernel, rate, tmp_path):
    model, host = kernel
    if rate == 22_050 and "Equalizer" in type(model).__name__:
        pytest.skip("its bands reach higher than half the rate")
    model.save(tmp_path / "model.yaml")
    there = type(model).load(tmp_path / "model.yaml", rate).double().eval()
    x = sound(sample_rate=rate, seconds=0.3)
    assert error_db(host.play(rate, x), played(there, x)) < PARITY_DB


def test_turned_knobs_are_the_models_parameters(kernel):
    """Each goes a tenth of its way, to a number in single precision, as hosts have it."""
    model, host = kernel
    values, x = turned(host.description.knobs), sound()
    with changed(model, host.description, values):
        reference = played(model, x)
    assert error_db(host.play(RATE, x, values), reference) < PARITY_DB


def test_a_knob_that_is_turned_glides(tmp_path):
    """Make-up by 12 dB while sound runs: in small steps, and after 20 ms exactly what it would have been."""
    host = KernelHost(describe(COMPRESSORS["peak level"]()), tmp_path)
    kernel, x = host.new(RATE), np.full((2, 4096), 1e-4, np.float32)
    start = host.process(kernel, x)[0, -1]
    host.set(kernel, "makeup_db", 12.0)
    steps = np.diff(20 * np.log10(host.process(kernel, x)[0] / start), prepend=0.0)
    assert (steps > -1e-6).all() and steps.max() < 0.2
    arrived = int(0.02 * RATE) + 8
    assert steps[: arrived - 100].any() and not steps[arrived:].any()
    np.testing.assert_array_equal(host.process(kernel, x), host.play(RATE, x, {"makeup_db": 12.0}))


def test_a_knob_that_is_turned_arrives(kernel):
    _, host = kernel
    symbol, target = list(turned(host.description.knobs).items())[1]
    running, x = host.new(RATE), sound(seconds=0.1)
    host.process(running, x)
    host.set(running, symbol, target)
    assert np.isfinite(host.process(running, x)).all()
    host.c.kernel_reset(running)
    np.testing.assert_array_equal(host.process(running, x), host.play(RATE, x, {symbol: target}))


def test_knobs_stay_within_their_range_and_nothing_breaks(kernel):
    _, host = kernel
    x = sound(seconds=0.05)
    for knob in host.description.knobs:
        for beyond, end in ((1e30, knob.maximum), (-1e30, knob.minimum)):
            y = host.play(RATE, x, {knob.symbol: beyond})
            np.testing.assert_array_equal(y, host.play(RATE, x, {knob.symbol: end}))
            assert np.isfinite(y).all()
    np.testing.assert_array_equal(host.play(RATE, x, {knob.symbol: np.nan}), host.play(RATE, x))


def test_a_reset_is_a_new_beginning(kernel):
    _, host = kernel
    x, kernel_ = sound(seconds=0.1), host.new(RATE)
    first = host.process(kernel_, x)
    host.c.kernel_reset(kernel_)
    np.testing.assert_array_equal(host.process(kernel_, x), first)


def test_its_latency_is_the_models(kernel):
    model, host = kernel
    assert host.c.kernel_latency(host.new(RATE)) == model.latency
    assert host.description.latent == (model.latency > 0)


def test_mono_is_one_of_two_channels(tmp_path):
    make = KINDS["amplifier"]
    x = sound(1)
    y = KernelHost(describe(make(), channels=1), tmp_path).play(RATE, x)
    assert error_db(y, played(make(), x)) < PARITY_DB


def test_rates_out_of_reach_are_refused(tmp_path):
    host = KernelHost(describe(KINDS["compressor"]()), tmp_path)
    assert not host.new(HIGHEST_RATE + 1)
    assert not host.new(0.0)
    assert not host.new(float("nan"))


def test_what_fades_becomes_nothing(kernel):
    """Memories end in zeros, rather than in numbers too small for processors to be fast with."""
    _, host = kernel
    x = np.zeros((2, RATE), np.float32)
    x[:, :100] = 1e-30
    y = np.abs(host.play(RATE, x, blocks=(1,)))
    assert y.any()
    assert not ((y > 0) & (y < 1e-42)).any()
