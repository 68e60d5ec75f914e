"""Vocoders on the simulated singers, ours beside the published tables."""

from __future__ import annotations

from collections.abc import Mapping

from omegaconf import DictConfig

from scripts.compressor_table import print_rows

Done = Mapping[tuple[str, str, int], dict[str, float]]
COLUMNS = {
    "mss": "MSS",
    "mss_published": "published MSS",
    "mcd_db": "MCD dB",
    "f0_cents": "f₀ cents, voiced in both",
    "f0_cents_published": "MAE-f₀ cents, as published",
    "fad_vggish": "FAD (VGGish)",
    "fad_log_mel": "FAD (log-mel)",
    "pesq": "PESQ",
    "real_time_factor": "real-time factor",
}
SAMPLE_WISE = "sample_wise"


def show_golf(table: DictConfig, done: Done) -> None:
    """Prints the tables as Markdown; done: metrics by singer, model and seed."""
    for setting in table.settings:
        rows = [["", *COLUMNS.values()]]
        for (singer, model, _), metrics in done.items():
            if singer == setting:
                rows.append([model, *_cells(metrics, "test")])
                if f"{SAMPLE_WISE}/mss" in metrics:
                    rows.append([f"{model}, run sample-wise (-fs)", *_cells(metrics, SAMPLE_WISE)])
        if len(rows) > 1:
            print(f"\n## Simulated {setting}, held out\n")
            print_rows(rows)
    print("\n## Published: MSS, MAE-f₀ in cents, FAD of singers f1 and m1 (2023); validation MSS of speech (2024)\n")
    print_rows([["", "f1", "m1", "2024"], *([model, *_published(table.published[model])] for model in table.published)])


def _cells(metrics: Mapping[str, float], part: str) -> list[str]:
    return [f"{metrics[f'{part}/{name}']:.3g}" if f"{part}/{name}" in metrics else "" for name in COLUMNS]


def _published(of_model: DictConfig) -> list[str]:
    found = [", ".join(f"{value:g}" for value in of_model[name]) if name in of_model else "" for name in ("f1", "m1")]
    return [*found, f"{of_model['2024']:g}" if "2024" in of_model else ""]
