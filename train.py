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
from omegaconf import DictConfig

from recipes.errors import exit_on_user_error, explain_config_errors


@hydra.main(version_base="1.3", config_path="configs", config_name="train")
def main(cfg: DictConfig) -> None:
    with exit_on_user_error():
        from recipes.results import relative

        folder = Path(cfg.run)
        folder.mkdir(parents=True, exist_ok=True)
        report = identify(cfg, folder) if cfg.identify else train(cfg, folder)
        print(f"Metrics:    {relative(folder / 'metrics.json')}")
        print(f"Report:     {relative(report)}")


def identify(cfg: DictConfig, folder: Path) -> Path:
    """The model found in the recordings; returns the report's path."""
    from recipes.identified import fit

    found = fit(cfg, folder, HydraConfig.get().overrides.task)
    print(found.summary)
    return found.page


def train(cfg: DictConfig, folder: Path) -> Path:
    """The model trained from where the config starts it; returns the report's path."""
    from recipes.experiments import carry_out

    outcome = carry_out(cfg, folder)
    report = outcome.write()
    outcome.show()
    print(f"\nNext, try:  {cfg.next}")
    return report


if __name__ == "__main__":
    explain_config_errors(Path(__file__).parent / "configs", "train", sys.argv[1:])
    main()
