"""Packages that only synthesisers and their notes, vocal chains or voices need, which not every user installs."""

from __future__ import annotations

import warnings
from importlib import import_module
from types import ModuleType


def needed(name: str, extra: str | None = "synths") -> ModuleType:
    """Imports an optional package; raises ValueError, with the extra that installs it, where it is missing.

    extra: None for what none of ours installs. What it warns of then is its own affair, not that of who calls us.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return import_module(name)
    except ImportError as error:
        install = name if extra is None else f"'diffapf[{extra}]'"
        raise ValueError(
            f"{name} is needed for this, which cannot be imported ({error}): pip install {install}"
        ) from error
