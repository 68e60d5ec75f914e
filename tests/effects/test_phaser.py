"""The phaser computes its published equations, by either core and either method, in double and single precision."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch

from diffapf import LFO, FrequencySampling, Phaser, TimeDomain
from diffapf.effects.phaser import CORES, LogFrequencySweep, PaperSweep, paper_phaser
from diffapf.losses import esr
from diffapf.modulation import WaveShaper
from tests.effects.phasers import as_function, moved, phaser_loop, small_phaser
from tests.filters.oracles import chirps, normal

SAMPLE_RATE = 44_100
each_core = pytest.mark.parametrize("core", CORES)


def close_to(expected, found, tolerance):
    """Within a part of the largest sample."""
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * np.abs(expected).max())


# ------------------------------------------------------------------------------------------------------- the equations


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("sweep", ["log_frequency", "paper"])
@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("stages", [4, 6])
@each_core
def test_it_equals_the_equations(core, stages, residual, sweep, align_corners):
    phaser = small_phaser(
        seed=stages, core=core, stages=stages, shaper={"residual": residual}, sweep=sweep, align_corners=align_corners
    )
    x = normal(301, seed=stages)
    close_to(phaser_loop(phaser, x.numpy()), phaser(x).detach(), 1e-11 if core == "cascade" else 1e-9)


@pytest.mark.parametrize("highpass", [None, 130.0])
@pytest.mark.parametrize("delay", [0, 1])
@pytest.mark.parametrize("feedback", [-0.6, 0.9])
def test_the_loop_equals_the_equations(feedback, delay, highpass):
    phaser = small_phaser(feedback=feedback, loop_delay=delay, feedback_highpass_hz=highpass)
    x = normal(301)
    close_to(phaser_loop(phaser, x.numpy()), phaser(x).detach(), 1e-11)


@pytest.mark.parametrize("time", [1, 2, 39, 40, 41, 80])
@each_core
def test_it_equals_the_equations_around_the_ends_of_frames(core, time):
    """A frame has 40 samples."""
    phaser, x = small_phaser(core=core), normal(time)
    close_to(phaser_loop(phaser, x.numpy()), phaser(x).detach(), 1e-11)


@each_core
def test_a_batch_is_its_signals(core):
    phaser, x = small_phaser(core=core), normal(3, 2, 200)
    y = phaser(x)
    assert y.shape == x.shape
    for i, j in np.ndindex(3, 2):
        torch.testing.assert_close(y[i, j], phaser(x[i, j]), rtol=1e-12, atol=1e-12)


def test_the_published_mapping():
    """d = bias + depth (1 + shape)/2, p = tanh((1 − tan d)/(1 + tan d)), at the rate it was published for."""
    shape = torch.linspace(-1, 1, 9, dtype=torch.float64)
    frequency = PaperSweep(-0.15, 0.57, SAMPLE_RATE)(shape)
    t = torch.tan(-0.15 + 0.57 * (1 + shape) / 2)
    at_break = torch.tan(math.pi * frequency / SAMPLE_RATE)
    torch.testing.assert_close((1 - at_break) / (1 + at_break), torch.tanh((1 - t) / (1 + t)))


@each_core
def test_a_sweep_beyond_nyquist_is_held_below_it(core):
    phaser, x = small_phaser(core=core, sweep=LogFrequencySweep(1000.0, 20_000.0)), normal(301)
    close_to(phaser_loop(phaser, x.numpy()), phaser(x).detach(), 1e-9)


def test_the_log_frequency_sweep_goes_from_low_to_high():
    found = LogFrequencySweep(100.0, 1600.0)(torch.tensor([-1.0, -0.5, 0.0, 1.0], dtype=torch.float64))
    torch.testing.assert_close(found, torch.tensor([100.0, 200.0, 400.0, 1600.0], dtype=torch.float64))


# ------------------------------------------------------------------------------------------- cores, methods, precision

SETTINGS = {
    "colour off": {"rate_hz": 2.33, "low": 286.0, "high": 1562.0, "through": 1.054, "feedback": 0.0289},
    "colour on": {"rate_hz": 1.389, "low": 191.0, "high": 2707.0, "through": 0.6433, "feedback": 0.6226},
}
each_setting = pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS)


def small_stone(rate_hz: float, low: float, high: float, **arguments) -> Phaser:
    """The pedal as the authors found it; a cosine instead of their network."""
    sweep = LogFrequencySweep(low, high)
    return Phaser(SAMPLE_RATE, lfo=LFO(rate_hz, phase=1.0), sweep=sweep, **arguments).double().eval()


@each_setting
def test_the_cores_agree_and_differ(setting):
    """The same poles and zeros at each frame, interpolated in two ways: ESR 8e-5 to 9e-4 in published experiments."""
    x = chirps(2.0, period=0.03).double()
    cascade, paper = (small_stone(**setting, core=core)(x) for core in CORES)
    assert 1e-6 < esr(cascade, paper).item() < 2e-3


def test_the_cores_are_equal_when_nothing_moves():
    x = normal(400)
    cascade, paper = (
        small_phaser(core=core, lfo=LFO(1.0, amplitude=0.0), amount=0.0)(x).detach().numpy() for core in CORES
    )
    close_to(cascade, paper, 1e-9)


@each_core
@each_setting
def test_frequency_sampling_is_close_when_the_lfo_is_slow(setting, core):
    phaser = small_stone(**{**setting, "rate_hz": 0.1}, core=core)
    x = chirps(1.0, period=0.03).double()
    exact = phaser(x)
    phaser.method = FrequencySampling()
    sampled = phaser(x)
    assert 0 < esr(sampled, exact).item() < 2e-3
    phaser.method = TimeDomain()
    torch.testing.assert_close(phaser(x), exact, rtol=0, atol=0)


@each_core
def test_frequency_sampling_loses_a_fast_lfo(core):
    """That the bound above is one: it does not hold for an LFO a hundred times as fast."""
    phaser = small_stone(**{**SETTINGS["colour on"], "rate_hz": 10.0}, core=core)
    x = chirps(1.0, period=0.03).double()
    exact = phaser(x)
    phaser.method = FrequencySampling()
    assert esr(phaser(x), exact).item() > 5e-2


@pytest.mark.parametrize("feedback", [0.0, 0.62, 0.95])
def test_the_cascade_is_accurate_in_single_precision(feedback):
    """Down to break frequencies of 15 Hz, p = 0.998, where the direct form is unstable."""
    single = Phaser(SAMPLE_RATE, sweep=LogFrequencySweep(15.0, 2000.0), feedback=feedback, lfo=LFO(1.0)).eval()
    double = copy.deepcopy(single).double()
    x = chirps(3.0)
    y = single(x)
    assert y.dtype == torch.float32
    assert 0 < esr(y.double(), double(x.double())).item() < 1e-9


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@each_core
def test_the_output_has_the_inputs_dtype(core, dtype):
    assert Phaser(SAMPLE_RATE, core=core)(normal(100, dtype=dtype)).dtype == dtype


# -------------------------------------------------------------------------------------------------------------- notches


@pytest.mark.parametrize("stages", [4, 6])
@pytest.mark.parametrize("break_hz", [150.0, 600.0, 2000.0])
def test_notches_are_where_the_chain_turns_the_phase(break_hz, stages):
    """A stage turns the phase by 2 arctan(tan(πf/R)/tan(πf_b/R)); a notch is where K of them make an odd multiple of π."""
    phaser = Phaser(SAMPLE_RATE, stages=stages, sweep=LogFrequencySweep(break_hz, break_hz))
    odd = np.arange(1, stages, 2)
    turn = np.tan(odd * np.pi / (2 * stages)) * np.tan(np.pi * break_hz / SAMPLE_RATE)
    expected = SAMPLE_RATE / np.pi * np.arctan(turn)
    found = phaser.notches(torch.tensor([0.0, 0.3], dtype=torch.float64))
    np.testing.assert_allclose(found, np.stack([expected, expected]), rtol=4e-3)


def test_notches_that_are_not_there_are_nan():
    found = Phaser(SAMPLE_RATE).notches(torch.tensor([0.0], dtype=torch.float64), count=5)
    assert found.isnan().sum() == 3
    assert (found[0, :2].diff() > 0).all()


# ------------------------------------------------------------------------------------------------- the published model


def test_the_published_model_has_182_learnable_numbers():
    parameters = paper_phaser(44_100, 0.01).parameters()
    assert sum(parameter.numel() for parameter in parameters if parameter.requires_grad) == 182


def test_the_published_model_is_drawn_in_the_published_order():
    torch.manual_seed(5)
    phaser = paper_phaser(44_100, 0.01)
    torch.manual_seed(5)
    depth, bias, omega, phi = 0.5 * torch.rand(()), 0.1 * torch.rand(()), 0.1 * torch.randn(()), torch.randn(())
    shaper = WaveShaper(residual=False)
    values = {spec.name: spec.value for spec in phaser.parameters_spec()}
    expected = {
        "sweep.depth": depth.item(),
        "sweep.bias": bias.item(),
        "lfo.rate_hz": omega.item() * 100 / (2 * math.pi),
        "lfo.phase": phi.item(),
        "lfo.amplitude": 1.0,
        "lfo.damping": 0.6,
        "through": 1.0,
        "feedback": 0.01,
        **{f"biquad.{name}": float(name == "b0") for name in ("b0", "b1", "b2", "l1", "l2")},
    }
    assert values == pytest.approx(expected, rel=1e-6)
    for found, drawn in zip(phaser.shaper.parameters(), shaper.parameters(), strict=True):
        torch.testing.assert_close(found, drawn, rtol=0, atol=0)


def test_the_published_model_is_the_same_for_a_seed():
    def drawn(seed, **arguments):
        torch.manual_seed(seed)
        return paper_phaser(44_100, 0.01, **arguments).double().eval()

    x = normal(2000)
    assert torch.equal(drawn(1)(x), drawn(1)(x))
    assert not torch.equal(drawn(1)(x), drawn(2)(x))
    given = drawn(1, rate_hz=2.33, phase=0.5)
    assert (given.lfo.rate_hz().item(), given.lfo.phase().item()) == (2.33, 0.5)
    for found, expected in zip(given.shaper.parameters(), drawn(1).shaper.parameters(), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_the_published_models_rate_is_learned_in_radians_a_frame():
    phaser = paper_phaser(44_100, 0.04, rate_hz=0.6)
    with torch.no_grad():
        phaser.lfo.rate_hz.step += 0.01
    assert phaser.lfo.rate_hz().item() == pytest.approx(0.6 + 0.01 * 25 / (2 * math.pi))


def test_damping_stays_on_in_training_whoever_gives_the_numbers():
    """With its own numbers given back to it the model is the same function."""
    torch.manual_seed(0)
    phaser = moved(paper_phaser(8000, 0.005).double().train(), 0.05)
    function, values = as_function(phaser)
    x = normal(400)
    torch.testing.assert_close(function(x, *(value.detach() for value in values)), phaser(x), rtol=0, atol=0)


# --------------------------------------------------------------------------------------------------------------- errors

WRONG = {
    "core": ({"core": "ladder"}, r"core.*cascade.*paper.*'ladder'"),
    "sweep": ({"sweep": "linear"}, r"sweep.*log_frequency.*paper.*'linear'"),
    "hop": ({"hop_seconds": 0}, r"hop_seconds.*positive.*0"),
    "negative hop": ({"hop_seconds": -0.01}, r"hop_seconds.*positive.*-0\.01"),
    "sample rate": ({"sample_rate": 0}, r"sample_rate.*positive.*Hz.*0"),
    "loop delay of the paper's core": ({"core": "paper", "loop_delay": 1}, r"loop_delay.*cascade"),
    "high-pass of the paper's core": (
        {"core": "paper", "feedback_highpass_hz": 100.0},
        r"feedback_highpass_hz.*cascade",
    ),
    "loop delay": ({"loop_delay": 2}, r"loop_delay.*0 or 1.*2"),
    "no stages": ({"stages": 0}, r"stages.*positive integer.*0"),
    "no stages of the paper's core": ({"core": "paper", "stages": 0}, r"stages.*positive integer.*0"),
    "broken stages of the paper's core": ({"core": "paper", "stages": 2.5}, r"stages.*positive integer.*2\.5"),
    "unstable feedback": ({"feedback": 1.5}, r"1\.5"),
}


@pytest.mark.parametrize(("arguments", "message"), WRONG.values(), ids=WRONG)
def test_wrong_arguments_are_named_with_what_is_needed(arguments, message):
    with pytest.raises(ValueError, match=message):
        Phaser(**{"sample_rate": SAMPLE_RATE, **arguments})(normal(10))


@pytest.mark.parametrize("dtype", [torch.int64, torch.complex128])
@each_core
def test_audio_is_floating_point(core, dtype):
    phaser = small_phaser(core=core)
    with pytest.raises(TypeError, match=f"float32 or float64.*{dtype}"):
        phaser(torch.ones(10, dtype=dtype))


def test_a_stream_needs_frames_that_do_not_depend_on_its_length():
    phaser = small_phaser(align_corners=True)
    with pytest.raises(ValueError, match=r"align_corners=True.*cannot stream"):
        phaser.process(normal(10), phaser.initial_state())


@each_core
def test_a_stream_keeps_its_shape(core):
    phaser = small_phaser(core=core)
    _, state = phaser.process(normal(2, 10), phaser.initial_state())
    with pytest.raises(ValueError, match=r"shape \(3, \d\).*got \(2, \d\)"):
        phaser.process(normal(3, 10), state)


def test_an_unknown_parameter_is_named_with_those_there_are():
    with pytest.raises(ValueError, match=r"no parameter \['thorough'\].*'through'"):
        small_phaser().set_parameters({"thorough": 1.0})
