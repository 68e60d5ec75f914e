"""Real recordings, where the folder is beside the repository."""

from __future__ import annotations

from pathlib import Path

import pytest
import soundfile
import torch

from diffapf.identification import identify_phaser

FOLDER = Path(__file__).parents[3] / "shared" / "data" / "phaser"
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="needs the recordings in ../shared/data/phaser")

# scripts/identify_recordings.py has more of them.
# dry, wet, seconds, stages and loop delay (None: found from the data), rate in Hz and its relative tolerance, feedback
RECORDINGS = {
    "with feedback, on a guitar": ("dry.flac", "small_stone_d.flac", (31, 37), (4, 0), 1.3888, 2e-4, 0.62),
    "another maker's": ("dry.flac", "juce_phaser.flac", (3, 7), None, 0.7, 5e-4, -0.35),
}


def part(name: str, seconds: tuple[int, int]) -> tuple[torch.Tensor, int]:
    sample_rate = soundfile.info(FOLDER / name).samplerate
    first, last = (second * sample_rate for second in seconds)
    samples, _ = soundfile.read(FOLDER / name, last - first, first, dtype="float32", always_2d=True)
    return torch.from_numpy(samples[:, 0].copy()), sample_rate


@pytest.mark.parametrize("name", RECORDINGS)
def test_rate_and_feedback_of_recordings(name):
    dry, wet, seconds, structure, rate, tolerance, feedback = RECORDINGS[name]
    x, sample_rate = part(dry, seconds)
    choices = () if structure is None else structure
    start = identify_phaser(x, part(wet, seconds)[0], sample_rate, *choices)
    assert start.identified, start.verdict
    assert start.rate_hz == pytest.approx(rate, rel=tolerance)
    assert start.feedback == pytest.approx(feedback, abs=0.08)
    assert start.offset == 0
    if structure is None:
        assert (start.stages, start.loop_delay) == (6, 1)
