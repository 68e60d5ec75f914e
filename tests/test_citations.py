"""What is cited for a model."""

from __future__ import annotations

import re

import pytest

from diffapf import AcidPatch, Compressor, Phaser
from diffapf.citations import OF_KIND, PAPERS, bibtex, citations
from diffapf.cli import main
from diffapf.model import Model
from diffapf.synths import voice_patch  # noqa: F401  (a kind of model)

NO_PRESETS = {"effect", "acidmatcher", "analysisbysynthesis"}  # what others derive from; networks


def test_every_kind_of_model_has_its_papers():
    ours = {name for name, kind in Model.kinds.items() if kind.__module__.startswith("diffapf.")}
    assert ours - NO_PRESETS == OF_KIND.keys()
    assert all(key in PAPERS for keys in OF_KIND.values() for key in keys)


@pytest.mark.parametrize("key", PAPERS)
def test_entries_are_whole(key):
    entry = bibtex(key)
    assert re.match(rf"@\w+{{{key},\n", entry) and entry.count("{") == entry.count("}")
    fields = {"author", "title"} if key == "diffapf" else {"author", "title", "year"}
    assert fields <= PAPERS[key].keys()


def test_parts_that_a_model_was_built_with():
    assert "stilson1996moog" in citations(AcidPatch(48_000, filter="ladder"))
    assert "stilson1996moog" not in citations(AcidPatch(48_000))
    assert citations(Compressor(16_000))[-1] == "giannoulis2012compressor"


def test_the_command(tmp_path, capsys):
    Phaser(16_000).save(tmp_path / "model.yaml")
    assert main(["cite", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "@inproceedings{yu2024allpole," in said and "version = {" in said
    assert main(["cite", str(tmp_path / "nothing.yaml")]) == 2
