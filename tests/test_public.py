"""What `import diffapf` offers, and how little it loads."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import diffapf

ROOT = Path(__file__).parents[1]
HEAVY = ("numba", "matplotlib", "lightning", "hydra", "scipy")


@pytest.mark.parametrize("name", diffapf.__all__)
def test_what_is_public_exists_and_is_explained(name):
    thing = getattr(diffapf, name)
    assert inspect.isclass(thing) or inspect.isfunction(thing)
    explanation = thing.__doc__  # its own: `inspect.getdoc` would find a parent's
    assert explanation
    if inspect.isclass(thing):
        assert not explanation.startswith(f"{name}("), "a dataclass writes its own signature there"


def test_what_is_imported_for_the_public_is_listed_once():
    imported = [name for name, value in vars(diffapf).items() if inspect.isclass(value) or inspect.isfunction(value)]
    assert sorted(imported) == sorted(diffapf.__all__)


def test_what_is_public_says_where_it_lives():
    for name in diffapf.__all__:
        assert getattr(diffapf, name).__module__.startswith("diffapf.")


def test_importing_loads_nothing_heavy():
    code = f"import sys, diffapf; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
