"""Every check of a pair: twelve pairs that are spoiled in one way each, and one that is not."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import soundfile
from scipy.interpolate import make_interp_spline

from data.channel_strip import equalised, setting
from data.programme import programme
from diffapf.capture import capture_signal
from diffapf.checks import CheckedPair, check_pair

RATE = 44_100
SECONDS = 9.0
LEVELS = ("note", "warning", "error")


@cache
def pair() -> tuple[np.ndarray, np.ndarray]:
    """A programme, and what an equaliser without a low-pass makes of it; both below −6 dBFS."""
    dry = programme(SECONDS)
    knobs = setting("EQ", 3)
    wet = equalised(dry, replace(knobs, bands={n: band for n, band in knobs.bands.items() if "pass" not in n}), RATE)
    return 0.4 * dry / np.abs(dry).max(), 0.4 * wet / np.abs(wet).max()


def checked(folder: Path, dry: np.ndarray, wet: np.ndarray, rate: int = RATE, names=("dry", "wet")) -> CheckedPair:
    files = [folder / f"{name}.wav" for name in names]
    for file, samples, hz in zip(files, (dry, wet), (RATE, rate), strict=True):
        soundfile.write(file, samples, hz, subtype="FLOAT")
    return check_pair(*files)


def complaints(found: CheckedPair) -> dict[str, str]:
    return {finding.check: finding.level for finding in found.findings if finding.level in LEVELS}


def hum(wet: np.ndarray) -> np.ndarray:
    time = np.arange(len(wet)) / RATE
    return wet + 5e-3 * sum(np.sin(2 * np.pi * 50 * k * time) / k for k in (1, 2, 3))


def drifting(wet: np.ndarray) -> np.ndarray:
    n = np.arange(len(wet))
    return make_interp_spline(n, wet, k=5)(np.clip(n * (1 - 20e-6), 0, len(wet) - 1))


SPOILED = {
    "rates": (lambda d, w: (d, w, {"rate": 48_000}), {"rate": "error"}),
    "lengths": (lambda d, w: (d, w[: RATE * 7]), {"length": "note"}),
    "clipped": (lambda d, w: (d, np.clip(4 * w, -1, 1)), {"clipping": "warning"}),
    "silent": (lambda d, w: (d, 1e-6 * w), {"silence": "error"}),
    "offset": (lambda d, w: (d, w + 0.02), {"dc": "warning"}),
    "hum": (lambda d, w: (d, hum(w)), {"hum": "warning"}),
    "upside down": (lambda d, w: (d, -w), {"polarity": "note"}),
    "quiet": (lambda d, w: (d, 0.03 * w), {"level": "warning"}),
    "late": (lambda d, w: (d, np.pad(w, (37, 0))[: len(w)]), {"latency": "note"}),
    "drifting": (lambda d, w: (d, drifting(w)), {"drift": "warning", "latency": "note"}),
    "swapped": (lambda d, w: (d, np.pad(w[60:], (0, 60))), {"order": "warning", "latency": "note"}),
    "the same": (lambda d, w: (d, d), {"same": "warning"}),
}


@pytest.mark.parametrize("spoiled", SPOILED)
def test_a_spoiled_pair_has_its_finding_and_no_other(tmp_path, spoiled):
    spoil, expected = SPOILED[spoiled]
    dry, wet, *more = spoil(*pair())
    found = checked(tmp_path, dry, wet, **(more[0] if more else {}))
    assert complaints(found) == expected
    assert all(finding.cause and (finding.advice or finding.level == "ok") for finding in found.findings)


def test_a_clean_pair_has_none(tmp_path):
    found = checked(tmp_path, *pair())
    assert complaints(found) == {}
    checks = {finding.check for finding in found.findings}
    assert checks >= {
        "rate",
        "length",
        "clipping",
        "dc",
        "hum",
        "polarity",
        "level",
        "latency",
        "drift",
        "order",
        "same",
    }
    assert abs(found.alignment.delay) < 0.02


def test_all_that_is_wrong_is_said_at_once(tmp_path):
    dry, _wet = pair()
    found = checked(tmp_path, np.clip(9 * dry, -1, 1), np.zeros(3 * RATE), rate=48_000)
    assert complaints(found) == {"rate": "error", "length": "error", "clipping": "warning", "silence": "error"}
    with pytest.raises(ValueError, match=r"(?s)sample rates differ.*do not look like a pair.*is silent"):
        found.usable()


def test_a_file_that_is_missing_does_not_keep_the_other_from_being_checked(tmp_path):
    soundfile.write(tmp_path / "dry.wav", np.clip(9 * pair()[0], -1, 1), RATE)
    assert complaints(check_pair(tmp_path / "dry.wav", tmp_path / "wet.wav")) == {
        "file": "error",
        "clipping": "warning",
    }


def test_signs_of_an_order_that_is_wrong(tmp_path):
    dry, wet = pair()
    by_name = checked(tmp_path, dry, wet, names=("my_wet", "my_dry"))
    assert complaints(by_name) == {"order": "warning"}
    level = np.sqrt(np.convolve(dry**2, np.ones(2000) / 2000, "same") + 1e-6)
    by_dynamics = checked(tmp_path, dry, 0.4 * dry * level / np.abs(dry * level).max())
    assert "as before a compressor" in next(f.cause for f in by_dynamics.findings if f.check == "order")


@pytest.mark.parametrize("late", [37.37, 4000.5, -300.25])
def test_a_latency_is_taken_out(tmp_path, late):
    dry, wet = pair()
    padded = np.pad(wet, (5000, 5000))
    omega = 2 * np.pi * np.arange(len(padded) // 2 + 1) / len(padded)
    moved = np.fft.irfft(np.fft.rfft(padded) * np.exp(-1j * omega * late), len(padded))[5000 : 5000 + len(wet)]
    aligned = checked(tmp_path, dry, moved).aligned()
    begin, end = (round(seconds * RATE) for seconds in aligned.covered)
    assert (begin, len(dry) - end) == (math.ceil(max(0, -late)), math.ceil(max(0, late)))
    inner = slice(begin + 600, end - 600)
    error = aligned.wet[0, inner] - wet[inner]
    assert np.square(error).sum() < 2e-5 * np.square(wet[inner]).sum()  # what 0.02 of a sample leaves


def test_what_is_not_known_to_be_late_is_left_as_it_is(tmp_path):
    found = checked(tmp_path, *pair())
    assert found.aligned() is found.pair and found.pair.covered is None


def test_recordings_of_different_takes(tmp_path):
    dry, _wet = pair()
    noise = np.random.default_rng(0).uniform(-0.3, 0.3, len(dry))
    assert complaints(checked(tmp_path, dry, noise)) == {"related": "warning"}


def test_the_test_signal_tells_the_noise_floor(tmp_path):
    signal = capture_signal(16_000)
    noise = 1e-3 * np.random.default_rng(0).standard_normal(len(signal))
    floor = 10 * math.log10(1e-6 / np.square(signal / 2).mean())
    for name, samples in (("dry", signal), ("wet", signal / 2 + noise)):
        soundfile.write(tmp_path / f"{name}.wav", samples, 16_000, subtype="PCM_24")
    (found,) = (f for f in check_pair(tmp_path / "dry.wav", tmp_path / "wet.wav").findings if f.check == "noise")
    assert found.level == "note"
    assert float(found.cause.split()[-2]) == pytest.approx(floor, abs=0.2)
