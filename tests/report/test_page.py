"""The page: its sections, what it escapes, and that it needs nothing but itself."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

from diffapf.report import write_report

SECTIONS = {"listen": "audio", "accuracy": "history.csv", "curves": "curves.json", "parameters": "parameters.json"}


def page_of(folder: Path) -> str:
    return write_report(folder).read_text(encoding="utf-8")


def test_a_full_folder_gives_every_section(results_folder: Path):
    page = page_of(results_folder)
    for section in (*SECTIONS, "details"):
        assert f'<section id="{section}">' in page
    for content in (
        "A phaser",
        "The recording was early.",
        "0.41\u202f%",
        "−23.9\u202fdB",
        "great",
        "The lamp is slow.",
    ):
        assert content in page
    assert page.count('class="flac"') == 8
    assert page.count("data:image/png") == 8


def test_a_curve_over_a_spectrogram_is_drawn_there_only(results_folder: Path):
    page = page_of(results_folder)
    assert page.count('<svg class="overlay"') == 1
    assert "<h3>Notch</h3>" not in page
    for file in (results_folder / "audio" / "test").iterdir():
        file.unlink()
    assert "<h3>Notch</h3>" in page_of(results_folder)


@pytest.mark.parametrize("section", SECTIONS)
def test_what_is_missing_is_left_out(results_folder: Path, section: str):
    path = results_folder / SECTIONS[section]
    path.rename(results_folder.parent / path.name)
    (results_folder / "metrics.json").write_text('{"test/mss": 0.3}')
    page = page_of(results_folder)
    present = set(re.findall(r'<section id="(\w+)">', page))
    assert present == {*SECTIONS, "details"} - {section}


def test_the_least_folder_gives_a_page(tmp_path: Path):
    run = {"title": "T", "command": "c", "created": "?", "seconds": 1, "versions": {}}
    (tmp_path / "run.json").write_text(json.dumps(run))
    (tmp_path / "metrics.json").write_text("{}")
    assert "<h1>T</h1>" in page_of(tmp_path)


def test_what_was_found_is_no_warning(results_folder: Path):
    page = page_of(results_folder)
    assert '<p class="finding">A phaser of 4 stages.</p>' in page
    assert '<p class="note">The recording was early.</p>' in page


def test_numbers_that_are_none_are_shown_as_such(results_folder: Path):
    (results_folder / "metrics.json").write_text('{"test/esr_td": NaN, "train/esr_td": Infinity, "test/mss": null}')
    page = page_of(results_folder)
    assert '<span class="number">NaN</span>' in page
    assert '<span class="number">∞</span>' in page


def test_whatever_a_user_writes_is_text(results_folder: Path, run: dict):
    evil = '<img src=x onerror="alert(1)">\'</script>'
    run |= dict.fromkeys(("title", "subtitle", "command", "created"), evil)
    run |= {
        "findings": [evil],
        "notes": [evil],
        "citations": [evil],
        "versions": {evil: evil},
        "headline": [f"{evil}/mss"],
    }
    (results_folder / "run.json").write_text(json.dumps(run))
    names = (f"{evil}/esr_{evil}", f"{evil}:test/esr_td", f"{evil}/mss")
    (results_folder / "metrics.json").write_text(json.dumps(dict.fromkeys(names, 0.1)))
    (results_folder / "history.csv").write_text(f"step,{evil.replace(',', '')}\n0,1\n")
    parameter = {"name": f"{evil}.{evil}", "label": evil, "unit": evil, "value": 1, "minimum": 0, "maximum": 2}
    (results_folder / "parameters.json").write_text(json.dumps([parameter]))
    axis = {"label": evil, "unit": evil}
    series = [{"name": evil, "x": [0, 1], "y": [100, 200]}]
    curve = {"title": evil, "x": axis, "y": axis, "series": series, "caption": evil}
    over = {**curve, "x": {"label": "t", "unit": "s"}, "y": {"label": "f", "unit": "Hz"}, "over": "test/prediction"}
    (results_folder / "curves.json").write_text(json.dumps([curve, over]))
    name = "<img onerror=alert(1)>.wav"
    (results_folder / "audio" / "test" / "dry.wav").rename(results_folder / "audio" / "test" / name)
    (results_folder / "audio" / "train").rename(results_folder / "audio" / "<img src=y>")
    page = page_of(results_folder)
    assert "<img src=x" not in page
    assert "<img src=y" not in page
    assert "<img onerror" not in page
    assert page.count("</script>") == page.count("<script")


def test_the_page_needs_nothing_but_itself(results_folder: Path):
    page = page_of(results_folder)
    references = re.findall(r'\b(?:src|href)="([^"]*)"', page)
    assert references
    assert all(reference.startswith(("data:", "#")) for reference in references)
    assert "http://" not in page
    assert "https://" not in page
    assert "default-src 'none'" in page


def test_the_page_replaces_the_one_before_and_leaves_no_draft(results_folder: Path):
    before = {path.name for path in results_folder.iterdir()}
    assert write_report(str(results_folder)) == results_folder / "report.html"
    write_report(results_folder)
    assert {path.name for path in results_folder.iterdir()} == before | {"report.html"}


def test_a_folder_that_cannot_be_read_keeps_its_page(results_folder: Path):
    page = page_of(results_folder)
    (results_folder / "metrics.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"metrics\.json"):
        write_report(results_folder)
    assert (results_folder / "report.html").read_text(encoding="utf-8") == page


def test_four_tracks_of_ten_seconds_stay_under_five_megabytes(results_folder: Path):
    for path in (results_folder / "audio" / "train").iterdir():
        path.unlink()
    for path in (results_folder / "audio" / "test").iterdir():
        # Noise: nothing is harder to compress.
        samples, _ = soundfile.read(path)
        soundfile.write(path, [*samples] * 14, 44100, subtype="FLOAT")
    assert write_report(results_folder).stat().st_size < 5e6


def test_importing_the_report_is_light():
    code = "import sys, diffapf.report; sys.exit('matplotlib' in sys.modules or 'jinja2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
