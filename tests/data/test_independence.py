import ast
import sys
from pathlib import Path

import pytest

import data

ALLOWED = {"data", "numba", "numpy", "rich", "scipy", *sys.stdlib_module_names}
FILES = sorted(Path(data.__file__).parent.glob("**/*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_embedded_data_imports_nothing_of_the_library(path):
    imported = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module)
    assert {name.split(".")[0] for name in imported} <= ALLOWED
