"""Stages of a fit in a folder: found by the next run of the same fit, and by no other."""

from __future__ import annotations

import pytest

from diffapf.identification.finished_stages import LIST, FinishedStages


@pytest.fixture
def folder(tmp_path):
    stages = FinishedStages(tmp_path / "stages", "this fit")
    for name in ("first", "second: 1/2"):
        stages.keep(name, lambda path, name=name: path.write_text(name))
    return tmp_path / "stages"


def test_the_same_fit_finds_what_was_finished(folder):
    stages = FinishedStages(folder, "this fit")
    assert stages.names == ["first", "second: 1/2"]
    assert [stages.find(name).read_text() for name in stages.names] == stages.names
    assert stages.find("third") is None


def test_another_fit_finds_nothing_and_leaves_nothing(folder):
    assert FinishedStages(folder, "another fit").names == []
    assert not folder.exists()


@pytest.mark.parametrize("content", [None, "{", "[]"])
def test_a_damaged_list_is_a_fresh_start(folder, content):
    (folder / LIST).unlink() if content is None else (folder / LIST).write_text(content)
    assert FinishedStages(folder, "this fit").names == []


def test_a_stage_that_was_not_written_whole_is_not_finished(folder):
    def killed(path):
        path.write_text("half a st")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        FinishedStages(folder, "this fit").keep("third", killed)
    stages = FinishedStages(folder, "this fit")
    assert stages.find("third") is None
    stages.keep("third", lambda path: path.write_text("whole"))
    assert FinishedStages(folder, "this fit").find("third").read_text() == "whole"


def test_what_is_forgotten_is_gone(folder):
    stages = FinishedStages(folder, "this fit")
    stages.forget()
    assert stages.find("first") is None and not folder.exists()


def test_without_a_folder_nothing_is_kept():
    stages = FinishedStages()
    stages.keep("first", lambda path: pytest.fail("there is nowhere to write"))
    stages.forget()
    assert stages.find("first") is None
