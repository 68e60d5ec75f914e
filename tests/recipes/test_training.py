"""The curriculum, the excerpts and the optimiser."""

import numpy as np
import pytest
import torch

from diffapf import Equalizer, TimeDomain
from diffapf.identification.lateness import advanced
from recipes.data import Excerpt, Tracks
from recipes.optimizers import adam, sgd
from recipes.training import Curriculum, EffectTraining, LeastSquaresTraining


def test_the_window_grows_from_periods_of_the_lfo_to_the_part():
    curriculum = Curriculum(periods=5, growth=2, stages=(0.25, 0.75), longest=12)
    windows = [curriculum.window(progress, 2.0, 60.0) for progress in (0.0, 0.24, 0.25, 0.74, 0.75, 1.0)]
    assert windows == [2.5, 2.5, 5.0, 5.0, 10.0, 10.0]
    assert curriculum.window(1.0, 0.1, 60.0) == 12.0
    assert curriculum.window(0.0, 0.1, 4.0) == 4.0
    assert Curriculum(periods=0).window(0.0, 2.0, 60.0) == 60.0


@pytest.fixture
def tracks() -> Tracks:
    ramp = torch.arange(10_000.0)[None]
    return Tracks(ramp, -ramp, 1000, "ramp")


def test_a_part_cut_from_a_longer_file_carries_no_loss_in_its_first_50_ms(tracks):
    excerpt = tracks.excerpt(slice(2000, 4000))
    assert (excerpt.start, excerpt.skip, excerpt.dry.shape[1]) == (2000, 50, 2000)


def test_the_files_own_beginning_carries_loss_from_its_first_sample(tracks):
    assert tracks.excerpt(slice(0, 4000)).skip == 0


def test_an_evaluated_part_is_run_in_and_scored_whole(tracks):
    excerpt = tracks.excerpt(slice(2000, 4000), 1.0)
    assert (excerpt.start, excerpt.skip) == (1000, 1000)
    assert np.array_equal(excerpt.dry[0, excerpt.skip :], np.arange(2000, 4000))


@pytest.mark.parametrize(
    ("settings", "word"), [({"lr": 0.0}, "lr"), ({"lr": -1.0}, "lr"), ({"lr": 1.0, "decay": "x"}, "decay")]
)
def test_wrong_optimiser_settings_are_named(settings, word):
    with pytest.raises(ValueError, match=word):
        adam([torch.nn.Parameter(torch.zeros(1))], 10, **settings)


def late_excerpt(samples: float) -> tuple[Equalizer, Excerpt]:
    effect = Equalizer(44_100).double()
    dry = torch.randn(1, 8000, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).cumsum(-1)
    with torch.no_grad():
        wet = advanced(effect(dry), -samples)
    return effect, Excerpt(dry, wet, 0, 600)


def test_a_part_of_a_sample_is_learned_beside_the_effect():
    effect, excerpt = late_excerpt(0.3)
    recipe = EffectTraining(effect, TimeDomain(), adam, 44_100, delay_is_learned=True)
    assert any(parameter is recipe.late for parameter in recipe._by_gradients())
    optimizer = torch.optim.Adam([recipe.late], 0.03)
    for _ in range(60):
        optimizer.zero_grad()
        recipe.loss(*recipe.prediction_and_target(excerpt, recipe.method)).backward()
        optimizer.step()
    assert recipe.late.item() == pytest.approx(0.3, abs=0.02)


def test_steps_of_the_effect_alone_solve_for_it():
    effect, excerpt = late_excerpt(-0.2)
    recipe = LeastSquaresTraining(effect, TimeDomain(), adam, 44_100, delay_is_learned=True)
    recipe._settled(excerpt)
    assert recipe.late.item() == pytest.approx(-0.2, abs=1e-3)
    assert not any(parameter is recipe.late for parameter in recipe._by_gradients())


def test_simulations_are_not_late():
    effect, excerpt = late_excerpt(0.0)
    recipe = EffectTraining(effect, TimeDomain(), adam, 44_100)
    assert recipe.late is None and recipe.target(excerpt) is excerpt.wet


def test_a_wrong_momentum_is_named():
    with pytest.raises(ValueError, match="momentum"):
        sgd([torch.nn.Parameter(torch.zeros(1))], 10, lr=1.0, momentum=1.0)


def test_the_learning_rate_falls_to_nothing_by_a_cosine():
    optimizer, schedule = adam([torch.nn.Parameter(torch.zeros(1))], 10, 1.0)
    rates = []
    for _ in range(11):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates[0] == 1.0 and rates[5] == pytest.approx(0.5) and rates[10] == pytest.approx(0.0, abs=1e-12)
