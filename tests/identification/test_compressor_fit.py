"""Compressors with a known truth are found again, their structure too; and what is none is told in words."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from data.programme import programme
from diffapf import Compressor, audio
from diffapf.identification import compressor_fit, spans
from diffapf.identification.compressor_fit import NotACompressorError, begin, descend, fit_compressor, search
from diffapf.identification.compressor_structures import structures
from diffapf.identification.finished_stages import FinishedStages
from diffapf.identification.lateness import advanced
from diffapf.identification.prefiltered_pair import MonoPair
from tests.identification import ladspa
from tests.identification.synthetic import plucks

RATE = 16_000
TRUE = {"curve.threshold_db": -30.0, "curve.ratio": 4.0, "smoother.attack_ms": 3.0, "smoother.release_ms": 80.0}
SETTINGS = {"threshold_db": -30.0, "ratio": 4.0, "attack_ms": 3.0, "release_ms": 80.0, "average_ms": 1.5}
RECORDINGS = Path(__file__).parents[3] / "shared" / "data" / "compressor"


@pytest.fixture(scope="module")
def dry():
    x = plucks(4, RATE).double()
    level = 0.25 + 0.75 * (torch.arange(len(x)) // (RATE // 3) % 2)  # steps, which show attack and release
    return x / x.abs().max() * level


def compressed(dry, **options):
    with torch.no_grad():
        return Compressor(RATE, **SETTINGS | options).double()(dry)


def some(*names):
    return {name: structures(RATE)[name] for name in names}


GAIN, LEVEL = "mean square → curve → smoothed gain", "smoothed |x| → curve"


def test_a_part_of_a_sample_is_fitted_too(dry):
    spectrum = torch.fft.rfft(dry)
    spectrum[round(0.9 * len(spectrum)) :] = 0.0  # at half the sample rate no part of a sample can be undone
    muffled = torch.fft.irfft(spectrum, len(dry))
    wet = advanced(compressed(muffled, **structures(RATE)[GAIN]), -0.2)
    fit = fit_compressor(muffled, wet, RATE, (0.0, 3.0), structures=some(GAIN), knees=("hard",))
    as_it_is = MonoPair(muffled, wet, RATE).part(3.0, 4.0, 9.0)
    assert "0.2 samples late" in fit.findings[-1]
    assert fit.pair.part(3.0, 4.0, 9.0).esr(fit.compressor) < 2e-3 * as_it_is.esr(fit.compressor)


@pytest.mark.parametrize("name", [GAIN, LEVEL, "smoothed RMS of 256 samples → curve"])
def test_a_compressor_and_its_structure_are_found(name, dry):
    options = structures(RATE)[name]
    wet = compressed(dry, **options)
    late = torch.cat([torch.zeros(37, dtype=torch.float64), wet])[: len(wet)]
    fit = fit_compressor(dry, late, RATE, (0.0, 3.0), structures=some(GAIN, LEVEL, name), knees=("hard",))
    assert fit.chosen == f"{name}, hard knee"
    assert fit.pair.offset == 37
    assert fit.margin > compressor_fit.PROOF
    assert any("proof" in finding for finding in fit.findings) and "37 samples late" in fit.findings[-1]
    assert fit.pair.part(3.0, 4.0, 9.0).esr(fit.compressor) < 1e-16
    values = {estimate.name: estimate.value for estimate in fit.estimates}
    assert {parameter: values[parameter] for parameter in TRUE} == pytest.approx(TRUE, rel=1e-5)
    assert [row.validation_esr for row in fit.rows] == sorted(row.validation_esr for row in fit.rows)


def test_what_noise_hides_is_a_tie_and_goes_to_fewer_parameters(dry):
    wet = compressed(dry)
    noise = torch.randn(len(wet), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    wet = wet + 1e-3 * wet.square().mean().sqrt() * noise
    fit = fit_compressor(dry, wet, RATE, structures=some(GAIN))
    assert fit.chosen == f"{GAIN}, hard knee"
    assert any(finding.startswith("A tie within 10 %") and "soft knee" in finding for finding in fit.findings)
    errors = {estimate.name: estimate.error for estimate in fit.estimates}
    for estimate in fit.estimates:
        if estimate.name in TRUE:
            assert abs(estimate.value - TRUE[estimate.name]) < max(6 * errors[estimate.name], 1e-6)
            assert estimate.value == pytest.approx(TRUE[estimate.name], rel=5e-3)


@pytest.mark.parametrize(
    ("pieces", "known", "late"),
    [
        ({"mix": 0.7, "look_ahead_ms": 2.0}, {"mix": 0.7, "look_ahead.look_ahead_ms": 2.0}, 40),
    ],
)
def test_a_mix_and_a_look_ahead_are_found(pieces, known, late, dry):
    """A look-ahead's latency is what the wet file is late by: 2 ms and the interpolation's 8 samples."""
    fit = fit_compressor(
        dry, compressed(dry, **pieces), RATE, (0.0, 3.0), structures=some(GAIN, LEVEL), knees=("hard",)
    )
    words = {"mix": "parallel mix", "look_ahead_ms": "look-ahead"}
    assert fit.chosen.startswith(f"{GAIN}, hard knee, ")
    assert set(fit.chosen.split(", ")[2:]) == {words[piece] for piece in pieces}
    values = {estimate.name: estimate.value for estimate in fit.estimates}
    expected = TRUE | known
    assert {parameter: values[parameter] for parameter in expected} == pytest.approx(expected, rel=1e-4)
    assert fit.pair.offset == late and fit.margin > compressor_fit.PROOF
    assert fit.pair.part(3.0, 4.0, 9.0).esr(fit.compressor) < 1e-12
    without = next(row for row in fit.rows if row.name == f"{GAIN}, hard knee")
    assert without.validation_esr > 1e-5 and any(row.name.startswith(f"{LEVEL}, hard knee, ") for row in fit.rows)


def test_pieces_that_gain_nothing_are_left_out(dry):
    """Another saturation than any compressor has: no piece explains it, so none is chosen."""
    wet = compressed(dry)
    wet = wet + 0.3 * wet**3
    fit = fit_compressor(dry, wet, RATE, structures=some(GAIN), knees=("hard",))
    pieces = {row.pieces: row.validation_esr for row in fit.rows}
    assert set(pieces) == {(), ("parallel mix",), ("look-ahead",)}
    assert fit.chosen == f"{GAIN}, hard knee" and min(pieces.values()) > pieces[()] / compressor_fit.TIE
    assert not any("tie" in finding for finding in fit.findings)


@pytest.fixture(scope="module")
def stereo(dry):
    """Two channels whose levels differ now and then."""
    swell = 0.3 + 0.7 * (torch.arange(len(dry)) // (RATE // 2 + 700) % 2)
    return torch.stack([dry, 0.8 * dry.flip(0) * swell])


@pytest.mark.parametrize(
    ("link", "words"), [(None, "each channel its own"), ("max", "louder channel"), ("mean", "channels' mean")]
)
def test_a_stereo_pair_and_its_link_are_found(link, words, stereo):
    fit = fit_compressor(stereo, compressed(stereo, link=link), RATE, structures=some(GAIN, LEVEL), knees=("hard",))
    assert fit.compressor.detector.link == link and words in fit.findings[-1]
    assert fit.chosen.startswith(f"{GAIN}, hard knee")
    assert fit.rows[0].validation_esr < 1e-16
    values = {estimate.name: estimate.value for estimate in fit.estimates}
    assert {parameter: values[parameter] for parameter in TRUE} == pytest.approx(TRUE, rel=1e-5)


def test_blocks_of_a_compressor_that_looks_ahead_are_those_of_the_whole(stereo, monkeypatch):
    """Without its latency, also over a lead-in, and at the end, where there is nothing more to look at."""
    compressor = Compressor(
        RATE, **SETTINGS, look_ahead_ms=1.3, longest_look_ahead_ms=4.0, link="max", mix=0.8
    ).double()
    with torch.no_grad():
        late = compressor(torch.nn.functional.pad(stereo, (0, compressor.latency)))[..., compressor.latency :]
    monkeypatch.setattr(spans, "BLOCK", 5000)
    for part in (MonoPair(stereo, late, RATE).part(0.0, 4.0), MonoPair(stereo, late, RATE).part(1.0, 2.5)):
        weights, state, cost = part.weights() or [1.0] * part.blocks, None, 0.0
        for block in range(part.blocks):
            with torch.no_grad():
                residuals, state = part.residuals(compressor, block, state)
            cost += float((weights[block] * residuals.square()).sum())
        assert part.blocks > 2 and cost < 1e-20 * part.energy
        assert part.esr(compressor) < 1e-20


@pytest.mark.parametrize("seed", range(4))
def test_every_start_arrives(seed, dry):
    def between(low, high):
        return low * (high / low) ** float(torch.rand((), generator=generator))

    generator = torch.Generator().manual_seed(seed)
    part = MonoPair(dry, compressed(dry), RATE).part(0.0, 4.0)
    start = {
        "curve.threshold_db": -between(5, 40),
        "curve.ratio": between(1.3, 20),
        "smoother.attack_ms": between(0.05, 200),
        "smoother.release_ms": between(5, 1000),
        "detector.average_ms": between(0.1, 50),
    }
    found = search(Compressor(RATE).double(), part, [start, *compressor_fit.STARTS])
    descend(found, part)
    assert part.esr(found) < 1e-16


def test_a_start_above_every_level_is_not_dead(dry):
    part = MonoPair(dry, compressed(dry), RATE).part(0.0, 4.0)
    compressor = Compressor(RATE, threshold_db=20.0).double()
    begin(compressor, part)
    assert compressor.curve.threshold_db().item() < 20 * math.log10(dry.abs().max())
    assert (descend(compressor, part, iterations=1).information.diagonal() > 0).all()


WRONG = {
    "a gain alone": (lambda x: 0.5 * x, "never compressed: the wet file is the dry one times -6.02 dB"),
    "a gain that is upside down": (lambda x: -x, "upside down"),
    "another signal": (lambda x: torch.randn(len(x), generator=torch.Generator().manual_seed(0)), "not a compressor"),
    "silence": (torch.zeros_like, "wet signal is silent"),
    "a compressor upside down": (lambda x: -compressed(x), "invert its polarity"),
}


@pytest.mark.parametrize("mistake", WRONG)
def test_what_is_no_compressor_is_told(mistake, dry):
    change, words = WRONG[mistake]
    with pytest.raises(NotACompressorError, match=words):
        fit_compressor(dry, change(dry), RATE, structures=some(LEVEL), knees=("hard",))


def test_wrong_arguments_are_named(dry):
    with pytest.raises(NotACompressorError, match="too short"):
        fit_compressor(dry[:8000], dry[:8000], RATE)
    with pytest.raises(
        ValueError, match=r"dry must be one channel, \(time,\), or two, \(2, time\), got shape \(4, 16000\)"
    ):
        fit_compressor(dry.reshape(4, -1), dry.reshape(4, -1), RATE)
    with pytest.raises(ValueError, match="mono both or stereo both"):
        fit_compressor(dry, dry.reshape(2, -1), RATE)
    with pytest.raises(ValueError, match="knees"):
        fit_compressor(dry, compressed(dry), RATE, knees="hard")
    with pytest.raises(ValueError, match="wet must be finite"):
        fit_compressor(dry, dry / 0, RATE)


def test_a_fit_that_was_killed_goes_on(dry, tmp_path):
    wet, stages = compressed(dry), []
    options = {"structures": some(LEVEL, GAIN), "knees": ("hard",)}

    def kill(stage, fraction):
        stages.append(stage)
        if stage == GAIN:
            raise SystemExit

    with pytest.raises(SystemExit):
        fit_compressor(dry, wet, RATE, progress=kill, finished=FinishedStages(tmp_path / "stages", "x"), **options)
    finished = FinishedStages(tmp_path / "stages", "x")
    assert finished.names == [f"search: {LEVEL}"]
    fit = fit_compressor(dry, wet, RATE, finished=finished, **options)
    assert fit.chosen == f"{GAIN}, hard knee"
    again = fit_compressor(dry, wet, RATE, finished=finished, **options)
    assert [str(each) for each in again.estimates] == [str(each) for each in fit.estimates]


@pytest.mark.skipif(not RECORDINGS.exists(), reason=f"there are no recordings in {RECORDINGS}")
def test_a_third_party_compressor_is_known_exactly():
    pair = audio.read_pair(RECORDINGS / "dry.flac", RECORDINGS / "juce_t-24_r4_at5_rt120.flac")
    dry, wet = (torch.from_numpy(signal[0]) for signal in (pair.dry, pair.wet))
    of_rate = {name: structures(pair.sample_rate)[name] for name in (GAIN, LEVEL, "smoothed x² → curve")}
    fit = fit_compressor(dry, wet, pair.sample_rate, (0.0, 10.0), structures=of_rate, knees=("hard",))
    assert fit.chosen == f"{LEVEL}, hard knee" and fit.margin > compressor_fit.PROOF
    assert fit.pair.part(40.0, 60.0, 60.0).esr(fit.compressor) < 1e-8
    values = {estimate.name: estimate.value for estimate in fit.estimates}
    juce = 2 * math.pi / 2.2
    known = {"curve.threshold_db": -24.0, "curve.ratio": 4.0}
    known |= {"smoother.attack_ms": 5.0 / juce, "smoother.release_ms": 120.0 / juce}
    assert {name: values[name] for name in known} == pytest.approx(known, rel=1e-3)


SC4 = ladspa.find("sc4m_1916.so")


@pytest.mark.skipif(SC4 is None, reason="swh-plugins is not installed")
@pytest.mark.parametrize(
    ("peak", "structure", "neighbour"),
    [
        (0.0, "smoothed RMS of 256 samples → curve", "smoothed RMS of 512 samples → curve"),
        (1.0, "smoothed x, signed → curve", "smoothed max(x, 0) → curve"),
    ],
)
def test_sc4s_detectors_are_told_from_their_neighbours(peak, structure, neighbour):
    """Its times come in 1/256 s: 10 and 150 ms are 3 and 38 of them, 63 %. A gain pole of a sample is left unexplained."""
    rate, dry = 44_100, programme(6)
    controls = {"RMS/peak": peak, "Attack": 10.0, "Release": 150.0, "Threshold": -24.0, "Ratio": 4.0}
    wet = ladspa.run(SC4, "sc4m", {**controls, "Knee radius": 3.0, "Makeup": 0.0}, dry, rate)
    pair = torch.from_numpy(dry), torch.from_numpy(wet)
    candidates = {name: structures(rate)[name] for name in (structure, neighbour)}
    fit = fit_compressor(*pair, rate, (0.0, 4.5), structures=candidates, knees=["soft"])
    assert fit.chosen.startswith(f"{structure}, soft knee") and fit.margin > 3.0
    assert fit.pair.part(4.5, 6.0, 6.0).esr(fit.compressor) < 3e-5
    values = {estimate.name: estimate.value for estimate in fit.estimates}
    assert values["curve.threshold_db"] == pytest.approx(-24.0, abs=0.1)
    assert values["curve.knee_db"] == pytest.approx(6.0, rel=0.03)
    known = {"curve.ratio": 4.0, "smoother.attack_ms": 2.2 * 3 / 0.256, "smoother.release_ms": 2.2 * 38 / 0.256}
    assert {name: values[name] for name in known} == pytest.approx(known, rel=0.03)
