"""What a user sees and can do while a recipe trains: one bar with the time left, a history, Ctrl-C."""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping
from typing import Any

from lightning import Callback, LightningModule, Trainer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from diffapf.report.folder import of_parameters

EVERY = 10  # steps between two looks at the loss

console = Console(stderr=True)


def progress_bar() -> Progress:
    """A bar over a known number of steps, with a line of words, the time spent and the time left."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        TextColumn("{task.completed:.0f}/{task.total:.0f}"),
        TextColumn("{task.fields[words]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
    )


class ProgressBar(Callback):
    """One bar over all steps, whatever the epochs are."""

    def __init__(self, description: str):
        self.description = description
        self.bar = progress_bar()

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.task = self.bar.add_task(
            self.description, total=trainer.max_steps, completed=trainer.global_step, words="compiling the kernels …"
        )
        self.bar.start()

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        if trainer.global_step % min(EVERY, max(1, trainer.max_steps // EVERY)) == 0:
            self.bar.update(self.task, completed=trainer.global_step, words=_words(trainer))

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.bar.update(self.task, completed=trainer.global_step, words=_words(trainer))
        self.bar.stop()

    def on_exception(self, *_: Any) -> None:
        self.bar.stop()


def _words(trainer: Trainer) -> str:
    metrics = trainer.callback_metrics
    losses = {"train/loss": "loss", "train/mss": "MSS", "val/mss": "validation"}
    words = [f"{label} {float(metrics[name]):.3g}" for name, label in losses.items() if name in metrics]
    errors = {"train/esr": "ESR", "val/esr": "validation"}
    words += [f"{label} {100 * float(metrics[name]):.3g} %" for name, label in errors.items() if name in metrics]
    return ", ".join(words)


class History(Callback):
    """The training curve: a row at each validation, or epoch without one, and of watched parameters one at the start.

    Part of the checkpoint, so a resumed run has all of it.
    """

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []
        self.before = self.cpu_before = 0.0
        self.began: float | None = None
        self.cpu_began = 0.0

    @property
    def seconds(self) -> float:
        """Time spent training, all sittings together."""
        return self.before + (0.0 if self.began is None else time.perf_counter() - self.began)

    @property
    def cpu_seconds(self) -> float:
        """The same of all cores: what a machine that is busy with other work is told by."""
        return self.cpu_before + (0.0 if self.began is None else time.process_time() - self.cpu_began)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.began, self.cpu_began = time.perf_counter(), time.process_time()
        watched = _watched(pl_module)
        if watched and not self.rows:
            self.rows.append({"step": 0, "seconds": 0.0, **watched})

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.before, self.cpu_before = self.seconds, self.cpu_seconds
        self.began = None

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not sum(trainer.num_val_batches):  # nothing to validate on
            self.on_validation_end(trainer, pl_module)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        metrics = {name: float(trainer.callback_metrics[name]) for name in trainer.callback_metrics}
        self.rows.append({"step": trainer.global_step, "seconds": self.seconds, **metrics, **_watched(pl_module)})

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows, "seconds": self.seconds, "cpu_seconds": self.cpu_seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows, self.before = state_dict["rows"], state_dict["seconds"]
        self.cpu_before = state_dict.get("cpu_seconds", 0.0)


def side_by_side(histories: Mapping[str, History]) -> list[dict[str, float]]:
    """Of all trainings by their methods, step by step: the first one's columns as they are, a baseline's after its name."""
    rows: dict[float, dict[str, float]] = {}
    main = next(iter(histories))
    for method, history in histories.items():
        prefix = "" if method == main else f"{method}:"
        for row in history.rows:
            joined = rows.setdefault(row["step"], {"step": row["step"], "seconds": row["seconds"]})
            joined |= {f"{prefix}{name}": value for name, value in row.items() if name not in ("step", "seconds")}
    return [rows[step] for step in sorted(rows)]


def _watched(recipe: LightningModule) -> dict[str, float]:
    """Columns of the history, as the report knows them."""
    return of_parameters(recipe.watched())  # type: ignore[operator]


class StopOnInterrupt(Callback):
    """The first Ctrl-C ends the training after the present step, and the results so far are reported; the second quits."""

    def __init__(self) -> None:
        self.interrupted = False
        self.previous: Any = None

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        def stop(*_: Any) -> None:
            if self.interrupted:
                raise KeyboardInterrupt
            self.interrupted = True
            trainer.should_stop = True
            console.print("Stopping after this step; the best model so far is tested. Ctrl-C again to quit at once.")

        try:
            self.previous = signal.signal(signal.SIGINT, stop)
        except ValueError:  # not in the main thread, where there is no Ctrl-C either
            self.previous = None

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if self.previous is not None:
            signal.signal(signal.SIGINT, self.previous)
            self.previous = None
