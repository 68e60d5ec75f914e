"""A user's mistakes, told in one line, with exit code 2; everything else keeps its traceback."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.errors import ConfigCompositionException, HydraException, InstantiationException, MissingConfigException
from omegaconf.errors import OmegaConfBaseException

CANNOT_BE_WRITTEN = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.EFBIG)
USER_ERRORS = (ValueError, TypeError, FileNotFoundError)


def leave(message: str) -> None:
    print(f"error: {message}", file=sys.stderr)
    raise SystemExit(2)


@contextmanager
def exit_on_user_error() -> Iterator[None]:
    """Turns what our own checks raise into a line and exit code 2; an error deeper down is a bug, and is raised."""
    try:
        yield
    except InstantiationException as error:
        cause = error.__cause__
        if isinstance(cause, USER_ERRORS):
            leave(str(cause))
        raise
    except OSError as error:
        if error.errno in CANNOT_BE_WRITTEN:
            place = f"{error.filename} cannot be written" if error.filename else "the run cannot be written"
            leave(
                f"{place}: {os.strerror(error.errno)}. The last good checkpoint is kept: make room, or the folder "
                "writable, and give the same command with run= this folder to go on"
            )
        if isinstance(error, FileNotFoundError) and _raised_by_us(error):
            leave(str(error))
        raise
    except ValueError as error:
        if _raised_by_us(error):
            leave(str(error))
        raise


def _raised_by_us(error: BaseException) -> bool:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    root = Path(__file__).parent.parent
    return trace is not None and Path(trace.tb_frame.f_code.co_filename).is_relative_to(root)


def explain_config_errors(folder: Path, config: str, arguments: Sequence[str]) -> None:
    """Composes the config ahead of Hydra, only to say what is wrong with an override in a line a user can act on."""
    overrides = [argument for argument in arguments if not argument.startswith("-")]
    _check_folder(overrides)
    if len(overrides) < len(arguments):
        return  # a flag such as --help or --multirun: Hydra's own business
    try:
        with initialize_config_dir(str(folder.resolve()), version_base="1.3"):
            compose(config, overrides)
    except MissingConfigException as error:
        leave(_missing(folder, str(error).splitlines()[0]))
    except (ConfigCompositionException, HydraException, OmegaConfBaseException) as error:
        text = str(error).splitlines()[0]
        if "experiment" in text and ("mandatory" in text or "must specify" in text.lower()):
            there_are = _list(folder, "experiment")
            leave(f"name an experiment: experiment={_choices(folder, 'experiment')[0]} (there are: {there_are})")
        leave(f"{text} (python train.py experiment=phaser --cfg job shows all settings)")


def _check_folder(overrides: Sequence[str]) -> None:
    """Hydra makes the run's folder, and would end in a traceback."""
    given = [override.partition("=")[2] for override in overrides if override.startswith("run=")]
    for folder in map(Path, given):
        nearest = next(place for place in (folder, *folder.absolute().parents) if place.exists())
        if not nearest.is_dir():
            leave(f"run={folder}: {nearest} is a file; give a folder")
        if not os.access(nearest, os.W_OK):
            leave(f"run={folder}: {nearest} cannot be written to")


def _missing(folder: Path, text: str) -> str:
    for group in sorted(path.name for path in folder.iterdir() if path.is_dir()):
        if f"'{group}/" in text or f"override '{group}'" in text:
            name = text.split(f"{group}/")[-1].split("'")[0]
            close = get_close_matches(name, _choices(folder, group), 1)
            hint = f"; did you mean {group}={close[0]}?" if close else ""
            return f"there is no {group} {name!r}; there are: {_list(folder, group)}{hint}"
    return text


def _choices(folder: Path, group: str) -> list[str]:
    return sorted(path.stem for path in (folder / group).glob("*.yaml"))


def _list(folder: Path, group: str) -> str:
    return ", ".join(_choices(folder, group))
