"""A folder of fitted chains becomes a page, whether it holds rows or presets."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from diffapf import Effect, Phaser, VocalChain, audio
from diffapf.cli import WRONG_INPUT, main
from diffapf.effects.vocal_presets import chain_of, independent, read_presets
from tests.filters.oracles import normal

RATE = 44_100


@pytest.fixture
def rows() -> np.ndarray:
    found = np.zeros((3, 151))
    found[:, independent().numpy()] = 0.5 * normal(3, 130)
    found[:, 17] = np.abs(found[:, 17])
    return found


def test_rows_and_a_voice_become_a_page_with_sounds(tmp_path, rows, capsys):
    np.save(tmp_path / "raw_params.npy", rows)
    audio.write(tmp_path / "dry.wav", 0.1 * normal(RATE).numpy(), RATE)
    assert main(["presets", str(tmp_path), "-o", str(tmp_path / "out"), "--dry", str(tmp_path / "dry.wav")]) == 0
    assert "Component 1: " in capsys.readouterr().out
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["components"] == 2 and metrics["explained/2_components"] == pytest.approx(1)
    heard = {path.stem for path in (tmp_path / "out" / "audio").rglob("*.wav")}
    assert {"dry", "mean", "component 1 at -2 σ", "component 2 at +2 σ"} <= heard and len(heard) == 6
    assert isinstance(Effect.load(tmp_path / "out" / "model.yaml"), VocalChain)
    assert "Explained variance" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


def test_presets_in_folders_are_read_as_rows(tmp_path, rows):
    for number, row in enumerate(rows):
        chain_of(row).save(tmp_path / f"fit {number}" / "model.yaml")
    (tmp_path / "fit 0" / ".hydra").mkdir()
    (tmp_path / "fit 0" / ".hydra" / "config.yaml").write_text("name: a run's settings")
    torch.testing.assert_close(read_presets(tmp_path).rows, torch.from_numpy(rows), rtol=1e-7, atol=1e-7)


def test_other_presets_are_named(tmp_path, capsys):
    Phaser(RATE).save(tmp_path / "phaser.yaml")
    assert main(["presets", str(tmp_path), "-o", str(tmp_path / "out")]) == WRONG_INPUT
    assert "phaser.yaml" in capsys.readouterr().err and not (tmp_path / "out").exists()
