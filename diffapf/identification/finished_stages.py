"""What a fit has finished so far, in a folder: one that was killed goes on from its last stage."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar, cast

from diffapf.effects.effect import Effect
from diffapf.identification.fit import Fit

LIST = "stages.json"


AnyEffect = TypeVar("AnyEffect", bound=Effect)


class FinishedStages:
    """The stages of one fit by their names, a file each.

    A stage is finished once it is in the list, which is replaced as a whole: a fit may be killed at any time.

    Args:
        folder: made when the first stage is finished; None: nothing is kept.
        of: what the stages depend on, recordings and options, as text. Those of anything else are removed.
    """

    def __init__(self, folder: Path | None = None, of: str = ""):
        self.folder, self.of = folder, of
        self.names: list[str] = []
        if folder is None or not folder.exists():
            return
        kept = _read(folder / LIST)
        if isinstance(kept, dict) and kept.get("of") == of:
            self.names = kept["finished"]
        else:
            self.forget()

    def find(self, name: str) -> Path | None:
        """The file of a finished stage; None of one that is not."""
        return self._file(self.names.index(name)) if name in self.names else None

    def keep(self, name: str, write: Callable[[Path], None]) -> None:
        """Finishes a stage: `write` is given the path of its file."""
        if self.folder is None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        write(self._file(len(self.names)))
        self.names.append(name)
        part = self.folder / f"{LIST}.part"
        part.write_text(json.dumps({"of": self.of, "finished": self.names}, ensure_ascii=False), encoding="utf-8")
        part.replace(self.folder / LIST)

    def effect(self, name: str, reach: Callable[[], AnyEffect]) -> AnyEffect:
        """What a stage reaches; of one that was finished before, what it reached then."""
        kept = self.find(name)
        if kept is not None:
            return cast(AnyEffect, Effect.load(kept).double())
        effect = reach()
        self.keep(name, effect.save)
        return effect

    def descent(self, name: str, model: Callable[[], AnyEffect], descend: Callable[..., Fit]) -> tuple[AnyEffect, Fit]:
        """What `descend(effect)` makes of a model, and its fit; of a stage that was finished before, the fit there.

        `descend(effect, iterations=0)` is the fit of an effect as it is.
        """
        fits: list[Fit] = []

        def reach() -> AnyEffect:
            effect = model()
            fits.append(descend(effect))
            return effect

        effect = self.effect(name, reach)
        return effect, fits[0] if fits else descend(effect, iterations=0)

    def forget(self) -> None:
        """Removes all of them."""
        self.names = []
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _file(self, index: int) -> Path:
        assert self.folder is not None  # or nothing is in the list
        return self.folder / f"{index}.stage"


def _read(file: Path) -> object:
    """The list; None where it cannot be read: then the fit starts afresh."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
