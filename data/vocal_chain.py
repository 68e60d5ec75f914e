"""A vocal chain that nobody has set: channel strip, compressor and expander, echoes and a room, panned into a stereo mix.

The compressor is its equations, a sample at a time; the other parts are `channel_strip`'s, `echo`'s and `reverberation`'s.

Source: the chain of Yu et al., "DiffVox: A Differentiable Model for Capturing and Analysing Vocal Effects Distributions",
DAFx 2025.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from data import channel_strip
from data.channel_strip import equalised
from data.echo import EchoSetting, echo_setting, echoes
from data.programme import drums
from data.reverberation import RoomSetting, reverberated, room_setting
from data.signals import SAMPLE_RATE
from data.voice import singing

FLOOR = 1e-8  # of a power
RISE = 2.2  # a time is what 10 to 90 % take
LOUDEST_OF_TONE_DB = 6.0
MATERIALS = {"voice": singing, "drums": drums}


@dataclass(frozen=True)
class DynamicsSetting:
    """Thresholds in dB, times in ms; the gain comes look_ahead samples before the audio."""

    threshold_db: float
    ratio: float
    expander_threshold_db: float
    expander_ratio: float
    attack_ms: float
    release_ms: float
    average_ms: float
    makeup_db: float
    look_ahead: int


@dataclass(frozen=True, eq=False)
class Setting:
    """All the knobs."""

    name: str
    equalizer: channel_strip.Setting
    dynamics: DynamicsSetting
    echo: EchoSetting
    room: RoomSetting
    tone: channel_strip.Setting
    send: float
    pan: float


def setting(name: str, seed: int) -> Setting:
    """One of any number of settings, drawn at random."""
    rng = np.random.default_rng(seed)

    def between(low: float, high: float) -> float:
        return float(rng.uniform(low, high))

    def in_octaves(low: float, high: float) -> float:
        return float(np.exp(rng.uniform(np.log(low), np.log(high))))

    dynamics = DynamicsSetting(
        between(-30.0, -14.0),
        in_octaves(1.5, 8.0),
        between(-65.0, -45.0),
        between(0.4, 0.9),
        in_octaves(1.0, 40.0),
        in_octaves(40.0, 600.0),
        in_octaves(0.05, 5.0),
        between(0.0, 6.0),
        int(rng.integers(1, 60)),
    )
    gains = rng.uniform(-LOUDEST_OF_TONE_DB, LOUDEST_OF_TONE_DB, 4)
    tone = channel_strip.Setting(
        name,
        {
            "peak1": (in_octaves(200.0, 2500.0), in_octaves(0.3, 2.0), float(gains[0])),
            "peak2": (in_octaves(600.0, 7000.0), in_octaves(0.3, 2.0), float(gains[1])),
            "low_shelf": (in_octaves(30.0, 450.0), channel_strip.SHELF_Q, float(gains[2])),
            "high_shelf": (in_octaves(1500.0, 16_000.0), channel_strip.SHELF_Q, float(gains[3])),
        },
    )
    strip = channel_strip.setting(name, seed)
    return Setting(
        name, strip, dynamics, echo_setting(seed), room_setting(seed), tone, between(0.0, 0.6), between(0.3, 0.7)
    )


SETTINGS = {name: setting(name, seed) for seed, name in enumerate(("VC-A", "VC-B", "VC-C"), start=1)}


def through(dry: np.ndarray, setting: Setting, sample_rate: float = SAMPLE_RATE) -> np.ndarray:
    """`(time,)` through the chain: `(2, time)`, in time with what went in.

    >>> through(np.zeros(8), SETTINGS["VC-A"]).shape
    (2, 8)
    """
    voice = compressed(equalised(dry, setting.equalizer, sample_rate), setting.dynamics, sample_rate)
    repeats = echoes(voice, setting.echo, sample_rate)
    room = reverberated(voice + setting.send * repeats, setting.room, sample_rate)
    angle = np.pi / 2 * setting.pan
    direct = np.sqrt(2) * np.array([[np.cos(angle)], [np.sin(angle)]]) * voice
    return direct + repeats + equalised(room, setting.tone, sample_rate)


def compressed(x: np.ndarray, setting: DynamicsSetting, sample_rate: float) -> np.ndarray:
    """`(time,)` through compressor and expander."""
    times = setting.average_ms, setting.attack_ms, setting.release_ms
    rates = tuple(1 - np.exp(-1000 * RISE / (ms * sample_rate)) for ms in times)
    slopes = 1 - 1 / setting.ratio, 1 - 1 / setting.expander_ratio
    gain = _gain(x, rates, slopes, setting.threshold_db, setting.expander_threshold_db)
    ahead = min(setting.look_ahead, len(x))
    early = np.concatenate([gain[ahead:], np.full(ahead, gain[-1] if len(gain) else 1.0)])
    return x * early * 10 ** (setting.makeup_db / 20)


@njit(cache=True, error_model="numpy")
def _gain(x, rates, slopes, threshold, expander_threshold):
    average, attack, release = rates
    power, gain, gains = 0.0, 1.0, np.empty_like(x)
    for n in range(len(x)):
        power += average * (max(x[n] * x[n], FLOOR) - power)
        level = 10 * np.log10(power)
        decibels = min(slopes[0] * (threshold - level), slopes[1] * (expander_threshold - level), 0.0)
        wanted = 10 ** (decibels / 20)
        gain += (attack if wanted < gain else release) * (wanted - gain)
        gains[n] = gain
    return gains
