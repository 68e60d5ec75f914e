"""A results folder (audio, parameters, metrics, curves) as one self-contained HTML page.

The page needs no network and no other file: it can be mailed, archived, or opened from disk. What a results folder
holds is described in `diffapf.report.results`; any effect or synth that writes one gets the page.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["write_report"]


def write_report(folder: str | Path) -> Path:
    """Write `report.html` into a results folder and return its path.

    `run.json` and `metrics.json` must be there; every other part is optional, and the page leaves out the section of
    what is missing. The page is written under another name and then renamed, so a reader never sees half a page.

    Args:
        folder: the results folder; see `diffapf.report.results` for its contents.

    Returns:
        The path of the page, `folder/report.html`.

    Raises:
        FileNotFoundError: the folder, `run.json` or `metrics.json` is missing.
        ValueError: a file does not hold what it should; the message names the file and the field.
    """
    # Here and not above: the page needs matplotlib and jinja2, half a second that a mere import should not cost.
    from diffapf.report.page import render
    from diffapf.report.results import read_results

    folder = Path(folder)
    page = render(read_results(folder))
    draft = folder / ".report.html.part"
    draft.write_text(page, encoding="utf-8")
    return draft.replace(folder / "report.html")
