"""Every Python example of docs/ runs, and prints what the page says; its links lead somewhere."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

PAGES = sorted((Path(__file__).parents[1] / "docs").glob("*.md"))
FENCED = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def examples(page: Path) -> doctest.DocTest:
    """All blocks of a page as one session, at their own line numbers."""
    text = page.read_text(encoding="utf-8")
    blocks = {text.count("\n", 0, match.start(1)): match[1] for match in FENCED.finditer(text)}
    parser, found = doctest.DocTestParser(), []
    for line, block in blocks.items():
        assert block.startswith(">>> "), f"{page.name}, line {line + 1}: an example that no test runs"
        for example in parser.get_examples(block):
            example.lineno += line
            found.append(example)
    return doctest.DocTest(found, {}, page.name, str(page), 0, text)


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "tutorial.md"], ids=lambda page: page.name)
def test_examples_run(page):  # the tutorial's files come from its commands: test_tutorial.py
    report: list[str] = []
    runner = doctest.DocTestRunner()
    failed, _ = runner.run(examples(page), out=report.append)
    assert not failed, "".join(report)


def test_there_are_examples():
    assert sum(len(examples(page).examples) for page in PAGES) > 30


@each_page
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text(encoding="utf-8"))
    assert not [link for link in links if not (page.parent / link).exists()]
