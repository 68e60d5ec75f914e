"""The metrics are the well-kept libraries', and Fréchet's distance is SciPy's."""

from __future__ import annotations

import sys
from types import ModuleType

import numpy as np
import pytest
import torch
from scipy import linalg

from diffapf import metrics
from diffapf.metrics import (
    fad_log_mel,
    fad_vggish,
    frechet_distance,
    joined,
    log_mel_embedding,
    log_mel_l1,
    mfcc,
    mfcc_l1,
    mss,
    mss_of_notes,
)
from tests.filters.oracles import normal

RATE = 48_000


def notes(count: int = 4, seed: int = 0, time: int = 6000) -> torch.Tensor:
    louder = 0.05 * torch.arange(1, count + 1)[:, None]
    return louder * normal(count, time, seed=seed, dtype=torch.float32)


def needs_auraloss():
    return pytest.importorskip("auraloss", reason="auraloss is not installed")


# ------------------------------------------------------------------------------------------------------------- spectra


def test_mss_is_auralosses_over_the_batch():
    loss = needs_auraloss().freq.MultiResolutionSTFTLoss()
    one, other = notes(), notes(seed=1)
    assert mss(one, other) == pytest.approx(float(loss(one[:, None], other[:, None])), rel=1e-6)


def test_mss_by_its_equations():
    needs_auraloss()
    one, other = notes(), notes(seed=1)
    terms = []
    for n_fft, hop, length in ((1024, 120, 600), (2048, 240, 1200), (512, 50, 240)):
        window = torch.hann_window(length)
        powers = [torch.stft(x, n_fft, hop, length, window, return_complex=True).abs().square() for x in (one, other)]
        x, y = (power.clamp(min=1e-8).sqrt() for power in powers)
        terms.append(float((y - x).norm() / y.norm() + (x.log() - y.log()).abs().mean()))
    assert mss(one, other) == pytest.approx(np.mean(terms), rel=1e-4)


def test_mss_of_notes_is_that_of_each_and_not_the_batches_part():
    needs_auraloss()
    one, other = notes(), notes(seed=1)
    one[3] *= 3  # the convergence over the batch follows the loud note
    found = mss_of_notes(one, other)
    assert found.tolist() == pytest.approx([mss(one[i], other[i]) for i in range(4)])
    assert abs(float(found.mean()) - mss(one, other)) > 0.05


def test_log_mel_is_the_extractors():
    from diffapf.synths.mel import LogMel

    one, other = notes(), notes(seed=1)
    expected = (LogMel(RATE)(one) - LogMel(RATE)(other)).abs().mean()
    assert log_mel_l1(one, other, RATE) == pytest.approx(float(expected))


@pytest.mark.filterwarnings("ignore:At least one mel filterbank")
def test_mfcc_is_torchaudios():
    transforms = pytest.importorskip("torchaudio.transforms", reason="torchaudio is not installed")
    one, other = notes(), notes(seed=1)
    options = {"n_fft": 2048, "hop_length": 512, "n_mels": 128}
    transform = transforms.MFCC(RATE, n_mfcc=40, log_mels=True, melkwargs=options)
    torch.testing.assert_close(mfcc(one, RATE), transform(one), rtol=1e-4, atol=1e-3)
    expected = (transform(one) - transform(other)).abs().mean()
    assert mfcc_l1(one, other, RATE) == pytest.approx(float(expected), rel=1e-3)


# ---------------------------------------------------------------------------------------------- Fréchet audio distance


def frechet_by_scipy(one: np.ndarray, other: np.ndarray) -> float:
    c1, c2 = np.cov(one, rowvar=False), np.cov(other, rowvar=False)
    root = np.real(linalg.sqrtm(c1 @ c2))
    return float(((one.mean(0) - other.mean(0)) ** 2).sum() + np.trace(c1 + c2 - 2 * root))


@pytest.mark.parametrize(("count", "features"), [(50, 3), (400, 16), (30, 29)])
def test_the_distance_is_scipys(count, features):
    mixing = normal(features, features, seed=5)
    one, other = normal(count, features) @ mixing, 0.5 + 2 * normal(count + 7, features, seed=1)
    assert frechet_distance(one, other) == pytest.approx(frechet_by_scipy(one.numpy(), other.numpy()), rel=1e-8)


def test_the_distance_by_hand():
    """Along one axis: means 1 and 4, deviations 1 and 3 → 9 + 4; across: none. And commuting covariances add up."""
    square = torch.tensor([[-1.0, 0.0], [1.0, 0.0]]) / 2**0.5
    assert frechet_distance(1 + square, 4 + 3 * square) == pytest.approx(9 + 9 + 4)
    cross = torch.cat([square, square.flip(1)]) * (3 / 2) ** 0.5  # a round one
    assert frechet_distance(cross, 5 * cross) == pytest.approx(16 * float(cross.square().sum() / 3))


def test_fewer_embeddings_than_features_are_exact():
    """Gaussians on other planes: (C₁ C₂)^½ is 0."""
    one, other = torch.zeros(3, 100), torch.zeros(4, 100)
    one[0, 0], one[1, 0], other[0, 1], other[1, 1] = 1.0, -1.0, 2.0, -2.0
    assert frechet_distance(one, other) == pytest.approx(2 / 2 + 8 / 3)
    assert frechet_distance(one, one) == pytest.approx(0, abs=1e-12)


def test_notes_are_joined_with_fades():
    audio = joined(torch.ones(3, 100))
    assert audio.shape == (300,)
    assert audio[[0, 99, 100, 199]].tolist() == [0, 0, 0, 0] and audio[50] == 1
    torch.testing.assert_close(audio[100:132], torch.linspace(0, 1, 32))
    assert bool(joined(torch.ones(2, 10)).isfinite().all())


def test_an_embedding_to_an_eighth_of_a_second():
    assert log_mel_embedding(torch.zeros(20_000), RATE).shape == (3, 128)
    assert log_mel_embedding(torch.zeros(10), RATE).shape == (0, 128)


def test_the_fallback_says_what_it_is_and_orders_what_is_near():
    target = notes(8)
    near, far = fad_log_mel(0.9 * target, target, RATE), fad_log_mel(0.1 * target, target, RATE)
    assert near.name == "FAD (log-mel embedding, not comparable with VGGish)"
    assert 0 < near.value < far.value
    assert fad_log_mel(target, target, RATE).value == pytest.approx(0, abs=1e-6)
    assert fad_log_mel(target[:1], target[:1], RATE).value is None


@pytest.fixture
def no_cache():
    metrics._vggish.cache_clear()
    yield
    metrics._vggish.cache_clear()


def test_vggish_that_is_missing_is_said(monkeypatch, no_cache):
    monkeypatch.setitem(sys.modules, "frechet_audio_distance", None)
    found = fad_vggish(notes(), notes(), RATE)
    assert found.value is None and "pip install frechet_audio_distance" in found.why


def test_vggish_without_network_is_said(monkeypatch, no_cache):
    def fails(**_):
        raise OSError("no network")

    monkeypatch.setitem(sys.modules, "frechet_audio_distance", package(fails))
    found = fad_vggish(notes(), notes(), RATE)
    assert found.value is None and "no network" in found.why


def test_vggish_hears_the_joined_notes_at_16_khz(monkeypatch, no_cache):
    pytest.importorskip("librosa", reason="librosa is not installed")
    heard = []

    class Provider:
        def __init__(self, model_name, sample_rate, use_pca, use_activation):
            assert (model_name, sample_rate, use_pca, use_activation) == ("vggish", 16_000, False, False)

        @staticmethod
        def model(audio, rate):
            heard.append((len(audio), rate))
            return torch.from_numpy(audio[: 128 * 8].reshape(8, 128))

    monkeypatch.setitem(sys.modules, "frechet_audio_distance", package(Provider))
    found = fad_vggish(notes(24), notes(24), RATE)
    assert found.name == "FAD (VGGish)" and found.value == pytest.approx(0, abs=1e-9)
    assert heard == [(48_000, 16_000)] * 2
    assert fad_vggish(notes(2), notes(2), RATE).value is None


def package(kind) -> ModuleType:
    module = ModuleType("frechet_audio_distance")
    module.FrechetAudioDistance = kind
    return module


# ---------------------------------------------------------------------------------------------------- silence, errors

MEASURES = {
    "mss": lambda one, other: mss(one, other),
    "mss of notes": lambda one, other: float(mss_of_notes(one, other).sum()),
    "log mel": lambda one, other: log_mel_l1(one, other, RATE),
    "mfcc": lambda one, other: mfcc_l1(one, other, RATE),
    "fad": lambda one, other: fad_log_mel(one, other, RATE).value,
}
each_measure = pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)


@each_measure
def test_silence_gives_numbers(measure):
    needs_auraloss()
    silence = torch.zeros(3, 6000)
    assert measure(silence, silence) == pytest.approx(0, abs=1e-9)
    for one, other in ((silence, notes(3)), (notes(3), silence)):
        assert np.isfinite(measure(one, other)) and measure(one, other) > 0


@each_measure
def test_notes_that_do_not_fit_are_named(measure):
    for one, other in ((notes(2), notes(3)), (notes(2)[0, 0], notes(2)[0, 0]), (notes(0), notes(0))):
        with pytest.raises(ValueError, match=r"notes of one shape, \(notes, time\), got"):
            measure(one, other)


def test_one_embedding_is_no_gaussian():
    with pytest.raises(ValueError, match=r"at least two embeddings.*\(1, 3\)"):
        frechet_distance(torch.zeros(1, 3), torch.zeros(4, 3))
