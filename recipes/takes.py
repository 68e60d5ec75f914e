"""An experiment on a folder of pairs: one run after another, and the page that compares them."""

from __future__ import annotations

import copy
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

from omegaconf import DictConfig

from diffapf.pair_files import PairFiles, find_pairs
from diffapf.report.takes import FittedTakes, fit_takes
from recipes.callbacks import console


def fit_folder(
    cfg: DictConfig, folder: Path, carry_out: Callable[[DictConfig, Path], tuple[Path, bool]]
) -> FittedTakes:
    """Carries out the experiment on each pair of `data.folder`, into a folder of its own.

    Raises ValueError for a file that is given beside the folder, and as `find_pairs` and `fit_takes` do.
    """
    given = [f"data.{side}" for side in ("dry", "wet") if cfg.data[side]]
    if given:
        raise ValueError(f"data.folder has pairs of its own: leave out {' and '.join(given)}")

    def fit(files: PairFiles, place: Path) -> bool:
        one = copy.deepcopy(cfg)
        one.data.folder, one.data.dry, one.data.wet, one.run = "", str(files.dry), str(files.wet), str(place)
        place.mkdir(parents=True, exist_ok=True)
        _, interrupted = carry_out(one, place)
        return interrupted

    return fit_takes(
        find_pairs(cfg.data.folder),
        folder,
        fit,
        title=f"{cfg.name}: {Path(cfg.data.folder).name}",
        command=shlex.join(["python", *sys.argv]),
        say=lambda sentence: console.print(sentence, markup=False),
    )
