"""The vocal chain is that of someone else, the same in both domains, streams, and reads the published presets."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import yaml
from torch import Tensor
from torch.func import functional_call
from torch.nn.functional import pad

from data.vocal_chain import SETTINGS, Setting, through
from data.voice import singing
from diffapf import CircleSampling, Effect, FrequencySampling, TimeDomain, VocalChain
from diffapf.effects.vocal_presets import (
    chain_of,
    independent,
    layout,
    read_presets,
    row_of,
)
from diffapf.losses import GaussianPrior, StereoLoss
from tests.filters.oracles import esr, normal

RATE = 44_100
TIME = 800
SHARED = Path(__file__).parents[3] / "shared" / "data"
published = pytest.mark.skipif(not SHARED.is_dir(), reason="needs the presets and voices of ../shared/data")

SMALL = {
    "compressor": {
        "threshold_db": -12.0,
        "expander_threshold_db": -20.0,
        "look_ahead_ms": 0.1,
        "longest_look_ahead_ms": 0.5,
        "attack_ms": 1.0,
    },
    "delay": {"times_ms": (2.0, 5.0), "time_ms": 3.21, "feedback": 0.5, "gain": 0.6, "even_pan": 0.9},
    "reverb": {"lines_s": (5 / RATE, 7 / RATE, 8 / RATE), "gains": 5, "longest_decay_s": 0.01},
    "pan": 0.4,
    "send": 0.3,
}
METHODS = pytest.mark.parametrize("method", [TimeDomain(), CircleSampling(TIME)], ids=["time", "circle"])


def small(sample_rate: float = RATE, **arguments) -> VocalChain:
    return VocalChain(sample_rate, **{**SMALL, **arguments}).double()


def set_as(chain: VocalChain, setting: Setting) -> None:
    """The parameters of the embedded data's chain."""
    values = {f"delay.{name}": value for name, value in vars(setting.echo).items()}
    for part, bands in (("equalizer", setting.equalizer.bands), ("tone", setting.tone.bands)):
        for band, (frequency, q, gain) in bands.items():
            numbers = {"frequency_hz": frequency, "q": q, "gain_db": gain}
            known = getattr(chain, part).bands[band].numbers
            values |= {f"{part}.bands.{band}.{name}": numbers[name] for name in known}
    dynamics, room = setting.dynamics, setting.room
    parts = {"curve": ("threshold_db", "ratio", "expander_threshold_db", "expander_ratio")}
    parts |= {"smoother": ("attack_ms", "release_ms"), "detector": ("average_ms",)}
    for part, names in parts.items():
        values |= {f"compressor.{part}.{name}": getattr(dynamics, name) for name in names}
    values["compressor.look_ahead.look_ahead_ms"] = 1000 * dynamics.look_ahead / RATE
    values |= {"compressor.makeup_db": dynamics.makeup_db, "pan": setting.pan, "send": setting.send}
    chain.set_parameters(values)
    frequencies = np.linspace(0, RATE / 2, len(chain.reverb.decay))
    gains = 10 ** (-3 * chain.reverb.lines_s[0] / room.decays_s(frequencies))
    chain.reverb.decay.set((gains / chain.reverb.longest_gain).tolist())
    chain.reverb.entering.set(room.entering.flatten().tolist())
    chain.reverb.leaving.set(room.leaving.flatten().tolist())
    skew = _logarithm(room.mixing)
    chain.reverb.mixing.set(skew[np.triu_indices(6, 1)].tolist())


def _logarithm(orthogonal: np.ndarray) -> np.ndarray:
    from scipy.linalg import logm

    return np.real(logm(orthogonal))


@pytest.mark.parametrize("method", [TimeDomain(), CircleSampling(13_230)], ids=["time", "circle"])
def test_it_is_the_chain_of_someone_else(method):
    """SciPy's sections, a loop's gain, phases' echoes and NumPy's solutions; an even decay, whose taps are not cut."""
    hidden = replace(SETTINGS["VC-C"], room=replace(SETTINGS["VC-C"].room, darker=1.0))
    x, chain = singing(1.0)[-13_230:], VocalChain(RATE).double()
    set_as(chain, hidden)
    chain.method = method
    y = chain(pad(torch.from_numpy(x), (0, chain.latency))).detach()[:, chain.latency :]
    beginning = y.shape[1] - hidden.dynamics.look_ahead - 20  # the gain ahead of the end is not known
    found, expected = y[:, :beginning], torch.from_numpy(through(x, hidden))[:, :beginning]
    assert 10 * math.log10(esr(found, expected)) < -70


def test_both_domains_are_one():
    chain, x = small(), normal(TIME)
    in_time = chain(x).detach()
    chain.method = CircleSampling(TIME)
    assert 10 * math.log10(esr(chain(x).detach(), in_time)) < -110


@METHODS
def test_gradients_are_finite_differences_and_none_is_0(method):
    """Along a direction in which all parameters move; forward mode is proven part by part."""
    chain, x = small(method=method), 0.3 * normal(300)
    x[100:200] *= 1e-3  # where the expander is at work
    bands = [f"{part}.bands.{name}" for part in ("equalizer", "tone") for name in ("peak1", "peak2", "low_shelf")]
    chain.set_parameters(
        {f"{name}.gain_db": 3.0 for name in [*bands, "equalizer.bands.high_shelf", "tone.bands.high_shelf"]}
    )
    parameters = dict(chain.named_parameters())
    gradients = torch.autograd.grad(chain(x).square().sum(), list(parameters.values()))
    assert [
        name for name, each in zip(parameters, gradients, strict=True) if not (each.isfinite().all() and each.any())
    ] == []
    along = [0.3 + 0.01 * i for i in range(len(parameters))]

    def energy(step: float) -> Tensor:
        moved = {name: value.detach() + step * a for (name, value), a in zip(parameters.items(), along, strict=True)}
        return functional_call(chain, moved, x).square().sum().detach()

    slope = sum((each * a).sum() for each, a in zip(gradients, along, strict=True))
    torch.testing.assert_close((energy(1e-5) - energy(-1e-5)) / 2e-5, slope, rtol=1e-5, atol=0)


@pytest.mark.parametrize("shape", [(TIME,), (1, TIME), (2, 1, TIME)], ids=str)
@METHODS
def test_mono_and_batches(shape, method):
    chain, x = small(method=method), normal(*shape)
    y = chain(x).detach()
    assert y.shape == ((2, TIME) if len(shape) == 1 else (*shape[:-2], 2, TIME))
    for one, expected in zip(x.reshape(-1, TIME), y.reshape(-1, 2, TIME), strict=True):
        torch.testing.assert_close(chain(one).detach(), expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("cuts", [[1, 2, 3, 300], list(range(7, TIME, 70))], ids=["few", "seventies"])
def test_any_cuts_stream_as_the_whole(cuts):
    chain, x = small(), normal(TIME)
    state, blocks = chain.initial_state(), []
    for block in x.tensor_split(cuts, -1):
        y, state = chain.process(block, state)
        blocks.append(y)
    torch.testing.assert_close(torch.cat(blocks, -1), chain(x).detach(), rtol=1e-10, atol=1e-12)
    assert chain.process(x[:0], state)[0].shape == (2, 0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_preset_is_read_back_exactly(tmp_path, dtype):
    chain = VocalChain(RATE, **SMALL, equalizer={"taper": "linear"})
    with torch.no_grad():
        for i, step in enumerate(chain.parameters()):
            step += 0.01 * (i + 1)
    chain.save(tmp_path / "c.yaml")
    loaded = Effect.load(tmp_path / "c.yaml")
    assert isinstance(loaded, VocalChain)
    assert loaded.parameters_spec() == chain.parameters_spec()
    x = normal(TIME, dtype=dtype)
    assert loaded(x).dtype == dtype and torch.equal(loaded(x), chain(x))


@pytest.mark.parametrize("sample_rate", [48_000, 96_000])
def test_it_sounds_alike_at_any_rate(sample_rate):
    """A low note's pulse, directly and by its first repeats; of the reverberation the lines are whole samples."""
    parts = {"delay": {"time_ms": 101.23, "gain": 0.8, "feedback": 0.5}, "reverb": {"leaving": [0.0] * 12}}

    def heard(rate: int) -> Tensor:
        t = torch.arange(rate // 4, dtype=torch.float64) / rate
        chain = VocalChain(rate, **parts).double()
        pulse = pad(0.3 * torch.exp(-(((t - 0.01) / 0.002) ** 2)), (0, chain.latency))
        return chain(pulse).detach()[:, chain.latency :]

    expected, found = heard(44_100), heard(sample_rate)
    every = 44_100 / sample_rate
    exact = torch.fft.irfft(torch.fft.rfft(expected), round(11_025 / every)) / every  # resampled
    assert 10 * math.log10(esr(found[:, :-100], exact[:, :-100])) < -40


@pytest.mark.parametrize(
    ("words", "arguments"),
    [
        ("equalizer: taper must be", {"equalizer": {"taper": "square"}}),
        ("compressor: ratio must be at least 1", {"compressor": {"ratio": 0.5}}),
        ("delay: time_ms must lie between", {"delay": {"time_ms": 2000.0}}),
        ("reverb: leaving must be 12", {"reverb": {"leaving": [1.0]}}),
        ("tone: band 'a': q must be", {"tone": {"bands": {"a": {"shape": "peak", "frequency_hz": 1e3, "q": 0.0}}}}),
        ("pan must lie between 0 and 1", {"pan": 1.5}),
        ("send must lie between 0 and 1", {"send": -0.1}),
        ("method must be TimeDomain", {"method": FrequencySampling()}),
    ],
)
def test_wrong_arguments_are_named_with_their_part(words, arguments):
    with pytest.raises(ValueError, match=words):
        VocalChain(RATE, **arguments)


def test_wrong_parts_and_signals_are_refused():
    with pytest.raises(TypeError, match="delay must be arguments of PingPongDelay by their names, got 4"):
        VocalChain(RATE, delay=4)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"delay: .*tempo"):
        VocalChain(RATE, delay={"tempo": 120})
    with pytest.raises(ValueError, match=r"mono.*\(2, 50\)"):
        small()(normal(2, 50))


# ----------------------------------------------------------------------------------------------------------------- presets


def test_a_row_is_a_chain_and_a_chain_its_row():
    row = torch.zeros(151, dtype=torch.float64)
    row[independent()] = normal(130)
    row[17] = row[17].abs()
    chain = chain_of(row)
    torch.testing.assert_close(row_of(chain).detach(), row, rtol=1e-9, atol=1e-9)
    with torch.no_grad():
        for parameter in chain.parameters():
            parameter += 0.01
    gradient = torch.autograd.grad(row_of(chain).sum(), list(chain.parameters()))
    assert all(each.isfinite().all() and each.all() for each in gradient)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("equalizer.bands.peak1.q", 0.0, "must lie between 0.2 and 20, got 0.0"),
        ("delay.time_ms", 2000.0, "must lie between 100 and 1000, got 2000.0"),
        ("reverb.mixing.1", math.nan, "must be a finite number, got nan"),
    ],
)
def test_a_preset_that_cannot_be_played_is_refused(name, value, words, tmp_path):
    VocalChain(RATE).save(tmp_path / "chain.yaml")
    preset = yaml.safe_load((tmp_path / "chain.yaml").read_text())
    preset["parameters"][name] = value
    (tmp_path / "chain.yaml").write_text(yaml.safe_dump(preset))
    with pytest.raises(ValueError, match=f"{name} {words}"):
        Effect.load(tmp_path / "chain.yaml")


@pytest.mark.parametrize(("words", "row"), [("151 finite", [0.0] * 150), ("151 finite", [math.nan] * 151)])
def test_other_rows_are_refused(words, row):
    with pytest.raises(ValueError, match=words):
        chain_of(row)


def test_a_chain_of_other_parts_has_no_row():
    with pytest.raises(ValueError, match="this one has no"):
        row_of(small())


def test_a_folder_without_presets_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"raw_params.npy cannot be read"):
        read_presets(tmp_path)
    np.save(tmp_path / "raw_params.npy", np.zeros((3, 150)))
    with pytest.raises(ValueError, match="rows of 151 finite numbers"):
        read_presets(tmp_path)


@published
@pytest.mark.parametrize("name", ["internal", "medleydb"])
def test_published_rows_are_read_and_their_gaussian_is_ours(name):
    folder = SHARED / "vocal_presets" / name
    presets = read_presets(folder)
    mask = np.load(folder / "feature_mask.npy")
    assert np.array_equal(independent().numpy(), mask) and len(layout()) == mask.sum()
    for row in presets.rows[:: len(presets.rows) // 5]:
        expected = torch.where(independent(), row, 0.0)
        expected[17] = expected[17].abs() % 15
        torch.testing.assert_close(row_of(chain_of(row)).detach(), expected, rtol=1e-6, atol=1e-6)
    features = presets.features()
    with np.load(folder / "gaussian.npz") as gaussian:
        np.testing.assert_allclose(features.mean(0), gaussian["mean"], rtol=0, atol=1e-5)
        np.testing.assert_allclose(torch.cov(features.T), gaussian["cov"], rtol=0, atol=1e-5)
    if name == "medleydb":
        with pytest.raises(ValueError, match="not positive definite"):
            GaussianPrior.of(features)


@published
def test_a_published_preset_scores_what_its_authors_code_scores():
    """On the clip as delivered, with the authors' flattened shift: specs/vocal-chain-protocols.md."""
    dry, wet = (
        torch.from_numpy(soundfile.read(SHARED / "vocal_pairs" / f"AClassicEducation_NightOwl_{name}.flac")[0]).float()
        for name in ("dry", "wet")
    )
    chain = chain_of(read_presets(SHARED / "vocal_presets" / "medleydb").rows[0])
    with torch.no_grad():
        wet, y = wet.T, chain(pad(dry, (0, chain.latency)))[:, chain.latency :]
    terms = StereoLoss(RATE, flattened=True).terms(y, wet)
    np.testing.assert_allclose([float(term) for term in terms.values()], [0.839, 1.120, 0.660, 0.773], atol=2e-3)
