"""Where a training by descent sets out: the config's model, a preset or an earlier run's checkpoint; and what stays."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

import hydra
import torch
from omegaconf import DictConfig

from diffapf.effects.effect import Effect
from diffapf.parameters import named_parameters
from diffapf.processing import load_model

SETTINGS = ("ckpt", "preset", "freeze")
UNITS = ("hz", "db", "ms", "us")  # that a name may be written without


def start(cfg: DictConfig, sample_rate: float) -> Effect:
    """The effect that is trained, frozen where it should be; raises ValueError for a wrong `ckpt`, `preset` or `freeze`."""
    if cfg.ckpt and cfg.preset:
        raise ValueError("ckpt and preset both say where to start: give one of them")
    effect = _of_preset(cfg, sample_rate) if cfg.preset else hydra.utils.instantiate(cfg.model, sample_rate=sample_rate)
    effect = effect.to(getattr(torch, cfg.dtype))  # before the checkpoint's numbers would be rounded
    if cfg.ckpt:
        _take(effect, _checkpoint(Path(cfg.ckpt), cfg.method.name))
    freeze(effect, cfg.freeze)
    return effect


def _of_preset(cfg: DictConfig, sample_rate: float) -> Effect:
    """At the recording's rate; its structure is the preset's, whatever the config says of the model."""
    effect = load_model(cfg.preset, sample_rate)
    wanted = cfg.model._target_.rpartition(".")[2]
    if type(effect).__name__ != wanted:
        raise ValueError(f"preset={cfg.preset} is of a {type(effect).__name__}, and the experiment trains a {wanted}")
    assert isinstance(effect, Effect)
    return effect


def _checkpoint(path: Path, method: str) -> Path:
    """A checkpoint, or the best one in the folder of a run."""
    file = path / "checkpoints" / method / "best.ckpt" if path.is_dir() else path
    if not file.is_file():
        raise ValueError(f"there is no checkpoint {file}: give ckpt= an earlier run's folder, or its …/best.ckpt")
    return file


def _take(effect: Effect, file: Path) -> None:
    try:
        state = torch.load(file, weights_only=False)["state_dict"]
        own = {name.removeprefix("effect."): value for name, value in state.items() if name.startswith("effect.")}
        effect.load_state_dict(own)
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(
            f"ckpt={file} is no checkpoint of this model ({reason}): compose the model that it was trained as (model=…), "
            "or start from its model.yaml with preset="
        ) from None


def freeze(effect: Effect, names: Sequence[str]) -> None:
    """Keeps parameters as they are, by their names, with or without a unit (`lfo.rate`), or by their part (`lfo`).

    Raises ValueError for a name that there is not, and where nothing is left to learn.
    """
    tensors = dict(effect.named_parameters())
    known = sorted(named_parameters(effect))
    for name in names:
        of_name = [path for path in tensors if _is_of(path, name)]
        if not of_name:
            shorter = {path.rpartition("_")[0] if path.rpartition("_")[2] in UNITS else path for path in known}
            close = get_close_matches(name, [*known, *shorter], 1, 0.4)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise ValueError(f"freeze: there is no parameter {name!r}{hint} There are: {', '.join(known)}")
        for path in of_name:
            tensors[path].requires_grad_(False)
    if not any(tensor.requires_grad for tensor in tensors.values()):
        raise ValueError(f"freeze={list(names)} leaves nothing to learn")


def _is_of(path: str, name: str) -> bool:
    """Whether a tensor belongs to a parameter, or to a part.

    >>> _is_of("lfo.rate_hz.step", "lfo.rate"), _is_of("lfo.rate_hz.step", "lfo"), _is_of("lfo.rate_hz.step", "lfo.ra")
    (True, True, False)
    """
    own = {name, *(f"{name}_{unit}" for unit in UNITS)}
    return any(path == one or path.startswith(f"{one}.") for one in own)
