import sys

import numpy as np
import pytest
import torch

from data import acid
from diffapf.identification.pitch import oscillator_phase, shortest_note, track_f0

RATE = 48000


def saw(f0: torch.Tensor, rate: float = RATE, phase: float = 0.0) -> torch.Tensor:
    """Ten harmonics of a saw whose fundamental is cos(ψ + phase)."""
    psi = torch.cumsum(2 * torch.pi / rate * f0.double(), -1) + phase
    return sum(torch.cos(k * psi) / k for k in range(1, 11))


def steady(hz: float, length: int = 6000) -> torch.Tensor:
    return torch.full((length,), hz, dtype=torch.float64)


def semitones_off(found: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
    return 12 * torch.log2(found / true).abs()


@pytest.mark.parametrize("hz", [45.0, 110.0, 249.0, 440.0])
@pytest.mark.parametrize("rate", [22050, 44100, 48000, 96000])
def test_a_steady_note_has_one_pitch(hz, rate):
    f0 = steady(hz, rate // 8)
    found = track_f0(saw(f0, rate), rate)
    assert found.shape == f0.shape and found.dtype == torch.float64
    assert found.min() == found.max()
    assert semitones_off(found, f0).max() < 0.03


@pytest.mark.parametrize(
    ("hz", "words"), [(28.0, "no pitch between 34.3"), (523.0, "above 480"), (1234.0, "above 480")]
)
def test_a_pitch_outside_the_range_is_no_other_one(hz, words):
    with pytest.raises(ValueError, match=words):
        track_f0(saw(steady(hz)), RATE)


def test_a_slide_is_followed():
    f0 = 110 * 2 ** (5 / 12 * torch.linspace(0, 1, 6000, dtype=torch.float64))
    found = track_f0(saw(f0), RATE)
    assert semitones_off(found, f0)[1100:-1400].max() < 0.15
    assert semitones_off(found, f0).max() < 1.2  # half a frame from the ends, the pitch stays


def test_notes_of_the_simulated_synthesiser():
    """Against the truth, at every resonance; a resonance that sweeps through the harmonics bends the track."""
    for number, resonance in enumerate((0.0, 0.5, 0.9)):
        knobs = acid.Knobs(bool(number % 2), 0.4, resonance, 0.8, 0.3, 0.5)
        none = np.zeros(3, dtype=bool)
        pattern = acid.Pattern(np.array([31.0, 45.0, 59.0]), np.zeros(3, int), np.full(3, 6000), none, none)
        audio, f0 = (torch.from_numpy(track).reshape(3, -1) for track in acid.simulate(pattern, knobs))
        for note, true in zip(audio, f0, strict=True):
            assert semitones_off(track_f0(note, RATE), true).max() < 0.3


def test_silence_before_and_noise_under_a_note_do_no_harm():
    f0 = steady(98.0)
    sound = torch.cat([torch.zeros(3000), saw(f0)]) + 0.01 * torch.randn(
        9000, generator=torch.Generator().manual_seed(0)
    )
    assert semitones_off(track_f0(sound, RATE), torch.tensor(98.0)).max() < 0.05


def test_noise_and_silence_have_no_pitch():
    for sound in (torch.randn(6000, generator=torch.Generator().manual_seed(0)), torch.zeros(6000)):
        with pytest.raises(ValueError, match=r"no pitch between 34\.3 and 480 Hz"):
            track_f0(sound, RATE)


def test_a_frame_is_the_shortest_note():
    f0 = steady(110.0, shortest_note(RATE))
    assert semitones_off(track_f0(saw(f0), RATE), f0).max() < 0.05
    with pytest.raises(ValueError, match=r"44 ms \(2099 samples\).*44 ms \(2100 samples\)"):
        track_f0(saw(f0)[1:], RATE)


def test_wrong_calls_are_told():
    with pytest.raises(ValueError, match=r"\(time,\), got \(2, 6000\)"):
        track_f0(torch.zeros(2, 6000), RATE)
    with pytest.raises(ValueError, match="lowest_hz < highest_hz"):
        track_f0(torch.zeros(6000), RATE, 480, 100)
    with pytest.raises(ValueError, match="half the sample rate"):
        track_f0(torch.zeros(6000), 800)


def test_without_librosa_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "librosa", None)
    with pytest.raises(ValueError, match=r"pip install 'diffapf\[synths\]'"):
        track_f0(saw(steady(110.0)), RATE)


@pytest.mark.parametrize("phase", [-3.0, -1.0, 0.0, 0.5, 2.0])
def test_phase_of_a_note(phase):
    f0 = steady(123.4)
    assert oscillator_phase(saw(f0, phase=phase), f0, torch.tensor(6000), RATE).item() == pytest.approx(phase, abs=0.02)


def test_phases_of_many_notes_that_slide_and_end():
    f0 = torch.stack([steady(55.0), steady(200.0), torch.linspace(80.0, 160.0, 6000, dtype=torch.float64)])
    true = torch.tensor([0.3, -2.0, 1.5], dtype=torch.float64)
    note_on = torch.tensor([6000, 4000, 5000])
    audio = torch.stack([saw(row, phase=float(phase)) for row, phase in zip(f0, true, strict=True)])
    audio[:, 4000:] += torch.randn(3, 2000, generator=torch.Generator().manual_seed(0)) * torch.tensor(
        [[0.0], [1.0], [0.0]]
    )
    found = oscillator_phase(audio, f0, note_on, RATE)
    assert found.dtype == torch.float64
    torch.testing.assert_close(found, true, atol=0.05, rtol=0)
    alone = [oscillator_phase(audio[i].float(), f0[i], note_on[i], RATE) for i in range(3)]
    torch.testing.assert_close(torch.stack(alone), found, atol=1e-5, rtol=0)


def test_wrong_shapes_of_notes_are_told():
    f0 = steady(110.0).expand(2, -1)
    with pytest.raises(ValueError, match=r"got \(2, 6000\), \(2, 6000\) and \(3,\)"):
        oscillator_phase(saw(f0), f0, torch.tensor([1, 2, 3]), RATE)
    with pytest.raises(ValueError, match=r"from 1 to 6000 samples, got \[0, 6001\]"):
        oscillator_phase(saw(f0), f0, torch.tensor([0, 6001]), RATE)
