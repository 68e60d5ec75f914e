"""Where the fit of a note sets out from: what a trained extractor hears in it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from diffapf.notes import Notes
from diffapf.synths.acid import AcidSynth

Start = Callable[[Notes, AcidSynth], dict[str, Tensor]]
"""From notes and the synth that is to play them to raw numbers of its controls, as `fit_acid` takes them."""


def load_start(path: str | os.PathLike) -> Start:
    """The start that a training run's model gives; raises ValueError, naming the file, for what is not one."""
    path = Path(path)
    if not path.exists():
        raise ValueError(f"there is no trained extractor {path}")
    raise ValueError(f"{path} is no trained extractor; give the folder of a run of train.py experiment=acid")
