"""Packages that only synthesisers and their notes, or vocal chains, need, which not every user installs."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType


def needed(name: str, extra: str = "synths") -> ModuleType:
    """Imports an optional package; raises ValueError, with the extra that installs it, where it is missing."""
    try:
        return import_module(name)
    except ImportError as error:
        raise ValueError(
            f"{name} is needed for this, which cannot be imported ({error}): pip install 'diffapf[{extra}]'"
        ) from error
