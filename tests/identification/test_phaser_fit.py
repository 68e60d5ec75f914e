"""A phaser fitted to recordings, from nothing but them; and the way there one piece at a time."""

from __future__ import annotations

from functools import cache

import pytest
import torch

from diffapf import Phaser
from diffapf.identification import phaser_fit
from diffapf.identification.aligned_pair import AlignedPair
from diffapf.identification.finished_stages import FinishedStages
from diffapf.identification.phaser_fit import NotIdentifiedError, fit_phaser, tracked
from diffapf.identification.phaser_pieces import (
    changed,
    with_delay,
    with_drift,
    with_dry_filter,
    with_filter_order,
    with_harmonics,
)
from diffapf.identification.spans import BLOCK
from diffapf.modulation import FourierLFO
from tests.identification.synthetic import Truth, plucks

RATE = 16_000


@pytest.fixture(scope="module")
def fitted():
    """Four seconds of plucked strings through a phaser with feedback, −60 dB of noise in the recording; two are unseen."""
    dry = plucks(6, RATE)
    wet = Truth(1.3, 0.37, wave="asymmetric", feedback=0.5).apply(dry, RATE)
    stages: list[tuple[str, float]] = []
    fit = fit_phaser(dry, wet, RATE, train=(0, 4), stages=4, loop_delay=0, progress=lambda *stage: stages.append(stage))
    return fit, fit.pair.stretch(4, 6), stages


def test_the_test_part_is_explained_down_to_the_noise(fitted):
    fit, test, _ = fitted
    assert test.esr(fit.phaser) < 1.6e-6  # the recording's noise, over the test's level
    assert fit.phaser.lfo.rate_hz().item() == pytest.approx(1.3, abs=1e-4)
    assert fit.phaser.feedback().item() == pytest.approx(0.5, abs=0.01)


def test_the_simplest_row_is_chosen_where_richer_ones_bring_nothing(fitted):
    """The truth is of the published class: no capacitor in its loop, two taps in its input filter."""
    fit, _, _ = fitted
    assert fit.chosen == fit.rows[0].name and len(fit.rows) > 2
    assert fit.rows[0].validation_esr < 1.05 * min(row.validation_esr for row in fit.rows)
    assert fit.rows[0].parameters == min(row.parameters for row in fit.rows)


def test_each_parameter_comes_with_its_error(fitted):
    fit, _, _ = fitted
    named = {estimate.name: estimate for estimate in fit.estimates}
    assert named.keys() == {spec.name for spec in fit.phaser.parameters_spec()}
    rate = named["lfo.rate_hz"]
    assert abs(rate.value - 1.3) < 5 * rate.error < 1e-3


def test_progress_names_stages_and_never_goes_back(fitted):
    _, _, stages = fitted
    fractions = [fraction for _, fraction in stages]
    assert fractions == sorted(fractions) and fractions[-1] == 1.0
    assert len({name for name, _ in stages}) > 5


def test_what_is_no_phaser_is_said_to_be_none():
    dry = plucks(3, RATE)
    with pytest.raises(NotIdentifiedError, match="nothing sweeps as a phaser does") as error:
        fit_phaser(dry, 0.5 * dry, RATE, stages=4, loop_delay=0)
    assert not error.value.start.identified


def phaser() -> Phaser:
    lfo = FourierLFO(2.0, [0.9, 0.1], [0.0, 0.2], origin=0.3)
    model = Phaser(RATE, lfo=lfo, filter_order=2, hop_seconds=0.0025, feedback=0.4, through=0.8).double()
    model.biquad.set(*torch.tensor([[0.7, -0.6, 0.1], [1.0, -1.2, 0.4]], dtype=torch.float64))
    return model.requires_grad_(False)


GROWN = {
    "more harmonics": lambda model, pair: with_harmonics(model, 5),
    "a higher order": lambda model, pair: with_filter_order(model, 3),
    "a filter for the dry path": lambda model, pair: with_dry_filter(model),
    "both": lambda model, pair: with_dry_filter(with_filter_order(model, 3)),
    "a delay": lambda model, pair: with_delay(model),
    "drift": lambda model, pair: with_drift(model, pair.stretch(0.1, 0.4)),
    "nothing": lambda model, pair: changed(model),
}


@pytest.mark.parametrize("name", GROWN)
def test_what_is_added_changes_nothing_at_first(name):
    x = torch.randn(8000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    model = phaser()
    other = GROWN[name](model, AlignedPair(x, x, RATE))
    with torch.no_grad():
        torch.testing.assert_close(other(x[None]), model(x[None]), rtol=0, atol=1e-11)


def test_a_drifting_clock_is_tracked():
    """The truth's rate is 0.5 % higher than the model's over the stretch: phase alone makes up for it."""
    x = torch.randn(4 * RATE, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    truth, model = phaser(), phaser()
    truth.lfo.rate_hz.set(2.01)
    with torch.no_grad():
        wet = truth(x[None])[0]
    stretch = AlignedPair(x, wet, RATE).stretch(1.0, 4.0)
    found = tracked(model, stretch)
    assert stretch.esr(model) > 1e-3
    assert stretch.esr(found) < 1e-9
    assert found.lfo.rate_hz().item() == 2.0 and found.feedback().item() == 0.4


@pytest.mark.parametrize("offset", [-300, 0, 200])
@pytest.mark.parametrize("first", [0, 12_345])
def test_a_stretch_is_the_whole_signals(offset, first):
    """Blocks with memory, a lead-in and an offset give the samples that the phaser gives of the whole file."""
    x = torch.randn(first + 2 * BLOCK + 77, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    model = phaser()
    with torch.no_grad():
        whole = model(x[None])[0]
    wet = torch.roll(whole, offset)
    stretch = AlignedPair(x, wet, RATE, offset).stretch(first / RATE, 1e9)
    torch.testing.assert_close(stretch.prediction(model), whole[stretch.first : stretch.last], rtol=0, atol=1e-9)
    assert stretch.esr(model) < 1e-18


def test_a_pair_may_have_channels_and_a_place_on_the_clock():
    x = torch.randn(2, BLOCK + 500, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    model = phaser()
    with torch.no_grad():
        wet = model(x, start=800)  # twenty frames
    stretch = AlignedPair(x, wet, RATE, origin=800).whole
    torch.testing.assert_close(stretch.prediction(model), wet, rtol=0, atol=1e-9)
    assert stretch.esr(model) < 1e-18


def test_ctrl_c_keeps_what_is_there(monkeypatch):
    """Pressed while the third model is fitted: the better of the first two is returned, with its estimates."""
    dry = plucks(4, RATE)
    wet = Truth(1.9, 0.1).apply(dry, RATE)
    descend, calls = phaser_fit.descend, []

    def interrupted(model, stretch, *arguments, **options):
        if model.filter_order == 3:
            calls.append(model)
            raise KeyboardInterrupt
        return descend(model, stretch, *arguments, **options)

    monkeypatch.setattr(phaser_fit, "descend", interrupted)
    monkeypatch.setattr(phaser_fit, "EXPLAINED", 0.0)
    fit = fit_phaser(dry, wet, RATE, stages=4, loop_delay=0)
    assert calls and fit.interrupted and fit.rows
    assert fit.pair.whole.esr(fit.phaser) < 1e-4
    assert len(fit.estimates) == len(fit.phaser.parameters_spec())


def test_ctrl_c_before_there_is_a_model_is_not_swallowed(monkeypatch):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(phaser_fit, "descend", interrupted)
    dry = plucks(3, RATE)
    with pytest.raises(KeyboardInterrupt):
        fit_phaser(dry, Truth(1.9, 0.1).apply(dry, RATE), RATE, stages=4, loop_delay=0)


def test_a_fit_that_was_killed_goes_on_to_the_same_end(tmp_path, monkeypatch):
    """Every number of it; and nothing that was finished is descended to again."""
    dry = plucks(4, RATE)
    wet = Truth(1.9, 0.1).apply(dry, RATE)
    descend, steps = phaser_fit.descend, []

    def counted(model, stretch, *arguments, iterations=15, **options):
        if not steps or steps[-1] is not model:
            steps.extend([model] * (iterations > 6))  # neither tracking nor looking at what was finished
        return descend(model, stretch, *arguments, iterations=iterations, **options)

    def fit(until: str = "", folder=None):
        def killed(stage, _):
            if stage == until:
                raise SystemExit

        steps.clear()
        finished = FinishedStages(folder, "this fit")
        return fit_phaser(dry, wet, RATE, stages=4, loop_delay=0, progress=killed, finished=finished)

    monkeypatch.setattr(phaser_fit, "descend", counted)
    monkeypatch.setattr(phaser_fit, "identify_phaser", cache(phaser_fit.identify_phaser))
    whole, all_steps = fit(), len(steps)
    with pytest.raises(SystemExit):
        fit(until="+ input filter of order 3", folder=tmp_path)
    assert len(steps) == 1
    gone_on = fit(folder=tmp_path)
    assert len(steps) == all_steps - 1
    for found, expected in ((gone_on.phaser, whole.phaser), (gone_on.drifting, whole.drifting)):
        assert found.parameters_spec() == expected.parameters_spec()
    assert gone_on.estimates == whole.estimates
    assert [(row.name, row.validation_esr) for row in gone_on.rows] == [
        (row.name, row.validation_esr) for row in whole.rows
    ]
    assert gone_on.start.verdict == whole.start.verdict


def test_the_papers_core_is_fitted_too():
    """To the cascade's sound: two ways to move the same filter, which differ by as much as their hop is long."""
    dry = plucks(4, RATE)
    wet = Truth(0.6, 0.1, feedback=0.3).apply(dry, RATE)
    fit = fit_phaser(dry, wet, RATE, stages=4, core="paper")
    assert fit.phaser.core == "paper" and all(row.phaser.core == "paper" for row in fit.rows)
    assert fit.pair.whole.esr(fit.phaser) < 1e-3
    with pytest.raises(ValueError, match="core must be 'cascade' or 'paper', got 'papers'"):
        fit_phaser(dry, wet, RATE, core="papers")
