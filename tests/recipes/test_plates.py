"""`experiment=plate`: a plate found in its impulse response, as a results folder."""

import json

import pytest
import torch

from diffapf import MetalPlate, Plate, audio

STEEL = MetalPlate(height_m=1.3, thickness_mm=3.0, t60_s=(3.0, 0.5), highest_hz=3500.0)


@pytest.fixture
def response(tmp_path):
    with torch.no_grad():
        h = Plate.of_metal(8000, STEEL).impulse_response(1.5)
    audio.write(tmp_path / "plate.wav", h / h.abs().max(), 8000, subtype="FLOAT")
    return tmp_path / "plate.wav"


def test_a_response_becomes_a_results_folder(command, response, tmp_path):
    settings = "experiment=plate", f"data.response={response}", f"run={tmp_path / 'run'}", "identify.modes=700"
    result = command("train.py", *settings)
    assert result.returncode == 0, result.stderr
    assert "modes" in result.stdout and "report.html" in result.stdout
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["response/esr"] < 1e-4 and metrics["modes"] <= 700
    assert (tmp_path / "run" / "report.html").is_file() and len(
        Plate.load(tmp_path / "run" / "model.yaml").modes
    ) <= 700
    refused = command("train.py", *settings, "identify.core=paper")
    assert refused.returncode == 2 and "identify.modes" in refused.stderr + refused.stdout


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["experiment=plate", "protocol=descent"], "no recipe trains a Plate"),
        (["experiment=phaser", "data=plate"], "a dry and a wet recording"),
    ],
)
def test_settings_that_do_not_belong_together_are_told(command, response, tmp_path, settings, words):
    result = command("train.py", *settings, f"data.response={response}", f"run={tmp_path / 'run'}")
    assert result.returncode == 2 and words in result.stderr
