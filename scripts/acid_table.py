"""Table 3 of the DAFx 2024 paper, ours beside theirs: MSS of notes that were not trained on, by method, window and phase."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import mean

from omegaconf import DictConfig

from scripts.compressor_table import print_rows

Done = Mapping[tuple[str, str, int], dict[str, float]]
OTHERS = {"mss_note": "MSS a note", "log_mel_l1": "log-mel L1", "mfcc_l1": "MFCC L1", "fad_log_mel": "FAD (log-mel)"}


def show_acid(table: DictConfig, done: Done) -> None:
    """Prints the tables as Markdown; done: metrics by setting, training and fold."""
    print("\n## Table 3: MSS of held-out notes, per batch, mean of the folds; run by FS / by TD\n")
    print_rows(scores(table, done))
    print("\npublished: the authors' 68 test notes. same notes: the authors' outputs, for these 54.")
    print("\n## Other metrics, run by TD\n")
    print_rows(others(done))
    print("\n## MSS of each fold, run by TD\n")
    print_rows(of_folds(done))


def scores(table: DictConfig, done: Done) -> list[list[str]]:
    settings = list(dict.fromkeys(setting for setting, _, _ in done))
    rows = [
        ["", *(f"{filter}, {what}" for filter in table.published for what in ("published", "same notes")), *settings]
    ]
    for training in table.trainings:
        theirs = [
            both(source.get(filter, {}).get(training))
            for filter in table.published
            for source in (table.published, table.authors)
        ]
        ours = [
            both([average(done, setting, training, f"test/mss_{how}") for how in ("fs", "td")]) for setting in settings
        ]
        if any(ours):
            rows.append([training, *theirs, *ours])
    return rows


def others(done: Done) -> list[list[str]]:
    rows = [["", *OTHERS.values()]]
    for setting, training in dict.fromkeys((setting, training) for setting, training, _ in done):
        values = [average(done, setting, training, f"test/{name}_td") for name in OTHERS]
        rows.append([f"{setting}, {training}", *("" if value is None else f"{value:.3g}" for value in values)])
    return rows


def of_folds(done: Done) -> list[list[str]]:
    folds = sorted({fold for _, _, fold in done})
    rows = [["", *(f"fold {fold}" for fold in folds), "mean", "seconds"]]
    for setting, training in dict.fromkeys((setting, training) for setting, training, _ in done):
        values = [done.get((setting, training, fold), {}).get("test/mss_td") for fold in folds]
        of_all = average(done, setting, training, "test/mss_td"), average(done, setting, training, "train/seconds")
        cells = ["" if value is None else f"{value:.3f}" for value in values]
        rows.append([f"{setting}, {training}", *cells, f"{of_all[0]:.3f}", f"{of_all[1]:.0f}"])
    return rows


def average(done: Done, setting: str, training: str, name: str) -> float | None:
    """Over the folds that are done."""
    found = [metrics[name] for key, metrics in done.items() if key[:2] == (setting, training) and name in metrics]
    return mean(found) if found else None


def both(values: list[float | None] | None) -> str:
    if values is None or all(value is None for value in values):
        return ""
    return " / ".join("–" if value is None else f"{value:.3f}" for value in values)
