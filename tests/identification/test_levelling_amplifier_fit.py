"""Levelling amplifiers with a known truth are found again; derivatives are finite differences; what is none is told."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from diffapf import LevellingAmplifier
from diffapf.identification import levelling_amplifier_fit
from diffapf.identification.compressor_fit import NotACompressorError
from diffapf.identification.finished_stages import FinishedStages
from diffapf.identification.layout import Layout
from diffapf.identification.levelling_amplifier_fit import changed, descend, fit_levelling_amplifier
from diffapf.identification.levelling_amplifier_structures import CELLS, OUTPUTS, PRIORS, priors_of
from diffapf.identification.prefiltered_pair import MonoPair
from diffapf.identification.projected_part import Projected, numbers_of
from tests.identification.synthetic import plucks

RATE = 16_000
TRUE = {"threshold_db": -26.0, "feedback": 0.4, "attack_ms": 8.0, "release_ms": 50.0, "slow_release_ms": 500.0}
PLAIN = {"plain output": OUTPUTS["plain output"]}


@pytest.fixture(scope="module")
def dry():
    x = plucks(4, RATE).double()
    level = 0.2 + 0.8 * (torch.arange(len(x)) // (RATE // 2) % 2)
    return x / x.abs().max() * level


def levelled(dry, **options):
    with torch.no_grad():
        y = LevellingAmplifier(RATE, makeup_db=4.0, **TRUE | options).double()(dry)
    return y


def some(*names):
    return {name: CELLS[name] for name in names}


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("output", OUTPUTS)
def test_slopes_of_the_projected_error_are_finite_differences(cell, output, dry):
    """Also with a lead-in: Jᵀr is half the gradient of what is left with the best output stage."""
    amplifier = LevellingAmplifier(RATE, **{**OUTPUTS[output], **CELLS[cell]}).double()
    part = MonoPair(dry, levelled(dry), RATE).part(0.5, 2.5)
    projected = Projected(amplifier, part)
    parameters = {name: tensor.detach() for name, tensor in amplifier.named_parameters()}
    free = [name for name in parameters if name.startswith("cell.")]
    layout = Layout(parameters, frozen=[name for name in parameters if name not in free])
    residuals, slopes = projected.linearised(parameters, layout.directions(free))
    assert slopes.shape == (len(free), len(residuals))

    def left(name, step):
        with torch.no_grad():
            moved = dict(amplifier.named_parameters())[name]
            moved += step
            numbers = numbers_of(amplifier)[None]
            moved -= step
        return projected.solution(numbers)[1]

    assert float(residuals.square().sum()) == pytest.approx(left(free[0], 0.0), rel=1e-9)
    gradient = 2 * slopes @ residuals
    differences = torch.tensor([(left(name, 1e-5) - left(name, -1e-5)) / 2e-5 for name in free], dtype=torch.float64)
    torch.testing.assert_close(gradient, differences, rtol=1e-4, atol=1e-6 * float(differences.abs().max()))


def test_a_levelling_amplifier_and_its_cell_are_found(dry):
    wet = levelled(dry)
    late = torch.cat([torch.zeros(23, dtype=torch.float64), wet])[: len(wet)]
    cells = some("one release", "a release with a memory")
    fit = fit_levelling_amplifier(dry, late, RATE, (0.0, 3.0), cells=cells, outputs=PLAIN)
    assert fit.chosen == "a release with a memory, plain output"
    assert fit.findings[0].startswith("a levelling amplifier: a release with a memory")
    assert any("23 samples late" in finding for finding in fit.findings)
    assert fit.pair.part(3.0, 4.0, 9.0).esr(fit.compressor) < 1e-4
    assert fit.rows[0].validation_esr < 0.2 * fit.rows[1].validation_esr
    assert all(estimate.error >= 0 for estimate in fit.estimates)
    assert [reached.number for reached in fit.trajectory] == list(range(len(fit.trajectory)))
    values = {spec.name: spec.value for spec in fit.compressor.parameters_spec() if spec.name.startswith("cell.")}
    assert fit.trajectory[-1].values == pytest.approx(values, rel=1e-9)
    assert fit.train.esr(fit.compressor) <= fit.trajectory[-1].esr <= fit.trajectory[0].esr
    assert fit.compressor.output.makeup_db().item() == pytest.approx(4.0, abs=0.3)


def test_without_priors_the_truth_is_exact(dry, monkeypatch):
    monkeypatch.setattr(levelling_amplifier_fit, "EVENTS_PER_SECOND", 1e12)
    part = MonoPair(dry, levelled(dry), RATE).part(0.0, 4.0)
    amplifier = LevellingAmplifier(RATE, delay_us=0.0).double()
    descend(amplifier, part, tolerance=1e-9)
    assert part.esr(amplifier) < 1e-12
    values = {spec.name.removeprefix("cell."): spec.value for spec in amplifier.parameters_spec()}
    assert {name: values[name] for name in TRUE} == pytest.approx(TRUE, rel=1e-3)


def test_a_prior_holds_what_the_recording_does_not_tell(dry):
    """Far below its threshold a cell does little: the slow release stays near its prior, and its error is about σ."""
    wet = levelled(0.02 * dry, threshold_db=-30.0)
    part = MonoPair(0.02 * dry, wet, RATE).part(0.0, 4.0)
    amplifier = changed(LevellingAmplifier(RATE), delay_us=0.0)
    amplifier.set_parameters({"cell.slow_release_ms": 2000.0})
    descend(amplifier, part)
    prior = priors_of("memory")["slow_release_ms"]
    assert prior == PRIORS["slow_release_ms"]
    assert abs(amplifier.cell.slow_release_ms().log().item() - torch.tensor(prior.value).log().item()) < 0.5


WRONG = {
    "a gain alone": (lambda x: 0.5 * x, "never compressed"),
    "upside down": (lambda x: -levelled(x), "invert its polarity"),
    "another signal": (
        lambda x: torch.randn(len(x), generator=torch.Generator().manual_seed(0)),
        "no levelling amplifier",
    ),
    "silence": (torch.zeros_like, "wet signal is silent"),
}


@pytest.mark.parametrize("mistake", WRONG)
def test_what_is_no_levelling_amplifier_is_told(mistake, dry):
    change, words = WRONG[mistake]
    with pytest.raises(NotACompressorError, match=words):
        fit_levelling_amplifier(dry, change(dry), RATE, cells=some("one release"), outputs=PLAIN)


def test_wrong_arguments_are_named(dry):
    with pytest.raises(NotACompressorError, match="too short"):
        fit_levelling_amplifier(dry[:8000], dry[:8000], RATE)
    with pytest.raises(ValueError, match="cells is empty"):
        fit_levelling_amplifier(dry, dry, RATE, cells={})
    with pytest.raises(ValueError, match=r"dry must be one channel, \(time,\)"):
        fit_levelling_amplifier(dry.reshape(2, -1), dry.reshape(2, -1), RATE)


def test_a_fit_that_was_killed_goes_on(dry, tmp_path):
    wet, cells = levelled(dry), some("one release", "a release with a memory")

    def kill(stage, fraction):
        if stage == "a release with a memory":
            raise SystemExit

    with pytest.raises(SystemExit):
        fit_levelling_amplifier(
            dry, wet, RATE, cells=cells, outputs=PLAIN, progress=kill, finished=FinishedStages(tmp_path / "stages", "x")
        )
    finished = FinishedStages(tmp_path / "stages", "x")
    assert finished.names == ["search: one release", "one release, plain output"]
    fit = fit_levelling_amplifier(dry, wet, RATE, cells=cells, outputs=PLAIN, finished=finished)
    again = fit_levelling_amplifier(dry, wet, RATE, cells=cells, outputs=PLAIN, finished=finished)
    assert [replace(each, error=0) for each in again.estimates] == [replace(each, error=0) for each in fit.estimates]
