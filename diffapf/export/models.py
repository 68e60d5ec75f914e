"""Which models can be exported, and by which description."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from diffapf.effects.compressor import Compressor
from diffapf.effects.equalizer import Equalizer
from diffapf.effects.levelling_amplifier import LevellingAmplifier
from diffapf.effects.phaser import Phaser
from diffapf.export.acid import describe_acid
from diffapf.export.compressor import describe_compressor
from diffapf.export.description import Description, NotExportableError
from diffapf.export.equalizer import describe_equalizer
from diffapf.export.levelling_amplifier import describe_levelling_amplifier
from diffapf.export.phaser import describe_phaser
from diffapf.model import Model
from diffapf.synths.patch import AcidPatch

DESCRIPTIONS: dict[type[Model], Callable[[Any, int], Description]] = {
    Phaser: describe_phaser,
    Compressor: describe_compressor,
    LevellingAmplifier: describe_levelling_amplifier,
    Equalizer: describe_equalizer,
    AcidPatch: describe_acid,
}


def describe(model: Model, channels: int = 2, name: str | None = None) -> Description:
    """A model as a kernel of 1 or 2 channels.

    Raises:
        NotExportableError: the model has no kernel, or one of its settings has none; the message says which.
    """
    found = DESCRIPTIONS.get(type(model))
    kind = type(model).__name__
    if found is None:
        known = ", ".join(sorted(each.__name__ for each in DESCRIPTIONS))
        raise NotExportableError(f"{kind} cannot be exported; what can: {known}")
    if channels not in (1, 2):
        raise NotExportableError(f"a plugin has 1 or 2 channels, got {channels}")
    return found(model, channels).named(name or f"diffapf {_in_words(kind)}")


def _in_words(kind: str) -> str:
    """A class's name as words."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", kind).lower()
