"""What a phaser may have beyond the published model: an LFO of any shape, a feedback floor, free filters, a dry one."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from scipy.signal import butter

from diffapf import LFO, ControlRate, FourierLFO, FrequencySampling, Phaser
from diffapf.effects.sweeps import LogFrequencySweep, OctaveSweep
from diffapf.losses import esr
from tests.effects.phasers import CURVE, DRIFT, OPTIONS, PAPER_OPTIONS, moved, phaser_loop, small_phaser
from tests.filters.oracles import chirps, normal

each_option = pytest.mark.parametrize("arguments", OPTIONS.values(), ids=OPTIONS)
SAMPLE_RATE = 44_100
STILL = {"cosines": [0.0], "sines": [0.0]}


def assert_equal(found, expected, tolerance=1e-11):
    """Within a part of the largest sample."""
    torch.testing.assert_close(found, expected, rtol=0, atol=tolerance * expected.abs().max().item())


def filtered_phaser(dry: bool = True, **arguments) -> Phaser:
    """A standing phaser, filters of order 3 and an AC-coupled loop."""
    loop = {"feedback_highpass_hz": 130.0, "feedback_floor": 0.3, "feedback": 0.6}
    phaser = Phaser(SAMPLE_RATE, lfo=STILL, **loop, filter_order=3, dry_filter=dry, **arguments)
    for part, kind, corner_hz in ((phaser.biquad, "high", 250.0), (phaser.dry_filter, "low", 3000.0)):
        if part is not None:
            part.set(*map(torch.from_numpy, butter(3, corner_hz, kind, fs=SAMPLE_RATE)))
    return phaser.double()


def response(phaser: Phaser, hz) -> np.ndarray:
    still = phaser.filter_at(0, 1, ControlRate.hop(phaser.hop), torch.float64)
    return still.response(2 * math.pi * torch.as_tensor(hz) / phaser.sample_rate)[0].detach().numpy()


# ------------------------------------------------------------------------------------------------------- the equations


@each_option
def test_it_equals_the_equations(arguments):
    phaser, x = small_phaser(**arguments), normal(301)
    assert_equal(phaser(x).detach(), torch.from_numpy(phaser_loop(phaser, x.numpy())))


@each_option
def test_of_a_batch_each_signal_equals_the_equations(arguments):
    phaser, x = small_phaser(**arguments), normal(2, 2, 90)
    y = phaser(x).detach()
    for i, j in np.ndindex(2, 2):
        assert_equal(y[i, j], torch.from_numpy(phaser_loop(phaser, x[i, j].numpy())))


def test_the_papers_core_equals_the_equations():
    phaser, x = small_phaser(**PAPER_OPTIONS, amount=0.05), normal(301)
    assert_equal(phaser(x).detach(), torch.from_numpy(phaser_loop(phaser, x.numpy())), 1e-9)


@each_option
def test_each_option_is_heard(arguments):
    """As nothing else in these tests tells an option from none: leaving one out changes the sound."""
    x = normal(301)
    whole = small_phaser(**arguments)(x)
    for name in arguments.keys() - {"sweep", "stages", "feedback_highpass_hz", "filter_order"}:
        rest = {key: value for key, value in arguments.items() if key != name}
        assert not torch.allclose(small_phaser(**rest)(x), whole, atol=1e-6), name


def test_single_precision_is_enough():
    single = moved(Phaser(SAMPLE_RATE, feedback=0.5, **OPTIONS["all"]), 0.05).eval()
    double = copy.deepcopy(single).double()
    x = chirps(0.3)
    y = single(x)
    assert y.dtype == torch.float32
    assert 0 < esr(y.double(), double(x.double())).item() < 1e-9


# ------------------------------------------------------------------------------------------- what equals something else


def test_one_cosine_is_the_plain_lfo():
    x, sweep = normal(2000), LogFrequencySweep(200.0, 2000.0)
    plain = Phaser(SAMPLE_RATE, lfo=LFO(3.0, 0.4, 0.9), sweep=sweep, feedback=0.5).double()
    curve = {"rate_hz": 3.0, "cosines": [0.9], "sines": [0.0], "phase": 0.4 / (2 * math.pi)}
    assert_equal(Phaser(SAMPLE_RATE, lfo=curve, sweep=sweep, feedback=0.5).double()(x), plain(x))
    octaves = {**curve, "cosines": [0.9 * math.log2(10) / 2]}
    other = Phaser(SAMPLE_RATE, lfo=octaves, sweep=OctaveSweep(math.sqrt(200 * 2000)), feedback=0.5)
    assert_equal(other(x), plain(x))


def test_an_lfo_is_given_by_its_arguments_or_as_it_is():
    x, lfo = normal(500), FourierLFO(**CURVE, **DRIFT)
    by_name, itself = Phaser(8000, lfo=CURVE | DRIFT), Phaser(8000, lfo=lfo)
    assert itself.lfo is lfo
    assert isinstance(by_name.sweep, OctaveSweep)
    assert torch.equal(by_name(x), itself(x))


def test_the_octave_sweep_is_octaves_around_its_centre():
    found = OctaveSweep(440.0)(torch.tensor([-1.0, 0.0, 0.5, 2.0], dtype=torch.float64))
    expected = torch.tensor([220.0, 440.0, 440.0 * math.sqrt(2), 1760.0], dtype=torch.float64)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("order", [2, 5])
def test_a_free_filter_can_be_the_biquad(order):
    """With coefficients of zero where the order is higher."""
    phaser, x = small_phaser(), normal(301)
    other = small_phaser(filter_order=order)
    other.load_state_dict({**other.state_dict(), **{k: v for k, v in phaser.state_dict().items() if "biquad" not in k}})
    b, a = (torch.cat([values, values.new_zeros(order - 2)]) for values in phaser.biquad())
    other.biquad.set(b, a)
    assert_equal(other(x), phaser(x))


def test_a_dry_filter_starts_as_the_through_gain():
    x, arguments = normal(400), {"lfo": CURVE, "through": 0.7, "feedback": 0.5, "filter_order": 2}
    plain, dry = Phaser(8000, **arguments), Phaser(8000, **arguments, dry_filter=True)
    assert_equal(dry(x), plain(x))
    assert not dry.through.step.requires_grad
    dry.through.set(0.1)
    assert_equal(dry(x), plain(x))


@pytest.mark.parametrize("floor", [-0.9, 0.0, 0.4, 0.99])
def test_the_floor_is_the_loops_share_at_0_hz(floor):
    """The loop's response is that of the high-pass, and of the plain gain by this share of what is missing."""
    gain, z = 0.6, np.exp(-2j * np.pi * np.array([0.0, 10.0, 130.0, 1000.0, 22_050.0]) / SAMPLE_RATE)

    def loop(**arguments):
        phaser = Phaser(SAMPLE_RATE, feedback=gain, feedback_highpass_hz=130.0, **arguments)
        c0, c1, a = (tap.item() for tap in phaser._loop(torch.float64))
        return (c0 + c1 * z) / (1 - a * z)

    found, highpass = loop(feedback_floor=floor), loop()
    np.testing.assert_allclose(found, highpass + floor * (gain - highpass), rtol=0, atol=1e-12)
    assert found[0] == pytest.approx(gain * floor)
    assert found[-1] == pytest.approx(gain)


@pytest.mark.parametrize("step", [-1e3, -5.0, 5.0, 1e3])
def test_the_loop_is_stable_however_far_the_floor_is_moved(step):
    phaser = Phaser(SAMPLE_RATE, feedback=0.9, feedback_highpass_hz=130.0, feedback_floor=0.3)
    with torch.no_grad():
        phaser.feedback_floor.step += step
    c0, c1, a = (tap.item() for tap in phaser._loop(torch.float64))
    omega = np.linspace(0, np.pi, 1000)
    assert np.abs((c0 + c1 * np.exp(-1j * omega)) / (1 - a * np.exp(-1j * omega))).max() < 1


@pytest.mark.parametrize("samples", [0, 1, 2])
@pytest.mark.parametrize("arguments", [{}, {"dry_filter": True, "filter_order": 2}, {"core": "paper"}])
def test_a_delay_of_whole_samples_is_one(samples, arguments):
    """Of a phaser that stands still, exactly: no other delay is needed to say what it is."""
    x = normal(400)
    plain = Phaser(8000, lfo=STILL, **arguments)
    late = Phaser(8000, lfo=STILL, **arguments, delay_us=samples / 8000 * 1e6)
    assert_equal(late(x), torch.nn.functional.pad(plain(x), (samples, 0))[:400])


@pytest.mark.parametrize(("samples", "bound"), [(-0.5, 2e-3), (0.5, 2e-4), (1.5, 1e-4), (2.5, 2e-4)])
def test_a_fraction_of_a_sample_delays_low_notes_by_it(samples, bound):
    hz = np.array([50.0, 200.0, 1000.0])
    plain, late = (Phaser(SAMPLE_RATE, lfo=STILL, delay_us=d) for d in (None, samples / SAMPLE_RATE * 1e6))
    found = response(late, hz) / response(plain, hz)
    np.testing.assert_allclose(found, np.exp(-2j * np.pi * hz * samples / SAMPLE_RATE), atol=bound)


@pytest.mark.parametrize("sample_rate", [48_000, 96_000])
def test_a_delay_is_as_long_at_another_sample_rate(sample_rate):
    hz = np.array([50.0, 200.0, 1000.0])
    plain, late = (Phaser(SAMPLE_RATE, lfo=STILL, delay_us=d).at_sample_rate(sample_rate) for d in (None, 20.0))
    np.testing.assert_allclose(response(late, hz) / response(plain, hz), np.exp(-2e-6j * np.pi * hz * 20.0), atol=2e-4)


@pytest.mark.parametrize("name", ["any curve", "even curve", "drift", "all"])
def test_a_moved_origin_is_not_heard(name):
    phaser, x = small_phaser(**OPTIONS[name]), normal(400)
    before = phaser(x)
    phaser.lfo.move_origin(12.3)
    assert_equal(phaser(x), before)


# ------------------------------------------------------------------------------------------------ responses and notches


@pytest.mark.parametrize("dry", [False, True], ids=["through gain", "dry filter"])
@pytest.mark.parametrize("loop_delay", [0, 1])
def test_the_response_is_that_of_the_impulse(dry, loop_delay):
    phaser, impulse = filtered_phaser(dry, loop_delay=loop_delay), torch.zeros(1 << 15, dtype=torch.float64)
    impulse[0] = 1
    spectrum = torch.fft.rfft(phaser(impulse).detach()).numpy()
    hz = np.fft.rfftfreq(len(impulse), 1 / SAMPLE_RATE)
    np.testing.assert_allclose(response(phaser, hz), spectrum, rtol=0, atol=1e-9)


@pytest.mark.parametrize("arguments", [{}, {"core": "paper"}], ids=["cascade", "paper"])
def test_frequency_sampling_is_close_when_the_lfo_is_slow(arguments):
    if arguments:
        phaser = Phaser(SAMPLE_RATE, lfo={**CURVE, "rate_hz": 0.1}, filter_order=3, **arguments).double()
    else:
        phaser = filtered_phaser()
        phaser.lfo = FourierLFO(**{**CURVE, "rate_hz": 0.1}, **DRIFT | {"drift_spacing": 10.0})
    x = chirps(1.0, period=0.03).double()
    exact = phaser(x)
    phaser.method = FrequencySampling()
    assert 0 < esr(phaser(x), exact).item() < 2e-3


def test_a_dry_filter_that_is_the_input_filter_leaves_the_notches():
    plain, dry = filtered_phaser(dry=False, through=0.8), filtered_phaser(dry=True)
    b, a = plain.biquad()
    dry.dry_filter.set(0.8 * b, a)
    seconds = torch.zeros(1, dtype=torch.float64)
    torch.testing.assert_close(dry.notches(seconds), plain.notches(seconds))
    assert dry.notches(seconds).isfinite().all()


@pytest.mark.parametrize("dry", [False, True], ids=["through gain", "dry filter"])
def test_notches_are_dips_of_the_response(dry):
    """Of all that the input filter does not do to both paths."""
    phaser = filtered_phaser(dry)
    found = phaser.notches(torch.zeros(1, dtype=torch.float64))[0].numpy()
    hz = np.geomspace(20, 0.45 * SAMPLE_RATE, 20_000)
    b, a = (values.detach().numpy() for values in phaser.biquad())
    z = np.exp(-2j * np.pi * hz / SAMPLE_RATE)
    both = np.abs(response(phaser, hz) / (np.polyval(b[::-1], z) / np.polyval(a[::-1], z)))
    dips = np.flatnonzero((both[1:-1] < both[:-2]) & (both[1:-1] < both[2:])) + 1
    deepest = np.sort(hz[dips[np.argsort(both[dips])[:2]]])
    np.testing.assert_allclose(found[: len(deepest)], deepest, rtol=4e-3)
    assert len(deepest)


def test_a_dry_filter_moves_the_notches():
    seconds = torch.zeros(1, dtype=torch.float64)
    plain, dry = (filtered_phaser(dry).notches(seconds) for dry in (False, True))
    assert not torch.allclose(plain, dry, rtol=0.01)


# ------------------------------------------------------------------------------------------------- names, values, units


def test_every_number_has_a_name_a_unit_and_a_range():
    phaser = Phaser(SAMPLE_RATE, **OPTIONS["all"], through=0.7)
    shown = {spec.name: (spec.value, spec.unit, spec.minimum, spec.maximum) for spec in phaser.parameters_spec()}
    octaves, taps, reflections = ("octaves", -4.0, 4.0), ("", -2.0, 2.0), ("", -4.0, 4.0)
    assert shown == {
        "lfo.rate_hz": (7.0, "Hz", 0.01, 20.0),
        **{f"lfo.cosine.{k}": (value, *octaves) for k, value in enumerate(CURVE["cosines"], 1)},
        **{f"lfo.sine.{k}": (value, *octaves) for k, value in enumerate(CURVE["sines"], 1)},
        "lfo.phase": (0.0, "cycles", -0.5, 0.5),
        "lfo.drift.1": (-0.05, "cycles", -0.1, 0.1),
        "lfo.drift.2": (0.04, "cycles", -0.1, 0.1),
        "sweep.centre_hz": (700.0, "Hz", 10.0, 10_000.0),
        **{f"biquad.b.{i}": (float(i == 0), *taps) for i in range(4)},
        **{f"biquad.reflection.{i}": (0.0, *reflections) for i in range(1, 4)},
        "through": (0.7, "", 0.0, 2.0),
        **{f"dry_filter.b.{i}": (0.7 * (i == 0), *taps) for i in range(4)},
        **{f"dry_filter.reflection.{i}": (0.0, *reflections) for i in range(1, 4)},
        "feedback": (0.0, "", -0.99, 0.99),
        "feedback_highpass_hz": (130.0, "Hz", 1.0, 2000.0),
        "feedback_floor": (-0.2, "", -0.99, 0.99),
    }


@each_option
def test_every_value_is_set_and_read_back_exactly(arguments):
    phaser = small_phaser(**arguments)
    values = {spec.name: 0.7 * spec.value + 1e-3 / 3 for spec in phaser.parameters_spec()}
    phaser.set_parameters(values)
    assert {spec.name: spec.value for spec in phaser.parameters_spec()} == values


def test_what_an_option_needs_is_learned():
    learned = {
        name.removesuffix(".step")
        for name, value in Phaser(SAMPLE_RATE, **OPTIONS["all"]).named_parameters()
        if value.requires_grad
    }
    curve = {"lfo.rate_hz", "lfo.phase", "lfo.cosine", "lfo.drift", "sweep.centre_hz"}
    loop = {"feedback", "feedback_highpass_hz", "feedback_floor"}
    filters = {f"{part}.{numbers}" for part in ("biquad", "dry_filter") for numbers in ("b", "reflection")}
    assert learned == curve | loop | filters


# --------------------------------------------------------------------------------------------------------------- errors

WRONG = {
    "floor without high-pass": ({"feedback_floor": 0.1}, ValueError, "feedback_floor.*feedback_highpass_hz"),
    **{
        f"floor {floor}": (
            {"feedback_floor": floor, "feedback_highpass_hz": 100.0},
            ValueError,
            f"feedback_floor must be a share within ±0.999, got {floor!r}",
        )
        for floor in (1.5, -1.0, math.nan, True, "low")
    },
    **{
        f"order {order}": ({"filter_order": order}, ValueError, f"filter_order.*from 1 to 8, or None, got {order!r}")
        for order in (0, 9, -1, True, 2.0, "2")
    },
    "dry filter without order": ({"dry_filter": True}, ValueError, "dry_filter needs filter_order"),
    "dry filter in words": ({"dry_filter": "yes", "filter_order": 2}, TypeError, "dry_filter.*True or False.*'yes'"),
    "dry filter of the paper's core": (
        {"dry_filter": True, "filter_order": 2, "core": "paper"},
        ValueError,
        "dry_filter need core='cascade'",
    ),
    **{
        f"delay {delay}": ({"delay_us": delay}, ValueError, f"delay_us must be a finite number of µs.*got {delay!r}")
        for delay in (math.nan, True, "late")
    },
    "shaper of a curve": ({"lfo": {}, "shaper": {"width": 4}}, ValueError, "FourierLFO has its shape.*no shaper"),
    "drift of one knot": ({"lfo": {"drift": [0.0]}}, ValueError, "drift.*at least three.*got 1"),
    "drift of two knots": ({"lfo": {"drift": [0.0, 0.1]}}, ValueError, "drift.*at least three.*got 2"),
    "unequal parts": ({"lfo": {"cosines": [1.0, 0.1]}}, ValueError, "cosines and sines.*got 2 and 1"),
    "unknown argument of the LFO": ({"lfo": {"colour": 1}}, TypeError, "colour"),
    "unknown argument": ({"colour": 1}, TypeError, "colour"),
    "LFO in words": ({"lfo": "fast"}, TypeError, "lfo must be an LFO, a FourierLFO or its arguments.*'fast'"),
    "LFO as a rate": ({"lfo": 0}, TypeError, "lfo must be an LFO, a FourierLFO or its arguments.*got 0"),
    "shaper as a number": ({"shaper": 4}, TypeError, "shaper must be a WaveShaper or its arguments by name, got 4"),
    "sweep as a number": ({"sweep": 440.0}, TypeError, r"sweep must be one of .*octaves.* or a module, got 440\.0"),
    "unknown sweep": ({"sweep": "linear"}, ValueError, "sweep must be one of .*octaves.*'linear'"),
}


@pytest.mark.parametrize(("arguments", "kind", "message"), WRONG.values(), ids=WRONG)
def test_wrong_arguments_are_named_with_what_is_needed(arguments, kind, message):
    with pytest.raises(kind, match=message):
        Phaser(SAMPLE_RATE, **arguments)


@pytest.mark.parametrize("name", ["lfo.cosine.4", "lfo.cosine.0", "biquad.b.4", "lfo.drift.0", "biquad.b0"])
def test_a_number_that_there_is_not_is_named(name):
    with pytest.raises(ValueError, match=f"no parameter.*{name}.*'lfo.cosine.1'"):
        Phaser(SAMPLE_RATE, **OPTIONS["all"]).set_parameters({name: 0.1})


@pytest.mark.parametrize("value", [math.nan, "much", True])
def test_a_number_of_a_series_is_named_when_it_is_none(value):
    with pytest.raises(ValueError, match=r"lfo\.cosine\.2 must be a finite number, got"):
        Phaser(SAMPLE_RATE, **OPTIONS["all"]).set_parameters({"lfo.cosine.2": value})
