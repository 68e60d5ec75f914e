"""Pairs in a folder, by their names or by a table."""

from __future__ import annotations

import re

import pytest

from diffapf.audio import AudioError
from diffapf.pair_files import find_pairs


def touch(folder, *names):
    for name in names:
        (folder / name).touch()


def test_names_say_what_is_what(tmp_path):
    touch(
        tmp_path,
        "take1_dry.wav",
        "take1_wet.wav",
        "Take 2 (input).flac",
        "take_2-output.flac",
        "notes.txt",
        "sweater.wav",
    )
    pairs = find_pairs(tmp_path)
    assert {(pair.dry.name, pair.wet.name) for pair in pairs} == {
        ("take1_dry.wav", "take1_wet.wav"),
        ("Take 2 (input).flac", "take_2-output.flac"),
    }


def test_knobs_are_in_the_names_and_one_dry_file_serves_all(tmp_path):
    touch(tmp_path, "dry.wav", "wet_drive=3_tone=0.5.wav", "wet_drive=10_tone=-1.wav")
    pairs = find_pairs(tmp_path)
    assert [pair.settings for pair in pairs] == [{"drive": 10.0, "tone": -1.0}, {"drive": 3.0, "tone": 0.5}]
    assert {pair.dry.name for pair in pairs} == {"dry.wav"}
    assert pairs[1].title == "wet_drive=3_tone=0.5.wav from dry.wav (drive=3, tone=0.5)"


def test_a_table_says_it(tmp_path):
    touch(tmp_path, "a.wav", "b.wav")
    (tmp_path / "pairs.csv").write_text("dry,wet,drive\na.wav,b.wav,0.25\n")
    (pair,) = find_pairs(tmp_path)
    assert (pair.dry.name, pair.wet.name, pair.settings) == ("a.wav", "b.wav", {"drive": 0.25})


WRONG = {
    "nothing": ((), None, "has no pairs: name files as take_dry.wav"),
    "no partner": (("one_dry.wav", "two_dry.wav", "three_wet.wav"), None, "three_wet.wav has no dry file"),
    "no column": ((), "input,wet\n", "has no column dry"),
    "no file": (("a.wav",), "dry,wet\na.wav,b.wav\n", "line 2: there is no file"),
    "no number": (
        ("a.wav", "b.wav"),
        "dry,wet,drive\na.wav,b.wav,much\n",
        "line 2: drive must be a number, got 'much'",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_said(tmp_path, case):
    names, table, words = WRONG[case]
    touch(tmp_path, *names)
    if table:
        (tmp_path / "pairs.csv").write_text(table)
    with pytest.raises(AudioError, match=re.escape(words)):
        find_pairs(tmp_path)
