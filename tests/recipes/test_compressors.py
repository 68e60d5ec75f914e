"""`python train.py experiment=compressor` and `la2a`, on a few seconds of programme."""

import json

import pytest
import soundfile
import torch

from data.programme import programme
from diffapf import Compressor, Effect
from diffapf.filters.methods import FrequencySampling
from diffapf.losses import ESR, Prefiltered
from recipes.compressors import measured_reduction, tied
from recipes.data import Excerpt, compressed
from recipes.kinds import kind_of
from recipes.residuals import Residuals

SHORT = ["programme.seconds=10", "programme.train=[0,6]", "programme.validation=[6,7]", "programme.test=[7,10]"]


@pytest.fixture
def short_run(command, tmp_path):
    def run(experiment: str, *overrides: str):
        result = command("train.py", f"experiment={experiment}", f"run={tmp_path / 'run'}", *SHORT, *overrides)
        return result, tmp_path / "run"

    return run


def metrics_of(folder) -> dict[str, float]:
    return json.loads((folder / "metrics.json").read_text())


def test_a_compressor_finds_itself_and_the_baseline_cannot(short_run):
    result, folder = short_run("compressor")
    assert result.returncode == 0, result.stderr
    metrics = metrics_of(folder)
    assert metrics["test/esr_td"] < 1e-10  # 1e-8 %
    assert metrics["param/smoother_attack_ms"] == pytest.approx(1.0, rel=1e-4)
    assert metrics["param/curve_ratio"] == pytest.approx(3.0, rel=1e-4)
    assert "test/esr_fs" not in metrics
    assert metrics["fs:test/esr_fs"] > 1e-4 and metrics["fs:test/esr_td"] > 1e-4
    truths = {entry["name"]: entry.get("truth") for entry in json.loads((folder / "parameters.json").read_text())}
    assert truths["curve.threshold_db"] == -20.0
    page = (folder / "report.html").read_text()
    assert "Gain reduction" in page
    assert "attack while training" in page and "attack (ms)" in page and "release (ms)" in page
    header = (folder / "history.csv").read_text().splitlines()[0].split(",")
    assert {"param/smoother.attack_ms", "fs:param/smoother.attack_ms", "param/smoother.release_ms"} <= set(header)
    assert "fs:param/smoother.release_ms" not in header
    assert Effect.load(folder / "model_fs.yaml").smoother.release_ms is None


def test_a_levelling_amplifier_by_gradient_descent(short_run):
    """As in the paper, a few steps: from 50 ms and 2:1 the error falls."""
    steps = ["trainer.max_steps=40", "trainer.validate_every=20", "baselines=[]", "dtype=float32"]
    result, folder = short_run("la2a", "optimizer=sgd", "loss=mae_prefiltered", *steps)
    assert result.returncode == 0, result.stderr
    rows = (folder / "history.csv").read_text().splitlines()
    names = rows[0].split(",")
    assert "train/loss" in names and "train/esr" not in names
    start, *rest = (dict(zip(names, row.split(","), strict=True)) for row in rows[1:])
    assert start["step"] == "0" and float(start["param/smoother.attack_ms"]) == 50.0 and not start["train/loss"]
    losses = [float(row["train/loss"]) for row in rest]
    assert losses[-1] < losses[0]
    assert Effect.load(folder / "model.yaml").smoother.release_ms is not None


def test_newtons_method_is_an_optimiser_too(short_run):
    result, folder = short_run(
        "compressor",
        "optimizer=newton",
        "data=FF-B",
        "baselines=[]",
        "programme.seconds=4",
        "programme.train=[0,2]",
        "programme.validation=[2,3]",
        "programme.test=[3,4]",
        "trainer.max_steps=3",
    )
    assert result.returncode == 0, result.stderr
    assert metrics_of(folder)["train/steps"] == 3


def test_a_baseline_of_its_own_has_one_time(short_run):
    result, folder = short_run("compressor", "method=fs", "baselines=[]", "data=FF-B", "trainer.max_steps=3")
    assert result.returncode == 0, result.stderr
    assert metrics_of(folder)["test/esr_fs"] < 1e-3
    assert "param/smoother_release_ms" not in metrics_of(folder)


def test_tying_keeps_everything_but_the_times():
    free = Compressor(
        44_100, attack_ms=4.0, release_ms=100.0, threshold_db=-31.0, knee_db=5.0, smoothed="gain_db"
    ).double()
    one = tied(free)
    assert one.smoother.release_ms is None and one.smoother.attack_ms().item() == pytest.approx(20.0)
    before, after = ({s.name: s.value for s in each.parameters_spec()} for each in (free, one))
    assert {name: after[name] for name in after if name != "smoother.attack_ms"}.items() <= before.items()
    assert tied(one) is one
    one.method = FrequencySampling()
    assert one(torch.randn(1, 1000, dtype=torch.float64)).shape == (1, 1000)


def test_blocks_give_the_residuals_of_the_whole():
    """Over two blocks and more: the compressor's memory and the filter's go from one to the next."""
    pair = compressed("FF-A", 3.0, (0, 2), (2, 2.5), (2.5, 3), ratio=4.0)
    effect = Compressor(44_100).double()
    residuals = Residuals(kind_of(effect), pair.training_excerpt(), 44_100, Prefiltered(ESR()))
    state, parts = None, []
    with torch.no_grad():
        for block in range(residuals.blocks):
            part, state = residuals.of_block(effect, block, state)
            parts.append(part * residuals.weights[block])
        torch.testing.assert_close(torch.cat(parts, -1), residuals.of_whole(effect))
    assert residuals.blocks > 2
    assert residuals.weights[0].count_nonzero() == len(residuals.weights[0]) - 2205


def test_a_lead_in_counts_nothing():
    effect = Compressor(44_100)
    excerpt = Excerpt(torch.ones(1, 10_000), torch.ones(1, 10_000), start=44_100, skip=4000)
    counts = torch.cat(Residuals(kind_of(effect), excerpt, 44_100).weights)
    assert counts[:4000].sum() == 0 and counts[4000:].all()


def test_the_reduction_that_is_heard_is_the_gain():
    dry = torch.randn(44_100, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    dry[22_050:] *= 1e-5
    times, reduction = measured_reduction(dry, 0.5 * dry, 44_100)
    assert times.max() < 0.5
    torch.testing.assert_close(reduction, torch.full_like(reduction, 6.0206), atol=1e-3, rtol=0)


def test_recordings_are_identified(command, tmp_path):
    """As `diffapf fit compressor` does; what only a phaser has is no setting of it."""
    dry = torch.from_numpy(programme(5.0))
    with torch.no_grad():
        wet = Compressor(44_100, -30.0, 4.0, 5.0, 80.0).double()(dry)
    files = [f"data.{name}={tmp_path / f'{name}.wav'}" for name in ("dry", "wet")]
    for name, signal in (("dry", dry), ("wet", wet)):
        soundfile.write(tmp_path / f"{name}.wav", signal.numpy(), 44_100, subtype="DOUBLE")
    settings = ["experiment=compressor", "data=recordings", *files, f"run={tmp_path / 'run'}"]
    result = command("train.py", *settings, "data.train=[0,4]", "identify.knees=[hard]")
    assert result.returncode == 0, result.stderr
    assert metrics_of(tmp_path / "run")["test/esr_prefiltered"] < 1e-10
    assert "curve.ratio = 4" in result.stdout
    refused = command("train.py", *settings, "identify.core=paper")
    assert refused.returncode == 2
    assert "identify.knees" in refused.stderr + refused.stdout
