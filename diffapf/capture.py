"""Our own signal to record an effect with: blips, a sweep, noise, steps of level, and all of it again."""

from __future__ import annotations

import numpy as np

PASS_S = {"blips": 1.0, "sweep": 8.0, "noise": 4.0, "steps": 7.0}
BLIPS_S = (0.25, 0.5)
SILENCE_S = 0.2  # at the beginning of a pass
PEAK = 0.5
SWEEP_HZ = (20.0, 20_000.0)
STEPS_DB = (-40, -30, -20, -10, 0, -20, 0)
FADE_S = 0.01
SAME = 1e-3  # of the signal's level: a file of 16 bits differs by less
SEED = 17


def capture_signal(sample_rate: int) -> np.ndarray:
    """`(time,)`, two equal passes of 20 s each with a peak of −6 dBFS.

    | seconds | what | for |
    | --- | --- | --- |
    | 0 – 1 | two blips in silence | latency, noise, tails |
    | 1 – 9 | a sweep, 20 Hz to 20 kHz (or 0.45 of the rate), slow at the bottom | the response, distortion |
    | 9 – 13 | white noise | modulation, which a sweep meets at one phase only |
    | 13 – 20 | noise in steps of 1 s from −40 to 0 dB | threshold, ratio, attack, release |

    What differs between the passes' recordings is noise, or an LFO.

    Source of the sweep: Farina, 108th AES Convention, 2000.

    >>> signal = capture_signal(8000)
    >>> len(signal), float(abs(signal).max()), bool((signal[:160_000] == signal[160_000:]).all())
    (320000, 0.5, True)
    """
    rng = np.random.default_rng(SEED)
    length = {name: round(seconds * sample_rate) for name, seconds in PASS_S.items()}
    blips = np.zeros(length["blips"])
    blips[[round(second * sample_rate) for second in BLIPS_S]] = PEAK
    noise = rng.uniform(-1, 1, length["noise"])
    steps = rng.uniform(-1, 1, length["steps"])
    levels = np.repeat(10 ** (np.array(STEPS_DB) / 20), sample_rate)[: length["steps"]]
    parts = [blips, *(PEAK * _faded(part, sample_rate) for part in (_sweep(length["sweep"], sample_rate), noise))]
    once = np.concatenate([*parts, PEAK * steps * levels])
    return np.tile(once / np.abs(once).max() * PEAK, 2)


def _sweep(length: int, sample_rate: int) -> np.ndarray:
    low, high = SWEEP_HZ[0], min(SWEEP_HZ[1], 0.45 * sample_rate)
    t, seconds = np.arange(length) / sample_rate, length / sample_rate
    growth = seconds / np.log(high / low)
    return np.sin(2 * np.pi * low * growth * np.expm1(t / growth))


def _faded(x: np.ndarray, sample_rate: int) -> np.ndarray:
    fade = np.minimum(1.0, np.arange(len(x)) / (FADE_S * sample_rate))
    return x * fade * fade[::-1]


def noise_floor_db(dry: np.ndarray, wet: np.ndarray, sample_rate: int) -> float | None:
    """By how many dB what differs between wet's two passes lies below wet; None where dry is not `capture_signal`.

    The difference has the noise of both passes, so its power is halved.

    Args:
        dry, wet: `(time,)`.
    """
    once = round(sum(PASS_S.values()) * sample_rate)
    if min(len(dry), len(wet)) < 2 * once or sample_rate != int(sample_rate):
        return None
    signal = capture_signal(int(sample_rate))
    level = float(dry[: 2 * once] @ signal / (signal @ signal))
    error = dry[: 2 * once] - level * signal
    if level <= 0 or error @ error > SAME**2 * level**2 * (signal @ signal):
        return None
    silent = round(SILENCE_S * sample_rate)  # the first pass has none before it, whose end would be heard in it
    first, second = wet[silent:once], wet[once + silent : 2 * once]
    power = (np.square(first).mean() + np.square(second).mean()) / 2
    return float(10 * np.log10(np.square(second - first).mean() / 2 / power + 1e-20))
