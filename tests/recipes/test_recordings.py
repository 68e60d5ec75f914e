"""Real third-party recordings, where the folder is beside the repository: a small budget must already explain them."""

import json
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[3] / "shared" / "data" / "phaser"


@pytest.mark.skipif(not FOLDER.is_dir(), reason="needs the recordings in ../shared/data/phaser")
def test_some_steps_explain_the_fitted_pedal_from_a_rate_two_percent_off(command, tmp_path):
    files = [f"data.dry={FOLDER / 'dry.flac'}", f"data.wet={FOLDER / 'small_stone_a.flac'}"]
    budget = [
        "protocol=descent",
        "trainer.max_steps=150",
        "baselines=[]",
        "curriculum.longest=5",
        f"run={tmp_path / 'run'}",
    ]
    result = command("train.py", "experiment=phaser", "data=recordings", *files, "model.lfo.rate_hz=2.3766", *budget)
    assert result.returncode == 0, result.stderr
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["test/esr_td"] < 0.03
    assert metrics["param/lfo_rate_hz"] == pytest.approx(2.33, rel=1e-3)
