"""The compressor is its equations, in every structure, and torchcomp's model by default."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from diffapf import Compressor, FrequencySampling
from diffapf.effects.compressor import AVERAGE_MS
from diffapf.effects.level_detector import moving_sum
from diffapf.effects.time_constants import CONVENTIONS, milliseconds_of, smoothing_rate
from tests.effects.compressors import AUDIBLE, SAMPLE_RATE, STRUCTURES, bursts, compressor_loop, small_compressor
from tests.filters.oracles import esr, normal

each_structure = pytest.mark.parametrize("arguments", STRUCTURES.values(), ids=STRUCTURES)


@each_structure
def test_it_is_its_equations(arguments):
    x = bursts(2, 400)
    expected = compressor_loop(arguments, x.numpy())
    np.testing.assert_allclose(small_compressor(**arguments)(x).detach(), expected, rtol=1e-9, atol=1e-12)


@each_structure
def test_a_side_chain_is_heard_instead_of_the_signal(arguments):
    x, side_chain = bursts(2, 300), bursts(2, 300, seed=1)
    expected = compressor_loop(arguments, x.numpy(), side_chain.numpy())
    found = small_compressor(**arguments)(x, side_chain).detach()
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


@each_structure
def test_something_is_compressed_and_it_starts_from_nothing(arguments):
    reduction = small_compressor(**arguments).gain_db(bursts(2, 400)).detach()
    assert float(reduction.min()) < -3
    assert float(small_compressor(**arguments)(torch.zeros(2, 50).double()).detach().abs().max()) == 0


@each_structure
@pytest.mark.parametrize("shape", [(300,), (1, 300), (3, 2, 300)], ids=["mono", "row", "batch"])
def test_mono_and_batches_are_their_channels(arguments, shape):
    compressor, x = small_compressor(**arguments), bursts(*shape)
    found = compressor(x).detach()
    assert found.shape == x.shape
    for place in np.ndindex(*shape[:-2]):
        pair = x[place] if len(shape) > 1 else x[None]
        torch.testing.assert_close(found[place] if len(shape) > 1 else found[None], compressor(pair).detach())


@each_structure
def test_float32_is_float64_to_rounding(arguments):
    compressor, x = Compressor(SAMPLE_RATE, **{**AUDIBLE, **arguments}), bursts(2, 2000)
    found = compressor(x.float())
    assert found.dtype == torch.float32
    assert esr(found.detach(), compressor(x).detach()) < 1e-9


def test_the_default_is_torchcomps_model_with_its_gradients():
    core = pytest.importorskip("torchcomp", reason="torchcomp is not installed")
    from torchcomp.core import compressor_core

    x = bursts(1, 3000)
    compressor = Compressor(
        44_100, threshold_db=-20.0, ratio=3.0, attack_ms=1.0, release_ms=100.0, makeup_db=1.0
    ).double()
    numbers = [torch.tensor(value).double().requires_grad_() for value in (-20.0, 3.0, 1.0, 100.0, AVERAGE_MS, 1.0)]
    threshold, ratio, attack, release, average, makeup = numbers
    rms = core.avg(x.square().clamp_min(1e-8), core.ms2coef(average, 44_100)).sqrt()
    gain = 10 ** (((1 - 1 / ratio) * (threshold - core.amp2db(rms))).clamp_max(0) / 20)
    one = torch.ones(1).double()
    smoothed = compressor_core(gain, one, core.ms2coef(attack, 44_100)[None], core.ms2coef(release, 44_100)[None])
    expected = x * smoothed * core.db2amp(makeup)
    found = compressor(x)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-13)
    wanted = torch.autograd.grad(expected.pow(3).sum(), numbers)
    compressor.zero_grad()
    found.pow(3).sum().backward()
    steps = [compressor.curve.threshold_db, compressor.curve.ratio, compressor.smoother.attack_ms]
    steps += [compressor.smoother.release_ms, compressor.detector.average_ms, compressor.makeup_db]
    scales = [1.0, 2.0, 1.0, 100.0, AVERAGE_MS, 1.0]  # of a step: of the ratio less 1, and of times, a factor e
    for part, scale, one in zip(steps, scales, wanted, strict=True):
        torch.testing.assert_close(part.step.grad, scale * one, rtol=1e-8, atol=1e-12)


# ------------------------------------------------------------------------------------------------- frequency sampling


def test_frequency_sampling_is_the_time_domain_where_the_signal_ends_in_silence():
    """Periodic: what comes before the first sample is the end."""
    compressor = small_compressor(release_ms=None)
    x = torch.cat([bursts(2, 400), torch.zeros(2, 4001).double()], -1)
    expected = compressor(x).detach()
    compressor.method = FrequencySampling()
    torch.testing.assert_close(compressor(x).detach(), expected, rtol=1e-9, atol=1e-9)
    single = compressor.float()(x.float())
    assert single.dtype == torch.float32 and esr(single.detach(), expected) < 1e-9


def test_frequency_sampling_needs_one_time_for_both():
    with pytest.raises(ValueError, match="release_ms=None"):
        small_compressor(method=FrequencySampling())(bursts(100))
    assert small_compressor(release_ms=None, method=FrequencySampling())(bursts(2, 0)).shape == (2, 0)


# ------------------------------------------------------------------------------------------------------------- parts


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_times_are_what_the_convention_says(convention):
    """Within the time, 1 − e^(−c) of the way; another convention is another number for the same thing."""
    alpha = smoothing_rate(torch.tensor(30.0).double(), 1000, convention)
    assert float((1 - alpha) ** 30) == pytest.approx(math.exp(-convention))
    assert milliseconds_of(float(alpha), 1000, convention) == pytest.approx(30.0)
    x = bursts(500)
    same = {f"{name}_ms": AUDIBLE[f"{name}_ms"] * convention / 2.2 for name in ("attack", "release", "average")}
    found = small_compressor(**same, time_convention=convention)(x)
    torch.testing.assert_close(found, small_compressor()(x), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("length", [1, 2, 7, 50])
def test_a_moving_sum_is_a_sum(length):
    x = normal(3, 50)
    expected = x.unfold(-1, length, 1).sum(-1)
    torch.testing.assert_close(moving_sum(x, length), expected, rtol=1e-12, atol=1e-12)


def test_a_limiter_holds_the_threshold():
    limiter = Compressor(44_100, threshold_db=-20.0, ratio=math.inf, attack_ms=0.01, rectifier="absolute", average=None)
    limiter = limiter.double()
    assert "curve.ratio" not in [spec.name for spec in limiter.parameters_spec()]
    tone = 0.8 * torch.ones(2000).double()
    assert float(limiter(tone).detach()[-1]) == pytest.approx(0.1, rel=1e-6)


def test_look_ahead_comes_before_a_step_and_says_how_late_the_audio_is():
    step = torch.cat([torch.full((400,), 0.01), torch.full((400,), 0.5)]).double()
    late, ahead = (small_compressor(attack_ms=2.0, look_ahead_ms=ms, longest_look_ahead_ms=3.0) for ms in (0.1, 3.0))
    assert small_compressor().latency == 0
    assert late.latency == ahead.latency == 24 + 8
    first = 400 + ahead.latency
    assert float(ahead(step)[first]) < 0.7 * float(late(step)[first])
    torch.testing.assert_close(ahead(step)[..., :300], late(step)[..., :300], rtol=1e-6, atol=1e-9)


def test_silence_and_full_scale_give_numbers():
    for arguments in STRUCTURES.values():
        compressor = Compressor(44_100, **arguments)
        for x in (torch.zeros(2, 100), torch.ones(2, 100), 1e4 * torch.ones(2, 100), torch.zeros(2, 0)):
            y = compressor(x)
            assert bool(y.isfinite().all())
            if y.numel():
                gradients = torch.autograd.grad(y.sum(), list(compressor.parameters()), allow_unused=True)
                assert all(gradient is None or bool(gradient.isfinite()) for gradient in gradients)


# ------------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"ratio": 0.5}, ["ratio", "at least 1", "0.5"]),
        ({"ratio": math.nan}, ["ratio", "nan"]),
        ({"threshold_db": math.nan}, ["threshold_db", "finite", "nan"]),
        ({"attack_ms": -1.0}, ["attack_ms", "positive", "-1.0"]),
        ({"attack_ms": None}, ["attack_ms", "None"]),
        ({"release_ms": 0.0}, ["release_ms", "positive", "0.0"]),
        ({"average_ms": math.inf}, ["average_ms", "inf"]),
        ({"knee_db": -3.0}, ["knee_db", "positive"]),
        ({"makeup_db": "loud"}, ["makeup_db", "'loud'"]),
        ({"mix": 1.5}, ["mix", "between 0 and 1", "1.5"]),
        ({"expander_ratio": 0.5}, ["expander_threshold_db", "both"]),
        ({"expander_ratio": 2.0, "expander_threshold_db": -50.0}, ["expander_ratio", "2.0"]),
        ({"rectifier": "cube"}, ["rectifier", "'square'", "'cube'"]),
        ({"smoothed": []}, ["smoothed", "'gain_db'", "[]"]),
        ({"link": "sum"}, ["link", "None", "'max'", "'sum'"]),
        ({"average": "median"}, ["average", "'boxcar'"]),
        ({"ballistics": "smart"}, ["ballistics", "'decoupled'"]),
        ({"look_ahead_ms": 2.0, "longest_look_ahead_ms": 1.0}, ["longest_look_ahead_ms", "1.0", "2.0"]),
        ({"time_convention": 0}, ["time_convention", "positive"]),
        ({"floor_db": -math.inf}, ["floor_db", "finite", "-inf"]),
        ({"sample_rate": 0}, ["sample_rate", "positive"]),
    ],
    ids=str,
)
def test_wrong_arguments_are_named(arguments, words):
    with pytest.raises(ValueError, match=words[0]) as raised:
        Compressor(**{"sample_rate": 44_100, **arguments})
    assert all(word in str(raised.value) for word in words)


@pytest.mark.parametrize(
    ("error", "words", "call"),
    [
        (ValueError, ["side_chain", "(2, 50)", "(50,)"], lambda c, x: c(x, x[0])),
        (TypeError, ["side_chain", "float64"], lambda c, x: c(x, x.double())),
        (TypeError, ["x", "float32 or float64"], lambda c, x: c(x.long())),
        (TypeError, ["x", "list"], lambda c, x: c.process([1.0], c.initial_state())),
        (ValueError, ["curve.ratio", "at least 1", "0.5"], lambda c, x: c.set_parameters({"curve.ratio": 0.5})),
        (ValueError, ["smoother.attack_ms", "positive"], lambda c, x: c.set_parameters({"smoother.attack_ms": -5.0})),
        (ValueError, ["curve.threshold_db", "nan"], lambda c, x: c.set_parameters({"curve.threshold_db": math.nan})),
    ],
)
def test_wrong_calls_say_what_is_needed(error, words, call):
    with pytest.raises(error) as raised:
        call(Compressor(44_100), torch.zeros(2, 50))
    assert all(word in str(raised.value) for word in words)
