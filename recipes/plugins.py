"""The plugins of a run's model: made when a training ends, by itself or by Ctrl-C."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from diffapf.export import NotExportableError, describe, export
from diffapf.export.compilers import CompilerError
from diffapf.export.exporting import FORMATS
from diffapf.processing import PRESET, load_model
from recipes.callbacks import console

FOLDER = "plugins"


def check_formats(cfg: DictConfig) -> None:
    """Raises ValueError for a format that there is not: before a training, and not after it."""
    unknown = [name for name in cfg.export if name not in FORMATS]
    if unknown:
        raise ValueError(f"export: there is no format {unknown[0]!r}; there are {', '.join(FORMATS)}")


def write_plugins(cfg: DictConfig, folder: Path) -> list[Path]:
    """Exports the model in a results folder to the formats of `export`; what cannot be made is said, and the run stays."""
    preset = folder / PRESET
    if not cfg.export or not preset.is_file():
        return []
    try:
        made = export(describe(load_model(preset)), folder / FOLDER, cfg.export)
    except (NotExportableError, CompilerError) as error:
        console.print(f"No plugin was made: {error}", markup=False)
        return []
    return made
