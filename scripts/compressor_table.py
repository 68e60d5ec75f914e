"""Tables 5, 6 and 7 of the DAFx 2024 paper, ours beside theirs: errors, learned parameters, the time of a step."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from omegaconf import DictConfig

from diffapf import Compressor, FrequencySampling
from diffapf.effects.time_constants import milliseconds_of, smoothing_rate

SAMPLE_RATE = 44_100
LEARNED = ("curve_ratio", "curve_threshold_db", "smoother_attack_ms", "smoother_release_ms", "rms", "makeup_db")


def show_compressors(
    table: DictConfig, metrics: Mapping[tuple[str, str], dict[str, float]], step_seconds: Iterable[int]
):
    """Prints the three tables as Markdown; metrics: by setting and training."""
    settings = list(dict.fromkeys(setting for setting, _ in metrics))
    print("\n## Table 5: test ESR in %, pre-filtered\n")
    print_rows(errors(table, metrics, settings))
    print("\n## Table 6: learned of the LA-2A; published: of the real one\n")
    print_rows(learned(table, metrics, [setting for setting in settings if setting in table.learned]))
    print("\n## Table 7: ms of an optimisation step, one thread, float32; published: M1 Pro\n")
    print_rows(step_times(table, step_seconds))


def errors(table: DictConfig, metrics: Mapping, settings: list[str]) -> list[list[str]]:
    rows = [["", *settings]]
    for method in ("FS", "TD"):
        rows.append([f"{method} SGD, published", *(f"{table.published[setting][method]:.3g}" for setting in settings)])
    for training in table.trainings:
        key = f"test/esr_{training[:2].lower()}"
        values = [metrics.get((setting, training), {}).get(key) for setting in settings]
        rows.append([f"{training}, ours", *("" if value is None else f"{100 * value:.3g}" for value in values)])
    return rows


def learned(table: DictConfig, metrics: Mapping, settings: list[str]) -> list[list[str]]:
    rows = [["", "ratio", "threshold dB", "attack ms", "release ms", "α_rms", "make-up dB"]]
    for setting in settings:
        for method in ("FS", "TD"):
            rows.append(
                [f"{setting} {method}, published", *(f"{value:.3g}" for value in table.learned[setting][method])]
            )
        for training in table.trainings:
            if (setting, training) in metrics:
                values = parameters_of(metrics[setting, training])
                rows.append([f"{setting} {training}, ours", *(f"{value:.3g}" for value in values)])
    return rows


def parameters_of(metrics: Mapping[str, float]) -> list[float]:
    """In the paper's order; a release that is tied is the attack's."""
    found = {name.removeprefix("param/"): value for name, value in metrics.items() if name.startswith("param/")}
    found.setdefault("smoother_release_ms", found["smoother_attack_ms"])
    average = torch.tensor(found["detector_average_ms"], dtype=torch.float64)
    found["rms"] = float(smoothing_rate(average, SAMPLE_RATE))
    return [found[name] for name in LEARNED]


def step_times(table: DictConfig, step_seconds: Iterable[int]) -> list[list[str]]:
    lengths = list(step_seconds)
    rows = [["", *(f"{length} s" for length in lengths)]]
    for method in ("FS", "TD"):
        rows.append([f"{method}, published", *(f"{table.step_ms[length][method]:.1f}" for length in lengths)])
    ours = {method: [step_ms(method, length) for length in lengths] for method in ("FS", "TD")}
    for method, values in ours.items():
        rows.append([f"{method}, ours", *(f"{value:.1f}" for value in values)])
    rows.append(["FS/TD, ours", *(f"{fs / td:.1f}" for fs, td in zip(ours["FS"], ours["TD"], strict=True))])
    return rows


def step_ms(method: str, seconds: float, repeats: int = 5) -> float:
    """Forward and backward to the input and the ballistics' times, as published: a raised cosine of 10 Hz, one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    n = torch.arange(round(seconds * SAMPLE_RATE))
    x = ((1 - torch.cos(2 * math.pi * 10 * n / SAMPLE_RATE)) / 2)[None].requires_grad_()
    attack, release, average = (milliseconds_of(rate, SAMPLE_RATE) for rate in (0.02, 0.003, 0.01))
    one_time: dict[str, Any] = {"release_ms": None, "method": FrequencySampling()}
    times = one_time if method == "FS" else {"release_ms": release}
    compressor = Compressor(SAMPLE_RATE, -10.0, 4.0, attack, average_ms=average, **times)
    for name, parameter in compressor.named_parameters():
        parameter.requires_grad_(name.startswith("smoother"))
    taken = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        compressor(x).sum().backward()
        taken.append(1000 * (time.perf_counter() - began))
    torch.set_num_threads(threads)
    return statistics.median(taken[1:])  # the first compiles


def print_rows(rows: list[list[str]]) -> None:
    print("\n".join(rows_in_markdown(rows)))


def rows_in_markdown(rows: list[list[str]]) -> list[str]:
    head, *others = (f"| {' | '.join(row)} |" for row in rows)
    return [head, f"| --- |{' --: |' * (len(rows[0]) - 1)}", *others]
