"""A folder of pairs, fitted one after another: what is checked first, what is gone on with, and the page."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from diffapf import Equalizer
from diffapf.audio import AudioError
from diffapf.pair_files import PairFiles, find_pairs
from diffapf.report.folder import parameter_record, run_record, write_folder
from diffapf.report.takes import fit_takes

RATE = 16_000


@pytest.fixture
def takes(tmp_path) -> Path:
    folder = tmp_path / "takes"
    folder.mkdir()
    noise = 0.3 * np.random.default_rng(0).uniform(-1, 1, RATE)
    for name, level in (("dry", 1.0), ("wet_gain=1", 0.5), ("wet_gain=3", 0.7), ("wet_gain=6", 0.9)):
        soundfile.write(folder / f"{name}.wav", level * noise, RATE, subtype="FLOAT")
    return folder


class Fitted:
    """A fit that sets a gain to the knob, and remembers what it was asked for."""

    def __init__(self, interrupted_at: str = ""):
        self.asked: list[str] = []
        self.interrupted_at = interrupted_at

    def __call__(self, files: PairFiles, folder: Path) -> bool:
        self.asked.append(folder.name)
        effect = Equalizer(RATE)
        effect.set_parameters({"bands.peak1.gain_db": files.settings["gain"]})
        write_folder(
            folder,
            effect,
            metrics={"test/esr_plain": files.settings["gain"] / 1000},
            parameters=[parameter_record(spec) for spec in effect.parameters_spec()],
            curves=[],
            tracks={},
            sample_rate=RATE,
            run=run_record("take", "", "command", 1.0, ("test/esr_plain",)),
        )
        return folder.name == self.interrupted_at


def test_each_pair_is_fitted_and_a_page_compares_them(takes, tmp_path):
    fit, said = Fitted(), []
    found = fit_takes(find_pairs(takes), tmp_path / "out", fit, "Takes", "command", say=said.append)
    assert fit.asked == ["wet_gain=1", "wet_gain=3", "wet_gain=6"] and not found.interrupted
    assert [take.esr for take in found.takes] == [0.001, 0.003, 0.006]
    assert said[0] == "1 of 3: wet_gain=1.wav from dry.wav (gain=1)"
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["takes"] == 3 and metrics["worst:test/esr"] == 0.006
    (curve,) = json.loads((tmp_path / "out" / "curves.json").read_text())
    assert curve["title"] == "bands.peak1.gain_db over gain"
    assert curve["series"][0]["x"] == curve["series"][0]["y"] == [1.0, 3.0, 6.0]
    assert "wet_gain=6/report.html" in found.page.read_text()


def test_what_was_interrupted_goes_on_there(takes, tmp_path):
    pairs, out = find_pairs(takes), tmp_path / "out"
    first = fit_takes(pairs, out, Fitted("wet_gain=3"), "Takes", "command")
    assert first.interrupted and len(first.takes) == 2 and "interrupted" in first.page.read_text()
    again = Fitted()
    found = fit_takes(pairs, out, again, "Takes", "command")
    assert again.asked == ["wet_gain=3", "wet_gain=6"] and len(found.takes) == 3
    soundfile.write(takes / "wet_gain=1.wav", np.full(2 * RATE, 0.1), RATE)  # another recording
    changed, everything = Fitted(), Fitted()
    fit_takes(pairs, out, changed, "Takes", "command")
    fit_takes(pairs, out, everything, "Takes", "command", restart=True)
    assert changed.asked == ["wet_gain=1"] and len(everything.asked) == 3


def test_all_pairs_are_checked_before_any_is_fitted(takes, tmp_path):
    for name in ("wet_gain=3", "wet_gain=6"):
        soundfile.write(takes / f"{name}.wav", np.zeros(RATE), RATE)
    fit = Fitted()
    with pytest.raises(AudioError, match=r"(?s)gain=3.*gain=6"):
        fit_takes(find_pairs(takes), tmp_path / "out", fit, "Takes", "command")
    assert not fit.asked


def test_what_a_fit_complains_of_names_the_pair(takes, tmp_path):
    def fails(files: PairFiles, folder: Path) -> bool:
        raise ValueError("no phaser")

    with pytest.raises(ValueError, match=r"gain=1.*no phaser"):
        fit_takes(find_pairs(takes), tmp_path / "out", fails, "Takes", "command")
