"""Every Python example of the README runs as it stands; every command of it is one."""

import re
import shlex
from pathlib import Path

import pytest

from diffapf.cli import parser

README = Path(__file__).parents[1] / "README.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
COMMANDS = re.findall(r"^\.venv/bin/diffapf (.*)$", README.read_text(encoding="utf-8"), re.MULTILINE)


def test_there_are_examples():
    assert len(EXAMPLES) >= 2


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_example_runs(example, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(example, str(README), "exec"), {})


@pytest.mark.parametrize("command", COMMANDS)
def test_command_is_understood(command):
    assert parser().parse_args(shlex.split(command)).run


def test_there_are_commands():
    assert len(COMMANDS) >= 5
