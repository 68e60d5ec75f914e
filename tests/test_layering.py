"""What may import what: ARCHITECTURE.md's arrows, read from the imports of every file."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Each room imports from its own row and the rows above it, never from below. `diffapf` alone is the public list.
ROWS = (
    ("diffapf.kernels",),
    ("diffapf.filters",),
    (
        "diffapf.modulation",
        "diffapf.parameters",
        "diffapf.model",
        "diffapf.losses",
        "diffapf.loudness",
        "diffapf.audio",
        "diffapf.audio_stream",
        "diffapf.memory",
        "diffapf.needs",
        "diffapf.pair_files",
        "diffapf.findings",
    ),
    ("diffapf.effects", "diffapf.synths"),
    (
        "diffapf.identification",
        "diffapf.notes",
        "diffapf.metrics",
        "diffapf.voice_metrics",
        "diffapf.midi",
        "diffapf.processing",
        "diffapf.capture",
        "diffapf.citations",
        "diffapf.checks",
    ),
    ("diffapf.export", "diffapf.report"),
    ("diffapf",),
    ("diffapf.cli",),
    ("recipes",),
    ("train", "scripts"),
)

# Which rooms never import which modules, whatever the rows say.
TRAINING = ("lightning", "pytorch_lightning", "hydra", "omegaconf", "wandb", "submitit")
PEERS = ("torchlpc", "philtorch", "torchcomp", "scipy", "pedalboard")
NEVER = (
    ("diffapf", TRAINING, "training frameworks stay in recipes/, train.py and scripts/"),
    ("data", TRAINING, "training frameworks stay in recipes/, train.py and scripts/"),
    ("diffapf", PEERS, "the library never runs on its oracles and rivals"),
    ("diffapf", ("data",), "the embedded data are no part of the installed library"),
    ("data", ("diffapf", "recipes", "train", "scripts"), "a model must not learn from data that it made itself"),
    ("diffapf", ("tests",), "tests are imported by tests"),
    ("data", ("tests",), "tests are imported by tests"),
    ("recipes", ("tests",), "tests are imported by tests"),
)


def violations(root: Path) -> list[str]:
    """Every import under a repository's root that the rules forbid, as "file:line imports module: why"."""
    files = [file for room in ("diffapf", "data", "recipes", "scripts") for file in sorted((root / room).rglob("*.py"))]
    files += [file for file in [root / "train.py"] if file.exists()]
    found = []
    for file in files:
        importer = module_name(file.relative_to(root))
        for line, imported in imports(root, file):
            reason = forbidden(importer, imported)
            if reason:
                found.append(f"{file.relative_to(root).as_posix()}:{line} imports {imported}: {reason}")
    return found


def forbidden(importer: str, imported: str) -> str | None:
    for room, modules, why in NEVER:
        if within(importer, room) and any(within(imported, module) for module in modules):
            return why
    own, other = row(importer), row(imported)
    if own is not None and other is not None and other > own:
        return f"{' and '.join(ROWS[other])} come after {' and '.join(ROWS[own])}"
    return None


def row(module: str) -> int | None:
    """The row of the most specific room that a module is in; None for what is not ours."""
    rooms = [(len(room), i) for i, rooms in enumerate(ROWS) for room in rooms if within(module, room)]
    return max(rooms)[1] if rooms else None


def within(module: str, room: str) -> bool:
    return module == room or module.startswith(f"{room}.")


def module_name(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(root: Path, file: Path) -> Iterator[tuple[int, str]]:
    """(line, module) of each import, also inside functions; `from room import part` counts as `room.part` if it is one."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = file.relative_to(root).parent.parts
            above = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                part = root.joinpath(*base.split("."), alias.name)
                is_module = part.with_suffix(".py").exists() or (part / "__init__.py").exists()
                yield node.lineno, f"{base}.{alias.name}" if is_module else base


# ---------------------------------------------------------------------------------------------------------------- tests


def test_the_arrows_never_turn_round():
    assert not violations(ROOT), "\n".join(violations(ROOT))


def test_every_file_of_the_library_has_its_own_row():
    """A new room is put into the table: the row of the public list is nobody's home."""
    public = row("diffapf")
    files = (ROOT / "diffapf").rglob("*.py")
    names = [module_name(file.relative_to(ROOT)) for file in files]
    assert [name for name in names if row(name) == public] == ["diffapf"]


CAUGHT = {
    "a filter imports an effect": ("diffapf/filters/a.py", "from diffapf.effects.phaser import Phaser"),
    "the same, by its room": ("diffapf/filters/a.py", "from diffapf.effects import phaser"),
    "the same, relatively": ("diffapf/filters/a.py", "from ..effects import phaser"),
    "the same, as a module": ("diffapf/filters/a.py", "import diffapf.effects.phaser as p"),
    "inside a function": ("diffapf/filters/a.py", "def f():\n    import diffapf.effects.phaser"),
    "a kernel imports a filter": ("diffapf/kernels/a.py", "import diffapf.filters.fir"),
    "an effect imports the public list": ("diffapf/effects/a.py", "from diffapf import LFO"),
    "a loss imports an effect": ("diffapf/losses.py", "from diffapf.effects import phaser"),
    "audio imports an effect": ("diffapf/audio.py", "from .effects.phaser import Phaser"),
    "an effect imports a fit": ("diffapf/effects/a.py", "from diffapf.identification import least_squares"),
    "the library imports a recipe": ("diffapf/report/a.py", "from recipes.fit import run"),
    "a recipe imports a script": ("recipes/a.py", "import scripts.benchmark"),
    "a recipe imports train": ("recipes/a.py", "from train import main"),
    "the data import the library": ("data/a.py", "from diffapf.filters.fir import fir"),
    "the library imports the data": ("diffapf/report/a.py", "from data.cache import small_stone"),
    "the library imports Lightning": ("diffapf/report/a.py", "from lightning.pytorch import Trainer"),
    "the data import a logger": ("data/a.py", "import wandb"),
    "the library imports scipy": ("diffapf/audio.py", "def f():\n    from scipy import signal"),
    "the library imports a peer": ("diffapf/filters/a.py", "import torchlpc"),
}

ALLOWED = {
    "an effect imports a filter": ("diffapf/effects/a.py", "from diffapf.filters.fir import fir"),
    "the same, relatively": ("diffapf/effects/a.py", "from ..filters import fir"),
    "its own room": ("diffapf/filters/a.py", "from .fir import fir"),
    "the public list imports an effect": ("diffapf/__init__.py", "from diffapf.effects.phaser import Phaser"),
    "a report imports audio": ("diffapf/report/a.py", "from diffapf import audio"),
    "a recipe imports the library, data and Lightning": (
        "recipes/a.py",
        "import diffapf, data.cache, lightning, scipy",
    ),
    "train imports a recipe": ("train.py", "import hydra\nfrom recipes.fit import run"),
    "a script imports a peer": ("scripts/a.py", "import torchlpc, diffapf"),
    "a name that only begins alike": ("diffapf/filters/a.py", "import hydrangea, lightningrod, database"),
}


def tree(root: Path, path: str, code: str) -> Path:
    """A repository whose files are empty, but for one."""
    for empty in ("effects/phaser.py", "filters/fir.py", "identification/least_squares.py", "audio.py", "__init__.py"):
        (root / "diffapf" / empty).parent.mkdir(parents=True, exist_ok=True)
        (root / "diffapf" / empty).touch()
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(code, encoding="utf-8")
    return root


@pytest.mark.parametrize(("path", "code"), CAUGHT.values(), ids=CAUGHT)
def test_the_checker_catches(tmp_path, path, code):
    found = violations(tree(tmp_path, path, code))
    assert len(found) == 1
    assert found[0].startswith(f"{path}:{code.count(chr(10)) + 1} imports ")


@pytest.mark.parametrize(("path", "code"), ALLOWED.values(), ids=ALLOWED)
def test_the_checker_allows(tmp_path, path, code):
    assert not violations(tree(tmp_path, path, code))
