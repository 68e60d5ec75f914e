import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from data import cache

EXCERPT = {"progress": False, "chirps": 0.3, "guitar": 0.2}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("DIFFAPF_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def no_simulation(*_, **__):
    raise AssertionError("simulated again")


def same(one: cache.Recording, other: cache.Recording) -> bool:
    return np.array_equal(one.dry, other.dry) and np.array_equal(one.wet, other.wet)


def test_second_call_reads_what_the_first_made(folder, monkeypatch):
    first = cache.small_stone("SS-D", **EXCERPT)
    assert [path.suffix for path in folder.iterdir()] == [".npz"]
    monkeypatch.setattr(cache, "_make", no_simulation)
    second = cache.small_stone("SS-D", **EXCERPT)
    assert same(first, second)
    assert second.dry.shape == second.wet.shape == (22050,)
    assert second.dry.dtype == second.wet.dtype == np.float64
    assert (second.sample_rate, second.setting, second.truth.rate) == (44100, "SS-D", 1.389)


def test_recordings_do_not_depend_on_the_cache(folder):
    first = cache.small_stone("SS-A", **EXCERPT)
    next(folder.iterdir()).unlink()
    assert same(first, cache.small_stone("SS-A", **EXCERPT))


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "noise"])
def test_a_damaged_file_is_made_again_with_a_message(folder, caplog, damage):
    first = cache.small_stone("SS-A", **EXCERPT)
    path = next(folder.iterdir())
    good = path.read_bytes()
    middle = len(good) // 2
    flipped = good[:middle] + bytes([good[middle] ^ 0xFF]) + good[middle + 1 :]
    path.write_bytes({"cut": good[:middle], "flip": flipped, "empty": b"", "noise": b"not an archive"}[damage])
    with caplog.at_level(logging.WARNING):
        assert same(first, cache.small_stone("SS-A", **EXCERPT))
    assert path.name in caplog.text
    assert "again" in caplog.text
    assert path.read_bytes() != b""
    caplog.clear()
    cache.small_stone("SS-A", **EXCERPT)
    assert not caplog.records


def test_a_change_of_the_simulation_makes_a_new_file(tmp_path, monkeypatch):
    before = cache.fingerprint("small_stone", (60.0, 10.0))
    assert before == cache.fingerprint("small_stone", (60, 10))
    assert before != cache.fingerprint("small_stone", (60.0, 5.0))
    signals, pedal = cache.SOURCES["small_stone"]
    changed = tmp_path / "small_stone.py"
    changed.write_bytes(pedal.read_bytes() + b"\n")
    monkeypatch.setitem(cache.SOURCES, "small_stone", (signals, changed))
    assert before != cache.fingerprint("small_stone", (60.0, 10.0))


def test_makers_at_the_same_time_do_not_hurt_each_other(folder):
    with ThreadPoolExecutor(4) as pool:
        recordings = list(pool.map(lambda _: cache.small_stone("SS-B", **EXCERPT), range(4)))
    assert all(same(recordings[0], recording) for recording in recordings)
    assert len(list(folder.iterdir())) == 1


def test_a_folder_that_cannot_be_written_costs_only_time(tmp_path, monkeypatch, caplog):
    (tmp_path / "file").touch()
    monkeypatch.setenv("DIFFAPF_CACHE", str(tmp_path / "file" / "cache"))
    assert cache.small_stone("SS-A", **EXCERPT).wet.shape == (22050,)
    assert "cannot be kept" in caplog.text


def test_the_levelling_amplifier_is_kept_too(folder, monkeypatch):
    first = cache.levelling_amplifier("LA-F", progress=False, seconds=0.5)
    monkeypatch.setattr(cache, "_make", no_simulation)
    second = cache.levelling_amplifier("LA-F", progress=False, seconds=0.5)
    assert same(first, second)
    assert (second.wet.shape, second.setting, second.truth.peak_reduction) == ((22050,), "LA-F", 75.0)
    with pytest.raises(ValueError, match=r"'LA-A'.*LA-D, LA-E, LA-F"):
        cache.levelling_amplifier("LA-A")


def test_the_acid_notes_are_kept_too(folder, monkeypatch):
    first = cache.acid_notes(loops=1, progress=False)
    monkeypatch.setattr(cache, "_make", no_simulation)
    second = cache.acid_notes(loops=1, progress=False)
    assert vars(first).keys() == vars(second).keys()
    for name, array in vars(first).items():
        np.testing.assert_array_equal(array, getattr(second, name))
        assert np.asarray(array).dtype == np.asarray(getattr(second, name)).dtype
    with pytest.raises(AssertionError, match="simulated again"):
        cache.acid_notes(loops=1, progress=False, seed=1)


def test_an_archive_without_one_of_the_arrays_is_made_again(folder, caplog):
    first = cache.small_stone("SS-A", **EXCERPT)
    path = next(folder.iterdir())
    np.savez_compressed(path, dry=first.dry)
    assert same(first, cache.small_stone("SS-A", **EXCERPT))
    assert "again" in caplog.text


def test_an_unknown_setting_names_those_there_are():
    with pytest.raises(ValueError, match=r"'SS-G'.*SS-A, SS-B, SS-C, SS-D, SS-E, SS-F"):
        cache.small_stone("SS-G")


def test_cache_folder_follows_the_environment(monkeypatch, tmp_path):
    assert cache.cache_folder() == tmp_path / "cache"
    monkeypatch.delenv("DIFFAPF_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.cache_folder() == tmp_path / "diffapf" / "data"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache.cache_folder() == Path.home() / ".cache" / "diffapf" / "data"


def test_progress_bar_reaches_the_end(capsys):
    cache.small_stone("SS-A", **(EXCERPT | {"progress": True}))
    written = capsys.readouterr()
    assert "SS-A" in written.err
    assert "100%" in written.err
    assert written.out == ""
