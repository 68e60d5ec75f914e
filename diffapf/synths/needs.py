"""Packages that not every user needs."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType


def needed(name: str) -> ModuleType:
    """Imports an optional package; raises ValueError, with what installs it, where it is missing."""
    try:
        return import_module(name)
    except ImportError as error:
        raise ValueError(f"synthesisers need {name} here ({error}): pip install 'diffapf[synths]'") from None
