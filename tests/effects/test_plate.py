"""A plate is the sum of its modes, played by SciPy; it streams, sounds alike at any rate, and is kept as a preset."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import signal

from data.plate import SETTINGS
from diffapf import Effect, MetalPlate, Modes, Plate
from tests.filters.checks import assert_derivatives
from tests.filters.oracles import esr, normal

SMALL = MetalPlate(width_m=0.6, height_m=0.9, thickness_mm=4.0, highest_hz=1500.0)


def a_plate(sample_rate: float = 44_100, **options: float) -> Plate:
    plate = Plate.of_metal(sample_rate, SMALL, **options)
    with torch.no_grad():
        plate.modes.gain.mul_(1 + 0.3j)  # cosines, too
    return plate


def by_scipy(plate: Plate, x: np.ndarray) -> np.ndarray:
    """Each mode as a second-order section."""
    modes, y = plate.modes, np.zeros_like(x)
    rows = (tensor.detach().tolist() for tensor in (modes.frequency_hz, modes.decay, modes.gain))
    for f, decay, gain in zip(*rows, strict=True):
        omega, r, g = (
            2 * math.pi * f / plate.sample_rate,
            math.exp(-decay / plate.sample_rate),
            gain / plate.sample_rate,
        )
        b = [g.imag, r * (g.real * math.sin(omega) - g.imag * math.cos(omega))]
        y += signal.lfilter(b, [1, -2 * r * math.cos(omega), r * r], x)
    return y


@pytest.mark.parametrize("shape", [(500,), (2, 500), (2, 2, 500)], ids=["mono", "stereo", "batch"])
def test_it_is_its_modes(shape):
    plate, x = a_plate(mix=0.3, level_db=6.0), normal(*shape)
    expected = 0.7 * x.numpy() + 0.3 * 10**0.3 * by_scipy(plate, x.numpy())
    found = plate(x).detach()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-11 * np.abs(expected).max())
    assert esr(plate(x.float()).detach(), found) < 1e-12


def test_the_impulse_response_is_its_answer_to_an_impulse():
    plate, impulse = a_plate(level_db=-3.0), torch.zeros(441, dtype=torch.float64)
    impulse[0] = 1
    torch.testing.assert_close(plate.impulse_response(0.01), plate(impulse))


@pytest.mark.parametrize("cuts", [[1, 2, 3, 300], [64 * i for i in range(1, 8)]])
def test_any_blocks_are_the_whole(cuts):
    plate, x = a_plate(mix=0.5), normal(2, 500)
    state, blocks = plate.initial_state(), []
    for start, stop in zip([0, 0, *cuts], [0, *cuts, 500], strict=True):  # the first is empty
        y, state = plate.process(x[:, start:stop], state)
        blocks.append(y)
    torch.testing.assert_close(torch.cat(blocks, -1), plate(x).detach(), rtol=0, atol=1e-12)


def test_a_stream_hears_a_mode_that_is_moved():
    plate, x = a_plate(), normal(2, 300)
    _, state = plate.process(x[:, :100], plate.initial_state())
    with torch.no_grad():
        plate.modes.gain.mul_(2.0)
        plate.modes.frequency_hz.add_(3.0)
        expected, _ = plate.run(x[:, 100:], state)
    torch.testing.assert_close(plate.process(x[:, 100:], state)[0], expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("rate", [48_000, 96_000])
def test_it_sounds_alike_at_any_sample_rate(rate):
    """What it makes of a low sine wave, where waves are sampled alike."""
    plate = a_plate(sample_rate=44_100)
    other = plate.at_sample_rate(rate)
    heard = [
        each(torch.sin(2 * math.pi * 50 * torch.arange(0, 0.5, 1 / each.sample_rate, dtype=torch.float64)))
        for each in (plate, other)
    ]
    times = np.arange(0.01, 0.49, 1e-3)
    one, two = (
        torch.from_numpy(np.interp(times, np.arange(len(y)) / each.sample_rate, y.detach().numpy()))
        for y, each in zip(heard, (plate, other), strict=True)
    )
    assert esr(two, one) < 1e-4


def test_modes_above_half_the_rate_are_silent_and_not_forgotten():
    modes = Modes(*(torch.tensor(values) for values in ((100.0, 3000.0), (5.0, 5.0), (1.0, 1.0))))
    low = Plate(4000, modes)
    lower = Plate(4000, Modes(modes.frequency_hz[:1], modes.decay[:1], modes.gain[:1]))
    torch.testing.assert_close(low.impulse_response(0.1), lower.impulse_response(0.1))
    assert len(low.at_sample_rate(44_100).modes) == 2


def test_a_preset_is_read_exactly(tmp_path):
    plate = a_plate(sample_rate=48_000, mix=0.25, level_db=-2.0)
    plate.save(tmp_path / "plate.yaml")
    again = Effect.load(tmp_path / "plate.yaml")
    assert again.sample_rate == 48_000
    x = normal(2, 300)
    torch.testing.assert_close(again(x), plate(x), rtol=0, atol=0)


def test_modes_stay_double_and_gradients_are_those_of_finite_differences():
    plate = Plate(8000, Modes(torch.tensor([3.0, 700.0]), torch.tensor([1.0, 30.0]), torch.tensor([9.0, 4.0]))).float()
    assert plate.modes.frequency_hz.dtype == torch.float64 and plate.mix.step.dtype == torch.float32
    names = ("modes.frequency_hz", "modes.decay", "modes.gain")
    values = [plate.get_parameter(name).detach() for name in names]

    def of(f, decay, gain, x):
        return torch.func.functional_call(plate, dict(zip(names, (100 * f, decay, gain), strict=True)), (x,))

    assert_derivatives(of, values[0] / 100, *values[1:], normal(6))


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS)
def test_a_metal_plate_has_the_modes_of_the_simulation(setting):
    """Which is written apart, as recursions at 44.1 kHz: b = C r/fs², where ours are C/ω."""
    plate = MetalPlate(
        height_m=setting.height,
        thickness_mm=1000 * setting.thickness,
        tension=setting.tension,
        density=setting.density,
        young_gpa=setting.young / 1e9,
        heard_at=setting.heard_at,
    )
    modes, (omega, decay, drive) = plate.modes(), setting.modes()
    order = np.argsort(omega)
    omega, decay, drive = omega[order], decay[order], drive[order]
    np.testing.assert_allclose(2 * np.pi * modes.frequency_hz, omega, rtol=1e-12)
    np.testing.assert_allclose(modes.decay, decay, rtol=1e-10)
    expected = drive * np.exp(decay / 44_100) * 44_100**2 / omega
    np.testing.assert_allclose(modes.gain.real, expected, rtol=0, atol=1e-9 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("error", "words", "call"),
    [
        (ValueError, ["modes", "0"], lambda: Plate(44_100, 0)),
        (ValueError, ["between 0 and 1", "1.5"], lambda: Plate(44_100, 2, mix=1.5)),
        (ValueError, ["sample_rate", "-1"], lambda: Plate(-1, 2)),
        (TypeError, ["gain", "list"], lambda: Modes(torch.ones(1), torch.ones(1), [1.0])),
        (ValueError, ["(2,)", "(3,)"], lambda: Modes(torch.ones(2), torch.ones(3), torch.ones(2))),
        (ValueError, ["decay", "positive"], lambda: Modes(torch.ones(1), -torch.ones(1), torch.ones(1))),
        (
            ValueError,
            ["frequency_hz", "finite"],
            lambda: Modes(torch.tensor([torch.nan]), torch.ones(1), torch.ones(1)),
        ),
        (ValueError, ["thickness_mm", "-1"], lambda: MetalPlate(thickness_mm=-1)),
        (ValueError, ["heard_at", "1.2"], lambda: MetalPlate(heard_at=(0.5, 1.2))),
        (ValueError, ["over 100000 modes"], lambda: MetalPlate(thickness_mm=0.01).modes()),
        (ValueError, ["0 modes"], lambda: MetalPlate(highest_hz=0.01).modes()),
        (TypeError, ["x", "complex"], lambda: a_plate()(torch.ones(5) * 1j)),
    ],
)
def test_errors_say_what_is_needed(error, words, call):
    with pytest.raises(error) as raised:
        call()
    assert all(word in str(raised.value) for word in words)
