"""Configs that cannot lie: every choice of every group composes, and what it names can be built."""

import shlex
from pathlib import Path

import hydra
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from diffapf import Compressor, Equalizer, Phaser, Plate, VocalChain, cli
from diffapf.effects.time_constants import smoothing_rate
from diffapf.synths.matcher import AcidMatcher
from diffapf.synths.vocoder import VOCODERS
from diffapf.synths.voice_encoder import AnalysisBySynthesis
from recipes.identified import OPTIONS
from recipes.training import Curriculum
from scripts.recordings_table import fits_of
from scripts.reproduce import Cell, overrides_of, trainings_of

CONFIGS = Path(__file__).parents[2] / "configs"
CHOICES = [
    f"{group.name}={choice.stem}"
    for group in sorted(CONFIGS.iterdir())
    if group.is_dir() and group.name not in ("experiment", "table")
    for choice in sorted(group.glob("*.yaml"))
]

MODELS = {
    "phaser": Phaser,
    "compressor": Compressor,
    "acid": AcidMatcher,
    "plate": Plate,
    "peq": Equalizer,
    "vocal_chain": VocalChain,
    "golf": AnalysisBySynthesis,
}


def composed(*overrides: str, experiment: str = "phaser"):
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        return compose("train", [f"experiment={experiment}", "run=here", *overrides])


def experiment_of(choice: str) -> str:
    """What a choice is for."""
    if choice.removeprefix("model=") in VOCODERS or any(
        word in choice for word in ("singer", "voice", "analysis", "mono")
    ):
        return "golf"
    if any(word in choice for word in ("vocal", "VC-", "chunks", "stereo", "style")):
        return "vocal_chain"
    if any(word in choice for word in ("acid", "adamw", "mss", "matching")):
        return "acid"
    if any(word in choice for word in ("equalizer", "EQ-", "retrieval")):
        return "peq"
    if "plate" in choice:
        return "plate"
    return "compressor" if any(word in choice for word in ("compressor", "FF-", "LA-")) else "phaser"


@pytest.mark.parametrize("choice", CHOICES)
def test_every_choice_composes_and_builds_its_model_optimiser_and_loss(choice):
    cfg = composed(choice, experiment=experiment_of(choice))
    OmegaConf.to_container(cfg, resolve=True)
    model = hydra.utils.instantiate(cfg.model, sample_rate=44_100)
    optimizer, _ = hydra.utils.instantiate(cfg.optimizer)(model.parameters(), 10)
    assert isinstance(model, MODELS[experiment_of(choice)])
    group = optimizer.param_groups[0]
    group |= {"lr": group.get("initial_lr", group.get("lr"))}  # before a warm-up
    settings = {name: value for name, value in cfg.optimizer.items() if name in group}
    assert settings and all(group[name] == value for name, value in settings.items())
    for measure in (cfg.loss, cfg.metric):
        ones = torch.ones(1, 2 if "Stereo" in measure._target_ else 1, 4096)
        assert hydra.utils.instantiate(measure)(ones, ones) == 0
    assert isinstance(hydra.utils.instantiate(cfg.curriculum), Curriculum)


def test_the_papers_protocol_is_the_papers():
    cfg = composed("protocol=paper", "data=SS-C")
    model = hydra.utils.instantiate(cfg.model, sample_rate=44_100)
    assert (model.core, model.align_corners, model.hop) == ("paper", True, 7056)
    assert (cfg.optimizer.lr, cfg.optimizer.decay, cfg.trainer.max_steps) == (5e-4, "none", 10_000)
    assert (cfg.trainer.gradient_clip, cfg.trainer.validate_every, cfg.start.trials) == (0.5, 50, 0)
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == 182


def test_the_compressors_protocol_is_the_papers():
    cfg = composed("protocol=compressor_paper", "data=FF-C", experiment="compressor")
    model = hydra.utils.instantiate(cfg.model, sample_rate=44_100)
    start = {spec.name.split(".")[-1]: spec.value for spec in model.parameters_spec()}
    assert (start["threshold_db"], start["ratio"], start["makeup_db"]) == (-10.0, 2.0, 0.0)
    assert start["attack_ms"] == start["release_ms"] == 50.0
    assert smoothing_rate(torch.tensor(start["average_ms"]).double(), 44_100) == pytest.approx(0.3)
    optimizer, _ = hydra.utils.instantiate(cfg.optimizer)(model.parameters(), 10)
    assert isinstance(optimizer, torch.optim.SGD)
    assert (cfg.optimizer.lr, cfg.optimizer.momentum, cfg.trainer.max_steps, cfg.dtype) == (100.0, 0.9, 1000, "float32")
    loss = hydra.utils.instantiate(cfg.loss)
    assert (type(loss.loss), loss.b, loss.a) == (torch.nn.L1Loss, (1.0, -1.0), (1.0, -0.995))
    assert (list(cfg.data.source.train), list(cfg.data.source.test)) == ([0, 300], [300, 1200])


@pytest.mark.parametrize(
    ("data", "values"),
    [("FF-A", (3.0, 1.0, 100.0)), ("FF-B", (5.0, 30.0, 30.0)), ("FF-C", (8.0, 0.1, 200.0))],
)
def test_the_compressors_own_targets_are_the_papers(data, values):
    source = composed(f"data={data}", experiment="compressor").data.source
    assert (source.ratio, source.attack_ms, source.release_ms) == values
    assert source.threshold_db == -20.0
    assert smoothing_rate(torch.tensor(source.average_ms).double(), 44_100) == pytest.approx(0.03)


def test_an_optimiser_may_be_chosen_for_a_compressor():
    assert composed(experiment="la2a").optimizer._target_.endswith("levenberg_marquardt")
    assert composed("optimizer=sgd", experiment="la2a").optimizer._target_.endswith("sgd")


@pytest.mark.parametrize(
    ("overrides", "identified"),
    [
        (["data=recordings"], True),
        (["data=recordings", "protocol=descent"], False),
        (["data=recordings", "protocol=paper"], False),
        (["data=SS-D"], False),
        (["data=SS-D", "protocol=identify"], True),
    ],
)
def test_recordings_are_identified_unless_another_protocol_is_asked_for(overrides, identified):
    assert (composed(*overrides).identify is not None) == identified


def test_a_levelling_amplifier_is_found_as_a_grey_box():
    assert composed("data=recordings", experiment="la2a").identify_as == "la2a" in OPTIONS
    assert composed("data=recordings", experiment="compressor").identify_as is None


@pytest.mark.parametrize("experiment", ["phaser", "compressor", "la2a"])
def test_the_model_is_found_in_recordings_whatever_the_experiment(experiment):
    assert composed("data=recordings", experiment=experiment).identify is not None
    assert composed("data=recordings", "protocol=descent", experiment=experiment).identify is None


def test_least_squares_needs_few_steps():
    assert composed("optimizer=lm").trainer.max_steps < 50 < composed().trainer.max_steps
    assert composed("optimizer=lm", "trainer.max_steps=3").trainer.max_steps == 3


def test_the_command_that_a_run_suggests_is_one():
    """Of a fresh clone, whose environment nobody has activated."""
    program, *arguments = shlex.split(composed().next)
    assert program == ".venv/bin/diffapf"
    options = cli.parser().parse_args(arguments)
    assert (str(options.dry), str(options.wet)) == ("my_dry.wav", "my_wet.wav")


def tables(of_recordings: bool) -> list[str]:
    files = sorted((CONFIGS / "table").glob("*.yaml"))
    return [file.stem for file in files if ("recordings" in OmegaConf.load(file)) == of_recordings]


@pytest.mark.parametrize("table", tables(of_recordings=False))
def test_every_row_and_column_of_a_table_composes(table):
    content = OmegaConf.load(CONFIGS / "table" / f"{table}.yaml")
    for name in content.budget:
        options, trainings = OmegaConf.create({"budget": name, "recordings": None}), list(trainings_of(content))
        cells = [(setting, trainings[0]) for setting in content.settings]
        cells += [(content.settings[0], training) for training in trainings[1:]]
        for setting, training in cells:
            cell = Cell(setting, training, 1, Path())
            composed(*overrides_of(cell, content, options), experiment=content.experiment)


@pytest.mark.parametrize("table", tables(of_recordings=True))
def test_a_table_of_recordings_names_parts_that_its_files_have(table, tmp_path):
    content = OmegaConf.load(CONFIGS / "table" / f"{table}.yaml")
    for budget, windows in content.windows.items():
        fits = list(fits_of(content, list(content.settings), budget, tmp_path))
        assert fits == list(fits_of(content, list(content.settings), budget, tmp_path)), (
            "windows are the same each time"
        )
        assert len({fit.folder for fit in fits}) == len(fits)
        for fit in fits:
            entry = content.settings[fit.setting]
            begin, end = entry.get("of", [entry.train[0], entry.train[1]])
            assert begin <= fit.train[0] < fit.train[1] <= end
            assert fit.train[1] <= fit.test[0] < fit.test[1]
        several = [name for name in content.settings if "of" in content.settings[name]]
        assert len(fits) == len(content.settings) + (windows - 1) * len(several)
