"""Trains an experiment: `python train.py experiment=phaser`, and any of its settings as `group=choice` or `name=value`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

# Threads that wait should sleep: on a busy machine, spinning ones slow a training of short kernels by ten times.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Large tensors in large pages: at 300 s of audio, mapping pages of 4 kB takes longer than a compressor's step.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from recipes.errors import exit_on_user_error, explain_config_errors


@hydra.main(version_base="1.3", config_path="configs", config_name="train")
def main(cfg: DictConfig) -> None:
    with exit_on_user_error():
        from diffapf.memory import keep_freed_memory
        from recipes.results import relative

        keep_freed_memory()
        folder = Path(cfg.run)
        folder.mkdir(parents=True, exist_ok=True)
        report = of_takes(cfg, folder) if OmegaConf.select(cfg, "data.folder") else carry_out(cfg, folder)[0]
        print(f"Metrics:    {relative(folder / 'metrics.json')}")
        print(f"Report:     {relative(report)}")


def of_takes(cfg: DictConfig, folder: Path) -> Path:
    """A model for each pair of a folder; returns the path of the report that compares them."""
    from recipes.takes import fit_folder

    return fit_folder(cfg, folder, carry_out).page


def carry_out(cfg: DictConfig, folder: Path) -> tuple[Path, bool]:
    """One experiment, and the plugins of its model; returns the report's path, and whether Ctrl-C ended it."""
    from recipes.plugins import check_formats, write_plugins
    from recipes.results import relative

    check_formats(cfg)
    report, interrupted = identify(cfg, folder) if cfg.identify else train(cfg, folder)
    for made in write_plugins(cfg, folder):
        print(f"Exported:   {relative(made)}")
    return report, interrupted


def identify(cfg: DictConfig, folder: Path) -> tuple[Path, bool]:
    """The model found in the recordings."""
    from diffapf.report.recordings import FittedRecordings
    from recipes.identified import fit

    found = fit(cfg, folder, HydraConfig.get().overrides.task)
    print(found.summary)
    return found.page, isinstance(found, FittedRecordings) and found.fit.interrupted


def train(cfg: DictConfig, folder: Path) -> tuple[Path, bool]:
    """The model trained from where the config starts it."""
    from recipes.experiments import carry_out

    outcome = carry_out(cfg, folder)
    report = outcome.write()
    outcome.show()
    print(f"\nNext, try:  {cfg.next}")
    return report, outcome.interrupted


if __name__ == "__main__":
    explain_config_errors(Path(__file__).parent / "configs", "train", sys.argv[1:])
    main()
