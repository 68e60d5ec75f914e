"""The ping-pong delay is its recursion and its series, the same in both domains, stable, and streams."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import signal
from torch import Tensor
from torch.autograd import gradcheck
from torch.func import functional_call, grad, jvp

from data.echo import EchoSetting, echoes
from data.voice import singing
from diffapf import CircleSampling, Effect, FrequencySampling, PingPongDelay, TimeDomain
from diffapf.filters.biquads import lowpass
from diffapf.filters.fractional_delay import windowed_sinc
from tests.filters.oracles import esr, normal

RATE = 44_100
SHORT = {"times_ms": (20_000 / RATE, 60_000 / RATE), "time_ms": 23_400 / RATE}  # of 20 to 60 samples
LOUD = {"feedback": 0.6, "gain": 0.8, "lowpass_hz": 3000.0, "q": 1.2, "odd_pan": 0.2, "even_pan": 0.9}
METHODS = pytest.mark.parametrize("method", [TimeDomain(), CircleSampling(300)], ids=["time", "circle"])


def short(method: TimeDomain | CircleSampling | None = None, **arguments) -> PingPongDelay:
    return PingPongDelay(RATE, **{**SHORT, **LOUD, **arguments}, method=method).double()


def series(delay: PingPongDelay, x: np.ndarray, count: int = 40) -> np.ndarray:
    """Repeat after repeat: the taps, then SciPy's biquad, on the repeat before."""
    values = {spec.name: spec.value for spec in delay.parameters_spec()}
    samples = values["time_ms"] * RATE / 1000
    taps = windowed_sinc(torch.tensor(samples % 1, dtype=torch.float64), 16).numpy()
    b, a = (each.numpy() for each in lowpass(torch.tensor(values["lowpass_hz"]).double(), values["q"], RATE))
    repeat, y = values["gain"] * x, np.zeros((2, len(x)))
    for k in range(1, count + 1):
        moved = np.convolve(repeat, taps)
        moved = np.concatenate([np.zeros(int(samples) - 15), moved])[: len(x)]
        repeat = signal.lfilter(b, a, moved)
        pan = math.pi / 2 * (values["odd_pan"] if k % 2 else values["even_pan"])
        y += math.sqrt(2) * np.array([[math.cos(pan)], [math.sin(pan)]]) * repeat
        repeat = values["feedback"] * repeat
    return y


@METHODS
@pytest.mark.parametrize("samples", [20.0, 23.4, 57.99])
def test_it_is_its_series(method, samples):
    """On the circle what comes round again is left, 120 dB down."""
    delay, x, in_time = short(method, time_ms=samples * 1000 / RATE), normal(300), isinstance(method, TimeDomain)
    np.testing.assert_allclose(delay(x).detach(), series(delay, x.numpy()), rtol=0, atol=1e-9 if in_time else 1e-5)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_repeats_that_end_are_as_loud_as_they_are_told(count):
    """Also where a true recursion would grow: the published delay."""
    loud = {"feedback": 0.99, "q": 2.0, "time_ms": 40_000 / RATE, "ends_s": (41 * count + 3) / RATE}
    delay, x = short(CircleSampling(400), **loud), normal(400)
    assert float(delay.loop_feedback()) < 0.5
    np.testing.assert_allclose(delay(x).detach(), series(delay, x.numpy(), count), rtol=0, atol=3e-5)


def test_it_is_the_delay_of_someone_else():
    """Ideal delays by phases; all of a voice but what is near half the sample rate."""
    setting, x = EchoSetting(187.654, 0.6, 0.7, 6000.0, 0.9, 0.1, 0.8), singing(2.0)
    delay = PingPongDelay(RATE, *vars(setting).values()).double()
    error = esr(delay(torch.from_numpy(x)).detach(), torch.from_numpy(echoes(x, setting, RATE)))
    assert 10 * math.log10(error) < -75


@METHODS
def test_gradients_are_finite_differences_and_none_is_0(method):
    delay, x = short(method), normal(60).requires_grad_()
    names = [name for name, _ in delay.named_parameters()]

    def function(x, *values):
        return functional_call(delay, dict(zip(names, values, strict=True)), x)

    values = tuple(delay.parameters())
    assert gradcheck(function, (x, *values), rtol=1e-4, atol=1e-6)
    for gradient in torch.autograd.grad(function(x, *values).square().sum(), values):
        assert bool(gradient.isfinite() and gradient)


@METHODS
def test_forward_mode_is_the_gradient(method):
    delay, x = short(method), normal(200)
    values = {name: value.detach() for name, value in delay.named_parameters()}
    along = {name: torch.full_like(value, 0.3 + 0.1 * i) for i, (name, value) in enumerate(values.items())}

    def energy(values):
        return functional_call(delay, values, x).square().sum()

    gradients = grad(energy)(values)
    expected = torch.stack([gradients[name] * along[name] for name in values]).sum()
    torch.testing.assert_close(jvp(energy, (values,), (along,))[1], expected, rtol=1e-9, atol=0)


@pytest.mark.parametrize("shape", [(300,), (1, 300), (3, 1, 300), (2, 3, 1, 300)], ids=str)
@METHODS
def test_mono_and_batches(shape, method):
    delay, x = short(method), normal(*shape)
    y = delay(x).detach()
    assert y.shape == ((2, 300) if len(shape) == 1 else (*shape[:-2], 2, 300))
    for one, expected in zip(x.reshape(-1, 300), y.reshape(-1, 2, 300), strict=True):
        torch.testing.assert_close(delay(one).detach(), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("cuts", [[1, 2, 3, 100], list(range(7, 400, 7))], ids=["few", "sevens"])
def test_any_cuts_stream_as_the_whole(cuts):
    delay, x = short(), normal(400)
    state, blocks = delay.initial_state(), []
    for block in x.tensor_split(cuts, -1):
        y, state = delay.process(block, state)
        blocks.append(y)
    torch.testing.assert_close(torch.cat(blocks, -1), delay(x).detach(), rtol=1e-12, atol=1e-12)
    assert delay.process(x[:0], state)[0].shape == (2, 0)


def test_a_stream_hears_a_parameter_that_changes():
    delay, x = short(), normal(400)
    _, state = delay.process(x[:200], delay.initial_state())
    before, _ = delay.process(x[200:], state)
    delay.set_parameters({"time_ms": 50_000 / RATE})
    assert not torch.allclose(delay.process(x[200:], state)[0], before)


@pytest.mark.parametrize("q", [0.5, 0.707, 2.0])
def test_nothing_makes_it_unstable(q):
    """With all of the feedback, a turn is nowhere louder than 1, and a note at its loudest dies away."""
    delay = short(feedback=1.0, gain=1.0, q=q, lowpass_hz=9000.0)
    omega = torch.linspace(0, math.pi, 4097, dtype=torch.float64)
    for samples in torch.linspace(30, 31, 6):
        delay.set_parameters({"time_ms": float(samples) * 1000 / RATE})
        with torch.no_grad():
            loop = delay.repeats().loop
        assert float((loop.feedback * loop.turn(8192, 1.0)).abs().max()) < 1
    note = torch.sin(omega[int(2 * 9000 / RATE * 4096)] * torch.arange(44_100))
    x = torch.where(torch.arange(44_100) < 4000, note, 0.0).double()
    y = delay(x).detach()
    assert float(y[:, -4000:].abs().max()) < 0.1 * float(y.abs().max())


def test_feedback_is_played_as_told_where_it_is_stable():
    assert float(short(q=0.707).loop_feedback()) == 0.6
    assert float(short(q=2.0).loop_feedback()) == pytest.approx(0.98 / (4 / math.sqrt(3.75)))


@pytest.mark.parametrize("fraction", torch.linspace(0, 1, 9).tolist())
def test_the_interpolation_is_no_louder_than_the_loop_allows(fraction):
    taps = windowed_sinc(torch.tensor(fraction, dtype=torch.float64), 16)
    assert float(torch.fft.rfft(taps, 8192).abs().max()) < 1.014


def test_the_damped_surrogate_has_the_true_value_and_the_gradient_of_the_damped_delay():
    x, along = normal(300), normal(2, 300, seed=1)
    true, damped = short(CircleSampling(300)), short(CircleSampling(300), surrogate="damped")
    assert damped.damping is not None
    torch.testing.assert_close(damped(x), true(x), rtol=1e-9, atol=1e-12)
    (found,) = torch.autograd.grad((damped(x) * along).sum(), damped.time_ms.step)
    n, radius = 300, 10 ** (120 / 20 / 300)
    repeats = true.repeats()
    samples, P = repeats.loop.samples.detach(), repeats.loop.turn(n, radius).detach().requires_grad_()
    repeats.loop.turn = lambda n, radius: P  # type: ignore[method-assign]
    (of_P,) = torch.autograd.grad((CircleSampling(300)(x[None], repeats) * along).sum(), P)
    omega = torch.arange(n // 2 + 1, dtype=torch.float64) * (2 * math.pi / n)
    z = radius * torch.exp(1j * omega)
    eta = -0.01 * omega * RATE / (2 * math.pi * 0.25)
    exact = P.detach() * torch.exp(eta)  # of which the interpolation is all but what is near half the rate
    (step,) = torch.autograd.grad(true.repeats().loop.samples, true.time_ms.step)
    expected = float((of_P.conj() * -torch.log(z) * exact).real.sum() * step)
    assert float(found) == pytest.approx(expected, rel=1e-3)
    assert samples == pytest.approx(23.4)
    assert float(damped.regularizer()) == pytest.approx((1 - math.exp(-0.01)) ** 2)
    assert float(true.regularizer()) == 0


@pytest.mark.parametrize(
    "arguments", [{}, {"surrogate": "damped", "taper": "linear", "ends_s": 0.004}], ids=["plain", "damped"]
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_preset_is_read_back_exactly(tmp_path, arguments, dtype):
    delay = PingPongDelay(RATE, **SHORT, **LOUD, **arguments, method=CircleSampling(300))
    with torch.no_grad():
        for i, step in enumerate(delay.parameters()):
            step += 0.01 * (i + 1)
    delay.save(tmp_path / "d.yaml")
    loaded = Effect.load(tmp_path / "d.yaml")
    assert isinstance(loaded, PingPongDelay)
    loaded.method = delay.method
    assert loaded.parameters_spec() == delay.parameters_spec()
    x = normal(300, dtype=dtype)
    assert loaded(x).dtype == dtype and torch.equal(loaded(x), delay(x))


@pytest.mark.parametrize("sample_rate", [22_050, 48_000, 96_000])
def test_it_sounds_alike_at_any_rate(sample_rate):
    """Where the repeats are, and how loud, of a low note's pulse."""

    def echo(rate: int) -> Tensor:
        t = torch.arange(rate // 2, dtype=torch.float64) / rate
        pulse = torch.exp(-(((t - 0.01) / 0.001) ** 2))
        return PingPongDelay(rate, 101.23, **LOUD).double()(pulse).detach()

    expected, found = echo(44_100), echo(sample_rate)
    every = 44_100 / sample_rate
    at = torch.arange(0, 22_050 - 200, 147).double()
    places = (at / every).round()
    exact = torch.fft.irfft(torch.fft.rfft(expected), round(22_050 / every)) / every  # resampled
    torch.testing.assert_close(found[:, places.long()], exact[:, places.long()], rtol=0, atol=3e-3)


# ------------------------------------------------------------------------------------------------------------ wrong calls


@pytest.mark.parametrize(
    ("words", "arguments"),
    [
        ("time_ms must lie between 100 and 1000", {"time_ms": 99.0}),
        ("feedback must lie between 0 and 1", {"feedback": 1.1}),
        ("gain must be a finite number", {"gain": math.nan}),
        ("lowpass_hz must lie between 200 and 16000", {"lowpass_hz": 17_000.0}),
        ("q must lie between 0.5 and 2", {"q": 0.0}),
        ("odd_pan must lie", {"odd_pan": -0.1}),
        ("times_ms must be two times from 0.363 ms on", {"times_ms": (0.1, 100.0)}),
        ("times_ms must be two times", {"times_ms": (200.0, 100.0)}),
        ("taper must be 'log' or 'linear'", {"taper": "square"}),
        ("ends_s must be positive", {"ends_s": 0.0}),
        ("surrogate must be one of 'none', 'damped'", {"surrogate": "envelope"}),
        ("method must be TimeDomain", {"method": FrequencySampling()}),
        ("sample_rate must be positive", {"sample_rate": 0.0}),
    ],
)
def test_wrong_arguments_are_named(words, arguments):
    with pytest.raises(ValueError, match=words):
        PingPongDelay(**{"sample_rate": RATE, **arguments})


def test_wrong_signals_are_refused():
    with pytest.raises(ValueError, match=r"mono.*\(2, 50\)"):
        short()(normal(2, 50))
    with pytest.raises(TypeError, match="real"):
        short()(normal(50, dtype=torch.complex128))
    with pytest.raises(ValueError, match="the damped surrogate is a spectrum"):
        short(surrogate="damped")(normal(50))
    _, state = short().process(normal(3, 1, 50), None)
    with pytest.raises(ValueError, match=r"a past of shape \(2, 76\), got \(3, 2, 76\)"):
        short().process(normal(50), state)
