"""Trains an experiment: `python train.py experiment=phaser`, and any of its settings as `group=choice` or `name=value`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

# Threads that wait should sleep: on a busy machine, spinning ones slow a training of short kernels by ten times.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

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
        kind = identify if cfg.identify else match if cfg.match else descend
        report = kind(cfg, folder)
        print(f"Metrics:    {relative(folder / 'metrics.json')}")
        print(f"Report:     {relative(report)}")


def identify(cfg: DictConfig, folder: Path) -> Path:
    """The model found in the recordings; returns the report's path."""
    from recipes.identified import fit

    found = fit(cfg, folder, HydraConfig.get().overrides.task)
    print(found.summary)
    return found.page


def match(cfg: DictConfig, folder: Path) -> Path:
    """A network and a synth trained to play notes again; returns the report's path."""
    from recipes.matched import print_run, write_results
    from recipes.sound_matching import timed_run

    data, results, seconds = timed_run(cfg, folder)
    report = write_results(folder, data, results, seconds, f"{cfg.name}: {data.title}")
    print_run(data, results)
    print(f"\nNext, try:  {cfg.next}")
    return report


def descend(cfg: DictConfig, folder: Path) -> Path:
    """The model trained from where the config starts it; returns the report's path."""
    from recipes.fit import timed_run
    from recipes.results import write_results
    from recipes.tables import print_run

    pair, results, seconds = timed_run(cfg, folder)
    report = write_results(folder, pair, results, seconds, f"{cfg.name}: {pair.tracks.title}")
    print_run(pair, results)
    print(f"\nNext, try:  {cfg.next}")
    return report


if __name__ == "__main__":
    explain_config_errors(Path(__file__).parent / "configs", "train", sys.argv[1:])
    main()
