"""The tutorial, from its first command to its last, in an empty folder."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

from diffapf.cli import main

PAGE = Path(__file__).parents[1] / "docs" / "tutorial.md"
BLOCKS = re.findall(r"^```(sh|python)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


@pytest.mark.skipif(shutil.which("cc") is None, reason="the plugin needs a C compiler")
def test_the_tutorial_goes_from_two_files_to_a_plugin(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    session: dict[str, object] = {}
    said = ""
    for language, block in BLOCKS:
        if language == "python":
            exec("\n".join(line[4:] for line in block.splitlines()), session)
            continue
        for command in block.splitlines():
            assert command.startswith(".venv/bin/diffapf "), command
            assert main(shlex.split(command)[1:]) == 0, command
        said += capsys.readouterr().out
    assert re.search(r"warning  latency   wet.wav is 137\.\d+ ± 0\.\d+ samples", said) and "(excellent)" in said
    assert "@inproceedings{yu2025diffvox," in said
    page = Path("my_eq/report.html")
    assert page.stat().st_size < 5_000_000
    assert "The recordings" in page.read_text(encoding="utf-8") and Path("checked/report.html").is_file()
    assert any(Path("plugins").rglob("*.ttl")) and any(Path("plugins").rglob("*.c"))
