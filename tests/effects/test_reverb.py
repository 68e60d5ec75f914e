"""The reverberator is its definition, the same in both domains, stable, streams, and decays as it is told at any rate."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck
from torch.func import functional_call, grad, jvp

from diffapf import Effect, FrequencySampling, Reverb, TimeDomain
from diffapf.filters.circle_sampling import CircleSampling
from tests.filters.oracles import esr, normal

RATE = 44_100
SMALL = {"lines_s": (5 / RATE, 7 / RATE, 8 / RATE), "gains": 5, "longest_decay_s": 0.01}
VARYING = {"decay_s": [0.005, 0.002, 0.003, 0.001, 0.0005]}
PRESETS = Path(__file__).parents[3] / "shared" / "data" / "vocal_presets" / "medleydb" / "raw_params.npy"


def small(sample_rate: float = RATE, **arguments) -> Reverb:
    return Reverb(sample_rate, **SMALL | arguments).double()


def impulses(time: int) -> Tensor:
    """One into each channel: `(2, 2, time)`."""
    x = torch.zeros(2, 2, time, dtype=torch.float64)
    x[0, 0, 0] = x[1, 1, 0] = 1
    return x


def loop(reverb: Reverb, x: np.ndarray) -> np.ndarray:
    """Delay lines as lists, and filters as sums."""
    values = {spec.name: spec.value for spec in reverb.parameters_spec()}

    def series(name: str) -> np.ndarray:
        return np.array([value for key, value in values.items() if key.startswith(name)])

    lines = len(reverb.delays)
    U, B = reverb.network().U.detach().numpy(), series("entering.").reshape(lines, 2)
    C, filters = series("leaving.").reshape(2, lines), [g.detach().numpy() for g in reverb.network().absorption]
    entered: list[list[float]] = [[0.0] * 100 for _ in range(lines)]
    y = []
    for n in range(x.shape[1]):
        y.append(C @ [line[-m] for line, m in zip(entered, reverb.delays, strict=True)])
        turned = [
            sum(tap * line[-(m - len(g) // 2 + k)] for k, tap in enumerate(g))
            for line, m, g in zip(entered, reverb.delays, filters, strict=True)
        ]
        for line, value in zip(entered, B @ x[:, n] + U @ turned, strict=True):
            line.append(value)
    return np.array(y).T


@pytest.mark.parametrize("taps", [None, 1, 7])
def test_it_is_its_equations(taps):
    reverb, x = small(taps=taps, **VARYING), normal(2, 120)
    np.testing.assert_allclose(reverb(x).detach(), loop(reverb, x.numpy()), rtol=1e-10, atol=1e-12)


def test_its_matrix_loses_nothing_and_its_filters_have_the_gains():
    reverb = Reverb(44_100, decay_s=1.5)
    network = reverb.network()
    torch.testing.assert_close(network.U @ network.U.mT, torch.eye(6).double())
    torch.testing.assert_close(reverb.decay_s(), torch.full((49,), 1.5).double())
    for m, taps in zip((997, 1153, 1327, 1559, 1801, 2099), network.absorption, strict=True):
        assert taps.shape == (2 * m - 1,)
        gain = torch.fft.rfft(taps.detach()).abs()
        torch.testing.assert_close(gain, torch.full_like(gain, 10 ** (-3 * m / 44_100 / 1.5)), rtol=1e-9, atol=0)


def test_gradients_are_finite_differences_and_none_is_0():
    reverb, x = small(taps=5), normal(2, 30).requires_grad_()
    names = [name for name, _ in reverb.named_parameters()]

    def function(x, *values):
        return functional_call(reverb, dict(zip(names, values, strict=True)), x)

    values = tuple(reverb.parameters())
    assert gradcheck(function, (x, *values), rtol=1e-4, atol=1e-6)
    for gradient in torch.autograd.grad(function(normal(2, 300), *values).square().sum(), values):
        assert bool(gradient.isfinite().all() and gradient.all())


@pytest.mark.parametrize("method", [None, CircleSampling(200)], ids=["time", "circle"])
def test_forward_mode_is_the_gradient(method):
    reverb, x = small(taps=5, method=method), normal(2, 200)
    values = {name: value.detach() for name, value in reverb.named_parameters()}
    along = {name: normal(*value.shape, seed=i) for i, (name, value) in enumerate(values.items())}

    def energy(values):
        return functional_call(reverb, values, x).square().sum()

    gradients = grad(energy)(values)
    expected = torch.stack([(gradients[name] * along[name]).sum() for name in values]).sum()
    torch.testing.assert_close(jvp(energy, (values,), (along,))[1], expected, rtol=1e-9, atol=0)


def test_inference_leaves_nothing_behind_that_training_cannot_use():
    reverb, x = small(method=CircleSampling(123)), normal(2, 50)
    with torch.inference_mode():
        expected = reverb(x)
    y = reverb(x)
    y.sum().backward()
    assert torch.equal(y.detach(), expected.clone())


def test_gradients_are_the_same_by_either_method():
    x, along = normal(2, 400), normal(2, 400, seed=1)

    def gradients(method):
        reverb = small(taps=5, method=method)
        return torch.autograd.grad((reverb(x) * along).sum(), tuple(reverb.parameters()))

    for found, expected in zip(gradients(CircleSampling(400)), gradients(TimeDomain()), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("cuts", [[1, 2, 3, 100], list(range(0, 400, 7))[1:]], ids=["few", "sevens"])
@pytest.mark.parametrize("channels", [1, 2])
def test_any_cuts_stream_as_the_whole(cuts, channels):
    reverb, x = small(), normal(channels, 400)
    state, blocks = reverb.initial_state(), []
    for block in x.tensor_split(cuts, -1):
        y, state = reverb.process(block, state)
        blocks.append(y)
    torch.testing.assert_close(torch.cat(blocks, -1), reverb(x).detach(), rtol=1e-12, atol=1e-13)
    assert reverb.process(x[:, :0], state)[0].shape == (2, 0)


def test_blocks_of_1_64_and_1000_are_the_whole():
    """Of filters as long as their lines have room for, by loops and by FFTs."""
    reverb, x = Reverb(44_100).double(), normal(2, 9000)
    state, blocks = reverb.initial_state(), []
    for block in (*x[:, :200].split(1, -1), *x[:, 200:3000].split(64, -1), *x[:, 3000:].split(1000, -1)):
        y, state = reverb.process(block, state)
        blocks.append(y)
    torch.testing.assert_close(torch.cat(blocks, -1), reverb(x).detach(), rtol=1e-11, atol=1e-13)


def test_a_stream_hears_a_parameter_that_changes():
    reverb, x = small(), normal(2, 400)
    _, state = reverb.process(x[:, :200], reverb.initial_state())
    before, _ = reverb.process(x[:, 200:], state)
    reverb.set_parameters({"leaving.1": 3.0})
    after, _ = reverb.process(x[:, 200:], state)
    assert not torch.allclose(before, after)


@pytest.mark.parametrize("shape", [(300,), (1, 300), (2, 300), (3, 2, 300)], ids=str)
def test_mono_stereo_and_batches(shape):
    reverb, x = small(), normal(*shape)
    y = reverb(x).detach()
    assert y.shape == (*shape[:-2], 2, 300)
    stereo = x.expand(2, 300) if len(shape) < 3 else x
    for one, expected in zip(stereo.reshape(-1, 2, 300), y.reshape(-1, 2, 300), strict=True):
        torch.testing.assert_close(reverb(one).detach(), expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("method", [None, CircleSampling(700)], ids=["time", "circle"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_preset_is_read_back_exactly(tmp_path, method, dtype):
    reverb = Reverb(RATE, **SMALL, method=method)
    with torch.no_grad():
        for i, step in enumerate(reverb.parameters()):
            step += 0.01 * (i + 1)
    reverb.save(tmp_path / "r.yaml")
    loaded = Effect.load(tmp_path / "r.yaml")
    assert isinstance(loaded, Reverb)
    loaded.method = reverb.method
    assert loaded.parameters_spec() == reverb.parameters_spec()
    x = normal(2, 700, dtype=dtype)
    assert loaded(x).dtype == dtype and torch.equal(loaded(x), reverb(x))


@pytest.mark.parametrize("sample_rate", [22_050, 44_100, 48_000, 96_000])
def test_it_decays_as_it_is_told_at_any_rate(sample_rate):
    """2 s below 2 kHz and 0.5 s above 6 kHz; the energy that is left after a while, by band."""
    frequencies = np.linspace(0, 22_050, 49)
    decay = np.interp(frequencies, [2000, 6000], [2.0, 0.5])
    reverb = Reverb(sample_rate, decay_s=decay.tolist(), taps=513).double()
    y = reverb(impulses(int(0.8 * sample_rate))).detach()
    for low, high, seconds in ((200, 1500, 2.0), (6500, 9500, 0.5)):
        time = int(0.25 * sample_rate)
        hertz = torch.fft.rfftfreq(time, 1 / sample_rate)
        band, window = (hertz > low) & (hertz < high), torch.hann_window(time).double()
        early, late = (
            torch.fft.rfft(window * y[..., int(begin * sample_rate) :][..., :time])[..., band].abs().square().sum()
            for begin in (0.15, 0.45)
        )
        assert 10 * math.log10(float(early / late)) == pytest.approx(60 * 0.3 / seconds, rel=0.07)


@pytest.mark.parametrize("seed", range(3))
def test_nothing_makes_it_unstable(seed):
    """Any numbers at all; the filters' gains swing from nothing to everything between neighbouring frequencies."""
    reverb = Reverb(44_100, longest_decay_s=1e6, taps=[None, 97, 501][seed]).double()
    with torch.no_grad():
        for i, step in enumerate(reverb.parameters()):
            step += 8 * normal(*step.shape, seed=seed + i)
    network = reverb.network()
    for taps in network.absorption:
        assert float(torch.fft.rfft(taps.detach(), 1 << 19).abs().max()) < 1
    assert float((network.U @ network.U.mT - torch.eye(6)).detach().abs().max()) < 1e-12


# -------------------------------------------------------------------------------------------------------- fitted presets

fitted = pytest.mark.skipif(not PRESETS.is_file(), reason="needs the presets in ../shared/data/vocal_presets")
ROWS = (0, 57, 20, 40)


def of_row(raw: np.ndarray) -> Reverb:
    reverb = Reverb(44_100)
    reverb.decay.set(torch.from_numpy(raw[55:104]).double().sigmoid())
    reverb.mixing.set(raw[104:140].reshape(6, 6)[np.triu_indices(6, 1)].tolist())
    reverb.entering.set(raw[31:43].tolist())
    reverb.leaving.set(raw[43:55].tolist())
    return reverb


def published(raw: np.ndarray) -> np.ndarray:
    """The authors' response: sampled at 12 s, γ interpolated between 49 points, without a radius."""
    m, n, lines = np.array([997, 1153, 1327, 1559, 1801, 2099]), 529_200, 6
    T = np.triu(raw[104:140].reshape(lines, lines).astype(float), 1)
    U = torch.matrix_exp(torch.from_numpy(T - T.T)).numpy()
    gains = 10 ** (-3 * 997 / (44_100 * 9)) / (1 + np.exp(-raw[55:104].astype(float)))
    bins = np.arange(n // 2 + 1)
    turn = np.interp(bins * 48 / bins[-1], np.arange(49), gains)[:, None] ** (m / 997)
    loop = -(U * turn[:, None])
    loop = loop.astype(complex)
    loop[:, range(lines), range(lines)] += np.exp(2j * np.pi / n * (bins[:, None] * m % n))
    H = raw[43:55].reshape(2, lines) @ np.linalg.solve(loop, raw[31:43].reshape(1, lines, 2).astype(complex))
    return np.fft.irfft(H, n, axis=0).transpose(1, 2, 0)


@fitted
@pytest.mark.parametrize("row", ROWS)
def test_fitted_presets_are_the_published_response_and_the_same_in_both_domains(row):
    """To −44 dB of what the authors sampled; to −120 dB in time and on a circle of 3 s; over 2 s."""
    raw, time = np.load(PRESETS)[row], 88_200
    network = of_row(raw).network()
    with torch.no_grad():
        y = network.run(impulses(time))[0].transpose(0, 1)
        circle = CircleSampling(131_072).impulse_response(network)[..., :time]
    to_published = 10 * math.log10(esr(y, torch.from_numpy(published(raw)[..., :time])))
    between = 10 * math.log10(esr(circle, y))
    print(f"row {row}: {to_published:.1f} dB to the published response, {between:.1f} dB between the domains")
    assert to_published < -44
    assert between < -120
    for taps in network.absorption:
        assert float(torch.fft.rfft(taps.detach(), 1 << 18).abs().max()) < 1


@pytest.mark.parametrize(
    "U",
    [
        torch.eye(6, dtype=torch.float64),
        torch.diag(torch.tensor([-1.0, 1.0, -1.0, -1.0, -1.0, 1.0], dtype=torch.float64)),
        torch.eye(6, dtype=torch.float64)[[1, 2, 0, 4, 5, 3]],
        torch.matrix_exp(torch.arange(36.0, dtype=torch.float64).reshape(6, 6) - torch.arange(36.0).reshape(6, 6).T),
    ],
    ids=["identity", "half turns", "permutation", "any"],
)
def test_a_matrix_may_be_given_itself(U):
    assert float(U.det()) == pytest.approx(1.0)
    torch.testing.assert_close(Reverb(44_100, mixing=U, taps=3).network().U, U, rtol=0, atol=1e-9)


# ------------------------------------------------------------------------------------------------------------ wrong calls


@pytest.mark.parametrize(
    ("words", "arguments"),
    [
        ("lines_s must be seconds", {"lines_s": (0.001, 0.0)}),
        ("lines_s must be seconds", {"lines_s": ()}),
        ("decay_s must lie between 0 and longest_decay_s = 9.0", {"decay_s": 9.0}),
        ("decay_s must be 49 finite numbers", {"decay_s": [1.0, 2.0]}),
        ("mixing must be 15 finite numbers", {"mixing": [0.0] * 36}),
        ("orthogonal, or the network may be unstable.* off the identity by 0.21", {"mixing": 1.1 * torch.eye(6)}),
        ("determinant 1, got −1", {"mixing": torch.eye(6)[[1, 0, 2, 3, 4, 5]]}),
        ("matrix of 6 by 6", {"mixing": torch.eye(5)}),
        ("entering must be 12 finite numbers", {"entering": [math.nan] * 12}),
        ("leaving must be 12", {"leaving": [1.0]}),
        ("longest_decay_s must be positive", {"longest_decay_s": 0.0}),
        ("gains must be an integer from 2", {"gains": 1}),
        ("taps must be an odd positive integer", {"taps": 96}),
        ("method must be TimeDomain", {"method": FrequencySampling()}),
        ("sample_rate must be positive", {"sample_rate": 0.0}),
    ],
)
def test_wrong_arguments_are_named(words, arguments):
    with pytest.raises(ValueError, match=words):
        Reverb(**{"sample_rate": 44_100, **arguments})


def test_signals_of_other_channels_are_refused():
    with pytest.raises(ValueError, match=r"mono or stereo.*\(3, 50\)"):
        small()(normal(3, 50))
    with pytest.raises(TypeError, match="real"):
        small()(normal(2, 50, dtype=torch.complex128))
