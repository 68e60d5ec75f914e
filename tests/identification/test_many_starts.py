import torch

from diffapf.identification.least_squares import least_squares
from diffapf.identification.many_starts import descend_together


def rosenbrock(points):
    x, y = points.unbind(1)
    zero = torch.zeros_like(x)
    jacobian = torch.stack([torch.stack([-20 * x, 10 + zero], 1), torch.stack([-1 + zero, zero], 1)], 1)
    return torch.stack([10 * (y - x**2), 1 - x], 1), jacobian


def test_every_start_arrives_and_the_best_is_first():
    starts = 2 * torch.randn(16, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    points, costs = descend_together(rosenbrock, starts, 200)
    torch.testing.assert_close(points, torch.ones_like(points))
    assert (costs.diff() >= 0).all()


def test_it_arrives_where_one_start_alone_does():
    """A problem with a remainder, against the other descent."""
    t = torch.arange(30, dtype=torch.float64) / 10
    target = 3 * torch.exp(-0.7 * t) + 0.05 * torch.sin(9 * t)

    def linearise(points):
        gain, rate = points[:, :1], points[:, 1:]
        decay = torch.exp(-rate * t)
        return gain * decay - target, torch.stack([decay, -t * gain * decay], -1)

    alone = least_squares(
        lambda p: p["gain"] * torch.exp(-p["rate"] * t) - target,
        {"gain": torch.tensor(1.0, dtype=torch.float64), "rate": torch.tensor(1.0, dtype=torch.float64)},
        tolerance=1e-12,
    )
    points, costs = descend_together(linearise, torch.ones(1, 2, dtype=torch.float64), 50)
    assert abs(costs[0] - alone.cost) < 1e-12 * alone.cost
    torch.testing.assert_close(points[0], torch.stack(list(alone.parameters.values())), rtol=1e-6, atol=0)


def test_a_coordinate_that_does_nothing_stays_and_a_step_into_nothing_is_refused():
    def linearise(points):
        x = points[:, :1]
        return torch.where(x > 5, torch.nan, x - 6.0), torch.stack([torch.ones_like(x), torch.zeros_like(x)], -1)

    points, _ = descend_together(linearise, torch.tensor([[0.0, 0.3]], dtype=torch.float64), 40)
    assert points[0, 1] == 0.3
    assert 4.0 < points[0, 0] <= 5.0
