"""The curriculum, the excerpts and the optimiser."""

import numpy as np
import pytest
import torch

from recipes.data import Tracks
from recipes.optimizers import adam, sgd
from recipes.training import Curriculum


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
