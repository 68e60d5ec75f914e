"""The LF model: its published values, no net flow, tables that close together."""

from __future__ import annotations

import pytest
import torch

from diffapf.synths.glottal import glottal_pulse, glottal_tables, shapes, table_position

# R_d: α, ε, T_e, T_p, of the published exact solution
PUBLISHED = {
    0.3: (10.039, 227.27, 0.3522, 0.2797),
    1.0: (2.807, 26.31, 0.6500, 0.4844),
    2.7: (0.422, 6.06, 0.7870, 0.5102),
}


@pytest.mark.parametrize("rd", PUBLISHED)
def test_times_and_exponents_are_the_published_ones(rd):
    pulse = glottal_pulse(rd)
    alpha, epsilon, t_e, t_p = PUBLISHED[rd]
    assert float(pulse.alpha) == pytest.approx(alpha, abs=1e-3)
    assert float(pulse.epsilon) == pytest.approx(epsilon, rel=1e-3)
    assert float(pulse.t_e) == pytest.approx(t_e, abs=1e-3) and float(pulse.t_p) == pytest.approx(t_p, abs=1e-3)
    assert float(pulse.t_a) == pytest.approx(-0.01 + 0.048 * rd, abs=1e-12)


def test_a_period_has_no_net_flow():
    fine = torch.arange(1 << 16, dtype=torch.float64) / (1 << 16)
    periods = glottal_pulse(shapes(100)).at(fine)
    assert periods.mean(-1).abs().max() < 1e-6
    assert torch.allclose(periods.amin(-1), -torch.ones(100, dtype=torch.float64), atol=1e-2)  # −1 where it closes


def test_the_closed_form_leaves_flow_and_is_near_for_normal_voices():
    t = torch.arange(2048, dtype=torch.float64) / 2048
    exact, closed = (glottal_pulse(torch.tensor([0.3, 1.5, 2.7]), solution).at(t) for solution in ("exact", "closed"))
    apart = (exact - closed).norm(dim=-1) / exact.norm(dim=-1)
    assert apart[1] < 0.02 < apart[0] and apart[2] > 0.05
    assert closed[2].mean().abs() > 0.01 * closed[2].square().mean().sqrt()


@pytest.mark.parametrize(
    ("table", "levels"),
    [(0, (3.6, 1.2, -5, -12, -20)), (50, (-3, -13, -22, -34, -45)), (99, (-16, -26, -39, -53, -63))],
)
def test_harmonics_of_the_closed_form_are_as_loud_as_published(table, levels):
    spectrum = torch.fft.rfft(glottal_tables(solution="closed")[table]).abs()
    found = 20 * torch.log10(spectrum[[2, 4, 8, 16, 32]] / spectrum[1])
    assert torch.allclose(found, torch.tensor(levels, dtype=torch.float64), atol=0.6)


def test_tables_close_at_one_place_and_are_as_loud():
    tables = glottal_tables()
    assert tables.argmin(-1).unique().tolist() == [1618]
    assert torch.allclose(tables.square().mean(-1), torch.ones(100, dtype=torch.float64))
    assert tables.mean(-1).abs().max() < 1e-12


def test_positions_are_shapes_in_even_steps():
    assert torch.allclose(table_position(shapes(11)), torch.linspace(0, 1, 11, dtype=torch.float64))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: glottal_pulse(0.2), "R_d must be from 0.3"),
        (lambda: glottal_pulse(float("nan")), "R_d must be"),
        (lambda: glottal_pulse(1.0, "newton"), "solution must be one of exact, closed"),
        (lambda: glottal_tables(1), "at least 2 shapes"),
    ],
)
def test_wrong_shapes_are_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()
