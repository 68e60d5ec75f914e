"""What identify_phaser finds of the recordings beside the repository: `python scripts/identify_recordings.py`.

One line each: rate and its relative distance from RECORDINGS' own, feedback, structure, what is left unexplained, and CPU
seconds with the structure given and with it found from the data. Only juce's rate is the truth; the others are as good as
what they come from: published for the fitted pedal, our own fits for the real ones, two digits for the clips.
"""

from __future__ import annotations

import time
from pathlib import Path

import torch

from diffapf.audio import read
from diffapf.identification import PhaserStart, identify_phaser

FOLDER = Path(__file__).parents[2] / "shared" / "data" / "phaser"

# dry, wet, seconds, (stages, loop delay), rate in Hz
RECORDINGS = (
    ("dry.flac", "small_stone_a.flac", (3, 8), (4, 0), 2.330),
    ("dry.flac", "small_stone_a.flac", (31, 37), (4, 0), 2.330),
    ("dry.flac", "small_stone_d.flac", (3, 8), (4, 0), 1.3888),
    ("dry.flac", "small_stone_d.flac", (31, 37), (4, 0), 1.3888),
    ("dry.flac", "juce_phaser.flac", (3, 8), (6, 1), 0.7),
    ("dry.flac", "juce_phaser.flac", (31, 37), (6, 1), 0.7),
    ("real/dry.flac", "real/small_stone_a.flac", (0, 16), (4, 0), 2.3304),
    ("real/dry.flac", "real/small_stone_a.flac", (0, 8), (4, 0), 2.3304),
    ("real/dry.flac", "real/small_stone_d.flac", (0, 16), (4, 0), 1.3893),
    ("real/dry.flac", "real/small_stone_d.flac", (0, 8), (4, 0), 1.3893),
    ("real/lossless_b_clip0_dry.wav", "real/lossless_b_clip0_wet.wav", (0, 4), (4, 0), 0.63),
    ("real/lossless_b_clip1_dry.wav", "real/lossless_b_clip1_wet.wav", (0, 4), (4, 0), 0.63),
)


def main() -> None:
    torch.set_num_threads(1)
    print(f"{'wet':31} {'part s':>7}  rate Hz ± relative  error    feedback ±     K d  left %  CPU s: given, found")
    for dry, wet, seconds, structure, rate in RECORDINGS:
        pair = [read(FOLDER / name) for name in (dry, wet)]
        first, last = (round(second * pair[0].sample_rate) for second in seconds)
        x, y = (recording.samples[0, first:last] for recording in pair)
        _, given = timed(x, y, pair[0].sample_rate, *structure)
        start, found = timed(x, y, pair[0].sample_rate)
        print(
            f"{wet:31} {seconds[0]:3}–{seconds[1]:<3}  {start.rate_hz:.5f} ± {start.rate_uncertainty_hz / rate:.0e}  "
            f"{start.rate_hz / rate - 1:+.0e}  {start.feedback:+.3f} ± {start.feedback_uncertainty:.3f}  "
            f"{start.stages} {start.loop_delay}  {100 * start.residual:6.2f}  {given:.1f}, {found:.1f}"
            f"{'' if start.identified else ' ' + start.verdict}",
            flush=True,
        )


def timed(x, y, sample_rate: int, *structure: int) -> tuple[PhaserStart, float]:
    began = time.process_time()
    start = identify_phaser(x, y, sample_rate, *structure)
    return start, time.process_time() - began


if __name__ == "__main__":
    main()
