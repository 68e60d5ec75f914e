"""The record of fits to notes, of the smallest ones; what it measures there is nothing."""

from pathlib import Path

import pytest
import torch

from diffapf.notes import Notes
from diffapf.synths.acid import AcidSynth
from scripts.fit_acid_notes import HEAD, from_models, main, report, timed, with_mean

RATE, LENGTH = 48_000, 4000


@pytest.fixture(scope="module")
def row():
    pytest.importorskip("auraloss", reason="auraloss is not installed")
    sound = 0.3 * torch.sin(2 * torch.pi * 110 / RATE * torch.arange(float(LENGTH)))[None]
    notes = Notes(sound, torch.full((1, LENGTH), 110.0), torch.tensor([LENGTH]), RATE, ["one"])
    return timed("one", notes, AcidSynth(RATE), 2, knots=3)


def test_a_row_has_every_column(row):
    cells = row.cells()
    assert len(cells) == len(HEAD) and cells[:3] == ["one", "1", "2"]
    assert float(cells[HEAD.index("MSS")]) == pytest.approx(row.fit.after, abs=1e-3)
    assert float(cells[HEAD.index("of them ≤ 0.1 more")]) in (0.0, 1.0)


def test_the_mean_is_of_the_columns(row):
    assert with_mean([row, row])[-1][3:] == [f"{float(cell):.3g}" for cell in row.cells()[3:]]


def test_a_page_without_models_says_so(row, tmp_path):
    assert from_models(row.fit.notes, tmp_path) == []
    text = report([], [row], "python scripts/fit_acid_notes.py")
    assert "| no model is there |" in text and "| one | 1 | 2 |" in text


def test_recordings_that_are_not_there_are_named(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["--notes", str(Path("nowhere"))])
    assert "--notes nowhere" in capsys.readouterr().err
