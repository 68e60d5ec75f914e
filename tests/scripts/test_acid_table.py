"""The acid synth's table: means over folds, beside the published numbers."""

from pathlib import Path

from omegaconf import OmegaConf

from scripts.acid_table import of_repetitions, record, scores, show_acid

TABLE = OmegaConf.load(Path(__file__).parents[2] / "configs" / "table" / "acid.yaml")


def metrics(td: float, fs: float | None = None) -> dict[str, float]:
    found = {"test/mss_td": td, "test/mfcc_l1_td": 1.0, "train/seconds": 60.0}
    return found if fs is None else found | {"test/mss_fs": fs}


DONE = {
    ("Coeff locked", "TD", 0): metrics(1.0, 1.1),
    ("Coeff locked", "TD", 1): metrics(1.2, 1.3),
    ("Coeff locked", "FS 256", 0): metrics(1.5, 1.4),
    ("LSTM published", "TD", 0): metrics(1.9),
}


def test_cells_are_means_of_the_folds_beside_the_published():
    head, *rows = scores(TABLE, DONE)
    cells = {row[0]: dict(zip(head, row, strict=True)) for row in rows}
    assert list(cells) == ["TD", "FS 256"]
    assert cells["TD"]["Coeff locked"] == "1.200 / 1.100"
    assert cells["TD"]["LSTM published"] == "– / 1.900"
    assert cells["FS 256"]["Coeff locked"] == "1.400 / 1.500" and cells["FS 256"]["LSTM published"] == ""
    assert cells["TD"]["Coeff, published"] == "– / 1.380" and cells["TD"]["Coeff, same notes"] == "– / 1.554"
    assert cells["FS 256"]["LP, same notes"] == "1.953 / 2.946"


def test_folds_that_are_not_done_are_empty():
    rows = {row[0]: row[1:] for row in of_repetitions(TABLE, DONE)[1:]}
    assert rows["Coeff locked, TD"] == ["1.000", "1.200", "1.100", "", "", "60"]
    assert rows["Coeff locked, FS 256"] == ["1.500", "", "1.500", "", "", "60"]


def test_it_prints_before_anything_is_done(capsys):
    show_acid(TABLE, {})
    assert "## MSS of held-out notes" in capsys.readouterr().out


def test_a_page_says_by_what_it_was_made():
    page = record("Acid", "python scripts/reproduce.py table=acid", TABLE, DONE)
    assert page.startswith("# Acid\n\n    python scripts/reproduce.py table=acid\n")
    assert "auraloss" in page and "1.200 / 1.100" in page


def test_a_table_without_published_numbers_has_ours_alone():
    alone = OmegaConf.create({"trainings": {"TD": []}, "repeated": "seed", "words": ""})
    assert scores(alone, DONE)[0] == ["", "Coeff locked", "LSTM published"]
    assert "Table 3" not in record("Acid", "", alone, DONE)
