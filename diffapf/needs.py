"""Packages that only synthesisers and their notes need, which not every user installs."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType


def needed(name: str) -> ModuleType:
    """Imports an optional package; raises ValueError, with what installs it, where it is missing."""
    try:
        return import_module(name)
    except ImportError as error:
        raise ValueError(
            f"{name} is needed for this, which cannot be imported ({error}): pip install 'diffapf[synths]'"
        ) from error
