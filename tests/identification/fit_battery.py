"""The battery's phasers, fitted: `python -m tests.identification.fit_battery [number] [first seed]`.

Each is fitted to 8 s and tested on the 4 s after. Right: ESR at most 0.1 % there, and the rate within 1e-4 + 0.002/8 Hz.
"""

from __future__ import annotations

import sys
import time

import torch

from diffapf.identification.phaser_fit import NotIdentifiedError, fit_phaser
from tests.identification.battery import SAMPLE_RATE, SECONDS, random_dry, random_phaser

AFTER = 4.0
LARGEST_ESR = 1e-3
LARGEST_RATE_ERROR = 1e-4 + 0.002 / SECONDS


def main(number: int = 20, first: int = 0) -> None:
    torch.set_num_threads(1)
    right = 0
    for seed in range(first, first + number):
        truth, dry = random_phaser(seed), random_dry(seed, SECONDS + AFTER)
        wet = truth.apply(dry, SAMPLE_RATE, seed=seed)
        name = (
            f"{truth.rate_hz:.3f} Hz {truth.low_hz:.0f}–{truth.high_hz:.0f} Hz {truth.wave} K={truth.stages} "
            f"{truth.feedback:+.2f} {'chirps' if seed % 2 == 0 else 'guitar'}"
        )
        began = time.process_time()
        try:
            fit = fit_phaser(dry, wet, SAMPLE_RATE, train=(0.0, SECONDS))
        except NotIdentifiedError as error:
            print(f"{seed:4} {name:52} WRONG: {error}", flush=True)
            continue
        seconds = time.process_time() - began
        esr = fit.pair.stretch(SECONDS, SECONDS + AFTER).esr(fit.phaser)
        rate_error = fit.phaser.lfo.rate_hz().item() - truth.rate_hz
        good = esr <= LARGEST_ESR and abs(rate_error) <= LARGEST_RATE_ERROR
        right += good
        print(
            f"{seed:4} {name:52} ESR {100 * esr:8.2g} %  rate {rate_error:+.1e} Hz  K={fit.start.stages} "
            f"d={fit.start.loop_delay}  {seconds:5.1f} s CPU  {fit.chosen}{'' if good else '  WRONG'}",
            flush=True,
        )
    print(f"{right} of {number} right")


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
